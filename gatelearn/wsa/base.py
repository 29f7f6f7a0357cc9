"""What every combination of pre-trained models is, and how one grows and shrinks in training.

Frozen models look at an observation; their embeddings stand side by side in one row of *features*.
A combination, which is trained, makes of them the one state that actor and critic act on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import nn
from gatelearn._convert import as_flags, check_shape

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Combined(NamedTuple):
    """What the backward pass of a combination needs."""

    weights: NDArray | None
    """Share (B, M) of each model in the state; None where a combination does not weigh models."""
    rest: Any
    """Known to the combination alone."""


class Combination(nn.Layer):
    """Base class: embeddings of several models in, one state out.

    A subclass implements `forward` and `backward`, and gives each parameter that belongs to a model
    a path that holds the model's name and depends on nothing else: `rebuild` knows it by that.

    Parameters
    ----------
    widths : mapping of str to int
        Width of each model's embedding by its name, in the order of the features' columns.
    width : int
        R, that of the state.
    input_gradient : bool, default False
        Whether `backward` returns the gradient of the features. Frozen models need none, and it
        costs a product as large as the forward pass.

    Attributes
    ----------
    widths : dict of str to int
    width : int
    columns : dict of str to slice
        Where the embedding of each model stands in a row of features.

    Raises
    ------
    ValueError
        If there is no model, a name cannot be part of a path, or a width is below 1.
    """

    def __init__(self, widths: Mapping[str, int], width: int, *, input_gradient: bool = False):
        if width < 1:
            raise ValueError(f"width is {width}, expected at least 1")
        if not widths:
            raise ValueError("widths is empty, expected at least one model")
        self.width, self.input_gradient = width, input_gradient
        self.widths: dict[str, int] = {}
        for name, columns in widths.items():
            Combination.add(self, name, columns)

    @property
    def columns(self) -> dict[str, slice]:
        columns, at = {}, 0
        for name, width in self.widths.items():
            columns[name] = slice(at, at + width)
            at += width
        return columns

    def forward(self, features: NDArray,
                present: ArrayLike | None = None) -> tuple[NDArray, Any]:
        """Combine the embeddings of each sample.

        Parameters
        ----------
        features : ndarray, shape (B, D)
            Embeddings side by side, in the order of `widths`; D is the sum of the widths.
        present : array_like of bool, shape (B, M), optional
            Which models a sample has; all by default. What stands in the columns of others is not
            read.

        Returns
        -------
        state : ndarray, shape (B, R)
        saved
            What `backward` needs. ``saved.weights``, (B, M), is the share of each model in the
            state, or None where models are not weighed.

        Raises
        ------
        ValueError
            If a shape does not fit, or a sample has no model.
        """
        return super().forward(features, present)

    def backward(self, dstate: NDArray, saved: Any) -> NDArray | None:
        """Add the gradients of the parameters; return that of the features, or None."""
        return super().backward(dstate, saved)

    def add(self, name: str, width: int) -> None:
        """Add a model, whose columns come last; `rebuild` the network next.

        Raises
        ------
        ValueError
            If there is a model of that name, or name or width are none; nothing is then changed.
        """
        check_name(name)
        if name in self.widths:
            raise ValueError(f"there is a model '{name}' already")
        if width < 1:
            raise ValueError(f"model '{name}' has width {width}, expected at least 1")
        self.widths[name] = width

    def remove(self, name: str) -> None:
        """Remove a model and its columns; `rebuild` the network next.

        Raises
        ------
        KeyError
            If there is no model of that name.
        ValueError
            If it is the last one.
        """
        if name not in self.widths:
            raise KeyError(f"no model '{name}', expected one of {', '.join(self.widths)}")
        if len(self.widths) == 1:
            raise ValueError(f"'{name}' is the last model, expected one that stays")
        before = self.shapes().keys()
        del self.widths[name]
        # should a model of the same name come, it has nothing of this one
        for gone in before - self.shapes().keys():
            getattr(self, "param", {}).pop(gone, None)

    def check(self, features: NDArray,
              present: ArrayLike | None) -> tuple[NDArray, NDArray[np.bool_] | None]:
        """Return both arguments of `forward`, or raise an error that says what is wrong."""
        total = sum(self.widths.values())
        if features.ndim != 2 or features.shape[1] != total:
            models = " + ".join(f"{width} of '{name}'" for name, width in self.widths.items())
            raise ValueError(f"features has shape {features.shape}, expected (B, {total}): "
                             f"{models}")
        if present is None:
            return features, None
        flags = check_shape(as_flags(present, "present"), "present",
                            (len(features), len(self.widths))).astype(bool)
        alone = np.flatnonzero(~flags.any(1))
        if alone.size:
            raise ValueError(f"present[{alone[0]}] has no model, expected at least one")
        return features, flags


def rebuild(network: nn.Layer, optimiser: nn.AdamW | None,
            rng: np.random.Generator) -> list[str]:
    """Lay out a network anew after models were added or removed.

    What was there before keeps its value and both of Adam's moments, bit for bit. What is new is
    drawn, and its moments are 0. The optimiser's count of steps stays.

    Parameters
    ----------
    network : nn.Layer
        Built, and with a combination in it that `Combination.add` or `Combination.remove` changed.
    optimiser : nn.AdamW or None
        That of `network`. Its weight decay is, for what is new, that of `nn.matrices_only` where
        it has a mask.
    rng : numpy.random.Generator
        New parameters are drawn from it.

    Returns
    -------
    list of str
        Paths of the new parameters.

    Raises
    ------
    ValueError
        If the network was not built, or the optimiser is another's.

    Notes
    -----
    Arrays such as ``network.params`` are replaced: what holds on to the old ones keeps the old
    network.

    Examples
    --------
    >>> from gatelearn import nn, wsa
    >>> combination = wsa.Mean({"state": 3, "objects": 2}, 4)
    >>> network = nn.Sequential(combination, nn.Linear(4, 2)).build(seed=0)
    >>> optimiser = nn.AdamW(network.params, network.grads)
    >>> combination.add("motion", 5)
    >>> wsa.rebuild(network, optimiser, np.random.default_rng(1))
    ['0.adapter.motion.0.weight', '0.adapter.motion.0.bias', '0.adapter.motion.1.weight', \
'0.adapter.motion.1.bias']
    >>> network.forward(np.ones((1, 10), np.float32))[0].shape
    (1, 2)
    """
    if not hasattr(network, "params"):
        raise ValueError(f"{type(network).__name__} has no parameters, expected a layer that was "
                         "built")
    old = network.params
    if optimiser is not None and optimiser.params is not old:
        raise ValueError("optimiser has other parameters than network, expected its own")

    # Layers still hold views of the old buffer: a parameter is an old one if its layer has it.
    kept, new, rows = {}, [], network.layout()
    for path, layer, name, shape in rows:
        value = getattr(layer, "param", {}).get(name)
        if value is not None and value.shape == shape:
            first = (_address(value) - _address(old)) // old.itemsize
            if not 0 <= first <= old.size - value.size:
                raise ValueError(f"parameter {path} is in another network, expected this one's")
            kept[path] = slice(first, first + value.size)
        else:
            new.append(path)

    size = sum(math.prod(shape) for *_, shape in rows)
    network.bind(np.zeros(size, old.dtype), np.zeros(size, old.dtype))
    # a layer fills all that it has: what it had before is then copied over
    drawn = {path: layer for path, layer, _, _ in rows if path in new}
    for layer in dict.fromkeys(drawn.values()):
        layer.initialise(rng)
    _copy(network, network.params, old, kept)

    if optimiser is not None:
        for moment in ("m", "v"):
            value = np.zeros_like(network.params)
            _copy(network, value, getattr(optimiser, moment), kept)
            setattr(optimiser, moment, value)
        if optimiser.decay_mask is not None:
            mask = nn.matrices_only(network)
            _copy(network, mask, optimiser.decay_mask, kept)
            optimiser.decay_mask = mask
        optimiser.params, optimiser.grads = network.params, network.grads
    return new


def check_name(name: Any) -> str:
    """Return the name of a model; raise ValueError unless it can be a part of a path."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"name is {name!r}, expected letters, digits, hyphens and underscores, "
                         "a letter or underscore first")
    return name


def check_context(widths: Mapping[str, int], context: str, weigh_context: bool) -> None:
    """Raise ValueError unless a model gives the context and there is one to weigh."""
    if context not in widths:
        raise ValueError(f"context is {context!r}, expected one of {', '.join(widths)}")
    if not weigh_context and len(widths) == 1:
        raise ValueError(f"'{context}' is the context and the only model, expected one to weigh")


def check_removal(widths: Mapping[str, int], name: str, context: str, weigh_context: bool) -> None:
    """Raise ValueError where without a model there is no context, or none to weigh."""
    if name == context:
        raise ValueError(f"'{name}' is the context, expected another model")
    if name in widths and not weigh_context and len(widths) == 2:
        raise ValueError(f"'{name}' is the last model beside the context, expected one that stays")


def _address(array: NDArray) -> int:
    return array.__array_interface__["data"][0]


def _copy(network: nn.Layer, new: NDArray, old: NDArray, kept: dict[str, slice]) -> None:
    """Copy from one flat array to another what the parameters of `kept` have there."""
    at = 0
    for path, _, _, shape in network.layout():
        size = math.prod(shape)
        if path in kept:
            new[at:at + size] = old[kept[path]]
        at += size
