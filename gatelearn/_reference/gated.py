"""The gated layers, sample by sample and head by head: what is closed is never looked at.

Both layers are residual: they add to a copy of their input; a closed head or block adds nothing.
`param` holds a layer's arrays under the names of ``nn.GatedHeads`` and ``nn.GatedMLP``.
"""

import numpy as np

from gatelearn._reference.attention import attention, attention_backward
from gatelearn._reference.norm import layer_norm, layer_norm_backward
from gatelearn._reference.positions import rotary


def gated_heads(x, gate, param, lengths=None, angle=None, is_causal=True, eps=1e-5,
                bias=None):
    """``x + sum over open heads of gate * attention(q, k, v) @ wo``.

    x (B, T, C), gate (B, H), angle (T, D/2) of the rotation by position or None, bias (B, T)
    added to the scores of each key; without ``param["shift"]`` time steps are not mixed.
    """
    y = x.copy()
    for b, h in np.argwhere(gate != 0):
        T = x.shape[1] if lengths is None else lengths[b]
        n = layer_norm(x[b, :T], param["norm_weight"], param["norm_bias"], eps)
        _, (q, k, v) = project(n, h, param, angle)
        out = attend(q, k, v, is_causal, None if bias is None else bias[b, :T])
        y[b, :T] += gate[b, h] * (out @ param["wo"][h])
    return y


def gated_heads_backward(dy, x, gate, param, lengths=None, angle=None, is_causal=True, eps=1e-5,
                         bias=None):
    """Return dx, dgate and a dict with the gradient of each parameter and of the bias."""
    dx, dgate = dy.copy(), np.zeros_like(gate)
    grad = {name: np.zeros_like(value) for name, value in param.items()}
    if bias is not None:
        grad["bias"] = np.zeros_like(bias)
    for b, h in np.argwhere(gate != 0):
        T = x.shape[1] if lengths is None else lengths[b]
        x_b, dy_b = x[b, :T], dy[b, :T]
        n = layer_norm(x_b, param["norm_weight"], param["norm_bias"], eps)
        m, (q, k, v) = project(n, h, param, angle)
        bias_b = None if bias is None else bias[b, :T]
        out = attend(q, k, v, is_causal, bias_b)

        # forward: y = x + gate * out @ wo
        dgate[b, h] = np.sum(dy_b * (out @ param["wo"][h]))
        grad["wo"][h] += gate[b, h] * out.T @ dy_b
        dout = gate[b, h] * dy_b @ param["wo"][h].T

        # forward: out = attention(q, k, v), q and k rotated
        dq, dk, dv, _, dscore = attention_backward(
            *(a[None, None] for a in (dout, q, k, v)), is_causal=is_causal, bias=bias_b)
        if bias is not None:
            grad["bias"][b, :T] += dscore[0, 0].sum(0)
        dq, dk, dv = dq[0, 0], dk[0, 0], dv[0, 0]
        if angle is not None:
            dq, dk = rotary(dq, -angle[:T]), rotary(dk, -angle[:T])

        # forward: q = m_q @ wq, k = m_k @ wk, v = m_v @ wv, m = token_shift(n)
        dn = np.zeros_like(n)
        for i, d in enumerate((dq, dk, dv)):
            grad["wqkv"][i, :, h] += m[i].T @ d
            dm = d @ param["wqkv"][i, :, h].T
            if "shift" in param:
                dm, dshift = token_shift_backward(dm, n, param["shift"][i])
                grad["shift"][i] += dshift
            dn += dm

        # forward: n = layer_norm(x)
        dx_b, dweight, dbias = layer_norm_backward(dn, x_b, param["norm_weight"], eps)
        dx[b, :T] += dx_b
        grad["norm_weight"] += dweight
        grad["norm_bias"] += dbias
    return dx, dgate, grad


def project(n, h, param, angle):
    """Return what queries, keys and values of head h are projected from, and those."""
    m = [token_shift(n, s) for s in param["shift"]] if "shift" in param else [n] * 3
    q, k, v = (m[i] @ param["wqkv"][i, :, h] for i in range(3))
    if angle is not None:
        q, k = rotary(q, angle[:len(n)]), rotary(k, angle[:len(n)])
    return m, (q, k, v)


def attend(q, k, v, is_causal, bias=None):
    """Attention of one head of one sample."""
    return attention(*(a[None, None] for a in (q, k, v)), is_causal=is_causal, bias=bias)[0][0, 0]


def token_shift(n, shift):
    """Mix each step with the one before: ``n_t + shift * (n_tm1 - n_t)``; before the first is 0."""
    n_tm1 = np.concatenate([np.zeros_like(n[:1]), n[:-1]])
    return n + shift * (n_tm1 - n)


def token_shift_backward(dm, n, shift):
    """Return the gradients of n and shift."""
    n_tm1 = np.concatenate([np.zeros_like(n[:1]), n[:-1]])
    dn = dm - shift * dm
    dn[:-1] += shift * dm[1:]
    return dn, np.sum(dm * (n_tm1 - n), 0)


def gated_mlp(x, gate, param, lengths=None, eps=1e-5):
    """``x + gate * gelu(layer_norm(x) @ w1) @ w2``; gate (B,)."""
    y = x.copy()
    for b in np.flatnonzero(gate):
        T = x.shape[1] if lengths is None else lengths[b]
        n = layer_norm(x[b, :T], param["norm_weight"], param["norm_bias"], eps)
        y[b, :T] += gate[b] * (gelu(n @ param["w1"]) @ param["w2"])
    return y


def gated_mlp_backward(dy, x, gate, param, lengths=None, eps=1e-5):
    """Return dx, dgate and a dict with the gradient of each parameter."""
    dx, dgate = dy.copy(), np.zeros_like(gate)
    grad = {name: np.zeros_like(value) for name, value in param.items()}
    for b in np.flatnonzero(gate):
        T = x.shape[1] if lengths is None else lengths[b]
        x_b, dy_b = x[b, :T], dy[b, :T]
        n = layer_norm(x_b, param["norm_weight"], param["norm_bias"], eps)
        hidden = n @ param["w1"]
        u = gelu(hidden)

        # forward: y = x + gate * u @ w2, u = gelu(hidden)
        dgate[b] = np.sum(dy_b * (u @ param["w2"]))
        grad["w2"] += gate[b] * u.T @ dy_b
        dhidden = gate[b] * dy_b @ param["w2"].T * gelu_slope(hidden)
        # forward: hidden = n @ w1, n = layer_norm(x)
        grad["w1"] += n.T @ dhidden
        dn = dhidden @ param["w1"].T
        dx_b, dweight, dbias = layer_norm_backward(dn, x_b, param["norm_weight"], eps)
        dx[b, :T] += dx_b
        grad["norm_weight"] += dweight
        grad["norm_bias"] += dbias
    return dx, dgate, grad


def gelu(x):
    """``x / 2 * (1 + tanh(z))``, ``z = sqrt(2 / pi) * (x + 0.044715 x^3)``."""
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_slope(x):
    """Return d gelu / d x."""
    t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    return (1 + t) / 2 + x / 2 * (1 - t**2) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
