"""The convolutional network of deep Q-learning: acting on 8 frames, training on 256."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from timing import OURS, Case, optional

from gatelearn import nn


def cases(quick: bool) -> Iterator[Case]:
    for batch, backward in [(2, False), (2, True)] if quick else [(8, False), (256, True)]:
        name = f"nature_cnn, frames B{batch} 4 x 84 x 84, {'fwd+bwd' if backward else 'forward'}"
        yield Case("conv", name, lambda skipped, B=batch, back=backward: setup(skipped, B, back))


def setup(skipped, batch: int, backward: bool):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (batch, 4, 84, 84), dtype=np.uint8)
    dy = rng.standard_normal((batch, 512), np.float32)
    network = nn.nature_cnn().build(seed=0)

    def ours():
        y, saved = network.forward(x)
        if backward:
            network.grads[...] = 0
            network.backward(dy, saved)
        return y

    functions = {OURS: ours}
    if optional("torch", skipped):
        functions["torch"] = torch_network(network, x, dy, backward)
    return functions


def torch_network(ours: nn.Sequential, x, dy, backward: bool):
    """The same network in PyTorch, with the same parameters."""
    import torch

    layers = torch.nn
    network = layers.Sequential(
        layers.Conv2d(4, 32, 8, 4), layers.ReLU(), layers.Conv2d(32, 64, 4, 2), layers.ReLU(),
        layers.Conv2d(64, 64, 3), layers.ReLU(), layers.Flatten(), layers.Linear(3136, 512),
        layers.ReLU())
    with torch.no_grad():
        for p, value in zip(network.parameters(), ours.named_parameters().values(), strict=True):
            # the matrix of a linear layer is the other way round in PyTorch
            p.copy_(torch.from_numpy(value.T if value.ndim == 2 else value))
    frames, gradient = torch.from_numpy(x), torch.from_numpy(dy)

    def step():
        with torch.set_grad_enabled(backward):
            y = network(frames.float() / 255)
            if backward:
                network.zero_grad()
                y.backward(gradient)
        return y

    return step
