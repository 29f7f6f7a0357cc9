"""Settings of the study of Weight Sharing Attention."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from gatelearn.errors import UserError, suggest
from gatelearn.studies.agents import METHODS, AgentConfig
from gatelearn.wsa.pretraining import MODELS


@dataclass(frozen=True)
class Config:
    """Frozen pre-trained models combined for an agent, against learning from pixels."""

    games: tuple[str, ...] = ("Pong",)
    """Atari games."""
    methods: tuple[str, ...] = ("wsa", "end-to-end")
    """Some of wsa, concatenation, fixed, convolutional, mixed, dot-product, mean, single,
    end-to-end."""
    seed: int = 0
    """First seed."""
    seeds: int = 1
    """Number of seeds; each trains all agents. The models are trained once a game."""
    models: tuple[str, ...] = tuple(MODELS)
    """Pre-trained models."""
    context: str = "state"
    """The model that gives the context."""
    frames: int = 20_000
    """Frames of a random agent that the models are trained on."""
    pretraining_steps: int | None = None
    """Updates of each model; its own number by default, of about a minute."""
    encoders: Path | None = None
    """Folder with models from `gatelearn pretrain atari` instead: of one game, or with a folder for
    each."""
    agent: AgentConfig = field(default_factory=AgentConfig)
    """How agents learn."""
    early: float = 0.25
    """Share of the training whose mean return is called early."""
    episodes: int = 16
    """Episodes of the final evaluation."""

    def __post_init__(self):
        for name, values, known in (("methods", self.methods, METHODS),
                                    ("models", self.models, MODELS)):
            for value in values:
                if value not in known:
                    raise UserError(f"{name} has '{value}'{suggest(value, known)}")
        for name in ("games", "methods", "models"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise UserError(f"{name} is {values}, expected at least one, each once")
        if self.context not in self.models:
            raise UserError(f"context is '{self.context}'{suggest(self.context, self.models)}")
        if len(self.models) < 2:
            raise UserError(f"models is {self.models}, expected one beside the context")
        for name, least in (("seeds", 1), ("seed", 0), ("episodes", 2)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least {least}")
        if not 0 < self.early <= 1:
            raise UserError(f"early is {self.early}, expected above 0, at most 1")

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
            return replace(default, frames=2000, pretraining_steps=20, episodes=2,
                           agent=replace(default.agent, steps=8192))
        if name == "full":
            return replace(default, games=("Pong", "Breakout", "MsPacman"), methods=METHODS,
                           seeds=3, frames=100_000, pretraining_steps=5000, episodes=50,
                           agent=replace(default.agent, steps=2_500_000, width=512))
        raise UserError(f"preset is {name!r}, expected quick, default or full")
