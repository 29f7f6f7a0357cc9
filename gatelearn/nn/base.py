"""What a layer is: named parameters in one flat buffer, forward and backward side by side.

There is no tape. ``y, saved = layer.forward(x)`` returns all that ``layer.backward(dy, saved)``
needs, so a layer holds no state of a call and may stand twice in one network or run on two threads.
``backward`` returns the gradients of forward's array arguments in their order and *adds* those of
the parameters to ``layer.grad``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gatelearn._convert import real_dtype


class Layer:
    """Base class of layers and networks.

    A subclass lists its own parameters in `shapes`, fills them in `initialise`, and lists the
    layers inside it in `children`. `build` lays all of them out in one flat array.

    Attributes
    ----------
    param, grad : dict of str to ndarray
        Named views of this layer's own parameters and their gradients.
    params, grads : ndarray, shape (P,)
        On the layer that was built: everything in it, flat, without gaps. An optimiser needs no
        more than these.
    """

    param: dict[str, NDArray]
    grad: dict[str, NDArray]
    params: NDArray
    grads: NDArray

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of each own parameter, in the order of the flat buffer."""
        return {}

    def initialise(self, rng: np.random.Generator) -> None:
        """Fill `param` with its initial values."""

    def children(self) -> dict[str, Layer]:
        """Return the layers inside this one, by name."""
        return {}

    def forward(self, x: NDArray, *args: Any) -> tuple[NDArray, Any]:
        """Return the output and what `backward` needs."""
        raise TypeError(f"{type(self).__name__} defines no forward")

    def backward(self, dy: NDArray, saved: Any) -> Any:
        """Return the gradient of each array argument of `forward`; add those of the parameters."""
        raise TypeError(f"{type(self).__name__} defines no backward")

    def layout(self, prefix: str = "") -> list[tuple[str, Layer, str, tuple[int, ...]]]:
        """Return (path, layer, name, shape) of every parameter, in the order of the buffer.

        A layer that stands twice in a network is listed once, by its first path.
        """
        rows = [(prefix + name, self, name, shape) for name, shape in self.shapes().items()]
        for name, child in self.children().items():
            rows += child.layout(f"{prefix}{name}.")
        once = {(id(layer), name): row for row in reversed(rows) for _, layer, name, _ in [row]}
        return [row for row in rows if once[id(row[1]), row[2]] is row]

    def build(self, seed: int | np.random.Generator = 0, dtype: DTypeLike = np.float32) -> Layer:
        """Allocate and initialise all parameters.

        Parameters
        ----------
        seed : int or numpy.random.Generator, default 0
            Where the initial values are drawn from.
        dtype : float32 or float64, default float32

        Returns
        -------
        Layer
            This layer.
        """
        rng = np.random.default_rng(seed)
        dtype = real_dtype(dtype)
        rows = self.layout()
        size = sum(math.prod(shape) for *_, shape in rows)
        self.bind(np.zeros(size, dtype), np.zeros(size, dtype))
        seen: set[int] = set()
        for _, layer, _, _ in rows:
            if id(layer) not in seen:
                seen.add(id(layer))
                layer.initialise(rng)
        return self

    def bind(self, params: NDArray, grads: NDArray) -> None:
        """Let all parameters be views of `params` and their gradients views of `grads`."""
        self.params, self.grads = params, grads
        at = 0
        for _, layer, name, shape in self.layout():
            if name == next(iter(layer.shapes())):
                layer.param, layer.grad = {}, {}
            size = math.prod(shape)
            layer.param[name] = params[at:at + size].reshape(shape)
            layer.grad[name] = grads[at:at + size].reshape(shape)
            at += size

    def named_parameters(self) -> dict[str, NDArray]:
        """Return a view of each parameter by its path, as a checkpoint stores them."""
        return {path: layer.param[name] for path, layer, name, _ in self.layout()}

    def load(self, arrays: dict[str, NDArray]) -> None:
        """Copy parameters by their path.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or a shape differs; nothing is then changed.
        """
        own = self.named_parameters()
        for name in own.keys() ^ arrays.keys():
            raise ValueError(f"parameter {name} is {'missing' if name in own else 'unknown'}")
        for name, value in arrays.items():
            if value.shape != own[name].shape:
                raise ValueError(f"parameter {name} has shape {value.shape}, "
                                 f"expected {own[name].shape}")
        for name, value in arrays.items():
            own[name][...] = value


