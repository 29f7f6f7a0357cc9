"""What a sweep found."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Self

from gatelearn import plots
from gatelearn.runs import Table
from gatelearn.sweeps.plan import Plan
from gatelearn.sweeps.space import Range


class SweepResult:
    """What a sweep found.

    Attributes
    ----------
    path : Path
        The sweep's folder.
    plan : Plan
        What was asked.
    table : Table
        A row for each trial, best first: number, state (complete, failed or unfinished), value of
        the metric, the settings that vary, seconds, run folder within `path`, message of a failure.
    dashboard : str
        The command that opens Optuna's dashboard on the trials.
    """

    def __init__(self, path: Path, plan: Plan, table: Table, url: str):
        self.path, self.plan, self.table = path, plan, table
        self.dashboard = shlex.join(["optuna-dashboard", url])

    @property
    def best(self) -> dict[str, Any] | None:
        """The row of the best trial; None where no trial has a value."""
        return self.table[0] if len(self.table) and self.table[0]["state"] == "complete" else None

    @property
    def notes(self) -> list[str]:
        """What to print below the table."""
        count = {state: len(self.table.where(state=state))
                 for state in ("complete", "failed", "unfinished")}
        lines = [", ".join(f"{n} trials {state}" for state, n in count.items() if n)]
        if self.best is not None:
            lines.append(f"best: trial {self.best['trial']}, {self.plan.metric} "
                         f"{self.best['value']:.6g} with " + describe(self.plan, self.best))
        return lines

    def plot(self) -> dict[str, Any]:
        """Return the figures by name; none where no trial has a value."""
        if self.best is None:
            return {}
        scales = {name: ("choice" if not isinstance(domain, Range) else
                         "log" if domain.log else "linear")
                  for name, domain in self.plan.space.items()}
        return {"sweep": plots.sweep(self.table, scales, metric=self.plan.metric,
                                     direction=self.plan.direction)}

    def write(self) -> Self:
        """Write table and figures into the sweep's folder; return this result."""
        self.table.to_csv(self.path / "table.csv")
        for name, figure in self.plot().items():
            plots.save(figure, self.path / "figures" / name)
        return self

    def __repr__(self) -> str:
        return "\n".join([f"sweep of study {self.plan.study} in {self.path}", *self.notes])


def describe(plan: Plan, settings: dict[str, Any]) -> str:
    """Return the settings that vary, in a line."""
    values = {name: settings[name] for name in plan.space}
    return ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                     for name, value in values.items())
