"""Layers whose heads and blocks can be closed, sample by sample; closed ones cost nothing."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatelearn import _core
from gatelearn._convert import as_index
from gatelearn.functional import rotary_tables
from gatelearn.nn.base import Layer, check_input
from gatelearn.nn.cache import HeadsCache


def _gate(gate: NDArray | None, shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
    if gate is None:
        return np.ones(shape, dtype)
    if np.shape(gate) != shape:
        raise ValueError(f"gate has shape {np.shape(gate)}, expected {shape}")
    return np.ascontiguousarray(gate, dtype)


def _bias(bias: NDArray | None, shape: tuple[int, ...], dtype: np.dtype) -> NDArray | None:
    if bias is not None and np.shape(bias) != shape:
        raise ValueError(f"bias has shape {np.shape(bias)}, expected {shape}")
    return None if bias is None else np.ascontiguousarray(bias, dtype)


class HeadsSaved(NamedTuple):
    """What the backward pass of `GatedHeads` needs."""

    x: NDArray
    gate: NDArray
    lengths: NDArray | None
    qkv: NDArray
    out: NDArray
    lse: NDArray
    bias: NDArray | None = None

    def open_heads(self, sample: int) -> tuple[NDArray, NDArray]:
        """Return a sample's open heads (N,), and their queries, keys and values (T, 3, N, D)."""
        heads = np.flatnonzero(self.gate[sample])
        T, three, _, D = self.qkv.shape[1:]
        used = self.qkv[sample].reshape(-1)[:T * three * len(heads) * D]
        return heads, used.reshape(T, three, len(heads), D)


