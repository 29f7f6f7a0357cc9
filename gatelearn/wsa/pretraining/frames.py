"""Frames of episodes, and batches of them that lie within one episode."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn._convert import as_index


class Frames:
    """Gray images in the order in which they were seen.

    Parameters
    ----------
    images : ndarray of uint8, shape (F, H, W)
        Not copied.
    episode : array_like of int, shape (F,)
        Which episode each frame belongs to. The frames of one stand together.

    Attributes
    ----------
    images, episode : ndarray

    Raises
    ------
    TypeError
        If `images` are not of dtype uint8.
    ValueError
        If there is no frame, shapes do not match, or an episode stands in two places.

    Examples
    --------
    >>> images = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((2, 2), np.uint8)
    >>> frames = Frames(images, [0, 0, 0, 1, 1, 1])
    >>> stacks = frames.stacks(np.random.default_rng(0), 5, depth=3)
    >>> stacks.shape, sorted(set(stacks[:, 0, 0, 0].tolist()))
    ((5, 3, 2, 2), [0, 3])
    >>> before, after = frames.pairs(np.random.default_rng(0), 4, apart=2, depth=1)
    >>> (after[:, 0, 0, 0] - before[:, 0, 0, 0]).tolist()
    [2, 2, 2, 2]
    """

    def __init__(self, images: NDArray, episode: ArrayLike):
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
            has = images.dtype if isinstance(images, np.ndarray) else type(images).__name__
            raise TypeError(f"images has dtype {has}, expected uint8")
        episode = as_index(episode, "episode")
        if images.ndim != 3 or images.size == 0:
            raise ValueError(f"images has shape {images.shape}, expected (F, H, W)")
        if episode.shape != images.shape[:1]:
            raise ValueError(f"episode has shape {episode.shape}, expected ({len(images)},)")
        first = np.flatnonzero(np.diff(episode, prepend=episode[0] - 1))
        numbers, count = np.unique(episode[first], return_counts=True)
        if count.max() > 1:
            raise ValueError(f"episode {numbers[count.argmax()]} stands in {count.max()} places, "
                             "expected the frames of one episode together")
        self.images, self.episode = images, episode
        self._first = first
        self._starts: dict[int, NDArray] = {}

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width (H, W) of a frame."""
        return self.images.shape[1:]

    def mean(self) -> NDArray[np.float32]:
        """Return the mean frame (H, W), in [0, 1]."""
        total = np.zeros(self.size, np.int64)
        for at in range(0, len(self), 1024):
            total += self.images[at:at + 1024].sum(0, dtype=np.int64)
        return (total / (255 * len(self))).astype(np.float32)

    def single(self, rng: np.random.Generator, n: int) -> NDArray[np.uint8]:
        """Draw frames.

        Parameters
        ----------
        rng : numpy.random.Generator
        n : int

        Returns
        -------
        ndarray of uint8, shape (n, 1, H, W)
        """
        return self.stacks(rng, n, depth=1)

    def stacks(self, rng: np.random.Generator, n: int, depth: int = 4) -> NDArray[np.uint8]:
        """Draw frames with those before them.

        Parameters
        ----------
        rng : numpy.random.Generator
        n : int
        depth : int, default 4
            How many consecutive frames of one episode make a stack; the newest is the last.

        Returns
        -------
        ndarray of uint8, shape (n, depth, H, W)

        Raises
        ------
        ValueError
            If no episode is that long.
        """
        return self._stack(rng.choice(self._spans(depth), n), depth)

    def spread(self, n: int, depth: int = 4) -> NDArray[np.uint8]:
        """Return at most `n` stacks at equal distances: the same ones each time.

        Parameters
        ----------
        n : int
        depth : int, default 4

        Returns
        -------
        ndarray of uint8, shape (n or fewer, depth, H, W)

        Raises
        ------
        ValueError
            If no episode is that long.
        """
        starts = self._spans(depth)
        at = np.linspace(0, len(starts) - 1, min(n, len(starts))).round().astype(np.int64)
        return self._stack(starts[at], depth)

    def pairs(self, rng: np.random.Generator, n: int, *, apart: int | tuple[int, int] = 1,
              depth: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Draw two moments of one episode.

        Parameters
        ----------
        rng : numpy.random.Generator
        n : int
        apart : int or pair of int, default 1
            Frames from the first to the second; of a pair, each number from the lower to the higher
            is equally likely.
        depth : int, default 1
            Of the stack at each moment.

        Returns
        -------
        before, after : ndarray of uint8, shape (n, depth, H, W)

        Raises
        ------
        ValueError
            If `apart` is below 1, or no episode is long enough for the furthest.
        """
        low, high = (apart, apart) if isinstance(apart, int) else apart
        if not 1 <= low <= high:
            raise ValueError(f"apart is {apart}, expected at least 1 and the lower number first")
        start = rng.choice(self._spans(high + depth), n)
        later = start + rng.integers(low, high, n, endpoint=True)
        return self._stack(start, depth), self._stack(later, depth)

    def split(self, held_out: float = 0.1) -> tuple[Frames, Frames]:
        """Return most frames, and the last ones, cut between two episodes.

        Where there is but one episode, it is cut.

        Parameters
        ----------
        held_out : float, default 0.1
            About what share of the frames is held out.

        Returns
        -------
        train, test : Frames
            Views of the images.

        Raises
        ------
        ValueError
            If `held_out` is not in (0, 1), or there is a single frame.
        """
        if not 0 < held_out < 1:
            raise ValueError(f"held_out is {held_out}, expected a number between 0 and 1")
        if len(self) < 2:
            raise ValueError("there is 1 frame, expected at least 2 to split")
        wanted = (1 - held_out) * len(self)
        cut = min(max(round(wanted), 1), len(self) - 1)
        if len(self._first) > 1:
            later = self._first[1:]
            cut = int(later[np.abs(later - wanted).argmin()])
        return (Frames(self.images[:cut], self.episode[:cut]),
                Frames(self.images[cut:], self.episode[cut:]))

    def _spans(self, length: int) -> NDArray[np.int64]:
        """Return where `length` frames of one episode begin."""
        if length < 1:
            raise ValueError(f"depth is {length}, expected at least 1")
        if length not in self._starts:
            last = self.episode[length - 1:]
            self._starts[length] = np.flatnonzero(last == self.episode[:len(last)])
        if not len(self._starts[length]):
            longest = np.diff(self._first, append=len(self)).max()
            raise ValueError(f"the longest episode has {longest} frames, expected at least {length}"
                             " consecutive ones")
        return self._starts[length]

    def _stack(self, start: NDArray[np.int64], depth: int) -> NDArray[np.uint8]:
        return self.images[start[:, None] + np.arange(depth)]
