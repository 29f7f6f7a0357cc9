"""The Atari agents that the studies of pre-trained models stand on.

What combines frozen models, and a policy behind it, learn by PPO from the models' embeddings, which
are computed once an observation. The end-to-end agent learns from the frames themselves.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn import nn, rl, wsa
from gatelearn.errors import UserError
from gatelearn.tasks import Atari


def _mixed(widths: dict[str, int]) -> wsa.Mixed:
    vectors = [name for name, width in widths.items() if width % 16**2]
    # some have to be maps, and some not: then every second one
    return wsa.Mixed(widths, vectors=vectors if 0 < len(vectors) < len(widths)
                     else list(widths)[1::2])


COMBINATIONS: dict[str, Callable[[dict[str, int], int, str], wsa.Combination]] = {
    "wsa": lambda widths, width, context: wsa.Combiner(widths, width, context=context),
    "concatenation": lambda widths, width, context: wsa.Concatenation(widths, width),
    "fixed": lambda widths, width, context: wsa.FixedLinear(widths, width),
    "convolutional": lambda widths, width, context: wsa.Convolutional(widths),
    "mixed": lambda widths, width, context: _mixed(widths),
    "dot-product": lambda widths, width, context: wsa.DotProductAttention(
        widths, width, context=context),
    "mean": lambda widths, width, context: wsa.Mean(widths, width),
    "single": lambda widths, width, context: wsa.Single(widths, width, model=context),
}
"""What each method puts between the models' embeddings and the policy."""

METHODS = (*COMBINATIONS, "end-to-end")


