"""What every study returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, Self

from gatelearn import plots
from gatelearn.runs import RunFolder, Table, atomic_write


class Objective(NamedTuple):
    """What a sweep over a study's settings looks at."""

    metric: str
    """Path of a number in the result's summary, with dots: ``"one-shot.score_change"``."""
    direction: str
    """``"maximize"`` or ``"minimize"``."""


class Result:
    """What a study found.

    Attributes
    ----------
    study : str
        Its name.
    path : Path
        The run folder.
    table : Table
        A row for each method, at least.
    summary : dict
        The numbers behind the claims.
    notes : list of str
        The claims, to print.
    """

    study: str

    def __init__(self, path: Path, table: Table, summary: dict[str, Any], notes: list[str]):
        self.path, self.table, self.summary, self.notes = path, table, summary, notes

    def plot(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {}

    def write(self, folder: RunFolder) -> Self:
        """Write table, summary and figures into the run folder; return this result."""
        folder.save_table(self.table)
        atomic_write(folder.path / "summary.json", json.dumps(self.summary, indent=2).encode())
        for name, figure in self.plot().items():
            plots.save(figure, folder.path / "figures" / name)
        return self

    def __repr__(self) -> str:
        return "\n".join([f"{self.study} study in {self.path}", *self.notes])