class Sequential(Layer):
    """Layers one after another, each given the output of the one before and nothing else.

    Examples
    --------
    >>> from gatelearn import nn
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)).build(seed=0)
    >>> y, saved = net.forward(np.ones((3, 4), np.float32))
    >>> y.shape, net.backward(np.ones_like(y), saved).shape
    ((3, 2), (3, 4))
    """

    def __init__(self, *layers: Layer):
        self.layers = layers

    def children(self) -> dict[str, Layer]:
        return {str(i): layer for i, layer in enumerate(self.layers)}

    def forward(self, x: NDArray) -> tuple[NDArray, list]:
        saved = []
        for layer in self.layers:
            x, s = layer.forward(x)
            saved.append(s)
        return x, saved

    def backward(self, dy: NDArray, saved: list) -> NDArray:
        for layer, s in zip(reversed(self.layers), reversed(saved), strict=True):
            dy = _of_x(layer.backward(dy, s))
        return dy


class Residual(Layer):
    """``x + layer(x)``; the layer is given nothing else."""

    def __init__(self, layer: Layer):
        self.layer = layer

    def children(self) -> dict[str, Layer]:
        return {"layer": self.layer}

    def forward(self, x: NDArray) -> tuple[NDArray, Any]:
        y, saved = self.layer.forward(x)
        return x + y, saved

    def backward(self, dy: NDArray, saved: Any) -> NDArray:
        return dy + _of_x(self.layer.backward(dy, saved))


def _of_x(grads: Any) -> NDArray:
    # a layer inside another was given x alone: its other arguments had their defaults
    return grads[0] if isinstance(grads, tuple) else grads


def check_input(x: NDArray, width: int, dtype: np.dtype, name: str = "x") -> None:
    """Raise unless `x` is an array (B, T, width) of the type of the parameters."""
    if not isinstance(x, np.ndarray) or x.dtype != dtype:
        has = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        raise TypeError(f"{name} has dtype {has}, expected {dtype} as the parameters")
    if x.ndim != 3 or x.shape[2] != width:
        raise ValueError(f"{name} has shape {x.shape}, expected (B, T, {width})")


def check_layer(layer: Layer, *args: NDArray, seed: int = 0, step: float = 1e-6,
                tolerance: float = 1e-6) -> None:
    """Compare a layer's backward pass with central differences, in float64.

    Parameters
    ----------
    layer : Layer
        Built here in float64, with a random offset on every parameter (biases of 0 hide errors).
    *args : ndarray
        The arguments of ``forward``. Those of dtype float64 are differentiated.
    seed : int, default 0
        For parameters and the output's gradient.
    step : float, default 1e-6
        Of the differences.
    tolerance : float, default 1e-6
        Largest error allowed, relative to the largest gradient of the same array or 1.

    Raises
    ------
    AssertionError
        If a gradient is wrong: it names the argument or parameter, the position and both values.

    Examples
    --------
    >>> from gatelearn import nn
    >>> nn.check_layer(nn.Linear(3, 2), np.random.default_rng(0).standard_normal((4, 3)))
    """
    rng = np.random.default_rng(seed)
    layer.build(rng, np.float64)
    layer.params += 0.1 * rng.standard_normal(layer.params.shape)
    y, saved = layer.forward(*args)
    dy = rng.standard_normal(y.shape)
    layer.grads[...] = 0
    grads = layer.backward(dy, saved)
    grads = grads if isinstance(grads, tuple) else (grads,)

    pairs = [(f"argument {i}", a, g) for i, (a, g) in enumerate(zip(args, grads, strict=False))
             if isinstance(a, np.ndarray) and a.dtype == np.float64]
    names = layer.named_parameters()
    at = 0
    for name, value in names.items():
        pairs.append((name, value, layer.grads[at:at + value.size].reshape(value.shape).copy()))
        at += value.size
    for name, value, grad in pairs:
        assert grad is not None and grad.shape == value.shape, f"{name}: no gradient of its shape"
        scale = max(1.0, float(np.abs(grad).max(initial=0)))
        for i in np.ndindex(value.shape):
            kept = value[i]
            value[i] = kept + step
            above = np.sum(layer.forward(*args)[0] * dy)
            value[i] = kept - step
            below = np.sum(layer.forward(*args)[0] * dy)
            value[i] = kept
            expected = (above - below) / (2 * step)
            assert abs(grad[i] - expected) <= tolerance * scale, (
                f"{name}{list(i)}: gradient {grad[i]:.9g}, expected {expected:.9g}")
