"""From measurements to the tables, the claims and the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gatelearn import plots
from gatelearn.runs import RunFolder, Table, bootstrap_interval, seed_interval
from gatelearn.studies.result import Result

COLUMNS = ("method", "task", "error", "error_lo", "error_hi", "off_centre", "pixels_read",
           "parameters", "ms_per_image", "tuning_trials")
OURS = "learned"


@dataclass
class Measured:
    """What one seed found on one task, and the networks it was measured on."""

    task: str
    side: int
    methods: dict[str, Any]
    trials: int
    validation_error: dict[str, float]
    arrays: dict[str, NDArray]


Seeds = dict[str, list[Measured]]  # of each task, a seed each


def interval(per_seed: list[NDArray]) -> tuple[float, float, float]:
    """Return the mean over images and seeds and its interval, of values (digit, rendering).

    With one seed digits are drawn anew, each with all its renderings; with several, seeds are.
    """
    mean = float(np.mean([values.mean() for values in per_seed]))
    if len(per_seed) == 1:
        return mean, *bootstrap_interval(per_seed[0].mean(1), seed=0)
    return mean, *seed_interval([values.mean() for values in per_seed])


def _wrong(seeds: list[Measured], method: str, glimpse: int = -1) -> list[NDArray]:
    return [100.0 * s.arrays[f"{method}.wrong"][:, :, glimpse] for s in seeds]


def make_table(results: Seeds) -> Table:
    """Return a row for each method and task."""
    table = Table(columns=COLUMNS)
    for task, seeds in results.items():
        first = seeds[0]
        seconds = np.concatenate([s.arrays["seconds"] for s in seeds])
        for m, (name, method) in enumerate(first.methods.items()):
            error, low, high = interval(_wrong(seeds, name))
            off = None
            if method.glimpses:
                off = float(np.mean([s.arrays[f"{name}.off"] for s in seeds]))
            table.append(
                method=name, task=task, error=error, error_lo=max(0.0, low),
                error_hi=min(100.0, high), off_centre=off, pixels_read=method.pixels(first.side),
                parameters=method.parameters, ms_per_image=1e3 * float(np.median(seconds[:, m])),
                tuning_trials=first.trials)
    return table


def make_steps_table(results: Seeds) -> Table:
    """Return the error behind each glimpse; one row, without a number, for those that see all."""
    table = Table(columns=("method", "task", "glimpses", "error", "error_lo", "error_hi"))
    for task, seeds in results.items():
        for name, method in seeds[0].methods.items():
            for t in range(method.glimpses or 1):
                error, low, high = interval(_wrong(seeds, name, t))
                table.append(method=name, task=task, glimpses=t + 1 if method.glimpses else None,
                             error=error, error_lo=max(0.0, low), error_hi=min(100.0, high))
    return table


def make_summary(results: Seeds, table: Table) -> dict[str, Any]:
    """Return the numbers behind the study's claims; errors in per cent."""
    summary: dict[str, Any] = {"learned_validation_error": float(np.mean(
        [s.validation_error[OURS] for seeds in results.values() for s in seeds]))}
    for task, seeds in results.items():
        summary[task] = entry = {}
        for row in table.where(task=task):
            entry[row["method"]] = {"error": row["error"], "pixels_read": row["pixels_read"]}
        for other in seeds[0].methods:
            if other != OURS:
                pairs = zip(_wrong(seeds, OURS), _wrong(seeds, other), strict=True)
                mean, low, high = interval([a - b for a, b in pairs])
                entry[f"learned_minus_{other}"] = {"mean": mean, "low": low, "high": high}
    return summary


def make_notes(summary: dict[str, Any], results: Seeds) -> list[str]:
    """Return the claims as lines to print."""
    lines = []
    for task in results:
        entry = summary[task]
        ours = entry[OURS]
        lines.append(f"{task}: learned glimpses {ours['error']:.1f}% wrong, reading "
                     f"{100 * ours['pixels_read']:.0f}% of the image")
        for name, other in entry.items():
            if (d := entry.get(f"learned_minus_{name}")) is not None:
                lines.append(f"  {name}: {other['error']:.1f}% wrong; learned less {name} "
                             f"{d['mean']:+.1f} points ({d['low']:+.1f} to {d['high']:+.1f})")
    return lines


class GlimpseResult(Result):
    """What the study found; a row of the table is a method and a task.

    Attributes
    ----------
    by_glimpses : Table
        The error behind each glimpse, by a classifier that was trained behind the last alone.
    """

    study = "glimpse"

    def __init__(self, folder: RunFolder, results: Seeds):
        self.results = results
        table = make_table(results)
        self.by_glimpses = make_steps_table(results)
        summary = make_summary(results, table)
        super().__init__(folder.path, table, summary, make_notes(summary, results))

    def plot(self) -> dict[str, Any]:
        """Return the figures by name: error by glimpses, and where the model looked."""
        figures = {"error_by_glimpses": plots.error_by_glimpses(self.by_glimpses)}
        for task, (first, *_) in self.results.items():
            eye, arrays = first.methods[OURS].net.glimpse, first.arrays
            figures[f"paths_{task}"] = plots.glimpse_paths(
                arrays["shown"], arrays[f"{OURS}.places"], eye.size, eye.scales,
                labels=arrays["shown.labels"], predictions=arrays[f"{OURS}.named"][:, -1],
                title=f"Learned glimpses, {task}")
        return figures

    def write(self, folder: RunFolder) -> Self:
        """Write tables, summary, figures and an animated path of each task; return this result."""
        super().write(folder)
        folder.save_table(self.by_glimpses, "by_glimpses")
        for task, (first, *_) in self.results.items():
            eye, arrays = first.methods[OURS].net.glimpse, first.arrays
            plots.save_gif(folder.path / "figures" / f"path_{task}.gif", arrays["shown"][0],
                           arrays[f"{OURS}.places"][0], eye.size, eye.scales,
                           zoom=max(1, 480 // first.side))
        return self
