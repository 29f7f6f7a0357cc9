"""Where the trials of a sweep run."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from gatelearn.errors import UserError
from gatelearn.sweeps.worker import Job, Outcome

ENGINES = ("local", "ray")


class Engine(Protocol):
    """What a sweep drives."""

    threads: int
    """For each trial."""

    def submit(self, job: Job) -> Future[Outcome]:
        """Start a trial. An exception of the future is a trial that failed."""

    def stop(self) -> None:
        """Ask the running trials to stop at their next checkpoints."""

    def close(self) -> None:
        """End what still runs, at once."""


def make_engine(name: str, workers: int, address: str | None) -> Engine:
    """Return an engine by name.

    Raises
    ------
    UserError
        If there is none of this name, `workers` is less than 1, an address is given to the local
        engine, or no cluster answers.
    MissingPackageError
        If Ray is asked for and not installed.
    """
    if workers < 1:
        raise UserError(f"workers is {workers}, expected at least 1")
    if name == "local":
        if address is not None:
            raise UserError(f"address is '{address}', but engine local needs none: did you mean "
                            "engine ray?")
        from gatelearn.sweeps.local import Local

        return Local(workers)
    if name == "ray":
        from gatelearn.sweeps.cluster import Cluster

        return Cluster(workers, address)
    raise UserError(f"engine is '{name}', expected one of {', '.join(ENGINES)}")
