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
from gatelearn.studies.runner import Part, Run, each_seed, seeds_of, start_run
from gatelearn.tasks import DIGIT_TASKS, Digits

__all__ = ["Config", "GlimpseResult", "run"]

OBJECTIVE = Objective("learned_validation_error", "minimize")

LOOKS: dict[str, Any] = {"learned": None, "random": random_look, "centre-of-mass": mass_look}
WHOLE = {"convolution": convolutional, "strided": strided, "dense": dense}
METHODS = (*LOOKS, *WHOLE)


def run(config: Config | None = None, *, out: str | Path | None = None, resume: bool = False,
        progress: bool = True) -> GlimpseResult:
    """Run the study, by default with ``Config.preset("default")``; the rest is as in `start_run`.

    Raises
    ------
    UserError
        If a setting cannot be used.
    MissingPackageError
        If scikit-learn, which has the digits, is not installed.
    """
    config = config or Config.preset("default")
    tasks = {name: Digits.named(name) for name in config.tasks}
    with start_run("glimpse", config, _stages(config, tasks), out=out, resume=resume,
                   progress=progress) as run:
        results = {name: [_Task(run, n, name, task).run() for n in seeds_of(config)]
                   for name, task in tasks.items()}
        return run.finish(GlimpseResult(run.folder, results))


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
        for method in METHODS:
            for i in range(len(config.rates)):
                stages[f"{name}/{method}-{i}"] = seconds[method]
        stages[f"{name}/evaluation"] = 1e-3 * config.renderings * 539 + 1
    return each_seed(config, stages)


class _Task(Part):
    """One task under one seed: its networks and their measurements."""

    def __init__(self, run: Run, seed: int, name: str, task: Digits):
        super().__init__(run, seed, name)
        self.name, self.task = name, task

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
            self.print_trials(f"{self.name}, {name}",
                              [f"error {error:.1f}%" for error in tried_errors], best)
            methods[name], errors[name] = tried[best], tried_errors[best]
            self.store(name, tried[best].net.named_parameters())
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

    def measure(self, methods: dict[str, Any]) -> dict[str, np.ndarray]:
        renderings, rounds = self.config.renderings, self.config.timing_rounds

        def measured(tick: Callable[[str], None]) -> dict[str, np.ndarray]:
            images = draw_images(self.task, "test", renderings, self.seed)
            return evaluate(methods, images, renderings, rounds, tick)

        return self.evaluate(len(methods) + rounds + 1, measured)
