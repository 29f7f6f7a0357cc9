"""How fast a task is learned while it is being done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gatelearn.plots.figure import new_figure, style


def reward_by_attempt(curves: Mapping[str, Mapping[str, ArrayLike]], *,
                      lows: Mapping[str, Mapping[str, ArrayLike]] | None = None,
                      highs: Mapping[str, Mapping[str, ArrayLike]] | None = None) -> Any:
    """Draw the mean reward of each attempt, a panel for each kind of task.

    Parameters
    ----------
    curves : dict of str to dict of str to array_like, shape (A,)
        By kind of task, then by method.
    lows, highs : as `curves`, optional
        Ends of the intervals, drawn as bands.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Examples
    --------
    >>> figure = reward_by_attempt({"place": {"random": [0.1, 0.1], "oracle": [1.0, 1.0]}})
    >>> [axes.get_title() for axes in figure.axes]
    ['place']
    """
    if not curves:
        raise ValueError("curves is empty, expected at least one kind of task")
    figure, grid = new_figure(4.4 * len(curves), 3.9, 1, len(curves))
    for axes, (kind, methods) in zip(grid, curves.items(), strict=True):
        for i, (name, curve) in enumerate(methods.items()):
            colour, marker, line = style(i)
            x = np.arange(1, len(np.asarray(curve)) + 1)
            axes.plot(x, curve, color=colour, marker=marker, linestyle=line, markersize=4,
                      label=name)
            if lows is not None and highs is not None:
                axes.fill_between(x, lows[kind][name], highs[kind][name], color=colour, alpha=0.15,
                                  linewidth=0)
        axes.set_title(kind)
        axes.set_xlabel("attempt at the same task")
        axes.set_ylim(-0.03, 1.03)
        axes.grid(alpha=0.25)
        axes.xaxis.get_major_locator().set_params(integer=True)
    grid[0].set_ylabel("mean reward")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=4,
                  fontsize=8)
    return figure
