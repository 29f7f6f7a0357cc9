"""Measurements, the table, the claims and the figures."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn import plots
from gatelearn.gating import answer_scores
from gatelearn.runs import RunFolder, Table, score_interval
from gatelearn.studies.result import Result
from gatelearn.tasks import Batch

COLUMNS = ("method", "task", "score", "score_lo", "score_hi", "attended", "precision", "recall",
           "ms_per_text", "tuning_trials")
# those of the gating study would mislead here
TITLES = {"Backbone, gates open": "Backbone, full attention",
          "Controllers: reward": "Predictors: reward", "Controllers: score": "Predictors: score",
          "Controllers: share of gated work open": "Predictors: share of positions attended"}


def measure(method: Any, batch: Batch) -> dict[str, NDArray]:
    """Return score, share attended, precision and recall of each text, (B,).

    Precision and recall compare the positions that were chosen with the evidence; those that are
    fixed count on neither side. NaN where nothing was chosen, or nothing is known.
    """
    logits, chosen, fixed = method.run(batch.tokens, batch.query)
    wanted = batch.evidence.any(1) & ~fixed
    found = (chosen & wanted).sum(1)
    known = np.where(wanted.any(1), 1.0, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"score": answer_scores(logits, batch.query, batch.answer),
                "attended": (chosen | fixed).mean(1),
                "precision": known * found / chosen.sum(1), "recall": found / wanted.sum(1)}


def evaluate(methods: dict[str, Any], texts: list[Batch], rounds: int,
             tick: Callable[[str], None]) -> dict[str, NDArray]:
    """Return what `measure` does as (method, task, text), and ``seconds`` (round, method, task)."""
    rows = []
    for name, method in methods.items():
        tick(f"scoring {name}")
        rows.append([measure(method, batch) for batch in texts])
    out = {key: np.array([[m[key] for m in row] for row in rows]) for key in rows[0][0]}
    seconds = np.empty((rounds, len(methods), len(texts)))
    for r in range(rounds):
        tick(f"timing, round {r + 1} of {rounds}")
        for t, batch in enumerate(texts):
            for m, method in enumerate(methods.values()):
                began = time.perf_counter()
                method.run(batch.tokens, batch.query)
                seconds[r, m, t] = time.perf_counter() - began
    return out | {"seconds": seconds}


def make_table(methods: list[str], tasks: list[str], trials: dict[str, int],
               seeds: list[dict[str, NDArray]]) -> Table:
    """Return a row for each method and task, and one for all tasks together."""
    table = Table(columns=COLUMNS)
    for m, method in enumerate(methods):
        for t in [*range(len(tasks)), None]:
            which = slice(None) if t is None else slice(t, t + 1)
            scores = [s["score"][m, which].ravel() for s in seeds]
            low, high = score_interval(scores)
            seconds = np.concatenate([s["seconds"][:, m, which].sum(1) for s in seeds])
            table.append(
                method=method, task="overall" if t is None else tasks[t],
                score=float(np.mean(scores)), score_lo=low, score_hi=high,
                **{name: mean_known([s[name][m, which] for s in seeds])
                   for name in ("attended", "precision", "recall")},
                ms_per_text=1e3 * float(np.median(seconds)) / scores[0].size,
                tuning_trials=trials[method])
    return table


def mean_known(values: list[NDArray]) -> float:
    """Return the mean of what is not NaN; NaN where nothing is."""
    joined = np.concatenate([v.ravel() for v in values])
    known = joined[~np.isnan(joined)]
    return float(known.mean()) if known.size else float("nan")


def make_summary(table: Table, methods: list[str]) -> dict[str, Any]:
    """Return the numbers behind the claims."""
    rows = {m: table.where(method=m, task="overall")[0] for m in methods}
    summary: dict[str, Any] = {}
    for name, row in rows.items():
        summary[name] = {key: row[key] for key in ("score", "attended", "precision", "recall")}
        summary[name]["score_change"] = row["score"] - rows["full"]["score"]
    summary["rl-bias"]["over_random"] = rows["rl-bias"]["score"] - rows["random"]["score"]
    summary["rl-bias"]["over_recent"] = rows["rl-bias"]["score"] - rows["recent"]["score"]
    return summary


def make_notes(summary: dict[str, Any]) -> list[str]:
    """Return the claims as lines to print."""
    lines = [f"full attention: score {100 * summary['full']['score']:.1f}%"]
    for name in list(summary)[1:]:
        s = summary[name]
        lines.append(f"{name}: {100 * s['attended']:.0f}% of the positions attended, score "
                     f"{100 * s['score_change']:+.1f} points, precision {100 * s['precision']:.0f}%"
                     f", recall {100 * s['recall']:.0f}%")
    return lines


class AttentionBiasResult(Result):
    """What the study found; a row of the table is a method and a task."""

    study = "attention-bias"

    def __init__(self, folder: RunFolder, methods: list[str], tasks: list[str],
                 trials: dict[str, int], seeds: list[dict[str, NDArray]]):
        self.metrics, self.seeds = folder.metrics(), seeds
        table = make_table(methods, tasks, trials, seeds)
        summary = make_summary(table, methods)
        super().__init__(folder.path, table, summary, make_notes(summary))

    def plot(self) -> dict[str, Any]:
        """Return the figures by name: score against positions attended, learning curves."""
        rows = [{**row, "open": row["attended"]} for row in self.table]
        figure = plots.score_vs_open(rows, baseline="full")
        figure.axes[0].set_title("Score against positions attended, overall: mean and 95% interval")
        figure.axes[0].set_xlabel("share of positions attended")
        curves = plots.learning_curves(self.metrics)
        for axes in curves.axes:
            axes.set_title(TITLES.get(axes.get_title(), axes.get_title()))
            if axes.get_ylabel() == "share open":
                axes.set_ylabel("share attended")
        return {"score_vs_attended": figure, "learning_curves": curves}
