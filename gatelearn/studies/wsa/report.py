"""The table, the claims and the figures."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatelearn import plots
from gatelearn.runs import RunFolder, Table, bootstrap_interval, seed_interval
from gatelearn.studies.result import Result
from gatelearn.studies.wsa.config import Config

COLUMNS = ["method", "game", "final", "final_lo", "final_hi", "early", "parameters",
           "steps_per_second", "tuning_trials"]


class Played(NamedTuple):
    """What an agent reached in one game under one seed."""

    game: str
    seed: int
    method: str
    returns: NDArray
    """Of whole episodes after training."""
    parameters: int
    """That were trained; 0 of an agent that was not."""
    speed: float | None
    """Steps a second while it trained, game and encoders included."""


def early_return(rows: list[dict[str, Any]], stage: str, until: float) -> float | None:
    """Return the mean return of a stage up to a step, or None where no episode had ended."""
    seen = [row["return"] for row in rows
            if row["stage"] == stage and row["step"] <= until and row.get("return") is not None]
    return float(np.mean(seen)) if seen else None


def make_table(config: Config, found: list[Played], rows: list[dict[str, Any]]) -> Table:
    """Return a row for each method and game."""
    table = Table(columns=COLUMNS)
    for game in config.games:
        for method in (*config.methods, "random"):
            own = [p for p in found if (p.game, p.method) == (game, method)]
            means = [p.returns.mean() for p in own]
            low, high = (bootstrap_interval(own[0].returns) if len(own) == 1
                         else seed_interval(means))
            early = [early_return(rows, f"seed-{p.seed}/{game}/{method}",
                                  config.early * config.agent.steps) for p in own]
            known = [e for e in early if e is not None]
            table.append(
                method=method, game=game, final=float(np.mean(means)), final_lo=low, final_hi=high,
                early=float(np.mean(known)) if known else None,
                parameters=own[0].parameters or None,
                steps_per_second=None if own[0].speed is None
                else round(float(np.median([p.speed for p in own]))),
                tuning_trials=1 if own[0].parameters else None)
    return table


def make_summary(config: Config, table: Table) -> dict[str, Any]:
    """Return the numbers behind the claims: means over games by method, and each game's."""
    summary: dict[str, Any] = {}
    for method in (*config.methods, "random"):
        rows = table.where(method=method)
        known = [e for e in rows["early"] if e is not None]
        summary[method] = {
            "final": float(np.mean(rows["final"])),
            "early": float(np.mean(known)) if known else None,
            "games": {row["game"]: {"final": row["final"], "early": row["early"]} for row in rows}}
    return summary


def make_notes(config: Config, table: Table) -> list[str]:
    """Return the claims as lines to print."""
    lines = []
    for game in config.games:
        of = {row["method"]: row for row in table.where(game=game)}
        for method in config.methods:
            row = of[method]
            early = "" if row["early"] is None else f", {row['early']:.1f} early on"
            lines.append(f"{game}: {method} returns {row['final']:.1f} "
                         f"({row['final_lo']:.1f} to {row['final_hi']:.1f}) after "
                         f"{config.agent.steps:,} steps{early}; random {of['random']['final']:.1f}")
    return lines


class WSAResult(Result):
    """What the study found; a row of the table is a method in a game."""

    study = "wsa"

    def __init__(self, folder: RunFolder, config: Config, found: list[Played]):
        self.metrics, self.config, self.found = folder.metrics(), config, found
        table = make_table(config, found, self.metrics)
        super().__init__(folder.path, table, make_summary(config, table),
                         make_notes(config, table))

    def plot(self) -> dict[str, Any]:
        """Return the figures by name: returns while learning, weights of the models."""
        levels = {game: {"random": self.table.where(method="random", game=game)[0]["final"]}
                  for game in self.config.games}
        figures = {}
        if any("return" in row for row in self.metrics):
            figures["returns"] = plots.return_curves(self.metrics, levels=levels)
        if "wsa" in self.config.methods:
            figures["weights"] = plots.model_weights(self.metrics)
        return figures
