"""What a captioner does at each step: score the regions, then read one or their expectation.

A score's `forward` takes queries (B, D) and keys (B, R, D). Its backward is in two parts, because
queries come one step after another while keys are the same at all steps: `dquery` inside the loop,
`dkey` once behind it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gatelearn import functional as F
from gatelearn.nn import Layer


class DotScore(Layer):
    """``query . key / sqrt(D)``.

    Parameters
    ----------
    width : int
        D, of queries and keys.
    """

    def __init__(self, width: int):
        self.scale = 1 / math.sqrt(width)

    def forward(self, query: NDArray, key: NDArray) -> NDArray:
        """Return scores (B, R)."""
        return (key @ query[..., None])[..., 0] * self.scale

    def dquery(self, dscore: NDArray, query: NDArray, key: NDArray) -> NDArray:
        """Return the gradient (B, D) of one step's queries, from that of its scores (B, R)."""
        return (dscore[:, None] @ key)[:, 0] * self.scale

    def dkey(self, dscore: NDArray, query: NDArray, key: NDArray) -> NDArray:
        """Return the gradient (B, R, D) of keys, from scores (T, B, R) and queries (T, B, D)."""
        return dscore.transpose(1, 2, 0) @ query.swapaxes(0, 1) * self.scale


class AdditiveScore(Layer):
    """``weight . tanh(query + key)``.

    Parameters
    ----------
    width : int
        D, of queries, keys and the weight.
    """

    def __init__(self, width: int):
        self.width = width

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.width,)}

    def initialise(self, rng: np.random.Generator) -> None:
        self.param["weight"][...] = rng.standard_normal(self.width) / math.sqrt(self.width)

    def forward(self, query: NDArray, key: NDArray) -> NDArray:
        """Return scores (B, R)."""
        return F.tanh(query[:, None] + key) @ self.param["weight"]

    def _dsum(self, dscore: NDArray, query: NDArray, key: NDArray) -> tuple[NDArray, NDArray]:
        # score = y @ weight, y = tanh(query + key)
        y = F.tanh(query[:, None] + key)
        return F.tanh_backward(dscore[..., None] * self.param["weight"], y), y

    def dquery(self, dscore: NDArray, query: NDArray, key: NDArray) -> NDArray:
        """Return the gradient (B, D) of one step's queries, from that of its scores (B, R)."""
        return self._dsum(dscore, query, key)[0].sum(1)

    def dkey(self, dscore: NDArray, query: NDArray, key: NDArray) -> NDArray:
        """Return the gradient (B, R, D) of keys, from scores (T, B, R) and queries (T, B, D)."""
        dkey = np.zeros_like(key)
        for dscore_t, query_t in zip(dscore, query, strict=True):
            dsum, y = self._dsum(dscore_t, query_t, key)
            dkey += dsum
            self.grad["weight"] += np.einsum("br,brd->d", dscore_t, y)
        return dkey


def read_weights(weights: NDArray, choices: NDArray) -> NDArray:
    """Return `weights` (..., R), and where a choice is not -1 instead of them a one at it."""
    weights, hard = weights.copy(), choices >= 0
    weights[hard] = 0
    weights[hard, choices[hard]] = 1
    return weights


def read(regions: NDArray, weights: NDArray, choices: NDArray) -> NDArray:
    """Return the context (N, F): the chosen one of the regions (N, R, F), or their expectation."""
    if (choices >= 0).all():
        return regions[np.arange(len(regions)), choices]
    return (read_weights(weights, choices)[:, None] @ regions)[:, 0]
