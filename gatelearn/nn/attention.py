"""Multi-head attention over a sequence itself or over another one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import functional as F
from gatelearn.nn.base import Layer
from gatelearn.nn.layers import Linear


class AttentionSaved(NamedTuple):
    """What the backward pass of `MultiHeadAttention` needs."""

    inputs: list               # saved by the projections of x and memory
    heads: tuple               # query, key, value (B, H, T, D), each a view of its projection
    out: NDArray               # (B, H, Tq, D)
    lse: NDArray
    sigmoid: tuple | None      # gate that the layer computes, and what its projection saved
    last: Any
    options: dict
    is_self: bool


class MultiHeadAttention(Layer):
    """Projections, attention by heads [1]_, projection.

    Parameters
    ----------
    width : int
        Channels C of the queries and of the output.
    heads : int
        H; divides `width`.
    kv_heads : int, optional
        G, heads of keys and values, each shared by ``H / G`` of queries; H by default.
    memory_width : int, optional
        Channels of what is attended to; `width` by default, as self-attention needs it.
    output_gate : {None, 'head', 'element'}, default None
        A sigmoid of the input multiplies the output of each query and head, or each of its
        elements, before the last projection [2]_.
    rotary : bool, default False
        Rotate queries and keys by their place; ``C / H`` must then be even.
    is_causal, window, dropout_p
        As in `gatelearn.functional.attention`.
    bias : bool, default False
        Whether the projections have biases.

    Notes
    -----
    A head that a call's `gate` closes is not attended with, but projected: `GatedHeads` skips that,
    too.

    References
    ----------
    .. [1] A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017.
    .. [2] Z. Qiu et al., "Gated Attention for Large Language Models", NeurIPS 2025.

    Examples
    --------
    >>> from gatelearn import nn
    >>> layer = nn.MultiHeadAttention(8, heads=4, kv_heads=2, memory_width=3).build(seed=0)
    >>> x, memory = np.ones((2, 5, 8), np.float32), np.ones((2, 7, 3), np.float32)
    >>> y, saved = layer.forward(x, memory)
    >>> dx, dmemory, dgate, dbias = layer.backward(np.ones_like(y), saved)
    >>> y.shape, dmemory.shape
    ((2, 5, 8), (2, 7, 3))
    """

    def __init__(self, width: int, heads: int, *, kv_heads: int | None = None,
                 memory_width: int | None = None, output_gate: str | None = None,
                 rotary: bool = False, is_causal: bool = False, window: F.Window = None,
                 dropout_p: float = 0.0, bias: bool = False):
        kv_heads = heads if kv_heads is None else kv_heads
        if heads < 1 or width % heads:
            raise ValueError(f"heads is {heads}, expected a divisor of width = {width}")
        if kv_heads < 1 or heads % kv_heads:
            raise ValueError(f"kv_heads is {kv_heads}, expected a divisor of heads = {heads}")
        if output_gate not in (None, "head", "element"):
            raise ValueError(f"output_gate is {output_gate!r}, expected None, 'head' or 'element'")
        if rotary and width // heads % 2:
            raise ValueError(f"width / heads is {width // heads}, expected an even number")
        self.width, self.heads, self.kv_heads, self.rotary = width, heads, kv_heads, rotary
        self.memory_width = width if memory_width is None else memory_width
        self.output_gate = output_gate
        self.options = dict(is_causal=is_causal, window=window)
        self.dropout_p = dropout_p
        D = width // heads
        self.query = Linear(width, width, bias)
        self.key = Linear(self.memory_width, kv_heads * D, bias)
        self.value = Linear(self.memory_width, kv_heads * D, bias)
        self.out = Linear(width, width, bias)
        self.gate = Linear(width, heads if output_gate == "head" else width)

    def children(self) -> dict[str, Layer]:
        own = {"query": self.query, "key": self.key, "value": self.value, "out": self.out}
        return own | {"gate": self.gate} if self.output_gate else own

    def _split(self, x: NDArray) -> NDArray:
        """Return a projection (B, T, H * D) as heads (B, H, T, D); a view."""
        B, T, HD = x.shape
        D = self.width // self.heads
        return x.reshape(B, T, HD // D, D).transpose(0, 2, 1, 3)

    def _join(self, x: NDArray) -> NDArray:
        B, H, T, D = x.shape
        return x.transpose(0, 2, 1, 3).reshape(B, T, H * D)

    def _rotate(self, heads: tuple, inverse: bool = False) -> None:
        """Rotate queries and keys (B, H, T, D) in place."""
        for x in heads[:2] if self.rotary else ():
            tables = F.rotary_tables(*x.shape[2:], dtype=x.dtype)
            F.rotary(x, *tables, inverse=inverse, out=x)

    def _gates(self, z: NDArray) -> NDArray:
        """Return the layer's own gate as a factor of the output (B, H, T, D)."""
        gate = F.sigmoid(z)
        return (gate.transpose(0, 2, 1)[..., None] if self.output_gate == "head"
                else self._split(gate))

    def forward(self, x: NDArray, memory: NDArray | None = None, gate: NDArray | None = None,
                bias: NDArray | None = None, *, mask: ArrayLike | None = None,
                query_lengths: ArrayLike | None = None, key_lengths: ArrayLike | None = None,
                seed: int | None = None) -> tuple[NDArray, AttentionSaved]:
        """Attend.

        Parameters
        ----------
        x : ndarray, shape (B, Tq, C)
        memory : ndarray, shape (B, Tk, memory_width), optional
            What is attended to, `x` by default.
        gate : ndarray, shape (B, H), optional
            Factor of each sample's and head's output; 0 closes it.
        bias, mask, query_lengths, key_lengths
            As in `gatelearn.functional.attention`.
        seed : int, optional
            Of dropout; without it, as in evaluation, there is none.

        Returns
        -------
        y : ndarray, shape (B, Tq, C)
        saved : AttentionSaved
        """
        options = self.options | dict(gate=gate, bias=bias, mask=mask, key_lengths=key_lengths,
                                      query_lengths=query_lengths)
        if seed is not None:
            options |= dict(dropout_p=self.dropout_p, seed=seed)
        source = x if memory is None else memory
        projected, inputs = zip(self.query.forward(x), self.key.forward(source),
                                self.value.forward(source), strict=True)
        heads = tuple(map(self._split, projected))
        self._rotate(heads)
        out = self._split(np.empty_like(projected[0]))
        _, lse = F.attention(*heads, **options, return_lse=True, out=out)

        sigmoid, gated = None, out
        if self.output_gate:
            z, saved_z = self.gate.forward(x)
            sigmoid = self._gates(z), saved_z
            gated = out * sigmoid[0]
        y, last = self.out.forward(self._join(gated))
        return y, AttentionSaved(list(inputs), heads, out, lse, sigmoid, last, options,
                                 memory is None)

    def backward(self, dy: NDArray, saved: AttentionSaved
                 ) -> tuple[NDArray, NDArray | None, NDArray | None, NDArray | None]:
        """Return the gradients of `x`, `memory`, `gate` and `bias`; None where not given."""
        dout = self._split(self.out.backward(dy, saved.last))
        dx = None
        if saved.sigmoid:
            # forward: gated = out * sigmoid(z)
            s, saved_z = saved.sigmoid
            dz = dout * saved.out * s * (1 - s) if self.output_gate == "element" else (
                (dout * saved.out).sum(-1, keepdims=True) * s * (1 - s))
            dx = self.gate.backward(self._join(dz), saved_z)
            dout = dout * s
        *dheads, dgate, dbias = F.attention_backward(dout, *saved.heads, saved.out, saved.lse,
                                                     **saved.options)
        self._rotate(tuple(dheads), inverse=True)
        dq, dk, dv = (layer.backward(self._join(d), s) for layer, d, s in zip(
            (self.query, self.key, self.value), dheads, saved.inputs, strict=True))
        dx = dq if dx is None else dx + dq
        if saved.is_self:
            return dx + dk + dv, None, dgate, dbias
        return dx, dk + dv, dgate, dbias

    def weights(self, saved: AttentionSaved, rows: ArrayLike | None = None) -> NDArray:
        """Return the attention weights (B, H, R, Tk) of named queries, all by default."""
        options = {k: v for k, v in saved.options.items() if k not in ("dropout_p", "seed")}
        return F.attention_weights(*saved.heads[:2], rows=rows, **options)
