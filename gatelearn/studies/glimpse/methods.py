"""The methods that are compared: each names images, some by glimpses at places they choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn import nn
from gatelearn.hard import (
    RecurrentAttention,
    RecurrentAttentionConfig,
    RecurrentAttentionTrainer,
    random_locations,
)
from gatelearn.studies.glimpse.config import Config
from gatelearn.studies.glimpse.networks import CLASSES, parameters
from gatelearn.tasks import Digits

# random generator, images (B, 1, H, W), T, M: places (T, B, M, 2)
Look = Callable[[np.random.Generator, NDArray, int, int], NDArray]
EXPLORE = 0.7  # share of the steps over which the spread of places falls


def make_net(config: Config, side: int) -> RecurrentAttention:
    """Return an unbuilt network for images of a size; native digits have half a patch."""
    native, gumbel = side <= 2 * config.patch, config.estimator == "gumbel"
    return RecurrentAttention(
        1, CLASSES, size=max(1, config.patch // 2) if native else config.patch,
        scales=1 if native else config.scales, glimpses=config.glimpses, hidden=config.hidden,
        std=config.std, locator=config.hidden, what=config.hidden, where=config.hidden // 2 + 1,
        detach=config.detach or gumbel, grid=config.grid if gumbel else None)


def centre_of_mass(images: NDArray) -> NDArray:
    """Return the places (B, 2) of the mean of the brightness of images (B, 1, H, W).

    Examples
    --------
    >>> image = np.zeros((1, 1, 4, 4))
    >>> image[0, 0, 1, 3] = 1
    >>> centre_of_mass(image)
    array([[ 0.75, -0.25]])
    """
    x, y = ((2 * np.arange(n) + 1) / n - 1 for n in images.shape[:1:-1])
    bright = images[:, 0]
    total = bright.sum((1, 2))
    return np.stack((bright.sum(1) @ x, bright.sum(2) @ y), 1) / total[:, None]


def random_look(rng: np.random.Generator, images: NDArray, T: int, M: int) -> NDArray:
    """Look anywhere."""
    return random_locations(rng, (T, len(images), M))


def mass_look(rng: np.random.Generator, images: NDArray, T: int, M: int) -> NDArray:
    """Look at the centre of mass, then on a circle of 6 pixels round it (a fifth of the image at
    most)."""
    angle = 2 * np.pi * np.arange(T - 1) / max(1, T - 1)
    circle = np.stack((np.cos(angle), np.sin(angle)), 1) * min(12 / images.shape[-1], 0.4)
    offset = np.concatenate((np.zeros((1, 2)), circle))
    places = centre_of_mass(images)[None] + offset[:, None]
    return np.repeat(places[:, :, None], M, 2).astype(images.dtype)


class Glimpsing:
    """Recurrent attention at its own places, or at those of a rule."""

    def __init__(self, net: RecurrentAttention, look: Look | None = None):
        self.net, self.look = net, look
        self.parameters, self.glimpses = parameters(net), net.glimpses

    def pixels(self, side: int) -> float:
        """Numbers that the network is given, as a share of the image's pixels."""
        eye = self.net.glimpse
        share = self.glimpses * eye.scales * eye.size**2 / side**2
        # to find its centre of mass takes the whole image
        return share + (self.look is mass_look)

    def run(self, images: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Return the class named behind each glimpse (B, T) and the places (B, T, 2)."""
        look = self.look and self.look(rng, images, self.glimpses, 1)
        _, episode = self.net.forward(images, locations=look)
        logits, _ = self.net.classifier.forward(np.ascontiguousarray(episode.core.y))
        return logits.argmax(-1), episode.locations[:, :, 0].swapaxes(0, 1)


class Whole:
    """A network that sees all of an image."""

    glimpses = None

    def __init__(self, net: nn.Layer):
        self.net, self.parameters = net, parameters(net)

    def pixels(self, side: int) -> float:
        return 1.0

    def run(self, images: NDArray, rng: np.random.Generator) -> tuple[NDArray, None]:
        """Return the class (B, 1) of images."""
        logits, _ = self.net.forward(images)
        return logits.argmax(-1)[:, None], None


def make_trainer(net: RecurrentAttention, task: Digits, config: Config, rate: float,
                 rng: np.random.Generator, look: Look | None = None) -> RecurrentAttentionTrainer:
    """Return what trains a network that glimpses, where it likes or where `look` tells.

    Its own places are spread widely at first, so that it meets the digit. Given places need no
    several passes over an image: as many more images are then drawn for the same work.
    """
    def draw(rng: np.random.Generator, n: int) -> tuple[NDArray, NDArray]:
        batch = task.sample(rng, n)
        return batch.images, batch.labels

    schedule: dict[str, Any] = {"lr": config.lr * rate, "anneal": config.steps}
    if look is not None:
        own = RecurrentAttentionConfig(batch=config.batch * config.samples, samples=1,
                                       baseline="none", **schedule)
    elif config.estimator == "gumbel":
        own = RecurrentAttentionConfig(batch=config.batch, samples=config.samples, baseline="none",
                                       temperature=config.temperature, **schedule)
    else:
        own = RecurrentAttentionConfig(
            batch=config.batch, samples=config.samples, reward=config.reward,
            baseline="none" if config.estimator == "reinforce" else config.estimator,
            location_weight=config.location_weight, std_start=config.explore,
            std_updates=max(1, round(EXPLORE * config.steps)), **schedule)
    return RecurrentAttentionTrainer(net, draw, own, rng, look)
