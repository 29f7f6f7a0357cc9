"""Transposed convolution: from small maps to large ones."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gatelearn import _core
from gatelearn._convert import as_pair
from gatelearn.nn.base import Layer


class ConvTranspose2d(Layer):
    """Each pixel of a small map paints a kernel into a larger one [1]_.

    Forward is the gradient of a convolution with respect to its input, and backward a convolution:
    both are the kernels of :func:`gatelearn.functional.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size : int or pair of int
        Height K and width L of the kernel.
    stride : int or pair of int, default 1
        Steps between the places of neighbouring pixels.
    padding : int or pair of int, default 0
        How much is cut off around the larger map.
    output_padding : int or pair of int, default 0
        How many rows and columns more the larger map has, below `stride`.
    bias : bool, default True
        Whether there is one; it starts at 0.
    gain : float, default sqrt(2)
        Multiplies the initial `weight`, of shape (C, O, K, L), which is uniform with standard
        deviation ``gain / sqrt(C * K * L / (stride height * stride width))``: so many products a
        pixel is the sum of.

    References
    ----------
    .. [1] M. D. Zeiler, D. Krishnan, G. W. Taylor and R. Fergus, "Deconvolutional Networks", CVPR
       2010.

    Examples
    --------
    >>> layer = ConvTranspose2d(16, 3, 4, stride=2, padding=1).build(seed=0)
    >>> y, saved = layer.forward(np.ones((1, 16, 8, 5), np.float32))
    >>> y.shape, layer.backward(y, saved).shape
    ((1, 3, 16, 10), (1, 16, 8, 5))
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int], *,
                 stride: int | tuple[int, int] = 1, padding: int | tuple[int, int] = 0,
                 output_padding: int | tuple[int, int] = 0, bias: bool = True,
                 gain: float = math.sqrt(2)):
        self.in_channels, self.out_channels, self.bias = in_channels, out_channels, bias
        self.kernel_size = as_pair(kernel_size, "kernel_size", least=1)
        self.stride = as_pair(stride, "stride", least=1)
        self.padding = as_pair(padding, "padding", least=0)
        self.output_padding = as_pair(output_padding, "output_padding", least=0)
        if any(more >= step for more, step in zip(self.output_padding, self.stride, strict=True)):
            raise ValueError(f"output_padding is {self.output_padding}, expected below stride, "
                             f"{self.stride}")
        self.gain = gain

    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {
            "weight": (self.in_channels, self.out_channels, *self.kernel_size)}
        return shapes | {"bias": (self.out_channels,)} if self.bias else shapes

    def initialise(self, rng: np.random.Generator) -> None:
        weight = self.param["weight"]
        products = self.in_channels * math.prod(self.kernel_size) / math.prod(self.stride)
        weight[...] = self.gain * rng.uniform(-1, 1, weight.shape) * math.sqrt(3 / products)
        if self.bias:
            self.param["bias"][...] = 0

    def forward(self, x: NDArray) -> tuple[NDArray, NDArray]:
        weight, x = self.param["weight"], np.ascontiguousarray(x)
        if x.ndim != 4 or x.shape[1] != self.in_channels or 0 in x.shape[2:]:
            raise ValueError(f"x has shape {x.shape}, expected (N, {self.in_channels}, H, W)")
        if x.dtype != weight.dtype:
            raise TypeError(f"x has dtype {x.dtype}, expected {weight.dtype} as the parameters")
        size = [(n - 1) * step - 2 * cut + kernel + more for n, step, cut, kernel, more in
                zip(x.shape[2:], self.stride, self.padding, self.kernel_size, self.output_padding,
                    strict=True)]
        if min(size) < 1:
            raise ValueError(f"padding is {self.padding}, which leaves nothing of x with shape "
                             f"{x.shape}")
        y = np.empty((len(x), self.out_channels, *size), weight.dtype)
        # of the convolution from y to x only shapes are read
        _core.conv2d_backward(np.empty_like(y), weight, *self.stride, *self.padding, x, y, None,
                              None)
        if self.bias:
            y += self.param["bias"][:, None, None]
        return y, x

    def backward(self, dy: NDArray, saved: NDArray) -> NDArray:
        weight, dy, dx = self.param["weight"], np.ascontiguousarray(dy), np.empty_like(saved)
        _core.conv2d_forward(dy, weight, *self.stride, *self.padding, None, dx)
        _core.conv2d_backward(dy, weight, *self.stride, *self.padding, saved, None,
                              self.grad["weight"], None)
        if self.bias:
            self.grad["bias"] += dy.sum((0, 2, 3))
        return dx
