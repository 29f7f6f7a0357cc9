"""The gating study: what it writes, that it repeats, resumes and refuses."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from study_runs import check_resumes, results

import gatelearn as gl
from gatelearn.errors import UserError
from gatelearn.runs import RunFolder, Table
from gatelearn.studies.backbone import BackboneTrainer, draw_texts, load_tasks, make_net
from gatelearn.studies.gating import BackboneConfig, Config, GatesConfig
from gatelearn.studies.gating.evaluate import task_from_gates
from gatelearn.tasks import TextTasks

pytest.importorskip("safetensors")
pytest.importorskip("matplotlib")

COLUMNS = ("method,task,score,score_lo,score_hi,open,ms_per_sequence,speedup,evidence,"
           "evidence_drop,tuning_trials")
METHODS = ["vanilla", "static-sigmoid", "random", "static-rl", "one-shot", "per-layer"]
TASKS = ["needle", "last", "mark", "chain", "next", "overall"]


def tiny(**changes):
    return replace(Config(
        test_texts=3, validation_texts=2, timing_rounds=2, vocabulary=512,
        backbone=BackboneConfig(width=16, layers=2, heads=2, hidden=16, steps=6, batch=4),
        gates=GatesConfig(updates=3, texts=3, samples=2, penalties=(0.1, 0.2),
                          sigmoid_penalties=(0.1, 0.2))), **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "run"
    return path, gl.studies.gating.run(tiny(), out=path, progress=False)


def test_what_a_run_writes(finished):
    path, result = finished
    lines = (path / "table.csv").read_text().splitlines()
    assert lines[0] == COLUMNS
    table = Table.from_csv(path / "table.csv")
    assert [(r["method"], r["task"]) for r in table] == [(m, t) for m in METHODS for t in TASKS]
    for row in table:
        assert 0 <= row["score_lo"] <= row["score"] <= row["score_hi"] <= 1
        assert 0 <= row["open"] <= 1 and row["ms_per_sequence"] > 0 and row["speedup"] > 0
        assert row["tuning_trials"] == (1 if row["method"] == "vanilla" else 2)
        if row["task"] == "next":
            assert np.isnan(row["evidence"]) and np.isnan(row["evidence_drop"])
    config = json.loads((path / "config.json").read_text())
    assert config["study"] == "gating" and config["config"]["backbone"]["width"] == 16
    summary = json.loads((path / "summary.json").read_text())
    assert {"gated_work_closed", "speedup_reached", "over_random", "task_from_gates",
            "chance"} <= summary["one-shot"].keys()
    for name in ("score_vs_open", "learning_curves", "gates_one-shot", "gates_per-layer"):
        assert (path / "figures" / f"{name}.png").stat().st_size > 5000
    assert list((path / "metrics").rglob("events.out.tfevents*"))
    assert set(result.plot()) == {p.stem for p in (path / "figures").glob("*.png")}
    assert any("of the gated work closed" in note for note in result.notes)


def test_chains_grow_during_the_curriculum(monkeypatch):
    config = tiny(hops=3)
    config = replace(config, backbone=replace(config.backbone, steps=10, curriculum=0.3))
    tasks, drawn = load_tasks(config), []
    validation = draw_texts(tasks, "validation", 2, seed=0)
    sample = TextTasks.sample
    monkeypatch.setattr(TextTasks, "sample", lambda self, *args, **more: (
        drawn.append(self.config.hops), sample(self, *args, **more))[1])
    net = make_net(tasks, config.backbone).build(0)
    trainer = BackboneTrainer(net, tasks, config.backbone, np.random.default_rng(0),
                              validation)
    for _ in range(10):
        trainer.step()
    assert drawn == 3 * [2] + 7 * [3]


def test_checkpoint_holds_the_network_and_the_chosen_controllers(finished):
    path, _ = finished
    arrays = RunFolder.open(path).load_checkpoint().arrays
    assert any(k.startswith("seed-0/net.") for k in arrays)
    assert any(k.startswith("seed-0/one-shot.") for k in arrays)


def test_random_gates_cost_what_the_controller_costs(finished):
    path, _ = finished
    arrays = RunFolder.open(path).load_stage("seed-0/evaluation").arrays
    m = METHODS.index
    assert (arrays["gate"][m("vanilla")] == 1).all()
    if Table.from_csv(path / "table.csv").where(method="random", task="overall")[0]["open"] < 1:
        heads = (arrays["gate"][..., :-1] != 0).mean((1, 2, 3, 4))
        assert heads[m("random")] == pytest.approx(heads[m("one-shot")], abs=0.2)


def test_same_seed_same_bits_on_other_threads(finished, tmp_path):
    path, _ = finished
    for n in (1, 5):
        with gl.num_threads(n):
            gl.studies.gating.run(tiny(), out=tmp_path / f"{n}", progress=False)
        assert results(tmp_path / f"{n}") == results(path)


def test_other_seed_other_bits(finished, tmp_path):
    gl.studies.gating.run(tiny(seed=1), out=tmp_path / "run", progress=False)
    assert results(tmp_path / "run")[0].keys() != results(finished[0])[0].keys()


def test_several_seeds_give_intervals_over_seeds(tmp_path):
    config = tiny(seeds=2, gates=replace(tiny().gates, penalties=(0.1,), sigmoid_penalties=(0.1,)))
    result = gl.studies.gating.run(config, out=tmp_path / "run", progress=False)
    scores = [s.arrays["score"].mean() for s in result.seeds]
    assert len(scores) == 2
    (row,) = result.table.where(method="vanilla", task="overall")
    means = [s.arrays["score"][0].mean() for s in result.seeds]
    assert row["score"] == pytest.approx(np.mean(means))
    assert row["score_lo"] <= min(means) and row["score_hi"] >= max(means)


# the same as tiny()
OPTIONS = {"backbone.width": 16, "backbone.layers": 2, "backbone.heads": 2,
           "backbone.hidden": 16, "backbone.steps": 6, "backbone.batch": 4,
           "gates.updates": 3, "gates.texts": 3, "gates.samples": 2, "gates.penalties": (0.1, 0.2),
           "gates.sigmoid_penalties": (0.1, 0.2), "test_texts": 3, "validation_texts": 2,
           "timing_rounds": 2, "vocabulary": 512}


@pytest.mark.parametrize("how, stage", [(signal.SIGINT, "one-shot-0"),
                                        (signal.SIGKILL, "static-rl-1"),
                                        (signal.SIGKILL, "backbone")])
def test_a_stopped_run_resumes_to_the_same_bits(finished, tmp_path, how, stage):
    check_resumes("gating", OPTIONS, tmp_path / "run", stage, how, finished[0])


def test_own_text(tmp_path):
    words = "def get value return self name for in if not list item set key data load".split()
    rng = np.random.default_rng(0)
    names = [f"name{i}" for i in range(300)]
    text = " ".join(rng.choice(words + names, 40_000))
    (tmp_path / "book.txt").write_text(text)
    result = gl.studies.gating.run(tiny(text=tmp_path / "book.txt"), out=tmp_path / "run",
                                   progress=False)
    assert len(result.table) == len(METHODS) * len(TASKS)


def command(*arguments, cwd=None):
    done = subprocess.run([sys.executable, "-m", "gatelearn", *map(str, arguments)],
                          capture_output=True, text=True, cwd=cwd, timeout=60)
    assert "Traceback" not in done.stderr
    return done


def test_a_users_mistakes_are_one_line_and_code_2(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "short.txt").write_text("too little")
    (tmp_path / "file").write_text("x")
    cases = {
        "missing": ("--text", tmp_path / "missing"),
        "empty": ("--text", tmp_path / "empty"),
        "binary": ("--text", tmp_path / "binary"),
        "short": ("--text", tmp_path / "short.txt"),
        "expected a folder": ("--out", tmp_path / "file" / "run"),
        "seeds": ("--seeds", "0"),
        "--updats": ("--gates.updats", "3"),
        "preset": ("--preset", "huge"),
        "length": ("--length", "10"),
        "penalties": ("--gates.penalties", "0.1"),
    }
    for word, options in cases.items():
        done = command("run", "gating", *options, cwd=tmp_path)
        assert done.returncode == 2, (word, done.stderr)
        if word not in ("expected a folder",):
            assert word.strip("-") in done.stderr, (word, done.stderr)
        assert not (tmp_path / "runs").exists(), word


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    assert command("run", "gating", "--out", tmp_path / "run").returncode == 2
    tmp_path.chmod(0o700)


def test_wrong_settings_are_refused():
    with pytest.raises(UserError, match=r"backbone.curriculum is 1.0, expected a share below 1"):
        tiny(backbone=BackboneConfig(curriculum=1.0))
    with pytest.raises(UserError, match=r"gates.samples is 1, expected at least 2"):
        GatesConfig(samples=1)
        Config(gates=GatesConfig(samples=1))
    with pytest.raises(UserError, match="preset is 'huge'"):
        Config.preset("huge")


def test_task_from_gates_tells_what_can_be_told():
    rng = np.random.default_rng(0)
    pattern = rng.integers(0, 2, (5, 1, 3, 5))
    noisy = np.repeat(pattern, 40, 1) ^ (rng.random((5, 40, 3, 5)) < 0.1)
    assert task_from_gates(noisy[:, :20], noisy[:, 20:]) > 0.9
    noise = rng.integers(0, 2, (5, 200, 3, 5))
    assert task_from_gates(noise[:, :100], noise[:, 100:]) == pytest.approx(0.2, abs=0.08)
