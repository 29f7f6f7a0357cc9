"""What an action was worth compared with a baseline."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn._convert import as_real
from gatelearn.functional import gae, leave_one_out

__all__ = ["gae", "leave_one_out", "normalise"]


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
