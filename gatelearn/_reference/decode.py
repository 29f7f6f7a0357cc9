"""New positions of the gated layers against cached keys and values, pair by pair.

The MLP looks at no other position: its twin is ``gated.gated_mlp``.
"""

import numpy as np

from gatelearn._reference.norm import layer_norm
from gatelearn._reference.positions import rotary


def decode_heads(x, keys, values, previous, pairs, lengths, param, angle=None, eps=1e-5):
    """Return x with the layer added and the last normalised rows (B, C); write keys and values.

    x (B, N, C) follows after lengths (B,) positions, previous (B, C) is the normalised row before
    it. pairs lists (sample, head, gate) of each row of keys and values (P, S, D).
    """
    y = x.copy()
    n = layer_norm(x, param["norm_weight"], param["norm_bias"], eps)
    rows = np.concatenate([previous[:, None], n], 1)
    m = [n + s * (rows[:, :-1] - n) for s in param["shift"]] if "shift" in param else [n] * 3
    for p, (b, h, gate) in enumerate(pairs):
        new = slice(lengths[b], lengths[b] + x.shape[1])
        q, k, v = (m[i][b] @ param["wqkv"][i, :, h] for i in range(3))
        if angle is not None:
            q, k = rotary(q, angle[new]), rotary(k, angle[new])
        keys[p, new], values[p, new] = k, v
        for i, q_i in enumerate(q):
            end = lengths[b] + i + 1
            score = keys[p, :end] @ q_i / np.sqrt(len(q_i))
            weight = np.exp(score - score.max())
            y[b, i] += gate * (weight @ values[p, :end] / weight.sum()) @ param["wo"][h]
    return y, rows[:, -1]
