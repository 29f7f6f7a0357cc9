"""A sweep: trials proposed by Optuna, run by an engine, kept in a folder that resumes."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

from gatelearn.errors import UserError, suggest
from gatelearn.runs import Progress, StopFlag, next_folder, stop_on_signal
from gatelearn.runs.config import to_json
from gatelearn.runs.folder import claim_folder
from gatelearn.sweeps.database import Database
from gatelearn.sweeps.engines import Engine, make_engine
from gatelearn.sweeps.plan import Plan, find_study, new_plan, resumed_plan
from gatelearn.sweeps.result import SweepResult, describe
from gatelearn.sweeps.worker import Job, Outcome


def sweep(study: str | ModuleType, vary: Mapping[str, str | Sequence[Any]] | None = None, *,
          trials: int | None = None, workers: int = 1, preset: str | None = None,
          overrides: Mapping[str, Any] | None = None, metric: str | None = None,
          direction: str | None = None, out: str | Path | None = None, resume: bool = False,
          engine: str = "local", address: str | None = None, sampler: str | None = None,
          seed: int | None = None, progress: bool = True) -> SweepResult:
    """Search the settings of a study.

    Each trial is a run of the study in a folder of its own, ``OUT/trials/0007``, in a process of
    its own, which prints to ``OUT/trials/0007.log``. A trial that crashes is kept with its message,
    and the sweep goes on; only if the first run to finish has no such metric it ends. ``kill -9``
    loses no finished trial; with `resume`, half-finished ones continue from their checkpoints. With
    one worker the same seed gives the same trials, resumed or not; with several, what the sampler
    "tpe" proposes depends on the order in which they finish.

    Parameters
    ----------
    study : str or module
        Name of one of gatelearn's studies, or a module like them that can be imported.
    vary : mapping of str to str or sequence
        For each setting to vary (dotted name, or its last part where that is unique) its values,
        ``"a,b,c"`` or a list, or its range, ``"low:high"`` or ``"low:high:log"``. Parts of a tuple
        have spaces between them: ``"0.5 1,2"``. May be left out when resuming, as all else that
        decides what the trials are.
    trials : int, default 20
        How many in all, failed ones included; with the sampler "grid" by default, and at most, as
        many as there are combinations. A sweep that is resumed may be given another number.
    workers : int, default 1
        Trials at a time; they share the threads of this process.
    preset : str, default "default"
        Of the study's settings.
    overrides : mapping of str to object, optional
        Settings, by name as in `vary`, that differ from the preset in all trials.
    metric : str, optional
        Path of a number in the summary of a run, with dots. The study's own by default.
    direction : {"maximize", "minimize"}, optional
        Needed with a `metric` that is not the study's own.
    out : path, optional
        New folder; the next of ``runs/sweep-STUDY-1``, ``runs/sweep-STUDY-2`` ... by default.
    resume : bool, default False
        Continue the sweep in `out`.
    engine : {"local", "ray"}, default "local"
        Processes on this machine, or on a Ray cluster whose machines all see `out` and the working
        directory.
    address : str, optional
        Of the Ray cluster; that of this machine by default.
    sampler : {"tpe", "random", "grid"}, default "tpe"
    seed : int, optional
        Of the sampler; by default the setting ``seed`` of the study, or 0. The runs have that
        setting, whatever this is.
    progress : bool, default True
        Show progress on standard error.

    Returns
    -------
    SweepResult
        Its `table` and `best`; ``plot()`` draws value against each setting.

    Raises
    ------
    UserError
        If a setting, a value or an option cannot be used, or differs from the sweep to resume; if
        the first run to finish does not have the metric.
    OSError
        If the folder cannot be written, is in use, or holds something and `resume` is False.
    KeyboardInterrupt
        After Ctrl-C, when the running trials have written their checkpoints.

    Notes
    -----
    "tpe" is the tree-structured Parzen estimator [1]_, as Optuna has it.

    References
    ----------
    .. [1] J. Bergstra, R. Bardenet, Y. Bengio, B. Kégl, "Algorithms for Hyper-Parameter
       Optimization", NIPS 2011.

    Examples
    --------
    >>> import gatelearn as gl
    >>> result = gl.sweep("gating", {"gates.lr": "1e-3:1e-2:log", "gates.samples": [2, 4]},
    ...                   preset="quick", trials=8, workers=2)  # doctest: +SKIP
    >>> gl.sweep("gating", {"gates.lt": "1e-3:1e-2"})
    Traceback (most recent call last):
        ...
    gatelearn.errors.UserError: unknown setting 'gates.lt'; did you mean 'gates.lr'?
    """
    name, module = find_study(study)
    asked = dict(preset=preset, overrides=overrides, trials=trials, metric=metric,
                 direction=direction, sampler=sampler, seed=seed)
    path = Path(out) if out is not None else next_folder(f"sweep-{name}")
    if resume and (path / "sweep.json").exists():
        plan = resumed_plan(path, name, module, vary, **asked)
    else:
        plan = new_plan(name, module, vary, **asked)
    with (closing(make_engine(engine, workers, address)) as runs_on,
          closing(claim_folder(path, resume, what="sweep")),
          stop_on_signal() as stop):
        plan.save(path)
        with Database(path, plan) as database:
            try:
                _Sweep(path, plan, database, runs_on, workers, progress, stop).run()
            finally:
                result = SweepResult(path, plan, database.table(), database.url).write()
    return result


class _Sweep:
    def __init__(self, path: Path, plan: Plan, database: Database, engine: Engine, workers: int,
                 progress: bool, stop: StopFlag):
        self.path, self.plan, self.database = path, plan, database
        self.engine, self.workers, self.stop = engine, workers, stop
        done = len(database.trials("complete", "failed"))
        # a minute each, until the first ones have shown how long they take
        self.progress = Progress({"trials": 60.0 * (plan.trials - done)}, quiet=not progress)
        self.resumed = database.trials("unfinished")
        self.running: dict[Future[Outcome], Any] = {}

    def run(self) -> None:
        """Run trials until there are as many as asked, or raise KeyboardInterrupt after a stop."""
        stopping, state = False, self._state()
        total = max(self.plan.trials, state[0])
        with self.progress, self.progress.stage("trials", total, start=state[0]) as bar:
            while True:
                while not self.stop and len(self.running) < self.workers and self._start():
                    pass
                if not self.running:
                    break
                if self.stop and not stopping:
                    stopping = True
                    self.engine.stop()
                # a signal's handler runs between two waits
                done, _ = wait(self.running, timeout=0.1, return_when=FIRST_COMPLETED)
                for future in done:
                    self._finish(self.running.pop(future), future)
                    self.database.table().to_csv(self.path / "table.csv")
                    state = self._state()
                bar.update(*state)
            if self.stop:
                raise KeyboardInterrupt

    def _state(self) -> tuple[int, str]:
        """Return how many trials are finished, and the best value."""
        values = [t.value for t in self.database.trials("complete")]
        done = len(values) + len(self.database.trials("failed"))
        best = max if self.plan.direction == "maximize" else min
        return done, f"best {best(values):.6g}" if values else ""

    def _start(self) -> bool:
        """Start a trial, those that an earlier process left unfinished first."""
        if self.resumed:
            trial = self.resumed.pop(0)
        elif len(self.database.trials()) < self.plan.trials:
            trial = self.database.add()
        else:
            return False
        try:
            config = self.plan.config_with(trial.params)
        except UserError as error:
            self._fail(trial, str(error))
            return True
        folder = (self.path / trial.user_attrs["folder"]).resolve()
        job = Job(self.plan.module, to_json(config), str(folder), os.getcwd(), self.engine.threads)
        self.running[self.engine.submit(job)] = trial
        return True

    def _finish(self, trial: Any, future: Future[Outcome]) -> None:
        error = future.exception()
        if error is not None:
            # the engine lost it: it goes on when the sweep is resumed, unless it failed by itself
            if not self.stop:
                self._fail(trial, f"{type(error).__name__}: {' '.join(str(error).split())}")
            return
        outcome = future.result()
        self.database.add_seconds(trial, outcome.seconds)
        if outcome.stopped:
            return
        if outcome.message:
            self._fail(trial, outcome.message)
            return
        try:
            value = read_metric(self.path / trial.user_attrs["folder"], self.plan.metric)
        except (OSError, ValueError, UserError) as error:
            self._fail(trial, str(error))
            # mistyped, most likely: no trial would have it
            if isinstance(error, UserError) and not self.database.trials("complete"):
                raise
            return
        self.database.complete(trial, value)
        self.progress.print(f"trial {trial.number}: {self.plan.metric} {value:.6g} with "
                            f"{describe(self.plan, trial.params)}")

    def _fail(self, trial: Any, message: str) -> None:
        self.database.fail(trial, message)
        self.progress.print(f"trial {trial.number} failed with "
                            f"{describe(self.plan, trial.params)}: {message}")


def read_metric(folder: Path, metric: str) -> float:
    """Return a number of a run's summary.

    Raises
    ------
    OSError
        If the run wrote no summary.
    UserError
        If there is no such number; the message names a similar one, or all there are.
    ValueError
        If it is not finite.
    """
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    numbers = _numbers(summary)
    if metric not in numbers:
        raise UserError(f"the summary has no metric '{metric}'"
                        + (suggest(metric, numbers) if numbers else ": it holds no number"))
    if not math.isfinite(value := numbers[metric]):
        raise ValueError(f"metric '{metric}' is {value}")
    return value


def _numbers(tree: Any, where: str = "") -> dict[str, float]:
    if isinstance(tree, dict):
        return {name: value for key, child in tree.items()
                for name, value in _numbers(child, f"{where}.{key}" if where else key).items()}
    is_number = isinstance(tree, (int, float)) and not isinstance(tree, bool)
    return {where: float(tree)} if is_number else {}
