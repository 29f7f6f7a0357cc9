"""Figures of glimpses: where a model looked, and what looking again brings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn.errors import require
from gatelearn.plots.animation import save_frames
from gatelearn.plots.figure import COLOURS, new_figure, style
from gatelearn.runs import Table

RIGHT, WRONG = COLOURS[2], COLOURS[1]
DIM = 0.25  # what is left of the brightness of pixels that nobody looked at


def glimpse_paths(
    images: ArrayLike,
    locations: ArrayLike,
    size: int,
    scales: int = 1,
    *,
    labels: Sequence[int] | None = None,
    predictions: Sequence[int] | None = None,
    title: str = "Where the model looked",
    columns: int = 4,
) -> Any:
    """Draw images with the path of glimpses over each.

    Parameters
    ----------
    images : array_like, shape (N, H, W) or (N, 1, H, W)
        In [0, 1].
    locations : array_like, shape (N, T, 2)
        Of each image's glimpses in order, as `gatelearn.functional.glimpse` has them.
    size, scales : int
        Of a glimpse: its finest patch is drawn as a solid square, of the coarser ones those of the
        last glimpse, dotted.
    labels, predictions : sequence of int, optional
        Right classes, and those the model found; with both, each image is marked right or wrong.
    title : str, optional
    columns : int, default 4
        Images side by side.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> figure = glimpse_paths(np.zeros((2, 9, 9)), np.zeros((2, 3, 2)), 3, labels=[4, 1],
    ...                        predictions=[4, 7])
    >>> [axes.get_title() for axes in figure.axes]
    ['4, right', '1, taken for 7']
    """
    images, places = _checked(images, locations)
    for name, values in (("labels", labels), ("predictions", predictions)):
        if values is not None and len(values) != len(images):
            raise ValueError(f"{name} has {len(values)} entries, expected {len(images)}")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure, grid = new_figure(max(2.1 * columns, 3.2), 2.35 * rows + 0.4, rows, columns)
    for i, (axes, image, path) in enumerate(zip(grid, images, places, strict=False)):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="none")
        for scale in range(1, scales):
            _square(axes, path[-1], size * 2**scale, linestyle=":", linewidth=1)
        for place in path:
            _square(axes, place, size, linewidth=1.3)
        axes.plot(*path.T, color=COLOURS[5], linewidth=1, alpha=0.9)
        # glimpses on one spot share one label
        for spot, numbers in _spots(path, size / 2).items():
            axes.text(*spot, ",".join(map(str, numbers)), ha="center", va="center", fontsize=7,
                      color="black", bbox={"facecolor": COLOURS[5], "edgecolor": "none",
                                           "boxstyle": "round,pad=0.15", "alpha": 0.9})
        axes.set_xlim(-0.5, image.shape[1] - 0.5)
        axes.set_ylim(image.shape[0] - 0.5, -0.5)
        axes.set_xticks([])
        axes.set_yticks([])
        if labels is not None and predictions is not None:
            right = labels[i] == predictions[i]
            verdict = "right" if right else f"taken for {predictions[i]}"
            axes.set_title(f"{labels[i]}, {verdict}", fontsize=9)
            for spine in axes.spines.values():
                spine.set(color=RIGHT if right else WRONG, linewidth=2.5,
                          linestyle="-" if right else (0, (3, 2)))
        elif labels is not None:
            axes.set_title(str(labels[i]), fontsize=9)
    for axes in grid[len(images):]:
        axes.remove()
    figure.suptitle(title, fontsize=11)
    return figure


def error_by_glimpses(table: Table | Iterable[Mapping[str, Any]]) -> Any:
    """Draw the error after each number of glimpses, a line a method and a panel a task.

    Parameters
    ----------
    table : Table
        Columns 'method', 'task', 'glimpses' (a number, or None for a method that sees the whole
        image: a horizontal line), 'error', 'error_lo' and 'error_hi', in per cent.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Examples
    --------
    >>> rows = [{"method": "learned", "task": "cluttered-60", "glimpses": n, "error": 60 / n,
    ...          "error_lo": 50 / n, "error_hi": 70 / n} for n in (1, 2, 3)]
    >>> error_by_glimpses(rows).axes[0].get_title()
    'cluttered-60'
    """
    rows = list(table)
    if not rows:
        raise ValueError("table has no rows, expected some to draw")
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    wide = min(len(tasks), 2)
    tall = -(-len(tasks) // wide)
    figure, grid = new_figure(5.2 * wide, 3.6 * tall, tall, wide)
    most = max((row["glimpses"] or 1) for row in rows)
    for axes, task in zip(grid, tasks, strict=False):
        for i, method in enumerate(methods):
            mine = [row for row in rows if row["task"] == task and row["method"] == method]
            if not mine:
                continue
            colour, marker, line = style(i)
            low, high, error = (np.array([row[key] for row in mine], float)
                                for key in ("error_lo", "error_hi", "error"))
            if mine[0]["glimpses"] is None:
                axes.axhline(error[0], color=colour, linestyle=line, label=f"{method}, whole image")
                axes.axhspan(low[0], high[0], color=colour, alpha=0.12, linewidth=0)
            else:
                # side by side, so that intervals do not hide each other
                at = np.array([row["glimpses"] for row in mine]) + 0.06 * (i - len(methods) / 2)
                axes.errorbar(at, error, yerr=[error - low, high - error], color=colour,
                              marker=marker, linestyle=line, capsize=2, markersize=5, label=method)
        axes.set_xticks(range(1, most + 1))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("glimpses")
        axes.set_ylabel("error (%), 95% interval")
        axes.set_title(task)
        axes.grid(alpha=0.25)
    for axes in grid[len(tasks):]:
        axes.remove()
    drawn = [axes.get_legend_handles_labels() for axes in grid[:len(tasks)]]
    by_name = {name: handle for handles, names in drawn
               for handle, name in zip(handles, names, strict=True)}
    figure.legend(by_name.values(), by_name, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def save_gif(
    path: str | Path,
    image: ArrayLike,
    locations: ArrayLike,
    size: int,
    scales: int = 1,
    *,
    zoom: int = 6,
    milliseconds: int = 700,
) -> Path:
    """Write a path of glimpses as an animated GIF; what was not yet looked at is dim.

    Parameters
    ----------
    path : path
        Its folder is made if needed.
    image : array_like, shape (H, W) or (1, H, W)
        In [0, 1].
    locations : array_like, shape (T, 2)
    size, scales : int
        Of a glimpse. What only coarser patches have seen is half, a quarter ... as bright.
    zoom : int, default 6
        Pixels of the animation for one of the image, each way.
    milliseconds : int, default 700
        How long a glimpse is shown; the first frame is before the first glimpse.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If the shapes do not fit.
    OSError
        If it cannot be written; a file that stood there is untouched.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_gif(f"{folder}/path.gif", np.ones((20, 20)), [[0, 0], [0.5, 0.5]], 6).name
    'path.gif'
    """
    images, places = _checked(np.asarray(image)[None], np.asarray(locations)[None])
    frames = gif_frames(images[0], places[0], size, scales, zoom)
    return save_frames(path, frames, milliseconds=milliseconds)


def gif_frames(image: NDArray, path: NDArray, size: int, scales: int,
               zoom: int) -> NDArray[np.uint8]:
    """Return frames (T + 1, H * zoom, W * zoom, 3): before the first glimpse and after each."""
    H, W = image.shape
    y, x = ((np.arange(n * zoom) + 0.5) / zoom - 0.5 for n in (H, W))
    large = np.kron(np.clip(image, 0, 1), np.ones((zoom, zoom)))
    bright = np.full(large.shape, DIM)
    colour = np.array([int(COLOURS[5][i:i + 2], 16) for i in (1, 3, 5)])
    frames = []
    for place in [None, *path]:
        edge = np.zeros(large.shape, bool)
        for scale in range(scales) if place is not None else ():
            half = size * 2**scale / 2
            away = np.maximum(abs(x - place[0]), abs(y - place[1])[:, None])
            bright = np.maximum(bright, np.where(away < half, DIM + (1 - DIM) * 0.5**scale, 0))
            # of the finest patch a thick edge, of the others a thin one
            edge |= (away < half) & (away >= half - (2 if scale == 0 else 1) / zoom)
        # a floor, so that the dark ground shows what was seen, too
        shown = 255 * bright * (0.15 + 0.85 * large)
        frames.append(np.where(edge[..., None], colour, shown[..., None]).astype(np.uint8))
    return np.array(frames)


def _checked(images: ArrayLike, locations: ArrayLike) -> tuple[NDArray, NDArray]:
    """Return images (N, H, W) and places (N, T, 2) counted in pixels."""
    images, places = np.asarray(images, float), np.asarray(locations, float)
    if images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    if images.ndim != 3 or not images.size:
        raise ValueError(f"images has shape {images.shape}, expected (N, H, W) or (N, 1, H, W)")
    if places.ndim != 3 or len(places) != len(images) or places.shape[2] != 2 or not places.size:
        raise ValueError(f"locations has shape {places.shape}, expected ({len(images)}, T, 2)")
    return images, (places + 1) / 2 * images.shape[:0:-1] - 0.5


def _square(axes: Any, place: NDArray, side: float, **look: Any) -> None:
    patch = require("matplotlib.patches").Rectangle(place - side / 2, side, side, fill=False,
                                                    edgecolor=COLOURS[4], **look)
    axes.add_patch(patch)


def _spots(path: NDArray, near: float) -> dict[tuple[float, float], list[int]]:
    """Numbers of the glimpses, from 1, by the spot where the first of them looked."""
    spots: dict[tuple[float, float], list[int]] = {}
    for number, place in enumerate(path, 1):
        spot = next((s for s in spots if np.hypot(*(place - s)) < near), tuple(place))
        spots.setdefault(spot, []).append(number)
    return spots
