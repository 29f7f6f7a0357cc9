"""Recurrent layers, sample by sample and step by step; steps behind a length are never looked at.

Weights are wx (I, G, H), wh (H, G, H) and bias (G, H), where G tells the cell: 1 gate is an RNN, 3
(r, z, n) are a GRU, which alone has bias_hidden (H,), and 4 (i, f, g, o) an LSTM. A state is
(B, S, H): h, and of an LSTM h and c.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def project(x, w):
    return np.einsum("i,igh->gh", x, w)


def step(x, state, wx, wh, bias, bias_hidden=None, relu=False):
    """Return the state behind one step, (S, H), and the values of the gates."""
    a, u = project(x, wx) + bias, project(state[0], wh)
    if len(bias) == 1:
        h = np.maximum(a + u, 0) if relu else np.tanh(a + u)
        return h, h
    if len(bias) == 3:
        r, z = sigmoid(a[:2] + u[:2])
        m = u[2] + bias_hidden
        n = np.tanh(a[2] + r * m)
        return ((1 - z) * n + z * state[0])[None], np.stack((r, z, n, m))
    i, f, _, o = sigmoid(a + u)
    g = np.tanh(a[2] + u[2])
    c = f * state[1] + i * g
    return np.stack((o * np.tanh(c), c)), np.stack((i, f, g, o, c))


def step_backward(dstate, state, gates, relu=False):
    """Return the gradients of a and u, and of the state before but for what flows through u."""
    if len(gates) == 1:
        da = dstate * ((gates > 0) if relu else 1 - gates**2)
        return da, da, np.zeros_like(dstate)
    if len(gates) == 4:
        # forward: h = (1 - z) * n + z * h', n = tanh(a_n + r * m)
        r, z, n, m = gates
        dn = dstate[0] * (1 - z) * (1 - n**2)
        dz = dstate[0] * (state[0] - n) * z * (1 - z)
        dr = dn * m * r * (1 - r)
        return np.stack((dr, dz, dn)), np.stack((dr, dz, dn * r)), dstate * z
    # forward: h = o * tanh(c), c = f * c' + i * g
    i, f, g, o, c = gates
    dh = dstate[0]
    dc = dstate[1] + dh * o * (1 - np.tanh(c)**2)
    da = np.stack((dc * g * i * (1 - i), dc * state[1] * f * (1 - f), dc * i * (1 - g**2),
                   dh * np.tanh(c) * o * (1 - o)))
    return da, da, np.stack((np.zeros_like(dh), dc * f))


def order(x, b, lengths, reverse):
    steps = range(x.shape[1] if lengths is None else lengths[b])
    return reversed(steps) if reverse else steps


def recurrent(x, state, wx, wh, bias, bias_hidden=None, lengths=None, relu=False, reverse=False):
    """Return y (B, T, H) and the last state."""
    y, last = np.zeros((*x.shape[:2], wh.shape[0])), state.copy()
    for b in range(len(x)):
        for t in order(x, b, lengths, reverse):
            last[b], _ = step(x[b, t], last[b], wx, wh, bias, bias_hidden, relu)
            y[b, t] = last[b, 0]
    return y, last


def recurrent_backward(dy, dlast, x, state, wx, wh, bias, bias_hidden=None, lengths=None,
                       relu=False, reverse=False):
    """Return the gradients of x, state, wx, wh, bias and bias_hidden."""
    dx, dstate = np.zeros_like(x), dlast.copy()
    dwx, dwh, dbias = np.zeros_like(wx), np.zeros_like(wh), np.zeros_like(bias)
    dbias_hidden = np.zeros(len(wh))
    for b in range(len(x)):
        history, s = [], state[b]
        for t in order(x, b, lengths, reverse):
            behind, gates = step(x[b, t], s, wx, wh, bias, bias_hidden, relu)
            history.append((t, s, gates))
            s = behind
        for t, s, gates in reversed(history):
            dstate[b, 0] += dy[b, t]
            da, du, dstate[b] = step_backward(dstate[b], s, gates, relu)
            # forward: a = x wx + bias, u = h wh, m = u_n + bias_hidden
            dx[b, t] = np.einsum("gh,igh->i", da, wx)
            dwx += x[b, t][:, None, None] * da
            dbias += da
            dstate[b, 0] += np.einsum("gh,igh->i", du, wh)
            dwh += s[0][:, None, None] * du
            dbias_hidden += du[-1]
    return dx, dstate, dwx, dwh, dbias, dbias_hidden
