"""What an action was worth compared with a baseline."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn._convert import as_real
from gatelearn.functional import gae, leave_one_out

__all__ = ["MovingAverage", "gae", "leave_one_out", "normalise"]


def normalise(advantages: ArrayLike, eps: float = 1e-8) -> NDArray:
    """Return the advantages with mean 0 and standard deviation 1.

    Parameters
    ----------
    advantages : array_like
        Of any shape; mean and deviation are over all of it.
    eps : float, default 1e-8
        Added to the standard deviation, so that equal advantages give 0.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> normalise([1.0, 3.0])
    array([-0.99999999,  0.99999999])
    """
    a = as_real(advantages, "advantages")
    if a.size == 0:
        return a

    # from the first one, so that equal advantages give exactly 0, not their mean's rounding
    centred = a - a.flat[0]
    centred -= centred.mean()
    return centred / (np.sqrt(np.mean(centred * centred)) + a.dtype.type(eps))


class MovingAverage:
    """A baseline that follows the mean reward: ``average += (1 - decay) * (mean - average)``.

    The first batch sets the average, so that no early advantage is judged against 0. A batch is
    judged before the average moves, so that its own actions do not enter its baseline.

    Parameters
    ----------
    decay : float, default 0.9
        In [0, 1).

    Attributes
    ----------
    value : float or None
        The average; None before the first batch.

    Examples
    --------
    >>> baseline = MovingAverage(decay=0.5)
    >>> baseline.advantages([1.0, 3.0])
    array([-1.,  1.])
    >>> baseline.advantages([4.0, 4.0]), baseline.value
    (array([2., 2.]), 3.0)
    """

    def __init__(self, decay: float = 0.9):
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}, expected 0 <= decay < 1")
        self.decay = decay
        self.value: float | None = None

    def advantages(self, rewards: ArrayLike) -> NDArray:
        """Return the rewards less the average, then move the average.

        Parameters
        ----------
        rewards : array_like
            Of any shape.

        Returns
        -------
        ndarray
        """
        r = as_real(rewards, "rewards")
        mean = float(r.mean(dtype=np.float64))
        if self.value is None:
            self.value = mean
        advantages = r - r.dtype.type(self.value)
        self.value += (1 - self.decay) * (mean - self.value)
        return advantages
