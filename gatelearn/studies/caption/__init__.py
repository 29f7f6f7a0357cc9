"""Where to look while describing: soft, hard and mixed attention on grids of emoji.

Captioners as of Show, Attend and Tell learn to name the emoji of a grid in reading order. *Soft*
attention reads all regions before each word, *hard* attention a single one, drawn, and learns by
REINFORCE where; *mixed* attention tosses a coin. They are compared with *random* regions and with
the *mean* region, captioners of the same size that cannot choose, and hard attention is tuned on by
self-critical training. Each word has one right place, so where attention looked is judged, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gatelearn.hard import Captioner, CaptionTrainer
from gatelearn.studies.caption.config import CRITICAL, METHODS, Config
from gatelearn.studies.caption.encoder import EncoderTrainer, make_encoder
from gatelearn.studies.caption.evaluate import evaluate, measure
from gatelearn.studies.caption.report import CaptionResult, Measured, bleu4
from gatelearn.studies.result import Objective
from gatelearn.studies.runner import Part, Run, each_seed, seeds_of, start_run
from gatelearn.tasks import EmojiCaptions, sentence_bleu

__all__ = ["CaptionResult", "Config", "run"]

OBJECTIVE = Objective("validation_bleu4", "maximize")


def run(config: Config | None = None, *, out: str | Path | None = None, resume: bool = False,
        progress: bool = True) -> CaptionResult:
    """Run the study, by default with ``Config.preset("default")``; the rest is as in `start_run`.

    Raises
    ------
    MissingPackageError
        Without the packages that draw emoji.
    UserError
        Without the font, or if a setting cannot be used.
    """
    config = config or Config.preset("default")
    tasks, single = (EmojiCaptions(task, font=config.font)
                     for task in (config.task(), config.task(grid=1)))
    with start_run("caption", config, _stages(config), out=out, resume=resume,
                   progress=progress) as run:
        seeds = [_Seed(run, n, tasks, single).run() for n in seeds_of(config)]
        return run.finish(CaptionResult(run.folder, config, tasks, seeds))


def reward(captions: list[list[int]], references: list[list[int]]) -> list[float]:
    """Return the smoothed BLEU of each caption, for self-critical tuning."""
    return [sentence_bleu(c, [r]) for c, r in zip(captions, references, strict=True)]


def _stage(method: str, trial: int) -> str:
    return f"{'critical' if method == CRITICAL else method}-{trial}"


def _stages(config: Config) -> dict[str, float]:
    """Every stage with the seconds that it takes, roughly."""
    captions = config.batch * config.samples * config.grid**2 / 4
    stages = {"encoder": 0.03 * config.encoder_updates}
    for method in config.methods:
        for i in range(len(config.rates)):
            stages[_stage(method, i)] = 6e-4 * captions * config.updates
    if "hard" in config.methods and config.critical_updates:
        for i in range(len(config.rates)):
            stages[_stage(CRITICAL, i)] = 2e-3 * captions * config.critical_updates
    stages["evaluation"] = 0.01 * config.test_images * (config.timing_rounds + 3)
    return each_seed(config, stages)


class _Seed(Part):
    """One seed of the study: its encoder, its captioners, its measurements."""

    STREAM: ClassVar = {name: i for i, name in enumerate(
        ("encoder", "validation", "test", *METHODS, CRITICAL))}

    def __init__(self, run: Run, seed: int, tasks: EmojiCaptions, single: EmojiCaptions):
        super().__init__(run, seed)
        self.tasks, self.single = tasks, single
        self.validation: dict[str, float] = {}
        self.images = tasks.sample(self.rng("validation"), self.config.validation_images,
                                   split="validation")

    def run(self) -> Measured:
        config = self.config
        self.encoder = make_encoder(config)
        self.train("encoder", EncoderTrainer(self.encoder, self.single, config,
                                             self.rng("encoder")), config.encoder_updates)
        captioners = {method: self.best(method) for method in config.methods}
        if "hard" in captioners and config.critical_updates:
            captioners[CRITICAL] = self.best(CRITICAL, captioners["hard"])
        for method, captioner in captioners.items():
            self.store(_stage(method, 0)[:-2], captioner.named_parameters())
        batch = self.tasks.sample(self.rng("test"), config.test_images, split="test")
        arrays = self.measure(captioners, batch)
        return Measured(list(captioners), dict.fromkeys(captioners, len(config.rates)),
                        self.validation, next(iter(captioners.values())).params.size, arrays, batch)

    def best(self, method: str, begin: Captioner | None = None) -> Captioner:
        """Train a trial for each rate, from `begin` or anew; validation images choose."""
        trials = [self.trial(method, i, begin) for i in range(len(self.config.rates))]
        scores = [bleu4(measure(trial, self.tasks, self.images, self.config.map_shape,
                                self.rng("validation"))["counts"]) for trial in trials]
        best = int(np.argmax(scores))
        self.print_trials(method, [f"BLEU-4 {100 * score:.1f}" for score in scores], best)
        self.validation[method] = scores[best]
        return trials[best]

    def trial(self, method: str, i: int, begin: Captioner | None) -> Captioner:
        config = self.config
        captioner = Captioner(
            make_encoder(config), config.features, np.prod(config.map_shape),
            len(self.tasks.vocabulary), width=config.width, hidden=config.hidden,
            key_width=config.width, attention="hard" if method == CRITICAL else method,
            soft_share=config.soft_share, glance=config.glance).build(self.rng(method, i))
        own = captioner.named_parameters()
        source = begin.named_parameters() if begin else {
            f"encoder.{name}": value for name, value in self.encoder.named_parameters().items()}
        for name, value in source.items():
            own[name][...] = value
        trainer = CaptionTrainer(captioner, self.tasks.sample,
                                 config.training(method, config.rates[i], self.tasks.length),
                                 self.rng(method, i, 1), reward)
        steps = config.critical_updates if method == CRITICAL else config.updates
        self.train(_stage(method, i), trainer, steps)
        return captioner

    def measure(self, captioners: dict[str, Captioner], batch: Any) -> dict[str, np.ndarray]:
        rounds = self.config.timing_rounds
        return self.evaluate(len(captioners) + rounds + 1, lambda tick: evaluate(
            captioners, self.tasks, batch, self.config.map_shape, rounds, self.seed, tick))
