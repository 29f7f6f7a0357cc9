"""Settings of the study of attention bias."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from gatelearn.errors import UserError
from gatelearn.studies.backbone import BackboneConfig


@dataclass(frozen=True)
class Config:
    """Attention weight prediction: which positions matter, learned by reward or by gradient."""

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
    needle_queries: int = 2
    """Needles that a text asks for, of 8: what matters depends on the query."""
    chain_queries: int = 1
    """Chains that a text asks for, of 4."""
    updates: int = 500
    """Updates of a predictor."""
    texts: int = 32
    """Texts an update."""
    samples: int = 8
    """Choices drawn for each text; the others of a text are its baseline."""
    lr: float = 3e-3
    """Learning rate of the predictor; it falls on a straight line to 0."""
    hidden: int = 64
    """Hidden units of the predictor."""
    top_k: int = 0
    """Choose this many positions as a ranking; 0 lets each position be a choice of its own."""
    joint: bool = False
    """Train the backbone along; by default it is frozen."""
    penalties: tuple[float, ...] = (0.1, 0.2, 0.4)
    """Price of attending to all positions, in points of score; one tuning trial each."""
    gradient_penalties: tuple[float, ...] = (0.3, 1.0, 3.0)
    """The same by gradient, in nats of loss; as many."""
    tolerance: float = 0.015
    """Loss of score that a trial may have to be chosen by the positions it leaves out."""
    test_texts: int = 300
    """Held-out texts of each task for the final scores."""
    validation_texts: int = 100
    """Texts of each task that choose between trials."""
    timing_rounds: int = 5
    """Rounds in which all methods are timed in turn."""
    backbone: BackboneConfig = field(default_factory=lambda: BackboneConfig(steps=1000))

    def __post_init__(self):
        least = {"seeds": 1, "updates": 1, "texts": 1, "samples": 2, "hidden": 1, "top_k": 0,
                 "needle_queries": 1, "chain_queries": 1, "test_texts": 2, "validation_texts": 2,
                 "timing_rounds": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least {low}")
        if self.top_k >= self.length:
            raise UserError(f"top_k is {self.top_k}, expected below length = {self.length}")
        if not self.penalties:
            raise UserError("penalties is empty, expected at least one")
        if len(self.gradient_penalties) != len(self.penalties):
            raise UserError(
                f"gradient_penalties has {len(self.gradient_penalties)} values, expected "
                f"{len(self.penalties)} as penalties: all methods get as many trials")

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
            return cls(updates=80, penalties=(0.3,), gradient_penalties=(1.0,), test_texts=32,
                       validation_texts=24, timing_rounds=2, backbone=BackboneConfig(steps=220))
        if name == "full":
            base = cls()
            return replace(base, seeds=5, hops=3, updates=1000, test_texts=400,
                           backbone=replace(base.backbone, layers=4, steps=3000))
        raise UserError(f"preset is {name!r}, expected quick, default or full")
