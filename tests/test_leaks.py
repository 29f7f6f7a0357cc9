"""Leaks and random calls, each in a fresh interpreter."""

import pytest
from processes import ROOT, not_sanitized, run_python

ISOLATED = ROOT / "tests" / "isolated"


def run_script(name, *args, timeout=240):
    return run_python((ISOLATED / name).read_text(), *args, timeout=timeout, folder=ISOLATED)


@not_sanitized
def test_calls_leave_nothing():
    assert run_script("leaks.py", 5000).strip() == "nothing is left"


@not_sanitized
def test_threads_leave_nothing():
    assert run_script("leaks_of_threads.py", 300).strip() == "nothing is left"


@pytest.mark.parametrize("seed", range(2))
def test_random_arguments_are_refused_or_computed(seed):
    """Every function of _core: only the exceptions it documents, no write outside of an array."""
    print(run_script("fuzz.py", 1500, seed))
