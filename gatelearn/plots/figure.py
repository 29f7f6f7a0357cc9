"""What all figures share: colours, markers, labels that do not overlap, files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gatelearn.errors import require
from gatelearn.runs import atomic_write

# Okabe and Ito's colours, without the yellow that vanishes on white
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
LINES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1))]


def save(figure: Any, path: str | Path) -> list[Path]:
    """Write a figure as PNG (150 dpi) and as SVG.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path
        Its suffix, if it has one of these two, is left out; its folder is made if needed.

    Returns
    -------
    list of Path
        The two files.

    Raises
    ------
    OSError
        If they cannot be written; files that stood there are untouched.
    """
    path = Path(path)
    if path.suffix in (".png", ".svg"):
        path = path.with_suffix("")
    path.parent.mkdir(parents=True, exist_ok=True)
    # without a date and random names the same figure is the same file
    rc = {"svg.hashsalt": "gatelearn", "svg.fonttype": "none"}
    written = []
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
        data = io.BytesIO()
        with require("matplotlib").rc_context(rc):
            figure.savefig(data, format=kind, dpi=150, metadata=metadata)
        # not with_suffix(): a name may have a point in it
        written.append(path.with_name(f"{path.name}.{kind}"))
        atomic_write(written[-1], data.getvalue())
    return written


def new_figure(width: float, height: float, rows: int = 1,
               columns: int = 1) -> tuple[Any, list[Any]]:
    """Return a figure that notebooks show, and its axes, row by row."""
    figure = figure_class()(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def figure_class() -> type:
    """Return Matplotlib's class with the method by which a notebook shows it."""
    base = require("matplotlib.figure").Figure

    class Figure(base):
        # pyplot would do it by changing global state
        def _repr_png_(self) -> bytes:
            data = io.BytesIO()
            self.savefig(data, format="png", dpi=100)
            return data.getvalue()

    return Figure


def running_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Return means over centred windows, at the ends over what there is of them."""
    ones = np.ones(window)
    count = np.convolve(np.ones(len(values)), ones, "same")
    return np.convolve(values, ones, "same") / count


def style(i: int) -> tuple[str, str, Any]:
    """Return colour, marker and line of the i-th of what is compared."""
    i %= len(COLOURS)
    return COLOURS[i], MARKERS[i], LINES[i]


def label_points(figure: Any, axes: Any, points: list[tuple]) -> None:
    """Write each name beside its marker, where it covers no marker, interval or other name."""
    canvas = require("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxed = require("matplotlib.transforms").Bbox
    taken = []
    for x, _, lo, hi, _, _ in points:
        (left, bottom), (right, top) = axes.transData.transform([(x, lo), (x, hi)])
        taken.append(boxed.from_extents(left - 7, bottom - 7, right + 7, top + 7))
    inside = axes.get_window_extent(renderer)
    # right, left, above, below, then further off with a line to the marker
    places = [(10, 0), (-10, 0), (0, 12), (0, -12)]
    places += [(dx, dy) for r in (22, 38, 56, 76) for dx in (14, -14) for dy in (r, -r)]
    for x, y, _, _, name, colour in points:
        for dx, dy in places:
            label = axes.annotate(
                name,
                (x, y),
                xytext=(dx, dy),
                textcoords="offset points",
                ha="center" if dx == 0 else "left" if dx > 0 else "right",
                va="center",
                fontsize=9,
                color="0.1",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
                arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6}
                if abs(dy) > 12
                else None,
            )
            box = text_box(label, renderer)
            if inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1):
                if not any(box.overlaps(other) for other in taken):
                    break
            label.remove()
        else:
            box = text_box(axes.annotate(name, (x, y), fontsize=9), renderer)
        taken.append(box)


def text_box(label: Any, renderer: Any) -> Any:
    """Return where a text stands, without the line to its marker, which may cross others."""
    label.update_positions(renderer)
    return require("matplotlib.text").Text.get_window_extent(label, renderer)
