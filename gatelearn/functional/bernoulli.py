"""Vectors of independent Bernoulli variables, such as the gates of one layer.

With `bound` an action is 1 with probability ``bound + (1 - 2 * bound) * sigmoid(logit)``, so that
no probability leaves ``[bound, 1 - bound]`` and exploration never dies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import (
    as_flags,
    as_real,
    as_reals,
    as_rows,
    as_uniforms,
    as_weights,
    check_shape,
    out_array,
)


def bernoulli_sample(logits: ArrayLike, uniforms: ArrayLike, *,
                     bound: float = 0.0) -> tuple[NDArray[np.uint8], NDArray]:
    """Draw actions, one uniform number a choice, and give their log-probability.

    Parameters
    ----------
    logits : array_like, shape (..., K)
        float32 and float64 are kept; integers become float64.
    uniforms : array_like, shape (..., K)
        In [0, 1), as ``rng.random`` gives them. An action is 1 where its uniform is less than
        its probability.
    bound : float, default 0
        Probabilities stay in ``[bound, 1 - bound]`` [1]_. In [0, 0.5).

    Returns
    -------
    actions : ndarray of uint8, shape (..., K)
        0 or 1.
    logp : ndarray, shape (...)
        Log-probability of each row of actions.

    Raises
    ------
    FloatingPointError
        If a logit is NaN or infinite.
    ValueError
        If a uniform number is outside [0, 1), `bound` outside [0, 0.5), or shapes differ.

    References
    ----------
    .. [1] Z. Wu et al., "BlockDrop: Dynamic Inference Paths in Residual Networks", CVPR 2018.

    Examples
    --------
    >>> actions, logp = bernoulli_sample([[0.0, 0.0]], [[0.3, 0.8]])
    >>> actions
    array([[1, 0]], dtype=uint8)
    >>> logp.round(3)
    array([-1.386])
    """
    logits = as_real(logits, "logits")
    uniforms = as_uniforms(uniforms, "uniforms", logits.dtype)
    check_shape(uniforms, "uniforms", logits.shape)
    rows = as_rows(logits, "logits")
    actions, logp = np.empty(rows.shape, np.uint8), np.empty(len(rows), rows.dtype)
    _core.bernoulli_sample(actions, logp, rows, uniforms.reshape(rows.shape), bound)
    return actions.reshape(logits.shape), logp.reshape(logits.shape[:-1])


def bernoulli_log_prob(logits: ArrayLike, actions: ArrayLike, *, bound: float = 0.0) -> NDArray:
    """Log-probability of each row of actions.

    Parameters
    ----------
    logits : array_like, shape (..., K)
        May be infinite; an impossible action then has log-probability ``-inf``.
    actions : array_like of int or bool, shape (..., K)
        0 or 1.
    bound : float, default 0
        As in `bernoulli_sample`.

    Returns
    -------
    ndarray, shape (...)
        Summed over the last axis.

    Raises
    ------
    ValueError
        If an action is neither 0 nor 1, `bound` is out of range, or shapes differ.

    Examples
    --------
    >>> bernoulli_log_prob([[0.0, -1e4], [0.0, -1e4]], [[1, 0], [1, 1]]).round(1)
    array([-7.00000e-01, -1.00007e+04])
    """
    logits = as_real(logits, "logits")
    actions = check_shape(as_flags(actions, "actions"), "actions", logits.shape)
    rows = as_rows(logits, "logits")
    logp = np.empty(len(rows), rows.dtype)
    _core.bernoulli_forward(logp, None, rows, actions.reshape(rows.shape), bound)
    return logp.reshape(logits.shape[:-1])


def bernoulli_entropy(logits: ArrayLike, *, bound: float = 0.0) -> NDArray:
    """Entropy of each row, in nats.

    Parameters
    ----------
    logits : array_like, shape (..., K)
    bound : float, default 0
        As in `bernoulli_sample`.

    Returns
    -------
    ndarray, shape (...)
        Summed over the last axis.

    Examples
    --------
    >>> bernoulli_entropy([[0.0, 0.0], [0.0, 1e4]]).round(3)
    array([1.386, 0.693])
    """
    logits = as_real(logits, "logits")
    rows = as_rows(logits, "logits")
    entropy = np.empty(len(rows), rows.dtype)
    _core.bernoulli_forward(None, entropy, rows, None, bound)
    return entropy.reshape(logits.shape[:-1])


def bernoulli_backward(logits: ArrayLike, actions: ArrayLike, dlogp: ArrayLike | None,
                       dentropy: ArrayLike | None = None, *, bound: float = 0.0,
                       out: NDArray | None = None) -> NDArray:
    """Gradient of ``sum(dlogp * log_prob + dentropy * entropy)`` with respect to the logits.

    Parameters
    ----------
    logits : array_like, shape (..., K)
    actions : array_like of int or bool, shape (..., K)
        0 or 1.
    dlogp, dentropy : array_like, shape (...), or None
        Gradient with respect to `bernoulli_log_prob` and `bernoulli_entropy`; None is 0.
    bound : float, default 0
        As in `bernoulli_sample`.
    out : ndarray, shape (..., K), optional
        Where to write. May be `logits` itself.

    Returns
    -------
    ndarray, shape (..., K)
        `out`, or a new array.

    Raises
    ------
    ValueError
        If an action is neither 0 nor 1, `bound` is out of range, or shapes differ.

    Examples
    --------
    >>> bernoulli_backward([[0.0, 0.0]], [[1, 0]], [2.0])
    array([[ 1., -1.]])
    """
    logits = as_real(logits, "logits")
    actions = check_shape(as_flags(actions, "actions"), "actions", logits.shape)
    rows = as_rows(logits, "logits")
    weights = [as_weights(dlogp, "dlogp", logits.shape[:-1], logits.dtype),
               as_weights(dentropy, "dentropy", logits.shape[:-1], logits.dtype)]
    out = out_array(out, logits.shape, logits.dtype)
    _core.bernoulli_backward(out.reshape(rows.shape), *weights, rows, actions.reshape(rows.shape),
                             bound)
    return out


def bernoulli_kl(logits_p: ArrayLike, logits_q: ArrayLike, *, bound: float = 0.0) -> NDArray:
    """Kullback-Leibler divergence KL(p || q) of each row.

    Parameters
    ----------
    logits_p, logits_q : array_like, shape (..., K)
    bound : float, default 0
        Of both, as in `bernoulli_sample`.

    Returns
    -------
    ndarray, shape (...)
        Summed over the last axis; ``inf`` where q excludes what p does not.

    Examples
    --------
    >>> bernoulli_kl([[0.0]], [[1.0]]).round(4)
    array([0.1201])
    """
    p, q = as_reals((logits_p, "logits_p"), (logits_q, "logits_q"))
    rows = as_rows(p, "logits_p")
    kl = np.empty(len(rows), p.dtype)
    _core.bernoulli_kl(kl, rows, check_shape(q, "logits_q", p.shape).reshape(rows.shape), bound)
    return kl.reshape(p.shape[:-1])


def bernoulli_kl_backward(dkl: ArrayLike, logits_p: ArrayLike, logits_q: ArrayLike, *,
                          bound: float = 0.0) -> tuple[NDArray, NDArray]:
    """Gradients of ``sum(dkl * bernoulli_kl(logits_p, logits_q))``.

    Parameters
    ----------
    dkl : array_like, shape (...)
    logits_p, logits_q : array_like, shape (..., K)
    bound : float, default 0
        Of both, as in `bernoulli_sample`.

    Returns
    -------
    dlogits_p, dlogits_q : ndarray, shape (..., K)

    Examples
    --------
    >>> dp, dq = bernoulli_kl_backward([1.0], [[0.0]], [[1.0]])
    >>> dp, dq.round(4)
    (array([[-0.25]]), array([[0.2311]]))
    """
    p, q = as_reals((logits_p, "logits_p"), (logits_q, "logits_q"))
    rows = as_rows(p, "logits_p")
    dkl = check_shape(as_real(dkl, "dkl", dtype=p.dtype), "dkl", p.shape[:-1]).reshape(-1)
    dp, dq = np.empty_like(rows), np.empty_like(rows)
    _core.bernoulli_kl_backward(dp, dq, dkl, rows,
                                check_shape(q, "logits_q", p.shape).reshape(rows.shape), bound)
    return dp.reshape(p.shape), dq.reshape(p.shape)
