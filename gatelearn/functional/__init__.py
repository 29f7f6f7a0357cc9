"""Kernels as functions: arrays in, arrays out, forward and backward.

Each function converts and checks its arguments, then calls the C core. Its plain NumPy twin is in
``gatelearn._reference`` under the same name.
"""

from gatelearn.functional.attention import attention, attention_backward
from gatelearn.functional.norm import layer_norm, layer_norm_backward

__all__ = ["attention", "attention_backward", "layer_norm", "layer_norm_backward"]
