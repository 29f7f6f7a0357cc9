"""Run folders: what they refuse, keep and resume, also after kill -9."""

from __future__ import annotations

import dataclasses
import enum
import errno
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from gatelearn import runs
from gatelearn.errors import UserError
from gatelearn.runs import RunFolder, Table, load_config
from gatelearn.runs.config import from_json, to_json

safetensors_numpy = pytest.importorskip("safetensors.numpy")


class Kind(enum.Enum):
    ONE_SHOT = "one-shot"
    PER_LAYER = "per-layer"


@dataclasses.dataclass(frozen=True)
class Optimiser:
    rate: float = 3e-3
    betas: tuple[float, float] = (0.9, 0.95)


@dataclasses.dataclass(frozen=True)
class Config:
    text: Path | None = None
    seed: int = 0
    tasks: tuple[str, ...] = ("needle", "repeat")
    size: Literal["small", "large"] = "small"
    kind: Kind = Kind.ONE_SHOT
    steps: int | float = 10
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    layers: list[int] = dataclasses.field(default_factory=lambda: [1, 2])
    optimiser: Optimiser = Optimiser()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run"


def create(path, config=Config(), *, resume=False, study="demo"):
    return RunFolder.create(path, config, study=study, resume=resume)


def content(path):
    return {p: p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


# config.json


def test_config_round_trip(path):
    config = Config(
        text=Path("a b"),
        seed=2**70,
        tasks=(),
        size="large",
        kind=Kind.PER_LAYER,
        steps=0.1 + 0.2,
        weights={"x": math.inf, "y": 5e-324},
        optimiser=Optimiser(betas=(1.0, np.float64(1 / 3))),
    )
    create(path, config).close()
    assert load_config(Config, path) == config
    assert load_config(Config, path / "config.json") == config
    tree = json.loads((path / "config.json").read_text())
    assert tree["study"] == "demo"
    assert set(tree["made_with"]) == {"gatelearn", "python", "numpy", "platform"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "1"}, "config field 'seed' is '1', expected int"),
        ({"seed": True}, "config field 'seed' is True, expected int"),
        ({"size": "huge"}, r"'size' is 'huge', expected typing.Literal\['small', 'large'\]"),
        ({"kind": "none"}, "'kind' is 'none', expected Kind"),
        ({"tasks": "needle"}, "'tasks' is 'needle', expected tuple"),
        ({"optimiser": {"rate": 1.0}}, "lacks the field 'optimiser.betas'"),
        ({"optimiser": 3}, "config optimiser. is 3, expected an object"),
        ({"other": 1}, "unknown field 'other'"),
    ],
)
def test_config_of_another_kind(change, message):
    with pytest.raises(UserError, match=message):
        from_json(Config, to_json(Config()) | change)


def test_config_that_json_cannot_hold():
    with pytest.raises(TypeError, match="config holds"):
        to_json(Config(text=object()))
    with pytest.raises(TypeError, match="config field 'tasks' is"):
        to_json(Config(tasks=("a", Path("b"))))


