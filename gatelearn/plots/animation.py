"""Frames as an animated GIF."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gatelearn.errors import require
from gatelearn.runs import atomic_write


def save_frames(path: str | Path, frames: NDArray[np.uint8], *, zoom: int = 1,
                milliseconds: int = 67) -> Path:
    """Write frames as an animated GIF that repeats.

    Parameters
    ----------
    path : path
        Its folder is made if needed.
    frames : ndarray of uint8, shape (F, H, W) or (F, H, W, 3)
        Gray, or red, green and blue.
    zoom : int, default 1
        Pixels of the animation for one of a frame, each way.
    milliseconds : int, default 67
        How long a frame is shown. Viewers count in hundredths of a second; 67 is about as fast as
        an Atari game when each action lasts four frames.

    Returns
    -------
    Path

    Raises
    ------
    TypeError
        If frames are not uint8.
    ValueError
        If shape, zoom or time do not fit.
    OSError
        If it cannot be written; a file that stood there is untouched.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_frames(f"{folder}/film.gif", np.zeros((3, 8, 8), np.uint8), zoom=2).name
    'film.gif'
    """
    frames = np.asarray(frames)
    if frames.dtype != np.uint8:
        raise TypeError(f"frames are {frames.dtype}, expected uint8")
    if frames.ndim not in (3, 4) or not frames.size or frames.shape[3:] not in ((), (3,)):
        raise ValueError(f"frames has shape {frames.shape}, expected (F, H, W) or (F, H, W, 3)")
    for name, value in (("zoom", zoom), ("milliseconds", milliseconds)):
        if value < 1:
            raise ValueError(f"{name} is {value}, expected at least 1")
    pillow = require("PIL.Image")
    pictures = [pillow.fromarray(frame.repeat(zoom, 0).repeat(zoom, 1)) for frame in frames]
    data = io.BytesIO()
    pictures[0].save(data, format="GIF", save_all=True, append_images=pictures[1:], loop=0,
                     duration=milliseconds)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, data.getvalue())
    return path
