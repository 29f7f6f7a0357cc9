"""Trials in processes on this machine."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from gatelearn import get_num_threads
from gatelearn.sweeps.worker import Job, Outcome, Worker


class Local:
    """Processes that share the processors of this machine.

    Parameters
    ----------
    workers : int
        How many at a time.
    """

    def __init__(self, workers: int):
        self.threads = max(1, get_num_threads() // workers)
        self._waiting = ThreadPoolExecutor(workers)
        self._running: list[Worker] = []

    def submit(self, job: Job) -> Future[Outcome]:
        worker = Worker(job)
        self._running.append(worker)
        future = self._waiting.submit(worker.wait)
        future.add_done_callback(lambda _: self._running.remove(worker))
        return future

    def stop(self) -> None:
        for worker in list(self._running):
            worker.stop()

    def close(self) -> None:
        for worker in list(self._running):
            worker.kill()
        self._waiting.shutdown()
