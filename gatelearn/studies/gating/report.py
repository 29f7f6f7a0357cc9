"""From measurements to the table, the claims and the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn import plots
from gatelearn.runs import RunFolder, Table, score_interval
from gatelearn.studies.result import Result

COLUMNS = ("method", "task", "score", "score_lo", "score_hi", "open", "ms_per_sequence", "speedup",
           "evidence", "evidence_drop", "tuning_trials")
RL = ("static-rl", "one-shot", "per-layer")


@dataclass
class Measured:
    """What `evaluate` measured for one seed, and what it was measured on."""

    methods: list[str]
    tasks: list[str]
    trials: dict[str, int]
    kept: dict[str, str]
    arrays: dict[str, NDArray]
    task_from_gates: dict[str, float]


def make_table(seeds: list[Measured]) -> Table:
    """Return a row for each method and task, and one for all tasks together."""
    first = seeds[0]
    table = Table(columns=COLUMNS)
    for m, method in enumerate(first.methods):
        for t in [*range(len(first.tasks)), None]:
            task = "overall" if t is None else first.tasks[t]
            which = slice(None) if t is None else slice(t, t + 1)
            table.append(method=method, task=task, tuning_trials=first.trials[method],
                         **_row(seeds, m, which))
    return table


def _row(seeds: list[Measured], m: int, which: slice) -> dict[str, float]:
    scores = [s.arrays["score"][m, which].ravel() for s in seeds]
    low, high = score_interval(scores)
    texts = scores[0].size
    seconds = np.concatenate([s.arrays["seconds"][:, :, which].sum(2) for s in seeds])
    known = [~np.isnan(s.arrays["masked"][m, which]) for s in seeds]
    evidence = [s.arrays["evidence"][m, which][k] for s, k in zip(seeds, known, strict=True)]
    drop = [(s.arrays["score"][m, which] - s.arrays["masked"][m, which])[k]
            for s, k in zip(seeds, known, strict=True)]
    return {
        "score": _mean(scores), "score_lo": low, "score_hi": high,
        "open": _mean([s.arrays["open_heads"][m, which] for s in seeds]),
        "ms_per_sequence": 1e3 * float(np.median(seconds[:, m])) / texts,
        "speedup": float(np.median(seconds[:, 0] / seconds[:, m])),
        "evidence": _mean(evidence), "evidence_drop": _mean(drop),
    }


def _mean(values: list[NDArray]) -> float:
    joined = np.concatenate([np.ravel(v) for v in values])
    return float(joined.mean()) if joined.size else float("nan")


def make_summary(seeds: list[Measured], table: Table) -> dict[str, Any]:
    """Return the numbers behind the study's claims."""
    first = seeds[0]
    set_tasks = [t for t in first.tasks if t != "next"]

    def cell(method: str, column: str, task: str = "overall") -> float:
        (row,) = table.where(method=method, task=task)
        return row[column]

    summary: dict[str, Any] = {
        "vanilla_set_tasks": {t: cell("vanilla", "score", t) for t in set_tasks}}
    for method in first.methods[1:]:
        m = first.methods.index(method)
        closed = 1 - _mean([s.arrays["open_work"][m] for s in seeds])
        # reading and the controller count, too: what the closed share allows of the whole pass
        work = np.mean([s.arrays["work"][m].mean() / s.arrays["work"][0].mean() for s in seeds])
        entry = {
            "score_change": cell(method, "score") - cell("vanilla", "score"),
            "gated_work_closed": closed,
            "speedup": cell(method, "speedup"),
            "speedup_allowed": float(1 / work),
            "speedup_reached": cell(method, "speedup") * float(work),
        }
        if method in RL:
            entry["task_from_gates"] = float(np.mean([s.task_from_gates[method] for s in seeds]))
            entry["chance"] = 1 / len(first.tasks)
        summary[method] = entry
    for name in RL:
        summary[name]["over_random"] = cell(name, "score") - cell("random", "score")
    return summary


def make_notes(summary: dict[str, Any]) -> list[str]:
    """Return the claims as lines to print."""
    lines = ["vanilla on the set tasks: " + ", ".join(
        f"{task} {100 * score:.1f}%" for task, score in summary["vanilla_set_tasks"].items())]
    for name in RL:
        s = summary[name]
        lines.append(
            f"{name}: {100 * s['gated_work_closed']:.0f}% of the gated work closed, score "
            f"{100 * s['score_change']:+.1f} points, {s['speedup']:.2f}x faster "
            f"({100 * s['speedup_reached']:.0f}% of what that allows), "
            f"{100 * s['over_random']:+.0f} points over random gates, task told from gates "
            f"{100 * s['task_from_gates']:.0f}% (chance {100 * s['chance']:.0f}%)")
    return lines


def make_figures(seeds: list[Measured], table: Table, metrics: list[dict]) -> dict[str, Any]:
    """Return the study's figures by name."""
    first = seeds[0]
    # of each method's trials, the curve of the one that was kept
    names = {stage: method for s in seeds for method, stage in s.kept.items()}
    rows = [{**row, "stage": names.get(row["stage"], row["stage"])} for row in metrics
            if row["stage"] in names or row["stage"].endswith("/backbone")]
    figures = {"score_vs_open": plots.score_vs_open(table),
               "learning_curves": plots.learning_curves(rows)}
    for method in ("one-shot", "per-layer"):
        m = first.methods.index(method)
        # (task, L, H + 1), over the texts of all seeds; heads differ between backbones
        opened = (first.arrays["gate"][m] != 0).mean(1)
        figures[f"gates_{method}"] = plots.gate_map(
            opened, first.tasks, title=f"{method} controller: share of texts with the gate open")
    return figures


class GatingResult(Result):
    """What the study found; a row of the table is a method and a task."""

    study = "gating"

    def __init__(self, folder: RunFolder, seeds: list[Measured]):
        self.seeds, self.metrics = seeds, folder.metrics()
        table = make_table(seeds)
        summary = make_summary(seeds, table)
        super().__init__(folder.path, table, summary, make_notes(summary))

    def plot(self) -> dict[str, Any]:
        """Return the figures by name: which heads stay open, score against share open, curves."""
        return make_figures(self.seeds, self.table, self.metrics)
