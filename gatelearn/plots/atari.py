"""Figures of what an agent sees of a game and of its variants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn.plots.figure import new_figure


def frame_strip(frames: Mapping[str, NDArray], *, columns: int = 6,
                title: str | None = None) -> Any:
    """Draw frames in rows, one row a variant.

    Parameters
    ----------
    frames : mapping of str to ndarray of uint8, shape (F, H, W)
        By the name of the variant. Of more frames than columns some are drawn, evenly spaced.
    columns : int, default 6
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is nothing to draw or a shape does not fit.

    Examples
    --------
    >>> film = np.zeros((9, 8, 8), np.uint8)
    >>> figure = frame_strip({"original": film, "inverted": 255 - film}, columns=3)
    >>> [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    ['original', 'inverted']
    """
    if not frames:
        raise ValueError("frames has no variant, expected some to draw")
    if columns < 1:
        raise ValueError(f"columns is {columns}, expected at least 1")
    for name, film in frames.items():
        if np.ndim(film) != 3 or not np.size(film):
            raise ValueError(f"frames of {name} have shape {np.shape(film)}, expected (F, H, W)")
    columns = min(columns, max(map(len, frames.values())))
    figure, grid = new_figure(1.25 * columns + 1, 1.3 * len(frames) + (0.4 if title else 0),
                              len(frames), columns)
    for row, (name, film) in enumerate(frames.items()):
        cells = grid[row * columns:(row + 1) * columns]
        shown = np.linspace(0, len(film) - 1, min(columns, len(film))).round().astype(int)
        for axes, i in zip(cells, shown, strict=False):
            # as they are: the usual stretch to full contrast would hide what is dark or pale
            axes.imshow(film[i], cmap="gray", vmin=0, vmax=255, interpolation="none")
            axes.set_xticks([])
            axes.set_yticks([])
        for axes in cells[len(shown):]:
            axes.remove()
        cells[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure
