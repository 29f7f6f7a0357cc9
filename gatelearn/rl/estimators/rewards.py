"""Rewards as estimators ask for them: of actions, and of weights between them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn._convert import as_real, check_finite, check_shape


class Reward(Protocol):
    """A function of actions, (S, B, K) or (S, B) as the distribution has them."""

    def __call__(self, actions: NDArray) -> ArrayLike:
        """Return the reward of each action of each of B inputs, (S, B)."""


class RelaxedReward(Reward, Protocol):
    """A reward that is also defined between actions, and differentiable there.

    At ``distribution.weights(logits, actions)``, whose entries are 0 and 1, `relaxed` must give the
    rewards that a call with `actions` gives.
    """

    def relaxed(self, weights: NDArray) -> tuple[ArrayLike, ArrayLike]:
        """Return rewards (S, B) of weights (S, B, K) in [0, 1], and their gradient (S, B, K)."""


class SquaredDistance(RelaxedReward):
    """Minus the squared distance between an action's weights and a target: a small problem.

    Parameters
    ----------
    target : array_like, shape (B, K)

    Examples
    --------
    >>> reward = SquaredDistance([[0.0, 0.5]])
    >>> reward(np.array([[[1, 1]]])), reward(np.array([[1]]))
    (array([[-1.25]]), array([[-0.25]]))
    >>> reward.relaxed(np.array([[[0.5, 0.5]]]))
    (array([[-0.25]]), array([[[-1., -0.]]]))
    """

    def __init__(self, target: ArrayLike):
        self.target = as_real(target, "target", ndim=2)

    def __call__(self, actions: NDArray) -> NDArray:
        # one choice a row, or a vector of choices
        one_hot = np.eye(self.target.shape[1], dtype=self.target.dtype)
        weights = one_hot[actions] if np.ndim(actions) == 2 else actions
        return self.relaxed(weights)[0]

    def relaxed(self, weights: NDArray) -> tuple[NDArray, NDArray]:
        difference = weights - self.target
        return -np.square(difference).sum(-1), -2 * difference


def rewards_of(reward: Reward, actions: NDArray, shape: tuple[int, ...],
               dtype: np.dtype) -> NDArray:
    """Return the checked rewards of actions, one a row of logits, as `dtype`."""
    rewards = as_real(reward(actions), "rewards", dtype=dtype)
    return check_finite(check_shape(rewards, "rewards", shape), "rewards")


def relaxed_rewards_of(reward: RelaxedReward, weights: NDArray) -> tuple[NDArray, NDArray]:
    """Return the checked rewards of weights, and their gradient, in the type of the weights."""
    if not hasattr(reward, "relaxed"):
        name = getattr(reward, "__name__", type(reward).__name__)
        raise TypeError(f"reward {name} has no method relaxed(weights), expected one that returns "
                        "rewards and their gradient: this estimator differentiates the reward")
    rewards, dweights = reward.relaxed(weights)
    rewards = as_real(rewards, "rewards", dtype=weights.dtype)
    dweights = as_real(dweights, "dweights", dtype=weights.dtype)
    check_finite(check_shape(rewards, "rewards", weights.shape[:-1]), "rewards")
    check_finite(check_shape(dweights, "dweights", weights.shape), "dweights")
    return rewards, dweights
