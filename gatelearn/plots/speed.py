"""Time against work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gatelearn.plots.figure import new_figure, style


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
    figure, (axes,) = new_figure(5.6, 4.4)
    x = np.linspace(0, 1, 2)
    axes.plot(x, 1 - x, color="0.35", linestyle="--", linewidth=1, label="ideal: 1 - closed")
    axes.fill_between(
        x, 1 - x, 1 - x + allowance, color="0.85", linewidth=0, label=f"ideal + {allowance:.0%}"
    )
    for i, (name, points) in enumerate(series.items()):
        closed, ms = np.array(sorted(points)).T
        if closed[0] != 0:
            raise ValueError(f"rows of {name!r} lack one with nothing closed")
        colour, marker, line = style(i)
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
