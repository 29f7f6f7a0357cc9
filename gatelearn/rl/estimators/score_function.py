"""REINFORCE: rewards weigh the gradients of log-probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn.rl.baselines import Baseline, as_baseline
from gatelearn.rl.distributions import Distribution
from gatelearn.rl.estimators.base import Estimator, as_logits, repeated
from gatelearn.rl.estimators.rewards import Reward, rewards_of
from gatelearn.rl.reinforce import weighted_scores


class ScoreFunction(Estimator):
    """The score-function estimator, REINFORCE [1]_: mean of ``advantage * d log_prob / d logits``.

    Unbiased, with any baseline but "mean" and the first batch of a `MovingAverage`. It needs
    rewards of sampled actions only, S a row, and one more where the baseline is "self-critical":
    nothing flows through the sample, even if the reward is differentiable.

    Parameters
    ----------
    baseline : str or Baseline, default "loo"
        As in `ReinforceConfig`.

    Raises
    ------
    ValueError
        If the baseline is unknown.

    References
    ----------
    .. [1] R. J. Williams, "Simple statistical gradient-following algorithms for connectionist
       reinforcement learning", Machine Learning 8, 1992.

    Examples
    --------
    >>> from gatelearn.rl import Bernoulli
    >>> ScoreFunction().gradient(np.zeros((1, 1)), Bernoulli(), lambda actions: actions[..., 0],
    ...                          np.random.default_rng(0), samples=10000).round(2)
    array([[0.25]])
    """

    def __init__(self, baseline: str | Baseline = "loo"):
        self.baseline = as_baseline(baseline)

    def gradient(self, logits: ArrayLike, distribution: Distribution, reward: Reward,
                 rng: np.random.Generator, samples: int, *,
                 observations: NDArray | None = None) -> NDArray:
        logits = as_logits(logits)
        actions, _ = distribution.draw(repeated(logits, samples), rng)
        rewards = rewards_of(reward, actions, (samples, len(logits)), logits.dtype)
        advantages = advantages_of(self.baseline, rewards, logits, distribution, reward,
                                   observations)
        return weighted_scores(logits, actions, advantages / samples, distribution)


def advantages_of(baseline: Baseline, rewards: NDArray, logits: NDArray,
                  distribution: Distribution, reward: Reward,
                  observations: NDArray | None) -> NDArray:
    """Return the rewards (S, B) less the baseline, which is given what it needs."""
    greedy = None
    if baseline.needs_greedy:
        best = distribution.mode(logits)[None]
        greedy = rewards_of(reward, best, (1, len(logits)), logits.dtype)[0]
    return baseline.advantages(rewards, observations, greedy)
