"""Positions that are added to embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gatelearn import functional as F
from gatelearn._convert import as_real
from gatelearn.nn.base import Layer, check_input


class SinusoidalPositions(Layer):
    """Add sines and cosines of falling frequency [1]_; nothing is learned, T is not bounded.

    Parameters
    ----------
    base : float, default 10000
        As :func:`gatelearn.functional.sinusoidal_positions` has it.

    References
    ----------
    .. [1] A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017.

    Examples
    --------
    >>> SinusoidalPositions().forward(np.zeros((1, 2, 2)))[0].round(2)
    array([[[0.  , 1.  ],
            [0.84, 0.54]]])
    """

    def __init__(self, base: float = 10000.0):
        self.base = base

    def forward(self, x: NDArray) -> tuple[NDArray, None]:
        """Return x (B, T, C) + positions (T, C)."""
        x = as_real(x, "x", ndim=3)
        return x + F.sinusoidal_positions(*x.shape[1:], self.base, x.dtype), None

    def backward(self, dy: NDArray, saved: None) -> NDArray:
        return dy


class LearnedPositions(Layer):
    """Add a learned row for each step.

    Parameters
    ----------
    max_length : int
        The largest T.
    width : int
        Channels C.
    std : float, default 0.02
        Standard deviation of the initial values.

    Examples
    --------
    >>> layer = LearnedPositions(10, 4).build(seed=0)
    >>> y, saved = layer.forward(np.zeros((2, 3, 4), np.float32))
    >>> bool((y == layer.param["table"][:3]).all())
    True
    """

    def __init__(self, max_length: int, width: int, *, std: float = 0.02):
        self.max_length, self.width, self.std = max_length, width, std

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"table": (self.max_length, self.width)}

    def initialise(self, rng: np.random.Generator) -> None:
        self.param["table"][...] = self.std * rng.standard_normal((self.max_length, self.width))

    def forward(self, x: NDArray) -> tuple[NDArray, None]:
        """Return x (B, T, C) + table[:T]."""
        table = self.param["table"]
        check_input(x, self.width, table.dtype)
        T = x.shape[1]
        if T > self.max_length:
            raise ValueError(f"x.shape[1] is {T}, expected at most max_length = {self.max_length}")
        return x + table[:T], None

    def backward(self, dy: NDArray, saved: None) -> NDArray:
        self.grad["table"][:dy.shape[1]] += dy.sum(0)
        return dy
