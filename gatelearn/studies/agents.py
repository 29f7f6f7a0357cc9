"""The Atari agents that the studies of pre-trained models stand on.

Four models are trained on frames of a random agent and frozen. What combines them, and a policy
behind it, learn by PPO from their embeddings, which are computed once an observation; the
end-to-end agent learns from the frames themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gatelearn import wsa
from gatelearn.errors import UserError, suggest
from gatelearn.wsa.pretraining import MODELS

# what each method puts between the models' embeddings and the policy
COMBINATIONS: dict[str, Callable[[dict[str, int], int, str], wsa.Combination]] = {
    "wsa": lambda widths, width, context: wsa.Combiner(widths, width, context=context),
    "concatenation": lambda widths, width, context: wsa.Concatenation(widths, width),
    "fixed": lambda widths, width, context: wsa.FixedLinear(widths, width),
    "convolutional": lambda widths, width, context: wsa.Convolutional(widths, width),
    "mixed": lambda widths, width, context: wsa.Mixed(widths, width),
    "dot-product": lambda widths, width, context: wsa.DotProductAttention(widths, width,
                                                                          context=context),
    "mean": lambda widths, width, context: wsa.Mean(widths, width),
    "single": lambda widths, width, context: wsa.Single(widths, width, model=context),
}
METHODS = (*COMBINATIONS, "end-to-end")


@dataclass(frozen=True)
class ModelsConfig:
    """The pre-trained models."""

    names: tuple[str, ...] = tuple(MODELS)
    """Which ones."""
    context: str = "state"
    """The one whose embedding is the context that the others are scored in."""
    frames: int = 20_000
    """Frames of a random agent that they learn from."""
    steps: int = 600
    """Updates of each."""
    folder: Path | None = None
    """Where `gatelearn pretrain atari` left them, in a folder for each game, instead."""

    def __post_init__(self):
        for name in self.names:
            if name not in MODELS:
                raise UserError(f"names has '{name}'{suggest(name, MODELS)}")
        if not self.names or len(set(self.names)) < len(self.names):
            raise UserError(f"names is {self.names}, expected at least one, each once")
        if self.context not in self.names:
            raise UserError(f"context is '{self.context}'{suggest(self.context, self.names)}")
        for name, least in (("frames", 2000), ("steps", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least {least}")


@dataclass(frozen=True)
class AgentConfig:
    """How an agent learns: PPO, with the published settings for Atari unless said otherwise."""

    steps: int = 200_000
    """Steps of the agent, each of four frames."""
    envs: int = 8
    """Games played side by side."""
    rollout: int = 128
    """Steps of each between updates."""
    width: int = 256
    """Of the state that the models are combined into."""
    cnn_width: int = 512
    """Of the end-to-end agent's last layer."""
    lr: float = 2.5e-4
    """Learning rate; falls to 0 along a line."""
    epochs: int = 4
    """Passes over a rollout."""
    minibatches: int = 4
    """Parts of a pass."""
    clip: float = 0.1
    """How far probabilities may move in an update; falls to 0 as the rate does."""
    entropy: float = 0.01
    """Entropy bonus."""
    gamma: float = 0.99
    """Discount."""
    lam: float = 0.95
    """Of generalised advantage estimation."""

    def __post_init__(self):
        for name in ("steps", "envs", "rollout", "width", "cnn_width", "epochs", "minibatches"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name in ("gamma", "lam"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name)}, expected 0 to 1")

    @property
    def updates(self) -> int:
        return -(-self.steps // (self.envs * self.rollout))
