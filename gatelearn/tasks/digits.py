"""Handwritten digits somewhere in a large image, among pieces of other digits.

The digits are 1,797 real ones of 8 by 8 pixels [1]_, enlarged smoothly to the size of MNIST's. They
are split by image: a digit of the test split is in no training image, not as a piece either. The
tasks are those of [2]_.

References
----------
.. [1] E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
   Repository, 1998, as scikit-learn ships it.
.. [2] V. Mnih, N. Heess, A. Graves and K. Kavukcuoglu, "Recurrent Models of Visual Attention", NIPS
   2014.
"""

from __future__ import annotations

import functools
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn._convert import as_index
from gatelearn.errors import require

SPLITS = {"train": 0.6, "validation": 0.1, "test": 0.3}
# side of the image, None for the digits as they are, and the number of pieces
DIGIT_TASKS: dict[str, tuple[int | None, int]] = {
    "native": (None, 0), "translated-60": (60, 0), "translated-100": (100, 0),
    "cluttered-60": (60, 4), "cluttered-100": (100, 8)}


class DigitBatch(NamedTuple):
    """Images and what is known of them."""

    images: NDArray[np.float32]
    """Of shape (B, 1, H, W), in [0, 1]."""
    labels: NDArray[np.int64]
    """The digits, (B,)."""
    centre: NDArray[np.float32]
    """The middle of each digit, (B, 2), as `gatelearn.functional.glimpse` counts: x and y, -1 and 1
    being the edges of the image."""
    index: NDArray[np.int64]
    """Which of the 1,797 digits each is, (B,)."""


class Digits:
    """Draws images with one digit each.

    Parameters
    ----------
    size : int, optional
        Height and width of the images. By default the digits are given as they are, 8 by 8.
    clutter : int, default 0
        Pieces of other digits of the same split in each image, at random places. Where pieces and
        the digit overlap, the brighter pixel is seen.
    zoom : float, default 3
        By how much digits are enlarged in images of a given size, bilinearly.
    piece : int, default 8
        Height and width of a piece, in pixels of the image.

    Attributes
    ----------
    side : int
        Height and width of an image.
    splits : dict of str to ndarray
        The indices of the digits of ``"train"`` (60%), ``"validation"`` (10%) and ``"test"`` (30%),
        each with equal shares of all classes; always the same.

    Raises
    ------
    ValueError
        If a digit or a piece does not fit, or there is clutter without a size.
    MissingPackageError
        If scikit-learn is not installed.

    Examples
    --------
    >>> task = Digits(60, clutter=4)
    >>> batch = task.sample(np.random.default_rng(0), 32)
    >>> batch.images.shape, batch.images.dtype, batch.labels[:4]
    ((32, 1, 60, 60), dtype('float32'), array([6, 2, 5, 6]))
    """

    def __init__(self, size: int | None = None, clutter: int = 0, *, zoom: float = 3.0,
                 piece: int = 8):
        digits, self.labels, self.splits = _load()
        if clutter < 0:
            raise ValueError(f"clutter is {clutter}, expected at least 0")
        if size is None:
            if clutter:
                raise ValueError(f"clutter is {clutter}, expected 0 where no size is given")
            self.digits, self.side = digits, digits.shape[1]
        else:
            if not 1 <= zoom <= size / digits.shape[1]:
                raise ValueError(f"zoom is {zoom}, expected 1 to {size / digits.shape[1]:g}: "
                                 f"{digits.shape[1]} pixels in an image of {size}")
            self.digits, self.side = enlarge(digits, zoom), size
            if not 1 <= piece <= self.digits.shape[1]:
                raise ValueError(f"piece is {piece}, expected 1 to {self.digits.shape[1]}, the "
                                 "size of a digit")
        self.clutter, self.piece = clutter, piece

    @classmethod
    def named(cls, name: str) -> Self:
        """Return one of the tasks of `DIGIT_TASKS`.

        Parameters
        ----------
        name : str
            ``"native"``; ``"translated-60"`` or ``"translated-100"``, a digit at a random place;
            ``"cluttered-60"`` or ``"cluttered-100"``, with 4 or 8 pieces.

        Returns
        -------
        Digits

        Raises
        ------
        ValueError
            If there is no such task.
        """
        if name not in DIGIT_TASKS:
            raise ValueError(f"task is {name!r}, expected one of {', '.join(DIGIT_TASKS)}")
        return cls(*DIGIT_TASKS[name])

    def sample(self, rng: np.random.Generator, batch: int, *, split: str = "train") -> DigitBatch:
        """Draw digits, with replacement, and an image of each.

        Parameters
        ----------
        rng : numpy.random.Generator
            The same state gives the same images.
        batch : int
            Number of images, B.
        split : {"train", "validation", "test"}, default "train"

        Returns
        -------
        DigitBatch

        Raises
        ------
        ValueError
            If there is no such split or `batch` is negative.
        """
        if batch < 0:
            raise ValueError(f"batch is {batch}, expected at least 0")
        return self.render(rng, rng.choice(self._members(split), batch), split=split)

    def render(self, rng: np.random.Generator, index: ArrayLike, *,
               split: str = "train") -> DigitBatch:
        """Draw an image of each of the given digits.

        Parameters
        ----------
        rng : numpy.random.Generator
        index : array_like of int, shape (B,)
            Which digits; any of them several times.
        split : {"train", "validation", "test"}, default "train"
            The split that they belong to, and that pieces are cut from.

        Returns
        -------
        DigitBatch

        Raises
        ------
        ValueError
            If there is no such split, or a digit is not in it.
        """
        members, index = self._members(split), as_index(index, "index", ndim=1)
        if not (inside := np.isin(index, members)).all():
            raise ValueError(f"index has {index[~inside][0]}, which is not in split {split}")
        images = np.zeros((len(index), self.side, self.side), np.float32)
        free = self.side - self.digits.shape[1] + 1
        corner = rng.integers(0, free, (len(index), 2))
        paint(images, self.digits[index], corner)
        for _ in range(self.clutter):
            # a step of 1 to n - 1 round the split's n digits: never the digit itself
            step = rng.integers(1, len(members), len(index))
            other = members[(np.searchsorted(members, index) + step) % len(members)]
            cut = rng.integers(0, self.digits.shape[1] - self.piece + 1, (len(index), 2))
            pieces = self.digits[(other[:, None, None], *_square(cut, self.piece))]
            paint(images, pieces, rng.integers(0, self.side - self.piece + 1, (len(index), 2)))
        # corners are rows and columns, places are x and y
        middle = (2 * corner[:, ::-1] + self.digits.shape[1]) / self.side - 1
        return DigitBatch(images[:, None], self.labels[index], middle.astype(np.float32), index)

    def _members(self, split: str) -> NDArray[np.int64]:
        if split not in self.splits:
            raise ValueError(f"split is {split!r}, expected one of {', '.join(self.splits)}")
        return self.splits[split]


