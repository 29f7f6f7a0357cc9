"""How training went."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gatelearn.plots.figure import new_figure, running_mean, style


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
    figure, grid = new_figure(5.2 * wide, 3.3 * tall, tall, wide)
    # a method keeps its style from panel to panel
    stages = list(dict.fromkeys(stage for panel, stage in curves if panel != backbone))
    for axes, panel in zip(grid, panels, strict=False):
        names = [name for key, name in curves if key == panel]
        window = 1
        for i, name in enumerate(names):
            curve = curves[panel, name]
            colour, marker, line = style(i if panel == backbone else stages.index(name))
            steps = sorted(curve)
            # odd, so that it is centred
            window = max(window, len(steps) // 15 | 1)
            axes.plot(
                steps,
                running_mean([np.mean(curve[step]) for step in steps], window),
                color=colour,
                linestyle=line,
                marker=marker,
                markersize=5,
                markevery=(0.04 + 0.03 * i, 0.2),
                label=name.removeprefix("controller/"),
            )
            if max(map(len, curve.values())) > 1:
                low, high = (
                    running_mean([f(curve[step]) for step in steps], window) for f in (min, max)
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
