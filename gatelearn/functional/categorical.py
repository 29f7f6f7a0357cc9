"""One choice of K a row, such as where to look next. A logit of ``-inf`` masks its choice."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import (
    as_index,
    as_real,
    as_reals,
    as_rows,
    as_uniforms,
    as_weights,
    check_shape,
    out_array,
)


def categorical_sample(logits: ArrayLike,
                       uniforms: ArrayLike) -> tuple[NDArray[np.int64], NDArray]:
    """Draw one choice a row from one uniform number, and give its log-probability.

    Parameters
    ----------
    logits : array_like, shape (..., K)
        float32 and float64 are kept; integers become float64. ``-inf`` masks a choice, which is
        then never drawn.
    uniforms : array_like, shape (...)
        In [0, 1), as ``rng.random`` gives them. The choice is the first at which the cumulative
        probability exceeds it.

    Returns
    -------
    actions : ndarray of int64, shape (...)
        In ``[0, K)``.
    logp : ndarray, shape (...)
        Log-probability of each action.

    Raises
    ------
    FloatingPointError
        If a row of `logits` holds NaN or ``+inf``, or is masked throughout.
    ValueError
        If a uniform number is outside [0, 1), or shapes differ.

    Examples
    --------
    >>> actions, logp = categorical_sample([[0.0, 0.0, -np.inf]], [0.7])
    >>> actions, logp.round(3)
    (array([1]), array([-0.693]))
    """
    logits = as_real(logits, "logits")
    rows = as_rows(logits, "logits")
    uniforms = as_uniforms(uniforms, "uniforms", logits.dtype)
    check_shape(uniforms, "uniforms", logits.shape[:-1])
    actions, logp = np.empty(len(rows), np.int64), np.empty(len(rows), rows.dtype)
    _core.categorical_sample(actions, logp, rows, uniforms.reshape(-1))
    return actions.reshape(uniforms.shape), logp.reshape(uniforms.shape)


def categorical_log_prob(logits: ArrayLike, actions: ArrayLike) -> NDArray:
    """Log-probability of each action.

    Parameters
    ----------
    logits : array_like, shape (..., K)
        ``-inf`` masks a choice, which then has log-probability ``-inf``.
    actions : array_like of int, shape (...)
        In ``[0, K)``.

    Returns
    -------
    ndarray, shape (...)
        NaN where a row holds NaN or ``+inf``, or is masked throughout.

    Raises
    ------
    IndexError
        If an action is out of range.

    Examples
    --------
    >>> categorical_log_prob([[0.0, 0.0], [0.0, -np.inf]], [1, 1]).round(3)
    array([-0.693,   -inf])
    """
    logits = as_real(logits, "logits")
    rows = as_rows(logits, "logits")
    actions = check_shape(as_index(actions, "actions"), "actions", logits.shape[:-1])
    logp = np.empty(len(rows), rows.dtype)
    _core.categorical_forward(logp, None, rows, actions.reshape(-1))
    return logp.reshape(actions.shape)


def categorical_entropy(logits: ArrayLike) -> NDArray:
    """Entropy of each row, in nats.

    Parameters
    ----------
    logits : array_like, shape (..., K)

    Returns
    -------
    ndarray, shape (...)

    Examples
    --------
    >>> categorical_entropy([[0.0, 0.0, -np.inf]]).round(3)
    array([0.693])
    """
    logits = as_real(logits, "logits")
    rows = as_rows(logits, "logits")
    entropy = np.empty(len(rows), rows.dtype)
    _core.categorical_forward(None, entropy, rows, None)
    return entropy.reshape(logits.shape[:-1])


def categorical_backward(logits: ArrayLike, actions: ArrayLike, dlogp: ArrayLike | None,
                         dentropy: ArrayLike | None = None, *,
                         out: NDArray | None = None) -> NDArray:
    """Gradient of ``sum(dlogp * log_prob + dentropy * entropy)`` with respect to the logits.

    Parameters
    ----------
    logits : array_like, shape (..., K)
    actions : array_like of int, shape (...)
        In ``[0, K)``.
    dlogp, dentropy : array_like, shape (...), or None
        Gradient with respect to `categorical_log_prob` and `categorical_entropy`; None is 0.
    out : ndarray, shape (..., K), optional
        Where to write. May be `logits` itself.

    Returns
    -------
    ndarray, shape (..., K)
        `out`, or a new array.

    Raises
    ------
    IndexError
        If an action is out of range.

    Examples
    --------
    >>> categorical_backward([[0.0, 0.0]], [1], [2.0])
    array([[-1.,  1.]])
    """
    logits = as_real(logits, "logits")
    rows = as_rows(logits, "logits")
    actions = check_shape(as_index(actions, "actions"), "actions", logits.shape[:-1])
    weights = [as_weights(dlogp, "dlogp", actions.shape, logits.dtype),
               as_weights(dentropy, "dentropy", actions.shape, logits.dtype)]
    out = out_array(out, logits.shape, logits.dtype)
    _core.categorical_backward(out.reshape(rows.shape), *weights, rows, actions.reshape(-1))
    return out


def categorical_kl(logits_p: ArrayLike, logits_q: ArrayLike) -> NDArray:
    """Kullback-Leibler divergence KL(p || q) of each row.

    Parameters
    ----------
    logits_p, logits_q : array_like, shape (..., K)

    Returns
    -------
    ndarray, shape (...)
        ``inf`` where q masks what p does not.

    Examples
    --------
    >>> categorical_kl([[0.0, 0.0]], [[0.0, 1.0]]).round(4)
    array([0.1201])
    """
    p, q = as_reals((logits_p, "logits_p"), (logits_q, "logits_q"))
    rows = as_rows(p, "logits_p")
    kl = np.empty(len(rows), p.dtype)
    _core.categorical_kl(kl, rows, check_shape(q, "logits_q", p.shape).reshape(rows.shape))
    return kl.reshape(p.shape[:-1])


def categorical_kl_backward(dkl: ArrayLike, logits_p: ArrayLike,
                            logits_q: ArrayLike) -> tuple[NDArray, NDArray]:
    """Gradients of ``sum(dkl * categorical_kl(logits_p, logits_q))``.

    Parameters
    ----------
    dkl : array_like, shape (...)
    logits_p, logits_q : array_like, shape (..., K)

    Returns
    -------
    dlogits_p, dlogits_q : ndarray, shape (..., K)

    Examples
    --------
    >>> dp, dq = categorical_kl_backward([1.0], [[0.0, 0.0]], [[0.0, 1.0]])
    >>> dp, dq.round(4)
    (array([[ 0.25, -0.25]]), array([[-0.2311,  0.2311]]))
    """
    p, q = as_reals((logits_p, "logits_p"), (logits_q, "logits_q"))
    rows = as_rows(p, "logits_p")
    dkl = check_shape(as_real(dkl, "dkl", dtype=p.dtype), "dkl", p.shape[:-1]).reshape(-1)
    dp, dq = np.empty_like(rows), np.empty_like(rows)
    _core.categorical_kl_backward(dp, dq, dkl, rows,
                                  check_shape(q, "logits_q", p.shape).reshape(rows.shape))
    return dp.reshape(p.shape), dq.reshape(p.shape)
