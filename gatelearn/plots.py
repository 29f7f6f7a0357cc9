"""Figures of a study, readable in colour, in grey and by the colour-blind.

Every function returns a Matplotlib figure and leaves Matplotlib's global state alone: no pyplot, no
window, no change of backend. In a notebook a figure shows itself; `save` writes it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .errors import require
from .runs import Table, atomic_write

__all__ = ["estimators", "gate_map", "learning_curves", "save", "scaling", "score_vs_open"]

# Okabe and Ito's colours, without the yellow that vanishes on white
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
_MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
_LINES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1))]


def gate_map(
    open_by_task: ArrayLike,
    task_names: Sequence[str],
    *,
    labels: Sequence[str] | None = None,
    title: str = "Share of inputs for which a gate is open",
) -> Any:
    """Draw which heads and blocks stay open for which task.

    Parameters
    ----------
    open_by_task : array_like, shape (tasks, layers, heads + 1)
        Share of inputs for which the gate is open, in [0, 1]. The last of each layer is its MLP
        block.
    task_names : sequence of str
        One a row.
    labels : sequence of str, optional
        One a gate of a layer. Default: head numbers from 1, then ``"MLP"``.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the shapes do not fit or a share lies outside [0, 1].

    Examples
    --------
    >>> figure = gate_map([[[1.0, 0.0, 0.5]], [[0.0, 1.0, 1.0]]], ["recall", "repeat"])
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['recall', 'repeat']
    """
    shares = np.asarray(open_by_task, dtype=np.float64)
    if shares.ndim != 3 or len(shares) != len(task_names):
        raise ValueError(
            f"open_by_task has shape {shares.shape}, expected ({len(task_names)}, layers, heads+1)"
        )
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError("open_by_task holds values outside [0, 1]")
    tasks, layers, gates = shares.shape
    labels = [*map(str, range(1, gates)), "MLP"] if labels is None else list(labels)
    if len(labels) != gates:
        raise ValueError(f"labels has {len(labels)} entries, expected {gates}")

    annotate = tasks * layers * gates <= 300
    columns = layers * gates
    width = min(max(2.2 + columns * (0.34 if annotate else 0.22), 4.6), 16)
    figure, (axes,) = _figure(width, 1.7 + 0.36 * tasks)
    # a gap of a third of a column between layers
    lefts = [layer * (gates + 0.35) for layer in range(layers)]
    for left, share in zip(lefts, shares.transpose(1, 0, 2), strict=True):
        image = axes.imshow(
            share,
            extent=(left, left + gates, tasks, 0),
            vmin=0,
            vmax=1,
            cmap="Blues",
            aspect="auto",
            interpolation="none",
        )
        if annotate:
            for (row, column), value in np.ndenumerate(share):
                axes.text(
                    left + column + 0.5,
                    row + 0.5,
                    f"{value:.2f}".removeprefix("0") if value < 0.995 else "1",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if value > 0.6 else "black",
                )
    axes.set_xlim(0, lefts[-1] + gates)
    axes.set_ylim(tasks, 0)
    axes.set_yticks(np.arange(tasks) + 0.5, task_names)
    ticks = [left + gate + 0.5 for left in lefts for gate in range(gates)]
    if not annotate:
        # narrow columns: name every fourth
        named = {0, gates - 1, *range(3, gates - 2, 4)}
        labels = [label if i in named else "" for i, label in enumerate(labels)]
    axes.set_xticks(ticks, labels * layers, fontsize=7)
    axes.tick_params(length=0)
    for label in axes.get_xticklabels():
        if len(label.get_text()) > 2:
            label.set_rotation(90)
    for layer, left in enumerate(lefts):
        axes.text(left + gates / 2, -0.12, f"layer {layer + 1}", ha="center", va="bottom")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("head, and the layer's MLP block")
    axes.set_title(title, pad=20)
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("share open")
    bar.outline.set_visible(False)
    return figure


def score_vs_open(
    table: Table | Iterable[Mapping[str, Any]],
    *,
    task: str = "overall",
    baseline: str = "vanilla",
    score_label: str = "score",
) -> Any:
    """Draw score against the share of work that is open, one marker a method.

    Parameters
    ----------
    table : Table
        Columns 'method', 'task', 'score', 'score_lo', 'score_hi' (the interval; may be None) and
        'open', shares in [0, 1].
    task : str, optional
        Which rows to draw.
    baseline : str, optional
        The method whose score is drawn as a dashed line.
    score_label : str, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the table has no row of `task`.

    Examples
    --------
    >>> rows = [{"method": m, "task": "overall", "score": s, "score_lo": s - 0.01,
    ...          "score_hi": s + 0.01, "open": o}
    ...         for m, s, o in [("vanilla", 0.97, 1.0), ("one-shot", 0.98, 0.3)]]
    >>> figure = score_vs_open(Table(rows))
    >>> figure.axes[0].get_ylabel()
    'score'
    """
    rows = [row for row in table if row["task"] == task]
    if not rows:
        raise ValueError(f"table has no row of task {task!r}")
    figure, (axes,) = _figure(6.4, 4.4)
    points = []
    for i, row in enumerate(rows):
        colour, marker, _ = _style(i)
        lo, hi = (row["score"] if row[k] is None else row[k] for k in ("score_lo", "score_hi"))
        axes.errorbar(
            row["open"],
            row["score"],
            yerr=[[max(row["score"] - lo, 0)], [max(hi - row["score"], 0)]],
            fmt=marker,
            color=colour,
            markersize=8,
            # hollow, so that markers on one spot are both seen
            markerfacecolor="none",
            markeredgewidth=1.6,
            capsize=3,
            linewidth=1.2,
        )
        points.append((row["open"], row["score"], lo, hi, row["method"], colour))
        if row["method"] == baseline:
            axes.axhline(row["score"], color=colour, linestyle="--", linewidth=1, zorder=0)
    axes.set_xlim(-0.03, 1.03)
    axes.margins(y=0.12)
    axes.set_xlabel("share of heads open")
    axes.set_ylabel(score_label)
    axes.set_title(f"Score against work, {task}: mean and 95% interval")
    axes.grid(alpha=0.25)
    _label_points(figure, axes, points)
    return figure


def learning_curves(rows: Iterable[Mapping[str, Any]], *, backbone: str = "backbone") -> Any:
    """Draw how the backbone and the controllers learned.

    Parameters
    ----------
    rows : list of dict
        Metrics of a run, as `RunFolder.metrics` returns them. Stages called `backbone` have the
        number of texts seen as 'step' and a ``score/TASK`` for each task; other stages count
        updates and have 'reward', 'score' or 'open'. A first part ``seed-N/`` of a stage's name
        tells seeds apart: their mean is drawn, and their range as a band. Long
        curves are smoothed by a running mean, as the legend says.
    backbone : str, optional
        Name of the backbone's stage.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Examples
    --------
    >>> rows = [{"stage": "backbone", "step": 64 * i, "score/recall": i / 9} for i in range(10)]
    >>> rows += [{"stage": "one-shot", "step": i, "reward": i, "open": 0.5} for i in range(10)]
    >>> [axes.get_ylabel() for axes in learning_curves(rows).axes]
    ['score', 'reward', 'share open']
    """
    curves: dict[tuple[str, str], dict[int, list[float]]] = {}
    for row in rows:
        stage = re.sub(r"^seed-\d+/", "", row["stage"])
        for name, value in row.items():
            if name.startswith("score/") and stage == backbone:
                key = (backbone, name.removeprefix("score/"))
            elif name in ("reward", "score", "open") and stage != backbone:
                key = (name, stage)
            else:
                continue
            curves.setdefault(key, {}).setdefault(row["step"], []).append(value)
    labels = {
        backbone: ("score", "texts seen", "Backbone, gates open"),
        "reward": ("reward", "updates", "Controllers: reward"),
        "score": ("score", "updates", "Controllers: score"),
        "open": ("share open", "updates", "Controllers: share of gated work open"),
    }
    panels = [panel for panel in labels if any(key[0] == panel for key in curves)]
    if not panels:
        raise ValueError("rows hold no score, reward or share open to draw")

    wide = min(len(panels), 2)
    tall = -(-len(panels) // 2)
    figure, grid = _figure(5.2 * wide, 3.3 * tall, tall, wide)
    # a method keeps its style from panel to panel
    stages = list(dict.fromkeys(stage for panel, stage in curves if panel != backbone))
    for axes, panel in zip(grid, panels, strict=False):
        names = [name for key, name in curves if key == panel]
        window = 1
        for i, name in enumerate(names):
            curve = curves[panel, name]
            colour, marker, line = _style(i if panel == backbone else stages.index(name))
            steps = sorted(curve)
            # odd, so that it is centred
            window = max(window, len(steps) // 15 | 1)
            axes.plot(
                steps,
                _running_mean([np.mean(curve[step]) for step in steps], window),
                color=colour,
                linestyle=line,
                marker=marker,
                markersize=5,
                markevery=(0.04 + 0.03 * i, 0.2),
                label=name.removeprefix("controller/"),
            )
            if max(map(len, curve.values())) > 1:
                low, high = (
                    _running_mean([f(curve[step]) for step in steps], window) for f in (min, max)
                )
                axes.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.set_ylabel(labels[panel][0])
        axes.set_xlabel(labels[panel][1])
        axes.locator_params(axis="x", nbins=6)
        axes.set_title(labels[panel][2])
        axes.grid(alpha=0.25)
        smoothed = f"running mean of {window}" if window > 1 else None
        axes.legend(fontsize=8, framealpha=0.85, title=smoothed, title_fontsize=8)
    for axes in grid[len(panels) :]:
        axes.remove()
    return figure


def scaling(rows: Iterable[Mapping[str, Any]], *, allowance: float = 0.05, title: str = "") -> Any:
    """Draw time against the share of counted work that is closed.

    Parameters
    ----------
    rows : list of dict
        'closed', a share in [0, 1]; 'ms', milliseconds; 'name' of what was measured. Each name
        needs a row with nothing closed, which its times are divided by.
    allowance : float, optional
        The goal: time at most the ideal, ``1 - closed``, plus this share of the open time.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If a name has no row with ``closed == 0``.

    Examples
    --------
    >>> rows = [{"name": "layer", "closed": p, "ms": 10 * (1.02 - p)} for p in (0.0, 0.5, 0.9)]
    >>> scaling(rows).axes[0].get_xlabel()
    'share of counted work closed'
    """
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        series.setdefault(row["name"], []).append((row["closed"], row["ms"]))
    figure, (axes,) = _figure(5.6, 4.4)
    x = np.linspace(0, 1, 2)
    axes.plot(x, 1 - x, color="0.35", linestyle="--", linewidth=1, label="ideal: 1 - closed")
    axes.fill_between(
        x, 1 - x, 1 - x + allowance, color="0.85", linewidth=0, label=f"ideal + {allowance:.0%}"
    )
    for i, (name, points) in enumerate(series.items()):
        closed, ms = np.array(sorted(points)).T
        if closed[0] != 0:
            raise ValueError(f"rows of {name!r} lack one with nothing closed")
        colour, marker, line = _style(i)
        label = f"{name} ({ms[0]:.3g} ms open)"
        axes.plot(closed, ms / ms[0], color=colour, marker=marker, linestyle=line, label=label)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("share of counted work closed")
    axes.set_ylabel("time, relative to everything open")
    axes.set_title(title or "Closed work costs no time")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
    return figure


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
    figure, (axes,) = _figure(6.8, 4.8)
    axes.set(xscale="log", yscale="log")
    points = []
    for i, row in enumerate(rows):
        colour, marker, line = _style(i)
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
    _label_points(figure, axes, points)
    return figure


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


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Any, list[Any]]:
    figure = _figure_class()(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _figure_class() -> type:
    base = require("matplotlib.figure").Figure

    class Figure(base):
        # notebooks show an object by this method; pyplot would do it by changing global state
        def _repr_png_(self) -> bytes:
            data = io.BytesIO()
            self.savefig(data, format="png", dpi=100)
            return data.getvalue()

    return Figure


def _running_mean(values: Sequence[float], window: int) -> np.ndarray:
    # centred; at the ends over what there is
    ones = np.ones(window)
    count = np.convolve(np.ones(len(values)), ones, "same")
    return np.convolve(values, ones, "same") / count


def _style(i: int) -> tuple[str, str, Any]:
    i %= len(_COLOURS)
    return _COLOURS[i], _MARKERS[i], _LINES[i]


def _label_points(figure: Any, axes: Any, points: list[tuple]) -> None:
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
            box = _text_box(label, renderer)
            if inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1):
                if not any(box.overlaps(other) for other in taken):
                    break
            label.remove()
        else:
            box = _text_box(axes.annotate(name, (x, y), fontsize=9), renderer)
        taken.append(box)


def _text_box(label: Any, renderer: Any) -> Any:
    # of the text alone: the line from it to its marker may cross others
    label.update_positions(renderer)
    return require("matplotlib.text").Text.get_window_extent(label, renderer)
