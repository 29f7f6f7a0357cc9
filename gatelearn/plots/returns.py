"""How agents learned to play, and which models they trusted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gatelearn.plots.figure import new_figure, running_mean, style

_STAGE = re.compile(r"(?:seed-(?P<seed>\d+)/)?(?P<game>[^/]+)/(?P<method>[^/]+)")


def return_curves(rows: Iterable[Mapping[str, Any]], *,
                  levels: Mapping[str, Mapping[str, float]] | None = None) -> Any:
    """Draw returns against steps of the agent, a panel a game.

    Parameters
    ----------
    rows : list of dict
        Metrics of a run, as `RunFolder.metrics` returns them. Those of stages ``GAME/METHOD`` or
        ``seed-N/GAME/METHOD`` with a 'return' are drawn: the mean of the seeds and, as a band,
        their range.
    levels : mapping of str to mapping of str to float, optional
        Returns to mark by a level line in the panel of a game, by name: what chance reaches, say.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Examples
    --------
    >>> rows = [{"stage": f"seed-{n}/Pong/wsa", "step": 1024 * i, "return": i + n - 21}
    ...         for n in range(2) for i in range(9)]
    >>> figure = return_curves(rows, levels={"Pong": {"random": -20.7}})
    >>> [axes.get_title() for axes in figure.axes]
    ['Pong']
    """
    curves: dict[str, dict[str, dict[int, list[float]]]] = {}
    for row in rows:
        stage = _STAGE.fullmatch(row["stage"])
        if stage and row.get("return") is not None:
            methods = curves.setdefault(stage["game"], {})
            methods.setdefault(stage["method"], {}).setdefault(row["step"], []).append(
                row["return"])
    if not curves:
        raise ValueError("rows hold no return to draw")
    wide = min(len(curves), 3)
    tall = -(-len(curves) // wide)
    figure, grid = new_figure(max(5.4, 4.6 * wide), 3.8 * tall, tall, wide)
    names = list(dict.fromkeys(name for methods in curves.values() for name in methods))
    for axes, (game, methods) in zip(grid, curves.items(), strict=False):
        for i, (name, curve) in enumerate(methods.items()):
            colour, marker, line = style(names.index(name))
            steps = sorted(curve)
            means = [float(np.mean(curve[step])) for step in steps]
            axes.plot(steps, means, color=colour, linestyle=line, marker=marker, markersize=5,
                      markevery=(0.04 + 0.03 * i, 0.2), label=name)
            if max(map(len, curve.values())) > 1:
                axes.fill_between(steps, [min(curve[s]) for s in steps],
                                  [max(curve[s]) for s in steps], color=colour, alpha=0.18,
                                  linewidth=0)
        for name, level in (levels or {}).get(game, {}).items():
            axes.axhline(level, color="0.45", linewidth=1, linestyle=":")
            axes.annotate(name, (1, level), xycoords=("axes fraction", "data"), xytext=(-3, 2),
                          textcoords="offset points", ha="right", va="bottom", fontsize=8,
                          color="0.3")
        axes.set_title(game)
        axes.set_xlabel("steps of the agent")
        axes.set_ylabel("return of an episode")
        axes.xaxis.set_major_formatter(_thousands)
        axes.locator_params(axis="x", nbins=6)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, framealpha=0.85)
    for axes in grid[len(curves):]:
        axes.remove()
    return figure


def model_weights(rows: Iterable[Mapping[str, Any]], method: str = "wsa") -> Any:
    """Draw the mean weight of each pre-trained model while an agent learned, a panel a game.

    Parameters
    ----------
    rows : list of dict
        Metrics of a run. Of stages ``GAME/METHOD`` or ``seed-N/GAME/METHOD`` the entries
        ``weight/MODEL`` are drawn, as means over seeds, unless they are 0 throughout: such a model
        only gives the context.
    method : str, default 'wsa'

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Examples
    --------
    >>> rows = [{"stage": "Pong/wsa", "step": i, "weight/state": 0.4, "weight/motion": 0.6}
    ...         for i in range(9)]
    >>> [text.get_text() for text in model_weights(rows).axes[0].get_legend().get_texts()]
    ['state', 'motion']
    """
    curves: dict[str, dict[str, dict[int, list[float]]]] = {}
    for row in rows:
        stage = _STAGE.fullmatch(row["stage"])
        if stage and stage["method"] == method:
            for key, value in row.items():
                if key.startswith("weight/") and value is not None:
                    models = curves.setdefault(stage["game"], {})
                    models.setdefault(key.removeprefix("weight/"), {}).setdefault(
                        row["step"], []).append(value)
    if not curves:
        raise ValueError(f"rows hold no weights of {method} to draw")
    wide = min(len(curves), 3)
    tall = -(-len(curves) // wide)
    figure, grid = new_figure(max(5.4, 4.6 * wide), 3.4 * tall, tall, wide)
    for axes, (game, models) in zip(grid, curves.items(), strict=False):
        window = 1
        weighed = {name: curve for name, curve in models.items() if any(map(any, curve.values()))}
        for i, (name, curve) in enumerate(weighed.items()):
            colour, marker, line = style(i)
            steps = sorted(curve)
            # odd, so that it is centred
            window = max(1, len(steps) // 40 | 1)
            axes.plot(steps, running_mean([np.mean(curve[s]) for s in steps], window),
                      color=colour, linestyle=line, marker=marker, markersize=5,
                      markevery=(0.04 + 0.03 * i, 0.2), label=name)
        axes.set_title(f"{game}: weights of the models, {method}")
        axes.set_xlabel("steps of the agent")
        axes.set_ylabel("mean weight")
        axes.set_ylim(0, None)
        axes.xaxis.set_major_formatter(_thousands)
        axes.locator_params(axis="x", nbins=6)
        axes.grid(alpha=0.25)
        smoothed = f"running mean of {window}" if window > 1 else None
        axes.legend(fontsize=8, framealpha=0.85, title=smoothed, title_fontsize=8)
    for axes in grid[len(curves):]:
        axes.remove()
    return figure


def _thousands(steps: float, _: Any) -> str:
    if steps >= 1e6:
        return f"{steps / 1e6:g}M"
    return f"{steps / 1e3:g}k" if steps >= 1000 else f"{steps:g}"
