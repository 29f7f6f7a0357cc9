"""Larger images from small ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gatelearn.nn.base import Layer


class Upsample2d(Layer):
    """Each pixel `factor` times along height and width; a convolution usually follows [1]_.

    Parameters
    ----------
    factor : int, default 2

    References
    ----------
    .. [1] A. Odena, V. Dumoulin and C. Olah, "Deconvolution and Checkerboard Artifacts", Distill,
       2016.

    Examples
    --------
    >>> layer = Upsample2d()
    >>> y, saved = layer.forward(np.array([[[[1.0, 2.0]]]]))
    >>> y
    array([[[[1., 1., 2., 2.],
             [1., 1., 2., 2.]]]])
    >>> layer.backward(y, saved)
    array([[[[4., 8.]]]])
    """

    def __init__(self, factor: int = 2):
        if factor < 1:
            raise ValueError(f"factor is {factor}, expected at least 1")
        self.factor = factor

    def forward(self, x: NDArray) -> tuple[NDArray, tuple[int, ...]]:
        if x.ndim != 4:
            raise ValueError(f"x has shape {x.shape}, expected (N, C, H, W)")
        n, c, h, w = x.shape
        tall = (n, c, h, self.factor, w, self.factor)
        y = np.broadcast_to(x[:, :, :, None, :, None], tall)
        return y.reshape(n, c, h * self.factor, w * self.factor), tall

    def backward(self, dy: NDArray, saved: tuple[int, ...]) -> NDArray:
        # strided sums, in their order: faster than a sum over two short axes
        parts = dy.reshape(saved)
        dx = np.zeros((*saved[:3], saved[4]), dy.dtype)
        for i in range(self.factor):
            for j in range(self.factor):
                dx += parts[:, :, :, i, :, j]
        return dx
