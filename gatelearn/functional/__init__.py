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
from gatelearn.functional.additive import additive_attention, additive_attention_backward
from gatelearn.functional.advantage import gae, leave_one_out
from gatelearn.functional.attention import (
    Window,
    attention,
    attention_backward,
    attention_weights,
)
from gatelearn.functional.bernoulli import (
    bernoulli_backward,
    bernoulli_entropy,
    bernoulli_kl,
    bernoulli_kl_backward,
    bernoulli_log_prob,
    bernoulli_sample,
)
from gatelearn.functional.categorical import (
    categorical_backward,
    categorical_entropy,
    categorical_kl,
    categorical_kl_backward,
    categorical_log_prob,
    categorical_sample,
)
from gatelearn.functional.combiner import CombinerParameters, combine, combine_backward
from gatelearn.functional.conv import conv2d, conv2d_backward
from gatelearn.functional.embedding import embedding, embedding_backward
from gatelearn.functional.gaussian import (
    gaussian_backward,
    gaussian_entropy,
    gaussian_kl,
    gaussian_kl_backward,
    gaussian_log_prob,
    gaussian_sample,
)
from gatelearn.functional.glimpse import glimpse, glimpse_backward
from gatelearn.functional.hard import (
    hard_attention,
    hard_attention_backward,
    hard_attention_log_prob,
)
from gatelearn.functional.linear import linear, linear_backward
from gatelearn.functional.loss import (
    cross_entropy,
    cross_entropy_backward,
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)
from gatelearn.functional.max_pool import max_pool2d, max_pool2d_backward
from gatelearn.functional.norm import layer_norm, layer_norm_backward
from gatelearn.functional.optim import adamw_step, grad_norm
from gatelearn.functional.plackett_luce import (
    plackett_luce_backward,
    plackett_luce_log_prob,
    plackett_luce_sample,
)
from gatelearn.functional.positions import (
    alibi_bias,
    alibi_slopes,
    rotary,
    rotary_tables,
    sinusoidal_positions,
)
from gatelearn.functional.ppo import ppo_loss
from gatelearn.functional.recurrent import (
    gru,
    gru_backward,
    lstm,
    lstm_backward,
    rnn,
    rnn_backward,
)

__all__ = [
    "CombinerParameters",
    "Window",
    "adamw_step",
    "additive_attention",
    "additive_attention_backward",
    "alibi_bias",
    "alibi_slopes",
    "attention",
    "attention_backward",
    "attention_weights",
    "bernoulli_backward",
    "bernoulli_entropy",
    "bernoulli_kl",
    "bernoulli_kl_backward",
    "bernoulli_log_prob",
    "bernoulli_sample",
    "categorical_backward",
    "categorical_entropy",
    "categorical_kl",
    "categorical_kl_backward",
    "categorical_log_prob",
    "categorical_sample",
    "combine",
    "combine_backward",
    "conv2d",
    "conv2d_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "embedding",
    "embedding_backward",
    "gae",
    "gaussian_backward",
    "gaussian_entropy",
    "gaussian_kl",
    "gaussian_kl_backward",
    "gaussian_log_prob",
    "gaussian_sample",
    "gelu",
    "gelu_backward",
    "glimpse",
    "glimpse_backward",
    "grad_norm",
    "gru",
    "gru_backward",
    "hard_attention",
    "hard_attention_backward",
    "hard_attention_log_prob",
    "layer_norm",
    "layer_norm_backward",
    "leave_one_out",
    "linear",
    "linear_backward",
    "log_softmax",
    "log_softmax_backward",
    "lstm",
    "lstm_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "plackett_luce_backward",
    "plackett_luce_log_prob",
    "plackett_luce_sample",
    "ppo_loss",
    "relu",
    "relu_backward",
    "rnn",
    "rnn_backward",
    "rotary",
    "rotary_tables",
    "sigmoid",
    "sigmoid_backward",
    "sinusoidal_positions",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
]
