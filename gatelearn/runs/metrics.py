"""Metrics of a run: one JSON line a step, and the same as TensorBoard events."""

from __future__ import annotations

import functools
import json
import os
import time
from pathlib import Path
from typing import Any

from ..errors import MissingPackageError, UserError, require


class Metrics:
    """Append-only rows in ``metrics.jsonl``, mirrored to TensorBoard where it is installed.

    The rows hold no wall time, so that a resumed run has the rows of an uninterrupted one.
    TensorBoard shows each stage as a run of its own; on resume a session-start event makes it
    forget what was logged past the checkpoint.

    Parameters
    ----------
    folder : path
        Made if needed.
    keep : int, optional
        Resume: bytes of ``metrics.jsonl`` that the last checkpoint vouches for. Later ones go.

    Raises
    ------
    UserError
        If the file is shorter than `keep`.
    """

    def __init__(self, folder: Path, keep: int | None = None):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._resumed = keep is not None
        self._writers: dict[str, Any] = {}
        path = folder / "metrics.jsonl"
        self._file = open(path, "ab")
        if keep is not None:
            if self._file.tell() < keep:
                raise UserError(f"'{path}' is shorter than when the checkpoint was written")
            self._file.truncate(keep)
            self._file.seek(0, os.SEEK_END)

    def log(self, stage: str, step: int, scalars: dict[str, Any]) -> None:
        """Append one row."""
        numbers = {name: _number(name, value) for name, value in scalars.items()}
        row = {"stage": stage, "step": int(step), **numbers}
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()
        self._log_tensorboard(row)

    def sync(self) -> int:
        """Put every row on disk and return the length of the file in bytes."""
        os.fsync(self._file.fileno())
        for writer in self._writers.values():
            writer.flush()
        return self._file.tell()

    def close(self) -> None:
        """Close all files."""
        self._file.close()
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _log_tensorboard(self, row: dict[str, Any]) -> None:
        if (modules := _tensorboard()) is None:
            return
        events, summaries, writers = modules
        stage, step, now = row["stage"], row["step"], time.time()
        if stage not in self._writers:
            self._writers[stage] = writers.EventFileWriter(str(self.folder / stage))
            if self._resumed:
                start = events.SessionLog(status=events.SessionLog.START)
                self._writers[stage].add_event(
                    events.Event(wall_time=now, step=step, session_log=start)
                )
        values = [
            summaries.Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name not in ("stage", "step")
        ]
        self._writers[stage].add_event(
            events.Event(wall_time=now, step=step, summary=summaries.Summary(value=values))
        )


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the rows that stand in ``metrics.jsonl``; a line being written is left out."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


@functools.cache
def _tensorboard() -> tuple[Any, Any, Any] | None:
    # not tensorboard.summary.Writer: it writes one event a scalar and cannot mark a new start
    try:
        return (
            require("tensorboard.compat.proto.event_pb2"),
            require("tensorboard.compat.proto.summary_pb2"),
            require("tensorboard.summary.writer.event_file_writer"),
        )
    except MissingPackageError:
        return None


def _number(name: str, value: Any) -> int | float:
    if name in ("stage", "step"):
        raise TypeError(f"'{name}' is not a name for a scalar")
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, (int, float)):
        raise TypeError(f"metric '{name}' is {value!r}, expected a number")
    return value
