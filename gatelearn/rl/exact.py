"""Expected rewards and policy gradients without sampling: the oracle for every estimator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn._convert import as_real, as_rows
from gatelearn.rl.distributions import Distribution

LARGEST_K = 16


def expected_reward(logits: ArrayLike, distribution: Distribution,
                    reward_fn: Callable[[NDArray], ArrayLike]) -> NDArray:
    """Expected reward of each row, by enumeration of all actions.

    Parameters
    ----------
    logits : array_like, shape (B, K)
        K at most 16.
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
        K at most 16.
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
    if K > LARGEST_K:
        raise ValueError(f"logits.shape[1] is {K}, expected at most {LARGEST_K}")
    actions = distribution.enumerate(K)
    rewards = as_real(reward_fn(actions), "rewards", dtype=logits.dtype)
    if rewards.shape not in ((len(actions),), (len(actions), B)):
        raise ValueError(f"rewards has shape {rewards.shape}, expected ({len(actions)},) or "
                         f"({len(actions)}, {B})")
    rewards = np.broadcast_to(as_rows(rewards[:, None] if rewards.ndim == 1 else rewards,
                                      "rewards"), (len(actions), B))
    value, gradient = np.empty(B, logits.dtype), np.empty_like(logits)
    for b in range(B):
        tiled = np.tile(logits[b], (len(actions), 1))
        p = np.exp(distribution.log_prob(tiled, actions))
        weight = np.where(p > 0, p * rewards[:, b], 0)
        value[b] = weight.sum()
        gradient[b] = distribution.gradient(tiled, actions, weight).sum(0)
    return value, gradient
