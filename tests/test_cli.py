"""The command line, on a small study that trains nothing."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

import gatelearn
from gatelearn.cli import main
from gatelearn.errors import MissingPackageError, UserError
from gatelearn.runs import RunFolder, Table, load_config

pytest.importorskip("tyro")


@dataclasses.dataclass(frozen=True)
class Controller:
    rate: float = 3e-3
    """Learning rate."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the study."""

    text: Path | None = None
    """File or folder of text."""
    seed: int = 0
    """First seed."""
    seeds: int = 1
    """Number of seeds."""
    steps: int = 10
    """Number of steps."""
    controller: Controller = Controller()

    def __post_init__(self):
        if self.seeds < 1:
            raise UserError(f"seeds is {self.seeds}, expected at least 1")

    @classmethod
    def preset(cls, name):
        return cls(steps={"quick": 2, "default": 10, "full": 100}[name])


@dataclasses.dataclass
class Result:
    table: Table


def run(config, *, out=None, resume=False, progress=True):
    """Log a few rows; `seed` chooses what goes wrong."""
    if config.text is not None:
        config.text.read_text()
    with RunFolder.create(out, config, study="demo", resume=resume) as folder:
        for step in range(config.steps):
            folder.log("backbone", step, loss=1 / (step + 1))
        if config.seed == 1 and not resume:
            raise KeyboardInterrupt
        if config.seed == 2:
            raise ValueError("a bug")
        if config.seed == 3:
            raise MissingPackageError("rich is not installed: pip install 'gatelearn[lab]'")
        table = Table([{"method": "vanilla", "score": 0.97, "steps": config.steps}])
        folder.save_table(table)
        (folder.path / "figures").mkdir(exist_ok=True)
        (folder.path / "figures" / "gates.png").touch()
    return Result(table)


@pytest.fixture(autouse=True)
def study(monkeypatch, tmp_path):
    studies = types.ModuleType("gatelearn.studies")
    demo = types.SimpleNamespace(__doc__="Train nothing.\n\nMore.", Config=Config, run=run)
    studies.STUDIES = {"demo": demo}
    monkeypatch.setitem(sys.modules, "gatelearn.studies", studies)
    monkeypatch.chdir(tmp_path)


