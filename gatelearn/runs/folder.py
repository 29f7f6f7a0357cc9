"""The folder of one run, which can be killed at any moment and resumed."""

from __future__ import annotations

import errno
import fcntl
import json
import platform
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from .._files import (
    TEMPORARY_SUFFIX,
    Checkpoint,
    atomic_write,
    load_arrays,
    read_header,
    save_arrays,
)
from .._version import __version__
from ..errors import UserError
from .config import first_difference, read_config, to_json
from .metrics import Metrics, read_metrics
from .table import Table

# a name is a path of plain parts, so that it can name a file
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")


class RunFolder:
    """Configuration, checkpoint, finished stages, metrics and results of one run.

    Make one with `create` or `open`; use it in a ``with`` block. Every file is written atomically.
    Whoever kills the run, at any time, `create` with ``resume=True`` continues from the last
    checkpoint or finished stage, with the metrics as they stood then.

    ::

        config.json              settings, and the versions they ran under
        checkpoint.safetensors   the latest checkpoint
        stages/NAME.safetensors  results of finished stages
        metrics/metrics.jsonl    one line a logged step
        metrics/NAME/            the same for TensorBoard
        table.csv, figures/      results

    Attributes
    ----------
    path : Path

    Examples
    --------
    >>> import dataclasses, tempfile
    >>> @dataclasses.dataclass
    ... class Config:
    ...     steps: int = 3
    >>> path = tempfile.mkdtemp()
    >>> with RunFolder.create(path, Config(), study="demo") as folder:
    ...     if (done := folder.load_stage("backbone")) is None:
    ...         for step in range(3):
    ...             folder.log("backbone", step, loss=1 / (step + 1))
    ...         folder.save_stage("backbone", {"w": np.ones(2)}, {"score": 0.9})
    >>> with RunFolder.create(path, Config(), study="demo", resume=True) as folder:
    ...     folder.load_stage("backbone")
    Checkpoint(arrays={'w': array([1., 1.])}, meta={'score': 0.9})
    >>> with RunFolder.create(path, Config(5), study="demo", resume=True) as folder:
    ...     pass
    Traceback (most recent call last):
        ...
    gatelearn.errors.UserError: config field 'steps' is 5, but the run to resume has 3
    """

    def __init__(self, path: Path, metrics: Metrics | None, lock: Any):
        self.path = path
        self._metrics = metrics
        self._lock = lock

    @classmethod
    def create(
        cls, path: str | Path, config: Any, *, study: str, resume: bool = False
    ) -> RunFolder:
        """Start a run in a new or empty folder, or resume the one that is there.

        Parameters
        ----------
        path : path
            Made, with its parents, if needed.
        config : dataclass instance
            Everything that determines the result; written to ``config.json``.
        study : str
            Name of the study, written beside it.
        resume : bool, optional
            Continue the run in `path`; where the folder is missing or empty, start it.

        Returns
        -------
        RunFolder

        Raises
        ------
        FileExistsError
            If there is something in the folder and `resume` is False, or `path` is a file.
        PermissionError
            If the folder cannot be written.
        BlockingIOError
            If another process is using the folder.
        UserError
            If `resume` is True and the folder holds no run, the run of another study or config, or
            a checkpoint that is damaged or not ours.
        """
        path = Path(path)
        settings = to_json(config)
        lock = claim_folder(path, resume)
        try:
            keep = None
            if (path / "config.json").exists():
                _check_same(path, study, settings)
                keep = _rows_to_keep(path)
            else:
                tree = {"study": study, "config": settings, "made_with": _versions()}
                atomic_write(path / "config.json", json.dumps(tree, indent=2).encode())
            for left_over in path.rglob(f".*{TEMPORARY_SUFFIX}"):
                left_over.unlink()
            return cls(path, Metrics(path / "metrics", keep), lock)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open a run for reading, also while it is running.

        Parameters
        ----------
        path : path

        Returns
        -------
        RunFolder

        Raises
        ------
        FileNotFoundError
            If `path` is not a run folder.
        UserError
            If its ``config.json`` is not ours.
        """
        path = Path(path)
        read_config(path / "config.json")
        return cls(path, None, None)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the metrics and let other processes use the folder."""
        if self._metrics is not None:
            self._metrics.close()
            self._lock.close()
            self._metrics = None

    def log(self, stage: str, step: int, **scalars: float) -> None:
        """Append a row to the metrics.

        Parameters
        ----------
        stage : str
            Such as ``"backbone"`` or ``"controller/one-shot"``; a run of its own in TensorBoard.
        step : int
            Grows within a stage.
        **scalars : float
            Names with a slash, given as ``**{"score/recall": 0.9}``, are grouped by TensorBoard.

        Raises
        ------
        TypeError
            If a value is not a number.
        """
        self._writable().log(_checked_name(stage), step, scalars)

    def metrics(self, stage: str | None = None) -> list[dict[str, Any]]:
        """Return the rows logged so far, in order, each with 'stage' and 'step'."""
        rows = read_metrics(self.path / "metrics")
        return [row for row in rows if stage in (None, row["stage"])]

    def save_checkpoint(
        self, arrays: dict[str, np.ndarray], meta: dict[str, Any], name: str = "checkpoint"
    ) -> None:
        """Replace a checkpoint, in one file.

        Parameters
        ----------
        arrays : dict of str to ndarray
            bool, int or float, of any shape.
        meta : dict
            What JSON holds, with integers of any size, and arrays: where the run stands (stage,
            step), ``rng.bit_generator.state``. Keys are strings; tuples come back as lists.
        name : str, optional
            File name without its suffix. A run resumes from ``"checkpoint"``: the metrics are cut
            back to what was logged before it, or before the last finished stage if that is later.
        """
        self._save(self.path / f"{_checked_name(name)}.safetensors", arrays, meta)

    def load_checkpoint(self, name: str = "checkpoint") -> Checkpoint | None:
        """Return a checkpoint, or None where there is none.

        Raises
        ------
        UserError
            If it is damaged or not ours.
        """
        return _load(self.path / f"{_checked_name(name)}.safetensors")

    def save_stage(self, name: str, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Keep the result of a finished stage; arguments as for `save_checkpoint`."""
        path = self._stage_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._save(path, arrays, meta)

    def load_stage(self, name: str) -> Checkpoint | None:
        """Return the result of a finished stage, or None where it has not finished.

        Raises
        ------
        UserError
            If it is damaged or not ours.
        """
        return _load(self._stage_path(name))

    def save_table(self, table: Table, name: str = "table") -> Path:
        """Write a table as ``NAME.csv`` and return its path."""
        self._writable()
        path = self.path / f"{_checked_name(name)}.csv"
        table.to_csv(path)
        return path

    def _stage_path(self, name: str) -> Path:
        return self.path / "stages" / f"{_checked_name(name)}.safetensors"

    def _save(self, path: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        # rows first: a checkpoint must never vouch for rows that are not on disk
        rows = self._writable().sync()
        save_arrays(path, arrays, meta, metrics_bytes=rows)

    def _writable(self) -> Metrics:
        if self._metrics is None:
            raise ValueError(f"run folder '{self.path}' is closed or open for reading only")
        return self._metrics


def claim_folder(path: Path, resume: bool, *, what: str = "run") -> Any:
    """Make a folder and keep other processes out of it.

    Parameters
    ----------
    path : Path
    resume : bool
        Whether there may be something in it: what a ``what`` wrote.
    what : {"run", "sweep"}
        Whose folder it is.

    Returns
    -------
    file
        The lock; closing it lets others in.

    Raises
    ------
    OSError, UserError
        As `RunFolder.create`.
    """
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"'{path}' is a file, expected a folder for the {what}")
    _check_empty_or_ours(path, resume, what)
    lock = _make_and_lock(path, what)
    try:
        # another process may have been faster
        _check_empty_or_ours(path, resume, what)
    except BaseException:
        lock.close()
        raise
    return lock


def _check_empty_or_ours(path: Path, resume: bool, what: str) -> None:
    content = [p.name for p in path.iterdir()] if path.exists() else []
    content = [n for n in content if n != ".lock" and not n.endswith(TEMPORARY_SUFFIX)]
    if content and not resume:
        raise FileExistsError(
            f"{what} folder '{path}' is not empty: resume the {what} in it or choose another folder"
        )
    marker = {"run": "config.json", "sweep": "sweep.json"}[what]
    if content and marker not in content:
        raise UserError(f"'{path}' holds no {what} to resume: it has files, but no {marker}")


def _make_and_lock(path: Path, what: str) -> Any:
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / ".lock", "ab")
    except OSError as error:
        denied = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        raise (PermissionError if denied else type(error))(
            f"{what} folder '{path}' cannot be written: {error.strerror}"
        ) from None
    try:
        # released by the system however the process ends
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # some network file systems have no locks; then the user has to take care
        if error.errno in (errno.EACCES, errno.EAGAIN):
            lock.close()
            raise BlockingIOError(f"{what} folder '{path}' is in use by another process") from None
    return lock


def _check_same(path: Path, study: str, settings: dict[str, Any]) -> None:
    tree = read_config(path / "config.json")
    if tree["study"] != study:
        raise UserError(f"'{path}' is a run of study '{tree['study']}', not of '{study}'")
    if (found := first_difference(settings, tree["config"])) is not None:
        name, ours, theirs = found
        raise UserError(f"config field '{name}' is {ours!r}, but the run to resume has {theirs!r}")
    if (found := first_difference(tree.get("made_with", {}), _versions())) is not None:
        warnings.warn(f"the run was started under another {found[0]}: {found[1]}", stacklevel=3)


def _rows_to_keep(path: Path) -> int:
    files = [path / "checkpoint.safetensors", *(path / "stages").rglob("*.safetensors")]
    files = [file for file in files if file.exists()]
    for file in files:
        # a damaged one must be found before anything is changed
        load_arrays(file)
    return max((read_header(file).get("metrics_bytes", 0) for file in files), default=0)


def _versions() -> dict[str, str]:
    return {
        "gatelearn": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def _load(path: Path) -> Checkpoint | None:
    return load_arrays(path) if path.exists() else None


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"name is {name!r}, expected letters, digits and ._+-, in parts by /")
    return name


def next_folder(study: str) -> Path:
    """Return the folder for the next run of a study: runs/STUDY-N, one above the highest there."""
    return Path("runs", f"{study}-{max(run_numbers(study), default=0) + 1}")


def run_numbers(study: str) -> list[int]:
    """Return the N of all runs/STUDY-N."""
    runs = Path("runs")
    names = [path.name for path in runs.iterdir()] if runs.is_dir() else []
    matches = (re.fullmatch(re.escape(study) + r"-(\d+)", name) for name in names)
    return [int(match[1]) for match in matches if match]
