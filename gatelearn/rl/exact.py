"""Expected rewards and policy gradients without sampling: the oracle for every estimator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn._convert import as_real
from gatelearn.rl.distributions import Categorical, Distribution

LARGEST_K = 16


def expected_reward(logits: ArrayLike, distribution: Distribution,
                    reward_fn: Callable[[NDArray], ArrayLike]) -> NDArray:
    """Expected reward of each row, by enumeration of all actions.

    Parameters
    ----------
    logits : array_like, shape (B, K)
        K at most 16, but for `Categorical`, which has K actions only.
    distribution : Distribution
    reward_fn : callable
        Given all A actions, ``distribution.enumerate(K)``, returns their rewards: shape (A,), or
        (A, B) where each row has its own.

    Returns
    -------
    ndarray, shape (B,)

    Raises
    ------
    TypeError
        If the distribution has no finite list of actions.
    ValueError
        If K is too large, or the rewards have another shape.

    Examples
    --------
    >>> from gatelearn.rl import Bernoulli
    >>> expected_reward([[0.0, 0.0]], Bernoulli(), lambda actions: actions.sum(1))
    array([1.])
    """
    return _enumerate(logits, distribution, reward_fn)[0]


def exact_gradient(logits: ArrayLike, distribution: Distribution,
                   reward_fn: Callable[[NDArray], ArrayLike]) -> NDArray:
    """Gradient of each row's expected reward with respect to its logits, by enumeration.

    Parameters
    ----------
    logits : array_like, shape (B, K)
        As in `expected_reward`.
    distribution : Distribution
    reward_fn : callable
        As in `expected_reward`.

    Returns
    -------
    ndarray, shape (B, K)
        ``sum_a p(a) * reward(a) * d log p(a) / d logits``.

    Raises
    ------
    TypeError
        If the distribution has no finite list of actions.
    ValueError
        If K is too large, or the rewards have another shape.

    Examples
    --------
    >>> from gatelearn.rl import Bernoulli
    >>> exact_gradient([[0.0, 0.0]], Bernoulli(), lambda actions: actions[:, 0])
    array([[0.25, 0.  ]])
    """
    return _enumerate(logits, distribution, reward_fn)[1]


def _enumerate(logits, distribution, reward_fn):
    logits = as_real(logits, "logits", ndim=2)
    B, K = logits.shape
    categorical = isinstance(distribution, Categorical)
    if K > LARGEST_K and not categorical:
        raise ValueError(f"logits.shape[1] is {K}, expected at most {LARGEST_K}")
    actions = distribution.enumerate(K)
    A = len(actions)
    rewards = as_real(reward_fn(actions), "rewards", dtype=logits.dtype)
    if rewards.shape not in ((A,), (A, B)):
        raise ValueError(f"rewards has shape {rewards.shape}, expected ({A},) or ({A}, {B})")
    # (B, A)
    rewards = np.broadcast_to(rewards if rewards.ndim == 2 else rewards[:, None], (A, B)).T
    if categorical:
        # an action a logit: d p[a] / d logits[k] = p[a] * ([a == k] - p[k]) sums up at once
        p = distribution.mean(logits)
        weight = _weight(p, rewards)
        value = weight.sum(1)
        return value, weight - p * value[:, None]

    value, gradient = np.empty(B, logits.dtype), np.empty_like(logits)
    for b in range(B):
        tiled = np.tile(logits[b], (A, 1))
        weight = _weight(np.exp(distribution.log_prob(tiled, actions)), rewards[b])
        value[b] = weight.sum()
        gradient[b] = distribution.gradient(tiled, actions, weight).sum(0)
    return value, gradient


def _weight(p, rewards):
    """Probability times reward; what is impossible may have any reward."""
    return np.multiply(p, rewards, out=np.zeros(p.shape, p.dtype), where=p != 0)
