"""Training a controller over a frozen network by PPO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gatelearn.gating.controllers import Controller
from gatelearn.gating.faithfulness import evidence_mass
from gatelearn.nn import Transformer
from gatelearn.rl import PPO, PPOConfig, Rollout, leave_one_out


class Texts(Protocol):
    """A batch of texts with questions; `gatelearn.tasks.Batch` is one."""

    tokens: NDArray    # (B, T)
    query: NDArray     # (B, Q), -1 where unused
    answer: NDArray    # (B, Q)
    evidence: NDArray  # (B, Q, T)


def answer_scores(logits: NDArray, query: NDArray, answer: NDArray) -> NDArray:
    """Return each text's share of right answers, (B,), from logits (N, V) at its queries."""
    sample, slot = np.nonzero(query >= 0)
    right = logits.argmax(-1) == answer[sample, slot]
    count = np.bincount(sample, minlength=len(query))
    return np.bincount(sample, right, minlength=len(query)) / np.maximum(count, 1)


@dataclass(frozen=True)
class GateTrainerConfig:
    """Settings of `GateTrainer`."""

    texts: int = 48
    """Texts an update, B."""
    samples: int = 4
    """Gate patterns drawn for each text, S."""
    penalty: float = 0.1
    """Price of the whole gated work, in points of score."""
    faithfulness: float = 0.0
    """Reward for attention mass on the evidence; costs a pass that saves its attention."""
    lr: float = 5e-3
    """Learning rate."""
    epochs: int = 2
    """Passes over the patterns of an update."""
    entropy: float = 0.0
    """Entropy bonus."""
    normalise: bool = True
    """Divide a text's advantages by the spread of its returns."""


class GateTrainer:
    """Trains a controller by PPO [1]_: score - penalty * open work + faithfulness * evidence mass.

    The baseline of a pattern is the mean return of the text's other patterns (leave one out [2]_),
    which keeps the gradient unbiased. The advantages of a text are then divided by the spread of
    its returns, so that where every pattern answers alike, the price alone tells them apart; that
    weighs texts anew, and `normalise` turns it off. Work is charged in the step that opens it.

    Parameters
    ----------
    controller : Controller
        Built and standardised.
    net : Transformer
        Not changed.
    draw : callable
        ``draw(rng, n)`` returns n texts to train on.
    config : GateTrainerConfig
    rng : numpy.random.Generator
        Draws texts, gates and minibatches.

    References
    ----------
    .. [1] J. Schulman et al., "Proximal Policy Optimization Algorithms", 2017.
    .. [2] W. Kool, H. van Hoof and M. Welling, "Buy 4 REINFORCE Samples, Get a Baseline for Free!",
       2019.
    """

    def __init__(self, controller: Controller, net: Transformer,
                 draw: Callable[[np.random.Generator, int], Texts], config: GateTrainerConfig,
                 rng: np.random.Generator):
        self.controller, self.net, self.draw = controller, net, draw
        self.config, self.rng = config, rng
        self.algorithm = PPO(controller, None, controller.distribution,
                             PPOConfig(lr=config.lr, epochs=config.epochs, minibatches=1,
                                       entropy_coefficient=config.entropy,
                                       normalise_advantage=False))

    def step(self) -> dict[str, Any]:
        """Draw texts and patterns, score them, update the controller; return metrics."""
        config, net = self.config, self.net
        texts = self.draw(self.rng, config.texts)
        B, S = len(texts.tokens), config.samples
        tokens, query, answer = (np.repeat(a, S, 0)
                                 for a in (texts.tokens, texts.query, texts.answer))
        episode, saved = self.controller.run(net, tokens, query, self.rng,
                                             save=config.faithfulness > 0)
        score = answer_scores(episode.logits, query, answer)

        # what each step opened, as a share of all gated work
        price = net.work(tokens.shape[1])
        price = price / price.sum()
        steps = len(episode.actions)
        opened = (episode.gate * price).reshape(B * S, steps, -1).sum(-1).T
        reward = -config.penalty * opened
        reward[-1] += score
        if config.faithfulness > 0:
            mass = evidence_mass(net, saved, query, np.repeat(texts.evidence, S, 0))
            reward[-1] += config.faithfulness * np.nan_to_num(mass)

        # the return still to come, against that of the text's other patterns
        returns = np.cumsum(reward[::-1], 0)[::-1].reshape(steps, B, S)
        advantage = np.stack([leave_one_out(r.T).T for r in returns])
        if config.normalise:
            advantage /= returns.std(2, keepdims=True) + 0.01

        metrics = self.algorithm.update(Rollout(
            episode.observations, episode.actions, episode.logp,
            advantages=advantage.reshape(steps, B * S).astype(episode.logp.dtype)), self.rng)
        return {"reward": float(reward.sum(0).mean()), "score": float(score.mean()),
                "open": float(opened.sum(0).mean()), "entropy": metrics["entropy"],
                "approx_kl": metrics["approx_kl"],
                "text": f"score {100 * score.mean():.0f}%, {100 * opened.sum(0).mean():.0f}% open"}

    def state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Return everything that the next step depends on."""
        arrays = {f"controller.{k}": v for k, v in self.controller.state().items()}
        arrays |= {f"ppo.{k}": np.asarray(v) for k, v in self.algorithm.state().items()}
        return arrays, {"rng": self.rng.bit_generator.state}

    def load_state(self, arrays: dict[str, NDArray], meta: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        parts: dict[str, dict] = {"controller": {}, "ppo": {}}
        for name, value in arrays.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        self.controller.load_state(parts["controller"])
        self.algorithm.load_state(parts["ppo"])
        self.rng.bit_generator.state = meta["rng"]
