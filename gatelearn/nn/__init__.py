"""Layers and networks: parameters in one flat buffer, forward and backward side by side."""

from gatelearn.nn.base import Layer, Residual, Sequential, check_layer
from gatelearn.nn.gated import GatedHeads, GatedMLP
from gatelearn.nn.transformer import Block, Transformer

__all__ = ["Block", "GatedHeads", "GatedMLP", "Layer", "Residual", "Sequential", "Transformer",
           "check_layer"]
