"""Kernels as functions: arrays in, arrays out, forward and backward.

Each function converts and checks its arguments, then calls the C core. Its plain NumPy twin is in
``gatelearn._reference`` under the same name.
"""

from gatelearn.functional.advantage import gae, leave_one_out
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
from gatelearn.functional.norm import layer_norm, layer_norm_backward
from gatelearn.functional.ppo import ppo_loss

__all__ = [
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
    "gae",
    "layer_norm",
    "layer_norm_backward",
    "leave_one_out",
    "ppo_loss",
]
