"""Half soft, half hard: some samples are replaced by their expectation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn.rl.baselines import Baseline, MovingAverage, as_baseline
from gatelearn.rl.distributions import Distribution
from gatelearn.rl.estimators.base import Estimator, as_logits, as_relaxed, repeated
from gatelearn.rl.estimators.rewards import RelaxedReward, relaxed_rewards_of
from gatelearn.rl.estimators.score_function import advantages_of
from gatelearn.rl.reinforce import weighted_scores


class HalfSoft(Estimator):
    """The mixture that trains the hard attention of Show, Attend and Tell [1]_.

    Each sample is replaced, with probability `soft`, by the expectation: weights that are the
    probabilities of the choices, through which the reward's own gradient passes. What is left is
    REINFORCE with a baseline that sees all rewards. Biased, by `soft` times the bias of a reward at
    the expectation; unbiased for linear rewards, and for `Bernoulli` if the relaxed reward is
    linear in each weight while the others are held. Costs S rewards a row, with their gradient, and
    one more where the baseline is "self-critical".

    Parameters
    ----------
    soft : float, default 0.5
        In [0, 1]. With 0 it is `ScoreFunction`.
    baseline : str or Baseline, optional
        As in `ReinforceConfig`. None, the default, is a `MovingAverage`, as in [1]_.
    entropy_coefficient : float, default 0
        Weight of the gradient of each row's entropy, which is added.

    Raises
    ------
    ValueError
        If `soft` is out of range, or the baseline unknown.

    References
    ----------
    .. [1] K. Xu et al., "Show, Attend and Tell: Neural Image Caption Generation with Visual
       Attention", ICML 2015.

    Examples
    --------
    >>> from gatelearn.rl import Categorical, SquaredDistance
    >>> HalfSoft(baseline="none").gradient(
    ...     np.zeros((1, 2)), Categorical(), SquaredDistance([[0.0, 1.0]]),
    ...     np.random.default_rng(0), samples=100000).round(1)
    array([[-0.5,  0.5]])
    """

    def __init__(self, soft: float = 0.5, baseline: str | Baseline | None = None,
                 entropy_coefficient: float = 0.0):
        if not 0 <= soft <= 1:
            raise ValueError(f"soft is {soft}, expected 0 <= soft <= 1")
        self.soft, self.entropy_coefficient = soft, entropy_coefficient
        self.baseline = MovingAverage() if baseline is None else as_baseline(baseline)

    def gradient(self, logits: ArrayLike, distribution: Distribution, reward: RelaxedReward,
                 rng: np.random.Generator, samples: int, *,
                 observations: NDArray | None = None) -> NDArray:
        logits, distribution = as_logits(logits), as_relaxed(distribution)
        tiled = repeated(logits, samples)
        actions = distribution.sample(tiled, rng)
        soft = rng.random(tiled.shape[:2]) < self.soft
        weights = np.where(soft[..., None], distribution.mean(logits),
                           distribution.weights(tiled, actions))
        rewards, dweights = relaxed_rewards_of(reward, weights)
        advantages = advantages_of(self.baseline, rewards, logits, distribution, reward,
                                   observations)

        # a sample passes its advantage on, an expectation the reward's gradient
        gradient = weighted_scores(logits, actions, np.where(soft, 0, advantages) / samples,
                                   distribution, self.entropy_coefficient)
        through = np.where(soft[..., None], dweights, 0).sum(0) / samples
        return gradient + distribution.mean_gradient(logits, through)
