"""The trials of a sweep in a SQLite file; the only part that knows Optuna."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Self

import numpy as np

from gatelearn.errors import require
from gatelearn.runs import Table
from gatelearn.sweeps.plan import COLUMNS, Plan
from gatelearn.sweeps.space import Choice

STATES = {"COMPLETE": "complete", "FAIL": "failed", "RUNNING": "unfinished"}


class Database:
    """Trials as Optuna stores them; use it in a ``with`` block, from one process at a time.

    What a trial is to try depends on the seed, its number and the trials that have finished, on
    nothing else: a sweep that was killed goes on as if it had not been.

    Parameters
    ----------
    folder : Path
        Of the sweep.
    plan : Plan

    Attributes
    ----------
    url : str
        By which Optuna and its dashboard open it.
    """

    def __init__(self, folder: Path, plan: Plan):
        self._optuna, self._plan = require("optuna"), plan
        self.url = f"sqlite:///{(folder / 'optuna.db').resolve()}"

    def __enter__(self) -> Self:
        optuna = self._optuna
        self._verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = optuna.storages.RDBStorage(self.url)
        self._study = optuna.create_study(
            storage=self._storage, study_name=self._plan.study, direction=self._plan.direction,
            load_if_exists=True)
        self._id = self._storage.get_study_id_from_name(self._plan.study)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()
        self._optuna.logging.set_verbosity(self._verbosity)

    def trials(self, *states: str) -> list[Any]:
        """Return the trials in any of these states (all, if none is given), by number."""
        trials = self._study.get_trials(deepcopy=False)
        return [t for t in trials if not states or STATES[t.state.name] in states]

    def add(self) -> Any:
        """Propose a trial and store it, in one transaction, as unfinished."""
        optuna, number = self._optuna, len(self.trials())
        domains = {name: self._domain(domain) for name, domain in self._plan.space.items()}
        self._study.add_trial(optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING, params=self._settings(number, domains),
            distributions=domains, user_attrs={"folder": f"trials/{number:04}"}))
        return self.trials()[number]

    def add_seconds(self, trial: Any, seconds: float) -> None:
        """Count time that a trial has taken."""
        self._set(trial, "seconds", trial.user_attrs.get("seconds", 0.0) + seconds)

    def complete(self, trial: Any, value: float) -> None:
        """Store the value of a trial."""
        self._study.tell(trial.number, value)

    def fail(self, trial: Any, message: str) -> None:
        """Store why a trial has no value."""
        self._set(trial, "message", message)
        self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)

    def table(self) -> Table:
        """Return a row for each trial, best first, then those without a value."""
        settings = list(self._plan.space)
        sign = -1 if self._plan.direction == "maximize" else 1
        table = Table(columns=[*COLUMNS[:3], *settings, *COLUMNS[3:]])
        order = list(STATES.values())
        for t in sorted(self.trials(), key=lambda t: (
                order.index(STATES[t.state.name]), sign * (t.value or 0), t.number)):
            table.append(
                trial=t.number, state=STATES[t.state.name], value=t.value, **t.params,
                seconds=t.user_attrs.get("seconds"), folder=t.user_attrs["folder"],
                message=t.user_attrs.get("message"))
        return table

    def _settings(self, number: int, domains: dict[str, Any]) -> dict[str, Any]:
        """Return what trial `number` is to try."""
        optuna, plan = self._optuna, self._plan
        if plan.sampler == "grid":
            grid = itertools.product(*(domain.values for domain in plan.space.values()))
            return dict(zip(plan.space, next(itertools.islice(grid, number, None)), strict=True))
        seed = int(np.random.SeedSequence([plan.seed, number]).generate_state(1)[0])
        samplers = optuna.samplers
        sampler = (samplers.RandomSampler(seed=seed) if plan.sampler == "random"
                   else samplers.TPESampler(seed=seed, constant_liar=True))
        # in a copy, so that the file never holds a trial with half of its settings
        copy = optuna.create_study(direction=plan.direction, sampler=sampler)
        copy.add_trials(self.trials())
        return copy.ask(domains).params

    def _domain(self, domain: Any) -> Any:
        distributions = self._optuna.distributions
        if isinstance(domain, Choice):
            return distributions.CategoricalDistribution(domain.values)
        kind = (distributions.FloatDistribution if isinstance(domain.low, float)
                else distributions.IntDistribution)
        return kind(domain.low, domain.high, log=domain.log)

    def _set(self, trial: Any, name: str, value: Any) -> None:
        number = trial.number
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
        self._storage.set_trial_user_attr(trial_id, name, value)
