"""Training the recurrent attention model: gradient descent for what it names, RL for the places."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gatelearn import functional as F
from gatelearn import rl
from gatelearn.errors import UserError
from gatelearn.hard.recurrent_attention import RecurrentAttention
from gatelearn.nn import AdamW

BASELINES = ("none", "moving-average", "learned", "loo", "self-critical")
REWARDS = ("correct", "log-probability")

# what draws labelled images, ((B, C, H, W), (B,)), and places, (T, B, M, 2)
Draw = Callable[[np.random.Generator, int], tuple[NDArray, NDArray]]
Look = Callable[[np.random.Generator, NDArray, int, int], NDArray]


@dataclass(frozen=True)
class RecurrentAttentionConfig:
    """Settings of `RecurrentAttentionTrainer`."""

    batch: int = 64
    """Images an update, B."""
    samples: int = 4
    """Passes over each image, M."""
    lr: float = 1e-3
    """Learning rate."""
    anneal: int | None = None
    """Updates over which it falls on a straight line to 0; None keeps it."""
    baseline: str = "loo"
    """What is taken from the reward: "none", "moving-average", "learned" (the network's own, one
    number a step), "loo" (mean of the image's other passes) or "self-critical" (the reward of the
    likeliest places)."""
    reward: str = "correct"
    """Of a pass: "correct", 1 or 0 for the class, or "log-probability", of the right class."""
    location_weight: float = 1.0
    """Weight of the loss of the places."""
    baseline_weight: float = 1.0
    """Weight of the loss of the learned baseline."""
    max_grad_norm: float | None = None
    """Longest gradient; None is no limit."""
    std_start: float | None = None
    """Deviation of Gaussian places at first, to explore; it falls on a straight line to the
    network's own."""
    std_updates: int = 1000
    """Updates over which it falls."""
    temperature: float | None = None
    """With it, places are trained by straight-through Gumbel-softmax instead of REINFORCE, as
    `RecurrentAttention.forward` has it: neither reward nor baseline then matters."""

    def __post_init__(self):
        passes = 2 if self.baseline == "loo" else 1
        for name, least in (("batch", 1), ("samples", passes), ("std_updates", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least {least}"
                                + (" for the baseline 'loo'" if least == 2 else ""))
        for name, known in (("baseline", BASELINES), ("reward", REWARDS)):
            if getattr(self, name) not in known:
                raise UserError(f"{name} is {getattr(self, name)!r}, expected one of {known}")
        for name in ("lr", "location_weight", "baseline_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}, expected a finite number of at "
                                "least 0")
        if self.std_start is not None and not 0 < self.std_start < math.inf:
            raise UserError(f"std_start is {self.std_start}, expected above 0 and finite")


def random_locations(rng: np.random.Generator, shape: tuple[int, int, int], *,
                     dtype: DTypeLike = np.float32) -> NDArray:
    """Return uniformly random places, for `RecurrentAttention.forward`.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : tuple of int
        (T, B, M).
    dtype : float32 or float64, default float32

    Returns
    -------
    ndarray, shape (T, B, M, 2)
        In [-1, 1).

    Examples
    --------
    >>> random_locations(np.random.default_rng(0), (6, 4, 1)).shape
    (6, 4, 1, 2)
    """
    return rng.uniform(-1, 1, (*shape, 2)).astype(dtype)


class RecurrentAttentionTrainer:
    """Trains a network by the hybrid loss of the recurrent attention model [1]_.

    Of M passes over each of B images, means of: the cross-entropy of the class, backpropagated
    through all but the places; REINFORCE for the places, ``-advantage * log_prob``, summed over
    steps; half the squared error of the learned baseline, summed over steps, where it is used. The
    reward comes at the end, so that every place of a pass is judged by it.

    Parameters
    ----------
    net : RecurrentAttention
        Built.
    draw : callable
        ``draw(rng, n)`` returns n images (n, C, H, W) and their classes (n,).
    config : RecurrentAttentionConfig
    rng : numpy.random.Generator
        Draws images and places.
    look : callable, optional
        ``look(rng, images, T, M)`` returns places (T, B, M, 2) to look at instead of the network's
        own, such as random ones; then only what the network names is trained.

    Raises
    ------
    UserError
        If the configuration needs a grid, or a Gaussian, and the network has the other.

    References
    ----------
    .. [1] V. Mnih, N. Heess, A. Graves and K. Kavukcuoglu, "Recurrent Models of Visual Attention",
       NIPS 2014.

    Examples
    --------
    >>> from gatelearn.hard import RecurrentAttention
    >>> def draw(rng, n):
    ...     labels = rng.integers(0, 2, n)
    ...     return np.float32(labels)[:, None, None, None] * np.ones((8, 8), np.float32), labels
    >>> net = RecurrentAttention(1, 2, size=4, glimpses=2, hidden=16).build(seed=0)
    >>> trainer = RecurrentAttentionTrainer(net, draw, RecurrentAttentionConfig(batch=8),
    ...                                     np.random.default_rng(0))
    >>> accuracy = [trainer.step()["accuracy"] for _ in range(50)]
    >>> accuracy[-1]
    1.0
    """

    def __init__(self, net: RecurrentAttention, draw: Draw, config: RecurrentAttentionConfig,
                 rng: np.random.Generator, look: Look | None = None):
        self.net, self.draw, self.config, self.rng, self.look = net, draw, config, rng, look
        for name, grid in (("std_start", False), ("temperature", True)):
            if getattr(config, name) is not None and (net.grid is not None) != grid:
                raise UserError(f"{name} is {getattr(config, name)}, expected None for a network "
                                f"{'without' if grid else 'with'} a grid")
        self.optimiser = AdamW(net.params, net.grads)
        own = config.baseline
        self.baseline = rl.MovingAverage() if own == "moving-average" else rl.baselines.as_baseline(
            "none" if own == "learned" else own)

    def step(self) -> dict[str, Any]:
        """Draw images and places, descend once; return metrics."""
        config = self.config
        metrics = self.gradient(*self.draw(self.rng, config.batch))
        lr = rl.learner.learning_rate(config.lr, self.optimiser.steps, config.anneal)
        metrics["grad_norm"] = self.optimiser.step(lr, config.max_grad_norm)
        return metrics | {"text": f"accuracy {100 * metrics['accuracy']:.0f}%"}

    def distribution(self) -> rl.Distribution:
        """Return what draws the places of the next step."""
        config, own = self.config, self.net.distribution
        if config.std_start is None:
            return own
        left = rl.learner.learning_rate(1.0, self.optimiser.steps, config.std_updates)
        return rl.Gaussian(own.std + (config.std_start - own.std) * left)

    def gradient(self, images: NDArray, labels: NDArray) -> dict[str, Any]:
        """Set ``net.grads`` to the gradient of the loss, of places drawn now.

        Parameters
        ----------
        images : ndarray, shape (B, C, H, W)
        labels : ndarray of int, shape (B,)

        Returns
        -------
        dict of str to float
            Means: ``loss``, the cross-entropy; ``accuracy``; ``reward``; ``advantage_std``, what
            the baseline left of its spread.
        """
        config, net, B, M = self.config, self.net, len(images), self.config.samples
        given = None
        if self.look is not None:
            given = self.look(self.rng, images, net.glimpses, M)
        distribution = self.distribution()
        logits, episode = net.forward(images, self.rng, samples=M, locations=given,
                                      distribution=distribution, temperature=config.temperature)
        N, targets = B * M, np.repeat(labels[:, None], M, 1)
        loss, dlogits = F.cross_entropy_backward(np.full((B, M), 1 / N), logits, targets)
        reward = self._reward(logits, targets, loss)

        dpolicy = dvalues = advantages = None
        if self.look is None and config.temperature is None and net.glimpses > 1:
            advantages = self._advantages(images, labels, reward, episode.values)
            weight = np.broadcast_to(-config.location_weight / N * advantages, episode.values.shape)
            dpolicy = distribution.gradient(episode.policy, episode.actions, weight)
            if config.baseline == "learned":
                dvalues = config.baseline_weight / N * (episode.values - reward)

        net.grads[...] = 0
        net.backward(dlogits, episode, dpolicy, dvalues)
        metrics = {"loss": float(loss.mean()), "reward": float(reward.mean()),
                   "accuracy": float((logits.argmax(-1) == targets).mean())}
        if advantages is not None:
            metrics["advantage_std"] = float(advantages.std())
        return metrics

    def _reward(self, logits: NDArray, targets: NDArray, loss: NDArray) -> NDArray:
        if self.config.reward == "log-probability":
            return -loss
        return (logits.argmax(-1) == targets).astype(logits.dtype)

    def _advantages(self, images: NDArray, labels: NDArray, reward: NDArray,
                    values: NDArray) -> NDArray:
        """Return the rewards (B, M) less the baseline; of the learned one (T - 1, B, M)."""
        if self.config.baseline == "learned":
            return reward - values
        greedy = None
        if self.baseline.needs_greedy:
            logits = self.net.forward(images)[0][:, 0]
            greedy = self._reward(logits, labels, F.cross_entropy(logits, labels))
        # baselines have samples first
        samples_first = np.ascontiguousarray(reward.T)
        return self.baseline.advantages(samples_first, greedy=greedy).T

    def state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Return everything that the next step depends on."""
        arrays = {f"net.{k}": v.copy() for k, v in self.net.named_parameters().items()}
        arrays |= {f"adam.{k}": np.asarray(v) for k, v in self.optimiser.state().items()}
        arrays |= {f"baseline.{k}": np.asarray(v) for k, v in self.baseline.state().items()}
        return arrays, {"rng": self.rng.bit_generator.state}

    def load_state(self, arrays: dict[str, NDArray], meta: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        parts: dict[str, dict] = {"net": {}, "adam": {}, "baseline": {}}
        for name, value in arrays.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        self.net.load(parts["net"])
        self.optimiser.load_state(parts["adam"])
        if parts["baseline"]:
            self.baseline.load_state(parts["baseline"])
        self.rng.bit_generator.state = meta["rng"]
