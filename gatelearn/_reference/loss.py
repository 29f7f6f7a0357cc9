"""Softmax, its logarithm and cross-entropy, over the last axis."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_backward(dout, y):
    return y * (dout - (dout * y).sum(-1, keepdims=True))


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def log_softmax_backward(dout, y):
    return dout - np.exp(y) * dout.sum(-1, keepdims=True)


def cross_entropy(logits, targets, ignore_index=-1):
    kept = targets != ignore_index
    at = np.where(kept, targets, 0)[..., None]
    return np.where(kept, -np.take_along_axis(log_softmax(logits), at, -1)[..., 0], 0)


def cross_entropy_backward(dloss, logits, targets, ignore_index=-1):
    weight = np.where(targets != ignore_index, 1 if dloss is None else dloss, 0)
    onehot = np.arange(logits.shape[-1]) == targets[..., None]
    loss = cross_entropy(logits, targets, ignore_index)
    return loss, (softmax(logits) - onehot) * weight[..., None]
