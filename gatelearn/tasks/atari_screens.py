"""What an agent sees of an Atari screen: two frames in one, perhaps other colours, 84 x 84 gray.

Bit for bit what ``ale_py.vector_env.AtariVectorEnv`` makes of the same screens, so that an agent
trained there meets in a variant what the variant changes, and nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 210, 160
SIDE = 84
GRAY = np.array([0.2989, 0.587, 0.114])  # of red, green and blue, as the emulator mixes them

# Changes of colour that leave all objects visible in gray. Which of two is the brighter one turns
# about everywhere (inverted) or for some pairs: rotated shows the green, blue and red as red, green
# and blue, shuffled puts eight bands of brightness in another order. Dark and pale halve contrast.
RECOLOURINGS = ("inverted", "rotated", "dark", "pale", "shuffled")
BANDS = np.array([5, 2, 7, 0, 3, 6, 1, 4])



def shrink(screens: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return screens at 84 x 84 pixels, each the mean of the area it covers.

    Parameters
    ----------
    screens : ndarray of uint8, shape (N, 210, 160)
        Gray.

    Returns
    -------
    ndarray of uint8, shape (N, 84, 84)
        In float32, first along rows, then along columns, then to the nearest even: the order of
        OpenCV's ``INTER_AREA``, which the vector environment uses.

    Examples
    --------
    >>> screens = np.zeros((1, 210, 160), np.uint8)
    >>> screens[:, :5] = 100
    >>> shrink(screens)[0, :4, 0]
    array([100, 100,   0,   0], dtype=uint8)
    """
    N = len(screens)
    # columns first, so that what is gathered lies in one piece
    across = screens.transpose(2, 0, 1).astype(np.float32)
    rows = np.zeros((SIDE, N, HEIGHT), np.float32)
    for column, share in zip(_COLUMNS, _SHARES, strict=True):
        rows += across[column] * share
    # two pixels of the small screen are five rows of the large one, the middle row shared
    rows = rows.reshape(SIDE, N, SIDE // 2, 5)
    whole, half = np.float32(1 / 2.5), np.float32(0.5 / 2.5)
    small = np.empty((SIDE, N, SIDE // 2, 2), np.float32)
    small[..., 0] = rows[..., 0] * whole + rows[..., 1] * whole + rows[..., 2] * half
    small[..., 1] = rows[..., 2] * half + rows[..., 3] * whole + rows[..., 4] * whole
    pixels = np.rint(small, out=small).astype(np.uint8)
    return np.ascontiguousarray(pixels.reshape(SIDE, N, SIDE).transpose(1, 2, 0))


def _shares() -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the three columns (3, 84) that a pixel covers, and each one's share (3, 84, 1, 1)."""
    # in units of 1/21 of a column a pixel is 40 wide and a column 21: integers, nothing to round
    left = 40 * np.arange(SIDE)
    columns = left // 21 + np.arange(3)[:, None]
    covered = np.minimum(left + 40, 21 * columns + 21) - np.maximum(left, 21 * columns)
    shares = np.clip(covered, 0, None) / 40
    return np.minimum(columns, WIDTH - 1), shares.astype(np.float32)[..., None, None]


_COLUMNS, _SHARES = _shares()


class PlainScreen:
    """The screen in the game's own colours: of two frames the brighter pixels."""

    def read(self, ale: Any, frame: NDArray[np.uint8]) -> None:
        """Write the emulator's screen (210, 160) to a frame."""
        ale.getScreenGrayscale(frame)

    def pool(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> None:
        """Put two frames in one, the first: a sprite that flickers is in one of them only."""
        np.maximum(first, second, out=first)

    def gray(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return what the agent sees of frames, at full size."""
        return frames


class RecolouredScreen:
    """The screen in other colours.

    Frames are numbers of the emulator's palette, and two of them are put in one *before* the
    colours change, by the brightness that the game gives them: the agent sees the same objects,
    whatever their new colours are.

    Parameters
    ----------
    name : str
        One of `RECOLOURINGS`.
    """

    def __init__(self, name: str):
        self._name = name
        # found out colour by colour, as they come: the emulator does not tell its palette
        self._known = np.zeros(256, bool)
        self._before = np.zeros(256, np.uint8)
        self._after = np.zeros(256, np.uint8)
        self._known[0] = True
        self._after[0] = recoloured(np.zeros((1, 3), np.uint8), name)[0]

    def read(self, ale: Any, frame: NDArray[np.uint8]) -> None:
        """Write the emulator's screen (210, 160) to a frame, as numbers of its palette."""
        ale.getScreen(frame)
        if not self._known[frame].all():
            numbers, first = np.unique(frame, return_index=True)
            self._before[numbers] = ale.getScreenGrayscale().reshape(-1)[first]
            rgb = ale.getScreenRGB().reshape(-1, 3)[first]
            self._after[numbers] = recoloured(rgb, self._name)
            self._known[numbers] = True

    def pool(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> None:
        """Put two frames in one, the first of them, by the brightness of the game's own colours."""
        np.copyto(first, second, where=self._before[second] > self._before[first])

    def gray(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return what the agent sees of frames, at full size."""
        return self._after[frames]


def recoloured(rgb: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Return the gray of colours after a change.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (K, 3)
    name : str
        One of `RECOLOURINGS`.

    Returns
    -------
    ndarray of uint8, shape (K,)

    Examples
    --------
    >>> recoloured(np.array([[255, 0, 0], [0, 0, 0]], np.uint8), "inverted")
    array([179, 255], dtype=uint8)
    """
    colours = rgb.astype(float)
    if name == "inverted":
        colours = 255 - colours
    elif name == "rotated":
        colours = colours[:, [1, 2, 0]]
    elif name == "dark":
        colours = colours / 2
    elif name == "pale":
        colours = 255 - (255 - colours) / 2
    gray = np.rint(colours @ GRAY).astype(np.uint8)
    if name == "shuffled":
        gray = (32 * BANDS[gray // 32] + gray % 32).astype(np.uint8)
    return gray
