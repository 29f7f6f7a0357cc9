"""Convolution of images; stride and padding are pairs."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def _padded(x, padding):
    return np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))


def conv2d(x, weight, bias=None, stride=(1, 1), padding=(0, 0)):
    patches = sliding_window_view(_padded(x, padding), weight.shape[2:], axis=(2, 3))
    patches = patches[:, :, ::stride[0], ::stride[1]]
    y = np.einsum("ncpqkl,ockl->nopq", patches, weight)
    return y if bias is None else y + bias[:, None, None]


def conv2d_backward(dout, x, weight, stride=(1, 1), padding=(0, 0)):
    padded = _padded(x, padding)
    dpadded, dweight = np.zeros_like(padded), np.zeros_like(weight)
    (P, Q), (K, L) = dout.shape[2:], weight.shape[2:]
    for k, m in np.ndindex(K, L):
        # what place (k, m) of the kernel sees
        seen = np.s_[:, :, k:k + P*stride[0]:stride[0], m:m + Q*stride[1]:stride[1]]
        dweight[:, :, k, m] = np.einsum("nopq,ncpq->oc", dout, padded[seen])
        dpadded[seen] += np.einsum("nopq,oc->ncpq", dout, weight[:, :, k, m])
    (H, W), (top, left) = x.shape[2:], padding
    return dpadded[:, :, top:top + H, left:left + W], dweight, dout.sum((0, 2, 3))


def conv_transpose2d(x, weight, bias=None, stride=(1, 1), padding=(0, 0), output_padding=(0, 0)):
    (P, Q), (K, L) = x.shape[2:], weight.shape[2:]
    H, W = ((n - 1)*s + k + e
            for n, s, k, e in zip((P, Q), stride, (K, L), output_padding, strict=True))
    y = np.zeros((len(x), weight.shape[1], H, W))
    for k, m in np.ndindex(K, L):
        # what place (k, m) of the kernel paints
        painted = np.s_[:, :, k:k + P*stride[0]:stride[0], m:m + Q*stride[1]:stride[1]]
        y[painted] += np.einsum("ncpq,co->nopq", x, weight[:, :, k, m])
    top, left = padding
    bias = 0 if bias is None else bias[:, None, None]
    return y[:, :, top:H - top, left:W - left] + bias
