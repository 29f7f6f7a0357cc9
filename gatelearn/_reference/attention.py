"""Softmax attention with the whole matrix of scores."""

import numpy as np


def visible(Tq, Tk, B, H, is_causal=False, window=(None, None), query_lengths=None,
            key_lengths=None, mask=None, block_mask=None, block_size=1):
    """Which query sees which key, (B, H, Tq, Tk)."""
    t, s = np.arange(Tq)[:, None], np.arange(Tk)
    left, right = window
    seen = np.ones((B, H, Tq, Tk), bool)
    if is_causal:
        seen &= s <= t
    if left is not None:
        seen &= s >= t - left
    if right is not None:
        seen &= s <= t + right
    if query_lengths is not None:
        seen &= t < np.asarray(query_lengths)[:, None, None, None]
    if key_lengths is not None:
        seen &= s < np.asarray(key_lengths)[:, None, None, None]
    if mask is not None:
        seen &= mask
    if block_mask is not None:
        seen &= block_mask[:, t // block_size, s // block_size]
    return seen


def philox(counter, key):
    """Return the four words of Philox-4x32-10 at counters (4, ...), each of uint32."""
    c = [np.asarray(x, np.uint64) for x in counter]
    k = [np.uint64(key & 0xFFFFFFFF), np.uint64(key >> 32)]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> np.uint64(32)) ^ c[1] ^ k[0], b & low, (a >> np.uint64(32)) ^ c[3] ^ k[1],
             a & low]
        k = [(k[0] + np.uint64(0x9E3779B9)) & low, (k[1] + np.uint64(0xBB67AE85)) & low]
    return c


def dropout_factor(B, H, Tq, Tk, dropout_p, seed):
    """Return 0 for each weight that is dropped and 1 / (1 - p) for each kept, (B, H, Tq, Tk)."""
    bh, t, s = np.arange(B * H)[:, None, None], np.arange(Tq)[:, None], np.arange(Tk)
    counter = np.broadcast_arrays(s // 4, t, bh, 0)
    word = np.choose(s % 4, philox(counter, seed)).reshape(B, H, Tq, Tk)
    return np.where(word < dropout_p * 2.0**32, 0, 1 / (1 - dropout_p))


def spread(x, H):
    """Return keys or values (B, G, Tk, D) as each of H heads sees them, (B, H, Tk, D)."""
    return np.repeat(x, H // x.shape[1], 1) if H else x[:, :0]


def gather(dx, G):
    """Return the sums of (B, H, Tk, D) over the heads that share, (B, G, Tk, D)."""
    B, H, Tk, D = dx.shape
    return dx.reshape(B, G, H // G, Tk, D).sum(2) if G else dx


def attention(query, key, value, *, bias=None, mask=None, is_causal=False, window=(None, None),
              scale=None, gate=None, query_lengths=None, key_lengths=None, block_mask=None,
              block_size=1, alibi_slopes=None, dropout_p=0.0, seed=0):
    """Return output, log-sum-exp and the weights before dropout."""
    B, H, Tq, D = query.shape
    Tk = key.shape[2]
    scale = 1 / np.sqrt(D) if scale is None else scale
    gate = np.ones((B, H), query.dtype) if gate is None else gate
    seen = visible(Tq, Tk, B, H, is_causal, window, query_lengths, key_lengths, mask, block_mask,
                   block_size) & (gate != 0)[:, :, None, None]

    score = scale * (query @ spread(key, H).swapaxes(-1, -2))
    if bias is not None:
        score = score + bias
    if alibi_slopes is not None:
        score = score - alibi_slopes[:, None, None] * abs(np.arange(Tq)[:, None] - np.arange(Tk))
    score = np.where(seen, score, -np.inf)
    top = score.max(-1, keepdims=True, initial=-np.inf)
    p = np.where(seen, np.exp(score - np.where(np.isinf(top), 0, top)), 0)
    total = p.sum(-1, keepdims=True)
    p = p / np.where(total == 0, 1, total)
    with np.errstate(divide="ignore"):
        lse = np.log(total[..., 0]) + np.where(total[..., 0] == 0, 0, top[..., 0])
    kept = p * dropout_factor(B, H, Tq, Tk, dropout_p, seed) if dropout_p else p
    return gate[:, :, None, None] * (kept @ spread(value, H)), lse, p


def attention_backward(dout, query, key, value, *, bias=None, mask=None, scale=None, gate=None,
                       dropout_p=0.0, seed=0, **options):
    """Return the gradients of query, key, value, gate and bias; the last in full shape."""
    B, H, Tq, D = query.shape
    G, Tk = key.shape[1:3]
    scale = 1 / np.sqrt(D) if scale is None else scale
    gate = np.ones((B, H), query.dtype) if gate is None else gate
    _, _, p = attention(query, key, value, bias=bias, mask=mask, scale=scale, gate=gate,
                        **options)
    factor = dropout_factor(B, H, Tq, Tk, dropout_p, seed) if dropout_p else 1

    # forward: out = gate * (factor * p @ value)
    kept = factor * p
    dgate = (dout * (kept @ spread(value, H))).sum((-1, -2)) * (gate != 0)
    do = gate[:, :, None, None] * dout
    dvalue = gather(kept.swapaxes(-1, -2) @ do, G)
    dp = factor * (do @ spread(value, H).swapaxes(-1, -2))
    # forward: p = softmax(scale * query @ key^T + bias)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True))
    dquery, dkey = scale * ds @ spread(key, H), gather(scale * ds.swapaxes(-1, -2) @ query, G)
    return dquery, dkey, dvalue, dgate, ds
