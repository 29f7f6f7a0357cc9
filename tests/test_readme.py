"""The documents at the root: their code runs, the files that they name exist."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md",
             "results/gating.md", "results/hard.md")

pytestmark = pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="no source tree")


def test_readme_code_runs(capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert blocks
    missing = [name for name in ("torch", "stable_baselines3")
               if importlib.util.find_spec(name) is None]
    for block in blocks:
        if any(re.search(rf"^(import|from) {name}\b", block, re.M) for name in missing):
            continue
        exec(compile(block, "README.md", "exec"), {})
    assert "instruction_set" in capsys.readouterr().out


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_name_what_exists(name):
    text = (ROOT / name).read_text()
    links = {(ROOT / name).parent / to for to in re.findall(r"\]\((?!http)([^)#]+)", text)}
    paths = {ROOT / to for to in re.findall(
        r"`((?:csrc|gatelearn|tests|benchmarks|docs|notebooks)/[\w./]*)`", text)}
    # written at the first use of a vendored build
    paths.discard(ROOT / "gatelearn/_openblas/")
    missing = [str(p) for p in sorted(links | paths) if not p.exists()]
    assert not missing


def test_readme_commands_are_those_of_ci():
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    for command in ("pip install '.[lab]' && gatelearn run gating",
                    "pip install '.[test]' && pytest"):
        assert command in readme and command in ci
