"""Figures of gates: where they are open, and what closing them costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gatelearn.plots.figure import label_points, new_figure, style
from gatelearn.runs import Table


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
    figure, (axes,) = new_figure(width, 1.7 + 0.36 * tasks)
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
    figure, (axes,) = new_figure(6.4, 4.4)
    points = []
    for i, row in enumerate(rows):
        colour, marker, _ = style(i)
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
    label_points(figure, axes, points)
    return figure
