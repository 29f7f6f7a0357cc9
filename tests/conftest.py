"""Fixtures."""

import os

import numpy as np
import pytest

# child processes import what the tests import, not the source tree that they may be started in
os.environ.setdefault("PYTHONSAFEPATH", "1")


@pytest.fixture
def rng():
    return np.random.default_rng(0)
