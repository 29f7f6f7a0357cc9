"""The methods that are compared: each makes all attempts at tasks, many tasks at once.

A method is ``play(tasks, rng)``, which returns the rewards (B, A).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gatelearn.hard import MetaAttention
from gatelearn.tasks import TaskBatch

Method = Callable[[TaskBatch, np.random.Generator], NDArray]


def policy(network: MetaAttention) -> Method:
    """Return the method that draws positions from a trained policy."""
    return lambda tasks, rng: network.play(tasks, rng).rewards.astype(np.float64)


def random(tasks: TaskBatch, rng: np.random.Generator) -> NDArray:
    """Any position, at each attempt."""
    B, A, T = tasks.tokens.shape
    return (rng.integers(1, T, (B, A)) == tasks.target).astype(np.float64)


def oracle(tasks: TaskBatch, rng: np.random.Generator) -> NDArray:
    """Knows the rule."""
    return np.ones(tasks.target.shape)


def ucb(width: float) -> Method:
    """Return a bandit over positions by upper confidence bounds [1]_.

    The mean counts one observation of the chance level beforehand, so that an untried position is
    better than one that failed.

    References
    ----------
    .. [1] P. Auer, N. Cesa-Bianchi and P. Fischer, "Finite-time Analysis of the Multiarmed Bandit
       Problem", Machine Learning 47, 2002.
    """
    def index(won: NDArray, tried: NDArray, rng: np.random.Generator) -> NDArray:
        T = won.shape[1]
        bound = np.sqrt(np.log(1 + tried.sum(1, keepdims=True)) / (tried + 1))
        # ties are broken at random
        return (won + 1/T) / (tried + 1) + width * bound + 1e-6 * rng.random(won.shape)

    return _bandit(index)


def thompson(strength: float) -> Method:
    """Return a bandit over positions that samples from Beta posteriors [1]_.

    The prior has the mean of chance and the weight of `strength` observations.

    References
    ----------
    .. [1] W. R. Thompson, "On the likelihood that one unknown probability exceeds another in view
       of the evidence of two samples", Biometrika 25, 1933.
    """
    def index(won: NDArray, tried: NDArray, rng: np.random.Generator) -> NDArray:
        T = won.shape[1]
        return rng.beta(won + strength/T, tried - won + strength * (1 - 1/T))

    return _bandit(index)


def _bandit(index: Callable[[NDArray, NDArray, np.random.Generator], NDArray]) -> Method:
    def play(tasks: TaskBatch, rng: np.random.Generator) -> NDArray:
        B, A, T = tasks.tokens.shape
        won, tried, rows = np.zeros((B, T - 1)), np.zeros((B, T - 1)), np.arange(B)
        rewards = np.empty((B, A))
        for i in range(A):
            # the first position is never rewarded, and no method is made to try it
            arm = index(won, tried, rng).argmax(1)
            rewards[:, i] = arm + 1 == tasks.target[:, i]
            tried[rows, arm] += 1
            won[rows, arm] += rewards[:, i]
        return rewards

    return play


def elimination(kind: NDArray, after_share: float) -> Method:
    """Return the search that knows all rules: the position with the most belief behind it.

    Rules that an attempt contradicts are struck out. No method can do much better.

    Parameters
    ----------
    kind : ndarray of int, shape (N,)
        Of each rule; each kind shares its prior evenly.
    after_share : float
        Prior of kind 1.
    """
    prior = np.where(kind == 1, after_share / max((kind == 1).sum(), 1),
                     (1 - after_share) / max((kind == 0).sum(), 1))

    def play(tasks: TaskBatch, rng: np.random.Generator) -> NDArray:
        B, A, T = tasks.tokens.shape
        belief, rewards = np.tile(prior, (B, 1)), np.empty((B, A))
        rows = np.arange(B)[:, None]
        for i in range(A):
            place = tasks.place[:, i]
            total = 1e-9 * rng.random((B, T))
            np.add.at(total, (rows, place), belief)
            at = total.argmax(1)
            rewards[:, i] = at == tasks.target[:, i]
            belief *= (place == at[:, None]) == (rewards[:, i:i + 1] == 1)
        return rewards

    return play
