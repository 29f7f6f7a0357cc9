"""What a sweep found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gatelearn.plots.figure import new_figure, style
from gatelearn.runs import Table


def sweep(table: Table, scales: Mapping[str, str], *, metric: str = "value",
          direction: str = "maximize") -> Any:
    """Draw the best value so far, and the value against each setting.

    Parameters
    ----------
    table : Table
        Columns 'trial', 'state', 'value' and one for each setting; trials that have not 'complete'
        as their state are marked at the lower edge.
    scales : mapping of str to {"linear", "log", "choice"}
        The settings; a choice is drawn as strips, with a bar at each median.
    metric : str, optional
        What the value is.
    direction : {"maximize", "minimize"}, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If no trial has a value.

    Examples
    --------
    >>> rows = [{"trial": i, "state": "complete", "value": -(i - 3) ** 2, "lr": 10.0**-i}
    ...         for i in range(6)]
    >>> figure = sweep(Table(rows), {"lr": "log"}, metric="score")
    >>> [(axes.get_xlabel(), axes.get_xscale()) for axes in figure.axes]
    [('trial', 'linear'), ('lr', 'log')]
    """
    complete = sorted(table.where(state="complete"), key=lambda row: row["trial"])
    if not complete:
        raise ValueError("no trial has a value to draw")
    without = [row for row in table if row["state"] != "complete"]
    value = np.array([row["value"] for row in complete], float)
    choose, accumulate = ((np.argmax, np.maximum) if direction == "maximize"
                          else (np.argmin, np.minimum))
    best = int(choose(value))

    panels = 1 + len(scales)
    columns = 2 if panels == 4 else min(3, panels)
    rows = -(-panels // columns)
    figure, grid = new_figure(4.2 * columns, 3.3 * rows, rows, columns)
    for axes, name in zip(grid, ["trial", *scales], strict=False):
        scale = scales.get(name, "linear")
        if scale == "choice":
            labels = list(dict.fromkeys(sorted((row[name] for row in table), key=_order)))
            medians = [np.median([v for v, row in zip(value, complete, strict=True)
                                  if row[name] == label] or [np.nan]) for label in labels]
            axes.hlines(medians, np.arange(len(labels)) - 0.3, np.arange(len(labels)) + 0.3,
                        color="0.3", linewidth=1.5, label="median", zorder=1)
            axes.set_xticks(range(len(labels)), list(map(str, labels)))
            axes.set_xlim(-0.6, len(labels) - 0.4)

            def place(row: Any, name: str = name, labels: list[Any] = labels) -> float:
                # points of a strip side by side, always in the same places
                return labels.index(row[name]) + 0.36 * (row["trial"] * 0.618 % 1 - 0.5)
        else:
            axes.set_xscale(scale)

            def place(row: Any, name: str = name) -> float:
                return row[name]
        x = [place(row) for row in complete]
        if name == "trial":
            axes.step(x, accumulate.accumulate(value), where="post", color=style(1)[0],
                      label="best so far")
            axes.locator_params(axis="x", integer=True, nbins=6)
        axes.plot(x, value, "o", color=style(0)[0], markersize=5, alpha=0.7, label="trial")
        axes.plot(x[best], value[best], "*", color=style(5)[0], markeredgecolor="0.1",
                  markersize=14, label="best")
        if without:
            axes.plot([place(row) for row in without], [0.03] * len(without), "x", color="0.4",
                      markersize=6, transform=axes.get_xaxis_transform(), label="without a value")
        axes.set_xlabel(name)
        axes.set_ylabel(metric)
        axes.grid(alpha=0.25)
        # room for the marks at the lower edge
        axes.margins(y=0.1)
    for axes in grid[1 + len(scales):]:
        axes.remove()
    handles = {label: handle for axes in figure.axes
               for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=len(handles),
                  fontsize=8)
    return figure


def _order(label: Any) -> tuple[bool, Any]:
    # numbers by size, then words
    number = isinstance(label, (int, float))
    return (not number, label if number else str(label))
