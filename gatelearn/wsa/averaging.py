"""Weights that are not learned: all models alike, or one alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import nn
from gatelearn.wsa.adapters import Embedded
from gatelearn.wsa.base import Combination, Combined


class Mean(Embedded):
    """The mean of the adapted embeddings: an ensemble [1]_.

    Parameters
    ----------
    widths : mapping of str to int
        Width of each model's embedding by its name.
    width : int, default 512
        R, of the adapters and of the state.
    adapter : {'norm', 'linear'}, default 'norm'
        ``ReLU(LayerNorm(f @ W + b))`` as published, or ``f @ W + b``.
    input_gradient : bool, default False
        Whether `backward` returns the gradient of the features.

    References
    ----------
    .. [1] E. Piccoli, M. Li, G. Carfì, V. Lomonaco and D. Bacciu, "Combining Pre-Trained Models for
       Enhanced Feature Representation in Reinforcement Learning", arXiv:2507.07197, 2025.

    Examples
    --------
    >>> layer = Mean({"state": 3, "objects": 2}, 4).build(seed=0)
    >>> features = np.ones((2, 5), np.float32)
    >>> state, saved = layer.forward(features, present=[[1, 1], [0, 1]])
    >>> saved.weights
    array([[0.5, 0.5],
           [0. , 1. ]], dtype=float32)
    """

    def forward(self, features: NDArray,
                present: ArrayLike | None = None) -> tuple[NDArray, Combined]:
        features, present = self.check(features, present)
        embedded, adapted = self.embed(features, present)
        shown = np.ones(embedded.shape[:2], bool) if present is None else present
        weights = (shown / shown.sum(1, keepdims=True)).astype(embedded.dtype)
        return (weights[:, :, None] * embedded).sum(1), Combined(weights, adapted)

    def backward(self, dstate: NDArray, saved: Combined) -> NDArray | None:
        return self.embed_backward(saved.weights[:, :, None] * dstate[:, None], saved.rest)


class Single(Combination):
    """The adapted embedding of one model; others, should there be any, are not read.

    Parameters
    ----------
    widths : mapping of str to int
        Width of each model's embedding by its name.
    width : int, default 512
        R, of the adapter and of the state.
    model : str, optional
        Which one. Not needed where there is only one.
    adapter : {'norm', 'linear'}, default 'norm'
        ``ReLU(LayerNorm(f @ W + b))`` as published, or ``f @ W + b``.
    input_gradient : bool, default False
        Whether `backward` returns the gradient of the features.

    Examples
    --------
    >>> layer = Single({"state": 3, "objects": 2}, 4, model="objects").build(seed=0)
    >>> state, saved = layer.forward(np.ones((2, 5), np.float32))
    >>> state.shape, saved.weights
    ((2, 4), array([[0., 1.],
           [0., 1.]], dtype=float32))
    """

    def __init__(self, widths: Mapping[str, int], width: int = 512, *, model: str | None = None,
                 adapter: str = "norm", input_gradient: bool = False):
        super().__init__(widths, width, input_gradient=input_gradient)
        if model is None and len(self.widths) > 1:
            raise ValueError(f"model is None, expected one of {', '.join(self.widths)}")
        self.model = next(iter(self.widths)) if model is None else model
        if self.model not in self.widths:
            raise ValueError(f"model is {model!r}, expected one of {', '.join(self.widths)}")
        self.alone = Mean({self.model: self.widths[self.model]}, width, adapter=adapter,
                          input_gradient=input_gradient)

    def children(self) -> dict[str, nn.Layer]:
        # the paths are those of a mean of all models
        return self.alone.children()

    def remove(self, name: str) -> None:
        if name == self.model:
            raise ValueError(f"'{name}' is the one model of the state, expected another")
        super().remove(name)

    def forward(self, features: NDArray,
                present: ArrayLike | None = None) -> tuple[NDArray, Combined]:
        features, present = self.check(features, present)
        i = list(self.widths).index(self.model)
        if present is not None and not present[:, i].all():
            row = np.flatnonzero(~present[:, i])[0]
            raise ValueError(f"present[{row}] lacks '{self.model}', the one model of the state")
        state, saved = self.alone.forward(features[:, self.columns[self.model]])
        weights = np.zeros((len(features), len(self.widths)), state.dtype)
        weights[:, i] = 1
        return state, Combined(weights, saved)

    def backward(self, dstate: NDArray, saved: Combined) -> NDArray | None:
        dx = self.alone.backward(dstate, saved.rest)
        if dx is None:
            return None
        dfeatures = np.zeros((len(dx), sum(self.widths.values())), dx.dtype)
        dfeatures[:, self.columns[self.model]] = dx
        return dfeatures
