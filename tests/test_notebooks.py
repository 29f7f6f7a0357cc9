"""Notebooks run from top to bottom, and are committed without outputs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks beside the tests")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_committed_without_outputs(path):
    cells = json.loads(path.read_text())["cells"]
    assert all(not c["outputs"] and c["execution_count"] is None
               for c in cells if c["cell_type"] == "code")


@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="minutes under a sanitizer")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_runs(path, tmp_path):
    pytest.importorskip("nbmake")
    # a copy, run elsewhere, so that it imports what is installed
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--nbmake", "--nbmake-timeout=240",
                           "-p", "no:cacheprovider", copy.name], cwd=tmp_path, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
