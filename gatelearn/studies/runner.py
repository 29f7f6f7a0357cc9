"""What every study does round its own work: folder, progress, stages, stopping, the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from gatelearn.runs import (
    Progress,
    RunFolder,
    StopFlag,
    Trainer,
    measure_stage,
    next_folder,
    stop_on_signal,
    train_stage,
)
from gatelearn.studies.result import Result

R = TypeVar("R", bound=Result)
# measures and returns arrays by name; is given what it calls with a text before each part
Measure = Callable[[Callable[[str], None]], dict[str, NDArray]]


@dataclass
class Run:
    """A run of a study; made by `start_run`."""

    config: Any
    folder: RunFolder
    progress: Progress
    stop: StopFlag
    arrays: dict[str, NDArray] = field(default_factory=dict)
    """For the last checkpoint: what the study made, such as networks."""

    def train(self, stage: str, trainer: Trainer, steps: int) -> None:
        """Take the steps of a stage, as :func:`gatelearn.runs.train_stage`."""
        train_stage(self.folder, stage, trainer, steps, progress=self.progress, stop=self.stop)

    def measure(self, stage: str, ticks: int, measure: Measure) -> dict[str, NDArray]:
        """Return what `measure` returns, as :func:`gatelearn.runs.measure_stage`."""
        return measure_stage(self.folder, stage, ticks, measure, progress=self.progress,
                             stop=self.stop)

    def finish(self, result: R) -> R:
        """Save the last checkpoint and write the result; return it."""
        self.folder.save_checkpoint(self.arrays, {"stage": "finished"})
        return result.write(self.folder)


@contextmanager
def start_run(study: str, config: Any, stages: Mapping[str, float], *,
              out: str | Path | None = None, resume: bool = False,
              progress: bool = True) -> Iterator[Run]:
    """Start or resume a run of a study, for a ``with`` block. Every study's ``run`` does it.

    Parameters
    ----------
    study : str
        Its name.
    config : dataclass instance
        Its settings.
    stages : mapping of str to float
        All that it will train and measure, with the seconds that each takes, roughly.
    out : path, optional
        New folder for the run; the next of ``runs/STUDY-1``, ``runs/STUDY-2`` ... by default.
    resume : bool, default False
        Continue the run in `out`: finished stages are loaded, the current one goes on from its
        checkpoint.
    progress : bool, default True
        Show progress on standard error.

    Yields
    ------
    Run

    Raises
    ------
    UserError
        If the folder holds another run.
    OSError
        If the folder cannot be written, is in use, or holds something and `resume` is False.
    KeyboardInterrupt
        After Ctrl-C, when the checkpoint is written.
    """
    with (RunFolder.create(out or next_folder(study), config, study=study, resume=resume) as folder,
          stop_on_signal() as stop, Progress(stages, quiet=not progress) as shown):
        yield Run(config, folder, shown, stop)


class Part:
    """A part of a run, mostly all for one seed, with stages and generators of its own. Derive.

    Parameters
    ----------
    run : Run
    seed : int
    *where : str
        What the part is called beside ``seed-N``, if a seed has several.
    """

    STREAM: ClassVar[Mapping[str, int]] = {}
    """What each generator is seeded with beside the seed: no two share draws."""

    def __init__(self, run: Run, seed: int, *where: str):
        self._run, self.config, self.seed = run, run.config, seed
        self._name = "/".join([f"seed-{seed}", *where])

    def rng(self, stream: str, *more: int) -> np.random.Generator:
        """Return a new generator, the same for the same arguments."""
        return np.random.default_rng([self.seed, self.STREAM[stream], *more])

    def train(self, stage: str, trainer: Trainer, steps: int) -> None:
        """Take the steps of a stage."""
        self._run.train(f"{self._name}/{stage}", trainer, steps)

    def evaluate(self, ticks: int, measure: Measure) -> dict[str, NDArray]:
        """Return what `measure` returns; the stage is ``evaluation``."""
        return self._run.measure(f"{self._name}/evaluation", ticks, measure)

    def store(self, name: str, arrays: Mapping[str, NDArray]) -> None:
        """Put arrays into the last checkpoint."""
        self._run.arrays |= {f"{self._name}/{name}.{k}": v for k, v in arrays.items()}

    def print_trials(self, method: str, found: list[str], kept: int) -> None:
        """Show what each tuning trial of a method reached, and which one was kept."""
        for i, text in enumerate(found):
            mark = ", kept" if i == kept else ""
            self._run.progress.print(f"{method}, trial {i}: validation {text}{mark}")


def seeds_of(config: Any) -> range:
    """Return the seeds of a config."""
    return range(config.seed, config.seed + config.seeds)


def each_seed(config: Any, stages: Mapping[str, float]) -> dict[str, float]:
    """Return stages that every seed has, for all of them."""
    return {f"seed-{n}/{name}": took for n in seeds_of(config) for name, took in stages.items()}
