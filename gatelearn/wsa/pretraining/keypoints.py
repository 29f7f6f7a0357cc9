"""Object keypoints: what has moved between two frames is carried from one to the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatelearn import functional as F
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


class Sight(NamedTuple):
    """What a `KeypointsNetwork` sees in frames; maps have a quarter of their height and width."""

    features: NDArray
    """Feature maps (B, C, P, Q)."""
    points: NDArray
    """Keypoints (B, K, 2): x and y, from -1 to 1 between the outer edges."""
    blobs: NDArray
    """A Gaussian (B, K, P, Q) round each keypoint, 1 at its middle."""
    near: NDArray
    """(B, 1, P, Q): 1 where there is any keypoint, 0 far from all."""
    saved: tuple


class KeypointsNetwork(PretrainingNetwork):
    """The Transporter: features near keypoints are carried from one frame to another [1]_.

    With feature maps f and a map m of the keypoints' surroundings, of a source frame s and a target
    frame t, the decoder is given ``(1 - m_s) (1 - m_t) f_s + m_t f_t`` and is to show the target:
    so keypoints must lie on all that differs. ``m = 1 - prod(1 - blob)`` over the keypoints;
    keypoints are expected places under a softmax over a map each.

    All that the networks see and show is the difference to `background`, an image that is learned,
    too, and starts as the mean frame.

    Parameters
    ----------
    size : pair of int, default (84, 84)
        Height and width of a frame, multiples of 4.
    keypoints : int, default 8
        K.
    channels : int, default 32
        C, of the feature maps; half of it at half the frame's size. Published: 128.
    std : float, default 0.07
        Standard deviation of a blob, where the frame reaches from -1 to 1.
    contrast : float, default 20
        What is seen is multiplied by. With small objects seen faintly, the softmax is all but even,
        and keypoints stay in the middle. It stands for the authors' batch normalisation.
    source_gradient : bool, default False
        Whether gradients also pass through the source's features and keypoints; the authors stop
        them there.

    References
    ----------
    .. [1] T. Kulkarni et al., "Unsupervised Learning of Object Keypoints for Perception and
       Control", NeurIPS 2019.

    Examples
    --------
    >>> network = KeypointsNetwork().build(seed=0)
    >>> frames = np.zeros((2, 1, 84, 84), np.uint8)
    >>> network.see(frames).points.shape, network.forward(frames, frames)[0].shape
    ((2, 8, 2), (2, 1, 84, 84))
    """

    def __init__(self, size: Sequence[int] = (84, 84), keypoints: int = 8, channels: int = 32,
                 std: float = 0.07, contrast: float = 20.0, source_gradient: bool = False):
        self.settings = {"size": list(size), "keypoints": keypoints, "channels": channels,
                         "std": std, "contrast": contrast, "source_gradient": source_gradient}
        if any(n < 4 or n % 4 for n in size):
            raise UserError(f"size is {tuple(size)}, expected multiples of 4")
        if keypoints < 1:
            raise UserError(f"keypoints is {keypoints}, expected at least 1")
        if channels < 2:
            raise UserError(f"channels is {channels}, expected at least 2")
        for name, value in (("std", std), ("contrast", contrast)):
            if not 0 < value < math.inf:
                raise UserError(f"{name} is {value}, expected a finite number above 0")
        self.size, self.keypoints, self.channels, self.std = tuple(size), keypoints, channels, std
        self.contrast, self.source_gradient = contrast, source_gradient
        self.maps = (size[0] // 4, size[1] // 4)
        half = channels // 2
        self.featurenet = nn.Sequential(*_down(channels))
        self.keynet = nn.Sequential(*_down(channels), nn.ReLU(),
                                    nn.Conv2d(channels, keypoints, 1, gain=3.0))
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(),
            nn.Upsample2d(), nn.Conv2d(channels, half, 3, padding=1), nn.ReLU(),
            nn.Upsample2d(), nn.Conv2d(half, 1, 3, padding=1, gain=0.1))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"background": self.size}

    def children(self) -> dict[str, nn.Layer]:
        return {"featurenet": self.featurenet, "keynet": self.keynet, "decoder": self.decoder}

    def see(self, frames: NDArray) -> Sight:
        """Find features and keypoints in frames (B, 1, H, W): uint8, or in [0, 1]."""
        background = self.param["background"]
        x = as_pixels(frames, background.dtype) - background
        x *= background.dtype.type(self.contrast)
        features, featured = self.featurenet.forward(x)
        scores, scored = self.keynet.forward(x)
        B, K, P, Q = scores.shape

        # keypoints: the expected column and row
        weights = F.softmax(scores.reshape(B, K, P * Q)).reshape(scores.shape)
        xs, ys = (_centres(n, x.dtype) for n in (Q, P))
        points = np.stack([(weights.sum(2) * xs).sum(-1), (weights.sum(3) * ys).sum(-1)], -1)

        # a blob is the product of one curve along each axis
        away_x, away_y = (c - points[..., i, None] for i, c in enumerate((xs, ys)))
        curve_x, curve_y = (np.exp(-0.5 * (away / self.std) ** 2) for away in (away_x, away_y))
        blobs = curve_y[..., :, None] * curve_x[..., None, :]
        near = 1 - np.prod(1 - blobs, axis=1, keepdims=True)
        return Sight(features, points, blobs, near, (featured, scored, weights, away_x, away_y))

    def forward(self, source: NDArray, target: NDArray) -> tuple[NDArray, tuple]:
        """Return the target as shown by what is carried into the source; both (B, 1, H, W)."""
        return self.carry(self.see(source), self.see(target))

    def carry(self, source: Sight, target: Sight) -> tuple[NDArray, tuple]:
        """Return the target as `forward` does, of what was seen."""
        keep = (1 - source.near) * (1 - target.near)
        carried = keep * source.features + target.near * target.features
        change, decoded = self.decoder.forward(carried)
        return change + self.param["background"], (source, target, keep, decoded)

    def backward(self, dy: NDArray, saved: tuple) -> tuple[None, None]:
        source, target, keep, decoded = saved
        self.grad["background"] += dy.sum((0, 1))
        dcarried = self.decoder.backward(dy, decoded)
        # forward: carried = (1 - near_s) (1 - near_t) f_s + near_t f_t
        dkeep = (dcarried * source.features).sum(1, keepdims=True)
        dnear = (dcarried * target.features).sum(1, keepdims=True) - dkeep * (1 - source.near)
        self._see_backward(target.near * dcarried, dnear, target)
        if self.source_gradient:
            self._see_backward(keep * dcarried, -dkeep * (1 - target.near), source)
        return None, None

    def _see_backward(self, dfeatures: NDArray, dnear: NDArray, sight: Sight) -> None:
        featured, scored, weights, away_x, away_y = sight.saved
        # forward: near = 1 - prod(1 - blobs); each blob is multiplied by all others' 1 - blob
        clear = 1 - sight.blobs
        others = np.ones_like(clear)
        np.cumprod(clear[:, :-1], axis=1, out=others[:, 1:])
        others[:, :-1] *= np.cumprod(clear[:, :0:-1], axis=1)[:, ::-1]
        dblobs = dnear * others * sight.blobs / self.std**2

        # forward: blobs = exp(-(away_x**2 + away_y**2) / (2 std**2)), away = centre - point
        dx = (dblobs.sum(2) * away_x).sum(-1)[..., None, None]
        dy = (dblobs.sum(3) * away_y).sum(-1)[..., None, None]

        # forward: point = sum(softmax(scores) * centre)
        ys, xs = (_centres(n, weights.dtype) for n in self.maps)
        mean_x, mean_y = (sight.points[..., i, None, None] for i in range(2))
        dscores = weights * (dx * (xs - mean_x) + dy * (ys[:, None] - mean_y))
        seen = self.featurenet.backward(np.ascontiguousarray(dfeatures), featured)
        seen = seen + self.keynet.backward(dscores, scored)
        self.grad["background"] -= self.contrast * seen.sum((0, 1))


@dataclass(frozen=True)
class KeypointsConfig(PretrainingConfig):
    """Settings of `KeypointsTrainer`."""

    batch: int = 16
    """Pairs of frames an update."""
    apart: int = 20
    """Most frames between source and target; 1 at least."""
    lr: float = 2e-3
    """Highest learning rate."""
    floor: float = 0.01
    """Weight of a pixel that is as in the mean frame, as `AutoencoderConfig` has it."""

    def __post_init__(self):
        super().__post_init__()
        if self.apart < 1:
            raise UserError(f"apart is {self.apart}, expected at least 1")
        if not 0 < self.floor < math.inf:
            raise UserError(f"floor is {self.floor}, expected a finite number above 0")


class KeypointsTrainer(PretrainingTrainer):
    """Trains a Transporter on pairs of frames, either of which may be the earlier one.

    The loss is `unusual_error` of the target.

    Parameters
    ----------
    network : KeypointsNetwork
        Built. Before the first step its `background` becomes the mean frame.
    frames : Frames
    config : KeypointsConfig
    rng : numpy.random.Generator

    Examples
    --------
    >>> images = np.zeros((60, 20, 20), np.uint8)
    >>> for i in range(60):
    ...     images[i, 8:11, i % 17:i % 17 + 3] = 255        # a square that moves
    >>> frames = Frames(images, np.zeros(60, int))
    >>> network = KeypointsNetwork((20, 20), keypoints=2, channels=8).build(seed=0)
    >>> trainer = KeypointsTrainer(network, frames, KeypointsConfig(steps=150, lr=1e-2),
    ...                            np.random.default_rng(0))
    >>> losses = [trainer.step()["loss"] for _ in range(150)]
    >>> losses[-1] < 0.5 * losses[0]
    True
    """

    def __init__(self, network: KeypointsNetwork, frames: Frames, config: KeypointsConfig,
                 rng: np.random.Generator):
        super().__init__(network, frames, config, rng)
        if frames.size != network.size:
            raise UserError(f"frames have size {frames.size}, expected {network.size} as the "
                            "network")
        self.mean = frames.mean()
        network.param["background"][...] = self.mean

    def draw(self, frames: Frames, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        earlier, later = frames.pairs(rng, self.config.batch, apart=(1, self.config.apart))
        swap = (rng.random(len(earlier)) < 0.5)[:, None, None, None]
        return np.where(swap, later, earlier), np.where(swap, earlier, later)

    def gradient(self, source: NDArray, target: NDArray) -> dict[str, float]:
        """Set ``network.grads`` to the gradient of the loss of a batch.

        Parameters
        ----------
        source, target : ndarray of uint8, shape (B, 1, H, W)

        Returns
        -------
        dict of str to float
            As `unusual_error` has them.
        """
        network = self.network
        target = as_pixels(target, network.params.dtype)
        y, saved = network.forward(source, target)
        dy, metrics = unusual_error(y, target, self.mean, self.config.floor)
        network.grads[...] = 0
        network.backward(dy, saved)
        return metrics


class KeypointsEncoder(FrozenEncoder):
    """Keypoints and the features at them, or maps of both, of a `KeypointsNetwork`.

    Parameters
    ----------
    network : KeypointsNetwork
    name : str, optional
    kind : {'points', 'maps'}, default 'points'
        ``'points'``: places of the keypoints in each of the newest frames, and the mean feature
        vector under each blob of the newest one. ``'maps'``: blobs and feature maps of the newest
        frame, as published.
    looks : int, default 4
        Frames whose keypoints are returned; of ``'points'`` alone.
    pool : int or None, default 5
        Rows and columns that maps are averaged down to; None keeps all. Of ``'maps'`` alone.

    Examples
    --------
    >>> network, stacks = KeypointsNetwork().build(seed=0), np.zeros((2, 4, 84, 84), np.uint8)
    >>> KeypointsEncoder(network).embed(stacks).shape
    (2, 320)
    >>> KeypointsEncoder(network, kind="maps").width
    1000
    >>> KeypointsEncoder(network, kind="maps", pool=None).width
    17640
    """

    model = "keypoints"
    network: KeypointsNetwork

    def __init__(self, network: KeypointsNetwork, *, name: str | None = None, kind: str = "points",
                 looks: int = 4, pool: int | None = 5):
        if kind not in ("points", "maps"):
            raise UserError(f"kind is {kind!r}, expected 'points' or 'maps'")
        if looks < 1:
            raise UserError(f"looks is {looks}, expected at least 1")
        check_pool(pool, network.maps)
        super().__init__(network, name=name, kind=kind, looks=looks, pool=pool)

    def size(self) -> int:
        network, pool = self.network, self.options["pool"]
        if self.options["kind"] == "points":
            return network.keypoints * (2 * self.options["looks"] + network.channels)
        return (network.keypoints + network.channels) * math.prod(
            network.maps if pool is None else (pool, pool))

    def frames_seen(self) -> int:
        return self.options["looks"] if self.options["kind"] == "points" else 1

    def features(self, observations: NDArray) -> NDArray:
        N, T, H, W = observations.shape
        if self.options["kind"] == "maps":
            sight = self.network.see(observations)
            maps = np.concatenate([sight.blobs, sight.features], 1)
            return pooled(maps, self.options["pool"]).reshape(N, -1)
        sight = self.network.see(observations.reshape(N * T, 1, H, W))
        newest = slice(T - 1, None, T)
        blobs, maps = (x[newest].reshape(N, x.shape[1], -1)
                       for x in (sight.blobs, sight.features))
        # a blob that ends beyond the frame still has a mean
        found = blobs @ maps.transpose(0, 2, 1) / (blobs.sum(-1, keepdims=True) + 1e-3)
        # both parts count alike: places vary by about a tenth of the frame
        return np.concatenate([10 * sight.points.reshape(N, -1), found.reshape(N, -1)], 1)


def check_pool(pool: int | None, size: tuple[int, int]) -> None:
    """Raise UserError unless maps of this size can be averaged to (pool, pool)."""
    if pool is not None and not 1 <= pool <= min(size):
        raise UserError(f"pool is {pool}, expected 1 to {min(size)}, or None")


def pooled(maps: NDArray, pool: int | None) -> NDArray:
    """Average maps (N, C, H, W) over (pool, pool) windows that differ by a pixel at most."""
    if pool is None:
        return maps
    for axis in (2, 3):
        n = maps.shape[axis]
        edges = np.arange(pool + 1) * n // pool
        shape = [1, 1, 1, 1]
        shape[axis] = pool
        counts = np.diff(edges).astype(maps.dtype).reshape(shape)
        maps = np.add.reduceat(maps, edges[:-1], axis) / counts
    return maps


def _down(channels: int) -> list[nn.Layer]:
    """Layers from a frame to `channels` maps of a quarter of its height and width."""
    half = channels // 2
    return [nn.Conv2d(1, half, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv2d(half, channels, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1)]


def _centres(n: int, dtype: np.dtype) -> NDArray:
    """Return the middles of n pixels between -1 and 1."""
    return ((2 * np.arange(n) + 1) / n - 1).astype(dtype)
