"""A stage of training that checkpoints, resumes and stops."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from .folder import RunFolder
from .progress import Progress, StopFlag


class Trainer(Protocol):
    """What `train_stage` drives. Its state is all that its steps depend on."""

    def step(self) -> dict[str, float]:
        """Take one step and return what is to be logged, or nothing."""

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return arrays and a JSON-like dict, from which `load_state` restores every bit."""

    def load_state(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Continue from what `state` returned."""


def measure_stage(folder: RunFolder, name: str, ticks: int,
                  measure: Callable[[Callable[[str], None]], dict[str, np.ndarray]], *,
                  progress: Progress, stop: StopFlag) -> dict[str, np.ndarray]:
    """Return what `measure` returns, from the folder if the stage has finished.

    Parameters
    ----------
    folder : RunFolder
    name : str
        Of the stage.
    ticks : int
        How many parts it has.
    measure : callable
        ``measure(tick)`` returns arrays by name; it calls ``tick(text)`` before each part.
    progress : Progress
        Where the stage is listed under its name.
    stop : StopFlag
        When set, the next tick ends the stage; it has no checkpoints.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    KeyboardInterrupt
        After `stop` was set.
    """
    done = folder.load_stage(name)
    if done is not None:
        progress.skip(name)
        return done.arrays
    with progress.stage(name, ticks) as bar:
        count = iter(range(ticks))

        def tick(text: str) -> None:
            if stop:
                raise KeyboardInterrupt
            bar.update(next(count), text)

        arrays = measure(tick)
    folder.save_stage(name, arrays, {})
    return arrays


def train_stage(
    folder: RunFolder,
    name: str,
    trainer: Trainer,
    steps: int,
    *,
    progress: Progress,
    stop: StopFlag,
    seconds: float = 15.0,
) -> None:
    """Take the steps of a stage, from wherever an earlier run left it.

    A finished stage is loaded instead. The metrics that `trainer.step` returns are logged; those
    named ``text`` (a string) and ``at`` (a step number other than the count of steps) are not.

    Parameters
    ----------
    folder : RunFolder
    name : str
        Of the stage.
    trainer : Trainer
        At its beginning; afterwards at its end.
    steps : int
    progress : Progress
        Where the stage is listed under its name.
    stop : StopFlag
        When set, a checkpoint is saved.
    seconds : float, default 15
        Between checkpoints.

    Raises
    ------
    KeyboardInterrupt
        After `stop` was set.
    """
    done = folder.load_stage(name)
    if done is not None:
        trainer.load_state(done.arrays, done.meta)
        progress.skip(name)
        return
    start = 0
    checkpoint = folder.load_checkpoint()
    if checkpoint is not None and checkpoint.meta["stage"] == name:
        start = checkpoint.meta["step"]
        trainer.load_state(checkpoint.arrays, checkpoint.meta["trainer"])

    with progress.stage(name, steps, start=start) as bar:
        saved = time.monotonic()
        for step in range(start, steps):
            metrics = trainer.step()
            text = metrics.pop("text", "")
            if metrics:
                folder.log(name, int(metrics.pop("at", step + 1)), **metrics)
            bar.update(step + 1, text)
            if stop or time.monotonic() - saved > seconds:
                arrays, meta = trainer.state()
                folder.save_checkpoint(arrays, {"stage": name, "step": step + 1, "trainer": meta})
                saved = time.monotonic()
                if stop:
                    raise KeyboardInterrupt
    arrays, meta = trainer.state()
    folder.save_stage(name, arrays, meta)
