"""The interface of all estimators."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn._convert import as_real
from gatelearn.rl.distributions import Distribution, RelaxedDistribution
from gatelearn.rl.estimators.rewards import Reward


class Estimator(Protocol):
    """Estimates how expected rewards change with the logits of the policy.

    A baseline's state is all that an estimator keeps from call to call.
    """

    def gradient(self, logits: ArrayLike, distribution: Distribution, reward: Reward,
                 rng: np.random.Generator, samples: int, *,
                 observations: NDArray | None = None) -> NDArray:
        """Estimate the gradient of each row's expected reward with respect to its logits.

        Rows are taken to be independent: a row's reward may depend on its own actions only. To
        climb the mean of B rows, divide by B; a loss to descend has the other sign.

        Parameters
        ----------
        logits : array_like, shape (B, K)
            float32 and float64 are kept.
        distribution : Distribution
            What the logits mean.
        reward : Reward
            Some estimators need a `RelaxedReward`.
        rng : numpy.random.Generator
        samples : int
            S, the number of samples a row, over which the estimate is averaged.
        observations : ndarray, shape (B, ...), optional
            For a `LearnedBaseline`.

        Returns
        -------
        ndarray, shape (B, K)

        Raises
        ------
        TypeError
            If the estimator differentiates the reward, and it has no method ``relaxed``, or the
            distribution is no `RelaxedDistribution`.
        ValueError
            If there are too few samples, or rewards have another shape.
        FloatingPointError
            If a logit is NaN, or a reward or its gradient NaN or infinite.
        """


def as_logits(logits: ArrayLike) -> NDArray:
    """Return logits (B, K) as an array; NaN and ``+inf`` are refused, ``-inf`` may be a mask."""
    logits = as_real(logits, "logits", ndim=2)
    if not (logits < np.inf).all():
        raise FloatingPointError("logits hold NaN or +inf, expected less")
    return logits


def repeated(logits: NDArray, samples: int) -> NDArray:
    """Return logits for each of the samples, (S, B, K), without a copy."""
    if samples < 1:
        raise ValueError(f"samples is {samples}, expected at least 1")
    return np.broadcast_to(logits, (samples, *logits.shape))


def as_relaxed(distribution: Distribution) -> RelaxedDistribution:
    """Return a distribution whose actions are zeros and ones; others are refused."""
    if not isinstance(distribution, RelaxedDistribution):
        raise TypeError(f"distribution is {distribution}, expected Bernoulli or Categorical: this "
                        "estimator softens actions of zeros and ones")
    return distribution
