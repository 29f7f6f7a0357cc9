"""Max-pooling of images."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import (
    as_index,
    as_pair,
    as_real,
    check_shape,
    window_counts,
)


def max_pool2d(x: ArrayLike, kernel_size: int | tuple[int, int],
               stride: int | tuple[int, int] | None = None,
               padding: int | tuple[int, int] = 0) -> tuple[NDArray, NDArray[np.int64]]:
    """Return the largest value of each window of an image [1]_, and where it stands.

    NaN is larger than any number. Of equal values the first counts, row by row.

    Parameters
    ----------
    x : array_like, shape (..., H, W)
        float32 and float64 are kept; integers become float64.
    kernel_size : int or pair of int
        Height and width of a window.
    stride : int or pair of int, optional
        Steps between windows; `kernel_size` by default.
    padding : int or pair of int, default 0
        How far windows reach beyond the image, at most half of `kernel_size`. What lies there
        never counts.

    Returns
    -------
    y : ndarray, shape (..., P, Q)
        ``P = (H + 2 * padding - kernel_size) // stride + 1`` and Q likewise.
    index : ndarray of int64, shape (..., P, Q)
        Where each value stands in its image, ``h * W + w``, for `max_pool2d_backward`.

    Raises
    ------
    TypeError
        If the dtype is not real, or a number no integer nor a pair of them.
    ValueError
        If `x` has less than 2 axes or one of them is empty, a window is larger than the padded
        image, or a number is out of range.

    References
    ----------
    .. [1] D. Scherer, A. Müller and S. Behnke, "Evaluation of Pooling Operations in Convolutional
       Architectures for Object Recognition", ICANN 2010.

    Examples
    --------
    >>> y, index = max_pool2d([[1.0, 2.0, 0.0, 0.0], [3.0, 1.0, 0.0, 5.0]], 2)
    >>> y, index
    (array([[3., 5.]]), array([[4, 7]]))
    """
    x = as_real(x, "x")
    if x.ndim < 2:
        raise ValueError(f"x has {x.ndim} dimensions, expected at least 2")
    kernel = as_pair(kernel_size, "kernel_size", least=1)
    steps = kernel if stride is None else as_pair(stride, "stride", least=1)
    padding = as_pair(padding, "padding", least=0)
    if any(2*p > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(f"padding is {padding}, expected at most half of kernel_size, {kernel}")
    counts = window_counts(x.shape[-2:], kernel, "kernel_size", steps, padding)
    shape = (*x.shape[:-2], *counts)
    y, index = np.empty(shape, x.dtype), np.empty(shape, np.int64)
    _core.max_pool2d_forward(_planes(y), _planes(index), _planes(x), *kernel, *steps, *padding)
    return y, index


def max_pool2d_backward(dout: ArrayLike, index: ArrayLike, size: tuple[int, int]) -> NDArray:
    """Gradient of `max_pool2d`: each value of `dout` goes to where the largest one stood.

    Parameters
    ----------
    dout : array_like, shape (..., P, Q)
        Gradient with respect to the output.
    index : array_like of int, shape (..., P, Q)
        What the forward pass returned.
    size : pair of int
        H and W of the image.

    Returns
    -------
    ndarray, shape (..., H, W)

    Raises
    ------
    IndexError
        If an index is out of range.
    TypeError
        If a dtype is not right.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> max_pool2d_backward([[1.0, 2.0]], [[4, 7]], (2, 4))
    array([[0., 0., 0., 0.],
           [1., 0., 0., 2.]])
    """
    dout, index = as_real(dout, "dout"), as_index(index, "index")
    if dout.ndim < 2:
        raise ValueError(f"dout has {dout.ndim} dimensions, expected at least 2")
    check_shape(index, "index", dout.shape)
    dx = np.empty((*dout.shape[:-2], *as_pair(size, "size", least=0)), dout.dtype)
    _core.max_pool2d_backward(_planes(dx), _planes(dout), _planes(index))
    return dx


def _planes(a):
    return a.reshape(math.prod(a.shape[:-2]), *a.shape[-2:])
