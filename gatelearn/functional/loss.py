"""Softmax, its logarithm and cross-entropy, over the last axis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_index, as_real, as_reals, as_rows, check_shape, out_array


def _map(f: Callable, x: ArrayLike, out: NDArray | None) -> NDArray:
    x = as_real(x, "x")
    rows = as_rows(x, "x")
    out = out_array(out, x.shape, x.dtype)
    f(as_rows(out, "out"), rows)
    return out


def _map_backward(f: Callable, dout: ArrayLike, y: ArrayLike, out: NDArray | None) -> NDArray:
    dout, y = as_reals((dout, "dout"), (y, "y"))
    check_shape(dout, "dout", y.shape)
    rows = as_rows(y, "y")
    out = out_array(out, y.shape, y.dtype)
    f(as_rows(out, "out"), as_rows(dout, "dout"), rows)
    return out


def softmax(x: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Return ``exp(x) / sum(exp(x))`` over the last axis.

    Parameters
    ----------
    x : array_like, shape (..., V)
        float32 and float64 are kept; integers become float64. ``-inf`` gives exactly 0.
    out : ndarray, shape of x, optional
        Where to write. May be `x` itself.

    Returns
    -------
    ndarray, shape of x
        `out`, or a new array. A row of ``-inf`` alone, and one with NaN or ``+inf``, is NaN.

    Raises
    ------
    TypeError
        If the dtype is not real.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> softmax([[1000.0, 1000.0, -float("inf")]])
    array([[0.5, 0.5, 0. ]])
    """
    return _map(_core.softmax_forward, x, out)


def softmax_backward(dout: ArrayLike, y: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Gradient of `softmax` from its output, ``y * (dout - sum(dout * y))``.

    Parameters
    ----------
    dout : array_like, shape (..., V)
        Gradient with respect to the output.
    y : array_like, shape (..., V)
        The output of the forward pass.
    out : ndarray, shape of y, optional
        Where to write. May be `dout` or `y`.

    Returns
    -------
    ndarray, shape (..., V)

    Raises
    ------
    TypeError
        If a dtype is not real.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> softmax_backward([[1.0, 0.0]], [[0.5, 0.5]])
    array([[ 0.25, -0.25]])
    """
    return _map_backward(_core.softmax_backward, dout, y, out)


def log_softmax(x: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Return ``x - log(sum(exp(x)))`` over the last axis.

    Parameters
    ----------
    x : array_like, shape (..., V)
        float32 and float64 are kept; integers become float64. ``-inf`` stays ``-inf``.
    out : ndarray, shape of x, optional
        Where to write. May be `x` itself.

    Returns
    -------
    ndarray, shape of x
        `out`, or a new array. A row of ``-inf`` alone, and one with NaN or ``+inf``, is NaN.

    Raises
    ------
    TypeError
        If the dtype is not real.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> log_softmax([[0.0, 0.0]]).round(4)
    array([[-0.6931, -0.6931]])
    """
    return _map(_core.log_softmax_forward, x, out)


def log_softmax_backward(dout: ArrayLike, y: ArrayLike, *,
                         out: NDArray | None = None) -> NDArray:
    """Gradient of `log_softmax` from its output, ``dout - exp(y) * sum(dout)``.

    Parameters
    ----------
    dout : array_like, shape (..., V)
        Gradient with respect to the output.
    y : array_like, shape (..., V)
        The output of the forward pass.
    out : ndarray, shape of y, optional
        Where to write. May be `dout` or `y`.

    Returns
    -------
    ndarray, shape (..., V)

    Raises
    ------
    TypeError
        If a dtype is not real.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> log_softmax_backward([[1.0, 0.0]], log_softmax([[0.0, 0.0]]))
    array([[ 0.5, -0.5]])
    """
    return _map_backward(_core.log_softmax_backward, dout, y, out)


def cross_entropy(logits: ArrayLike, targets: ArrayLike, *, ignore_index: int = -1) -> NDArray:
    """Return ``-log_softmax(logits)[target]`` for each row.

    Parameters
    ----------
    logits : array_like, shape (..., V)
        float32 and float64 are kept; integers become float64. ``-inf`` rules a class out.
    targets : array_like of int, shape (...)
        In ``[0, V)``, or `ignore_index`.
    ignore_index : int, default -1
        Rows with this target have loss 0 and no gradient, whatever their logits.

    Returns
    -------
    ndarray, shape (...)
        One loss a row; it is not averaged. A target that is ruled out costs ``inf``; NaN and
        ``+inf`` among the logits give NaN.

    Raises
    ------
    IndexError
        If a target is out of range.
    TypeError
        If a dtype is not right.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> cross_entropy([[0.0, 0.0], [0.0, 9.0]], [1, -1]).round(4)
    array([0.6931, 0.    ])
    """
    logits, targets, rows = _inputs(logits, targets)
    loss = np.empty(targets.shape, logits.dtype)
    _core.cross_entropy(loss.reshape(-1), None, rows, targets.reshape(-1), None, ignore_index)
    return loss


def cross_entropy_backward(dloss: ArrayLike | None, logits: ArrayLike, targets: ArrayLike, *,
                           ignore_index: int = -1,
                           out: NDArray | None = None) -> tuple[NDArray, NDArray]:
    """Loss and gradient of `cross_entropy` in one pass.

    Parameters
    ----------
    dloss : array_like, shape (...), or None
        Weight of each row, such as one over the number of rows for a mean. None stands for 1.
    logits : array_like, shape (..., V)
    targets : array_like of int, shape (...)
    ignore_index : int, default -1
        As in the forward pass.
    out : ndarray, shape (..., V), optional
        Where to write the gradient. May be `logits` itself.

    Returns
    -------
    loss : ndarray, shape (...)
        As `cross_entropy` gives it, without `dloss`.
    dlogits : ndarray, shape (..., V)
        ``(softmax(logits) - onehot(target)) * dloss``.

    Raises
    ------
    IndexError
        If a target is out of range; nothing is then written.
    TypeError
        If a dtype is not right.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> loss, dlogits = cross_entropy_backward([2.0], [[0.0, 0.0]], [1])
    >>> dlogits
    array([[ 1., -1.]])
    """
    logits, targets, rows = _inputs(logits, targets)
    if dloss is not None:
        dloss = as_real(dloss, "dloss", dtype=logits.dtype)
        check_shape(dloss, "dloss", targets.shape)
        dloss = dloss.reshape(-1)
    out = out_array(out, logits.shape, logits.dtype)
    loss = np.empty(targets.shape, logits.dtype)
    _core.cross_entropy(loss.reshape(-1), as_rows(out, "out"), rows, targets.reshape(-1), dloss,
                        ignore_index)
    return loss, out


def _inputs(logits, targets):
    logits = as_real(logits, "logits")
    targets = as_index(targets, "targets")
    rows = as_rows(logits, "logits")
    check_shape(targets, "targets", logits.shape[:-1])
    return logits, targets, rows
