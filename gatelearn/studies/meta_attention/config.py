"""Settings of the study of meta-learned attention."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gatelearn.errors import UserError


@dataclass(frozen=True)
class Config:
    """Meta-learned attention: how to find out, within a task, which position is rewarded."""

    text: Path | None = None
    """File or folder of text; the Python standard library's sources by default."""
    seed: int = 0
    """First seed."""
    seeds: int = 3
    """Number of seeds, each with its own training; the rules held out are the same."""
    vocabulary: int = 1024
    """Words, special ones included."""
    length: int = 20
    """Words of a text."""
    marks: int = 2
    """Different marks."""
    occurrences: int = 3
    """How often each mark stands in a text."""
    attempts: int = 12
    """Attempts at a task."""
    updates: int = 400
    """Updates of a policy."""
    tasks: int = 16
    """Tasks an update."""
    samples: int = 8
    """How often each is played; the others of a task are its baseline."""
    hidden: int = 24
    """Width of a recurrent state."""
    gamma: float = 0.9
    """How much a reward counts for the attempt before."""
    entropy: float = 0.003
    """Entropy bonus."""
    lrs: tuple[float, ...] = (0.005, 0.01, 0.02)
    """Learning rates; one tuning trial each."""
    ucb_widths: tuple[float, ...] = (0.0, 0.1, 0.5)
    """Width of the confidence bound of the UCB bandit; as many trials."""
    thompson_strengths: tuple[float, ...] = (0.3, 1.0, 3.0)
    """Weight of the prior of Thompson's bandit, in observations; as many trials."""
    test_tasks: int = 2000
    """Tasks of held-out rules for the final scores."""
    validation_tasks: int = 500
    """Tasks of other held-out rules that choose between trials."""

    def __post_init__(self):
        least = {"seeds": 1, "updates": 1, "tasks": 1, "samples": 2, "hidden": 1, "test_tasks": 2,
                 "validation_tasks": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least {low}")
        if not 0 <= self.gamma <= 1:
            raise UserError(f"gamma is {self.gamma}, expected 0 to 1")
        if not self.lrs:
            raise UserError("lrs is empty, expected at least one")
        for name in ("ucb_widths", "thompson_strengths"):
            values = getattr(self, name)
            if len(values) != len(self.lrs):
                raise UserError(f"{name} has {len(values)} values, expected {len(self.lrs)} as lrs:"
                                " all methods get as many trials")
            if min(values) < 0 or (name == "thompson_strengths" and min(values) == 0):
                raise UserError(f"{name} is {values}, expected numbers above 0, or 0 for a width")

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
            return cls(seeds=1, updates=200, lrs=(0.01,), ucb_widths=(0.0,),
                       thompson_strengths=(1.0,), test_tasks=500, validation_tasks=100)
        if name == "full":
            return replace(cls(), seeds=5, length=40, marks=3, occurrences=4, attempts=20,
                           updates=2000, test_tasks=4000)
        raise UserError(f"preset is {name!r}, expected quick, default or full")
