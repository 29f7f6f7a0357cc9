"""Settings of the gating study."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from gatelearn.errors import UserError
from gatelearn.studies.backbone import BackboneConfig


@dataclass(frozen=True)
class GatesConfig:
    """Training of the gates over a frozen backbone, and of its baselines."""

    updates: int = 800
    """PPO updates of a controller; also the gradient steps of the sigmoid baseline."""
    texts: int = 48
    """Texts an update."""
    samples: int = 4
    """Gate patterns drawn for each text; the others of a text are its baseline."""
    lr: float = 5e-3
    """Learning rate of controllers."""
    bound: float = 0.025
    """Gate probabilities stay in [bound, 1 - bound]."""
    penalties: tuple[float, ...] = (0.05, 0.1, 0.2)
    """Price of the whole gated work, in points of score; one tuning trial each."""
    sigmoid_penalties: tuple[float, ...] = (0.03, 0.1, 0.3)
    """The same for the sigmoid baseline, whose loss is cross-entropy; as many."""
    faithfulness: float = 0.0
    """Reward for attention mass on the evidence."""
    tolerance: float = 0.005
    """Loss of score that a trial may have to be chosen by the work it closes."""


@dataclass(frozen=True)
class Config:
    """Learning to gate: heads and blocks that open and close by input, trained by PPO."""

    text: Path | None = None
    """File or folder of text; the Python standard library's sources by default."""
    seed: int = 0
    """First seed."""
    seeds: int = 1
    """Number of seeds, each with its own backbone."""
    vocabulary: int = 1024
    """Words, special ones included."""
    length: int = 64
    """Words of a text."""
    hops: int = 2
    """Assignments in a chain."""
    test_texts: int = 200
    """Held-out texts of each task for the final scores."""
    validation_texts: int = 100
    """Texts of each task that choose between trials."""
    timing_rounds: int = 9
    """Rounds in which all methods are timed in turn."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    gates: GatesConfig = field(default_factory=GatesConfig)

    def __post_init__(self):
        for name in ("seeds", "test_texts", "validation_texts", "timing_rounds"):
            if getattr(self, name) < (2 if name.endswith("texts") else 1):
                raise UserError(f"{name} is {getattr(self, name)}, expected more")
        for name in ("steps", "batch", "width", "layers", "heads", "hidden"):
            if getattr(self.backbone, name) < 1:
                raise UserError(f"backbone.{name} is {getattr(self.backbone, name)}, "
                                "expected at least 1")
        if not 0 <= self.backbone.curriculum < 1:
            raise UserError(f"backbone.curriculum is {self.backbone.curriculum}, expected a share "
                            "below 1: the rest of the steps see the chains that are asked for")
        for name in ("updates", "texts"):
            if getattr(self.gates, name) < 1:
                raise UserError(f"gates.{name} is {getattr(self.gates, name)}, expected at least 1")
        if self.gates.samples < 2:
            raise UserError(f"gates.samples is {self.gates.samples}, expected at least 2: the "
                            "others of a text are its baseline")
        if not self.gates.penalties:
            raise UserError("gates.penalties is empty, expected at least one")
        if len(self.gates.penalties) != len(self.gates.sigmoid_penalties):
            raise UserError(
                f"gates.sigmoid_penalties has {len(self.gates.sigmoid_penalties)} values, expected "
                f"{len(self.gates.penalties)} as gates.penalties: all methods get as many trials")

    @classmethod
    def preset(cls, name: str) -> Config:
        """Return the settings of ``quick``, ``default`` or ``full``.

        Raises
        ------
        UserError
            If there is no such preset.
        """
        if name == "default":
            return cls()
        if name == "quick":
            return cls(
                test_texts=24, validation_texts=24, timing_rounds=3,
                backbone=BackboneConfig(steps=200),
                gates=GatesConfig(updates=60, penalties=(0.1,), sigmoid_penalties=(0.1,)))
        if name == "full":
            base = cls()
            return replace(
                base, seeds=5, hops=3, test_texts=400, validation_texts=200,
                backbone=replace(base.backbone, layers=4, steps=3000),
                gates=replace(base.gates, updates=600))
        raise UserError(f"preset is {name!r}, expected quick, default or full")
