"""Where to look while describing: soft, hard and mixed attention on grids of emoji.

Captioners as of Show, Attend and Tell learn to name the emoji of a grid in reading order. *Soft*
attention reads all regions before each word, *hard* attention a single one, drawn, and learns by
REINFORCE where; *mixed* attention tosses a coin. They are compared with *random* regions and with
the *mean* region, captioners of the same size that cannot choose, and hard attention is tuned on by
self-critical training. Each word has one right place, so where attention looked is judged, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gatelearn.hard import Captioner, CaptionTrainer
from gatelearn.runs import (
    Progress,
    RunFolder,
    StopFlag,
    measure_stage,
    next_folder,
    stop_on_signal,
    train_stage,
)
from gatelearn.studies.caption.config import CRITICAL, METHODS, Config
from gatelearn.studies.caption.encoder import EncoderTrainer, make_encoder
from gatelearn.studies.caption.evaluate import evaluate, measure
from gatelearn.studies.caption.report import CaptionResult, Measured, bleu4
from gatelearn.studies.result import Objective
from gatelearn.tasks import EmojiCaptions, sentence_bleu

__all__ = ["CaptionResult", "Config", "run"]

OBJECTIVE = Objective("validation_bleu4", "maximize")

# what a stage's generator is seeded with beside the run's seed: stages never share draws
STREAM = {name: i for i, name in enumerate(("encoder", "validation", "test", *METHODS, CRITICAL))}


def run(config: Config | None = None, *, out: str | Path | None = None, resume: bool = False,
        progress: bool = True) -> CaptionResult:
    """Run the study.

    Parameters
    ----------
    config : Config, optional
        ``Config.preset("default")`` by default.
    out : path, optional
        New folder for the run; the next of ``runs/caption-1``, ``runs/caption-2`` ... by default.
    resume : bool, default False
        Continue the run in `out`.
    progress : bool, default True
        Show progress on standard error.

    Returns
    -------
    CaptionResult
        Its `table` and `summary`; ``plot()`` draws the figures.

    Raises
    ------
    MissingPackageError
        Without the packages that draw emoji.
    UserError
        Without the font, if a setting cannot be used, or if the folder holds another run.
    KeyboardInterrupt
        After Ctrl-C, when the checkpoint is written.
    """
    config = config or Config.preset("default")
    tasks, single = (EmojiCaptions(task, font=config.font)
                     for task in (config.task(), config.task(grid=1)))
    with (RunFolder.create(out or next_folder("caption"), config, study="caption", resume=resume)
          as folder, stop_on_signal() as stop):
        with Progress(_stages(config), quiet=not progress) as shown:
            seeds, arrays = [], {}
            for n in range(config.seed, config.seed + config.seeds):
                seed = _Seed(config, n, tasks, single, folder, shown, stop)
                seeds.append(seed.run())
                arrays |= seed.arrays
        folder.save_checkpoint(arrays, {"stage": "finished"})
        return CaptionResult(folder, config, tasks, seeds).write(folder)


def reward(captions: list[list[int]], references: list[list[int]]) -> list[float]:
    """Return the smoothed BLEU of each caption, for self-critical tuning."""
    return [sentence_bleu(c, [r]) for c, r in zip(captions, references, strict=True)]


def _stage(method: str, trial: int) -> str:
    return f"{'critical' if method == CRITICAL else method}-{trial}"


def _stages(config: Config) -> dict[str, float]:
    """Every stage with the seconds that it takes, roughly."""
    captions = config.batch * config.samples * config.grid**2 / 4
    stages = {}
    for n in range(config.seed, config.seed + config.seeds):
        stages[f"seed-{n}/encoder"] = 0.03 * config.encoder_updates
        for method in config.methods:
            for i in range(len(config.rates)):
                stages[f"seed-{n}/{_stage(method, i)}"] = 6e-4 * captions * config.updates
        if "hard" in config.methods and config.critical_updates:
            for i in range(len(config.rates)):
                stage = f"seed-{n}/{_stage(CRITICAL, i)}"
                stages[stage] = 2e-3 * captions * config.critical_updates
        stages[f"seed-{n}/evaluation"] = 0.01 * config.test_images * (config.timing_rounds + 3)
    return stages


class _Seed:
    """One seed of the study: its encoder, its captioners, its measurements."""

    def __init__(self, config: Config, seed: int, tasks: EmojiCaptions, single: EmojiCaptions,
                 folder: RunFolder, progress: Progress, stop: StopFlag):
        self.config, self.seed, self.tasks, self.single = config, seed, tasks, single
        self.folder, self.progress, self.stop = folder, progress, stop
        self.arrays: dict[str, np.ndarray] = {}  # the captioners, for the last checkpoint
        self.validation: dict[str, float] = {}
        self.images = tasks.sample(self.rng("validation"), config.validation_images,
                                   split="validation")

    def rng(self, stream: str, *more: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, STREAM[stream], *more])

    def train(self, stage: str, trainer: Any, steps: int) -> None:
        train_stage(self.folder, f"seed-{self.seed}/{stage}", trainer, steps,
                    progress=self.progress, stop=self.stop)

    def run(self) -> Measured:
        config = self.config
        self.encoder = make_encoder(config)
        self.train("encoder", EncoderTrainer(self.encoder, self.single, config,
                                             self.rng("encoder")), config.encoder_updates)
        captioners = {method: self.best(method) for method in config.methods}
        if "hard" in captioners and config.critical_updates:
            captioners[CRITICAL] = self.best(CRITICAL, captioners["hard"])
        for method, captioner in captioners.items():
            name = f"seed-{self.seed}/{_stage(method, 0)[:-2]}"
            self.arrays |= {f"{name}.{k}": v for k, v in captioner.named_parameters().items()}
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
        for i, score in enumerate(scores):
            mark = ", kept" if i == best else ""
            self.progress.print(f"{method}, trial {i}: validation BLEU-4 {100 * score:.1f}{mark}")
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
        return measure_stage(
            self.folder, f"seed-{self.seed}/evaluation", len(captioners) + rounds + 1,
            lambda tick: evaluate(captioners, self.tasks, batch, self.config.map_shape, rounds,
                                  self.seed, tick),
            progress=self.progress, stop=self.stop)
