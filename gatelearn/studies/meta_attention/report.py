"""The table, the claims and the figures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn import plots
from gatelearn.runs import RunFolder, Table, score_interval
from gatelearn.studies.result import Result
from gatelearn.tasks.families import KINDS

COLUMNS = ("method", "rules", "reward", "reward_lo", "reward_hi", "first", "last", "ms_per_task",
           "tuning_trials")


def of_rules(seeds: list[dict[str, NDArray]], m: int, k: int | None) -> list[NDArray]:
    """Return the rewards (tasks, A) of a method at tasks of one kind, or all, for each seed."""
    return [s["rewards"][m] if k is None else s["rewards"][m][s["kind"] == k] for s in seeds]


def make_table(methods: list[str], trials: dict[str, int],
               seeds: list[dict[str, NDArray]]) -> Table:
    """Return a row for each method and kind of rule, and one for all."""
    table = Table(columns=COLUMNS)
    for m, method in enumerate(methods):
        ms = 1e3 * float(np.median([s["seconds"][m] for s in seeds])) / len(seeds[0]["kind"])
        for k in (*range(len(KINDS)), None):
            rewards = of_rules(seeds, m, k)
            low, high = score_interval([r.mean(1) for r in rewards])
            by_attempt = np.mean([r.mean(0) for r in rewards], 0)
            table.append(method=method, rules="all" if k is None else KINDS[k],
                         reward=float(by_attempt.mean()), reward_lo=low, reward_hi=high,
                         first=float(by_attempt[0]), last=float(by_attempt[-1]), ms_per_task=ms,
                         tuning_trials=trials[method])
    return table


def make_summary(table: Table, methods: list[str]) -> dict[str, Any]:
    """Return the numbers behind the claims."""
    rows = {m: table.where(method=m, rules="all")[0] for m in methods}
    summary: dict[str, Any] = {m: {key: row[key] for key in ("reward", "first", "last")}
                               for m, row in rows.items()}
    best = max(("ucb", "thompson"), key=lambda name: rows[name]["reward"])
    summary["meta"]["over_bandit"] = rows["meta"]["reward"] - rows[best]["reward"]
    summary["meta"]["over_memoryless"] = rows["meta"]["reward"] - rows["memoryless"]["reward"]
    summary["meta"]["of_elimination"] = rows["meta"]["reward"] / rows["elimination"]["reward"]
    return summary


def make_notes(summary: dict[str, Any]) -> list[str]:
    """Return the claims as lines to print."""
    lines = [f"{name}: mean reward {s['reward']:.3f}, {s['first']:.2f} at the first attempt, "
             f"{s['last']:.2f} at the last" for name, s in summary.items()]
    s = summary["meta"]
    return [*lines, f"meta on held-out rules: {s['over_bandit']:+.3f} over the better bandit, "
            f"{s['over_memoryless']:+.3f} over no memory, {100 * s['of_elimination']:.0f}% of the "
            "search that knows all rules"]


class MetaAttentionResult(Result):
    """What the study found; a row of the table is a method and a kind of rule."""

    study = "meta-attention"

    def __init__(self, folder: RunFolder, methods: list[str], trials: dict[str, int],
                 seeds: list[dict[str, NDArray]]):
        self.metrics, self.methods, self.seeds = folder.metrics(), methods, seeds
        table = make_table(methods, trials, seeds)
        summary = make_summary(table, methods)
        super().__init__(folder.path, table, summary, make_notes(summary))

    def plot(self) -> dict[str, Any]:
        """Return the figures by name: reward by attempt, learning curves."""
        curves: dict[str, dict[str, NDArray]] = {}
        lows: dict[str, dict[str, NDArray]] = {}
        highs: dict[str, dict[str, NDArray]] = {}
        for k, kind in enumerate(KINDS):
            name = f"held-out rules: {kind}"
            curves[name], lows[name], highs[name] = {}, {}, {}
            for m, method in enumerate(self.methods):
                rewards = of_rules(self.seeds, m, k)
                curves[name][method] = np.mean([r.mean(0) for r in rewards], 0)
                attempts = range(rewards[0].shape[1])
                ends = [score_interval([r[:, i] for r in rewards]) for i in attempts]
                lows[name][method], highs[name][method] = np.transpose(ends)
        training = plots.learning_curves(self.metrics)
        training.axes[0].set_title("Policies: mean reward on rules to train with")
        training.axes[0].set_ylim(0, 1)
        return {"reward_by_attempt": plots.reward_by_attempt(curves, lows=lows, highs=highs),
                "learning_curves": training}
