"""REINFORCE with several samples an input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import nn
from gatelearn._convert import as_real, check_shape
from gatelearn.rl.advantage import normalise
from gatelearn.rl.baselines import Baseline, as_baseline
from gatelearn.rl.distributions import Distribution
from gatelearn.rl.learner import Learner, check_state, learning_rate


@dataclass(frozen=True)
class ReinforceConfig:
    """How to update.

    Parameters
    ----------
    baseline : str or Baseline, default "loo"
        What is taken from each reward: "loo", the mean of the other samples of the same input;
        "mean", that of all rewards; "self-critical", the reward of the likeliest action; "none",
        nothing (where the caller has done it); or an object such as `MovingAverage`, whose state
        the learner then keeps. Only "mean" is biased, by a factor of 1 - 1 / (S * B).
    lr : float, default 1e-3
        Learning rate.
    anneal : int, optional
        Number of updates over which it falls on a straight line to 0. None keeps it.
    entropy_coefficient : float, default 0
        Weight of the entropy bonus.
    normalise_advantage : bool, default False
        Whether advantages get mean 0 and deviation 1.
    max_grad_norm : float, optional, default 0.5
        Longest gradient; None is no limit.
    """

    baseline: str | Baseline = "loo"
    lr: float = 1e-3
    anneal: int | None = None
    entropy_coefficient: float = 0.0
    normalise_advantage: bool = False
    max_grad_norm: float | None = 0.5

    def __post_init__(self):
        as_baseline(self.baseline)


def reinforce_gradient(logits: NDArray, actions: NDArray, rewards: ArrayLike,
                       distribution: Distribution, *, baseline: str | Baseline = "loo",
                       observations: NDArray | None = None, greedy: NDArray | None = None,
                       normalise_advantage: bool = False, entropy_coefficient: float = 0.0,
                       ) -> tuple[NDArray, dict[str, float]]:
    """Gradient of the REINFORCE loss [1]_ with respect to logits.

    The loss is ``-mean(advantages * log_prob) - entropy_coefficient * mean(entropy)``; its
    expected gradient is minus that of the mean expected reward.

    Parameters
    ----------
    logits : ndarray, shape (B, K)
    actions : ndarray, shape (S, B, ...)
        S samples for each row of logits, as the distribution has them.
    rewards : array_like, shape (S, B)
    distribution : Distribution
    baseline : str or Baseline, default "loo"
        As in `ReinforceConfig`.
    observations, greedy : ndarray, optional
        What some baselines need, as `Baseline.advantages` has them.
    normalise_advantage : bool, default False
    entropy_coefficient : float, default 0

    Returns
    -------
    dlogits : ndarray, shape (B, K)
    metrics : dict of str to float
        ``loss``; ``reward`` and, where the distribution has it, ``entropy``, means;
        ``advantage_std``, the spread of what was left after the baseline.

    Raises
    ------
    ValueError
        If shapes differ, the baseline is unknown or lacks what it needs, or is "loo" with one
        sample.

    References
    ----------
    .. [1] R. J. Williams, "Simple statistical gradient-following algorithms for connectionist
       reinforcement learning", Machine Learning 8, 1992.

    Examples
    --------
    >>> from gatelearn.rl import Bernoulli
    >>> dlogits, _ = reinforce_gradient(np.zeros((1, 1)), np.array([[[1]], [[0]]]), [[1.0], [0.0]],
    ...                                 Bernoulli())
    >>> dlogits
    array([[-0.5]])
    """
    rewards = as_real(rewards, "rewards", dtype=logits.dtype, ndim=2)
    S, B = rewards.shape
    check_shape(logits, "logits", (B, logits.shape[-1]))
    advantages = as_baseline(baseline).advantages(rewards, observations, greedy)
    spread = float(advantages.std())
    if normalise_advantage:
        advantages = normalise(advantages)

    dlogits = weighted_scores(logits, actions, -advantages / rewards.size, distribution,
                              -entropy_coefficient / max(B, 1))
    logp = distribution.log_prob(np.broadcast_to(logits, (S, *logits.shape)), actions)
    metrics = {"loss": float(-(advantages * logp).mean()), "reward": float(rewards.mean()),
               "advantage_std": spread}
    if distribution.has_entropy or entropy_coefficient:
        metrics["entropy"] = float(distribution.entropy(logits).mean())
        metrics["loss"] -= entropy_coefficient * metrics["entropy"]
    return dlogits, metrics


def weighted_scores(logits: NDArray, actions: NDArray, weights: NDArray,
                    distribution: Distribution, entropy_weight: float = 0.0) -> NDArray:
    """Return the sum over S samples of weight times gradient of log-probability, (B, K).

    The gradient of each row's entropy, times its weight, is added.
    """
    # the same logits for each sample: gradients of the samples add up
    tiled = np.broadcast_to(logits, (len(weights), *logits.shape))
    gradient = distribution.gradient(tiled, actions, weights).sum(0)
    if entropy_weight:
        dentropy = np.full(len(logits), entropy_weight, logits.dtype)
        gradient += distribution.gradient(logits, actions[0], None, dentropy)
    return gradient


class Reinforce:
    """REINFORCE: one decision an input, S samples of it, and their rewards.

    Parameters
    ----------
    policy : nn.Layer
        Observations (B, ...) to logits (B, K). Built.
    distribution : Distribution
        What the logits mean.
    config : ReinforceConfig, optional

    Attributes
    ----------
    updates : int
        How many were made.

    Examples
    --------
    Two lights, each to be switched as its observation says:

    >>> from gatelearn import nn, rl
    >>> rng = np.random.default_rng(0)
    >>> learner = rl.Reinforce(nn.Linear(2, 2).build(seed=0), rl.Bernoulli(),
    ...                        rl.ReinforceConfig(lr=0.1))
    >>> for _ in range(50):
    ...     x = rng.choice(np.float32([-1, 1]), (16, 2))
    ...     actions, logp = learner.act(x, rng, samples=4)
    ...     rewards = (actions == (x > 0)).mean(-1, dtype=np.float32)
    ...     metrics = learner.update(x, actions, rewards)
    >>> bool(rewards.mean() > 0.9)
    True
    """

    def __init__(self, policy: nn.Layer, distribution: Distribution,
                 config: ReinforceConfig | None = None):
        self.policy = Learner(policy)
        self.distribution = distribution
        self.config = config or ReinforceConfig()
        self.baseline = as_baseline(self.config.baseline)
        self.updates = 0

    def act(self, observations: NDArray, rng: np.random.Generator,
            samples: int) -> tuple[NDArray, NDArray]:
        """Draw several actions for each observation.

        Parameters
        ----------
        observations : ndarray, shape (B, ...)
        rng : numpy.random.Generator
            One random number a choice is drawn from it.
        samples : int
            S, how many for each.

        Returns
        -------
        actions : ndarray, shape (S, B, ...)
        logp : ndarray, shape (S, B)
        """
        logits, _ = self.policy.network.forward(observations)
        return self.distribution.draw(np.broadcast_to(logits, (samples, *logits.shape)), rng)

    def update(self, observations: NDArray, actions: NDArray, rewards: ArrayLike,
               greedy: NDArray | None = None) -> dict[str, float]:
        """Take one step.

        Parameters
        ----------
        observations : ndarray, shape (B, ...)
        actions : ndarray, shape (S, B, ...)
            Drawn by `act` since the last update.
        rewards : array_like, shape (S, B)
        greedy : ndarray, shape (B,), optional
            Rewards of the likeliest actions, where the baseline is "self-critical".

        Returns
        -------
        dict of str to float
            ``loss``, ``reward``, ``entropy`` and ``advantage_std`` as `reinforce_gradient` defines
            them; ``grad_norm``, the norm of the gradient before clipping; ``learning_rate``.

        Raises
        ------
        ValueError
            If shapes differ, the baseline is "loo" with one sample, or `greedy` is missing.
        FloatingPointError
            If the gradient is NaN or infinite.
        """
        c = self.config
        logits, saved = self.policy.network.forward(observations)
        dlogits, metrics = reinforce_gradient(
            logits, actions, rewards, self.distribution, baseline=self.baseline,
            observations=observations, greedy=greedy, normalise_advantage=c.normalise_advantage,
            entropy_coefficient=c.entropy_coefficient)
        lr = learning_rate(c.lr, self.updates, c.anneal)
        norm = self.policy.descend(dlogits, saved, lr, c.max_grad_norm)
        self.updates += 1
        return metrics | {"grad_norm": norm, "learning_rate": lr}

    def state(self) -> dict[str, Any]:
        """Return copies of all that updates change, for a checkpoint.

        The random generator is the caller's to keep.

        Returns
        -------
        dict of str to ndarray or int
            ``updates``, and ``policy.params``, ``policy.m``, ``policy.v``, ``policy.step``; what
            the baseline has learned, as ``baseline.`` and its own names.
        """
        baseline = {f"baseline.{key}": value for key, value in self.baseline.state().items()}
        return {"updates": self.updates, **self.policy.state("policy"), **baseline}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned, to the same bits.

        Parameters
        ----------
        state : dict

        Raises
        ------
        ValueError
            If an entry is missing or unknown, or a shape differs; nothing is then changed.
        """
        check_state(self.state(), state)
        self.updates = int(state["updates"])
        self.policy.load_state("policy", state)
        self.baseline.load_state({key.removeprefix("baseline."): value
                                  for key, value in state.items() if key.startswith("baseline.")})
