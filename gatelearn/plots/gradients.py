"""Estimators of gradients side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gatelearn.errors import require
from gatelearn.plots.figure import label_points, new_figure, style


def estimators(rows: Iterable[Mapping[str, Any]]) -> Any:
    """Draw the variance of gradient estimators against what they cost.

    Parameters
    ----------
    rows : EstimatorReport, or list of dict
        As `gatelearn.rl.estimator_report` returns them. Where the interval of the bias leaves 0
        out, the marker is hollow. Without variance an estimator is a line at its cost.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If no row has a variance.

    Examples
    --------
    >>> rows = [{"estimator": "no baseline", "variance": 2.0, "evaluations": 4.0, "bias_lo": 0.0},
    ...         {"estimator": "exact", "variance": 0.0, "evaluations": 8.0, "bias_lo": 0.0}]
    >>> estimators(rows).axes[0].get_yscale()
    'log'
    """
    rows = list(rows)
    if not any(row["variance"] for row in rows):
        raise ValueError("rows hold no variance to draw")
    figure, (axes,) = new_figure(6.8, 4.8)
    axes.set(xscale="log", yscale="log")
    points = []
    for i, row in enumerate(rows):
        colour, marker, line = style(i)
        x, y, name = row["evaluations"], row["variance"], row["estimator"]
        if not y:
            axes.axvline(x, color=colour, linestyle=line, linewidth=1, label=f"{name}: no variance")
            continue
        # see-through, so that markers on one spot are both seen
        face = "none" if row["bias_lo"] > 0 else (colour, 0.5)
        shape = {"marker": marker, "facecolors": face, "edgecolors": colour}
        axes.scatter(x, y, 60, **shape, linewidths=1.6, zorder=3)
        points.append((x, y, y, y, name, colour))
    for face, label in ((("0.4", 0.5), "no bias found"), ("none", "biased")):
        axes.scatter([], [], 60, facecolors=face, edgecolors="0.4", linewidths=1.6, label=label)
    axes.margins(x=0.35, y=0.15)
    # 4 and 5, not powers of ten
    plain = require("matplotlib.ticker").LogFormatter(minor_thresholds=(2.5, 0.5))
    axes.xaxis.set(major_formatter=plain, minor_formatter=plain)
    axes.set_xlabel("rewards evaluated, an input")
    axes.set_ylabel("variance of the gradient (trace)")
    axes.set_title("Gradient estimators: variance against cost")
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    label_points(figure, axes, points)
    return figure
