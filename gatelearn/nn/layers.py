"""Plain layers. Each works on the last axis of an input of shape (..., C)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_index, as_rows
from gatelearn.nn.base import Layer


def _rows(x: NDArray, width: int, name: str = "x") -> NDArray:
    if x.ndim == 0 or x.shape[-1] != width:
        raise ValueError(f"{name} has shape {x.shape}, expected (..., {width})")
    return as_rows(np.ascontiguousarray(x), name)


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float64]:
    """Return a random matrix with orthonormal rows or columns, whichever are fewer [1]_.

    Parameters
    ----------
    rng : numpy.random.Generator
    rows, columns : int

    Returns
    -------
    ndarray, shape (rows, columns)

    References
    ----------
    .. [1] A. M. Saxe, J. L. McClelland and S. Ganguli, "Exact solutions to the nonlinear dynamics
       of learning in deep linear neural networks", ICLR 2014.

    Examples
    --------
    >>> w = orthogonal(np.random.default_rng(0), 3, 2)
    >>> bool(np.allclose(w.T @ w, np.eye(2)))
    True
    """
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    # the signs make the distribution uniform
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    return q if rows >= columns else q.T


class Linear(Layer):
    """``x @ weight + bias``.

    Parameters
    ----------
    inputs, outputs : int
        Widths I and O.
    bias : bool, default True
        Whether there is one; it starts at 0.
    init : {'orthogonal', 'normal'}, default 'orthogonal'
        How `weight`, of shape (I, O), is drawn. ``'normal'`` has standard deviation 1 / sqrt(I).
    gain : float, default 1
        Multiplies the initial weights. 0.01 is usual for the last layer of a policy.
    input_gradient : bool, default True
        Whether `backward` returns the gradient of `x`. A first layer needs none.

    Examples
    --------
    >>> layer = Linear(4, 2).build(seed=0)
    >>> y, saved = layer.forward(np.ones((3, 5, 4), np.float32))
    >>> y.shape, layer.backward(y, saved).shape
    ((3, 5, 2), (3, 5, 4))
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True, *, init: str = "orthogonal",
                 gain: float = 1.0, input_gradient: bool = True):
        if init not in ("orthogonal", "normal"):
            raise ValueError(f"init is {init!r}, expected 'orthogonal' or 'normal'")
        self.inputs, self.outputs, self.bias, self.init, self.gain = (
            inputs, outputs, bias, init, gain)
        self.input_gradient = input_gradient

    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"weight": (self.inputs, self.outputs)}
        return shapes | {"bias": (self.outputs,)} if self.bias else shapes

    def initialise(self, rng: np.random.Generator) -> None:
        if self.init == "orthogonal":
            weight = orthogonal(rng, self.inputs, self.outputs)
        else:
            weight = rng.standard_normal((self.inputs, self.outputs)) / math.sqrt(self.inputs)
        self.param["weight"][...] = self.gain * weight
        if self.bias:
            self.param["bias"][...] = 0

    def forward(self, x: NDArray) -> tuple[NDArray, NDArray]:
        weight = self.param["weight"]
        rows = _rows(x, self.inputs)
        y = np.empty((len(rows), self.outputs), weight.dtype)
        _core.linear_forward(y, rows, weight, self.param.get("bias"), False)
        return y.reshape(*x.shape[:-1], self.outputs), rows

    def backward(self, dy: NDArray, saved: NDArray) -> NDArray | None:
        dx = np.empty_like(saved) if self.input_gradient else None
        _core.linear_backward(dx, self.grad["weight"], self.grad.get("bias"),
                              _rows(dy, self.outputs, "dy"), saved, self.param["weight"], False)
        return None if dx is None else dx.reshape(*dy.shape[:-1], self.inputs)


class LayerNorm(Layer):
    """Mean 0 and variance 1 over the last axis, then a learned scale and shift.

    Parameters
    ----------
    width : int
        C, the length of the last axis.
    eps : float, default 1e-5
        Added to the variance.

    Examples
    --------
    >>> y, saved = LayerNorm(2).build().forward(np.array([[1.0, 3.0]], np.float32))
    >>> y.round(3)
    array([[-1.,  1.]], dtype=float32)
    """

    def __init__(self, width: int, eps: float = 1e-5):
        self.width, self.eps = width, eps

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.width,), "bias": (self.width,)}

    def initialise(self, rng: np.random.Generator) -> None:
        self.param["weight"][...] = 1
        self.param["bias"][...] = 0

    def forward(self, x: NDArray) -> tuple[NDArray, tuple[NDArray, NDArray]]:
        rows = _rows(x, self.width)
        y, stats = np.empty_like(rows), np.empty((2, len(rows)), rows.dtype)
        _core.layer_norm_forward(y, *stats, rows, self.param["weight"], self.param["bias"],
                                 self.eps)
        return y.reshape(x.shape), (rows, stats)

    def backward(self, dy: NDArray, saved: tuple[NDArray, NDArray]) -> NDArray:
        rows, stats = saved
        dx = np.empty_like(rows)
        _core.layer_norm_backward(dx, self.grad["weight"], self.grad["bias"],
                                  _rows(dy, self.width, "dy"), rows, *stats, self.param["weight"])
        return dx.reshape(dy.shape)


