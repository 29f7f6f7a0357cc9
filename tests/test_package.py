"""What is installed: files beside the modules, metadata, and the BLAS that was asked for."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gatelearn as gl
from gatelearn import _config, _core

PACKAGE = Path(gl.__file__).parent


def run(code, **env):
    return subprocess.run([sys.executable, "-c", code], env={**os.environ, **env},
                          capture_output=True, text=True)


def test_types_are_shipped():
    assert (PACKAGE / "py.typed").exists() and (PACKAGE / "_core.pyi").exists()


@pytest.mark.skipif(_core.default_blas() != "vendored", reason="another BLAS")
def test_the_vendored_library_comes_with_its_licences():
    names = [p.name for p in (PACKAGE / "_openblas").iterdir()]
    assert sum(name.startswith("libscipy_openblas") for name in names) == 1
    licences = "".join(p.read_text() for p in (PACKAGE / "_openblas").glob("LICENSE*"))
    assert "OpenBLAS" in licences and "GCC runtime library" in licences


def test_metadata():
    meta = importlib.metadata.metadata("gatelearn")
    assert meta["License-Expression"] == "BSD-3-Clause"
    assert gl.__version__ == meta["Version"]
    needed = [r for r in importlib.metadata.requires("gatelearn") if "extra ==" not in r]
    assert [re.split(r"[<>=]", r)[0] for r in needed] == ["numpy"]


def test_import_needs_numpy_alone():
    done = run("import sys, gatelearn.functional, gatelearn.interop, gatelearn.nn\n"
               "print(*sorted({m.partition('.')[0] for m in sys.modules}))")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert not loaded & {"scipy_openblas32", "torch", "matplotlib", "rich", "tyro", "tensorboard"}


def test_a_missing_torch_is_named():
    done = run("import sys; sys.modules['torch'] = None; import gatelearn.interop.torch")
    assert done.stderr.splitlines()[-1] == (
        "gatelearn.errors.MissingPackageError: torch is not installed: pip install torch")


def test_a_missing_stable_baselines3_is_named():
    pytest.importorskip("torch")
    done = run("import sys; sys.modules['stable_baselines3'] = None; import gatelearn.interop.sb3")
    assert done.stderr.splitlines()[-1] == (
        "gatelearn.errors.MissingPackageError: stable_baselines3 is not installed: "
        "pip install stable-baselines3")


@pytest.mark.parametrize("kind, version", [("none", "plain C"), (_config._BLAS_KIND, "")])
def test_show_config_tells_the_blas(kind, version):
    done = run("import gatelearn as gl; gl.show_config()", GATELEARN_BLAS=kind)
    assert done.returncode == 0, done.stderr
    rows = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert rows["blas"] == kind and version in rows["blas_version"]
    assert set(rows) == {"version", "blas", "blas_version", "instruction_set", "threads"}


def test_an_unknown_blas_is_named():
    done = run("import gatelearn", GATELEARN_BLAS="mkl")
    assert done.stderr.splitlines()[-1] == (
        "ImportError: GATELEARN_BLAS is 'mkl', expected vendored, system or none")
