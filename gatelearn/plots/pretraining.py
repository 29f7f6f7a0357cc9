"""Figures of what pre-trained models see in frames: keypoints, and masks of objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn.plots.figure import MARKERS, new_figure
from gatelearn.plots.figure import style as style_of


def keypoints_over_frames(frames: ArrayLike, points: ArrayLike, *, columns: int = 4) -> Any:
    """Draw keypoints over frames; each has one colour and marker throughout.

    Parameters
    ----------
    frames : array_like, shape (N, H, W)
        Of any range.
    points : array_like, shape (N, K, 2)
        x and y, from -1 to 1 between the outer edges, as `KeypointsNetwork.see` has them.
    columns : int, default 4
        Frames side by side.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes do not match or there is no frame.

    Examples
    --------
    >>> figure = keypoints_over_frames(np.zeros((3, 8, 8)), np.zeros((3, 2, 2)))
    >>> len(figure.axes), [text.get_text() for text in figure.legends[0].get_texts()]
    (3, ['0', '1'])
    """
    frames, points = _checked(frames), np.asarray(points, np.float64)
    if points.ndim != 3 or points.shape[::2] != (len(frames), 2):
        raise ValueError(f"points has shape {points.shape}, expected ({len(frames)}, K, 2)")
    columns = min(columns, len(frames))
    rows = -(-len(frames) // columns)
    figure, grid = new_figure(2.2 * columns, 2.2 * rows + 0.5, rows, columns)
    height, width = frames.shape[1:]
    for axes, frame, places in zip(grid, frames, points, strict=False):
        _show(axes, frame)
        for k, (x, y) in enumerate(places):
            # beyond as many as there are colours, other markers tell them apart
            colour, marker, _ = style_of(k)
            marker = MARKERS[(k + k // len(MARKERS)) % len(MARKERS)]
            axes.plot((x * width + width - 1) / 2, (y * height + height - 1) / 2, marker,
                      color=colour, markeredgecolor="white", markeredgewidth=0.8, markersize=6,
                      label=str(k))
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    for axes in grid[len(frames):]:
        axes.remove()
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", fontsize=8,
                  ncols=min(8, points.shape[1]), title="keypoint", title_fontsize=8)
    return figure


def masks_over_frames(frames: ArrayLike, masks: ArrayLike, moves: ArrayLike | None = None) -> Any:
    """Draw the masks of objects over frames: a column a frame, below it a row a mask.

    Parameters
    ----------
    frames : array_like, shape (N, H, W)
        Of any range.
    masks : array_like, shape (N, K, H, W)
        In [0, 1]; drawn in red where they are high.
    moves : array_like, shape (N, K or K + 1, 2), optional
        Where each mask's pixels came from, to the right and down, as `SegmentationNetwork.find`
        has it: written over each mask, the other way round, as the way that the object goes.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes do not match or there is no frame.

    Examples
    --------
    >>> figure = masks_over_frames(np.zeros((3, 8, 8)), np.zeros((3, 2, 8, 8)))
    >>> [axes.get_ylabel() for axes in figure.axes[::3]]
    ['frame', 'mask 0', 'mask 1']
    """
    frames, masks = _checked(frames), np.asarray(masks, np.float64)
    N, K = len(frames), masks.shape[1] if masks.ndim == 4 else 0
    if masks.shape != (N, K, *frames.shape[1:]) or K == 0:
        raise ValueError(f"masks has shape {masks.shape}, expected ({N}, K, "
                         f"{', '.join(map(str, frames.shape[1:]))})")
    if moves is not None:
        moves = np.asarray(moves, np.float64)
        if moves.shape not in ((N, K, 2), (N, K + 1, 2)):
            raise ValueError(f"moves has shape {moves.shape}, expected ({N}, {K} or {K + 1}, 2)")
    figure, grid = new_figure(1.7 * N + 0.5, 1.75 * (K + 1), K + 1, N)
    for n, frame in enumerate(frames):
        _show(grid[n], frame)
        for k, mask in enumerate(masks[n]):
            axes = grid[(k + 1) * N + n]
            _show(axes, frame)
            # red, the more opaque the higher
            shade = np.zeros((*mask.shape, 4))
            shade[..., 0], shade[..., 3] = 1, np.clip(mask, 0, 1)
            axes.imshow(shade, interpolation="nearest")
            if moves is not None:
                x, y = -moves[n, k]
                axes.set_title(f"{x:+.1f}, {y:+.1f}", fontsize=7, pad=2)
    for i, label in enumerate(["frame", *(f"mask {k}" for k in range(K))]):
        grid[i * N].set_ylabel(label, fontsize=9)
    return figure


def _checked(frames: ArrayLike) -> NDArray[np.float64]:
    frames = np.asarray(frames, np.float64)
    if frames.ndim != 3 or not len(frames):
        raise ValueError(f"frames has shape {frames.shape}, expected (N, H, W), N of at least 1")
    return frames


def _show(axes: Any, frame: NDArray) -> None:
    axes.imshow(frame, cmap="gray", interpolation="nearest")
    axes.set(xticks=[], yticks=[])
