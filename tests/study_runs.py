"""What tests of all studies ask of a run."""

import signal
import subprocess
import sys
import time

import pytest

from gatelearn.runs import RunFolder


def results(path):
    """Everything in a run that may not differ between two runs."""
    folder = RunFolder.open(path)
    arrays = dict(folder.load_checkpoint().arrays)
    for stage in sorted(path.rglob("stages/**/*.safetensors")):
        name = stage.relative_to(path / "stages").with_suffix("").as_posix()
        arrays |= {f"{name}/{k}": v for k, v in folder.load_stage(name).arrays.items()
                   if k != "seconds"}
    return {k: v.tobytes() for k, v in arrays.items()}, folder.metrics()


def check_resumes(study, settings, path, stage, how, like):
    """Stop a run, in a process of its own, once a stage of seed 0 has ended; resume it to the end.

    The settings are options by name in Python, with underscores; `how` is a signal; `like` is a run
    of the same settings that ended undisturbed.
    """
    pytest.importorskip("tyro")
    words = [sys.executable, "-m", "gatelearn", "run", study, "--out", str(path)]
    for name, value in settings.items():
        values = value if isinstance(value, tuple) else (value,)
        words += [f"--{name.replace('_', '-')}", *map(str, values)]

    def start(*more):
        return subprocess.Popen([*words, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, cwd=path.parent)

    process = start()
    # the next stage may be anywhere
    seen = path / "stages" / "seed-0" / f"{stage}.safetensors"
    deadline = time.monotonic() + 120
    while not seen.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the run was faster than the signal")
    assert process.returncode == (130 if how == signal.SIGINT else -how), errors
    if how == signal.SIGINT:
        assert f"--resume {path}" in errors and "Traceback" not in errors
    again = start("--resume")
    _, errors = again.communicate(timeout=240)
    assert again.returncode == 0 and "already done" in errors, errors
    assert results(path) == results(like)