class _Map(Layer):
    """Element by element; what `backward` needs is the input or the output."""

    core_forward: Callable
    core_backward: Callable
    saves_output = True

    def forward(self, x: NDArray) -> tuple[NDArray, NDArray]:
        x = np.ascontiguousarray(x)
        y = np.empty_like(x)
        self.core_forward(y.reshape(-1), x.reshape(-1))
        return y, y if self.saves_output else x

    def backward(self, dy: NDArray, saved: NDArray) -> NDArray:
        dy = np.ascontiguousarray(dy)
        dx = np.empty_like(dy)
        self.core_backward(dx.reshape(-1), dy.reshape(-1), saved.reshape(-1))
        return dx


class Tanh(_Map):
    """Hyperbolic tangent.

    Examples
    --------
    >>> Tanh().forward(np.zeros(2))[0]
    array([0., 0.])
    """

    core_forward = staticmethod(_core.tanh_forward)
    core_backward = staticmethod(_core.tanh_backward)


class ReLU(_Map):
    """``max(x, 0)``.

    Examples
    --------
    >>> ReLU().forward(np.array([-1.0, 2.0]))[0]
    array([0., 2.])
    """

    core_forward = staticmethod(_core.relu_forward)
    core_backward = staticmethod(_core.relu_backward)


class Sigmoid(_Map):
    """``1 / (1 + exp(-x))``.

    Examples
    --------
    >>> Sigmoid().forward(np.zeros(2))[0]
    array([0.5, 0.5])
    """

    core_forward = staticmethod(_core.sigmoid_forward)
    core_backward = staticmethod(_core.sigmoid_backward)


class GELU(_Map):
    """Gaussian error linear unit.

    Parameters
    ----------
    approximate : {'tanh', 'none'}, default 'tanh'
        As :func:`gatelearn.functional.gelu` has it.

    Examples
    --------
    >>> GELU().forward(np.array([0.0, 1.0]))[0].round(4)
    array([0.    , 0.8412])
    """

    saves_output = False

    def __init__(self, approximate: str = "tanh"):
        if approximate not in ("tanh", "none"):
            raise ValueError(f"approximate is {approximate!r}, expected 'tanh' or 'none'")
        exact = approximate == "none"
        self.core_forward = _core.gelu_exact_forward if exact else _core.gelu_forward
        self.core_backward = _core.gelu_exact_backward if exact else _core.gelu_backward


class Embedding(Layer):
    """Rows of a learned table by index.

    `backward` returns None: an index has no gradient.

    Parameters
    ----------
    count, width : int
        Shape (V, C) of the table.
    std : float, default 1
        Standard deviation of the initial values.

    Examples
    --------
    >>> layer = Embedding(10, 4).build(seed=0)
    >>> y, saved = layer.forward(np.array([[1, 1, 9]]))
    >>> y.shape, bool((y[0, 0] == y[0, 1]).all())
    ((1, 3, 4), True)
    """

    def __init__(self, count: int, width: int, *, std: float = 1.0):
        self.count, self.width, self.std = count, width, std

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"table": (self.count, self.width)}

    def initialise(self, rng: np.random.Generator) -> None:
        self.param["table"][...] = self.std * rng.standard_normal((self.count, self.width))

    def forward(self, idx: ArrayLike) -> tuple[NDArray, NDArray]:
        table, idx = self.param["table"], as_index(idx, "idx")
        y = np.empty((idx.size, self.width), table.dtype)
        _core.embedding_forward(y, table, idx.reshape(-1))
        return y.reshape(*idx.shape, self.width), idx

    def backward(self, dy: NDArray, saved: NDArray) -> None:
        _core.embedding_backward(self.grad["table"], _rows(dy, self.width, "dy"),
                                 saved.reshape(-1))
