"""Layers of images (N, C, H, W)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gatelearn import _core
from gatelearn._convert import as_pair, window_counts
from gatelearn.functional.conv_transpose import conv_transpose2d, conv_transpose2d_backward
from gatelearn.functional.max_pool import max_pool2d, max_pool2d_backward
from gatelearn.nn.base import Layer
from gatelearn.nn.layers import orthogonal


class Conv2d(Layer):
    """Convolution of images, as :func:`gatelearn.functional.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size : int or pair of int
        Height K and width L of the kernel.
    stride : int or pair of int, default 1
        Steps of the kernel.
    padding : int or pair of int, default 0
        Zeros around the image.
    bias : bool, default True
        Whether there is one; it starts at 0.
    input_gradient : bool, default True
        Whether `backward` returns the gradient of the images. The first layer of a network needs
        none, and it costs as much as that of the weights.
    init : {'uniform', 'orthogonal'}, default 'uniform'
        How `weight`, of shape (O, C, K, L), is drawn: uniformly as [1]_ scales it, with standard
        deviation ``gain / sqrt(C * K * L)``, or with kernels that are orthogonal to each other.
    gain : float, default sqrt(2)
        Multiplies the initial weights. sqrt(2) keeps the scale through rectifiers.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving Deep into Rectifiers: Surpassing Human-Level
       Performance on ImageNet Classification", ICCV 2015.

    Examples
    --------
    >>> layer = Conv2d(3, 8, 5, stride=2, padding=2).build(seed=0)
    >>> y, saved = layer.forward(np.ones((1, 3, 32, 20), np.float32))
    >>> y.shape, layer.backward(y, saved).shape
    ((1, 8, 16, 10), (1, 3, 32, 20))
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int], *,
                 stride: int | tuple[int, int] = 1, padding: int | tuple[int, int] = 0,
                 bias: bool = True, input_gradient: bool = True, init: str = "uniform",
                 gain: float = math.sqrt(2)):
        if init not in ("uniform", "orthogonal"):
            raise ValueError(f"init is {init!r}, expected 'uniform' or 'orthogonal'")
        self.in_channels, self.out_channels, self.bias = in_channels, out_channels, bias
        self.kernel_size = as_pair(kernel_size, "kernel_size", least=1)
        self.stride = as_pair(stride, "stride", least=1)
        self.padding = as_pair(padding, "padding", least=0)
        self.input_gradient, self.init, self.gain = input_gradient, init, gain

    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {
            "weight": (self.out_channels, self.in_channels, *self.kernel_size)}
        return shapes | {"bias": (self.out_channels,)} if self.bias else shapes

    def initialise(self, rng: np.random.Generator) -> None:
        weight = self.param["weight"]
        patch = math.prod(weight.shape[1:])
        if self.init == "orthogonal":
            drawn = orthogonal(rng, self.out_channels, patch)
        else:
            drawn = rng.uniform(-1, 1, (self.out_channels, patch)) * math.sqrt(3 / patch)
        weight[...] = self.gain * drawn.reshape(weight.shape)
        if self.bias:
            self.param["bias"][...] = 0

    def forward(self, x: NDArray) -> tuple[NDArray, NDArray]:
        weight, x = self.param["weight"], np.ascontiguousarray(x)
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"x has shape {x.shape}, expected (N, {self.in_channels}, H, W)")
        if x.dtype != weight.dtype:
            raise TypeError(f"x has dtype {x.dtype}, expected {weight.dtype} as the parameters")
        counts = window_counts(x.shape[2:], self.kernel_size, "kernel_size", self.stride,
                               self.padding)
        y = np.empty((len(x), self.out_channels, *counts), weight.dtype)
        _core.conv2d_forward(x, weight, *self.stride, *self.padding, self.param.get("bias"), y)
        return y, x

    def backward(self, dy: NDArray, saved: NDArray) -> NDArray | None:
        dx = np.empty_like(saved) if self.input_gradient else None
        _core.conv2d_backward(saved, self.param["weight"], *self.stride, *self.padding,
                              np.ascontiguousarray(dy), dx, self.grad["weight"],
                              self.grad.get("bias"))
        return dx


class ConvTranspose2d(Layer):
    """Transposed convolution of images, as :func:`gatelearn.functional.conv_transpose2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size : int or pair of int
        Height K and width L of the kernel.
    stride : int or pair of int, default 1
        Steps between the kernels of neighbours.
    padding : int or pair of int, default 0
        How many pixels are cut off along each side.
    output_padding : int or pair of int, default 0
        Pixels added at the bottom and on the right.
    bias : bool, default True
        Whether there is one; it starts at 0.
    init : {'uniform', 'orthogonal'}, default 'uniform'
        As of `Conv2d`; `weight` has the shape (C, O, K, L), and an output pixel sees
        ``C * K * L / stride**2`` numbers.
    gain : float, default sqrt(2)

    Examples
    --------
    >>> layer = ConvTranspose2d(8, 3, 4, stride=2, padding=1).build(seed=0)
    >>> y, saved = layer.forward(np.ones((1, 8, 16, 10), np.float32))
    >>> y.shape, layer.backward(y, saved).shape
    ((1, 3, 32, 20), (1, 8, 16, 10))
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int], *,
                 stride: int | tuple[int, int] = 1, padding: int | tuple[int, int] = 0,
                 output_padding: int | tuple[int, int] = 0, bias: bool = True,
                 init: str = "uniform", gain: float = math.sqrt(2)):
        if init not in ("uniform", "orthogonal"):
            raise ValueError(f"init is {init!r}, expected 'uniform' or 'orthogonal'")
        self.in_channels, self.out_channels, self.bias = in_channels, out_channels, bias
        self.kernel_size = as_pair(kernel_size, "kernel_size", least=1)
        self.stride = as_pair(stride, "stride", least=1)
        self.padding = as_pair(padding, "padding", least=0)
        self.output_padding = as_pair(output_padding, "output_padding", least=0)
        self.init, self.gain = init, gain

    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {
            "weight": (self.in_channels, self.out_channels, *self.kernel_size)}
        return shapes | {"bias": (self.out_channels,)} if self.bias else shapes

    def initialise(self, rng: np.random.Generator) -> None:
        weight = self.param["weight"]
        C, patch = len(weight), math.prod(weight.shape[1:])
        seen = C * math.prod(self.kernel_size) / math.prod(self.stride)
        if self.init == "orthogonal":
            drawn = orthogonal(rng, C, patch)
        else:
            drawn = rng.uniform(-1, 1, (C, patch)) * math.sqrt(3 / seen)
        weight[...] = self.gain * drawn.reshape(weight.shape)
        if self.bias:
            self.param["bias"][...] = 0

    def forward(self, x: NDArray) -> tuple[NDArray, NDArray]:
        weight, x = self.param["weight"], np.ascontiguousarray(x)
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"x has shape {x.shape}, expected (N, {self.in_channels}, H, W)")
        if x.dtype != weight.dtype:
            raise TypeError(f"x has dtype {x.dtype}, expected {weight.dtype} as the parameters")
        return conv_transpose2d(x, weight, self.param.get("bias"), stride=self.stride,
                                padding=self.padding, output_padding=self.output_padding), x

    def backward(self, dy: NDArray, saved: NDArray) -> NDArray:
        dx, dweight, dbias = conv_transpose2d_backward(
            dy, saved, self.param["weight"], stride=self.stride, padding=self.padding,
            output_padding=self.output_padding)
        self.grad["weight"] += dweight
        if self.bias:
            self.grad["bias"] += dbias
        return dx


