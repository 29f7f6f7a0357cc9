"""The exact gradient: every action, weighted by its probability."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn.rl.distributions import Distribution
from gatelearn.rl.estimators.base import Estimator, as_logits
from gatelearn.rl.estimators.rewards import Reward, rewards_of
from gatelearn.rl.exact import exact_gradient


class Exact(Estimator):
    """`exact_gradient` as an estimator: unbiased and without variance.

    It costs the rewards of all actions: K a row for `Categorical`, a sum that is often cheap, and
    2**K for `Bernoulli`, whose K is at most 16. It draws nothing; `samples` is ignored.

    Examples
    --------
    >>> from gatelearn.rl import Categorical
    >>> Exact().gradient(np.zeros((1, 2)), Categorical(), lambda actions: actions, None, 1)
    array([[-0.25,  0.25]])
    """

    def gradient(self, logits: ArrayLike, distribution: Distribution, reward: Reward,
                 rng: np.random.Generator | None, samples: int, *,
                 observations: NDArray | None = None) -> NDArray:
        logits = as_logits(logits)
        B = len(logits)

        def rewards(actions: NDArray) -> NDArray:
            return rewards_of(reward, np.repeat(actions[:, None], B, 1), (len(actions), B),
                              logits.dtype)

        return exact_gradient(logits, distribution, rewards)
