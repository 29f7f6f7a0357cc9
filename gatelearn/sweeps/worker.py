"""The process that runs one trial, the same on every engine."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gatelearn.errors import UserError
from gatelearn.runs.config import from_json

STOPPED = 130


@dataclass(frozen=True)
class Job:
    """A trial, as it travels to where it runs."""

    module: str
    """Of the study."""
    config: dict[str, Any]
    """Settings, as JSON."""
    folder: str
    """Run folder; resumed where it holds a run. What the run prints goes to ``FOLDER.log``."""
    cwd: str
    """Working directory."""
    threads: int


@dataclass(frozen=True)
class Outcome:
    """How a trial's process ended."""

    seconds: float
    message: str = ""
    """Why it failed."""
    stopped: bool = False
    """It was asked to stop and can be resumed."""


class Worker:
    """A trial in a process of its own: a crash is a failed trial, not the end of the sweep.

    The process reads its job from standard input, and ends at once when that closes: whatever
    happens to the process that started it, no run folder stays in use.

    Parameters
    ----------
    job : Job
    """

    def __init__(self, job: Job):
        self._began, self._stopping = time.monotonic(), False
        # not a suffix of the folder's: it must stay empty until the run makes it
        self._log = Path(f"{job.folder}.log")
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._start = self._log.stat().st_size if self._log.exists() else 0
        path = os.pathsep.join(entry or job.cwd for entry in sys.path)
        command = "import sys; from gatelearn.sweeps.worker import main; sys.exit(main())"
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", command], stdin=subprocess.PIPE, stdout=log,
                stderr=log, text=True, cwd=job.cwd,
                env={**os.environ, "PYTHONPATH": path, "GATELEARN_NUM_THREADS": str(job.threads)},
                # a terminal's Ctrl-C is for the sweep, which passes it on
                start_new_session=True)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()

    def wait(self) -> Outcome:
        """Wait until it has ended."""
        # with a limit, however long, it looks now and then and so notices that Ray cancels its task
        code = self._process.wait(threading.TIMEOUT_MAX)
        if self._process.stdin is not None:
            self._process.stdin.close()
        seconds = time.monotonic() - self._began
        if code == 0:
            return Outcome(seconds)
        # a signal that comes while it starts ends it in other ways
        if self._stopping or code == STOPPED:
            return Outcome(seconds, stopped=True)
        if code < 0:
            return Outcome(seconds, f"killed by {signal.Signals(-code).name}")
        return Outcome(seconds, self._last_line() or f"ended with exit code {code}")

    def stop(self) -> None:
        """Ask it to stop at its next checkpoint."""
        self._stopping = True
        # not SIGINT, which is blocked in what a task of Ray starts
        self._process.terminate()

    def kill(self) -> None:
        """End it at once; as safe as any ``kill -9``."""
        self._process.kill()

    def _last_line(self) -> str:
        with open(self._log, "rb") as log:
            log.seek(self._start)
            lines = log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def main() -> int:
    """Run the job on standard input; return 0, 130 when stopped or 1 after an error."""
    try:
        job = Job(**json.loads(sys.stdin.readline()))
        threading.Thread(target=_end_with_parent, daemon=True).start()
        study = importlib.import_module(job.module)
        config = from_json(study.Config, job.config)
        study.run(config, out=job.folder, resume=True, progress=False)
    except KeyboardInterrupt:
        return STOPPED
    except Exception as error:
        traceback.print_exc()
        # the last line is the trial's message
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        print(kind + " ".join(str(error).split()), file=sys.stderr)
        return 1
    return 0


def _end_with_parent() -> None:
    # not sys.stdin: its lock would be held when the interpreter ends
    while os.read(0, 1):
        pass
    os._exit(1)
