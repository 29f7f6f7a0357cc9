"""Embeddings as small images, combined by convolutions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import nn
from gatelearn.wsa.adapters import PerModel
from gatelearn.wsa.base import Combination, Combined
from gatelearn.wsa.concatenation import Concatenation


class Maps(nn.Layer):
    """Rows (B, C * S * S) as images (B, C, S, S)."""

    def __init__(self, size: int):
        self.size = size

    def forward(self, x: NDArray) -> tuple[NDArray, None]:
        channels = x.shape[1] // self.size**2
        return x.reshape(len(x), channels, self.size, self.size), None

    def backward(self, dy: NDArray, saved: None) -> NDArray:
        return dy.reshape(len(dy), math.prod(dy.shape[1:]))


class Convolutional(PerModel):
    """Each embedding as maps, all channels together, then convolutions: *CNN* of [1]_.

    An embedding of ``C * size * size`` numbers is C maps, row by row, as an encoder that ends in a
    convolution has them: 1,024 are four maps of 16 x 16. Any other first goes through a linear map
    of its own, to one map. The first convolution of all channels is a sum of one for each model, so
    that a sample that lacks a model has zeros in its place, and a model that is added starts with
    weights of 0: the state of all samples stays as it was. Rectifiers follow all convolutions.

    Parameters
    ----------
    widths : mapping of str to int
        Width of each model's embedding by its name.
    width : int, optional
        R, of the state, made by a linear map and a rectifier. By default, as published, the state
        is the maps themselves, ``channels * size * size`` numbers: 8,192.
    convolutions : int, default 1
        How many, of 3 x 3 each. Published: 1, 2 and 3.
    channels : int, default 32
        Of each convolution.
    size : int, default 16
        Height and width of the maps.
    input_gradient : bool, default False
        Whether `backward` returns the gradient of the features.

    References
    ----------
    .. [1] E. Piccoli, M. Li, G. Carfì, V. Lomonaco and D. Bacciu, "Combining Pre-Trained Models for
       Enhanced Feature Representation in Reinforcement Learning", arXiv:2507.07197, 2025.

    Examples
    --------
    >>> layer = Convolutional({"objects": 1024, "state": 500}, convolutions=2).build(seed=0)
    >>> layer.forward(np.ones((3, 1524), np.float32))[0].shape
    (3, 8192)
    """

    def __init__(self, widths: Mapping[str, int], width: int | None = None, *,
                 convolutions: int = 1, channels: int = 32, size: int = 16,
                 input_gradient: bool = False):
        for name, value in (("convolutions", convolutions), ("channels", channels),
                            ("size", size)):
            if value < 1:
                raise ValueError(f"{name} is {value}, expected at least 1")
        self.channels, self.size = channels, size
        flat = channels * size * size
        super().__init__(widths, flat if width is None else width, input_gradient=input_gradient)
        layers: list[nn.Layer] = [nn.ReLU()]
        for _ in range(convolutions - 1):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
        layers.append(nn.Flatten())
        if width is not None:
            layers += [nn.Linear(flat, width, gain=math.sqrt(2)), nn.ReLU()]
        self.rest = nn.Sequential(*layers)

    def adapter(self, width: int, *, added: bool = False) -> nn.Layer:
        gain = 0.0 if added else math.sqrt(2 / len(self.widths))
        maps, other = divmod(width, self.size**2)
        if not other:
            return nn.Sequential(Maps(self.size), self._convolution(maps, gain))
        return nn.Sequential(nn.Linear(width, self.size**2, input_gradient=self.input_gradient),
                             Maps(self.size), self._convolution(1, gain))

    def _convolution(self, maps: int, gain: float) -> nn.Layer:
        return nn.Conv2d(maps, self.channels, 3, padding=1, bias=False, gain=gain)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"bias": (self.channels,)}

    def initialise(self, rng: np.random.Generator) -> None:
        self.param["bias"][...] = 0

    def children(self) -> dict[str, nn.Layer]:
        return super().children() | {"rest": self.rest}

    def forward(self, features: NDArray,
                present: ArrayLike | None = None) -> tuple[NDArray, Combined]:
        return self.combine(*self.check(features, present))

    def combine(self, features: NDArray,
                present: NDArray[np.bool_] | None) -> tuple[NDArray, Combined]:
        """As `forward`, of arguments that were checked; a sample may have no model."""
        outputs, adapted = self.adapt(features, present)
        total = np.empty((len(features), self.channels, self.size, self.size), outputs[0].dtype)
        total[...] = self.param["bias"][:, None, None]
        for rows, output in zip(adapted.rows, outputs, strict=True):
            total[rows] += output
        state, rest = self.rest.forward(total)
        return state, Combined(None, (adapted, rest))

    def backward(self, dstate: NDArray, saved: Combined) -> NDArray | None:
        adapted, rest = saved.rest
        dtotal = self.rest.backward(dstate, rest)
        self.grad["bias"] += dtotal.sum((0, 2, 3))
        return self.adapt_backward([dtotal[rows] for rows in adapted.rows], adapted)


class Mixed(Combination):
    """Maps through convolutions, vectors through a linear map, side by side: *MIX* of [1]_.

    Parameters
    ----------
    widths : mapping of str to int
        Width of each model's embedding by its name.
    width : int, optional
        R, of the state, made by a linear map and a rectifier. By default, as published, the state
        is what `Convolutional` and `Concatenation` return: 8,192 and 512 numbers.
    vectors : iterable of str, optional
        Models whose embeddings are no maps. By default those whose width is no multiple of
        ``size * size``; a model that is added is always told by that.
    linear : int, default 512
        How many numbers the vectors become.
    convolutions, channels, size : int, default 1, 32 and 16
        As of `Convolutional`.
    input_gradient : bool, default False
        Whether `backward` returns the gradient of the features.

    References
    ----------
    .. [1] E. Piccoli, M. Li, G. Carfì, V. Lomonaco and D. Bacciu, "Combining Pre-Trained Models for
       Enhanced Feature Representation in Reinforcement Learning", arXiv:2507.07197, 2025.

    Examples
    --------
    >>> layer = Mixed({"objects": 1024, "state": 512}, vectors=["state"]).build(seed=0)
    >>> layer.forward(np.ones((3, 1536), np.float32))[0].shape
    (3, 8704)
    """

    def __init__(self, widths: Mapping[str, int], width: int | None = None, *,
                 vectors: Iterable[str] | None = None, linear: int = 512, convolutions: int = 1,
                 channels: int = 32, size: int = 16, input_gradient: bool = False):
        if linear < 1 or size < 1:
            raise ValueError(f"linear is {linear} and size {size}, expected at least 1")
        if vectors is None:
            vectors = [name for name, columns in widths.items() if columns % size**2]
        vectors = list(vectors)
        for name in vectors:
            if name not in widths:
                raise ValueError(f"vectors has '{name}', expected models of widths: "
                                 f"{', '.join(widths)}")
        if not 0 < len(vectors) < len(widths):
            raise ValueError(f"vectors has {len(vectors)} of {len(widths)} models, expected some "
                             "and not all: Concatenation and Convolutional take one kind alone")
        flat = channels * size * size + linear
        super().__init__(widths, flat if width is None else width, input_gradient=input_gradient)
        self.maps = Convolutional({name: self.widths[name] for name in widths
                                   if name not in vectors}, convolutions=convolutions,
                                  channels=channels, size=size, input_gradient=input_gradient)
        self.vectors = Concatenation({name: self.widths[name] for name in widths
                                      if name in vectors}, linear, input_gradient=input_gradient)
        self.rest = nn.Sequential(*([] if width is None else
                                    [nn.Linear(flat, width, gain=math.sqrt(2)), nn.ReLU()]))

    def children(self) -> dict[str, nn.Layer]:
        return {"maps": self.maps, "vectors": self.vectors, "rest": self.rest}

    def add(self, name: str, width: int) -> None:
        super().add(name, width)
        (self.vectors if width % self.maps.size**2 else self.maps).add(name, width)

    def remove(self, name: str) -> None:
        for part in (self.maps, self.vectors):
            if name in part.widths:
                part.remove(name)
        super().remove(name)

    def forward(self, features: NDArray,
                present: ArrayLike | None = None) -> tuple[NDArray, Combined]:
        features, present = self.check(features, present)
        states, saved = [], []
        for part in (self.maps, self.vectors):
            shown = None if present is None else present[:, [name in part.widths for name in
                                                             self.widths]]
            state, kept = part.combine(np.concatenate(
                [features[:, self.columns[name]] for name in part.widths], axis=1), shown)
            states.append(state)
            saved.append(kept)
        state, rest = self.rest.forward(np.concatenate(states, axis=1))
        return state, Combined(None, (*saved, rest))

    def backward(self, dstate: NDArray, saved: Combined) -> NDArray | None:
        *parts, rest = saved.rest
        dstate = self.rest.backward(dstate, rest)
        dmaps = self.maps.backward(dstate[:, :self.maps.width], parts[0])
        dvectors = self.vectors.backward(dstate[:, self.maps.width:], parts[1])
        if dmaps is None or dvectors is None:
            return None
        dfeatures = np.empty((len(dstate), sum(self.widths.values())), dstate.dtype)
        for part, dpart in ((self.maps, dmaps), (self.vectors, dvectors)):
            for name, columns in part.columns.items():
                dfeatures[:, self.columns[name]] = dpart[:, columns]
        return dfeatures
