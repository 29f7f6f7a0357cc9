"""Activations."""

import math

import numpy as np


def _inner(x):
    return np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)


def _cdf(x):
    return np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)), otypes=[float])(x)


def gelu(x, approximate="tanh"):
    if approximate == "none":
        return x * _cdf(x)
    return 0.5 * x * (1 + np.tanh(_inner(x)))


def gelu_backward(dout, x, approximate="tanh"):
    if approximate == "none":
        return dout * (_cdf(x) + x * np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi))
    t = np.tanh(_inner(x))
    dinner = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x * x)
    return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * dinner)


def tanh(x):
    return np.tanh(x)


def tanh_backward(dout, y):
    return dout * (1 - y * y)


def relu(x):
    return np.maximum(x, 0)


def relu_backward(dout, y):
    return np.where(y > 0, dout, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sigmoid_backward(dout, y):
    return dout * y * (1 - y)
