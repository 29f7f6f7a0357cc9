"""Video object segmentation: masks of what moves, found because moving them explains a frame."""

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
)
from gatelearn.wsa.pretraining.frames import Frames
from gatelearn.wsa.pretraining.keypoints import check_pool, pooled
from gatelearn.wsa.pretraining.similarity import blur, ssim, ssim_backward

# masks start at sigmoid(-2), an eighth, so that objects need not be carved out of the whole frame
_OFFSET = 2.0


class Motion(NamedTuple):
    """What a `SegmentationNetwork` finds in two frames."""

    masks: NDArray
    """(B, K, H, W) in (0, 1): which pixels of the newer frame belong to each object."""
    moves: NDArray
    """(B, K + 1, 2): where pixels came from, to the right and down; the camera's last."""
    saved: tuple

    def flow(self) -> NDArray:
        """Return where each pixel came from, (B, 2, H, W): the camera's move and its objects'."""
        B, K, H, W = self.masks.shape
        moved = self.moves[:, :K].transpose(0, 2, 1) @ self.masks.reshape(B, K, H * W)
        return moved.reshape(B, 2, H, W) + self.moves[:, K, :, None, None]


class SegmentationNetwork(PretrainingNetwork):
    """Masks of K objects, a translation for each and one of the camera, from two frames [1]_.

    Together they are a flow, ``camera + sum_k mask_k translation_k``, by which the newer frame is
    made of the older one. What is seen and moved is the difference to `background`, an image that
    is learned, too, and starts as the mean frame: where an object was, the background returns.

    Parameters
    ----------
    size : pair of int, default (84, 84)
        Height and width of a frame, multiples of 4.
    objects : int, default 8
        K. Published: 20.
    channels : int, default 32
        Of the maps at a quarter of the frame's size; half of it at half the size.
    width : int, default 128
        Of the hidden layer before the translations.
    blurs : sequence of int, default (5, 11)
        Odd heights and widths of windows: the older frame is moved sharp and also averaged over
        each of these. Small objects that move by more than their size would otherwise give the flow
        no gradient. Not published.
    contrast : float, default 20
        What is seen is multiplied by, since most objects are small or faint.

    References
    ----------
    .. [1] V. Goel, J. Weng and P. Poupart, "Unsupervised Video Object Segmentation for Deep
       Reinforcement Learning", NeurIPS 2018.

    Examples
    --------
    >>> network = SegmentationNetwork().build(seed=0)
    >>> stacks = np.zeros((3, 2, 84, 84), np.uint8)
    >>> network.find(stacks).masks.shape, network.forward(stacks)[0].shape
    ((3, 8, 84, 84), (3, 3, 84, 84))
    """

    depth = 2

    def __init__(self, size: Sequence[int] = (84, 84), objects: int = 8, channels: int = 32,
                 width: int = 128, blurs: Sequence[int] = (5, 11), contrast: float = 20.0):
        self.settings = {"size": list(size), "objects": objects, "channels": channels,
                         "width": width, "blurs": list(blurs), "contrast": contrast}
        if any(n < 8 or n % 4 for n in size):
            raise UserError(f"size is {tuple(size)}, expected multiples of 4 of at least 8")
        for name, value, least in (("objects", objects, 1), ("channels", channels, 2),
                                   ("width", width, 1)):
            if value < least:
                raise UserError(f"{name} is {value}, expected at least {least}")
        if not 0 < contrast < math.inf:
            raise UserError(f"contrast is {contrast}, expected a finite number above 0")
        if any(n < 3 or n % 2 == 0 for n in blurs):
            raise UserError(f"blurs is {tuple(blurs)}, expected odd numbers of at least 3")
        self.size, self.objects, self.contrast = tuple(size), objects, contrast
        self.blurs = (1, *blurs)
        half = channels // 2
        self.fine = nn.Sequential(nn.Conv2d(2, half, 5, stride=2, padding=2), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(half, channels, 3, stride=2, padding=1), nn.ReLU(),
                                    nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
        small = math.prod((n // 4 + 1) // 2 for n in size)
        self.motion = nn.Sequential(
            nn.Conv2d(channels, half, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Linear(half * small, width, gain=math.sqrt(2)), nn.ReLU(),
            nn.Linear(width, 2 * objects + 2))
        self.up = nn.Sequential(nn.Upsample2d(), nn.Conv2d(channels, half, 3, padding=1))
        self.out = nn.Sequential(nn.ReLU(), nn.Upsample2d(),
                                 nn.Conv2d(half, objects, 3, padding=1, gain=1.0))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"background": self.size}

    def children(self) -> dict[str, nn.Layer]:
        return {"fine": self.fine, "coarse": self.coarse, "motion": self.motion, "up": self.up,
                "out": self.out}

    def find(self, stacks: NDArray) -> Motion:
        """Find objects and their translations in stacks (B, 2, H, W): uint8, or in [0, 1]."""
        background = self.param["background"]
        return self._find(as_pixels(stacks, background.dtype) - background)

    def _find(self, changes: NDArray) -> Motion:
        fine, fined = self.fine.forward(changes * changes.dtype.type(self.contrast))
        coarse, coarsed = self.coarse.forward(fine)
        moves, moved = self.motion.forward(coarse)
        up, upped = self.up.forward(coarse)
        # what is fine is handed past the coarse maps
        scores, outed = self.out.forward(up + fine)
        masks = F.sigmoid(scores - scores.dtype.type(_OFFSET))
        return Motion(masks, moves.reshape(len(moves), self.objects + 1, 2),
                      (fined, coarsed, moved, upped, outed))

    def blurred(self, frames: NDArray) -> NDArray:
        """Return frames (B, 1, H, W), sharp and as `blurs` says: (B, S, H, W)."""
        return np.concatenate([blur(frames, n) for n in self.blurs], 1)

    def forward(self, stacks: NDArray) -> tuple[NDArray, tuple]:
        """Return the newer frame as made of the older one of stacks (B, 2, H, W).

        Sharp, then blurred: (B, S, H, W), to be compared with what `blurred` returns.
        """
        background = self.param["background"]
        changes = as_pixels(stacks, background.dtype) - background
        motion = self._find(changes)
        flow, older = motion.flow(), self.blurred(changes[:, :1])
        return F.warp(older, flow) + self.blurred(background[None, None]), (older, motion, flow)

    def backward(self, dy: NDArray, saved: tuple, dmasks: float = 0.0) -> None:
        """Add gradients; `dmasks` is one more of each pixel of each mask."""
        older, motion, flow = saved
        B, K, H, W = motion.masks.shape
        dolder, dflow = F.warp_backward(dy, older, flow)

        # forward: flow = camera + sum(moves * masks)
        dflow = dflow.reshape(B, 2, H * W)
        masks = motion.masks.reshape(B, K, H * W)
        dmoves = np.concatenate([masks @ dflow.transpose(0, 2, 1), dflow.sum(2)[:, None]], 1)
        dmask = (motion.moves[:, :K] @ dflow).reshape(motion.masks.shape) + dy.dtype.type(dmasks)

        fined, coarsed, moved, upped, outed = motion.saved
        dup = self.out.backward(F.sigmoid_backward(dmask, motion.masks), outed)
        dcoarse = self.up.backward(dup, upped)
        dcoarse = dcoarse + self.motion.backward(dmoves.reshape(B, -1), moved)
        dseen = self.fine.backward(dup + self.coarse.backward(dcoarse, coarsed), fined)
        # forward: y = warp(blur(older - background), flow) + blur(background)
        for i, n in enumerate(self.blurs):
            self.grad["background"] += blur((dy - dolder)[:, i].sum(0), n)
        self.grad["background"] -= self.contrast * dseen.sum((0, 1))


@dataclass(frozen=True)
class SegmentationConfig(PretrainingConfig):
    """Settings of `SegmentationTrainer`."""

    batch: int = 16
    """Pairs of consecutive frames an update."""
    lr: float = 2e-3
    """Highest learning rate."""
    max_grad_norm: float | None = 1.0
    """Longest gradient; None is no limit."""
    similarity: float = 0.5
    """Share of structural dissimilarity in the loss; the rest is the absolute error."""
    window: int = 7
    """Height and width of its windows."""
    mask_weight: float = 0.1
    """Weight of the mean size of the masks, in the end."""
    curriculum: float = 0.5
    """Share of the updates over which that weight rises from 0."""

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.similarity <= 1:
            raise UserError(f"similarity is {self.similarity}, expected 0 to 1")
        if self.window < 1:
            raise UserError(f"window is {self.window}, expected at least 1")
        if not 0 <= self.mask_weight < math.inf:
            raise UserError(f"mask_weight is {self.mask_weight}, expected a finite number of at "
                            "least 0")
        if not 0 <= self.curriculum <= 1:
            raise UserError(f"curriculum is {self.curriculum}, expected 0 to 1")


class SegmentationTrainer(PretrainingTrainer):
    """Trains masks and translations to make each frame of the one before it.

    With the newer frame x, the older one o and what was made of it, y, the loss is ``a D(y, x) /
    D(o, x) + (1 - a) |y - x| / |o - x| + b sum_k mean(mask_k)``, D being structural dissimilarity,
    ``(1 - SSIM) / 2``: relative to the older frame taken as it is, since little differs between
    frames. The second part is a mean over sharp and blurred frames. b rises from 0: masks must
    first be found before they are to be small.

    Parameters
    ----------
    network : SegmentationNetwork
        Built. Before the first step its `background` becomes the mean frame.
    frames : Frames
    config : SegmentationConfig
    rng : numpy.random.Generator

    Examples
    --------
    >>> images = np.zeros((60, 20, 20), np.uint8)
    >>> for i in range(60):
    ...     images[i, 8:12, i % 16:i % 16 + 4] = 255        # a square that moves to the right
    >>> frames = Frames(images, np.arange(60) // 16)
    >>> network = SegmentationNetwork((20, 20), objects=1, channels=8, width=16).build(seed=0)
    >>> trainer = SegmentationTrainer(network, frames, SegmentationConfig(steps=150, lr=1e-2),
    ...                               np.random.default_rng(0))
    >>> unexplained = [trainer.step()["unexplained"] for _ in range(150)]
    >>> unexplained[-1] < 0.5
    True
    """

    def __init__(self, network: SegmentationNetwork, frames: Frames, config: SegmentationConfig,
                 rng: np.random.Generator):
        super().__init__(network, frames, config, rng)
        if frames.size != network.size:
            raise UserError(f"frames have size {frames.size}, expected {network.size} as the "
                            "network")
        if config.window > min(network.size):
            raise UserError(f"window is {config.window}, expected at most {min(network.size)}, the "
                            "size of a frame")
        network.param["background"][...] = frames.mean()

    def draw(self, frames: Frames, rng: np.random.Generator) -> tuple[NDArray]:
        return (frames.stacks(rng, self.config.batch, 2),)

    def mask_weight(self) -> float:
        """Return the weight of the size of masks at the next update."""
        config = self.config
        rise = config.curriculum * config.steps
        return config.mask_weight * min(1.0, self.optimiser.steps / rise if rise else 1.0)

    def gradient(self, stacks: NDArray) -> dict[str, float]:
        """Set ``network.grads`` to the gradient of the loss of a batch.

        Parameters
        ----------
        stacks : ndarray of uint8, shape (B, 2, H, W)

        Returns
        -------
        dict of str to float
            ``loss``; ``unexplained``, the absolute error as a share of that of the older frame;
            ``dissimilar``, the same of structural dissimilarity; ``mask``, the mean size of a mask.
        """
        network, config = self.network, self.config
        pixels = as_pixels(stacks, network.params.dtype)
        older, newer = (network.blurred(pixels[:, t:t + 1]) for t in range(2))
        y, saved = network.forward(pixels)
        off = y - newer
        similar, windows = ssim(y[:, :1], newer[:, :1], config.window)

        # errors against those of a frame in which nothing moves
        still = np.maximum(np.abs(older - newer).sum((0, 2, 3), keepdims=True), 1e-12)
        unexplained = (np.abs(off).sum((0, 2, 3), keepdims=True) / still).ravel()
        apart = max(float((1 - ssim(older[:, :1], newer[:, :1], config.window)[0]).sum()), 1e-12)
        dissimilar = float((1 - similar).sum()) / apart
        masks, weight, share = saved[1].masks, self.mask_weight(), config.similarity
        size = float(masks.mean())
        loss = (share * dissimilar + (1 - share) * float(unexplained.mean())
                + weight * network.objects * size)

        dy = np.sign(off) * ((1 - share) / len(unexplained) / still)
        dy[:, :1] += ssim_backward(np.full_like(similar, -share / apart), windows)
        network.grads[...] = 0
        network.backward(dy, saved, weight * network.objects / masks.size)
        return {"loss": loss, "unexplained": float(unexplained[0]), "dissimilar": dissimilar,
                "mask": size}


class SegmentationEncoder(FrozenEncoder):
    """Masks, averaged over squares, and translations of a `SegmentationNetwork`.

    Parameters
    ----------
    network : SegmentationNetwork
    name : str, optional
    pool : int or None, default 7
        Rows and columns that each mask is averaged down to; None keeps all its pixels.

    Examples
    --------
    >>> network, stacks = SegmentationNetwork().build(seed=0), np.zeros((2, 4, 84, 84), np.uint8)
    >>> SegmentationEncoder(network).embed(stacks).shape
    (2, 410)
    >>> SegmentationEncoder(network, pool=None).width
    56466
    """

    model = "segmentation"
    network: SegmentationNetwork

    def __init__(self, network: SegmentationNetwork, *, name: str | None = None,
                 pool: int | None = 7):
        check_pool(pool, network.size)
        super().__init__(network, name=name, pool=pool)

    def size(self) -> int:
        network, pool = self.network, self.options["pool"]
        mask = math.prod(network.size if pool is None else (pool, pool))
        return network.objects * mask + 2 * (network.objects + 1)

    def features(self, observations: NDArray) -> NDArray:
        motion, N = self.network.find(observations), len(observations)
        masks = pooled(motion.masks, self.options["pool"]).reshape(N, -1)
        # of the order of a mask: objects move by a few pixels
        return np.concatenate([masks, 0.1 * motion.moves.reshape(N, -1)], 1)