class MaxPool2d(Layer):
    """The largest value of each window, as :func:`gatelearn.functional.max_pool2d`.

    Parameters
    ----------
    kernel_size : int or pair of int
        Height and width of a window.
    stride : int or pair of int, optional
        Steps between windows; `kernel_size` by default.
    padding : int or pair of int, default 0
        How far windows reach beyond the image, at most half of `kernel_size`.

    Examples
    --------
    >>> layer = MaxPool2d(2)
    >>> y, saved = layer.forward(np.arange(8.0).reshape(1, 1, 2, 4))
    >>> y
    array([[[[5., 7.]]]])
    >>> layer.backward(np.ones_like(y), saved)
    array([[[[0., 0., 0., 0.],
             [0., 1., 0., 1.]]]])
    """

    def __init__(self, kernel_size: int | tuple[int, int],
                 stride: int | tuple[int, int] | None = None,
                 padding: int | tuple[int, int] = 0):
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: NDArray) -> tuple[NDArray, tuple[NDArray, tuple[int, ...]]]:
        y, index = max_pool2d(x, self.kernel_size, self.stride, self.padding)
        return y, (index, x.shape[-2:])

    def backward(self, dy: NDArray, saved: tuple[NDArray, tuple[int, ...]]) -> NDArray:
        return max_pool2d_backward(dy, *saved)


class Flatten(Layer):
    """All axes but the first as one.

    Examples
    --------
    >>> y, saved = Flatten().forward(np.ones((2, 3, 4, 5)))
    >>> y.shape, Flatten().backward(y, saved).shape
    ((2, 60), (2, 3, 4, 5))
    """

    def forward(self, x: NDArray) -> tuple[NDArray, tuple[int, ...]]:
        if x.ndim == 0:
            raise ValueError("x has 0 dimensions, expected at least 1")
        return x.reshape(len(x), math.prod(x.shape[1:])), x.shape

    def backward(self, dy: NDArray, saved: tuple[int, ...]) -> NDArray:
        return dy.reshape(saved)
