"""What an agent did and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatelearn.functional import gae


class Minibatch(NamedTuple):
    """B steps of a rollout in random order. ``values`` and ``returns`` may be None."""

    observations: NDArray
    actions: NDArray
    logp: NDArray
    advantages: NDArray
    values: NDArray | None
    returns: NDArray | None


@dataclass
class Rollout:
    """T steps in each of N environments.

    A decision that is judged at once, such as one set of gates for one text, is a rollout of one
    axis: B decisions, with `advantages` given.

    Parameters
    ----------
    observations : ndarray, shape (T, N, ...)
        What the policy network was given at each step.
    actions : ndarray, shape (T, N, ...)
    logp : ndarray, shape (T, N)
        Log-probability of each action when it was drawn. Its axes say which ones are steps.
    rewards : ndarray, shape (T, N), optional
    values : ndarray, shape (T, N), optional
        Of each observation, when it was seen.
    last_values : ndarray, shape (N,), optional
        Of the observation after the last step; not needed where every last step terminated.
    terminated, truncated : ndarray of bool, shape (T, N), optional
        Where an episode ended by itself, and where it was stopped.
    final_values : ndarray, shape (T, N), optional
        Of the final observation where truncated; see `gatelearn.functional.gae`.
    advantages, returns : ndarray, shape (T, N), optional
        Filled by `estimate`, or given.
    valid : ndarray of bool, shape (T, N), optional
        Which steps were taken; None is all. False marks steps that only began the next episode,
        as environments take them after an end (Gymnasium's ``NEXT_STEP`` autoreset): the action
        was ignored, and `minibatches` leaves them out.

    Examples
    --------
    >>> zeros = np.zeros((3, 2))
    >>> rollout = Rollout(np.zeros((3, 2, 4)), np.zeros((3, 2, 1), np.uint8), logp=zeros,
    ...                   rewards=zeros + 1, values=zeros, last_values=np.zeros(2))
    >>> rollout.estimate(gamma=1.0, lam=1.0)
    >>> rollout.returns
    array([[3., 3.],
           [2., 2.],
           [1., 1.]])
    >>> [len(batch.logp) for batch in rollout.minibatches(4, np.random.default_rng(0))]
    [1, 2, 1, 2]
    """

    observations: NDArray
    actions: NDArray
    logp: NDArray
    rewards: NDArray | None = None
    values: NDArray | None = None
    last_values: NDArray | None = None
    terminated: NDArray | None = None
    truncated: NDArray | None = None
    final_values: NDArray | None = None
    advantages: NDArray | None = None
    returns: NDArray | None = None
    valid: NDArray | None = None

    def __post_init__(self):
        steps = self.logp.shape
        for name in ("observations", "actions", "rewards", "values", "terminated", "truncated",
                     "final_values", "advantages", "returns", "valid"):
            a = getattr(self, name)
            if a is not None and a.shape[:len(steps)] != steps:
                raise ValueError(f"{name} has shape {a.shape}, expected it to begin with {steps}")

    def __len__(self) -> int:
        return self.logp.size

    def estimate(self, gamma: float, lam: float) -> None:
        """Fill `advantages` and `returns` by generalised advantage estimation.

        Parameters
        ----------
        gamma, lam : float
            Discount, and decay of the estimator.

        Raises
        ------
        ValueError
            If `rewards` or `values` is missing, or `last_values` where an episode goes on.
        """
        if self.rewards is None or self.values is None:
            raise ValueError("rewards or values is None, expected both, or advantages instead")
        last = self.last_values
        if last is None:
            if self.terminated is None or not np.all(self.terminated[-1:]):
                raise ValueError("last_values is None, expected it where episodes go on after the "
                                 "last step")
            last = np.zeros_like(self.values[0])
        self.advantages, self.returns = gae(
            self.rewards, self.values, last, terminated=self.terminated, truncated=self.truncated,
            final=self.final_values, gamma=gamma, lam=lam)

    def minibatches(self, count: int, rng: np.random.Generator) -> Iterator[Minibatch]:
        """Yield all valid steps once, in random order, in parts of nearly equal size.

        Parameters
        ----------
        count : int
            Number of parts; empty ones are left out.
        rng : numpy.random.Generator
            Draws one permutation.

        Yields
        ------
        Minibatch
        """
        flat = [None if a is None else a.reshape(len(self), *a.shape[self.logp.ndim:])
                for a in (self.observations, self.actions, self.logp, self.advantages, self.values,
                          self.returns)]
        order = rng.permutation(len(self) if self.valid is None else np.flatnonzero(self.valid))
        ends = [len(order) * (i + 1) // count for i in range(count)]
        for start, end in zip([0, *ends], ends, strict=False):
            if end > start:
                yield Minibatch(*(None if a is None else a[order[start:end]] for a in flat))
