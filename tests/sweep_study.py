"""A study for sweeps to try: it trains nothing, but stops, resumes and fails like one."""

from __future__ import annotations

import dataclasses
import enum
import os
import signal
import time
from pathlib import Path
from typing import Literal

import numpy as np

from gatelearn import get_num_threads
from gatelearn.errors import UserError
from gatelearn.runs import Progress, RunFolder, Table, next_folder, stop_on_signal, train_stage
from gatelearn.studies.result import Objective, Result

OBJECTIVE = Objective("inner.score", "maximize")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass(frozen=True)
class Gates:
    lr: float = 0.1
    rate: float = 0.0
    share: float = 0.5
    warm_up: int = 1


@dataclasses.dataclass(frozen=True)
class Other:
    rate: float = 0.0


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the study."""

    estimator: Literal["reinforce", "loo", "crash", "die", "nan", "missing"] = "reinforce"
    steps: int = 2
    """Steps of each run."""
    pause: float = 0.0
    """Seconds that a step takes."""
    seed: int = 0
    """Of the run."""
    bias: bool = False
    colour: Colour = Colour.RED
    text: Path | None = None
    heads: tuple[int, ...] = (1, 2)
    rates: tuple[float, float] = (0.5, 1.0)
    pairs: tuple[tuple[int, int], ...] = ()
    depth: int | None = None
    lr: float = 0.01
    gates: Gates = Gates()
    other: Other = Other()

    def __post_init__(self):
        if self.steps < 1:
            raise UserError(f"steps is {self.steps}, expected at least 1")

    @classmethod
    def preset(cls, name):
        if name not in ("quick", "default", "full"):
            raise UserError(f"preset is {name!r}, expected quick, default or full")
        return cls(steps={"quick": 1, "default": 2, "full": 100}[name])


class Trainer:
    def __init__(self, pause):
        self.pause, self.done, self.resumed_at = pause, 0, 0

    def step(self):
        time.sleep(self.pause)
        self.done += 1
        return {"done": float(self.done)}

    def state(self):
        return {"done": np.array(self.done)}, {}

    def load_state(self, arrays, meta):
        self.done = self.resumed_at = int(arrays["done"])


def run(config, *, out=None, resume=False, progress=True):
    if config.text is not None:
        raise UserError(f"text '{config.text}' is missing")
    trainer = Trainer(config.pause)
    with (RunFolder.create(out or next_folder("demo"), config, study="demo", resume=resume)
          as folder, stop_on_signal() as stop):
        with Progress({"train": 1.0}, quiet=not progress) as shown:
            train_stage(folder, "train", trainer, config.steps, progress=shown, stop=stop,
                        seconds=0.0)
        if config.estimator == "crash":
            raise ValueError("it diverged\nat once")
        if config.estimator == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        score = -(np.log10(config.lr) + 3) ** 2 - config.gates.lr + (config.estimator == "loo")
        summary = {"inner": {"score": float(score), "threads": get_num_threads()},
                   "loss": -float(score), "name": "demo", "done": trainer.done,
                   "resumed_at": trainer.resumed_at}
        if config.estimator == "nan":
            summary["inner"]["score"] = float("nan")
        if config.estimator == "missing":
            del summary["inner"]
        return Result(folder.path, Table([{"score": float(score)}]), summary, []).write(folder)
