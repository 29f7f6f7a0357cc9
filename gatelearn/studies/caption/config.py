"""Settings of the caption study."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gatelearn.errors import UserError
from gatelearn.hard import CaptionTrainerConfig
from gatelearn.tasks import EmojiConfig

METHODS = ("soft", "hard", "mixed", "random", "mean")
CRITICAL = "hard, self-critical"


@dataclass(frozen=True)
class Config:
    """Where to look while describing: soft, hard and mixed attention on grids of emoji."""

    seed: int = 0
    """First seed."""
    seeds: int = 1
    """Number of seeds, each with its own encoder."""
    attention: Literal["all", "soft", "hard", "mixed", "random", "mean"] = "all"
    """Which captioner to train; "all" compares them."""
    baseline: Literal["loo", "moving", "mean", "none"] = "loo"
    """Of REINFORCE for the choices: the mean of an image's other samples, a moving average, the
    batch's mean or nothing."""
    samples: int = 2
    """How often choices are drawn for each image of an update; soft and mean attention need one."""
    lr: float = 4e-3
    """Learning rate; it falls on a straight line to 0."""
    rates: tuple[float, ...] = (1.0,)
    """Factors of the learning rate, each a tuning trial of every method."""
    entropy: float = 0.003
    """Bonus for the entropy of attention that is drawn."""
    doubly_stochastic: float = 0.0
    """Weight of the regulariser that asks every region to be looked at once in a caption."""
    discount: float = 0.5
    """How much of a word's likelihood the choice for the word before it is credited with."""
    soft_share: float = 0.5
    """Share of captions that mixed attention is taught softly."""
    glance: bool = False
    """Whether the first state of the decoder comes from the mean region."""
    updates: int = 3000
    """Of each captioner."""
    batch: int = 48
    """Images an update; captions of one sample see `samples` times as many."""
    critical_updates: int = 100
    """Of self-critical tuning after hard attention; 0 leaves it out."""
    critical_lr: float = 1e-4
    """Its learning rate."""
    encoder_updates: int = 300
    """In which the encoder learns to tell single emoji, before there are captions."""
    encoder_lr: float = 3e-3
    """Its learning rate."""
    channels: int = 16
    """Of the encoder's first layer; the second has twice as many."""
    features: int = 64
    """Of a region."""
    width: int = 64
    """Of word embeddings and of queries and keys."""
    hidden: int = 128
    """Of the LSTM."""
    emoji: int | None = 48
    """How many different ones; None takes all that the font draws."""
    grid: int = 2
    """Rows and columns of cells, with an emoji or without."""
    cell: int = 16
    """Pixels along a side of a cell, a multiple of 8; a region is 8 pixels wide."""
    noise: float = 0.02
    """Standard deviation of the noise on every pixel."""
    test_images: int = 400
    """Held-out images of the final scores."""
    validation_images: int = 200
    """Images that choose between trials."""
    timing_rounds: int = 5
    """Rounds in which all methods are timed in turn."""
    font: Path | None = None
    """The file NotoColorEmoji.ttf; by default it is looked for."""

    def __post_init__(self):
        for name, least in {"seeds": 1, "updates": 1, "encoder_updates": 1, "critical_updates": 0,
                            "channels": 1, "features": 1, "width": 1, "hidden": 1, "test_images": 2,
                            "validation_images": 2, "timing_rounds": 1, "samples": 1,
                            "batch": 1}.items():
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least {least}")
        for name in ("lr", "critical_lr", "encoder_lr"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UserError(f"{name} is {getattr(self, name)}, expected a positive number")
        if not self.rates or not all(0 < rate < float("inf") for rate in self.rates):
            raise UserError(f"rates is {self.rates}, expected positive numbers")
        if self.baseline == "loo" and self.samples < 2:
            raise UserError("samples is 1, expected at least 2 for the baseline loo: the others of "
                            "an image are its baseline")
        for name in ("soft_share", "discount"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name)}, expected a share from 0 to 1")
        if self.cell < 8 or self.cell % 8:
            raise UserError(f"cell is {self.cell}, expected a multiple of 8")
        self.task()

    @property
    def methods(self) -> tuple[str, ...]:
        """tuple of str : those to compare, without self-critical tuning."""
        return METHODS if self.attention == "all" else (self.attention,)

    @property
    def main(self) -> str:
        """str : the method that a sweep judges."""
        return "hard" if self.attention == "all" else self.attention

    @property
    def map_shape(self) -> tuple[int, int]:
        """pair of int : regions of an image, in rows and columns."""
        return (self.grid * self.cell // 8,) * 2

    def task(self, grid: int | None = None) -> EmojiConfig:
        """Return the images' settings; with a `grid` of 1, those of single emoji.

        Raises
        ------
        UserError
            If they make no images.
        """
        grid = self.grid if grid is None else grid
        sizes = tuple(range(self.cell - max(1, self.cell // 5), self.cell + 1))
        return EmojiConfig(emoji=self.emoji, grid=grid, cell=self.cell, least=min(2, grid**2),
                           sizes=sizes, noise=self.noise)

    def training(self, method: str, rate: float, limit: int) -> CaptionTrainerConfig:
        """Return how a method is trained, in the trial with this factor of the learning rate."""
        if method == CRITICAL:
            return CaptionTrainerConfig(
                objective="self-critical", batch=self.batch, samples=self.samples, limit=limit,
                lr=self.critical_lr * rate, anneal=self.critical_updates, entropy=0.0)
        drawn = method in ("hard", "mixed")
        # as many captions an update for all, whether the same image's or others'
        samples = self.samples if drawn else 1
        return CaptionTrainerConfig(
            batch=self.batch * self.samples // samples, samples=samples, limit=limit,
            lr=self.lr * rate, anneal=self.updates, baseline=self.baseline if drawn else "none",
            discount=self.discount, entropy=self.entropy if drawn else 0.0,
            doubly_stochastic=self.doubly_stochastic)

    @classmethod
    def preset(cls, name: str) -> Config:
        """Return the settings of ``quick``, ``default`` or ``full``.

        Raises
        ------
        UserError
            If there is no such preset.
        """
        default = cls()
        if name == "default":
            return default
        if name == "quick":
            return replace(default, updates=60, critical_updates=5, encoder_updates=60, emoji=24,
                           test_images=60, validation_images=40, timing_rounds=2)
        if name == "full":
            return replace(default, seeds=5, rates=(0.5, 1.0, 2.0), updates=20_000, batch=64,
                           critical_updates=1000, encoder_updates=5000, emoji=None, grid=3, cell=24,
                           channels=32, features=128, width=128, hidden=256, test_images=2000,
                           validation_images=500)
        raise UserError(f"preset is {name!r}, expected quick, default or full")
