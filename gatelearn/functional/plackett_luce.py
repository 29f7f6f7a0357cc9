"""Rankings of k out of K choices a row, drawn without replacement, such as which entries to keep.

A logit of ``-inf`` masks its choice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import (
    as_index,
    as_real,
    as_rows,
    as_uniforms,
    check_shape,
    out_array,
)


def plackett_luce_sample(logits: ArrayLike, uniforms: ArrayLike,
                         k: int) -> tuple[NDArray[np.int64], NDArray]:
    """Draw the first k places of a ranking of each row, and give their log-probability.

    Each place goes to one of the choices that are left, with the softmax of their logits [1]_ [2]_.
    The k highest of ``logits - log(-log(uniforms))`` are such a draw [3]_: no place needs to know
    the one before.

    Parameters
    ----------
    logits : array_like, shape (..., K)
        float32 and float64 are kept; integers become float64. ``-inf`` masks a choice, which is
        then never drawn.
    uniforms : array_like, shape (..., K)
        In [0, 1), as ``rng.random`` gives them. 0 counts as the smallest normal number of the
        dtype. Of choices with equal scores the one with the lower index comes first.
    k : int
        How many are ranked, in [1, K].

    Returns
    -------
    rankings : ndarray of int64, shape (..., k)
        In ``[0, K)``, best first.
    logp : ndarray, shape (...)
        Log-probability of each ranking.

    Raises
    ------
    FloatingPointError
        If a row of `logits` holds NaN or ``+inf``, or fewer than `k` finite logits.
    ValueError
        If `k` is out of range, a uniform number is outside [0, 1), or shapes differ.

    References
    ----------
    .. [1] R. D. Luce, "Individual Choice Behavior: A Theoretical Analysis", Wiley, 1959.
    .. [2] R. L. Plackett, "The Analysis of Permutations", Applied Statistics 24, 1975.
    .. [3] W. Kool, H. van Hoof, M. Welling, "Stochastic Beams and Where to Find Them: The
       Gumbel-Top-k Trick for Sampling Sequences Without Replacement", ICML 2019.

    Examples
    --------
    >>> rankings, logp = plackett_luce_sample([[0.0, 0.0, -np.inf, 0.0]], [[0.2, 0.9, 0.5, 0.7]], 2)
    >>> rankings, np.exp(logp).round(4)
    (array([[1, 3]]), array([0.1667]))
    """
    logits = as_real(logits, "logits")
    rows = as_rows(logits, "logits")
    uniforms = as_uniforms(uniforms, "uniforms", logits.dtype)
    check_shape(uniforms, "uniforms", logits.shape)
    if not 1 <= k <= rows.shape[1]:
        raise ValueError(f"k is {k}, expected at least 1 and at most K = {rows.shape[1]}")
    rankings, logp = np.empty((len(rows), k), np.int64), np.empty(len(rows), rows.dtype)
    _core.plackett_luce_sample(rankings, logp, rows, uniforms.reshape(rows.shape))
    return rankings.reshape(*logits.shape[:-1], k), logp.reshape(logits.shape[:-1])


def plackett_luce_log_prob(logits: ArrayLike, rankings: ArrayLike) -> NDArray:
    """Log-probability of each ranking.

    Parameters
    ----------
    logits : array_like, shape (..., K)
        ``-inf`` masks a choice; a ranking that holds it has log-probability ``-inf``.
    rankings : array_like of int, shape (..., k)
        In ``[0, K)``, best first, none twice. With k = K it ranks all choices.

    Returns
    -------
    ndarray, shape (...)
        NaN where a row of `logits` holds NaN or ``+inf``, or is masked throughout.

    Raises
    ------
    IndexError
        If a choice is out of range.
    ValueError
        If a ranking holds a choice twice, is empty or longer than K, or shapes differ.

    Examples
    --------
    >>> np.exp(plackett_luce_log_prob([[0.0, 0.0, 0.0]], [[2, 0]])).round(4)
    array([0.1667])
    """
    logits = as_real(logits, "logits")
    rows = as_rows(logits, "logits")
    rankings = _as_rankings(rankings, logits)
    logp = np.empty(len(rows), rows.dtype)
    _core.plackett_luce_forward(logp, rows, rankings)
    return logp.reshape(logits.shape[:-1])


def plackett_luce_backward(logits: ArrayLike, rankings: ArrayLike, dlogp: ArrayLike, *,
                           out: NDArray | None = None) -> NDArray:
    """Gradient of ``sum(dlogp * log_prob)`` with respect to the logits.

    Parameters
    ----------
    logits : array_like, shape (..., K)
    rankings : array_like of int, shape (..., k)
        In ``[0, K)``, best first, none twice.
    dlogp : array_like, shape (...)
        Gradient with respect to `plackett_luce_log_prob`.
    out : ndarray, shape (..., K), optional
        Where to write. May be `logits` itself.

    Returns
    -------
    ndarray, shape (..., K)
        `out`, or a new array. 0 for a masked choice, unless it is ranked; NaN throughout a row
        whose log-probability is.

    Raises
    ------
    IndexError
        If a choice is out of range.
    ValueError
        If a ranking holds a choice twice, is empty or longer than K, or shapes differ.

    Examples
    --------
    >>> plackett_luce_backward([[0.0, 0.0, 0.0]], [[2, 0]], [6.0])
    array([[ 1., -5.,  4.]])
    """
    logits = as_real(logits, "logits")
    rows = as_rows(logits, "logits")
    rankings = _as_rankings(rankings, logits)
    dlogp = check_shape(as_real(dlogp, "dlogp", dtype=logits.dtype), "dlogp", logits.shape[:-1])
    out = out_array(out, logits.shape, logits.dtype)
    _core.plackett_luce_backward(out.reshape(rows.shape), dlogp.reshape(-1), rows, rankings)
    return out


def _as_rankings(rankings, logits):
    """Return rankings of all rows of logits, shape (N, k)."""
    rankings = as_index(rankings, "rankings")
    rows = as_rows(rankings, "rankings")
    check_shape(rankings, "rankings", (*logits.shape[:-1], rows.shape[1]))
    return rows
