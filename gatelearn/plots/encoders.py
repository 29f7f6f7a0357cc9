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
        A column a frame; below frame and reconstruction the change, which is both less the
        background: red is brighter and blue darker.

    Raises
    ------
    ValueError
        If shapes do not match or there is no frame.

    Examples
    --------
    >>> frames = np.random.default_rng(0).random((3, 8, 8))
    >>> figure = reconstructions(frames, 0.9 * frames, frames.mean(0))
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['frame', 'reconstruction']
    """
    frames, reconstructed, background = (
        np.asarray(x, np.float64) for x in (frames, reconstructed, background))
    if frames.ndim != 3 or not len(frames) or reconstructed.shape != frames.shape:
        raise ValueError(f"frames has shape {frames.shape} and reconstructed "
                         f"{reconstructed.shape}, expected (N, H, W) for both, N of at least 1")
    if background.shape != frames.shape[1:]:
        raise ValueError(f"background has shape {background.shape}, expected {frames.shape[1:]}")
    panels = [("gray", 0, ["frame", "reconstruction"], [frames, reconstructed]),
              ("RdBu_r", -1, ["change", "its reconstruction"],
               [frames - background, reconstructed - background])]
    _, height, width = frames.shape
    gap = max(1, width // 20)
    figure, grid = new_figure(1.7 * len(frames) + 0.9, 7.2, 2)
    for axes, (colours, low, labels, rows) in zip(grid, panels, strict=True):
        # one picture of all tiles: as many axes would take a minute; NaN is not drawn
        padded = np.full((2, len(frames), height + gap, width + gap), np.nan)
        padded[:, :, :height, :width] = rows
        axes.imshow(np.concatenate([np.concatenate(list(row), 1) for row in padded])[:-gap, :-gap],
                    cmap=colours, vmin=low, vmax=1, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([height / 2, 1.5 * height + gap], labels, rotation=90, va="center")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure
