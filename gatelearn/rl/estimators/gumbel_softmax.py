"""Gumbel-softmax: samples that a temperature softens until gradients pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn.rl.distributions import Distribution
from gatelearn.rl.estimators.base import Estimator, as_logits, as_relaxed, repeated
from gatelearn.rl.estimators.rewards import RelaxedReward, relaxed_rewards_of


class GumbelSoftmax(Estimator):
    """Gumbel-softmax [1]_, which is also the concrete distribution [2]_.

    The sample is a smooth function of logits and noise, so that the reward's own gradient passes
    through it; for `Bernoulli` the noise is logistic, the softmax a sigmoid. Biased: it is the
    exact gradient of another reward, that of the softened samples. As the temperature falls, bias
    falls and variance grows. Costs S rewards a row, with their gradient.

    Parameters
    ----------
    temperature : float, default 1
        Greater than 0.
    hard : bool, default False
        Whether the reward is taken at the action that the softened sample is nearest to, while the
        gradient passes through the softened one ("straight-through Gumbel-softmax" in [1]_).

    Raises
    ------
    ValueError
        If the temperature is not greater than 0, or not finite.

    References
    ----------
    .. [1] E. Jang, S. Gu and B. Poole, "Categorical Reparameterization with Gumbel-Softmax",
       ICLR 2017.
    .. [2] C. J. Maddison, A. Mnih and Y. W. Teh, "The Concrete Distribution: A Continuous
       Relaxation of Discrete Random Variables", ICLR 2017.

    Examples
    --------
    >>> from gatelearn.rl import Categorical, SquaredDistance
    >>> GumbelSoftmax(temperature=0.2).gradient(
    ...     np.zeros((1, 2)), Categorical(), SquaredDistance([[0.0, 1.0]]),
    ...     np.random.default_rng(0), samples=100000).round(1)
    array([[-0.5,  0.5]])
    """

    def __init__(self, temperature: float = 1.0, hard: bool = False):
        if not 0 < temperature < float("inf"):
            raise ValueError(f"temperature is {temperature}, expected a finite number above 0")
        self.temperature, self.hard = float(temperature), hard

    def gradient(self, logits: ArrayLike, distribution: Distribution, reward: RelaxedReward,
                 rng: np.random.Generator, samples: int, *,
                 observations: NDArray | None = None) -> NDArray:
        logits, distribution = as_logits(logits), as_relaxed(distribution)
        tiled = repeated(logits, samples)
        actions, soft = distribution.relax(tiled, self.temperature, rng)
        weights = distribution.weights(tiled, actions) if self.hard else soft
        _, dweights = relaxed_rewards_of(reward, weights)
        return distribution.relax_gradient(tiled, soft, dweights, self.temperature).mean(0)