class GatedHeads(Layer):
    """Pre-norm residual block of multi-head self-attention with one gate a sample and head.

    ``x + sum over open heads of gate * attention(q, k, v) @ wo``: the gate stands after the
    weighted sum and before the output projection [1]_. Queries, keys and values are projected from
    the layer norm of `x`, each channel mixed with its predecessor in time by a learned share
    (`shift`), which lets one layer find what followed an earlier word; queries and keys are rotated
    by position.

    Parameters
    ----------
    width : int
        Channels C.
    heads : int
        H; divides `width`.
    is_causal : bool, default True
    rotary : bool, default True
        Rotate queries and keys by position; ``C / H`` must then be even.
    shift : bool, default True
        Mix each position with its predecessor.
    out_scale : float, default 1
        Factor of the initial output projection; ``1 / sqrt(2 * layers)`` keeps deep sums bounded.
    eps : float, default 1e-5
        Of the layer norm.

    Notes
    -----
    Initially keys share the weights of queries and `wo` leans towards the transpose of the value
    weights, after [2]_: heads then start by matching like with like and copying what they find.

    References
    ----------
    .. [1] Z. Qiu et al., "Gated Attention for Large Language Models", NeurIPS 2025.
    .. [2] A. Trockman and J. Z. Kolter, "Mimetic Initialization of Self-Attention Layers", ICML
       2023.

    Examples
    --------
    >>> from gatelearn import nn
    >>> layer = nn.GatedHeads(32, heads=2).build(seed=0)
    >>> x = np.ones((1, 5, 32), np.float32)
    >>> y, saved = layer.forward(x, np.zeros((1, 2)))
    >>> bool((y == x).all())
    True
    """

    def __init__(self, width: int, heads: int, *, is_causal: bool = True, rotary: bool = True,
                 shift: bool = True, out_scale: float = 1.0, eps: float = 1e-5):
        if heads < 1 or width % heads:
            raise ValueError(f"heads is {heads}, expected a divisor of width = {width}")
        if rotary and width // heads % 2:
            raise ValueError(f"width / heads is {width // heads}, expected an even number")
        self.width, self.heads, self.head_width = width, heads, width // heads
        self.is_causal, self.rotary, self.shift = is_causal, rotary, shift
        self.out_scale, self.eps = out_scale, eps

    def shapes(self) -> dict[str, tuple[int, ...]]:
        C, H, D = self.width, self.heads, self.head_width
        shift = {"shift": (3, C)} if self.shift else {}
        return {"norm_weight": (C,), "norm_bias": (C,), **shift, "wqkv": (3, C, H, D),
                "wo": (H, D, C)}

    def initialise(self, rng: np.random.Generator) -> None:
        p, C = self.param, self.width
        p["norm_weight"][...] = 1
        if self.shift:
            p["shift"][...] = np.array([[0.1], [0.9], [0.1]])
        p["wqkv"][...] = rng.standard_normal(p["wqkv"].shape) / math.sqrt(C)
        # twice as large: sharp matches from the start
        p["wqkv"][0] *= 2
        p["wqkv"][1] = p["wqkv"][0]
        noise = rng.standard_normal(p["wo"].shape) / math.sqrt(C)
        p["wo"][...] = 0.8 * p["wqkv"][2].transpose(1, 2, 0) + 0.6 * self.out_scale * noise

    def work(self, T: int) -> int:
        """Return the multiply-adds of one open head for one sample of T steps."""
        C, D = self.width, self.head_width
        pairs = T * (T + 1) // 2 if self.is_causal else T * T
        return 4 * T * C * D + 2 * pairs * D

    def _options(self, x: NDArray, gate: NDArray, lengths: NDArray | None,
                 bias: NDArray | None) -> tuple:
        p, D = self.param, self.head_width
        tables = rotary_tables(x.shape[1], D, dtype=x.dtype) if self.rotary else (None, None)
        return (x, gate, lengths, bias, p["norm_weight"], p["norm_bias"], p.get("shift"), p["wqkv"],
                p["wo"], *tables, 1 / math.sqrt(D), self.is_causal, self.eps)

    def forward(self, x: NDArray, gate: NDArray | None = None, lengths: NDArray | None = None,
                bias: NDArray | None = None, *, save: bool = True,
                out: NDArray | None = None) -> tuple[NDArray, HeadsSaved | None]:
        """Apply the block.

        Parameters
        ----------
        x : ndarray, shape (B, T, C)
        gate : ndarray, shape (B, H), optional
            0 closes a head of a sample; any other value is a factor. All open by default.
        lengths : ndarray of int, shape (B,), optional
            Steps of each sample that count; those behind are copied.
        bias : ndarray, shape (B, T), optional
            Added to the scores of each key, the same for all heads and queries of a sample.
        save : bool, default True
            Keep what `backward` needs.
        out : ndarray, shape (B, T, C), optional
            Where to write; may be `x` where nothing is saved.

        Returns
        -------
        y : ndarray, shape (B, T, C)
        saved : HeadsSaved or None
        """
        check_input(x, self.width, self.param["wo"].dtype)
        B, T, _ = x.shape
        H, D = self.heads, self.head_width
        gate, bias = _gate(gate, (B, H), x.dtype), _bias(bias, (B, T), x.dtype)
        lengths = None if lengths is None else as_index(lengths, "lengths", ndim=1)
        if save and out is not None and np.may_share_memory(out, x):
            raise ValueError("out is x, expected another array where save is True")
        y = np.empty_like(x) if out is None else out
        arrays = (None, None, None)
        if save:
            arrays = (np.empty((B, T, 3, H, D), x.dtype), np.empty((B, T, H, D), x.dtype),
                      np.empty((B, H, T), x.dtype))
        _core.gated_heads_forward(*self._options(x, gate, lengths, bias), *arrays, y)
        return y, HeadsSaved(x, gate, lengths, *arrays, bias) if save else None

    def backward(self, dy: NDArray, saved: HeadsSaved, *,
                 out: NDArray | None = None) -> tuple[NDArray, ...]:
        """Return the gradients of `x` and `gate`, and that of `bias` where one was given.

        `out` may be `dy`. The gradient of a closed head's gate is 0: what the head would have said
        is not known.
        """
        g = self.grad
        dx = np.empty_like(dy) if out is None else out
        dgate = np.empty_like(saved.gate)
        dbias = None if saved.bias is None else np.empty_like(saved.bias)
        _core.gated_heads_backward(
            *self._options(saved.x, saved.gate, saved.lengths, saved.bias), saved.qkv, saved.out,
            saved.lse, dy, dx, dgate, dbias, g["norm_weight"], g["norm_bias"], g.get("shift"),
            g["wqkv"], g["wo"])
        return (dx, dgate) if dbias is None else (dx, dgate, dbias)

    def prefill(self, x: NDArray, gate: NDArray, lengths: NDArray, cache: HeadsCache,
                last: NDArray) -> NDArray:
        """Return the output of `forward`; fill the cache and `last` as `decode` does."""
        p, rows = self.param, x[np.arange(len(x)), lengths - 1]
        mean, rstd = np.empty((2, len(x)), x.dtype)
        _core.layer_norm_forward(last, mean, rstd, rows, p["norm_weight"], p["norm_bias"], self.eps)
        y, saved = self.forward(x, gate, lengths)
        cache.fill(saved)
        return y

    def decode(self, x: NDArray, cache: HeadsCache, lengths: NDArray, previous: NDArray,
               last: NDArray) -> None:
        """Add the block to new positions, which see those in the cache; write theirs into it.

        Parameters
        ----------
        x : ndarray, shape (B, N, C)
            Overwritten by the result.
        cache : HeadsCache
        lengths : ndarray of int64, shape (B,)
            Positions so far.
        previous, last : ndarray, shape (B, C)
            Normalised row before the first new position, 0 at the start; that of the last one,
            overwritten.
        """
        if not self.is_causal:
            raise ValueError("is_causal is False, expected True: what was read must not change")
        p, D = self.param, self.head_width
        tables = rotary_tables(cache.kv.shape[2], D, dtype=x.dtype) if self.rotary else (None, None)
        _core.decode_heads(x, *cache.kv, last, previous, cache.first, cache.sample, cache.factor,
                           lengths, p["norm_weight"], p["norm_bias"], p.get("shift"), p["wqkv"],
                           p["wo"], *tables, 1 / math.sqrt(D), self.eps)

    def weights(self, saved: HeadsSaved, sample: NDArray, position: NDArray) -> NDArray:
        """Return the attention weights of named queries, for analysis.

        Parameters
        ----------
        saved : HeadsSaved
            Of a forward pass.
        sample, position : ndarray of int, shape (N,)
            Which queries.

        Returns
        -------
        ndarray, shape (N, H, T)
            Rows of softmax; 0 for closed heads.
        """
        T = saved.x.shape[1]
        weights = np.zeros((len(sample), self.heads, T), saved.x.dtype)
        for row, b, t in zip(weights, sample, position, strict=True):
            seen = T if saved.lengths is None else saved.lengths[b]
            if self.is_causal:
                seen = min(seen, t + 1)
            heads, qkv = saved.open_heads(b)
            score = np.einsum("hd,thd->ht", qkv[t, 0], qkv[:seen, 1]) / math.sqrt(self.head_width)
            if saved.bias is not None:
                score = score + saved.bias[b, :seen]
            row[heads, :seen] = np.exp(score - saved.lse[b, heads, t, None])
        return weights


