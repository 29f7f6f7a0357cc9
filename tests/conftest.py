"""Fixtures."""

import os

import numpy as np
import pytest
from hypothesis import settings

# child processes import what the tests import, not the source tree that they may be started in
os.environ.setdefault("PYTHONSAFEPATH", "1")

# the check before a merge tries the same examples each time; by hand, new ones are tried
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture
def rng():
    return np.random.default_rng(0)
