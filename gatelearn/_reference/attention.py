"""Softmax attention with the whole matrix of scores."""

import numpy as np


def visible(Tq, Tk, is_causal, query_lengths, key_lengths, B):
    """Which query sees which key, (B, 1, Tq, Tk)."""
    t, s = np.arange(Tq)[:, None], np.arange(Tk)
    seen = np.broadcast_to(s <= t if is_causal else np.ones((Tq, Tk), bool), (B, 1, Tq, Tk)).copy()
    if query_lengths is not None:
        seen &= t < np.asarray(query_lengths)[:, None, None, None]
    if key_lengths is not None:
        seen &= s < np.asarray(key_lengths)[:, None, None, None]
    return seen


def attention(query, key, value, is_causal=False, scale=None, gate=None, query_lengths=None,
              key_lengths=None):
    """Return output, log-sum-exp and the weights."""
    B, H, Tq, D = query.shape
    scale = 1 / np.sqrt(D) if scale is None else scale
    gate = np.ones((B, H), query.dtype) if gate is None else gate
    seen = visible(Tq, key.shape[2], is_causal, query_lengths, key_lengths, B)
    seen = seen & (gate != 0)[:, :, None, None]

    score = np.where(seen, scale * (query @ key.swapaxes(-1, -2)), -np.inf)
    top = score.max(-1, keepdims=True, initial=-np.inf)
    p = np.where(seen, np.exp(score - np.where(np.isinf(top), 0, top)), 0)
    total = p.sum(-1, keepdims=True)
    p = p / np.where(total == 0, 1, total)
    with np.errstate(divide="ignore"):
        lse = np.log(total[..., 0]) + np.where(total[..., 0] == 0, 0, top[..., 0])
    return gate[:, :, None, None] * (p @ value), lse, p


def attention_backward(dout, query, key, value, is_causal=False, scale=None, gate=None,
                       query_lengths=None, key_lengths=None):
    """Return the gradients of query, key, value and gate."""
    B, H, _, D = query.shape
    scale = 1 / np.sqrt(D) if scale is None else scale
    gate = np.ones((B, H), query.dtype) if gate is None else gate
    _, _, p = attention(query, key, value, is_causal, scale, gate, query_lengths, key_lengths)

    # forward: out = gate * (p @ value)
    dgate = (dout * (p @ value)).sum((-1, -2)) * (gate != 0)
    do = gate[:, :, None, None] * dout
    dvalue = p.swapaxes(-1, -2) @ do
    dp = do @ value.swapaxes(-1, -2)
    # forward: p = softmax(scale * query @ key^T)
    ds = scale * p * (dp - (dp * p).sum(-1, keepdims=True))
    return ds @ key, ds.swapaxes(-1, -2) @ query, dvalue, dgate
