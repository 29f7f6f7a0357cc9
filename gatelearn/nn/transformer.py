"""A causal transformer whose heads and blocks can be closed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_index
from gatelearn.nn.base import Layer
from gatelearn.nn.gated import GatedHeads, GatedMLP, HeadsSaved, MLPSaved


class Block(Layer):
    """Gated heads, then a gated MLP.

    Parameters
    ----------
    width, heads, hidden : int
        Channels C, heads H, hidden width F of the MLP.
    out_scale : float, default 1
        Factor of the initial output projections.
    """

    def __init__(self, width: int, heads: int, hidden: int, *, out_scale: float = 1.0):
        self.heads = GatedHeads(width, heads, out_scale=out_scale)
        self.mlp = GatedMLP(width, hidden, out_scale=out_scale)

    def children(self) -> dict[str, Layer]:
        return {"heads": self.heads, "mlp": self.mlp}

    def forward(self, x: NDArray, gate: NDArray | None = None, lengths: NDArray | None = None, *,
                save: bool = True, out: NDArray | None = None):
        """Apply the block to `x` (B, T, C); `gate` (B, H + 1) has the heads', then the MLP's."""
        gate_heads, gate_mlp = (None, None) if gate is None else (gate[:, :-1], gate[:, -1])
        y, heads = self.heads.forward(x, gate_heads, lengths, save=save, out=out)
        y, mlp = self.mlp.forward(y, gate_mlp, lengths, save=save, out=None if save else y)
        return y, (heads, mlp)

    def backward(self, dy: NDArray, saved: tuple[HeadsSaved, MLPSaved]) -> tuple[NDArray, NDArray]:
        """Return the gradients of `x` and `gate`."""
        heads, mlp = saved
        dx, dgate_mlp = self.mlp.backward(dy, mlp)
        dx, dgate_heads = self.heads.backward(dx, heads, out=dx)
        return dx, np.concatenate([dgate_heads, dgate_mlp[:, None]], 1)


class TransformerSaved(NamedTuple):
    """What the backward pass of `Transformer` needs."""

    tokens: NDArray
    blocks: list
    reads: tuple


class Transformer(Layer):
    """Causal transformer over tokens, with a gate for every head and MLP of every sample.

    Embedding (shared with the output), blocks of `GatedHeads` and `GatedMLP`, a last layer norm.
    Logits are computed only where they are asked for.

    Parameters
    ----------
    vocabulary : int
        Number of tokens V.
    width, layers, heads : int
        Channels C, blocks L, heads H a block.
    hidden : int, optional
        Hidden width of the MLPs, ``4 * width`` by default.

    Examples
    --------
    >>> from gatelearn import nn
    >>> net = nn.Transformer(10, width=16, layers=2, heads=2).build(seed=0)
    >>> logits, saved = net.forward([[1, 2, 3]], position=[[2]])
    >>> logits.shape, net.gate_shape
    ((1, 10), (2, 3))
    """

    def __init__(self, vocabulary: int, *, width: int, layers: int, heads: int,
                 hidden: int | None = None):
        self.vocabulary, self.width = vocabulary, width
        hidden = 4 * width if hidden is None else hidden
        out_scale = 1 / math.sqrt(2 * layers)
        self.blocks = [Block(width, heads, hidden, out_scale=out_scale) for _ in range(layers)]

    def children(self) -> dict[str, Layer]:
        return {f"block{i}": block for i, block in enumerate(self.blocks)}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        C = self.width
        return {"embedding": (self.vocabulary, C), "norm_weight": (C,), "norm_bias": (C,)}

    def initialise(self, rng: np.random.Generator) -> None:
        table = self.param["embedding"]
        table[...] = rng.standard_normal(table.shape) / math.sqrt(self.width)
        self.param["norm_weight"][...] = 1

    @property
    def gate_shape(self) -> tuple[int, int]:
        """``(L, H + 1)``: the gates of one sample; the last column is the MLPs'."""
        return len(self.blocks), self.blocks[0].heads.heads + 1

    def decay_mask(self) -> NDArray:
        """Return 1 for every weight of a product and 0 for embedding, norms and shifts, (P,)."""
        parts = [np.full(math.prod(shape), name in ("wqkv", "wo", "w1", "w2"), self.params.dtype)
                 for _, _, name, shape in self.layout()]
        return np.concatenate(parts)

    def work(self, T: int) -> NDArray[np.int64]:
        """Return the multiply-adds behind each gate for one sample of T steps, (L, H + 1)."""
        rows = [[b.heads.work(T)] * b.heads.heads + [b.mlp.work(T)] for b in self.blocks]
        return np.array(rows, np.int64)

    def read_work(self, n: float) -> float:
        """Return the multiply-adds of reading n logit rows, which no gate can close."""
        return n * self.width * self.vocabulary

    def embed(self, tokens: ArrayLike) -> NDArray:
        """Return the embedded tokens, (B, T, C)."""
        tokens = as_index(tokens, "tokens", ndim=2)
        table = self.param["embedding"]
        x = np.empty((*tokens.shape, self.width), table.dtype)
        _core.embedding_forward(x.reshape(-1, self.width), table, tokens.reshape(-1))
        return x

    def read(self, rows: NDArray) -> tuple[NDArray, tuple]:
        """Return logits (N, V) of hidden states (N, C), and what `read_backward` needs."""
        p = self.param
        n = np.empty_like(rows)
        mean, rstd = np.empty((2, len(rows)), rows.dtype)
        logits = np.empty((len(rows), self.vocabulary), rows.dtype)
        _core.layer_norm_forward(n, mean, rstd, rows, p["norm_weight"], p["norm_bias"], 1e-5)
        _core.linear_forward(logits, n, p["embedding"], None, True)
        return logits, (rows, n, mean, rstd)

    def read_backward(self, dlogits: NDArray, saved: tuple) -> NDArray:
        """Return the gradient of the hidden states."""
        rows, n, mean, rstd = saved
        p, g = self.param, self.grad
        dn = np.empty_like(n)
        _core.linear_backward(dn, g["embedding"], None, dlogits, n, p["embedding"], True)
        _core.layer_norm_backward(dn, g["norm_weight"], g["norm_bias"], dn, rows, mean, rstd,
                                  p["norm_weight"])
        return dn

    def forward(self, tokens: ArrayLike, gate: ArrayLike | Callable | None = None, *,
                position: ArrayLike, depth: ArrayLike | None = None,
                lengths: ArrayLike | None = None,
                save: bool = True) -> tuple[NDArray, TransformerSaved | None]:
        """Return logits at the named positions.

        Parameters
        ----------
        tokens : array_like of int, shape (B, T)
        gate : ndarray, shape (B, L, H + 1), or callable, optional
            All open by default. A callable is asked layer by layer, ``gate(l, x)`` with the hidden
            state (B, T, C) that enters layer l, for the gates (B, H + 1) of that layer.
        position : array_like of int, shape (B, Q)
            Where to read; -1 leaves a slot out.
        depth : array_like of int, shape (B, Q), optional
            After how many blocks to read, ``L`` by default: logits of inner states serve auxiliary
            losses.
        lengths : array_like of int, shape (B,), optional
            Steps of each sample that count.
        save : bool, default True
            Keep what `backward` needs; without it the pass needs little memory.

        Returns
        -------
        logits : ndarray, shape (N, V)
            A row for each slot that is not -1, in the order of `position`.
        saved : TransformerSaved or None

        Raises
        ------
        IndexError
            If a token, position or depth is out of range.
        """
        x = self.embed(tokens)
        B, T, _ = x.shape
        L = len(self.blocks)
        sample, at, level = self._slots(position, depth, B, T)
        if gate is not None and not callable(gate):
            gate = np.asarray(gate)
            if gate.shape != (B, *self.gate_shape):
                raise ValueError(f"gate has shape {gate.shape}, expected {(B, *self.gate_shape)}")

        rows = np.empty((len(sample), self.width), x.dtype)
        saved = []
        for i in range(L + 1):
            here = level == i
            if here.any():
                rows[here] = x[sample[here], at[here]]
            if i < L:
                g = gate(i, x) if callable(gate) else None if gate is None else gate[:, i]
                x, s = self.blocks[i].forward(x, g, lengths, save=save, out=None if save else x)
                saved.append(s)
        logits, read = self.read(rows)
        if not save:
            return logits, None
        return logits, TransformerSaved(tokens, saved, (sample, at, level, read))

    def _slots(self, position, depth, B, T):
        position = as_index(position, "position", ndim=2)
        L = len(self.blocks)
        if len(position) != B:
            raise ValueError(f"position has {len(position)} rows, expected {B}")
        if position.size and (position.min() < -1 or position.max() >= T):
            raise IndexError(f"position has values outside [-1, {T})")
        sample, slot = np.nonzero(position >= 0)
        at = position[sample, slot]
        if depth is None:
            return sample, at, np.full(len(sample), L)
        depth = as_index(depth, "depth", ndim=2)
        if depth.shape != position.shape:
            raise ValueError(f"depth has shape {depth.shape}, expected {position.shape}")
        level = depth[sample, slot]
        if level.size and (level.min() < 0 or level.max() > L):
            raise IndexError(f"depth has values outside [0, {L}]")
        return sample, at, level

    def backward(self, dlogits: NDArray, saved: TransformerSaved) -> NDArray:
        """Return the gradient of `gate`, (B, L, H + 1); add those of the parameters."""
        tokens, blocks, (sample, at, level, read) = saved
        drows = self.read_backward(dlogits, read)
        B, T = np.shape(tokens)
        dx = np.zeros((B, T, self.width), drows.dtype)
        dgate = np.empty((B, *self.gate_shape), drows.dtype)
        for i in range(len(self.blocks), -1, -1):
            here = level == i
            if here.any():
                # a position may be read by several slots: add row by row, as an embedding does
                _core.embedding_backward(dx.reshape(-1, self.width), drows[here],
                                         sample[here]*T + at[here])
            if i > 0:
                dx, dgate[:, i - 1] = self.blocks[i - 1].backward(dx, blocks[i - 1])
        _core.embedding_backward(self.grad["embedding"], dx.reshape(-1, self.width),
                                 as_index(tokens, "tokens").reshape(-1))
        return dgate
