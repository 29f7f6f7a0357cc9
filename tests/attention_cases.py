"""Random inputs of attention, and both sides of a comparison."""

import math
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
    forms: dict  # the other options of attention

    @property
    def inputs(self):
        return self.query, self.key, self.value

    @property
    def options(self):
        return dict(is_causal=self.is_causal, scale=self.scale, gate=self.gate,
                    query_lengths=self.query_lengths, key_lengths=self.key_lengths, **self.forms)


def case(draws, dtype, B, H, Tq, Tk, D, E, *, G=None, is_causal=False, scale=None, gate=None,
         query_lengths=None, key_lengths=None, **forms):
    """Draw inputs. Gates are None, "closed" or "mixed": closed, negative, fractional, open."""
    rng = np.random.default_rng(draws)
    G = H if G is None else G

    def draw(T, width, heads=H):
        return rng.standard_normal((B, heads, T, width)).astype(dtype)

    if gate == "mixed":
        gate = rng.choice([0, -1.5, 0.3, 1], (B, H)).astype(dtype)
        gate[..., :1] = -1.5
    elif gate == "closed":
        gate = np.zeros((B, H), dtype)
    if query_lengths is not None:
        query_lengths = rng.integers(0, Tq + 1, B)
    if key_lengths is not None:
        key_lengths = rng.integers(0, Tk + 1, B)
    return Case(draw(Tq, E), draw(Tq, D), draw(Tk, D, G), draw(Tk, E, G), is_causal,
                1.0 if scale is None and D == 0 else scale, gate, query_lengths, key_lengths, forms)


def forward(c):
    return F.attention(*c.inputs, return_lse=True, **c.options)


def wanted(c, grads):
    """Those of query, key, value and, where there are any, of gates and bias."""
    return (*grads[:3], *grads[3:4] * (c.gate is not None), *grads[4:] * ("bias" in c.forms))


def backward(c):
    out, lse = forward(c)
    return wanted(c, F.attention_backward(c.dout, *c.inputs, out, lse, **c.options))


def _wide(x):
    return x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


def twin_forward(c):
    options = {k: _wide(v) for k, v in c.options.items()}
    return ref.attention(*map(_wide, c.inputs), **options)[:2]


def twin_backward(c):
    options = {k: _wide(v) for k, v in c.options.items()}
    *grads, dbias = ref.attention_backward(_wide(c.dout), *map(_wide, c.inputs), **options)
    if "bias" in c.forms:
        shape = (1,) * (4 - c.forms["bias"].ndim) + c.forms["bias"].shape
        axes = tuple(i for i in range(4) if shape[i] == 1)
        dbias = dbias.sum(axes, keepdims=True).reshape(c.forms["bias"].shape)
    return wanted(c, (*grads, dbias))


def cancelling(c):
    """Return the largest norms of the terms whose sums are a value of dquery and one of dkey.

    Rounding grows with them; with a key or two, the sums themselves cancel to nothing.
    """
    options = {k: _wide(v) for k, v in c.options.items()}
    dout, query, key, value = (_wide(a) ** 2 for a in (c.dout, *c.inputs))
    p = ref.attention(*map(_wide, c.inputs), **options)[2] ** 2
    scale = 1 / np.sqrt(query.shape[-1]) if c.scale is None else c.scale
    gate = 1 if c.gate is None else _wide(c.gate)[:, :, None, None]
    dp = gate ** 2 * (dout @ ref.spread(value, query.shape[1]).swapaxes(-1, -2))
    ds = scale ** 2 * p * (dp + (dp * p).sum(-1, keepdims=True))
    dkey = ref.gather(ds.swapaxes(-1, -2) @ query, key.shape[1])
    dquery = ds @ ref.spread(key, query.shape[1])
    return math.sqrt(dquery.max(initial=0)), math.sqrt(dkey.max(initial=0))


def projection(qkv):
    """Views (B, H, T, D) of queries, keys and values in one array (B, T, 3, H, D)."""
    return [qkv[:, :, i].transpose(0, 2, 1, 3) for i in range(3)]