class MLPSaved(NamedTuple):
    """What the backward pass of `GatedMLP` needs."""

    x: NDArray
    gate: NDArray
    lengths: NDArray | None
    hidden: NDArray


class GatedMLP(Layer):
    """Pre-norm residual block of two products and a GELU with one gate a sample.

    ``x + gate * gelu(layer_norm(x) @ w1) @ w2``; a closed sample is copied.

    Parameters
    ----------
    width : int
        Channels C.
    hidden : int
        Hidden width F.
    out_scale : float, default 1
        Factor of the initial `w2`.
    eps : float, default 1e-5
        Of the layer norm.

    Examples
    --------
    >>> from gatelearn import nn
    >>> layer = nn.GatedMLP(4, 8).build(seed=0)
    >>> x = np.ones((2, 3, 4), np.float32)
    >>> y, saved = layer.forward(x, np.array([1.0, 0.0]))
    >>> bool((y[1] == x[1]).all())
    True
    """

    def __init__(self, width: int, hidden: int, *, out_scale: float = 1.0, eps: float = 1e-5):
        self.width, self.hidden, self.out_scale, self.eps = width, hidden, out_scale, eps

    def shapes(self) -> dict[str, tuple[int, ...]]:
        C, F = self.width, self.hidden
        return {"norm_weight": (C,), "norm_bias": (C,), "w1": (C, F), "w2": (F, C)}

    def initialise(self, rng: np.random.Generator) -> None:
        p = self.param
        p["norm_weight"][...] = 1
        p["w1"][...] = rng.standard_normal(p["w1"].shape) / math.sqrt(self.width)
        p["w2"][...] = (rng.standard_normal(p["w2"].shape) * self.out_scale
                        / math.sqrt(self.hidden))

    def work(self, T: int) -> int:
        """Return the multiply-adds of the open block for one sample of T steps."""
        return 2 * T * self.width * self.hidden

    def _options(self, x: NDArray, gate: NDArray, lengths: NDArray | None) -> tuple:
        p = self.param
        return x, gate, lengths, p["norm_weight"], p["norm_bias"], p["w1"], p["w2"], self.eps

    def forward(self, x: NDArray, gate: NDArray | None = None, lengths: NDArray | None = None, *,
                save: bool = True, out: NDArray | None = None) -> tuple[NDArray, MLPSaved | None]:
        """Apply the block; parameters as in `GatedHeads.forward`, with `gate` of shape (B,)."""
        check_input(x, self.width, self.param["w1"].dtype)
        B, T, _ = x.shape
        gate = _gate(gate, (B,), x.dtype)
        lengths = None if lengths is None else as_index(lengths, "lengths", ndim=1)
        if save and out is not None and np.may_share_memory(out, x):
            raise ValueError("out is x, expected another array where save is True")
        y = np.empty_like(x) if out is None else out
        hidden = np.empty((B, T, self.hidden), x.dtype) if save else None
        _core.gated_mlp_forward(*self._options(x, gate, lengths), hidden, y)
        return y, MLPSaved(x, gate, lengths, hidden) if save else None

    def backward(self, dy: NDArray, saved: MLPSaved, *,
                 out: NDArray | None = None) -> tuple[NDArray, NDArray]:
        """Return the gradients of `x` and `gate`; `out` may be `dy`."""
        g = self.grad
        dx = np.empty_like(dy) if out is None else out
        dgate = np.empty_like(saved.gate)
        _core.gated_mlp_backward(
            *self._options(saved.x, saved.gate, saved.lengths), saved.hidden, dy, dx, dgate,
            g["norm_weight"], g["norm_bias"], g["w1"], g["w2"])
        return dx, dgate

    def decode(self, x: NDArray, gate: NDArray) -> None:
        """Add the block to `x` (B, N, C) in place; few positions of many samples are fast here."""
        p = self.param
        _core.decode_mlp(x, gate, p["norm_weight"], p["norm_bias"], p["w1"], p["w2"], self.eps)
