"""The state encoder: an autoencoder of stacks of frames, whose code is the context of WSA."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn import nn
from gatelearn.errors import UserError
from gatelearn.wsa.pretraining.base import (
    FrozenEncoder,
    PretrainingConfig,
    PretrainingNetwork,
    PretrainingTrainer,
    as_pixels,
    unusual_error,
)
from gatelearn.wsa.pretraining.frames import Frames


class AutoencoderNetwork(PretrainingNetwork):
    """Convolutions to a small map, the code, and transposed convolutions back [1]_.

    Code and reconstruction are of the difference to `background`, an image that is learned, too,
    and starts as the mean frame: what never moves needs no room in the code.

    Parameters
    ----------
    size : pair of int, default (84, 84)
        Height and width of a frame, which the kernels must cover without a rest.
    depth : int, default 4
        Frames of a stack.
    layers : sequence of tuple of int
        Channels, kernel size and stride of each convolution; the last one makes the code. By
        default a code of 16 x 7 x 7 = 784 numbers; ``[(32, 8, 4), (64, 5, 1)]`` has the published
        64 x 16 x 16.

    References
    ----------
    .. [1] E. Piccoli, M. Li, G. Carfì, V. Lomonaco and D. Bacciu, "Combining Pre-Trained Models for
       Enhanced Feature Representation in Reinforcement Learning", arXiv 2507.07197, 2025.

    Examples
    --------
    >>> network = AutoencoderNetwork().build(seed=0)
    >>> stacks = np.zeros((2, 4, 84, 84), np.uint8)
    >>> network.encode(stacks).shape, network.forward(stacks)[0].shape
    ((2, 16, 7, 7), (2, 4, 84, 84))
    """

    def __init__(self, size: Sequence[int] = (84, 84), depth: int = 4,
                 layers: Sequence[Sequence[int]] = ((16, 8, 4), (32, 4, 2), (16, 3, 1))):
        self.settings = {"size": list(size), "depth": depth, "layers": [list(x) for x in layers]}
        self.depth, self.size = depth, tuple(size)
        down: list[nn.Layer] = []
        up: list[nn.Layer] = []
        channels, shape = depth, self.size
        for i, (wider, kernel, stride) in enumerate(layers):
            if any(n < kernel or (n - kernel) % stride for n in shape):
                raise UserError(f"layers[{i}] has kernel size {kernel} and stride {stride}, which "
                                f"leave a rest on a map of {shape[0]} x {shape[1]}")
            last = i + 1 == len(layers)
            down.append(nn.Conv2d(channels, wider, kernel, stride=stride))
            up.append(nn.ConvTranspose2d(wider, channels, kernel, stride=stride))
            if not last:
                down.append(nn.ReLU())
                up.append(nn.ReLU())
            channels, shape = wider, tuple((n - kernel) // stride + 1 for n in shape)
        self.code = (channels, *shape)
        self.encoder, self.decoder = nn.Sequential(*down), nn.Sequential(*reversed(up))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"background": self.size}

    def children(self) -> dict[str, nn.Layer]:
        return {"encoder": self.encoder, "decoder": self.decoder}

    def encode(self, stacks: NDArray) -> NDArray:
        """Return the code (N, O, P, Q) of stacks (N, depth, H, W)."""
        background = self.param["background"]
        return self.encoder.forward(as_pixels(stacks, background.dtype) - background)[0]

    def forward(self, stacks: NDArray) -> tuple[NDArray, tuple[Any, Any]]:
        """Return the reconstruction of stacks (N, depth, H, W): uint8, or in [0, 1]."""
        background = self.param["background"]
        code, encoded = self.encoder.forward(as_pixels(stacks, background.dtype) - background)
        change, decoded = self.decoder.forward(code)
        return change + background, (encoded, decoded)

    def backward(self, dy: NDArray, saved: tuple[Any, Any]) -> NDArray:
        encoded, decoded = saved
        dx = self.encoder.backward(self.decoder.backward(dy, decoded), encoded)
        # it was added to the change, and taken from the stack
        self.grad["background"] += (dy - dx).sum((0, 1))
        return dx


@dataclass(frozen=True)
class AutoencoderConfig(PretrainingConfig):
    """Settings of `AutoencoderTrainer`."""

    lr: float = 3e-3
    """Highest learning rate."""
    floor: float = 0.01
    """Weight of a pixel that is as in the mean frame; one that is white where the mean is black has
    1 more."""

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.floor < math.inf:
            raise UserError(f"floor is {self.floor}, expected a finite number above 0")


class AutoencoderTrainer(PretrainingTrainer):
    """Trains the reconstruction of stacks, pixels weighed by how unusual they are.

    The loss is `unusual_error`.

    Parameters
    ----------
    network : AutoencoderNetwork
        Built. Before the first step its `background` becomes the mean frame.
    frames : Frames
    config : AutoencoderConfig
    rng : numpy.random.Generator

    Examples
    --------
    >>> images = np.zeros((50, 20, 20), np.uint8)
    >>> images[np.arange(50), np.arange(50) % 20] = 255      # a line that moves
    >>> frames = Frames(images, np.zeros(50, int))
    >>> network = AutoencoderNetwork((20, 20), 2, [(8, 4, 4), (8, 3, 1)]).build(seed=0)
    >>> trainer = AutoencoderTrainer(network, frames, AutoencoderConfig(steps=200, lr=1e-2),
    ...                              np.random.default_rng(0))
    >>> losses = [trainer.step()["loss"] for _ in range(200)]
    >>> losses[-1] < 0.5 * losses[0]
    True
    """

    def __init__(self, network: AutoencoderNetwork, frames: Frames, config: AutoencoderConfig,
                 rng: np.random.Generator):
        super().__init__(network, frames, config, rng)
        if frames.size != network.size:
            raise UserError(f"frames have size {frames.size}, expected {network.size} as the "
                            "network")
        self.mean = frames.mean()
        network.param["background"][...] = self.mean

    def draw(self, frames: Frames, rng: np.random.Generator) -> tuple[NDArray]:
        return (frames.stacks(rng, self.config.batch, self.network.depth),)

    def gradient(self, stacks: NDArray) -> dict[str, float]:
        """Set ``network.grads`` to the gradient of the loss of a batch.

        Parameters
        ----------
        stacks : ndarray of uint8, shape (B, depth, H, W)

        Returns
        -------
        dict of str to float
            As `unusual_error` has them.
        """
        network = self.network
        x = as_pixels(stacks, network.params.dtype)
        y, saved = network.forward(x)
        dy, metrics = unusual_error(y, x, self.mean, self.config.floor)
        network.grads[...] = 0
        network.backward(dy, saved)
        return metrics


class StateEncoder(FrozenEncoder):
    """The code of an `AutoencoderNetwork`, flat.

    Examples
    --------
    >>> encoder = StateEncoder(AutoencoderNetwork().build(seed=0))
    >>> encoder.name, encoder.embed(np.zeros((2, 4, 84, 84), np.uint8)).shape
    ('state', (2, 784))
    """

    model = "state"

    def size(self) -> int:
        return math.prod(self.network.code)

    def features(self, observations: NDArray) -> NDArray:
        return self.network.encode(observations).reshape(len(observations), self.width)
