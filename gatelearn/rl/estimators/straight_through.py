"""Straight-through: the gradient of the reward passes the sample as if it were not there."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn.rl.distributions import Distribution
from gatelearn.rl.estimators.base import Estimator, as_logits, as_relaxed, repeated
from gatelearn.rl.estimators.rewards import RelaxedReward, relaxed_rewards_of


class StraightThrough(Estimator):
    """The straight-through estimator [1]_: ``d reward / d weights`` at samples, then ``d p``.

    The reward's gradient at a sampled action is taken for the gradient with respect to the
    probabilities p of the choices, and passes through the derivative of p to the logits. Biased in
    general. Unbiased where that gradient is the same wherever it is taken: for `Bernoulli` if the
    relaxed reward is linear in each weight while the others are held, for `Categorical` if it is
    linear. Costs S rewards a row, with their gradient.

    References
    ----------
    .. [1] Y. Bengio, N. Léonard and A. Courville, "Estimating or Propagating Gradients Through
       Stochastic Neurons for Conditional Computation", arXiv 1308.3432, 2013.

    Examples
    --------
    >>> from gatelearn.rl import Categorical, SquaredDistance
    >>> StraightThrough().gradient(np.zeros((1, 2)), Categorical(), SquaredDistance([[0.0, 1.0]]),
    ...                            np.random.default_rng(0), samples=10000).round(2)
    array([[-0.5,  0.5]])
    """

    def gradient(self, logits: ArrayLike, distribution: Distribution, reward: RelaxedReward,
                 rng: np.random.Generator, samples: int, *,
                 observations: NDArray | None = None) -> NDArray:
        logits, distribution = as_logits(logits), as_relaxed(distribution)
        tiled = repeated(logits, samples)
        weights = distribution.weights(tiled, distribution.sample(tiled, rng))
        _, dweights = relaxed_rewards_of(reward, weights)
        return distribution.mean_gradient(logits, dweights.mean(0))
