"""Vectors of independent Gaussian variables with one fixed deviation, such as where to look."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_real, as_reals, as_rows, as_weights, check_shape, out_array


def gaussian_sample(mean: ArrayLike, normals: ArrayLike, std: float) -> tuple[NDArray, NDArray]:
    """Draw actions, one standard normal number each, and give their log-density.

    Parameters
    ----------
    mean : array_like, shape (..., K)
        float32 and float64 are kept; integers become float64.
    normals : array_like, shape (..., K)
        As ``rng.standard_normal`` gives them. Converted to the dtype of `mean`.
    std : float
        Deviation of every variable, above 0.

    Returns
    -------
    actions : ndarray, shape (..., K)
        ``mean + std * normals``.
    logp : ndarray, shape (...)
        Log-density of each row of actions.

    Raises
    ------
    FloatingPointError
        If a mean is NaN or infinite.
    ValueError
        If a normal number is NaN or infinite or makes an action so, `std` is not above 0 and
        finite, or shapes differ.

    Examples
    --------
    >>> actions, logp = gaussian_sample([[0.0, 1.0]], [[1.0, -2.0]], 0.5)
    >>> actions, logp.round(3)
    (array([[0.5, 0. ]]), array([-2.952]))
    """
    mean = as_real(mean, "mean")
    normals = as_real(normals, "normals", dtype=mean.dtype)
    rows = as_rows(mean, "mean")
    normals = check_shape(normals, "normals", mean.shape).reshape(rows.shape)
    actions, logp = np.empty_like(rows), np.empty(len(rows), rows.dtype)
    _core.gaussian_sample(actions, logp, rows, normals, std)
    return actions.reshape(mean.shape), logp.reshape(mean.shape[:-1])


def gaussian_log_prob(mean: ArrayLike, actions: ArrayLike, std: float) -> NDArray:
    """Log-density of each row of actions.

    Parameters
    ----------
    mean, actions : array_like, shape (..., K)
        The actions are converted to the dtype of `mean`.
    std : float
        Deviation of every variable, above 0.

    Returns
    -------
    ndarray, shape (...)
        Summed over the last axis.

    Raises
    ------
    ValueError
        If `std` is not above 0 and finite, or shapes differ.

    Examples
    --------
    >>> gaussian_log_prob([[0.0], [0.0]], [[0.0], [2.0]], 1.0).round(3)
    array([-0.919, -2.919])
    """
    mean = as_real(mean, "mean")
    actions = check_shape(as_real(actions, "actions", dtype=mean.dtype), "actions", mean.shape)
    rows = as_rows(mean, "mean")
    logp = np.empty(len(rows), rows.dtype)
    _core.gaussian_log_prob(logp, rows, actions.reshape(rows.shape), std)
    return logp.reshape(mean.shape[:-1])


def gaussian_entropy(mean: ArrayLike, std: float) -> NDArray:
    """Entropy of each row, in nats: the same for every mean.

    Parameters
    ----------
    mean : array_like, shape (..., K)
        Only its shape and dtype matter.
    std : float
        Deviation of every variable, above 0.

    Returns
    -------
    ndarray, shape (...)
        ``K * log(std * sqrt(2 * pi * e))``.

    Raises
    ------
    ValueError
        If `std` is not above 0 and finite.

    Examples
    --------
    >>> gaussian_entropy([[0.0, 1.0], [5.0, 5.0]], 1.0).round(3)
    array([2.838, 2.838])
    """
    mean = as_real(mean, "mean")
    K = as_rows(mean, "mean").shape[1]
    if not 0 < std < math.inf:
        raise ValueError(f"std is {std}, expected above 0 and finite")
    return np.full(mean.shape[:-1], K * (math.log(std) + (1 + math.log(2 * math.pi)) / 2),
                   mean.dtype)


def gaussian_backward(mean: ArrayLike, actions: ArrayLike, dlogp: ArrayLike, std: float, *,
                      out: NDArray | None = None) -> NDArray:
    """Gradient of ``sum(dlogp * log_prob)`` with respect to the mean [1]_.

    Parameters
    ----------
    mean, actions : array_like, shape (..., K)
    dlogp : array_like, shape (...)
        Gradient with respect to `gaussian_log_prob`.
    std : float
        Deviation of every variable, above 0.
    out : ndarray, shape (..., K), optional
        Where to write. May be `mean` itself.

    Returns
    -------
    ndarray, shape (..., K)
        ``dlogp * (actions - mean) / std**2``, in `out` or a new array.

    Raises
    ------
    ValueError
        If `std` is not above 0 and finite, or shapes differ.

    References
    ----------
    .. [1] R. J. Williams, "Simple statistical gradient-following algorithms for connectionist
       reinforcement learning", Machine Learning 8, 1992.

    Examples
    --------
    >>> gaussian_backward([[0.0, 1.0]], [[0.5, 1.0]], [2.0], 0.5)
    array([[4., 0.]])
    """
    mean = as_real(mean, "mean")
    actions = check_shape(as_real(actions, "actions", dtype=mean.dtype), "actions", mean.shape)
    rows = as_rows(mean, "mean")
    weights = as_weights(dlogp, "dlogp", mean.shape[:-1], mean.dtype)
    out = out_array(out, mean.shape, mean.dtype)
    _core.gaussian_backward(out.reshape(rows.shape), weights, rows, actions.reshape(rows.shape),
                            std)
    return out


def gaussian_kl(mean_p: ArrayLike, mean_q: ArrayLike, std: float) -> NDArray:
    """Kullback-Leibler divergence KL(p || q) of each row.

    Parameters
    ----------
    mean_p, mean_q : array_like, shape (..., K)
    std : float
        Deviation of every variable of both, above 0.

    Returns
    -------
    ndarray, shape (...)
        Summed over the last axis.

    Raises
    ------
    ValueError
        If `std` is not above 0 and finite, or shapes differ.

    Examples
    --------
    >>> gaussian_kl([[0.0, 0.0]], [[1.0, 0.0]], 0.5)
    array([2.])
    """
    p, q = as_reals((mean_p, "mean_p"), (mean_q, "mean_q"))
    rows = as_rows(p, "mean_p")
    kl = np.empty(len(rows), p.dtype)
    _core.gaussian_kl(kl, rows, check_shape(q, "mean_q", p.shape).reshape(rows.shape), std)
    return kl.reshape(p.shape[:-1])


def gaussian_kl_backward(dkl: ArrayLike, mean_p: ArrayLike, mean_q: ArrayLike,
                         std: float) -> tuple[NDArray, NDArray]:
    """Gradients of ``sum(dkl * gaussian_kl(mean_p, mean_q, std))``.

    Parameters
    ----------
    dkl : array_like, shape (...)
    mean_p, mean_q : array_like, shape (..., K)
    std : float
        Deviation of every variable of both, above 0.

    Returns
    -------
    dmean_p, dmean_q : ndarray, shape (..., K)

    Raises
    ------
    ValueError
        If `std` is not above 0 and finite, or shapes differ.

    Examples
    --------
    >>> gaussian_kl_backward([1.0], [[0.0]], [[1.0]], 0.5)
    (array([[-4.]]), array([[4.]]))
    """
    p, q = as_reals((mean_p, "mean_p"), (mean_q, "mean_q"))
    rows = as_rows(p, "mean_p")
    dkl = check_shape(as_real(dkl, "dkl", dtype=p.dtype), "dkl", p.shape[:-1]).reshape(-1)

    # as a log-density in which p is the action, the divergence has the other sign
    dq = np.empty_like(rows)
    _core.gaussian_backward(dq, -dkl, check_shape(q, "mean_q", p.shape).reshape(rows.shape), rows,
                            std)
    dq = dq.reshape(p.shape)
    return -dq, dq
