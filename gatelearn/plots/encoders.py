"""Figures of pre-trained encoders: how they learned, and what an autoencoder keeps of a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gatelearn.plots.figure import new_figure, running_mean, style


def pretraining_curves(rows: Iterable[Mapping[str, Any]], *, value: str = "loss") -> Any:
    """Draw the loss of each model, a panel a model, on a logarithmic axis.

    Parameters
    ----------
    rows : iterable of dict
        Metrics of a run, as `RunFolder.metrics` returns them; a stage is a model.
    value : str, default "loss"
        Which metric.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If no row has the metric, or one is not above 0.

    Examples
    --------
    >>> rows = [{"stage": "state", "step": i + 1, "loss": 1 / (i + 1)} for i in range(30)]
    >>> figure = pretraining_curves(rows)
    >>> figure.axes[0].get_title(), figure.axes[0].get_yscale()
    ('state', 'log')
    """
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if value in row:
            if not row[value] > 0:
                raise ValueError(f"{value} is {row[value]} at step {row['step']} of "
                                 f"{row['stage']}, expected above 0")
            curves.setdefault(row["stage"], []).append((row["step"], row[value]))
    if not curves:
        raise ValueError(f"rows hold no {value} to draw")
    wide = min(len(curves), 2)
    tall = -(-len(curves) // wide)
    figure, grid = new_figure(4.6 * wide, 3.0 * tall, tall, wide)
    for axes, (name, curve) in zip(grid, curves.items(), strict=False):
        steps, values = np.array(curve).T
        window = len(steps) // 30 | 1
        axes.plot(steps, values, color="0.8", linewidth=0.8)
        axes.plot(steps, running_mean(values, window), color=style(0)[0],
                  label=f"running mean of {window}" if window > 1 else value)
        axes.set(title=name, xlabel="updates", ylabel=value, yscale="log")
        axes.grid(alpha=0.25, which="both")
        axes.legend(fontsize=8)
    for axes in grid[len(curves):]:
        axes.remove()
    return figure


def reconstructions(frames: ArrayLike, reconstructed: ArrayLike, background: ArrayLike) -> Any:
    """Draw frames, what was reconstructed of them, and what both hold beside the background.

    Parameters
    ----------
    frames, reconstructed : array_like, shape (N, H, W)
        In [0, 1].
    background : array_like, shape (H, W)
        What does not move, such as the mean frame.

    Returns
    -------
    matplotlib.figure.Figure
        A column a frame; below frame and reconstruction, both less the background: red is brighter
        and blue darker.

    Raises
    ------
    ValueError
        If shapes do not match or there is no frame.

    Examples
    --------
    >>> frames = np.random.default_rng(0).random((3, 8, 8))
    >>> figure = reconstructions(frames, 0.9 * frames, frames.mean(0))
    >>> [axes.get_ylabel() for axes in figure.axes[::3]]
    ['frame', 'reconstruction', 'frame\\nless background', 'reconstruction\\nless background']
    """
    frames, reconstructed, background = (
        np.asarray(x, np.float64) for x in (frames, reconstructed, background))
    if frames.ndim != 3 or not len(frames) or reconstructed.shape != frames.shape:
        raise ValueError(f"frames has shape {frames.shape} and reconstructed "
                         f"{reconstructed.shape}, expected (N, H, W) for both, N of at least 1")
    if background.shape != frames.shape[1:]:
        raise ValueError(f"background has shape {background.shape}, expected {frames.shape[1:]}")
    rows = [("frame", frames, "gray", (0, 1)), ("reconstruction", reconstructed, "gray", (0, 1)),
            ("frame\nless background", frames - background, "RdBu_r", (-1, 1)),
            ("reconstruction\nless background", reconstructed - background, "RdBu_r", (-1, 1))]
    count = len(frames)
    figure, grid = new_figure(1.7 * count + 0.5, 7.2, 4, count)
    for i, (label, images, colours, (low, high)) in enumerate(rows):
        for axes, image in zip(grid[i * count:(i + 1) * count], images, strict=True):
            axes.imshow(image, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
        grid[i * count].set_ylabel(label, fontsize=9)
    return figure
