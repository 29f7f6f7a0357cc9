"""The convolutional network that agents see Atari games with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn.nn.base import Layer, Sequential
from gatelearn.nn.convolution import Conv2d, Flatten
from gatelearn.nn.layers import Linear, ReLU


class Pixels(Layer):
    """Bytes as numbers from 0 to 1, of the type that the network's parameters have.

    Parameters
    ----------
    dtype : float32 or float64, default float32

    Examples
    --------
    >>> Pixels().forward(np.array([[0, 51, 255]], np.uint8))[0].round(3)
    array([[0. , 0.2, 1. ]], dtype=float32)
    """

    def __init__(self, dtype: Any = np.float32):
        self.dtype = np.dtype(dtype)

    def forward(self, x: NDArray[np.uint8]) -> tuple[NDArray, None]:
        if not isinstance(x, np.ndarray) or x.dtype != np.uint8:
            raise TypeError(f"x has dtype {getattr(x, 'dtype', type(x).__name__)}, expected uint8")
        return np.multiply(x, self.dtype.type(1 / 255), dtype=self.dtype), None

    def backward(self, dy: NDArray | None, saved: None) -> None:
        """Bytes have no gradient."""


def nature_cnn(channels: int = 4, width: int = 512) -> Sequential:
    """Return the network of deep Q-learning [1]_: frames of 84 by 84 pixels to a state.

    Three convolutions, of 32 kernels 8 x 8 in steps of 4, 64 of 4 x 4 in steps of 2 and 64 of
    3 x 3, and a fully connected layer, each with rectifiers.

    Parameters
    ----------
    channels : int, default 4
        Frames of an observation.
    width : int, default 512
        Of the state.

    Returns
    -------
    Sequential

    References
    ----------
    .. [1] V. Mnih et al., "Human-level control through deep reinforcement learning", Nature 518,
       2015.

    Examples
    --------
    >>> network = nature_cnn().build(seed=0)
    >>> state, saved = network.forward(np.zeros((2, 4, 84, 84), np.uint8))
    >>> state.shape, network.params.size
    ((2, 512), 1684128)
    """
    return Sequential(
        Pixels(), Conv2d(channels, 32, 8, stride=4, input_gradient=False, init="orthogonal"),
        ReLU(), Conv2d(32, 64, 4, stride=2, init="orthogonal"), ReLU(),
        Conv2d(64, 64, 3, init="orthogonal"), ReLU(), Flatten(),
        Linear(64 * 7 * 7, width, gain=math.sqrt(2)), ReLU())
