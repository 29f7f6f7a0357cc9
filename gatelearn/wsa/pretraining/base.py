"""What pre-trained models have in common: how they train, and what is left when they are frozen.

A file a model. Each holds a network, its settings, what trains it and the encoder that it leaves:

- ``XNetwork(PretrainingNetwork)``, a layer. Its constructor takes JSON-like settings by keyword,
  ``size=(H, W)`` of a frame among them, and keeps them as ``self.settings``, so that a file can say
  how to make it again.
- ``XConfig(PretrainingConfig)``, settings of the training.
- ``XTrainer(PretrainingTrainer)``: ``draw`` takes a batch from frames, ``gradient`` sets the
  network's gradients to that of the whole loss. The rest, and resuming, is inherited.
- ``XEncoder(FrozenEncoder)``: ``features`` maps observations to numbers by the network; options of
  the constructor, JSON-like, say which ones. Where the network sees single frames, the encoder may
  apply it to several of a stack, so that an embedding tells how things move.

The models' names and classes stand in `gatelearn.wsa.pretraining.MODELS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gatelearn import nn
from gatelearn.errors import UserError
from gatelearn.wsa.pretraining.frames import Frames

E = TypeVar("E", bound="FrozenEncoder")


class PretrainingNetwork(nn.Layer):
    """A network that learns from frames alone.

    Attributes
    ----------
    settings : dict
        The keyword arguments that make it again, of what JSON holds.
    depth : int
        How many consecutive frames it sees at a time, the newest last.
    """

    settings: dict[str, Any]
    depth: int = 1

    def copy(self) -> PretrainingNetwork:
        """Return a network of its own with the same parameters."""
        twin = type(self)(**self.settings)
        twin.build(0, self.params.dtype)
        twin.load(self.named_parameters())
        return twin


@dataclass(frozen=True)
class PretrainingConfig:
    """Settings of a training from frames."""

    steps: int = 600
    """Updates, over which the learning rate falls to 0 along a cosine."""
    batch: int = 32
    """Frames, stacks or pairs an update."""
    lr: float = 1e-3
    """Highest learning rate."""
    warmup: int = 20
    """Updates over which it rises."""
    max_grad_norm: float | None = None
    """Longest gradient; None is no limit."""

    def __post_init__(self):
        for name, least in (("steps", 1), ("batch", 1), ("warmup", 0)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}, expected at least {least}")
        if not 0 <= self.lr < math.inf:
            raise UserError(f"lr is {self.lr}, expected a finite number of at least 0")
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            raise UserError(f"max_grad_norm is {self.max_grad_norm}, expected a number above 0")


class PretrainingTrainer:
    """Trains a network on frames by AdamW; `gatelearn.runs.train_stage` drives it.

    A subclass defines `draw` and `gradient`.

    Parameters
    ----------
    network : PretrainingNetwork
        Built; its parameters are changed in place.
    frames : Frames
    config : PretrainingConfig
    rng : numpy.random.Generator
        Draws the batches.
    """

    def __init__(self, network: PretrainingNetwork, frames: Frames, config: PretrainingConfig,
                 rng: np.random.Generator):
        self.network, self.frames, self.config, self.rng = network, frames, config, rng
        self.optimiser = nn.AdamW(network.params, network.grads)

    def draw(self, frames: Frames, rng: np.random.Generator) -> tuple[NDArray, ...]:
        """Return a batch of `frames`: the arguments of `gradient`."""
        raise TypeError(f"{type(self).__name__} defines no draw")

    def gradient(self, *batch: NDArray) -> dict[str, float]:
        """Set ``network.grads`` to the gradient of the loss; return ``loss`` and other metrics."""
        raise TypeError(f"{type(self).__name__} defines no gradient")

    def step(self) -> dict[str, Any]:
        """Draw a batch, descend once; return metrics."""
        config = self.config
        metrics: dict[str, Any] = self.gradient(*self.draw(self.frames, self.rng))
        done = self.optimiser.steps + 1
        # of one step more: the last one, too, is to move
        total = max(config.steps, done) + 1
        lr = nn.cosine_schedule(done, total, min(config.warmup, total - 1), peak=config.lr)
        metrics["grad_norm"] = self.optimiser.step(lr, config.max_grad_norm)
        return metrics | {"text": f"loss {metrics['loss']:.4f}"}

    def evaluate(self, frames: Frames, batches: int = 8) -> dict[str, float]:
        """Return means of the metrics over batches of other frames: the same ones each time."""
        rng = np.random.default_rng(0)
        rows = [self.gradient(*self.draw(frames, rng)) for _ in range(batches)]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Return everything that the next step depends on."""
        arrays = {f"network.{k}": v.copy() for k, v in self.network.named_parameters().items()}
        arrays |= {f"adam.{k}": np.asarray(v) for k, v in self.optimiser.state().items()}
        return arrays, {"rng": self.rng.bit_generator.state}

    def load_state(self, arrays: dict[str, NDArray], meta: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        parts: dict[str, dict[str, NDArray]] = {"network": {}, "adam": {}}
        for name, value in arrays.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        self.network.load(parts["network"])
        self.optimiser.load_state(parts["adam"])
        self.rng.bit_generator.state = meta["rng"]


class FrozenEncoder:
    """A network that learns no more, as an encoder of observations.

    Embeddings are the network's features less their mean over the frames that it was trained on,
    divided by one number so that their mean square is 1: policies are spared large offsets. A
    subclass defines `features` and `size`.

    Parameters
    ----------
    network : PretrainingNetwork
        Built, not copied: make encoders by `freeze` while the network may still change.
    name : str, optional
        Default: that of the model.
    **options
        Of the subclass, JSON-like.

    Attributes
    ----------
    name : str
    width : int
        Numbers an embedding.
    depth : int
        How many frames of a stack it sees, the newest ones.
    options : dict
    centre : ndarray, shape (width,)
    scale : float
        What the centred features are multiplied by.
    provenance : dict
        Where it comes from, of one that was loaded.
    """

    model: ClassVar[str]
    """Name of the model in the registry."""

    def __init__(self, network: PretrainingNetwork, *, name: str | None = None, **options: Any):
        self.network, self.name, self.options = network, name or self.model, options
        self.width, self.depth = self.size(), self.frames_seen()
        self.centre, self.scale = np.zeros(self.width, np.float32), 1.0
        self.provenance: dict[str, Any] = {}

    def size(self) -> int:
        """Return how many features there are."""
        raise TypeError(f"{type(self).__name__} defines no size")

    def frames_seen(self) -> int:
        """Return how many frames it sees; those of the network unless a subclass says otherwise."""
        return self.network.depth

    def features(self, observations: NDArray[np.uint8]) -> NDArray:
        """Return features (N, size) of observations (N, depth, H, W)."""
        raise TypeError(f"{type(self).__name__} defines no features")

    @classmethod
    def freeze(cls: type[E], network: PretrainingNetwork, frames: Frames, *,
               name: str | None = None, **options: Any) -> E:
        """Return an encoder by a copy of the network, centred and scaled on `frames`.

        Parameters
        ----------
        network : PretrainingNetwork
        frames : Frames
        name : str, optional
        **options
            Of the encoder.

        Returns
        -------
        FrozenEncoder
        """
        encoder = cls(network.copy(), name=name, **options)
        stacks = frames.spread(1024, encoder.depth)
        parts = [encoder.features(stacks[at:at + 64]) for at in range(0, len(stacks), 64)]
        features = np.concatenate(parts).astype(np.float64)
        encoder.centre = features.mean(0).astype(np.float32)
        # features that never change leave nothing to scale
        encoder.scale = 1 / max(float(np.sqrt(features.var(0).mean())), 1e-6)
        return encoder

    def embed(self, observations: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return embeddings.

        Parameters
        ----------
        observations : ndarray of uint8, shape (N, T, H, W)
            Stacks of frames, the newest last.

        Returns
        -------
        ndarray of float32, shape (N, width)

        Raises
        ------
        TypeError
            If `observations` is not of dtype uint8.
        ValueError
            If it has another shape.
        """
        depth = self.depth
        if not isinstance(observations, np.ndarray) or observations.dtype != np.uint8:
            has = getattr(observations, "dtype", type(observations).__name__)
            raise TypeError(f"encoder '{self.name}': observations has dtype {has}, expected uint8")
        if observations.ndim != 4 or observations.shape[1] < depth:
            raise ValueError(f"encoder '{self.name}': observations has shape {observations.shape}, "
                             f"expected (N, T, H, W) with T of at least {depth}")
        features = self.features(observations[:, -depth:])
        return ((features - self.centre) * np.float32(self.scale)).astype(np.float32, copy=False)


class Model(NamedTuple):
    """The classes of a model."""

    network: type[PretrainingNetwork]
    config: type[PretrainingConfig]
    trainer: type[PretrainingTrainer]
    encoder: type[FrozenEncoder]


def as_pixels(images: NDArray, dtype: np.dtype) -> NDArray:
    """Return uint8 images in [0, 1]; others, which are there already, as they are."""
    return np.multiply(images, 1 / 255, dtype=dtype) if images.dtype == np.uint8 else images


def unusual_error(y: NDArray, x: NDArray, mean: NDArray,
                  floor: float) -> tuple[NDArray, dict[str, float]]:
    """Compare reconstructions with images, pixels weighed by how unusual they are.

    The loss is ``sum(w * (y - x)**2) / sum(w)`` with ``w = floor + |x - mean|``. Unweighed, a ball
    of three pixels is worth less to the loss than noise in the background, and is left out.

    Parameters
    ----------
    y, x : ndarray, shape (..., H, W)
        Reconstructions and images.
    mean : ndarray, shape (H, W)
        The mean frame.
    floor : float
        Weight of a pixel that is as in the mean frame.

    Returns
    -------
    dy : ndarray, shape (..., H, W)
        Gradient of the loss with respect to `y`.
    metrics : dict of str to float
        ``loss``; ``error``, the mean squared error; ``unexplained``, the loss as a share of that of
        the mean frame.
    """
    away, off = np.square(x - mean), y - x
    weight = floor + np.sqrt(away)
    weight /= weight.sum()
    loss = float(np.sum(weight * off**2))
    return 2 * weight * off, {"loss": loss, "error": float(np.mean(off**2)),
                              "unexplained": loss / max(float(np.sum(weight * away)), 1e-12)}
