"""Convolution of images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import (
    as_pair,
    as_real,
    as_reals,
    check_shape,
    out_array,
    window_counts,
)


def conv2d(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, *,
           stride: int | tuple[int, int] = 1, padding: int | tuple[int, int] = 0,
           out: NDArray | None = None) -> NDArray:
    """Convolve images with a kernel [1]_, as a product with their unfolded patches [2]_.

    The kernel is not flipped (a cross-correlation, as networks have it).

    Parameters
    ----------
    x : array_like, shape (N, C, H, W)
        Images, channels, height, width. float32 and float64 are kept; integers become float64.
        An array that is not contiguous is copied.
    weight : array_like, shape (O, C, K, L)
        O kernels of height K and width L.
    bias : array_like, shape (O,), optional
    stride : int or pair of int, default 1
        Steps of the kernel along height and width.
    padding : int or pair of int, default 0
        Zeros around the image. A weight that is not finite makes NaN of them.
    out : ndarray, shape (N, O, P, Q), optional
        Where to write. Must not overlap an input.

    Returns
    -------
    ndarray, shape (N, O, P, Q)
        `out`, or a new array; ``P = (H + 2 * padding - K) // stride + 1`` and Q likewise.

    Raises
    ------
    TypeError
        If a dtype is not real, or `stride` or `padding` no integer nor a pair of them.
    ValueError
        If shapes do not match, the kernel is larger than the padded image, or `stride` or
        `padding` is too small.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-Based Learning Applied to
       Document Recognition", Proceedings of the IEEE 86, 1998.
    .. [2] K. Chellapilla, S. Puri and P. Simard, "High Performance Convolutional Neural Networks
       for Document Processing", International Workshop on Frontiers in Handwriting Recognition,
       2006.

    Examples
    --------
    >>> conv2d([[[[1.0, 2.0, 4.0], [0.0, 1.0, 0.0]]]], [[[[-1.0, 1.0]]]])
    array([[[[ 1.,  2.],
             [ 1., -1.]]]])
    """
    x, weight, bias = _inputs(x, weight, bias)
    stride, padding = _numbers(stride, padding)
    out = out_array(out, _output_shape(x, weight, stride, padding), x.dtype)
    _core.conv2d_forward(x, weight, *stride, *padding, bias, out)
    return out


def conv2d_backward(dout: ArrayLike, x: ArrayLike, weight: ArrayLike, *,
                    stride: int | tuple[int, int] = 1, padding: int | tuple[int, int] = 0
                    ) -> tuple[NDArray, NDArray, NDArray]:
    """Gradients of `conv2d`.

    Parameters
    ----------
    dout : array_like, shape (N, O, P, Q)
        Gradient with respect to the output.
    x : array_like, shape (N, C, H, W)
        The input of the forward pass.
    weight : array_like, shape (O, C, K, L)
    stride, padding : int or pair of int
        As in the forward pass.

    Returns
    -------
    dx : ndarray, shape (N, C, H, W)
    dweight : ndarray, shape (O, C, K, L)
    dbias : ndarray, shape (O,)

    Raises
    ------
    TypeError
        If a dtype is not real, or `stride` or `padding` no integer nor a pair of them.
    ValueError
        If shapes do not match, the kernel is larger than the padded image, or `stride` or
        `padding` is too small.

    Examples
    --------
    >>> dx, dweight, dbias = conv2d_backward([[[[1.0, 2.0]]]], [[[[1.0, 0.0, 3.0]]]],
    ...                                      [[[[-1.0, 1.0]]]])
    >>> dx, dbias
    (array([[[[-1., -1.,  2.]]]]), array([3.]))
    >>> dweight
    array([[[[1., 6.]]]])
    """
    x, weight, dout = _inputs(x, weight, dout, "dout")
    stride, padding = _numbers(stride, padding)
    check_shape(dout, "dout", _output_shape(x, weight, stride, padding))
    dx, dweight = np.empty_like(x), np.zeros_like(weight)
    dbias = np.zeros(len(weight), x.dtype)
    _core.conv2d_backward(x, weight, *stride, *padding, dout, dx, dweight, dbias)
    return dx, dweight, dbias


def _inputs(x, weight, other, name="bias"):
    x, weight = as_real(x, "x", ndim=4), as_real(weight, "weight", ndim=4)
    if other is None:
        return *as_reals((x, "x"), (weight, "weight")), None
    return as_reals((x, "x"), (weight, "weight"), (other, name))


def _numbers(stride, padding):
    return as_pair(stride, "stride", least=1), as_pair(padding, "padding", least=0)


def _output_shape(x, weight, stride, padding):
    counts = window_counts(x.shape[2:], weight.shape[2:], "the kernel of weight", stride, padding)
    return len(x), len(weight), *counts
