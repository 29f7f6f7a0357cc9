"""Layer normalisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_reals, as_rows, check_shape, out_array


def layer_norm(x: ArrayLike, weight: ArrayLike, bias: ArrayLike, *, eps: float = 1e-5,
               out: NDArray | None = None) -> NDArray:
    """Normalise the last axis to mean 0 and variance 1, then scale and shift it [1]_.

    Parameters
    ----------
    x : array_like, shape (..., C)
        float32 and float64 are kept; integers become float64.
    weight, bias : array_like, shape (C,)
        Scale and shift.
    eps : float, default 1e-5
        Added to the variance.
    out : ndarray, shape (..., C), optional
        Where to write. May be `x` itself.

    Returns
    -------
    ndarray, shape (..., C)
        `out`, or a new array.

    Raises
    ------
    TypeError
        If a dtype is not real.
    ValueError
        If shapes do not match.

    References
    ----------
    .. [1] J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer Normalization", arXiv 1607.06450, 2016.

    Examples
    --------
    >>> layer_norm([[1.0, 3.0]], [1.0, 1.0], [0.0, 0.0], eps=0.0)
    array([[-1.,  1.]])
    """
    x, weight, bias = as_reals((x, "x"), (weight, "weight"), (bias, "bias"))
    rows = as_rows(x, "x")
    out = out_array(out, x.shape, x.dtype)
    mean, rstd = np.empty((2, len(rows)), x.dtype)
    _core.layer_norm_forward(out.reshape(rows.shape), mean, rstd, rows, weight, bias, eps)
    return out


def layer_norm_backward(dout: ArrayLike, x: ArrayLike, weight: ArrayLike, *,
                        eps: float = 1e-5) -> tuple[NDArray, NDArray, NDArray]:
    """Gradients of `layer_norm`.

    Parameters
    ----------
    dout : array_like, shape (..., C)
        Gradient with respect to the output.
    x : array_like, shape (..., C)
        The input of the forward pass.
    weight : array_like, shape (C,)
        Scale.
    eps : float, default 1e-5
        As in the forward pass.

    Returns
    -------
    dx : ndarray, shape (..., C)
    dweight, dbias : ndarray, shape (C,)

    Examples
    --------
    >>> dx, dweight, dbias = layer_norm_backward([[1.0, 0.0]], [[1.0, 3.0]], [1.0, 1.0], eps=0.0)
    >>> dweight, dbias
    (array([-1.,  0.]), array([1., 0.]))
    """
    dout, x, weight = as_reals((dout, "dout"), (x, "x"), (weight, "weight"))
    check_shape(dout, "dout", x.shape)
    rows = as_rows(x, "x")
    mean, rstd = np.empty((2, len(rows)), x.dtype)
    dx = np.empty_like(rows)
    _core.layer_norm_forward(dx, mean, rstd, rows, weight, np.zeros_like(weight), eps)
    dweight, dbias = np.zeros_like(weight), np.zeros_like(weight)
    _core.layer_norm_backward(dx, dweight, dbias, as_rows(dout, "dout"), rows, mean, rstd, weight)
    return dx.reshape(x.shape), dweight, dbias
