"""Random inputs of attention, and both sides of a comparison."""

from typing import NamedTuple

import numpy as np

from gatelearn import functional as F
from gatelearn._reference import attention as ref


class Case(NamedTuple):
    dout: np.ndarray
    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    is_causal: bool
    scale: float | None
    gate: np.ndarray | None
    query_lengths: np.ndarray | None
    key_lengths: np.ndarray | None

    @property
    def inputs(self):
        return self.query, self.key, self.value

    @property
    def options(self):
        return dict(is_causal=self.is_causal, scale=self.scale, gate=self.gate,
                    query_lengths=self.query_lengths, key_lengths=self.key_lengths)


def case(seed, dtype, B, H, Tq, Tk, D, E, *, is_causal=False, scale=None, gate=None,
         query_lengths=None, key_lengths=None):
    """Draw inputs. Gates are None, "closed" or "mixed": closed, negative, fractional, open."""
    rng = np.random.default_rng(seed)

    def draw(T, width):
        return rng.standard_normal((B, H, T, width)).astype(dtype)

    if gate == "mixed":
        gate = rng.choice([0, -1.5, 0.3, 1], (B, H)).astype(dtype)
        gate[..., :1] = -1.5
    elif gate == "closed":
        gate = np.zeros((B, H), dtype)
    if query_lengths is not None:
        query_lengths = rng.integers(0, Tq + 1, B)
    if key_lengths is not None:
        key_lengths = rng.integers(0, Tk + 1, B)
    return Case(draw(Tq, E), draw(Tq, D), draw(Tk, D), draw(Tk, E), is_causal,
                1.0 if scale is None and D == 0 else scale, gate, query_lengths, key_lengths)


def forward(c):
    return F.attention(*c.inputs, return_lse=True, **c.options)


def backward(c):
    """Gradients of query, key, value and, where there are gates, of those."""
    out, lse = forward(c)
    grads = F.attention_backward(c.dout, *c.inputs, out, lse, **c.options)
    return grads[:3] if c.gate is None else grads


def _wide(c):
    return [None if a is None else a.astype(np.float64) for a in (c.dout, *c.inputs, c.gate)]


def twin_forward(c):
    _, q, k, v, gate = _wide(c)
    return ref.attention(q, k, v, **{**c.options, "gate": gate})[:2]


def twin_backward(c):
    dout, q, k, v, gate = _wide(c)
    grads = ref.attention_backward(dout, q, k, v, **{**c.options, "gate": gate})
    return grads[:3] if c.gate is None else grads


def projection(qkv):
    """Views (B, H, T, D) of queries, keys and values in one array (B, T, 3, H, D)."""
    return [qkv[:, :, i].transpose(0, 2, 1, 3) for i in range(3)]
