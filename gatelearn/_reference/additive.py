"""Additive attention with the whole (Tq, Tk, A) array of sums."""

import numpy as np

from gatelearn._reference.attention import visible


def additive_attention(query, key, value, weight, is_causal=False, query_lengths=None,
                       key_lengths=None, mask=None):
    """Return output, log-sum-exp and the weights."""
    B, Tq, _ = query.shape
    Tk = key.shape[1]
    seen = visible(Tq, Tk, B, 1, is_causal, query_lengths=query_lengths, key_lengths=key_lengths,
                   mask=None if mask is None else mask[:, None])[:, 0]

    score = np.where(seen, np.tanh(query[:, :, None] + key[:, None]) @ weight, -np.inf)
    top = score.max(-1, keepdims=True, initial=-np.inf)
    top = np.where(np.isinf(top), 0, top)
    p = np.exp(score - top)
    total = p.sum(-1, keepdims=True)
    p = p / np.where(total == 0, 1, total)
    with np.errstate(divide="ignore"):
        lse = np.log(total[..., 0]) + top[..., 0]
    return p @ value, lse, p


def additive_attention_backward(dout, query, key, value, weight, is_causal=False,
                                query_lengths=None, key_lengths=None, mask=None):
    """Return the gradients of query, key, value and weight."""
    out, _, p = additive_attention(query, key, value, weight, is_causal, query_lengths,
                                   key_lengths, mask)
    th = np.tanh(query[:, :, None] + key[:, None])

    # forward: out = p @ value, p = softmax(score)
    dvalue = p.swapaxes(-1, -2) @ dout
    dp = dout @ value.swapaxes(-1, -2)
    dscore = p * (dp - (dout * out).sum(-1, keepdims=True))
    # forward: score = tanh(query + key) @ weight
    dsum = dscore[..., None] * weight * (1 - th**2)
    return dsum.sum(2), dsum.sum(1), dvalue, (dscore[..., None] * th).sum((0, 1, 2))
