"""Affine maps of the last axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_reals, as_rows, check_shape, out_array


def linear(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, *,
           transposed: bool = False, out: NDArray | None = None) -> NDArray:
    """Return ``x @ weight + bias``, or ``x @ weight.T + bias`` with `transposed`.

    Parameters
    ----------
    x : array_like, shape (..., I)
        float32 and float64 are kept; integers become float64.
    weight : array_like, shape (I, O)
        Or (O, I) with `transposed`: a table of embeddings then serves as output layer as it is.
    bias : array_like, shape (O,), optional
    transposed : bool, default False
    out : ndarray, shape (..., O), optional
        Where to write. Must not overlap an input.

    Returns
    -------
    ndarray, shape (..., O)
        `out`, or a new array.

    Raises
    ------
    TypeError
        If a dtype is not real.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> linear([[1.0, 2.0]], [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], [0.0, 0.0, 0.5])
    array([[1. , 2. , 3.5]])
    >>> linear([1.0, 2.0], [[3.0, 4.0]], transposed=True)
    array([11.])
    """
    x, weight, bias = _inputs(x, weight, bias)
    rows = as_rows(x, "x")
    out = out_array(out, (*x.shape[:-1], weight.shape[0 if transposed else 1]), x.dtype)
    _core.linear_forward(as_rows(out, "out"), rows, weight, bias, bool(transposed))
    return out


def linear_backward(dout: ArrayLike, x: ArrayLike, weight: ArrayLike, *,
                    transposed: bool = False) -> tuple[NDArray, NDArray, NDArray]:
    """Gradients of `linear`.

    Parameters
    ----------
    dout : array_like, shape (..., O)
        Gradient with respect to the output.
    x : array_like, shape (..., I)
        The input of the forward pass.
    weight : array_like, shape (I, O) or (O, I)
    transposed : bool, default False
        As in the forward pass.

    Returns
    -------
    dx : ndarray, shape (..., I)
    dweight : ndarray, shape of weight
    dbias : ndarray, shape (O,)

    Raises
    ------
    TypeError
        If a dtype is not real.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> dx, dweight, dbias = linear_backward([[1.0]], [[2.0, 3.0]], [[4.0], [5.0]])
    >>> dx, dbias
    (array([[4., 5.]]), array([1.]))
    >>> dweight
    array([[2.],
           [3.]])
    """
    dout, x, weight = as_reals((dout, "dout"), (x, "x"), (weight, "weight"))
    _check_matrix(weight)
    rows = as_rows(x, "x")
    outputs = weight.shape[0 if transposed else 1]
    check_shape(dout, "dout", (*x.shape[:-1], outputs))
    dx, dweight, dbias = np.empty_like(rows), np.zeros_like(weight), np.zeros(outputs, x.dtype)
    _core.linear_backward(dx, dweight, dbias, as_rows(dout, "dout"), rows, weight, bool(transposed))
    return dx.reshape(x.shape), dweight, dbias


def _inputs(x, weight, bias):
    if bias is None:
        x, weight = as_reals((x, "x"), (weight, "weight"))
    else:
        x, weight, bias = as_reals((x, "x"), (weight, "weight"), (bias, "bias"))
    _check_matrix(weight)
    return x, weight, bias


def _check_matrix(weight):
    if weight.ndim != 2:
        raise ValueError(f"weight has {weight.ndim} dimensions, expected 2")
