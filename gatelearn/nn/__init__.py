"""Layers and networks: parameters in one flat buffer, forward and backward side by side."""

from gatelearn.nn.base import Layer, Residual, Sequential, check_layer

__all__ = ["Layer", "Residual", "Sequential", "check_layer"]
