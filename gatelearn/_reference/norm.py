"""Layer normalisation."""

import numpy as np


def layer_norm(x, weight, bias, eps=1e-5):
    mean = x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)
    return (x - mean) * rstd * weight + bias


def layer_norm_backward(dout, x, weight, eps=1e-5):
    mean = x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)
    n = (x - mean) * rstd
    dn = dout * weight
    dx = rstd * (dn - dn.mean(-1, keepdims=True) - n * (dn * n).mean(-1, keepdims=True))
    rows = tuple(range(x.ndim - 1))
    return dx, (dout * n).sum(rows), dout.sum(rows)
