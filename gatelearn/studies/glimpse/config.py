"""Settings of the glimpse study."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from gatelearn.errors import UserError
from gatelearn.tasks import DIGIT_TASKS

Estimator = Literal["reinforce", "moving-average", "learned", "loo", "self-critical", "gumbel"]
Reward = Literal["correct", "log-probability"]


@dataclass(frozen=True)
class Config:
    """Where to look: recurrent attention trained by REINFORCE, against networks that see all."""

    tasks: tuple[str, ...] = ("cluttered-60",)
    """Of native, translated-60, translated-100, cluttered-60 and cluttered-100."""
    seed: int = 0
    """First seed."""
    seeds: int = 1
    """Number of seeds; each trains all networks."""
    estimator: Estimator = "loo"
    """Baseline of the reward: none (reinforce), a moving average, a learned one, the mean of the
    image's other samples (loo) or the reward of the likeliest places (self-critical). Or no
    reward but straight-through Gumbel-softmax over a grid of places (gumbel): strongly
    biased here, its places did not find the digit in short runs."""
    grid: int = 10
    """Places each way, for gumbel."""
    temperature: float = 1.0
    """Of the softened choice, for gumbel."""
    reward: Reward = "log-probability"
    """What the places are rewarded for: the right class, or its log-probability."""
    lr: float = 2e-3
    """Peak learning rate of the networks that glimpse; falls to 0 on a straight line."""
    std: float = 0.1
    """Standard deviation of places round their mean; the image is 2 wide."""
    explore: float = 0.5
    """The same at the beginning; falls to `std` over 70% of the steps."""
    samples: int = 4
    """Passes over each image in training."""
    glimpses: int = 6
    """Glimpses of an image."""
    patch: int = 8
    """Pixels of a patch, each way; half as many in native digits."""
    scales: int = 3
    """Patches of a glimpse, each of twice the width; one in native digits."""
    hidden: int = 128
    """Width of the recurrent core and of all other hidden layers."""
    location_weight: float = 0.3
    """Weight of the loss of the places."""
    detach: bool = False
    """Whether the core learns from the classifier alone, and not from the reward of the places."""
    steps: int = 5000
    """Training steps of the networks that glimpse."""
    batch: int = 32
    """Images a step; for places that need no training, as many again for each of `samples`."""
    whole_steps: int = 2000
    """Training steps of the networks that see the whole image."""
    whole_batch: int = 64
    """Images of such a step."""
    whole_lr: float = 3e-3
    """Their peak learning rate; falls to 0 by half a cosine."""
    weight_decay: float = 0.01
    """Of their matrices."""
    rates: tuple[float, ...] = (1.0,)
    """Factors of the learning rates; a tuning trial of each method for each."""
    renderings: int = 4
    """Images of each test digit."""
    validation_renderings: int = 4
    """Images of each validation digit; they choose between the trials."""
    timing_rounds: int = 9
    """Rounds in which all methods are timed in turn."""

    def __post_init__(self):
        for task in self.tasks:
            if task not in DIGIT_TASKS:
                raise UserError(f"tasks has '{task}', expected some of {', '.join(DIGIT_TASKS)}")
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise UserError(f"tasks is {self.tasks}, expected at least one, each once")
        for name in ("seeds", "glimpses", "patch", "scales", "hidden", "steps", "batch",
                     "whole_steps", "whole_batch", "renderings", "validation_renderings",
                     "timing_rounds", "samples", "grid"):
            least = 2 if (name, self.estimator) == ("samples", "loo") else 1
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least {least}")
        for name in ("lr", "std", "explore", "whole_lr", "temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}, expected a number above 0")
        for name in ("location_weight", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least 0")
        if not self.rates or not all(0 < rate < math.inf for rate in self.rates):
            raise UserError(f"rates is {self.rates}, expected at least one, all above 0")
        for name, known in (("estimator", get_args(Estimator)), ("reward", get_args(Reward))):
            if getattr(self, name) not in known:
                raise UserError(f"{name} is {getattr(self, name)!r}, expected one of "
                                f"{', '.join(known)}")

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
            return cls(tasks=("native", "cluttered-60"), steps=400, whole_steps=100, renderings=1,
                       validation_renderings=1, timing_rounds=3)
        if name == "full":
            return cls(tasks=("native", "translated-60", "cluttered-60", "cluttered-100"), seeds=3,
                       hidden=256, glimpses=8, steps=40_000, whole_steps=20_000,
                       rates=(0.5, 1.0))
        raise UserError(f"preset is {name!r}, expected quick, default or full")
