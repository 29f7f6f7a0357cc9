"""Max-pooling of images; kernel, stride and padding are pairs."""

import numpy as np


def max_pool2d(x, kernel, stride, padding=(0, 0)):
    H, W = x.shape[-2:]
    P, Q = ((n + 2*p - k) // s + 1
            for n, k, s, p in zip((H, W), kernel, stride, padding, strict=True))
    y, index = np.empty((*x.shape[:-2], P, Q), x.dtype), np.empty((*x.shape[:-2], P, Q), np.int64)
    for p in range(P):
        for q in range(Q):
            top, left = p*stride[0] - padding[0], q*stride[1] - padding[1]
            h0, w0 = max(top, 0), max(left, 0)
            window = x[..., h0:top + kernel[0], w0:left + kernel[1]]
            flat = window.reshape(*x.shape[:-2], window.shape[-2] * window.shape[-1])
            at = flat.argmax(-1)  # of the first NaN, or the first of the largest
            y[..., p, q] = np.take_along_axis(flat, at[..., None], -1)[..., 0]
            index[..., p, q] = (h0 + at // window.shape[-1])*W + w0 + at % window.shape[-1]
    return y, index


def max_pool2d_backward(dout, index, size):
    dx = np.zeros((*dout.shape[:-2], size[0] * size[1]), dout.dtype)
    for *plane, p, q in np.ndindex(dout.shape):
        dx[*plane, index[*plane, p, q]] += dout[*plane, p, q]
    return dx.reshape(*dout.shape[:-2], *size)
