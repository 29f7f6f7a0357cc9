"""A causal transformer whose heads and blocks can be closed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_index
from gatelearn.functional import categorical_sample
from gatelearn.nn.base import Layer
from gatelearn.nn.cache import HeadsCache, KVCache
from gatelearn.nn.gated import GatedHeads, GatedMLP, HeadsSaved, MLPSaved, _gate


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

    def forward(self, x: NDArray, gate: NDArray | None = None, lengths: NDArray | None = None,
                bias: NDArray | None = None, *, save: bool = True, out: NDArray | None = None):
        """Apply the block to `x` (B, T, C); `gate` (B, H + 1) has the heads', then the MLP's."""
        gate_heads, gate_mlp = (None, None) if gate is None else (gate[:, :-1], gate[:, -1])
        y, heads = self.heads.forward(x, gate_heads, lengths, bias, save=save, out=out)
        y, mlp = self.mlp.forward(y, gate_mlp, lengths, save=save, out=None if save else y)
        return y, (heads, mlp)

    def backward(self, dy: NDArray,
                 saved: tuple[HeadsSaved, MLPSaved]) -> tuple[NDArray, ...]:
        """Return the gradients of `x` and `gate`, and that of `bias` where one was given."""
        heads, mlp = saved
        dx, dgate_mlp = self.mlp.backward(dy, mlp)
        dx, dgate_heads, *dbias = self.heads.backward(dx, heads, out=dx)
        return dx, np.concatenate([dgate_heads, dgate_mlp[:, None]], 1), *dbias

    def prefill(self, x: NDArray, gate: NDArray, lengths: NDArray, cache: HeadsCache,
                last: NDArray) -> NDArray:
        """Return the output of `forward`; fill the cache and `last` as `GatedHeads.prefill`."""
        y = self.heads.prefill(x, gate[:, :-1], lengths, cache, last)
        return self.mlp.forward(y, gate[:, -1], lengths, save=False, out=y)[0]

    def decode(self, x: NDArray, cache: KVCache, layer: int, last: NDArray) -> None:
        """Apply the block to new positions (B, N, C) in place; as `GatedHeads.decode`."""
        self.heads.decode(x, cache.heads[layer], cache.lengths, cache.previous[layer], last)
        self.mlp.decode(x, cache.mlp_gates[layer])


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
                lengths: ArrayLike | None = None, bias: NDArray | None = None,
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
        bias : ndarray, shape (B, T), optional
            Added to the attention scores of each position as a key, in all heads and blocks.
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
        gate = self._gates(gate, B)
        rows = np.empty((len(sample), self.width), x.dtype)
        saved = []
        for i in range(L + 1):
            here = level == i
            if here.any():
                rows[here] = x[sample[here], at[here]]
            if i < L:
                x, s = self.blocks[i].forward(x, gate(i, x), lengths, bias, save=save,
                                              out=None if save else x)
                saved.append(s)
        logits, read = self.read(rows)
        if not save:
            return logits, None
        return logits, TransformerSaved(tokens, saved, (sample, at, level, read))

    def _gates(self, gate: ArrayLike | Callable | None, B: int) -> Callable:
        """Return a callable for the gates of a layer, whatever `forward` was given."""
        if callable(gate):
            return gate
        if gate is None:
            return lambda layer, x: None
        gate = np.asarray(gate)
        if gate.shape != (B, *self.gate_shape):
            raise ValueError(f"gate has shape {gate.shape}, expected {(B, *self.gate_shape)}")
        return lambda layer, x: gate[:, layer]

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

    def backward(self, dlogits: NDArray,
                 saved: TransformerSaved) -> NDArray | tuple[NDArray, NDArray]:
        """Return the gradient of `gate`, (B, L, H + 1); add those of the parameters.

        Where a bias was given, its gradient stands beside that of `gate`.
        """
        tokens, blocks, (sample, at, level, read) = saved
        drows = self.read_backward(dlogits, read)
        B, T = np.shape(tokens)
        dx = np.zeros((B, T, self.width), drows.dtype)
        dgate = np.empty((B, *self.gate_shape), drows.dtype)
        dbias: Any = 0
        for i in range(len(self.blocks), -1, -1):
            here = level == i
            if here.any():
                # a position may be read by several slots: add row by row, as an embedding does
                _core.embedding_backward(dx.reshape(-1, self.width), drows[here],
                                         sample[here]*T + at[here])
            if i > 0:
                dx, dgate[:, i - 1], *more = self.blocks[i - 1].backward(dx, blocks[i - 1])
                # one bias serves all blocks
                dbias += more[0] if more else 0
        _core.embedding_backward(self.grad["embedding"], dx.reshape(-1, self.width),
                                 as_index(tokens, "tokens").reshape(-1))
        return (dgate, dbias) if np.ndim(dbias) else dgate

    def cache(self, gate: ArrayLike, capacity: int, *, grow: bool = True) -> KVCache:
        """Return an empty cache, for `decode` to start from.

        Parameters
        ----------
        gate : array_like, shape (B, L, H + 1)
            Of each sample; closed heads will keep nothing.
        capacity : int
            Positions to make room for.
        grow : bool, default True
            Double the room when it is full, without losing anything; if not, a step into a full
            cache raises ValueError.
        """
        B = len(gate)
        gates = self._gates(gate, B)
        cache = self._empty_cache(B, capacity, grow)
        for i, block in enumerate(self.blocks):
            cache.add_layer(self._layer_gate(gates, i, None, B), block.heads.head_width)
        return cache

    def _empty_cache(self, B: int, capacity: int, grow: bool) -> KVCache:
        dtype = self.param["embedding"].dtype
        return KVCache(B, len(self.blocks), self.width, dtype, capacity, grow)

    def prefill(self, tokens: ArrayLike, gate: ArrayLike | Callable | None = None,
                lengths: ArrayLike | None = None, *, capacity: int | None = None,
                grow: bool = True) -> tuple[NDArray, KVCache]:
        """Read prompts; keep their keys and values.

        Parameters
        ----------
        tokens : array_like of int, shape (B, T)
        gate : ndarray, shape (B, L, H + 1), or callable, optional
            As in `forward`. Later steps keep these gates.
        lengths : array_like of int, shape (B,), optional
            Of each prompt, from 1 to T; what stands behind is not read.
        capacity : int, optional
            Positions to make room for, ``2 * T`` by default.
        grow : bool, default True
            As in `cache`.

        Returns
        -------
        logits : ndarray, shape (B, V)
            At the last position of each prompt.
        cache : KVCache

        Raises
        ------
        IndexError
            If a token is out of range.
        ValueError
            If a length is not in 1 to T, or the prompts do not fit a cache that may not grow.

        Examples
        --------
        >>> from gatelearn import nn
        >>> net = nn.Transformer(10, width=16, layers=2, heads=2).build(seed=0)
        >>> logits, cache = net.prefill([[1, 2, 3], [4, 5, 0]], lengths=[3, 2])
        >>> logits = net.decode([7, 8], cache)
        >>> logits.shape, cache.lengths
        ((2, 10), array([4, 3]))
        """
        x = self.embed(tokens)
        B, T, _ = x.shape
        gates = self._gates(gate, B)
        lengths = np.full(B, T) if lengths is None else as_index(lengths, "lengths", ndim=1)
        if lengths.shape != (B,) or (B and (lengths.min() < 1 or lengths.max() > T)):
            raise ValueError(f"lengths is {lengths.tolist()}, expected {B} numbers from 1 to {T}")
        cache = self._empty_cache(B, 2 * T if capacity is None else capacity, grow)
        cache.reserve(T)
        for i, block in enumerate(self.blocks):
            g = self._layer_gate(gates, i, x, B)
            heads = cache.add_layer(g, block.heads.head_width)
            x = block.prefill(x, g, lengths, heads, cache.previous[i])
        cache.lengths = lengths.copy()
        return self._decode_logits(x[np.arange(B), lengths - 1]), cache

    def _layer_gate(self, gates: Callable, layer: int, x: NDArray | None, B: int) -> NDArray:
        return _gate(gates(layer, x), (B, self.gate_shape[1]), self.param["embedding"].dtype)

    def decode(self, tokens: ArrayLike, cache: KVCache) -> NDArray:
        """Read further positions of every sample; return logits (B, V) at the last of them.

        A position costs what its open heads and MLPs cost, whatever the others hold. Results are
        the same bits for a sample alone and in a batch, for positions one by one and several at
        once, on any number of threads. A step that fails or is interrupted leaves the cache as it
        was.

        Parameters
        ----------
        tokens : array_like of int, shape (B,) or (B, N)
            The next one or N >= 1 of each sample.
        cache : KVCache
            Extended by them.

        Returns
        -------
        ndarray, shape (B, V)

        Raises
        ------
        IndexError
            If a token is out of range.
        ValueError
            If `tokens` does not fit, or the cache is full and may not grow.
        """
        tokens, B = as_index(tokens, "tokens"), len(cache.lengths)
        rows = tokens[:, None] if tokens.ndim == 1 else tokens
        if rows.ndim != 2 or len(rows) != B or rows.shape[1] == 0:
            raise ValueError(f"tokens has shape {tokens.shape}, expected ({B},) or ({B}, N), "
                             "N >= 1")
        x = self.embed(rows)
        cache.reserve(rows.shape[1])
        last = np.empty_like(cache.previous)
        for i, block in enumerate(self.blocks):
            block.decode(x, cache, i, last[i])
        logits = self._decode_logits(np.ascontiguousarray(x[:, -1]))
        # what was written behind the lengths counts from here on
        cache.lengths, cache.previous = cache.lengths + rows.shape[1], last
        return logits

    def _decode_logits(self, rows: NDArray) -> NDArray:
        """Return logits of hidden states (B, C): as `read`, but each row alone decides its bits."""
        p = self.param
        logits = np.empty((len(rows), self.vocabulary), rows.dtype)
        _core.decode_logits(logits, rows, p["norm_weight"], p["norm_bias"], p["embedding"], 1e-5)
        return logits

    def generate(self, tokens: ArrayLike, count: int, gate: ArrayLike | Callable | None = None,
                 lengths: ArrayLike | None = None, *, end: int | None = None,
                 rng: np.random.Generator | None = None,
                 temperature: float = 1.0) -> NDArray[np.int64]:
        """Continue prompts token by token.

        Parameters
        ----------
        tokens, gate, lengths
            As in `prefill`.
        count : int
            How many tokens at most.
        end : int, optional
            Ends a sample and fills what follows there, until all samples have ended.
        rng : numpy.random.Generator, optional
            Sample from it; without it the most likely token is taken.
        temperature : float, default 1
            Divides the logits before sampling.

        Returns
        -------
        ndarray of int64, shape (B, n), n <= count

        Raises
        ------
        FloatingPointError
            If logits are not finite.

        Examples
        --------
        >>> from gatelearn import nn
        >>> net = nn.Transformer(10, width=16, layers=2, heads=2).build(seed=0)
        >>> net.generate([[1, 2, 3]], 4, rng=np.random.default_rng(0)).shape
        (1, 4)
        """
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature}, expected a positive number")
        logits, cache = self.prefill(tokens, gate, lengths)
        ended = np.zeros(len(logits), bool)
        chosen: list[NDArray] = []
        while len(chosen) < count and not ended.all():
            if chosen:
                logits = self.decode(chosen[-1], cache)
            if rng is not None:
                token, _ = categorical_sample(logits / temperature, rng.random(len(logits)))
            elif np.isfinite(logits).all():
                token = logits.argmax(1)
            else:
                raise FloatingPointError("logits are not finite")
            if end is not None:
                token = np.where(ended, end, token)
                ended |= token == end
            chosen.append(token)
        return np.array(chosen, np.int64).reshape(len(chosen), len(logits)).T
