"""Trials on a Ray cluster."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from gatelearn.errors import UserError, require
from gatelearn.sweeps.worker import Job, Outcome, Worker


class Cluster:
    """Processes on the machines of a Ray cluster, which all see the sweep's and the user's folder.

    Parameters
    ----------
    workers : int
        How many at a time.
    address : str, optional
        Of the cluster; the one that runs on this machine by default. Where Ray is initialised
        already, that is used.

    Raises
    ------
    UserError
        If no cluster answers.
    """

    def __init__(self, workers: int, address: str | None):
        self._ray = ray = require("ray", install="'gatelearn[ray]'")
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                ray.init(address=address or "auto", log_to_driver=False)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise UserError(f"no Ray cluster answers at '{address or 'auto'}' ({error}): start "
                                "one by `ray start --head`, or give its address") from None
        # a trial runs on one machine
        processors = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        self.threads = max(1, min(sum(processors) // workers, max(processors, default=1)))
        self._run = ray.remote(num_cpus=self.threads)(run_worker)
        self._running: list[Any] = []

    def submit(self, job: Job) -> Future[Outcome]:
        self._running.append(self._run.remote(job))
        return self._running[-1].future()

    def stop(self) -> None:
        for task in self._running:
            self._ray.cancel(task)

    def close(self) -> None:
        for task in self._running:
            self._ray.cancel(task, force=True)
        if self._ours:
            self._ray.shutdown()


def run_worker(job: Job) -> Outcome:
    """Run a trial in a process of its own, from a task of Ray."""
    worker = Worker(job)
    try:
        return worker.wait()
    except KeyboardInterrupt:
        # the task was cancelled
        worker.stop()
        return worker.wait()
