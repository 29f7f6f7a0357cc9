"""Figures of captions: where a captioner looked before each word, and how methods compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gatelearn.plots.figure import new_figure, style
from gatelearn.runs import Table


def attention_maps(images: Sequence[ArrayLike], words: Sequence[Sequence[str]],
                   weights: Sequence[ArrayLike], *, titles: Sequence[str] | None = None,
                   dim: float = 0.15) -> Any:
    """Draw where attention looked before each word.

    A row shows an image, then for each word of its caption the image in which every region is as
    bright as its weight, relative to the largest one of the word.

    Parameters
    ----------
    images : sequence of array_like, shape (3, H, W)
        In [0, 1], one a row, all of one size.
    words : sequence of sequence of str
        The caption of each.
    weights : sequence of array_like, shape (T, h, w)
        Of the regions before each of its T words; a choice is a single one.
    titles : sequence of str, optional
        Stand beside the images.
    dim : float, default 0.15
        Brightness of a region without weight.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no image, the numbers of images, captions, weights or titles differ, a word has
        no weights, or weights are negative or not finite.

    References
    ----------
    K. Xu et al., "Show, Attend and Tell: Neural Image Caption Generation with Visual Attention",
    ICML 2015, has such figures.

    Examples
    --------
    >>> image = np.ones((3, 8, 8))
    >>> figure = attention_maps([image], [["red", "apple"]], [np.eye(4).reshape(4, 2, 2)[:2]])
    >>> [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    ['red', 'apple']
    """
    titles = [""] * len(images) if titles is None else titles
    if not len(images) == len(words) == len(weights) == len(titles) or not len(images):
        raise ValueError(f"there are {len(images)} images, {len(words)} captions, {len(weights)} "
                         f"arrays of weights and {len(titles)} titles, expected as many of each, "
                         "and one at least")
    maps = [_checked(i, w, len(row)) for i, (w, row) in enumerate(zip(weights, words, strict=True))]

    # one picture of all tiles: as many axes would take a minute
    pictures = [np.asarray(image, np.float64).transpose(1, 2, 0) for image in images]
    height, width, _ = pictures[0].shape
    tall, wide = 1.25 * height, 1.08 * width
    columns = 1 + max(map(len, words))
    figure, (axes,) = new_figure(1.0 * columns + 0.4, 1.18 * len(images))
    for i, (picture, caption, weight, title) in enumerate(zip(pictures, words, maps, titles,
                                                              strict=True)):
        dimmed = [picture * _spread(dim + (1 - dim) * w / w.max(), picture.shape) for w in weight]
        for k, (tile, word) in enumerate(zip([picture, *dimmed], ["", *caption], strict=True)):
            extent = (k * wide, k * wide + width, i * tall + height, i * tall)
            axes.imshow(tile, extent=extent, vmin=0, vmax=1, interpolation="nearest")
            axes.text(k * wide + width / 2, i * tall - 0.03 * height, word, ha="center",
                      va="bottom", fontsize=9 if len(word) < 12 else 7)
        axes.text(-0.06 * width, i * tall + height / 2, title, ha="right", va="center",
                  rotation=90, fontsize=9)
    axes.set(xlim=(-0.25 * width, columns * wide), ylim=(len(images) * tall, -0.25 * height))
    axes.set_aspect("equal")
    axes.axis("off")
    return figure


def _checked(i: int, weights: ArrayLike, words: int) -> np.ndarray:
    weights = np.asarray(weights, np.float64)
    if weights.ndim != 3 or len(weights) != words:
        raise ValueError(f"weights[{i}] has shape {weights.shape}, expected ({words}, h, w), a map "
                         "for each word")
    if not (np.isfinite(weights).all() and (weights >= 0).all()
            and (weights.max((1, 2), initial=0) > 0).all()):
        raise ValueError(f"weights[{i}] holds a map without weight, or values that are negative or "
                         "not finite")
    return weights


def _spread(weights: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the weight (H, W, 1) of each pixel's region."""
    (h, w), (height, width) = weights.shape, shape[:2]
    rows, columns = np.arange(height) * h // height, np.arange(width) * w // width
    return weights[rows[:, None], columns, None]


def caption_scores(table: Table | Iterable[Mapping[str, Any]], *,
                   columns: Mapping[str, str] | None = None) -> Any:
    """Draw the scores of captioners side by side, a panel a score, a line a method.

    Parameters
    ----------
    table : Table
        Columns 'method' and those of `columns`; where there are also such with ``_lo`` and ``_hi``
        behind their names, the interval is drawn. NaN and None are left out.
    columns : mapping of str to str, optional
        Which columns to draw, and the label of each. By default BLEU-4, exact matches and how often
        attention looks at the right place.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the table has no row.

    Examples
    --------
    >>> rows = [{"method": m, "bleu4": b, "bleu4_lo": b - 0.02, "bleu4_hi": b + 0.02}
    ...         for m, b in [("soft", 0.9), ("hard", 0.88)]]
    >>> figure = caption_scores(rows, columns={"bleu4": "BLEU-4"})
    >>> figure.axes[0].get_xlabel()
    'BLEU-4'
    """
    rows = list(table)
    if not rows:
        raise ValueError("table has no rows to draw")
    if columns is None:
        columns = {"bleu4": "BLEU-4", "exact": "captions without a fault",
                   "look": "looks at the right cell"}
    figure, grid = new_figure(0.9 + 2.7 * len(columns), 0.9 + 0.34 * len(rows), 1, len(columns))
    places = np.arange(len(rows))
    for axes, (name, label) in zip(grid, columns.items(), strict=True):
        for y, row in zip(places, rows, strict=True):
            value = row[name]
            if value is None or np.isnan(value):
                continue
            colour, marker, _ = style(y)
            lo, hi = (row.get(f"{name}_{end}") for end in ("lo", "hi"))
            if lo is not None and hi is not None:
                axes.plot([lo, hi], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot(value, y, marker=marker, color=colour, markersize=7, markerfacecolor="white",
                      markeredgewidth=1.6)
        axes.set_yticks(places, [row["method"] for row in rows] if axes is grid[0]
                        else [""] * len(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
        axes.set_xlabel(label)
        axes.grid(alpha=0.25)
    return figure
