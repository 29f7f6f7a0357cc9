"""Progress with the time left, and stopping on Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from ..errors import MissingPackageError, require


class Progress:
    """Shows how far a study of several stages is, and the time left.

    On a terminal, two bars: the study and its current stage. Elsewhere (a pipe, a notebook, rich
    not installed), a line every `interval` seconds and one at the end of each stage.

    Parameters
    ----------
    stages : mapping of str to float
        Every stage with the seconds it is expected to take. What finished stages really took
        corrects the scale as they pass, so that only the ratios need to be right.
    quiet : bool, optional
        Show nothing.
    interval : float, optional
        Seconds between lines.
    file : file, optional
        Where to write. Default: standard error.

    Examples
    --------
    >>> with Progress({"backbone": 60, "controller": 30}, file=sys.stdout) as progress:
    ...     progress.skip("backbone")  # finished before, and the run was resumed
    ...     with progress.stage("controller", total=100) as stage:
    ...         for step in range(100):
    ...             stage.update(step + 1, "score 0.98")
    backbone: already done
    controller: done in 0:00, score 0.98
    """

    def __init__(
        self,
        stages: Mapping[str, float],
        *,
        quiet: bool = False,
        interval: float = 10.0,
        file: TextIO | None = None,
    ):
        self._left = dict(stages)
        self._quiet = quiet
        self._interval = interval
        self._file = file
        self._bars: Any = None
        # finished: what was expected and what it took, in seconds
        self._expected = 0.0
        self._took = 0.0

    def __enter__(self) -> Progress:
        if self._file is None:
            self._file = sys.stderr
        if not self._quiet:
            self._bars = _bars(self._file)
        if self._bars is not None:
            self._bars.start()
            self._all = self._bars.add_task("all", total=1.0, left="", text="")
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def print(self, text: str) -> None:
        """Show a line, above the bars if there are any."""
        if self._bars is not None:
            self._bars.console.print(text, markup=False, highlight=False)
        elif not self._quiet:
            print(text, file=self._file, flush=True)

    def skip(self, name: str) -> None:
        """Pass over a stage that a resumed run has finished before."""
        del self._left[name]
        self.print(f"{name}: already done")

    @contextmanager
    def stage(self, name: str, total: int, *, start: int = 0) -> Iterator[StageProgress]:
        """Show a stage while the ``with`` block runs.

        Parameters
        ----------
        name : str
            One of the stages that are still to do.
        total : int
            Number of steps.
        start : int, optional
            Step that a resumed run starts from.

        Yields
        ------
        StageProgress
            Whose `update` is to be called as the stage proceeds.
        """
        stage = StageProgress(self, name, total, start, self._left.pop(name))
        task = None
        if self._bars is not None:
            task = self._bars.add_task(name, total=total, completed=start, left="", text="")
        stage._task = task
        try:
            stage.update(start)
            yield stage
            took = time.monotonic() - stage._began
            self._took += took
            self._expected += stage._expected
            self.print(f"{name}: done in {_clock(took)}" + (stage._text and f", {stage._text}"))
        finally:
            if task is not None:
                self._bars.remove_task(task)

    def _seconds_left(self, stage: StageProgress) -> tuple[float, float]:
        """Return the time left of the stage and of the study."""
        took = time.monotonic() - stage._began
        part = (stage._done - stage._start) / max(stage._total - stage._start, 1)
        # the expectation counts like a first second of work, so that the estimate starts sane
        expected = stage._expected * part
        scale = (self._took + took + 1.0) / (self._expected + expected + 1.0)
        in_stage = stage._expected * (1 - part) * scale
        if part > 0 and took > 2.0:
            # from its own pace as soon as it has one, the more the further it is
            own = took / part * (1 - part)
            trust = min(1.0, part * 10)
            in_stage = trust * own + (1 - trust) * in_stage
        return in_stage, in_stage + scale * sum(self._left.values())

    def _show(self, stage: StageProgress) -> None:
        in_stage, in_all = self._seconds_left(stage)
        took = self._took + time.monotonic() - stage._began
        share = took / max(took + in_all, 1e-9)
        if self._bars is not None:
            self._bars.update(
                stage._task,
                completed=stage._done,
                left=f"{_clock(in_stage)} left",
                text=stage._text,
            )
            self._bars.update(self._all, completed=share, left=f"{_clock(in_all)} left")
        elif not self._quiet and time.monotonic() - stage._shown >= self._interval:
            stage._shown = time.monotonic()
            line = f"{stage._name}: {stage._done}/{stage._total}, {_clock(in_all)} left in all"
            self.print(line + (stage._text and f", {stage._text}"))


class StageProgress:
    """The current stage; made by `Progress.stage`."""

    def __init__(self, progress: Progress, name: str, total: int, start: int, expected: float):
        self._progress = progress
        self._name = name
        self._total = total
        self._start = self._done = start
        # of the steps that are left
        self._expected = expected * (total - start) / max(total, 1)
        self._began = self._shown = time.monotonic()
        self._text = ""
        self._task: Any = None

    def update(self, done: int, text: str = "") -> None:
        """Say how many steps are done.

        Parameters
        ----------
        done : int
            Counted from the beginning of the stage, also in a resumed run.
        text : str, optional
            Shown beside, such as ``"score 0.98"``.
        """
        self._done = done
        self._text = text or self._text
        self._progress._show(self)


class StopFlag:
    """True once the user has asked to stop."""

    def __init__(self) -> None:
        self._set = False

    def __bool__(self) -> bool:
        return self._set


@contextmanager
def stop_on_signal() -> Iterator[StopFlag]:
    """Turn the first Ctrl-C (SIGINT) or SIGTERM into a flag.

    The study polls the flag, saves a checkpoint and raises KeyboardInterrupt; the command line says
    how to resume. A second signal raises KeyboardInterrupt at once. On any other thread than the
    main one, where Python allows no handlers, the flag stays False.

    Yields
    ------
    StopFlag

    Examples
    --------
    >>> with stop_on_signal() as stop:
    ...     for step in range(3):
    ...         if stop:
    ...             raise KeyboardInterrupt
    """
    stop = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(signum: int, frame: object) -> None:
        if stop:
            raise KeyboardInterrupt
        stop._set = True
        # not print(): the signal may have come in the middle of one
        os.write(2, b"\nstopping at the next checkpoint; once more to stop at once\n")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            # None: it was not set from Python, so Python cannot put it back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _bars(file: TextIO) -> Any:
    """Return rich's progress bars, or None where they cannot be shown."""
    try:
        rich = require("rich.progress")
    except MissingPackageError:
        return None
    console = require("rich.console").Console(file=file)
    if not console.is_terminal or console.is_jupyter:
        return None
    return rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(bar_width=24),
        rich.TaskProgressColumn(),
        rich.TextColumn("{task.fields[left]}"),
        rich.TextColumn("{task.fields[text]}"),
        console=console,
        refresh_per_second=4,
        transient=True,
    )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
