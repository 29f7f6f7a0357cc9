"""Python in a fresh process, for what a test cannot do to its own."""

import functools
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

# for tests that measure memory or look at the module itself
not_sanitized = pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""),
                                   reason="a sanitizer is at work")
ROOT = Path(__file__).parent.parent


def run_python(code, *args, timeout=120, folder=ROOT / "tests", under=(), **env):
    """Run `code` and return what it prints; fail with its output if it does not exit with 0.

    A crash of the interpreter is then a failed test that shows where it happened. `under` is the
    command of a tool that runs the interpreter.
    """
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [*under, sys.executable, "-P", "-X", "faulthandler", "-c", textwrap.dedent(code),
         *map(str, args)],
        capture_output=True, text=True, timeout=timeout,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p), **env})
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@functools.cache
def _refusal(isa):
    return run_python("""
        try:
            import gatelearn
        except ImportError as e:
            print(e)
    """, GATELEARN_ISA=isa)


def needs(isa):
    """Skip the test where the processor lacks the instruction set; with None, never."""
    if isa and "as this processor has" in _refusal(isa):
        pytest.skip(f"the processor has no {isa}")
