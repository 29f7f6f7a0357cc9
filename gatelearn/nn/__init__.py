"""Layers and networks: parameters in one flat buffer, forward and backward side by side."""

from gatelearn.nn.base import Layer, Residual, Sequential, check_layer
from gatelearn.nn.gated import GatedHeads, GatedMLP
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
from gatelearn.nn.recurrent import GRU, LSTM, RNN, Bidirectional
from gatelearn.nn.transformer import Block, Transformer

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AdamW",
    "Bidirectional",
    "Block",
    "Embedding",
    "GatedHeads",
    "GatedMLP",
    "Layer",
    "LayerNorm",
    "Linear",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "Transformer",
    "check_layer",
    "cosine_schedule",
    "matrices_only",
    "orthogonal",
]
