"""Affine maps."""

import numpy as np


def linear(x, weight, bias=None, transposed=False):
    y = x @ (weight.T if transposed else weight)
    return y if bias is None else y + bias


def linear_backward(dout, x, weight, transposed=False):
    rows = tuple(range(x.ndim - 1))
    dx = dout @ (weight if transposed else weight.T)
    dweight = np.tensordot(x, dout, (rows, rows))
    return dx, dweight.T if transposed else dweight, dout.sum(rows)
