"""Layers and networks: parameters in one flat buffer, forward and backward side by side."""

from gatelearn.nn.alignment import AdditiveAttention, DotAttention, MultiplicativeAttention
from gatelearn.nn.attention import MultiHeadAttention
from gatelearn.nn.base import Layer, Residual, Sequential, check_layer
from gatelearn.nn.cache import KVCache
from gatelearn.nn.convolution import Conv2d, Flatten, MaxPool2d
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
from gatelearn.nn.positions import LearnedPositions, SinusoidalPositions
from gatelearn.nn.recurrent import GRU, LSTM, RNN, Bidirectional
from gatelearn.nn.transformer import Block, Transformer
from gatelearn.nn.transposed import ConvTranspose2d
from gatelearn.nn.upsampling import Upsample2d

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AdamW",
    "AdditiveAttention",
    "Bidirectional",
    "Block",
    "Conv2d",
    "ConvTranspose2d",
    "DotAttention",
    "Embedding",
    "Flatten",
    "GatedHeads",
    "GatedMLP",
    "KVCache",
    "Layer",
    "LayerNorm",
    "LearnedPositions",
    "Linear",
    "MaxPool2d",
    "MultiHeadAttention",
    "MultiplicativeAttention",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "SinusoidalPositions",
    "Tanh",
    "Transformer",
    "Upsample2d",
    "check_layer",
    "cosine_schedule",
    "matrices_only",
    "orthogonal",
]
