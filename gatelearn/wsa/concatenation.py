"""Embeddings side by side, through linear maps: the plainest combinations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import nn
from gatelearn.wsa.adapters import PerModel
from gatelearn.wsa.base import Combined

_RELU = nn.ReLU()


class Concatenation(PerModel):
    """All embeddings side by side, a linear map and a rectifier: *LIN* of [1]_.

    A linear map of embeddings that stand side by side is a sum of one for each of them:
    ``state = ReLU(sum_i f_i @ W_i + b)``. So a sample that lacks a model has zeros in its place,
    and a model that is added starts with weights of 0: the state of all samples stays as it was.

    Parameters
    ----------
    widths : mapping of str to int
        Width of each model's embedding by its name.
    width : int, default 512
        R, of the state.
    input_gradient : bool, default False
        Whether `backward` returns the gradient of the features.

    References
    ----------
    .. [1] E. Piccoli, M. Li, G. Carfì, V. Lomonaco and D. Bacciu, "Combining Pre-Trained Models for
       Enhanced Feature Representation in Reinforcement Learning", arXiv:2507.07197, 2025.

    Examples
    --------
    >>> layer = Concatenation({"state": 3, "objects": 2}, 4).build(seed=0)
    >>> state, saved = layer.forward(np.ones((6, 5), np.float32))
    >>> state.shape, saved.weights is None
    ((6, 4), True)
    """

    def __init__(self, widths: Mapping[str, int], width: int = 512, *,
                 input_gradient: bool = False):
        super().__init__(widths, width, input_gradient=input_gradient)

    def adapter(self, width: int, *, added: bool = False) -> nn.Layer:
        # each model adds as much to the variance of the state
        gain = 0.0 if added else math.sqrt(2 / len(self.widths))
        return nn.Linear(width, self.width, bias=False, gain=gain,
                         input_gradient=self.input_gradient)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"bias": (self.width,)}

    def initialise(self, rng: np.random.Generator) -> None:
        self.param["bias"][...] = 0

    def forward(self, features: NDArray,
                present: ArrayLike | None = None) -> tuple[NDArray, Combined]:
        return self.combine(*self.check(features, present))

    def combine(self, features: NDArray,
                present: NDArray[np.bool_] | None) -> tuple[NDArray, Combined]:
        """As `forward`, of arguments that were checked; a sample may have no model."""
        outputs, adapted = self.adapt(features, present)
        total = np.tile(self.param["bias"], (len(features), 1))
        for rows, output in zip(adapted.rows, outputs, strict=True):
            total[rows] += output
        state, positive = _RELU.forward(total)
        return state, Combined(None, (adapted, positive))

    def backward(self, dstate: NDArray, saved: Combined) -> NDArray | None:
        adapted, positive = saved.rest
        dtotal = _RELU.backward(dstate, positive)
        self.grad["bias"] += dtotal.sum(0)
        return self.adapt_backward([dtotal[rows] for rows in adapted.rows], adapted)


class FixedLinear(PerModel):
    """A linear map for each embedding, the results side by side: *FIX* of [1]_.

    The state has a fixed part for each model, which is 0 where a sample lacks it.

    Parameters
    ----------
    widths : mapping of str to int
        Width of each model's embedding by its name.
    model_width : int, default 512
        Of each model's part of the state, so that R is M times that. Published: 256, 512 and 1024.
    input_gradient : bool, default False
        Whether `backward` returns the gradient of the features.

    References
    ----------
    .. [1] E. Piccoli, M. Li, G. Carfì, V. Lomonaco and D. Bacciu, "Combining Pre-Trained Models for
       Enhanced Feature Representation in Reinforcement Learning", arXiv:2507.07197, 2025.

    Examples
    --------
    >>> layer = FixedLinear({"state": 3, "objects": 2}, 4).build(seed=0)
    >>> layer.forward(np.ones((6, 5), np.float32))[0].shape
    (6, 8)
    """

    def __init__(self, widths: Mapping[str, int], model_width: int = 512, *,
                 input_gradient: bool = False):
        if model_width < 1:
            raise ValueError(f"model_width is {model_width}, expected at least 1")
        self.model_width = model_width
        super().__init__(widths, max(1, len(widths)) * model_width, input_gradient=input_gradient)

    def adapter(self, width: int, *, added: bool = False) -> nn.Layer:
        return nn.Linear(width, self.model_width, input_gradient=self.input_gradient)

    def add(self, name: str, width: int) -> NoReturn:
        """Raise ValueError: what acts on the state expects a state of one width."""
        raise ValueError(f"FixedLinear has {self.model_width} numbers of state for each model: one "
                         "more would change the width of the state")

    def remove(self, name: str) -> NoReturn:
        """Raise ValueError: what acts on the state expects a state of one width."""
        raise ValueError(f"FixedLinear has {self.model_width} numbers of state for each model: one "
                         "less would change the width of the state; leave it out by `present`")

    def forward(self, features: NDArray,
                present: ArrayLike | None = None) -> tuple[NDArray, Combined]:
        outputs, adapted = self.adapt(*self.check(features, present))
        state = np.zeros((len(features), self.width), outputs[0].dtype)
        for part, rows, output in zip(self._parts(), adapted.rows, outputs, strict=True):
            state[rows, part] = output
        return state, Combined(None, adapted)

    def backward(self, dstate: NDArray, saved: Combined) -> NDArray | None:
        return self.adapt_backward([dstate[rows, part] for part, rows in
                                    zip(self._parts(), saved.rest.rows, strict=True)], saved.rest)

    def _parts(self) -> list[slice]:
        return [slice(i, i + self.model_width) for i in range(0, self.width, self.model_width)]
