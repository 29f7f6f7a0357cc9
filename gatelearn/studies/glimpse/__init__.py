"""Where to look: recurrent attention trained by REINFORCE.

Networks name handwritten digits somewhere in large images, among pieces of other digits. One looks
at a few places that it learns to choose; it is compared with the same network at random places and
round the centre of mass, and with convolutional and fully connected networks of as many parameters
that see the whole image. Training images are drawn anew for each step; test digits are
in no training image.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gatelearn.runs import (
    Progress,
    RunFolder,
    StopFlag,
    measure_stage,
    next_folder,
    stop_on_signal,
    train_stage,
)
from gatelearn.studies.glimpse.config import Config
from gatelearn.studies.glimpse.evaluate import choose, draw_images, evaluate
from gatelearn.studies.glimpse.methods import (
    Glimpsing,
    Whole,
    make_net,
    make_trainer,
    mass_look,
    random_look,
)
from gatelearn.studies.glimpse.networks import (
    ClassifierTrainer,
    convolutional,
    dense,
    of_size,
    parameters,
    strided,
)
from gatelearn.studies.glimpse.report import GlimpseResult, Measured
from gatelearn.studies.result import Objective
from gatelearn.tasks import DIGIT_TASKS, Digits

__all__ = ["Config", "GlimpseResult", "run"]

OBJECTIVE = Objective("learned_validation_error", "minimize")

LOOKS: dict[str, Any] = {"learned": None, "random": random_look, "centre-of-mass": mass_look}
WHOLE = {"convolution": convolutional, "strided": strided, "dense": dense}
METHODS = (*LOOKS, *WHOLE)


def run(config: Config | None = None, *, out: str | Path | None = None, resume: bool = False,
        progress: bool = True) -> GlimpseResult:
    """Run the study.

    Parameters
    ----------
    config : Config, optional
        ``Config.preset("default")`` by default.
    out : path, optional
        New folder for the run; the next of ``runs/glimpse-1``, ``runs/glimpse-2`` ... by default.
    resume : bool, default False
        Continue the run in `out`.
    progress : bool, default True
        Show progress on standard error.

    Returns
    -------
    GlimpseResult
        Its `table`, `by_glimpses` and `summary`; ``plot()`` draws the figures.

    Raises
    ------
    UserError
        If a setting cannot be used, or the folder holds another run.
    MissingPackageError
        If scikit-learn, which has the digits, is not installed.
    KeyboardInterrupt
        After Ctrl-C, when the checkpoint is written.
    """
    config = config or Config.preset("default")
    tasks = {name: Digits.named(name) for name in config.tasks}
    with (RunFolder.create(out or next_folder("glimpse"), config, study="glimpse", resume=resume)
          as folder, stop_on_signal() as stop):
        with Progress(_stages(config, tasks), quiet=not progress) as shown:
            results, arrays = {}, {}
            for name, task in tasks.items():
                runs = [_Run(config, n, name, task, folder, shown, stop)
                        for n in range(config.seed, config.seed + config.seeds)]
                results[name] = [r.run() for r in runs]
                for r in runs:
                    arrays |= r.arrays
        folder.save_checkpoint(arrays, {"stage": "finished"})
        return GlimpseResult(folder, results).write(folder)


def _stages(config: Config, tasks: dict[str, Digits]) -> dict[str, float]:
    """Every stage with the seconds that it takes, roughly."""
    stages = {}
    for name, task in tasks.items():
        size, pixels = parameters(make_net(config, task.side)), task.side**2
        look = 1.3e-10 * config.steps * config.batch * config.samples * config.glimpses * size
        whole = config.whole_steps * config.whole_batch
        seconds = dict.fromkeys(LOOKS, look) | {
            "convolution": 9e-8 * whole * pixels, "strided": 3e-8 * whole * pixels,
            "dense": 4e-10 * whole * size}
        for n in range(config.seed, config.seed + config.seeds):
            for method in METHODS:
                for i in range(len(config.rates)):
                    stages[f"seed-{n}/{name}/{method}-{i}"] = seconds[method]
            stages[f"seed-{n}/{name}/evaluation"] = 1e-3 * config.renderings * 539 + 1
    return stages


class _Run:
    """One task under one seed: its networks and their measurements."""

    def __init__(self, config: Config, seed: int, name: str, task: Digits, folder: RunFolder,
                 progress: Progress, stop: StopFlag):
        self.config, self.seed, self.name, self.task = config, seed, name, task
        self.folder, self.progress, self.stop = folder, progress, stop
        self.arrays: dict[str, np.ndarray] = {}  # the networks that were kept

    def rng(self, method: str, *more: int) -> np.random.Generator:
        # stages never share draws
        where = list(DIGIT_TASKS).index(self.name), METHODS.index(method)
        return np.random.default_rng([self.seed, *where, *more])

    def run(self) -> Measured:
        validation = draw_images(self.task, "validation", self.config.validation_renderings,
                                 self.seed)
        methods, errors = {}, {}
        for name in METHODS:
            train = self.glimpsing if name in LOOKS else self.whole
            tried = [train(name, i) for i in range(len(self.config.rates))]
            best, tried_errors = choose(tried, validation)
            for i, error in enumerate(tried_errors):
                mark = ", kept" if i == best else ""
                self.progress.print(f"{self.name}, {name}, trial {i}: validation error "
                                    f"{error:.1f}%{mark}")
            methods[name], errors[name] = tried[best], tried_errors[best]
            self.arrays |= {f"seed-{self.seed}/{self.name}/{name}.{k}": v
                            for k, v in tried[best].net.named_parameters().items()}
        return Measured(self.name, self.task.side, methods, len(self.config.rates), errors,
                        self.measure(methods))

    def glimpsing(self, name: str, trial: int) -> Glimpsing:
        config, look = self.config, LOOKS[name]
        net = make_net(config, self.task.side).build(self.rng(name, trial))
        trainer = make_trainer(net, self.task, config, config.rates[trial],
                               self.rng(name, trial, 1), look)
        self.train(f"{name}-{trial}", trainer, config.steps)
        return Glimpsing(net, look)

    def whole(self, name: str, trial: int) -> Whole:
        config, side = self.config, self.task.side
        make: Callable = WHOLE[name]
        net = of_size(lambda hidden: make(side, hidden), parameters(make_net(config, side)))
        net.build(self.rng(name, trial))
        trainer = ClassifierTrainer(
            net, self.task, config.whole_steps, config.whole_batch,
            config.whole_lr * config.rates[trial], config.weight_decay, self.rng(name, trial, 1))
        self.train(f"{name}-{trial}", trainer, config.whole_steps)
        return Whole(net)

    def train(self, name: str, trainer: Any, steps: int) -> None:
        train_stage(self.folder, f"seed-{self.seed}/{self.name}/{name}", trainer, steps,
                    progress=self.progress, stop=self.stop)

    def measure(self, methods: dict[str, Any]) -> dict[str, np.ndarray]:
        renderings, rounds = self.config.renderings, self.config.timing_rounds

        def measured(tick: Callable[[str], None]) -> dict[str, np.ndarray]:
            images = draw_images(self.task, "test", renderings, self.seed)
            return evaluate(methods, images, renderings, rounds, tick)

        return measure_stage(self.folder, f"seed-{self.seed}/{self.name}/evaluation",
                             len(methods) + rounds + 1, measured, progress=self.progress,
                             stop=self.stop)