def test_config_missing_or_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json' does not exist"):
        load_config(Config, tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        load_config(Config, tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(UserError, match="not written by gatelearn"):
        RunFolder.open(tmp_path)


# what create refuses, leaving everything as it was


def test_refuses_what_is_there(path):
    path.mkdir()
    (path / "thesis.tex").write_text("years of work")
    for resume, error, message in [
        (False, FileExistsError, "not empty"),
        (True, UserError, "holds no run to resume"),
    ]:
        before = content(path)
        with pytest.raises(error, match=message):
            create(path, resume=resume)
        assert content(path) == before


def test_refuses_to_start_over_a_run(path):
    create(path).close()
    before = content(path)
    with pytest.raises(FileExistsError, match="not empty: resume"):
        create(path)
    assert content(path) == before


@pytest.mark.parametrize("resume", [False, True])
def test_starts_in_a_missing_or_empty_folder(path, resume):
    create(path / "deep" / "down", resume=resume).close()
    (path / "empty").mkdir()
    create(path / "empty", resume=resume).close()


def test_refuses_another_config(path):
    create(path).close()
    before = content(path)
    other = Config(optimiser=Optimiser(rate=0.1))
    with pytest.raises(UserError, match=r"'optimiser\.rate' is 0\.1, but .* has 0\.003"):
        create(path, other, resume=True)
    with pytest.raises(UserError, match="a run of study 'demo', not of 'other'"):
        create(path, resume=True, study="other")
    assert content(path) == before


def test_warns_of_other_versions(path, monkeypatch):
    create(path).close()
    monkeypatch.setattr(np, "__version__", "1.0")
    with pytest.warns(UserWarning, match="another numpy"):
        create(path, resume=True).close()


def test_refuses_a_file_for_a_folder(path):
    path.write_text("")
    with pytest.raises(FileExistsError, match="is a file, expected a folder"):
        create(path)
    with pytest.raises(OSError, match="cannot be written: Not a directory"):
        create(path / "run")


def test_refuses_an_unwritable_folder(path):
    path.mkdir(mode=0o500)
    if os.access(path, os.W_OK):
        pytest.skip("the permissions of this user cannot be taken away")
    with pytest.raises(PermissionError, match="cannot be written"):
        create(path)


@pytest.mark.parametrize("code", ["EROFS", "EACCES", "EPERM"])
def test_names_the_folder_that_cannot_be_written(path, monkeypatch, code):
    def refuse(*args, **kwargs):
        raise OSError(getattr(errno, code), "no")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionError, match="run' cannot be written: no"):
        create(path)


def test_refuses_a_folder_in_use(path):
    with create(path):
        script = (
            "import sys; from gatelearn.runs import RunFolder; import dataclasses\n"
            "C = dataclasses.make_dataclass('C', [])\n"
            "try: RunFolder.create(sys.argv[1], C(), study='demo', resume=True)\n"
            "except BlockingIOError as e: print(e)"
        )
        assert "in use by another process" in run_python(script, path).stdout


# checkpoints and stages


def test_checkpoint_round_trip(path, rng):
    big_endian = np.arange(3, dtype=">f4")
    arrays = {
        "strided": rng.random((4, 6))[::2, ::3],
        "scalar": np.float32(0.5).reshape(()),
        "empty": np.empty((0, 3)),
        "transposed": np.arange(6, dtype=np.int64).reshape(2, 3).T,
        "mask": np.array([True, False]),
        "big_endian": big_endian,
    }
    meta = {"step": np.int64(3), "rng": rng.bit_generator.state, "nan": math.nan, "pair": [1, "ü"]}
    with create(path) as folder:
        assert folder.load_checkpoint() is None
        folder.save_checkpoint(arrays, meta)
    found = RunFolder.open(path).load_checkpoint()
    assert set(found.arrays) == set(arrays)
    for name, array in arrays.items():
        assert found.arrays[name].shape == array.shape
        assert found.arrays[name].dtype == array.dtype.newbyteorder("=")
        assert found.arrays[name].tolist() == array.tolist()
        assert found.arrays[name].flags.writeable
    assert found.meta["step"] == 3 and found.meta["pair"] == [1, "ü"]
    assert math.isnan(found.meta["nan"])
    again = np.random.default_rng()
    again.bit_generator.state = found.meta["rng"]
    assert again.random(5).tolist() == rng.random(5).tolist()


@pytest.mark.parametrize("kind", ["PCG64", "MT19937", "Philox", "SFC64"])
def test_every_bit_generator_survives(path, kind):
    rng = np.random.Generator(getattr(np.random, kind)(7))
    rng.integers(3, size=5)
    with create(path) as folder:
        folder.save_checkpoint({}, {"rng": rng.bit_generator.state})
        again = np.random.Generator(getattr(np.random, kind)())
        again.bit_generator.state = folder.load_checkpoint().meta["rng"]
    assert again.integers(2**63, size=9).tolist() == rng.integers(2**63, size=9).tolist()


def test_checkpoint_refuses_what_it_cannot_hold(path):
    with create(path) as folder:
        folder.save_checkpoint({"w": np.ones(2)}, {"step": 1})
        bad = [({"w": np.array(["a"])}, {}), ({"w": np.ones(2) * 1j}, {}), ({}, {"x": object()})]
        for arrays, meta in bad:
            with pytest.raises(TypeError, match=r"expected|holds"):
                folder.save_checkpoint(arrays, meta)
        assert folder.load_checkpoint().meta == {"step": 1}


def damage(path, how):
    data = path.read_bytes()
    if how == "truncated":
        path.write_bytes(data[:-7])
    elif how == "bit":
        path.write_bytes(data[:-7] + bytes([data[-7] ^ 1]) + data[-6:])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "length":
        path.write_bytes(b"\xff" * 8 + data[8:])
    elif how == "noise":
        path.write_bytes(bytes(range(256)) * 8)
    elif how == "foreign":
        path.write_bytes(safetensors_numpy.save({"w": np.ones(3)}, {"format": "pt"}))


@pytest.mark.parametrize("how", ["truncated", "bit", "empty", "length", "noise", "foreign"])
@pytest.mark.parametrize("kind", ["checkpoint", "stage"])
def test_refuses_damaged_and_foreign_checkpoints(path, how, kind):
    with create(path) as folder:
        folder.log("a", 0, loss=1.0)
        folder.save_checkpoint({"w": np.ones(100)}, {})
        folder.save_stage("a/b", {"w": np.ones(100)}, {})
        folder.log("a", 1, loss=1.0)
    file = path / ("checkpoint" if kind == "checkpoint" else "stages/a/b")
    file = file.with_suffix(".safetensors")
    damage(file, how)
    before = content(path)
    with pytest.raises(UserError, match=f"{file.name}' is (damaged|not a gatelearn checkpoint)"):
        create(path, resume=True)
    assert content(path) == before
    folder = RunFolder.open(path)
    with pytest.raises(UserError):
        folder.load_checkpoint() if kind == "checkpoint" else folder.load_stage("a/b")


def test_stages(path):
    with create(path) as folder:
        assert folder.load_stage("controller/one-shot") is None
        folder.save_stage("controller/one-shot", {"w": np.arange(3.0)}, {"score": 0.5})
    with create(path, resume=True) as folder:
        arrays, meta = folder.load_stage("controller/one-shot")
        assert arrays["w"].tolist() == [0.0, 1.0, 2.0] and meta == {"score": 0.5}
    for name in ["", "../x", "/etc", "a//b", "a/", ".hidden", "a b"]:
        with pytest.raises(ValueError, match="name is"):
            RunFolder.open(path).load_stage(name)


def test_open_is_for_reading(path):
    create(path).close()
    folder = RunFolder.open(path)
    for write in (
        lambda: folder.log("a", 0, x=1),
        lambda: folder.save_checkpoint({}, {}),
        lambda: folder.save_stage("a", {}, {}),
        lambda: folder.save_table(Table()),
    ):
        with pytest.raises(ValueError, match="closed or open for reading"):
            write()


# metrics


def test_metrics_of_a_resumed_run_are_those_of_an_uninterrupted_one(path):
    def log(folder, stage, steps):
        for step in steps:
            folder.log(stage, step, loss=1 / (step + 1), **{"score/needle": np.float32(step)})

    with create(path / "whole") as folder:
        log(folder, "backbone", range(10))
        log(folder, "controller/one-shot", range(10))
        expected = folder.metrics()
    with create(path / "parts") as folder:
        log(folder, "backbone", range(4))
        folder.save_checkpoint({}, {"stage": "backbone", "step": 4})
        log(folder, "backbone", range(4, 7))
    with create(path / "parts", resume=True) as folder:
        log(folder, "backbone", range(4, 10))
        folder.save_stage("backbone", {}, {})
        log(folder, "controller/one-shot", range(5))
    with open(path / "parts" / "metrics" / "metrics.jsonl", "ab") as file:
        file.write(b'{"stage": "controller/one-shot", "st')
    assert len(RunFolder.open(path / "parts").metrics()) == 15
    with create(path / "parts", resume=True) as folder:
        log(folder, "controller/one-shot", range(10))
        assert folder.metrics() == expected
        assert folder.metrics("backbone") == expected[:10]
    files = [p / "metrics" / "metrics.jsonl" for p in (path / "whole", path / "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()

    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for stage in ("backbone", "controller/one-shot"):
        both = []
        for part in ("whole", "parts"):
            events = accumulator.EventAccumulator(str(path / part / "metrics" / stage))
            events.Reload()
            tags = events.Tags()["tensors"] + events.Tags()["scalars"]
            assert sorted(tags) == ["loss", "score/needle"]
            both.append([(e.step, e.value) for e in events.Scalars("loss")])
        assert both[0] == both[1] and len(both[0]) == 10


def test_metrics_without_tensorboard(path, monkeypatch):
    monkeypatch.setattr(runs.metrics, "_tensorboard", lambda: None)
    with create(path) as folder:
        folder.log("a", 0, loss=1)
        assert folder.metrics() == [{"stage": "a", "step": 0, "loss": 1}]
    assert [p.name for p in (path / "metrics").iterdir()] == ["metrics.jsonl"]


def test_metrics_refuse_what_is_no_number(path):
    with create(path) as folder:
        with pytest.raises(TypeError, match="metric 'loss' is 'low', expected a number"):
            folder.log("a", 0, loss="low")
        assert folder.metrics() == []


def test_metrics_that_vanished(path):
    with create(path) as folder:
        folder.log("a", 0, loss=1)
        folder.save_checkpoint({}, {})
    (path / "metrics" / "metrics.jsonl").write_text("")
    with pytest.raises(UserError, match="shorter than when the checkpoint"):
        create(path, resume=True)


# kill -9

STUDY = """
import dataclasses, os, signal, sys
import numpy as np
from gatelearn.runs import RunFolder

@dataclasses.dataclass
class Config:
    steps: int = 40

path, kill_at = sys.argv[1], int(sys.argv[2])
replaced, real = 0, os.replace

def replace(a, b):
    global replaced
    replaced += 1
    if replaced == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    real(a, b)

os.replace = replace
with RunFolder.create(path, Config(), study="demo", resume=True) as folder:
    for stage in ("backbone", "controller/one-shot"):
        if folder.load_stage(stage) is not None:
            continue
        rng, w, start = np.random.default_rng(0), np.zeros(1000), 0
        found = folder.load_checkpoint()
        if found is not None and found.meta["stage"] == stage:
            rng.bit_generator.state = found.meta["rng"]
            w, start = found.arrays["w"], found.meta["step"]
        for step in range(start, 40):
            w += rng.standard_normal(1000)
            folder.log(stage, step, norm=np.linalg.norm(w))
            if step % 10 == 9:
                meta = {"stage": stage, "step": step + 1, "rng": rng.bit_generator.state}
                folder.save_checkpoint({"w": w}, meta)
        folder.save_stage(stage, {"w": w}, {})
print("finished")
"""


def run_python(script, *args):
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, *map(str, args)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


def test_kill_9_while_a_file_is_written(path):
    assert run_python(STUDY, path / "whole", 0).stdout == "finished\n"
    # the very first file, a checkpoint, the last checkpoint of a stage, a stage's result
    for kill_at in (1, 2, 3, 4):
        killed = run_python(STUDY, path / "killed", kill_at)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert list((path / "killed").rglob(".*.gatelearn-tmp"))
    finished = run_python(STUDY, path / "killed", 0)
    assert finished.stdout == "finished\n", finished.stderr
    names = [
        "config.json",
        "checkpoint.safetensors",
        "stages/backbone.safetensors",
        "stages/controller/one-shot.safetensors",
        "metrics/metrics.jsonl",
    ]
    for name in names:
        assert (path / "killed" / name).read_bytes() == (path / "whole" / name).read_bytes(), name
    assert not list((path / "killed").rglob(".*.gatelearn-tmp"))


def test_atomic_write_keeps_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "a"
    runs.atomic_write(file, b"old")

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        runs.atomic_write(file, b"new")
    assert file.read_bytes() == b"old" and list(tmp_path.iterdir()) == [file]
