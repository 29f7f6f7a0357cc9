"""Instructions of three kernels, counted by callgrind: slower code is seen without a clock.

On one thread and with AVX2 (callgrind knows no AVX-512), so that one build has the same counts on
each run and processor. ``python tests/test_instructions.py`` keeps those of today in
instructions.json.
"""

import json
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from processes import ROOT, needs, not_sanitized, run_python

from gatelearn import _core

KERNELS = ["gl_attention_forward_f32", "gl_attention_backward_f32", "gl_gated_heads_forward_f32",
           "gl_gated_heads_backward_f32"]
FIGURES = Path(__file__).with_name("instructions.json")
KEPT = json.loads(FIGURES.read_text())
MODULE = Path(_core.__file__).read_bytes()

pytestmark = [
    not_sanitized,
    pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed"),
    pytest.mark.skipif(_core.default_blas() != "vendored", reason="another BLAS"),
    pytest.mark.skipif(KERNELS[0].encode() not in MODULE, reason="the module has no symbols"),
    pytest.mark.skipif(b"__gcov_" in MODULE, reason="built for coverage, not for speed"),
]


def compiler():
    """What built the module, with its major version, as it says in there."""
    found = (re.search(rb"(clang) version (\d+)", MODULE)
             or re.search(rb"(GCC): \([^)]*\) (\d+)", MODULE))
    return found.expand(rb"\1 \2").decode() if found else "unknown"


def count():
    """Run the kernels under callgrind; return the instructions of each call by its name."""
    with TemporaryDirectory() as folder:
        printed = run_python(
            (ROOT / "tests" / "isolated" / "kernels.py").read_text(),
            under=["valgrind", "--tool=callgrind", "--quiet", "--vgdb=no", "--dump-before=get_isa",
                   *(f"--toggle-collect={name}" for name in KERNELS),
                   f"--callgrind-out-file={folder}/counts"],
            timeout=300, GATELEARN_ISA="avx2", GATELEARN_BLAS="vendored", GATELEARN_NUM_THREADS="1",
            OPENBLAS_CORETYPE="Haswell", PYTHONHASHSEED="0")
        files = [Path(folder, f"counts.{i + 1}") for i in range(len(printed.splitlines()))]
        totals = [int(re.search(r"^totals: (\d+)$", f.read_text(), re.M)[1]) for f in files]
    return dict(zip(printed.splitlines(), totals, strict=True))


@pytest.fixture(scope="module")
def counts():
    needs("avx2")
    return count()


@pytest.mark.parametrize("name", KEPT["counts"])
def test_no_kernel_takes_more_instructions_than_it_did(counts, name):
    # another compiler unrolls and spills in its own way; what loses its vectors takes several times
    # as many
    allowed = 1.1 if compiler() == KEPT["compiler"] else 1.5
    assert 0 < counts[name] <= allowed * KEPT["counts"][name], counts


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_keys_that_are_hidden_take_none(counts, way):
    assert counts[f"attention {way}, causal"] < 0.6 * counts[f"attention {way}, dense"]


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_heads_that_are_closed_take_none(counts, way):
    # what a sample with any open head takes, its norm and shift, comes on top of the half
    opened = counts[f"heads {way}, open"]
    assert counts[f"heads {way}, half closed"] < 0.6 * opened
    assert counts[f"heads {way}, closed"] < 0.02 * opened


if __name__ == "__main__":
    FIGURES.write_text(json.dumps({"compiler": compiler(), "counts": count()}, indent=1) + "\n")
