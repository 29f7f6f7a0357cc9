"""Kernels as functions: arrays in, arrays out, forward and backward.

Each function converts and checks its arguments, then calls the C core. Its plain NumPy twin is in
``gatelearn._reference`` under the same name.
"""

from gatelearn.functional.activation import (
    gelu,
    gelu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    tanh,
    tanh_backward,
)
from gatelearn.functional.attention import attention, attention_backward
from gatelearn.functional.embedding import embedding, embedding_backward
from gatelearn.functional.linear import linear, linear_backward
from gatelearn.functional.loss import (
    cross_entropy,
    cross_entropy_backward,
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)
from gatelearn.functional.norm import layer_norm, layer_norm_backward
from gatelearn.functional.optim import adamw_step, grad_norm

__all__ = [
    "adamw_step",
    "attention",
    "attention_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "embedding",
    "embedding_backward",
    "gelu",
    "gelu_backward",
    "grad_norm",
    "layer_norm",
    "layer_norm_backward",
    "linear",
    "linear_backward",
    "log_softmax",
    "log_softmax_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
]
