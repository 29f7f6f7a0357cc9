"""Layers that bring the embedding of each model to one form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gatelearn import nn
from gatelearn.wsa.base import Combination

Rows: TypeAlias = "slice | NDArray[np.intp]"


class Adapted(NamedTuple):
    """What the backward pass of `PerModel.adapt` needs, model by model."""

    batch: int
    rows: list[Rows]
    """Samples that have the model."""
    layers: list[Any]


class PerModel(Combination):
    """Base class: a combination with a layer of its own for each model, its *adapter*.

    Attributes
    ----------
    adapters : dict of str to nn.Layer
        By the name of the model. Parameters have the path ``adapter.NAME`` and what follows.
    """

    def __init__(self, widths: Mapping[str, int], width: int, *, input_gradient: bool = False):
        super().__init__(widths, width, input_gradient=input_gradient)
        self.adapters = {name: self.adapter(columns) for name, columns in self.widths.items()}

    def adapter(self, width: int, *, added: bool = False) -> nn.Layer:
        """Return a new layer for embeddings of a width; `added` says that others are there."""
        raise TypeError(f"{type(self).__name__} defines no adapter")

    def children(self) -> dict[str, nn.Layer]:
        return {f"adapter.{name}": layer for name, layer in self.adapters.items()}

    def add(self, name: str, width: int) -> None:
        super().add(name, width)
        self.adapters[name] = self.adapter(width, added=True)

    def remove(self, name: str) -> None:
        super().remove(name)
        del self.adapters[name]

    def adapt(self, features: NDArray,
              present: NDArray[np.bool_] | None) -> tuple[list[NDArray], Adapted]:
        """Run each adapter on the samples that have its model."""
        outputs, rows, saved = [], [], []
        for i, (name, columns) in enumerate(self.columns.items()):
            seen = slice(None) if present is None else np.flatnonzero(present[:, i])
            output, kept = self.adapters[name].forward(features[seen, columns])
            outputs.append(output)
            rows.append(seen)
            saved.append(kept)
        return outputs, Adapted(len(features), rows, saved)

    def adapt_backward(self, doutputs: list[NDArray], saved: Adapted) -> NDArray | None:
        """Return the gradient of the features, or None; add those of the adapters."""
        dfeatures = None
        if self.input_gradient:
            # a model that a sample does not have was not read: its gradient is 0
            dfeatures = np.zeros((saved.batch, sum(self.widths.values())), doutputs[0].dtype)
        for (name, columns), rows, dy, kept in zip(self.columns.items(), saved.rows, doutputs,
                                                   saved.layers, strict=True):
            dx = self.adapters[name].backward(dy, kept)
            if dfeatures is not None:
                dfeatures[rows, columns] = dx
        return dfeatures


class Embedded(PerModel):
    """Base class: the adapters bring all embeddings to the width of the state.

    Parameters
    ----------
    widths, width, input_gradient
        As of `Combination`.
    adapter : {'norm', 'linear'}, default 'norm'
        ``ReLU(LayerNorm(f @ W + b))`` [1]_, or ``f @ W + b``.

    References
    ----------
    .. [1] E. Piccoli, M. Li, G. Carfì, V. Lomonaco and D. Bacciu, "Combining Pre-Trained Models for
       Enhanced Feature Representation in Reinforcement Learning", arXiv:2507.07197, 2025.
    """

    def __init__(self, widths: Mapping[str, int], width: int = 512, *, adapter: str = "norm",
                 input_gradient: bool = False):
        if adapter not in ("norm", "linear"):
            raise ValueError(f"adapter is {adapter!r}, expected 'norm' or 'linear'")
        self.normalised = adapter == "norm"
        super().__init__(widths, width, input_gradient=input_gradient)

    def adapter(self, width: int, *, added: bool = False) -> nn.Layer:
        linear = nn.Linear(width, self.width, gain=math.sqrt(2) if self.normalised else 1.0,
                           input_gradient=self.input_gradient)
        if not self.normalised:
            return linear
        return nn.Sequential(linear, nn.LayerNorm(self.width), nn.ReLU())

    def embed(self, features: NDArray,
              present: NDArray[np.bool_] | None) -> tuple[NDArray, Adapted]:
        """Return embeddings (B, M, R), 0 where a sample does not have the model."""
        outputs, saved = self.adapt(features, present)
        embedded = np.zeros((len(features), len(self.widths), self.width), outputs[0].dtype)
        for i, (rows, output) in enumerate(zip(saved.rows, outputs, strict=True)):
            embedded[rows, i] = output
        return embedded, saved

    def embed_backward(self, dembedded: NDArray, saved: Adapted) -> NDArray | None:
        """As `adapt_backward`, of the gradient (B, M, R)."""
        return self.adapt_backward([dembedded[rows, i] for i, rows in enumerate(saved.rows)],
                                   saved)
