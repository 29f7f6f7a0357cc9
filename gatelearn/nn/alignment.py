"""Attention of one sequence over another, by three scores: additive, multiplicative, dot product.

One interface: ``context, saved = layer.forward(query, memory, lengths)`` takes queries (B, Tq, Cq),
a memory (B, Tk, Ck) and how many of its steps count, and returns for each query the weighted sum of
the memory, (B, Tq, Ck). ``layer.weights(saved)`` are the weights, (B, Tq, Tk).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import functional as F
from gatelearn._convert import as_index, as_reals
from gatelearn.nn.base import Layer, check_input
from gatelearn.nn.layers import Linear


class DotSaved(NamedTuple):
    """What the backward pass of `DotAttention` needs; arrays have one head."""

    query: NDArray
    memory: NDArray
    lengths: NDArray | None
    out: NDArray
    lse: NDArray


class DotAttention(Layer):
    """Score ``query . memory``, the *dot* of [1]_: no parameters, both of one width.

    References
    ----------
    .. [1] M.-T. Luong, H. Pham and C. D. Manning, "Effective Approaches to Attention-based Neural
       Machine Translation", EMNLP 2015.

    Examples
    --------
    >>> layer = DotAttention()
    >>> memory = np.array([[[0.0, 0.0], [0.0, 4.0]]])
    >>> context, saved = layer.forward(np.array([[[1.0, 0.0], [0.0, 5.0]]]), memory)
    >>> layer.weights(saved).round(2)
    array([[[0.5, 0.5],
            [0. , 1. ]]])
    """

    def forward(self, query: NDArray, memory: NDArray,
                lengths: ArrayLike | None = None) -> tuple[NDArray, DotSaved]:
        query, memory = as_reals((query, "query"), (memory, "memory"), ndim=3)
        if query.shape[2] != memory.shape[2]:
            raise ValueError(f"query has width {query.shape[2]}, "
                             f"expected that of memory, {memory.shape[2]}")
        lengths = None if lengths is None else as_index(lengths, "lengths", ndim=1)
        query, memory = query[:, None], memory[:, None]
        out, lse = F.attention(query, memory, memory, scale=1.0, key_lengths=lengths,
                               return_lse=True)
        return out[:, 0], DotSaved(query, memory, lengths, out, lse)

    def backward(self, dy: NDArray, saved: DotSaved) -> tuple[NDArray, NDArray]:
        dquery, dkey, dvalue, *_ = F.attention_backward(
            dy[:, None], saved.query, saved.memory, saved.memory, saved.out, saved.lse, scale=1.0,
            key_lengths=saved.lengths)
        return dquery[:, 0], (dkey + dvalue)[:, 0]

    def weights(self, saved: DotSaved) -> NDArray:
        """Return the weights (B, Tq, Tk) of a forward pass."""
        Tk = saved.memory.shape[2]
        seen: Any = True
        if saved.lengths is not None:
            seen = np.arange(Tk) < saved.lengths[:, None, None]
        # behind the length anything may stand
        with np.errstate(all="ignore"):
            score = (saved.query @ saved.memory.swapaxes(-1, -2))[:, 0] - saved.lse[:, 0, :, None]
            return np.exp(np.where(seen, score, -np.inf))


class MultiplicativeAttention(Layer):
    """Score ``query @ W @ memory``, the *general* one of [1]_.

    Parameters
    ----------
    query_width, key_width : int
        Channels Cq of queries and Ck of the memory.

    Notes
    -----
    Initially the scores of standard normal inputs have variance 1.

    References
    ----------
    .. [1] M.-T. Luong, H. Pham and C. D. Manning, "Effective Approaches to Attention-based Neural
       Machine Translation", EMNLP 2015.

    Examples
    --------
    >>> layer = MultiplicativeAttention(3, 2).build(seed=0)
    >>> query, memory = np.ones((1, 4, 3), np.float32), np.ones((1, 5, 2), np.float32)
    >>> context, saved = layer.forward(query, memory)
    >>> context.shape, layer.weights(saved).shape
    ((1, 4, 2), (1, 4, 5))
    """

    def __init__(self, query_width: int, key_width: int):
        self.key_width = key_width
        self.query = Linear(query_width, key_width, bias=False, init="normal",
                            gain=1 / math.sqrt(key_width))
        self.dot = DotAttention()

    def children(self) -> dict[str, Layer]:
        return {"query": self.query, "dot": self.dot}

    def forward(self, query: NDArray, memory: NDArray,
                lengths: ArrayLike | None = None) -> tuple[NDArray, tuple[NDArray, DotSaved]]:
        dtype = self.query.param["weight"].dtype
        check_input(query, self.query.inputs, dtype, "query")
        check_input(memory, self.key_width, dtype, "memory")
        query, saved_query = self.query.forward(query)
        context, saved_dot = self.dot.forward(query, memory, lengths)
        return context, (saved_query, saved_dot)

    def backward(self, dy: NDArray, saved: tuple[NDArray, DotSaved]) -> tuple[NDArray, NDArray]:
        dquery, dmemory = self.dot.backward(dy, saved[1])
        return self.query.backward(dquery, saved[0]), dmemory

    def weights(self, saved: tuple[NDArray, DotSaved]) -> NDArray:
        """Return the weights (B, Tq, Tk) of a forward pass."""
        return self.dot.weights(saved[1])


class AdditiveSaved(NamedTuple):
    """What the backward pass of `AdditiveAttention` needs."""

    projections: tuple[NDArray, NDArray]
    query: NDArray
    key: NDArray
    memory: NDArray
    lengths: ArrayLike | None
    out: NDArray
    lse: NDArray


class AdditiveAttention(Layer):
    """Score ``weight . tanh(query @ W + memory @ U + bias)`` [1]_, the *concat* of [2]_.

    Parameters
    ----------
    query_width, key_width : int
        Channels Cq of queries and Ck of the memory.
    hidden : int
        Width of the sum.

    References
    ----------
    .. [1] D. Bahdanau, K. Cho and Y. Bengio, "Neural Machine Translation by Jointly Learning to
       Align and Translate", ICLR 2015.
    .. [2] M.-T. Luong, H. Pham and C. D. Manning, "Effective Approaches to Attention-based Neural
       Machine Translation", EMNLP 2015.

    Examples
    --------
    >>> layer = AdditiveAttention(3, 2, hidden=8).build(seed=0)
    >>> query, memory = np.ones((1, 4, 3), np.float32), np.ones((1, 5, 2), np.float32)
    >>> context, saved = layer.forward(query, memory, lengths=[2])
    >>> layer.weights(saved)[0, 0]
    array([0.5, 0.5, 0. , 0. , 0. ], dtype=float32)
    """

    def __init__(self, query_width: int, key_width: int, hidden: int):
        self.hidden = hidden
        self.query = Linear(query_width, hidden)
        self.key = Linear(key_width, hidden, bias=False)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.hidden,)}

    def children(self) -> dict[str, Layer]:
        return {"query": self.query, "key": self.key}

    def initialise(self, rng: np.random.Generator) -> None:
        self.param["weight"][...] = rng.standard_normal(self.hidden) / math.sqrt(self.hidden)

    def forward(self, query: NDArray, memory: NDArray,
                lengths: ArrayLike | None = None) -> tuple[NDArray, AdditiveSaved]:
        weight = self.param["weight"]
        check_input(query, self.query.inputs, weight.dtype, "query")
        check_input(memory, self.key.inputs, weight.dtype, "memory")
        query, saved_query = self.query.forward(query)
        key, saved_key = self.key.forward(memory)
        out, lse = F.additive_attention(query, key, memory, weight, key_lengths=lengths,
                                        return_lse=True)
        return out, AdditiveSaved((saved_query, saved_key), query, key, memory, lengths, out, lse)

    def backward(self, dy: NDArray, saved: AdditiveSaved) -> tuple[NDArray, NDArray]:
        dquery, dkey, dmemory, dweight = F.additive_attention_backward(
            dy, saved.query, saved.key, saved.memory, self.param["weight"], saved.out, saved.lse,
            key_lengths=saved.lengths)
        self.grad["weight"] += dweight
        dmemory += self.key.backward(dkey, saved.projections[1])
        return self.query.backward(dquery, saved.projections[0]), dmemory

    def weights(self, saved: AdditiveSaved) -> NDArray:
        """Return the weights (B, Tq, Tk) of a forward pass."""
        return F.additive_attention(saved.query, saved.key, saved.memory, self.param["weight"],
                                    key_lengths=saved.lengths, return_weights=True)[1]