def enlarge(digits: NDArray, zoom: float) -> NDArray:
    """Return images (N, P, P) enlarged bilinearly, (N, Q, Q) with Q = round(P * zoom).

    Pixels are squares, and beyond the edges it is dark, as `gatelearn.functional.glimpse` has it.

    Examples
    --------
    >>> enlarge(np.ones((1, 2, 2)), 2)[0, 1]
    array([0.75, 1.  , 1.  , 0.75])
    """
    P = digits.shape[1]
    Q = round(P * zoom)
    place = (np.arange(Q) + 0.5) * P / Q - 0.5
    weight = np.maximum(0, 1 - abs(place[:, None] - np.arange(P))).astype(digits.dtype)
    return weight @ digits @ weight.T


def paint(images: NDArray, squares: NDArray, corner: NDArray) -> None:
    """Put a square (B, P, P) into each image (B, H, W), its first pixel at `corner` (B, 2): row and
    column. Of the old pixel and the new one the brighter stays."""
    at = (np.arange(len(images))[:, None, None], *_square(corner, squares.shape[1]))
    images[at] = np.maximum(images[at], squares)


def _square(corner: NDArray, side: int) -> tuple[NDArray, NDArray]:
    """Rows (B, P, 1) and columns (B, 1, P) of squares whose first pixel is at `corner` (B, 2)."""
    along = np.arange(side)
    return corner[:, :1, None] + along[:, None], corner[:, 1:, None] + along


@functools.cache
def _load() -> tuple[NDArray[np.float32], NDArray[np.int64], dict[str, NDArray[np.int64]]]:
    """Digits (1797, 8, 8) in [0, 1], labels and splits; nobody writes to them."""
    data = require("sklearn.datasets").load_digits()
    digits, labels = (data.images / 16).astype(np.float32), data.target.astype(np.int64)
    # where each digit stands in a shuffled queue of its class, as a share of that
    order = np.random.default_rng(1797).permutation(len(labels))
    share = np.empty(len(labels))
    for label in range(10):
        queue = order[labels[order] == label]
        share[queue] = (np.arange(len(queue)) + 0.5) / len(queue)
    ends = np.cumsum(list(SPLITS.values()))
    part = np.searchsorted(ends[:-1], share)
    splits = {name: np.flatnonzero(part == i) for i, name in enumerate(SPLITS)}
    for array in (digits, labels, *splits.values()):
        array.flags.writeable = False
    return digits, labels, splits
