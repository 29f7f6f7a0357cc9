"""What a glimpse network sees: patches round a place, and the place itself, as one vector."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatelearn import _core
from gatelearn._convert import check_shape
from gatelearn.functional.glimpse import LARGEST_SCALES
from gatelearn.nn import Conv2d, Flatten, Layer, Linear, ReLU, Sequential


class GlimpseSaved(NamedTuple):
    """What the backward pass of `GlimpseNetwork` needs; leading axes are those of the places."""

    patches: NDArray    # (..., S * C * P * P)
    locations: NDArray  # (..., 2)
    joined: NDArray     # (..., what + where), behind the first rectifiers
    y: NDArray          # (..., outputs)


class GlimpseNetwork(Layer):
    """Patches round a place and the place itself, as one vector [1]_.

    ``relu(join([relu(what(patches)), relu(where(location))]))``: a linear layer of both parts side
    by side is the sum of one layer for each, as the paper writes it. Patches are those of
    :func:`gatelearn.functional.glimpse`.

    Parameters
    ----------
    channels : int
        C, of the images.
    size : int
        P, of a patch.
    scales : int, default 1
        S, how many patches a glimpse has, each of twice the width of the one before.
    outputs : int, default 256
        Width of the result.
    what, where : int, default 128
        Hidden units for the patches and for the place.
    filters : int, optional
        With it, patches first pass a 3 x 3 convolution of so many filters and a rectifier; scales
        are channels.

    Raises
    ------
    ValueError
        If `size` or `scales` is out of range.

    Notes
    -----
    An image is data, and a place is a sample, through which no gradient flows: `backward` returns
    None, unless it is asked for those of the patches and of the places as numbers.

    References
    ----------
    .. [1] V. Mnih, N. Heess, A. Graves and K. Kavukcuoglu, "Recurrent Models of Visual Attention",
       NIPS 2014.

    Examples
    --------
    >>> network = GlimpseNetwork(1, size=8, scales=3).build(seed=0)
    >>> y, saved = network.forward(np.ones((2, 1, 60, 60), np.float32),
    ...                            np.zeros((2, 5, 2), np.float32))
    >>> y.shape, saved.patches.shape
    ((2, 5, 256), (2, 5, 192))
    >>> network.backward(np.ones_like(y), saved)
    """

    def __init__(self, channels: int, size: int, scales: int = 1, outputs: int = 256, *,
                 what: int = 128, where: int = 128, filters: int | None = None):
        if size < 1:
            raise ValueError(f"size is {size}, expected at least 1")
        if not 1 <= scales <= LARGEST_SCALES:
            raise ValueError(f"scales is {scales}, expected 1 to {LARGEST_SCALES}")
        self.channels, self.size, self.scales, self.outputs = channels, size, scales, outputs
        depth = scales * channels
        self.front = None
        if filters is not None:
            self.front = Sequential(Conv2d(depth, filters, 3, padding=1), ReLU(), Flatten())
        gain = math.sqrt(2)
        self.what = Linear((filters or depth) * size**2, what, gain=gain)
        self.where = Linear(2, where, gain=gain)
        self.join = Linear(what + where, outputs, gain=gain)

    def children(self) -> dict[str, Layer]:
        front = {} if self.front is None else {"front": self.front}
        return front | {"what": self.what, "where": self.where, "join": self.join}

    def room(self, *shape: int) -> GlimpseSaved:
        """Return uninitialised arrays for places of a shape, which `look` fills."""
        widths = (self.scales * self.channels * self.size**2, 2,
                  self.what.outputs + self.where.outputs, self.outputs)
        dtype = self.where.param["weight"].dtype
        return GlimpseSaved(*(np.empty((*shape, width), dtype) for width in widths))

    def look(self, images: NDArray, to: GlimpseSaved) -> None:
        """Look at images (B, C, H, W) at the places ``to.locations``, (B, M, 2); fill the rest."""
        B, M = to.locations.shape[:2]
        _core.glimpse_forward(
            to.patches.reshape(B, M, self.scales, self.channels * self.size, self.size), images,
            to.locations)
        patches, locations, joined, y = (a.reshape(B * M, a.shape[-1]) for a in to)
        a = self.what.outputs
        _linear(self.what, joined[:, :a], self._front(patches)[0])
        _linear(self.where, joined[:, a:], locations)
        _core.relu_forward(joined.reshape(-1), joined.reshape(-1))
        _linear(self.join, y, joined)
        _core.relu_forward(y.reshape(-1), y.reshape(-1))

    def forward(self, images: NDArray, locations: NDArray) -> tuple[NDArray, GlimpseSaved]:
        """Look at each image at M places.

        Parameters
        ----------
        images : ndarray, shape (B, C, H, W)
            Of the type of the parameters.
        locations : ndarray, shape (B, M, 2)
            As :func:`gatelearn.functional.glimpse` has them.

        Returns
        -------
        y : ndarray, shape (B, M, outputs)
        saved : GlimpseSaved
        """
        self.check(images)
        if locations.ndim != 3:
            raise ValueError(f"locations has {locations.ndim} dimensions, expected 3")
        check_shape(locations, "locations", (len(images), locations.shape[1], 2))
        saved = self.room(*locations.shape[:2])
        saved.locations[...] = locations
        self.look(np.ascontiguousarray(images), saved)
        return saved.y, saved

    def backward(self, dy: NDArray, saved: GlimpseSaved, *,
                 inputs: bool = False) -> tuple[NDArray, NDArray] | None:
        """Add the gradients of the parameters.

        Parameters
        ----------
        dy : ndarray, shape of ``saved.y``
        saved : GlimpseSaved
        inputs : bool, default False
            Whether to return the gradients of the patches and of the places as numbers that the
            network was given: not of what is seen there.

        Returns
        -------
        None, or dpatches and dlocations, shapes of ``saved.patches`` and ``saved.locations``
        """
        rows = math.prod(saved.y.shape[:-1])
        patches, locations, joined, y = (a.reshape(rows, a.shape[-1]) for a in saved)
        a = self.what.outputs

        # forward: y = relu(join(joined))
        du = np.array(dy, y.dtype, order="C").reshape(y.shape)
        _core.relu_backward(du.reshape(-1), du.reshape(-1), y.reshape(-1))
        djoined = self.join.backward(du, joined)
        # forward: joined = relu([what(front(patches)), where(locations)])
        _core.relu_backward(djoined.reshape(-1), djoined.reshape(-1), joined.reshape(-1))
        x, seen = self._front(patches)
        dx = np.empty_like(x) if inputs or self.front is not None else None
        dlocations = np.empty_like(locations) if inputs else None
        _linear_backward(self.what, dx, djoined[:, :a], x)
        _linear_backward(self.where, dlocations, djoined[:, a:], locations)
        if self.front is not None:
            dx = self.front.backward(dx, seen)
        if not inputs:
            return None
        return dx.reshape(saved.patches.shape), dlocations.reshape(saved.locations.shape)

    def check(self, images: NDArray) -> None:
        """Raise unless `images` is (B, C, H, W), of the type of the parameters."""
        dtype = self.where.param["weight"].dtype
        if images.dtype != dtype:
            raise TypeError(f"images has dtype {images.dtype}, expected {dtype} as the parameters")
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise ValueError(f"images has shape {images.shape}, expected (B, {self.channels}, "
                             "H, W)")

    def _front(self, patches: NDArray) -> tuple[NDArray, Any]:
        # backward calls it again, for all places at once
        if self.front is None:
            return patches, None
        return self.front.forward(patches.reshape(
            len(patches), self.scales * self.channels, self.size, self.size))


def _linear(layer: Linear, y: NDArray, x: NDArray) -> None:
    """Write ``layer(x)`` to the rows `y`, which may be strided."""
    _core.linear_forward(y, x, layer.param["weight"], layer.param["bias"], False)


def _linear_backward(layer: Linear, dx: NDArray | None, dy: NDArray, x: NDArray) -> None:
    """Add the gradients of a layer's parameters; write that of `x` where it is wanted."""
    _core.linear_backward(dx, layer.grad["weight"], layer.grad["bias"], dy, x,
                          layer.param["weight"], False)