def fails(capsys, *argv):
    """Run a command that is the user's mistake; return the message."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    return err


def test_run(capsys):
    assert main(["run", "demo", "--preset", "quick"]) == 0
    out, err = capsys.readouterr()
    assert "run folder: runs/demo-1" in err
    assert "vanilla" in out and "0.970" in out
    assert "runs/demo-1/figures/gates.png" in out
    assert "tensorboard --logdir runs/demo-1/metrics" in out
    assert load_config(Config, "runs/demo-1") == Config.preset("quick")
    assert len(RunFolder.open("runs/demo-1").metrics()) == 2


def test_run_options():
    argv = "run demo --preset=quick --steps 3 --seeds 2 --controller.rate 0.1 --text a --out b c"
    Path("a").touch()
    assert main([*argv.split()[:-2], "b c", "--quiet", "--threads", "1"]) == 0
    expected = Config(Path("a"), seeds=2, steps=3, controller=Controller(0.1))
    assert load_config(Config, "b c") == expected


def test_never_writes_into_an_earlier_run(capsys):
    for number in (1, 2):
        assert main(["run", "demo"]) == 0
        assert Path("runs", f"demo-{number}", "table.csv").exists()
    capsys.readouterr()
    assert "not empty" in fails(capsys, "run", "demo", "--out", "runs/demo-1")


@pytest.mark.parametrize("how", [["runs/demo-1"], [], ["--out", "runs/demo-1"]])
def test_interrupt_and_resume(capsys, how):
    assert main(["run", "demo", "--seed", "1", "--steps", "4"]) == 130
    err = capsys.readouterr().err
    assert "stopped; continue with: gatelearn run demo --resume runs/demo-1\n" in err
    # with the settings that it had
    assert main(["run", "demo", "--resume", *how]) == 0
    assert Table.from_csv("runs/demo-1/table.csv")["steps"] == [4]


def test_resume_and_start_alike():
    for _ in range(2):
        assert main(["run", "demo", "--out", "a", "--resume", "--preset", "quick"]) == 0


def test_resume_refuses(capsys):
    assert "there is no run to resume: runs/ holds no demo-N" in fails(
        capsys, "run", "demo", "--resume"
    )
    assert "--resume is 'a', expected the folder" in fails(capsys, "run", "demo", "--resume", "a")
    assert main(["run", "demo"]) == 0
    capsys.readouterr()
    message = "config field 'steps' is 4, but the run to resume has 10"
    assert message in fails(capsys, "run", "demo", "--resume", "--steps", "4")
    message = "config field 'steps' is 2, but the run to resume has 10"
    assert message in fails(capsys, "run", "demo", "--resume", "--preset", "quick")
    both = ["--resume", "runs/demo-1", "--out", "b"]
    assert "give one of them" in fails(capsys, "run", "demo", *both)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("rum", "unknown command 'rum'; did you mean 'run'?"),
        ("run demu", "unknown study 'demu'; did you mean 'demo'?"),
        ("run xyz", "unknown study 'xyz'; expected one of demo"),
        ("run --seed 1 demo", "unknown study '--seed'"),
        ("config x", "unexpected argument 'x' after 'config'"),
        ("run demo --sed 1", "--seed INT"),
        ("run demo --preset fast", "Expected one of ('quick',"),
        ("run demo --steps x", "Error parsing --steps"),
        ("run demo --seed", "'--seed'"),
        ("run demo --seeds 0", "gatelearn: error: seeds is 0, expected at least 1\n"),
        ("run demo --threads 0", "gatelearn: error: --threads is 0, expected at least 1\n"),
        ("run demo --text no", "gatelearn: error: No such file or directory: 'no'\n"),
        ("run demo --text .", "gatelearn: error: Is a directory: '.'\n"),
        ("run demo --out file", "gatelearn: error: 'file' is a file, expected a folder"),
        ("run demo --out file/x", "run folder 'file/x' cannot be written: Not a directory"),
        ("run demo --seed 3", "gatelearn: error: rich is not installed: pip install"),
    ],
)
def test_mistakes(capsys, argv, message):
    Path("file").touch()
    assert message in fails(capsys, *argv.split())


def test_a_bug_shows_its_traceback():
    with pytest.raises(ValueError, match="a bug"):
        main(["run", "demo", "--seed", "2"])


def test_help(capsys):
    for argv in (["--help"], ["run", "--help"]):
        assert main(argv) == 0
        assert "demo  Train nothing.\n" in capsys.readouterr().out
    assert main(["run", "demo", "--preset", "full", "--help"]) == 0
    out = capsys.readouterr().out
    for option in (
        "--preset",
        "--out",
        "--resume",
        "--threads",
        "--quiet",
        "--text",
        "--seed",
        "--seeds",
        "--controller.rate",
        "(default: 100)",
    ):
        assert option in out
    assert main([]) == main(["run"]) == 2
    assert "usage" in capsys.readouterr().err


def test_version_and_config(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gatelearn {gatelearn.__version__}\n"
    assert main(["config"]) == 0
    assert capsys.readouterr().out


def module(*argv):
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-m", "gatelearn", *argv], env=env, capture_output=True, text=True
    )


def test_module():
    found = module("--version")
    assert (found.returncode, found.stdout) == (0, f"gatelearn {gatelearn.__version__}\n")
    found = module("rum")
    assert found.returncode == 2 and found.stderr.count("\n") == 1


def test_ctrl_c_in_a_real_process(tmp_path):
    script = """
import os, signal, sys, time, types, pathlib
sys.path.insert(0, sys.argv.pop(1))
import test_cli
from gatelearn.runs import Progress, RunFolder, stop_on_signal

def run(config, *, out, resume, progress):
    with RunFolder.create(out, config, study="demo", resume=resume), stop_on_signal() as stop:
        print("ready", flush=True)
        while not stop:
            time.sleep(0.01)
        raise KeyboardInterrupt

studies = types.ModuleType("gatelearn.studies")
studies.STUDIES = {"demo": types.SimpleNamespace(__doc__="", Config=test_cli.Config, run=run)}
sys.modules["gatelearn.studies"] = studies
from gatelearn.cli import main
sys.exit(main())
"""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(Path(__file__).parent), "run", "demo"]
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130, err
    assert "continue with: gatelearn run demo --resume runs/demo-1\n" in err
    assert "Traceback" not in err
