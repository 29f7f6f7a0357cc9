"""The methods that are compared: each attends to some positions of a text."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from gatelearn.hard import BiasPredictor, fixed_positions
from gatelearn.nn import Transformer


class Full:
    """Attention to every position."""

    def __init__(self, net: Transformer):
        self.net = net

    def bias(self, tokens: NDArray, query: NDArray) -> tuple[NDArray | None, NDArray, NDArray]:
        """Return the bias (B, T) and which positions were chosen, and which are fixed."""
        fixed = fixed_positions(tokens.shape[1], query)
        return None, ~fixed, fixed

    def run(self, tokens: NDArray, query: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Return logits (N, V) and the positions (B, T) that are chosen, and fixed."""
        bias, chosen, fixed = self.bias(tokens, query)
        return self.net.forward(tokens, position=query, bias=bias, save=False)[0], chosen, fixed


class Predicted(Full):
    """The likeliest choice of a predictor."""

    def __init__(self, net: Transformer, predictor: BiasPredictor):
        super().__init__(net)
        self.predictor = predictor

    def logits(self, tokens: NDArray, query: NDArray) -> tuple[NDArray, NDArray]:
        """Return the logits (B, T) and the fixed positions."""
        seen = self.predictor.observe(self.net, tokens, query)
        return self.predictor.forward(*seen)[0], seen.fixed

    def bias(self, tokens, query):
        logits, fixed = self.logits(tokens, query)
        keep = self.predictor.keep(self.predictor.distribution.mode(logits), fixed)
        return self.predictor.hard_bias(keep), keep & ~fixed, fixed


class Soft(Predicted):
    """The bias as it was trained: every position keeps some weight, so all are attended to."""

    def bias(self, tokens, query):
        logits, fixed = self.logits(tokens, query)
        return self.predictor.soft_bias(logits, fixed)[0], ~fixed, fixed


class Placed(Full):
    """As many positions of each text as `like` chooses, but others."""

    def __init__(self, like: Predicted, seed: int = 0):
        super().__init__(like.net)
        self.like, self.seed = like, seed

    def bias(self, tokens, query):
        _, chosen, fixed = self.like.bias(tokens, query)
        rank = self.rank(tokens, query)
        # fixed positions are never chosen
        order = np.argsort(np.where(fixed, np.inf, rank), 1, kind="stable")
        first = np.arange(tokens.shape[1]) < chosen.sum(1, keepdims=True)
        placed = np.zeros_like(chosen)
        np.put_along_axis(placed, order, first, 1)
        return self.like.predictor.hard_bias(placed | fixed), placed, fixed

    def rank(self, tokens: NDArray, query: NDArray) -> NDArray:
        """Return a number for each position (B, T); small ones are chosen first."""
        raise TypeError(f"{type(self).__name__} defines no rank")


class Random(Placed):
    """Positions drawn at random; the same for the same texts."""

    def rank(self, tokens, query):
        key = zlib.crc32(np.ascontiguousarray(tokens).tobytes())
        return np.random.default_rng([self.seed, key]).random(tokens.shape)


class Recent(Placed):
    """The last positions, beside the first few of the text.

    `seed` says how many of the first are kept, as attention sinks are.
    """

    def rank(self, tokens, query):
        T = tokens.shape[1]
        at = np.arange(T)
        return np.broadcast_to(np.where(at <= self.seed, at - 2.0*T, -at), tokens.shape)


class Ranked(Placed):
    """The positions that another predictor puts first, with its own network."""

    def __init__(self, like: Predicted, by: Predicted):
        super().__init__(like)
        self.net, self.by = by.net, by

    def rank(self, tokens, query):
        return -self.by.logits(tokens, query)[0]
