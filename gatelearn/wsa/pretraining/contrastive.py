"""Spatio-temporal contrastive representations: what a moment tells about the next one."""

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


class ContrastiveNetwork(PretrainingNetwork):
    """An encoder of a moment, a frame or a stack of them, and the two scores of ST-DIM [1]_.

    The encoder is convolutions to a local map ``c`` with a feature vector at each of its P places,
    and a linear layer from all of them to the global features ``g``. Of a moment and an earlier one
    it scores, at each place p, how well they fit together,

    - globally: ``g[later] W c[earlier][p]``,
    - locally: ``c[later][p] V c[earlier][p]``.

    Parameters
    ----------
    size : pair of int, default (84, 84)
        Height and width of a frame.
    depth : int, default 1
        Frames of a moment.
    layers : sequence of tuple of int
        Channels, kernel size and stride of each convolution.
    width : int, default 256
        Of the global features.

    References
    ----------
    .. [1] A. Anand, E. Racah, S. Ozair, Y. Bengio, M.-A. Côté and R. D. Hjelm, "Unsupervised State
       Representation Learning in Atari", NeurIPS 2019.

    Examples
    --------
    >>> network = ContrastiveNetwork().build(seed=0)
    >>> network.encode(np.zeros((2, 1, 84, 84), np.uint8)).shape
    (2, 256)
    """

    def __init__(self, size: Sequence[int] = (84, 84), depth: int = 1,
                 layers: Sequence[Sequence[int]] = ((32, 8, 4), (64, 4, 2), (64, 3, 1)),
                 width: int = 256):
        self.settings = {"size": list(size), "depth": depth, "layers": [list(x) for x in layers],
                         "width": width}
        self.depth, self.size, self.width = depth, tuple(size), width
        convolutions: list[nn.Layer] = []
        channels, shape = depth, self.size
        for i, (wider, kernel, stride) in enumerate(layers):
            if any(n < kernel for n in shape):
                raise UserError(f"layers[{i}] has kernel size {kernel}, expected at most the map "
                                f"of {shape[0]} x {shape[1]} before it")
            convolutions += [nn.Conv2d(channels, wider, kernel, stride=stride), nn.ReLU()]
            channels, shape = wider, tuple((n - kernel) // stride + 1 for n in shape)
        self.local = (channels, math.prod(shape))
        self.convolutions = nn.Sequential(*convolutions)
        self.head = nn.Linear(channels * math.prod(shape), width)
        self.global_score = nn.Linear(width, channels, bias=False)
        self.local_score = nn.Linear(channels, channels, bias=False)

    def children(self) -> dict[str, nn.Layer]:
        return {"convolutions": self.convolutions, "head": self.head,
                "global": self.global_score, "local": self.local_score}

    def encode(self, stacks: NDArray) -> NDArray:
        """Return global features (N, width) of stacks (N, depth, H, W)."""
        maps, _ = self.convolutions.forward(as_pixels(stacks, self.params.dtype))
        return self.head.forward(maps.reshape(len(maps), -1))[0]

    def forward(self, earlier: NDArray, later: NDArray) -> tuple[NDArray, ContrastiveSaved]:
        """Tell which of the earlier moments belongs to each of the later ones.

        Parameters
        ----------
        earlier, later : ndarray, shape (N, depth, H, W)
            uint8, or in [0, 1]. An earlier moment is a wrong one for the other N - 1 later ones.

        Returns
        -------
        losses : ndarray, shape (2,)
            Mean cross-entropy over places and moments: of global and of local scores.
        saved : ContrastiveSaved
            With ``accuracy``: the share of right answers place by place, of both, and of those
            by all scores together. Places that look the same in all moments are right by chance.
        """
        N, (channels, P) = len(later), self.local
        both = np.concatenate([earlier, later])
        maps, convolved = self.convolutions.forward(as_pixels(both, self.params.dtype))
        features, head = self.head.forward(maps[N:].reshape(N, -1))
        # places first: (P, N, C)
        places = np.ascontiguousarray(maps.reshape(2 * N, channels, P).transpose(2, 0, 1))
        before, now = places[:, :N], np.ascontiguousarray(places[:, N:])
        asked, of_global = self.global_score.forward(features)
        asked_local, of_local = self.local_score.forward(now)

        losses, dscores, accuracy = np.empty(2, maps.dtype), [], []
        total = np.zeros((N, N), maps.dtype)
        targets = np.broadcast_to(np.arange(N), (P, N))
        weight = np.full((P, N), 1 / (P * N), maps.dtype)
        for i, question in enumerate((asked, asked_local)):
            scores = np.matmul(question, before.transpose(0, 2, 1))
            loss, dscore = F.cross_entropy_backward(weight, scores, targets)
            losses[i] = loss.mean()
            dscores.append(dscore)
            total += scores.sum(0)
            accuracy.append(float((scores.argmax(-1) == targets).mean()))
        accuracy.append(float((total.argmax(-1) == targets[0]).mean()))
        return losses, ContrastiveSaved((convolved, head, of_global, of_local), before, asked,
                                        asked_local, dscores, accuracy)

    def backward(self, dlosses: NDArray, saved: ContrastiveSaved) -> tuple[NDArray, NDArray]:
        convolved, head, of_global, of_local = saved.layers
        before = saved.before
        N, dbefore, dasked = before.shape[1], np.zeros_like(before), []
        for dloss, dscore, question in zip(dlosses, saved.dscores,
                                           (saved.asked, saved.asked_local), strict=True):
            dscore = dloss * dscore
            dbefore += np.matmul(dscore.transpose(0, 2, 1), question)
            dasked.append(np.matmul(dscore, before))
        # one question was asked at all places
        dfeatures = self.global_score.backward(dasked[0].sum(0), of_global)
        dnow = self.local_score.backward(dasked[1], of_local)

        dmaps = np.concatenate([dbefore, dnow], 1).transpose(1, 2, 0).reshape(2 * N, -1)
        dmaps[N:] += self.head.backward(dfeatures, head)
        shape = saved.layers[0][-1].shape
        dx = self.convolutions.backward(dmaps.reshape(shape), convolved)
        return dx[:N], dx[N:]


class ContrastiveSaved(NamedTuple):
    """What `ContrastiveNetwork.backward` needs."""

    layers: tuple
    before: NDArray         # (P, N, C) local features of the earlier moments
    asked: NDArray          # (N, C) global questions to them
    asked_local: NDArray    # (P, N, C) local ones
    dscores: list[NDArray]  # (P, N, N), of a loss with gradient 1
    accuracy: list[float]


@dataclass(frozen=True)
class ContrastiveConfig(PretrainingConfig):
    """Settings of `ContrastiveTrainer`."""

    batch: int = 64
    """Pairs of moments an update: each has the others' as wrong answers."""
    lr: float = 1.5e-3
    """Highest learning rate."""
    apart: int = 1
    """Frames from a moment to the later one. Stacks must not share frames, by which they could be
    matched without any understanding: at least the network's depth."""

    def __post_init__(self):
        super().__post_init__()
        if self.batch < 2:
            raise UserError(f"batch is {self.batch}, expected at least 2: the others are the wrong "
                            "answers")
        if self.apart < 1:
            raise UserError(f"apart is {self.apart}, expected at least 1")


class ContrastiveTrainer(PretrainingTrainer):
    """Trains a network to tell which moments belong together; the loss is the sum of both.

    Parameters
    ----------
    network : ContrastiveNetwork
        Built.
    frames : Frames
    config : ContrastiveConfig
    rng : numpy.random.Generator

    Raises
    ------
    UserError
        If stacks share frames, or frames have another size than the network's.

    Examples
    --------
    >>> images = np.zeros((50, 20, 20), np.uint8)
    >>> images[np.arange(50), np.arange(50) % 20] = 255      # a line that moves
    >>> frames = Frames(images, np.zeros(50, int))
    >>> network = ContrastiveNetwork((20, 20), 1, [(8, 4, 4)], width=16).build(seed=0)
    >>> config = ContrastiveConfig(steps=100, batch=8, lr=5e-3, apart=1)
    >>> trainer = ContrastiveTrainer(network, frames, config, np.random.default_rng(0))
    >>> losses = [trainer.step()["loss"] for _ in range(100)]
    >>> losses[-1] < losses[0]
    True
    """

    def __init__(self, network: ContrastiveNetwork, frames: Frames, config: ContrastiveConfig,
                 rng: np.random.Generator):
        super().__init__(network, frames, config, rng)
        if frames.size != network.size:
            raise UserError(f"frames have size {frames.size}, expected {network.size} as the "
                            "network")
        if config.apart < network.depth:
            raise UserError(f"apart is {config.apart}, expected at least {network.depth}: stacks "
                            "of that depth would share frames")

    def draw(self, frames: Frames, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        return frames.pairs(rng, self.config.batch, apart=self.config.apart,
                            depth=self.network.depth)

    def gradient(self, earlier: NDArray, later: NDArray) -> dict[str, float]:
        """Set ``network.grads`` to the gradient of the loss of a batch.

        Parameters
        ----------
        earlier, later : ndarray of uint8, shape (B, depth, H, W)

        Returns
        -------
        dict of str to float
            ``loss``, and shares of right answers: ``accuracy_global`` and ``accuracy_local``, place
            by place, and ``matched``, by all scores together.
        """
        losses, saved = self.network.forward(earlier, later)
        self.network.grads[...] = 0
        self.network.backward(np.ones_like(losses), saved)
        return {"loss": float(losses.sum()), "accuracy_global": saved.accuracy[0],
                "accuracy_local": saved.accuracy[1], "matched": saved.accuracy[2]}


class ContrastiveEncoder(FrozenEncoder):
    """The global features of a `ContrastiveNetwork` of each of the newest frames.

    Parameters
    ----------
    network : ContrastiveNetwork
    name : str, optional
    looks : int, default 4
        How often the network looks: at the newest stack of its depth, at the one a frame
        before, and so on. One frame does not tell where things go.

    Examples
    --------
    >>> encoder = ContrastiveEncoder(ContrastiveNetwork().build(seed=0))
    >>> encoder.name, encoder.embed(np.zeros((2, 4, 84, 84), np.uint8)).shape
    ('contrastive', (2, 1024))
    """

    model = "contrastive"
    network: ContrastiveNetwork

    def __init__(self, network: ContrastiveNetwork, *, name: str | None = None, looks: int = 4):
        if looks < 1:
            raise UserError(f"looks is {looks}, expected at least 1")
        super().__init__(network, name=name, looks=looks)

    def size(self) -> int:
        return self.options["looks"] * self.network.width

    def frames_seen(self) -> int:
        return self.network.depth + self.options["looks"] - 1

    def features(self, observations: NDArray) -> NDArray:
        depth = self.network.depth
        seen = np.stack([observations[:, t:t + depth] for t in range(self.options["looks"])], 1)
        return self.network.encode(seen.reshape(-1, *seen.shape[2:])).reshape(-1, self.width)
