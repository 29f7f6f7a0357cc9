"""Layers and networks: parameters in one flat buffer, forward and backward side by side."""

from gatelearn.nn.base import Layer, Residual, Sequential, check_layer
from gatelearn.nn.layers import (
    GELU,
    Embedding,
    LayerNorm,
    Linear,
    ReLU,
    Sigmoid,
    Tanh,
    orthogonal,
)
from gatelearn.nn.optim import AdamW, cosine_schedule, matrices_only

__all__ = [
    "GELU",
    "AdamW",
    "Embedding",
    "Layer",
    "LayerNorm",
    "Linear",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "check_layer",
    "cosine_schedule",
    "matrices_only",
    "orthogonal",
]
