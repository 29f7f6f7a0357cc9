"""What was asked of a sweep, as its folder keeps it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from gatelearn.errors import UserError, suggest
from gatelearn.runs import atomic_write
from gatelearn.runs.config import first_difference, from_json, replace_leaves, to_json
from gatelearn.studies import STUDIES
from gatelearn.sweeps import space as spaces
from gatelearn.sweeps.space import Choice, Space, parse_space

FILE = "sweep.json"
SAMPLERS = ("tpe", "random", "grid")
DIRECTIONS = ("maximize", "minimize")
TRIALS = 20
# of the table of trials, beside the settings that vary
COLUMNS = ("trial", "state", "value", "seconds", "folder", "message")


@dataclass(frozen=True)
class Plan:
    """Everything that determines a sweep's trials."""

    study: str
    """Name of the study."""
    module: str
    """Where to import it from."""
    config: Any
    """Settings of the trials, but for those that vary."""
    space: Space
    trials: int
    metric: str
    direction: str
    sampler: str
    seed: int

    def __post_init__(self):
        if self.trials < 1:
            raise UserError(f"trials is {self.trials}, expected at least 1")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}, expected at least 0")
        if self.direction not in DIRECTIONS:
            raise UserError(f"direction is '{self.direction}', expected one of "
                            f"{', '.join(DIRECTIONS)}")
        if self.sampler not in SAMPLERS:
            raise UserError(f"sampler is '{self.sampler}', expected one of {', '.join(SAMPLERS)}")
        if taken := set(COLUMNS) & self.space.keys():
            raise UserError(f"setting '{min(taken)}' cannot be varied: the table of trials has a "
                            "column of this name")
        ranges = [name for name, domain in self.space.items() if not isinstance(domain, Choice)]
        if self.sampler == "grid" and ranges:
            raise UserError(f"{ranges[0]} is a range, but sampler grid needs values: "
                            "give some, separated by commas")

    def config_with(self, settings: Mapping[str, Any]) -> Any:
        """Return the config of a trial."""
        return replace_leaves(self.config, {name: spaces.setting(self.config, name, value)
                                            for name, value in settings.items()})

    def save(self, folder: Path) -> None:
        """Write the plan into the sweep's folder."""
        tree = {**self.__dict__, "config": to_json(self.config),
                "space": spaces.to_json(self.space)}
        atomic_write(folder / FILE, json.dumps(tree, indent=2).encode())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the plan of a sweep.

        Raises
        ------
        FileNotFoundError
            If the folder holds no sweep.
        UserError
            If its file is not ours.
        """
        path = folder / FILE
        if not path.is_file():
            raise FileNotFoundError(f"'{path}' does not exist: '{folder}' is not a sweep's folder")
        try:
            tree = json.loads(path.read_text("utf-8"))
            study = importlib.import_module(tree["module"])
            tree["space"] = spaces.from_json(tree["space"])
            tree["config"] = from_json(study.Config, tree["config"])
            return cls(**tree)
        except (ValueError, KeyError, TypeError, ImportError) as error:
            raise UserError(f"'{path}' cannot be used: {error}") from None


def find_study(study: str | ModuleType) -> tuple[str, ModuleType]:
    """Return the name and the module of a study, given by one of them.

    Raises
    ------
    UserError
        If there is none of this name, or the module is no study that other processes can import.
    """
    if isinstance(study, str):
        if study not in STUDIES:
            raise UserError(f"unknown study '{study}'{suggest(study, STUDIES)}")
        return study, STUDIES[study]
    name = study.__name__
    if not (hasattr(study, "Config") and hasattr(study, "run")) or name == "__main__":
        raise UserError(f"module '{name}' is no study: it needs a Config, a function run and a "
                        "name by which other processes can import it")
    return name.rpartition(".")[2].replace("_", "-"), study


def new_plan(name: str, study: ModuleType, vary: Mapping[str, str | Sequence[Any]] | None, *,
             preset: str | None, overrides: Mapping[str, Any] | None, trials: int | None,
             metric: str | None, direction: str | None, sampler: str | None,
             seed: int | None) -> Plan:
    """Return the plan of a new sweep; what is None has its default."""
    config = replace_leaves(study.Config.preset(preset or "default"), overrides or {})
    objective = getattr(study, "OBJECTIVE", None)
    if metric is None and objective is None:
        raise UserError(f"study '{name}' has no OBJECTIVE: say which number of its summary is the "
                        "metric")
    if direction is None and metric is not None and (objective is None
                                                     or metric != objective.metric):
        raise UserError(f"direction of the metric '{metric}' is not given, expected one of "
                        f"{', '.join(DIRECTIONS)}")
    space = parse_space(config, vary or {})
    if sampler == "grid":
        # a range has no size, and the plan refuses it
        size = 1
        for domain in space.values():
            size *= len(domain.values) if isinstance(domain, Choice) else 1
        trials = min(trials or size, size)
    return Plan(
        name, study.__name__, config, space, TRIALS if trials is None else trials,
        metric or objective.metric, direction or objective.direction, sampler or "tpe",
        int(getattr(config, "seed", 0)) if seed is None else seed)


def resumed_plan(folder: Path, name: str, study: ModuleType,
                 vary: Mapping[str, str | Sequence[Any]] | None, *, preset: str | None,
                 overrides: Mapping[str, Any] | None, trials: int | None,
                 **asked: Any) -> Plan:
    """Return the plan of the sweep in a folder, with another number of trials where it is given.

    Raises
    ------
    UserError
        If anything else that is given is not what the sweep has.
    """
    plan = Plan.load(folder)
    if plan.module != study.__name__:
        raise UserError(f"'{folder}' is a sweep of study '{plan.study}', not of '{name}'")
    if preset is not None or overrides:
        config = replace_leaves(study.Config.preset(preset or "default"), overrides or {})
        if (found := first_difference(to_json(config), to_json(plan.config))) is not None:
            setting, ours, theirs = found
            raise UserError(f"config field '{setting}' is {ours!r}, but the sweep to resume has "
                            f"{theirs!r}")
    if vary:
        asked["space"] = parse_space(plan.config, vary)
    for field, value in asked.items():
        if value is not None and value != (has := getattr(plan, field)):
            raise UserError(f"{field} is {_shown(value)}, but the sweep to resume has "
                            f"{_shown(has)}")
    return plan if trials is None else replace(plan, trials=trials)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={domain}" for name, domain in value.items())
    return str(value)