@dataclass(frozen=True)
class AgentConfig:
    """How an agent learns: PPO, with the published settings for Atari unless it says otherwise."""

    steps: int = 200_000
    """Steps of the agent, each of four frames."""
    envs: int = 8
    """Games played side by side."""
    rollout: int = 128
    """Steps of each between updates."""
    width: int = 256
    """Of the state that the models are combined into."""
    lr: float = 2.5e-4
    """Learning rate; falls to 0 along a line."""
    epochs: int = 4
    """Passes over a rollout."""
    minibatches: int = 4
    """Parts of a pass."""
    clip: float = 0.1
    """How far probabilities may move in an update; falls as the rate does."""
    entropy: float = 0.01
    """Entropy bonus."""
    gamma: float = 0.99
    """Discount."""
    lam: float = 0.95
    """Of generalised advantage estimation."""

    def __post_init__(self):
        for name in ("steps", "envs", "rollout", "width", "epochs", "minibatches"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name in ("gamma", "lam"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name)}, expected 0 to 1")
        for name in ("lr", "clip"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} is {getattr(self, name)}, expected a number above 0")

    @property
    def updates(self) -> int:
        """How many updates the steps make."""
        return -(-self.steps // (self.envs * self.rollout))

    def ppo(self) -> rl.PPOConfig:
        """Return the settings of PPO."""
        return rl.PPOConfig(
            clip=self.clip, epochs=self.epochs, minibatches=self.minibatches, lr=self.lr,
            anneal=self.updates, anneal_clip=True, entropy_coefficient=self.entropy,
            gamma=self.gamma, lam=self.lam)


def make_network(method: str, widths: dict[str, int], context: str, actions: int,
                 config: AgentConfig) -> rl.ActorCritic:
    """Return the unbuilt network of a method of `METHODS`.

    Parameters
    ----------
    method : str
    widths : dict of str to int
        Of the models' embeddings.
    context : str
        The model that gives the context, where the method has one.
    actions : int
    config : AgentConfig
    """
    trunk: nn.Layer
    if method == "end-to-end":
        trunk = nn.nature_cnn()
        width = 512
    else:
        trunk = COMBINATIONS[method](widths, config.width, context)
        width = trunk.width
    return rl.ActorCritic(trunk, nn.Linear(width, actions, gain=0.01), nn.Linear(width, 1))


class AgentTrainer:
    """An agent that learns to play a game; `gatelearn.runs.train_stage` drives it.

    Parameters
    ----------
    network : rl.ActorCritic
        Built.
    game : Atari
    config : AgentConfig
    rng : numpy.random.Generator
    seed : int
        Of the game.
    encode : callable, optional
        From frames to features; None for the end-to-end agent.
    """

    def __init__(self, network: rl.ActorCritic, game: Atari, config: AgentConfig,
                 rng: np.random.Generator, seed: int,
                 encode: Callable[[NDArray], NDArray] | None = None):
        self.config, self.rng = config, rng
        self.ppo = rl.PPO(network, None, rl.Categorical(), config.ppo())
        self.runner = rl.VectorRunner(game.make(config.envs), seed=seed, encode=encode,
                                      clip_reward=True)
        self.recent: deque[float] = deque(maxlen=20)  # returns
        self.seconds = 0.0

    def step(self) -> dict[str, Any]:
        """Play a rollout, learn from it; return metrics."""
        began = time.perf_counter()
        rollout = self.runner.collect(self.ppo, self.config.rollout, self.rng)
        learned = self.ppo.update(rollout, self.rng)
        self.seconds += time.perf_counter() - began
        self.recent.extend(self.runner.take_episodes().returns.tolist())

        metrics: dict[str, Any] = {"at": self.runner.steps * self.config.envs, **learned}
        if self.recent:
            metrics["return"] = float(np.mean(self.recent))
        trunk = self.ppo.policy.network.trunk
        if isinstance(trunk, wsa.Combination):
            # of the last step of all games: a forward pass of a few rows
            weights = trunk.forward(rollout.observations[-1])[1].weights
            if weights is not None:
                metrics |= {f"weight/{name}": float(w)
                            for name, w in zip(trunk.widths, weights.mean(0), strict=True)}
        shown = f"return {metrics['return']:.1f}" if self.recent else "no game has ended yet"
        return metrics | {"text": shown}

    def state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Return everything that the next step depends on."""
        parts = {"ppo": self.ppo.state(), "runner": self.runner.state()}
        arrays = {f"{part}.{k}": np.asarray(v) for part, state in parts.items()
                  for k, v in state.items()}
        return arrays | {"recent": np.array(self.recent, np.float64)}, {
            "rng": self.rng.bit_generator.state, "seconds": self.seconds}

    def load_state(self, arrays: dict[str, NDArray], meta: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        for part in (self.ppo, self.runner):
            name = "ppo." if part is self.ppo else "runner."
            part.load_state({k.removeprefix(name): v for k, v in arrays.items()
                             if k.startswith(name)})
        self.recent = deque(arrays["recent"].tolist(), maxlen=self.recent.maxlen)
        self.rng.bit_generator.state, self.seconds = meta["rng"], meta["seconds"]


def play(network: rl.ActorCritic, game: Atari, episodes: int, seed: int,
         encode: Callable[[NDArray], NDArray] | None = None) -> NDArray[np.float64]:
    """Return the returns of whole episodes; actions are drawn from the policy.

    Parameters
    ----------
    network : rl.ActorCritic
    game : Atari
    episodes : int
        As many, or a few more: each of several games side by side plays equally many.
    seed : int
        Of game and actions.
    encode : callable, optional
        From frames to features.
    """
    rng, policy = np.random.default_rng([seed, 1]), rl.Categorical()
    return _play(game, lambda seen: policy.sample(network.forward(seen)[0][0], rng), episodes,
                 seed, encode)


def play_at_random(game: Atari, episodes: int, seed: int) -> NDArray[np.float64]:
    """Return the returns of an agent that acts at random."""
    rng, actions = np.random.default_rng([seed, 2]), len(game.actions)
    return _play(game, lambda seen: rng.integers(actions, size=len(seen)), episodes, seed)


def _play(game: Atari, act: Callable[[NDArray], NDArray], episodes: int, seed: int,
          encode: Callable[[NDArray], NDArray] | None = None) -> NDArray[np.float64]:
    envs = min(8, episodes)
    return rl.evaluate(game.make(envs), act, -(-episodes // envs), seed=seed,
                       encode=encode).ravel()
