"""Transposed convolution of images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_pair, as_real, as_reals, check_shape, out_array


def conv_transpose2d(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, *,
                     stride: int | tuple[int, int] = 1, padding: int | tuple[int, int] = 0,
                     output_padding: int | tuple[int, int] = 0,
                     out: NDArray | None = None) -> NDArray:
    """Let each pixel of an image paint a kernel: what `conv2d` does, backwards [1]_.

    It is the gradient of `conv2d` with respect to its images: what lies ``stride`` apart in the
    output comes from neighbours in `x`, and kernels that overlap add up.

    Parameters
    ----------
    x : array_like, shape (N, C, P, Q)
        Images, channels, height, width. float32 and float64 are kept; integers become float64.
    weight : array_like, shape (C, O, K, L)
        For each channel O kernels of height K and width L.
    bias : array_like, shape (O,), optional
    stride : int or pair of int, default 1
        Steps between the kernels of neighbours, along height and width.
    padding : int or pair of int, default 0
        How many pixels are cut off along each side.
    output_padding : int or pair of int, default 0
        Pixels added at the bottom and on the right, where no kernel reaches unless `padding` has
        cut some off: sizes that `conv2d` rounds down to P are told apart by it. Below `stride`.
    out : ndarray, shape (N, O, H, W), optional
        Where to write. Must not overlap an input.

    Returns
    -------
    ndarray, shape (N, O, H, W)
        `out`, or a new array; ``H = (P - 1) * stride - 2 * padding + K + output_padding`` and W
        likewise.

    Raises
    ------
    TypeError
        If a dtype is not real, or `stride`, `padding` or `output_padding` no integer nor a pair.
    ValueError
        If shapes do not match, a number is out of range, or nothing is left of the image.

    References
    ----------
    .. [1] V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning",
       arXiv:1603.07285, 2016.

    Examples
    --------
    >>> conv_transpose2d([[[[1.0, 2.0]]]], [[[[1.0, 10.0, 100.0]]]], stride=2)
    array([[[[  1.,  10., 102.,  20., 200.]]]])
    """
    x, weight, bias = _inputs(x, weight, bias, "bias")
    stride, padding, size = _numbers(x, weight, stride, padding, output_padding)
    out = out_array(out, (len(x), weight.shape[1], *size), x.dtype)
    _core.conv2d_backward(None, weight, *stride, *padding, x, out, None, None)
    if bias is not None:
        out += check_shape(bias, "bias", (weight.shape[1],))[:, None, None]
    return out


def conv_transpose2d_backward(dout: ArrayLike, x: ArrayLike, weight: ArrayLike, *,
                              stride: int | tuple[int, int] = 1,
                              padding: int | tuple[int, int] = 0,
                              output_padding: int | tuple[int, int] = 0
                              ) -> tuple[NDArray, NDArray, NDArray]:
    """Gradients of `conv_transpose2d`.

    Parameters
    ----------
    dout : array_like, shape (N, O, H, W)
        Gradient with respect to the output.
    x : array_like, shape (N, C, P, Q)
        The input of the forward pass.
    weight : array_like, shape (C, O, K, L)
    stride, padding, output_padding : int or pair of int
        As in the forward pass.

    Returns
    -------
    dx : ndarray, shape (N, C, P, Q)
    dweight : ndarray, shape (C, O, K, L)
    dbias : ndarray, shape (O,)

    Raises
    ------
    TypeError, ValueError
        As `conv_transpose2d`.

    Examples
    --------
    >>> dx, dweight, dbias = conv_transpose2d_backward(
    ...     np.ones((1, 1, 1, 5)), [[[[1.0, 2.0]]]], [[[[1.0, 10.0, 100.0]]]], stride=2)
    >>> dx, dweight, dbias
    (array([[[[111., 111.]]]]), array([[[[3., 3., 3.]]]]), array([5.]))
    """
    x, weight, dout = _inputs(x, weight, dout, "dout")
    stride, padding, size = _numbers(x, weight, stride, padding, output_padding)
    check_shape(dout, "dout", (len(x), weight.shape[1], *size))
    dx, dweight = np.empty_like(x), np.zeros_like(weight)
    # forward: the gradient of a convolution of the output, so these are its two other passes
    _core.conv2d_forward(dout, weight, *stride, *padding, None, dx)
    _core.conv2d_backward(dout, weight, *stride, *padding, x, None, dweight, None)
    return dx, dweight, dout.sum((0, 2, 3))


def _inputs(x, weight, other, name):
    x, weight = as_real(x, "x", ndim=4), as_real(weight, "weight", ndim=4)
    if x.shape[1] != len(weight):
        raise ValueError(f"x has shape {x.shape}, expected (N, {len(weight)}, P, Q)")
    if other is None:
        return *as_reals((x, "x"), (weight, "weight")), None
    return as_reals((x, "x"), (weight, "weight"), (other, name))


def _numbers(x, weight, stride, padding, output_padding):
    """Stride and padding as pairs, and the size of the output."""
    stride, padding = as_pair(stride, "stride", least=1), as_pair(padding, "padding", least=0)
    return stride, padding, transposed_size(x.shape[2:], weight.shape[2:], stride, padding,
                                            as_pair(output_padding, "output_padding", least=0))


def transposed_size(size, kernel, stride, padding, output_padding):
    """Height and width that a transposed convolution makes of an image of `size`."""
    for extra, step in zip(output_padding, stride, strict=True):
        if extra >= step:
            raise ValueError(f"output_padding is {output_padding}, expected less than stride, "
                             f"{stride}")
    if min(size) < 1:
        raise ValueError(f"x has images of {tuple(size)}, expected at least (1, 1)")
    made = tuple((n - 1)*s - 2*p + k + e for n, s, p, k, e in
                 zip(size, stride, padding, kernel, output_padding, strict=True))
    if min(made) < 1:
        raise ValueError(f"padding is {padding}, expected less: it leaves an image of {made}")
    return made
