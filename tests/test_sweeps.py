"""Sweeps: their trials, folders and tables; that they stop, resume and survive failures."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import sweep_study

import gatelearn as gl
from gatelearn import plots, studies
from gatelearn.cli import main
from gatelearn.errors import UserError
from gatelearn.runs import RunFolder, Table, load_config
from gatelearn.runs.config import to_json
from gatelearn.sweeps.database import Database
from gatelearn.sweeps.local import Local
from gatelearn.sweeps.plan import Plan, new_plan
from gatelearn.sweeps.worker import Job

optuna = pytest.importorskip("optuna")
pytest.importorskip("safetensors")
pytest.importorskip("matplotlib")

TESTS = Path(__file__).parent
# what other processes need to import what this one does; Ray is not to report its use
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)]),
               "RAY_USAGE_STATS_ENABLED": "0"}
VARY = {"lr": "1e-4:1e-1:log", "estimator": "reinforce,loo,crash"}


def sweep(out, vary=VARY, **options):
    return gl.sweep(sweep_study, vary, out=out, progress=False, **options)


def settings(result, *states):
    """What was tried, by number, with what came of it."""
    rows = [row for row in result.table if not states or row["state"] in states]
    return {row["trial"]: (row["state"], row["value"], *(row[name] for name in result.plan.space))
            for row in rows}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "a sweep"
    return path, sweep(path, trials=6, overrides={"gates.lr": 0.25})


@pytest.fixture
def demo(monkeypatch, tmp_path):
    """The study under a name, in an empty folder."""
    monkeypatch.setattr(type(studies.STUDIES), "_names", ("demo", "gating"))
    monkeypatch.setitem(sys.modules, "gatelearn.studies.demo", sweep_study)
    monkeypatch.chdir(tmp_path)


def test_what_a_sweep_writes(finished):
    path, result = finished
    table = Table.from_csv(path / "table.csv")
    assert table == result.table and sorted(table["trial"]) == list(range(6))
    assert table.columns == ["trial", "state", "value", "lr", "estimator", "seconds", "folder",
                             "message"]
    complete = table.where(state="complete")
    assert table.rows[:len(complete)] == complete.rows and 0 < len(complete) < 6
    assert complete["value"] == sorted(complete["value"], reverse=True)
    for row in complete:
        score = -(np.log10(row["lr"]) + 3) ** 2 - 0.25 + (row["estimator"] == "loo")
        assert row["value"] == pytest.approx(score, rel=1e-12) and row["message"] is None
        assert row["seconds"] > 0 and row["estimator"] != "crash"
    for row in table.where(state="failed"):
        assert row["estimator"] == "crash" and row["value"] is None
        assert row["message"] == "ValueError: it diverged at once"
        assert "Traceback" in (path / f"{row['folder']}.log").read_text()
    assert result.best == complete[0]
    assert repr(result).splitlines()[-1].startswith(f"best: trial {complete[0]['trial']}, inner")
    assert (path / "figures" / "sweep.png").stat().st_size > 5000
    assert Plan.load(path) == result.plan


def test_a_trial_is_an_ordinary_run(finished, demo, capsys):
    path, result = finished
    folder = path / result.best["folder"]
    config = load_config(sweep_study.Config, folder)
    assert (config.lr, config.estimator) == (result.best["lr"], result.best["estimator"])
    assert config.gates.lr == 0.25 and config.steps == 2
    assert len(RunFolder.open(folder).metrics("train")) == 2
    assert main(["run", "demo", "--resume", str(folder), "--quiet"]) == 0
    assert "score" in capsys.readouterr().out


def test_optuna_opens_it(finished):
    _, result = finished
    url = result.dashboard.removeprefix("optuna-dashboard ").strip("'")
    study = optuna.load_study(study_name="sweep-study", storage=url)
    assert study.best_trial.number == result.best["trial"]
    assert study.best_params == {"lr": result.best["lr"], "estimator": result.best["estimator"]}
    (failed, *_) = study.get_trials(states=[optuna.trial.TrialState.FAIL])
    assert failed.user_attrs["message"] == "ValueError: it diverged at once"
    assert optuna.logging.get_verbosity() == optuna.logging.INFO


def test_the_same_seed_tries_the_same(finished, tmp_path):
    _, result = finished
    again = settings(sweep(tmp_path / "again", trials=3, overrides={"gates.lr": 0.25}))
    assert again == {i: settings(result)[i] for i in range(3)}
    other = sweep(tmp_path / "other", trials=2, overrides={"gates.lr": 0.25}, seed=1)
    assert settings(other)[0] != settings(result)[0]
    # by default the study's own
    own = sweep(tmp_path / "own", trials=1, overrides={"gates.lr": 0.25, "seed": 1})
    assert settings(own)[0] == settings(other)[0]


def test_a_finished_sweep_grows_and_repeats_nothing(finished, tmp_path):
    _, result = finished
    part = sweep(tmp_path / "part", trials=4, overrides={"gates.lr": 0.25})
    before = {p: p.stat().st_mtime_ns for p in part.path.rglob("trials/*/*")}
    more = gl.sweep(sweep_study, out=part.path, resume=True, trials=6, progress=False)
    assert settings(more) == settings(result)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert Plan.load(part.path).trials == 6


@contextlib.contextmanager
def process(out, workers, engine="local", steps=12):
    """A sweep whose runs take some time, in a process of its own."""
    script = """
import sys
import gatelearn as gl, sweep_study
from pathlib import Path
if __name__ == "__main__":
    out, engine = Path(sys.argv[1]), sys.argv[3]
    if engine == "ray":
        import ray
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200_000_000)
    gl.sweep(sweep_study, None if (out / "sweep.json").exists() else {"lr": "1e-4:1e-1:log"},
             out=out, resume=True, overrides={"steps": int(sys.argv[4]), "pause": 0.1},
             trials=3, workers=int(sys.argv[2]), engine=engine)
"""
    started = subprocess.Popen([sys.executable, "-c", script, str(out), str(workers), engine,
                                str(steps)],
                               cwd=out.parent, env=os.environ | ENVIRONMENT,
                               stderr=subprocess.PIPE, text=True)
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def wait_until(done, seconds=180):
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come so far"
        time.sleep(0.01)


def in_the_middle_of(folder):
    """Whether a run has taken some of its steps."""
    checkpoint = folder / "checkpoint.safetensors"
    if not checkpoint.exists() or (folder / "summary.json").exists():
        return False
    return RunFolder.open(folder).load_checkpoint().meta["step"] >= 5


@pytest.mark.parametrize("workers", [1, 2])
def test_kill_9_loses_no_finished_trial(tmp_path, workers):
    out = tmp_path / "sweep"
    with process(out, workers) as started:
        wait_until(lambda: in_the_middle_of(out / "trials" / f"{workers:04}"))
        started.kill()
        started.wait()
    first = {p: p.stat().st_mtime_ns for p in out.rglob("trials/*/summary.json")}
    result = gl.sweep(sweep_study, out=out, resume=True, progress=False)
    assert [row["state"] for row in result.table] == 3 * ["complete"]
    assert {p: p.stat().st_mtime_ns for p in first} == first
    taken_up = json.loads((out / "trials" / f"{workers:04}" / "summary.json").read_text())
    assert taken_up["resumed_at"] >= 5 and taken_up["done"] == 12
    # as if it had not been killed
    if workers == 1:
        whole = sweep(tmp_path / "whole", {"lr": "1e-4:1e-1:log"}, trials=3,
                      overrides={"steps": 12, "pause": 0.0})
        assert settings(result) == settings(whole)


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_ctrl_c_stops_at_checkpoints_and_resumes(tmp_path, engine):
    if engine == "ray":
        pytest.importorskip("ray")
    # Ray repeats a cancellation that came to nothing only after seconds
    out, steps = tmp_path / "sweep", 100 if engine == "ray" else 40
    with process(out, 2, engine, steps) as started:
        wait_until(lambda: all(in_the_middle_of(out / "trials" / f"000{i}") for i in range(2)))
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=180)
    assert started.returncode != 0 and "KeyboardInterrupt" in errors and "done in" not in errors
    table = Table.from_csv(out / "table.csv")
    assert table["state"] == ["unfinished", "unfinished"] and min(table["seconds"]) > 0.5
    # a later process: this one may ask for as many workers as it likes
    result = gl.sweep(sweep_study, out=out, resume=True, workers=3, progress=False)
    assert [row["state"] for row in result.table] == 3 * ["complete"]
    for trial in range(2):
        summary = json.loads((out / "trials" / f"000{trial}" / "summary.json").read_text())
        assert summary["resumed_at"] >= 5 and summary["done"] == steps


def test_a_trial_that_stops_before_it_has_begun_has_not_failed(tmp_path):
    config = {**to_json(sweep_study.Config()), "pause": 60.0}
    job = Job("sweep_study", config, str(tmp_path / "run"), str(tmp_path), threads=1)
    engine = Local(1)
    with contextlib.closing(engine):
        future = engine.submit(job)
        engine.stop()
        assert future.result(timeout=60).stopped


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_proposals_depend_on_what_has_finished_alone(tmp_path, sampler):
    plan = new_plan("demo", sweep_study, VARY | {"steps": "1:9"}, preset=None, overrides=None,
                    trials=30, metric=None, direction=None, sampler=sampler, seed=3)

    def tried(folder, sittings):
        folder.mkdir()
        for trials in sittings:
            with Database(folder, plan) as database:
                # one that was begun and not finished
                for trial in database.trials("unfinished"):
                    database.complete(trial, -abs(np.log10(trial.params["lr"]) + 3))
                for _ in range(trials):
                    trial = database.add()
                    database.complete(trial, -abs(np.log10(trial.params["lr"]) + 3))
                if trials < 30:
                    database.add()
        with Database(folder, plan) as database:
            return [trial.params for trial in database.trials()]

    whole = tried(tmp_path / "whole", [30])
    assert tried(tmp_path / "parts", [3, 8, 17])[:30] == whole
    far = np.abs([np.log10(settings["lr"]) + 3 for settings in whole])
    # it learns from what has finished
    assert (far[20:].mean() < 0.5 * far[:10].mean()) == (sampler == "tpe")


def test_every_failure_has_its_message(tmp_path):
    result = sweep(tmp_path / "sweep", {"estimator": "loo,crash,die,nan,missing"}, sampler="grid",
                   workers=2)
    assert {row["estimator"]: row["message"] for row in result.table} == {
        "loo": None,
        "crash": "ValueError: it diverged at once",
        "die": "killed by SIGKILL",
        "nan": "metric 'inner.score' is nan",
        "missing": "the summary has no metric 'inner.score'; expected one of loss, done, "
                   "resumed_at"}
    assert result.table["state"] == ["complete", *4 * ["failed"]]
    wrong = sweep(tmp_path / "wrong", {"steps": "0,1"}, sampler="grid")
    assert wrong.table["state"] == ["complete", "failed"]
    assert wrong.table[1]["message"] == "steps is 0, expected at least 1"
    text = sweep(tmp_path / "text", {"text": "a,b"}, sampler="grid", trials=1)
    assert text.best is None and text.plot() == {} and text.notes == ["1 trials failed"]
    assert text.table["message"] == ["text 'a' is missing"]


def test_another_metric(tmp_path):
    result = sweep(tmp_path / "sweep", {"lr": "1e-4,1e-3,1e-2"}, sampler="grid", metric="loss",
                   direction="minimize")
    assert result.best["lr"] == 1e-3
    assert result.table["value"] == sorted(result.table["value"])


@pytest.mark.parametrize(("metric", "hint"), [
    ("inner.scor", "; did you mean 'inner.score'?"),
    ("accuracy", "; expected one of inner.score, inner.threads, loss, done, resumed_at")])
def test_a_metric_that_no_run_has_ends_the_sweep(tmp_path, metric, hint):
    out = tmp_path / "sweep"
    with pytest.raises(UserError) as error:
        sweep(out, {"lr": "1e-4,1e-3,1e-2"}, sampler="grid", metric=metric, direction="maximize")
    assert str(error.value) == f"the summary has no metric '{metric}'" + hint
    table = Table.from_csv(out / "table.csv")
    assert len(table) == 1 and table[0]["message"] == str(error.value)


def test_tuples_vary(tmp_path):
    vary = {"heads": "3 4,5", "rates": [(0.5, 1.0), (2.0, 4.0)]}
    result = sweep(tmp_path / "sweep", vary, sampler="grid")
    tried = {(row["heads"], row["rates"]): json.loads(
        (result.path / row["folder"] / "config.json").read_text())["config"]
        for row in result.table}
    assert {k: (v["heads"], v["rates"]) for k, v in tried.items()} == {
        (h, r): ([int(n) for n in h.split()], [float(x) for x in r.split()])
        for h in ("3 4", "5") for r in ("0.5 1.0", "2.0 4.0")}
    again = gl.sweep(sweep_study, vary, out=result.path, resume=True, progress=False)
    assert list(again.table) == list(result.table)


def test_a_grid_is_every_combination_once(tmp_path):
    vary = {"steps": "1,2", "bias": "true,false"}
    result = sweep(tmp_path / "sweep", vary, sampler="grid", trials=99)
    tried = sorted((row["steps"], row["bias"]) for row in result.table)
    assert tried == [(1, False), (1, True), (2, False), (2, True)] and result.plan.trials == 4


def test_random_draws_are_no_repetitions_after_a_resume(tmp_path):
    vary = {"lr": "1e-4:1e-1:log", "steps": "1:3"}
    result = sweep(tmp_path / "sweep", vary, sampler="random", trials=2)
    result = sweep(tmp_path / "sweep", vary, sampler="random", trials=3, resume=True)
    assert len({row["lr"] for row in result.table}) == 3
    assert all(1e-4 <= row["lr"] <= 1e-1 and row["steps"] in (1, 2, 3) for row in result.table)


def test_workers_share_the_threads(tmp_path):
    for threads, workers, each in ((4, 2, 2), (1, 2, 1)):
        with gl.num_threads(threads):
            result = sweep(tmp_path / f"{threads}", {"lr": "0.1,1"}, sampler="grid",
                           workers=workers, metric="inner.threads", direction="maximize")
        assert result.table["value"] == [each, each]


def test_resume_refuses_what_would_be_another_sweep(finished):
    path, _ = finished
    for asked, message in (
            ({"vary": {"lr": "1e-4:1e-1"}},
             "space is lr=0.0001:0.1, but the sweep to resume has lr=0.0001:0.1:log estimator="),
            ({"overrides": {"steps": 3, "gates.lr": 0.25}},
             "config field 'steps' is 3, but the sweep to resume has 2"),
            ({"preset": "quick"}, "config field 'steps' is 1, but the sweep to resume has 2"),
            ({"metric": "loss"}, "metric is loss, but the sweep to resume has inner.score"),
            ({"direction": "minimize"}, "direction is minimize, but the sweep to resume has max"),
            ({"sampler": "random"}, "sampler is random, but the sweep to resume has tpe"),
            ({"seed": 3}, "seed is 3, but the sweep to resume has 0")):
        with pytest.raises(UserError) as error:
            gl.sweep(sweep_study, out=path, resume=True, progress=False, **asked)
        assert message in str(error.value)
    with pytest.raises(UserError, match="is a sweep of study 'sweep-study', not of 'gating'"):
        gl.sweep("gating", out=path, resume=True)


def test_mistakes(finished, tmp_path):
    path, _ = finished
    with pytest.raises(FileExistsError, match=r"sweep folder '.*' is not empty: resume the sweep"):
        sweep(path)
    with pytest.raises(UserError, match="holds no sweep to resume: it has files, but no sweep"):
        sweep(path / "trials" / "0000", resume=True)
    with pytest.raises(UserError, match="unknown study 'gatin'; did you mean 'gating'"):
        gl.sweep("gatin", VARY)
    with pytest.raises(UserError, match="module 'json' is no study"):
        gl.sweep(json, VARY)
    with pytest.raises(UserError, match="workers is 0, expected at least 1"):
        sweep(tmp_path / "a", workers=0)
    with pytest.raises(UserError, match="engine is 'dask', expected one of local, ray"):
        sweep(tmp_path / "a", engine="dask")
    with pytest.raises(UserError, match="address is 'x', but engine local needs none"):
        sweep(tmp_path / "a", address="x")
    with pytest.raises(UserError, match="nothing to vary"):
        sweep(tmp_path / "a", None)
    assert not (tmp_path / "a").exists()
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(UserError, match=r"sweep\.json' cannot be used"):
        sweep(tmp_path, resume=True)


def test_a_study_without_an_objective_needs_a_metric(finished, tmp_path, monkeypatch):
    monkeypatch.delattr(sweep_study, "OBJECTIVE")
    with pytest.raises(UserError, match="study 'sweep-study' has no OBJECTIVE"):
        sweep(tmp_path / "a")


def test_a_folder_in_use_is_refused(tmp_path):
    out = tmp_path / "sweep"
    with process(out, 1):
        wait_until((out / "optuna.db").exists)
        with pytest.raises(BlockingIOError, match="is in use by another process"):
            gl.sweep(sweep_study, out=out, resume=True)


def test_command_line(demo, capsys):
    command = ["sweep", "demo", "--vary", "lr=1e-4:1e-1:log", "bias=true,false", "--trials", "2",
               "--vary", "depth=1:3", "--preset", "quick", "--gates.lr", "0.5", "--seed", "4"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert "sweep folder: runs/sweep-demo-1" in err and "trial 1: inner.score" in err
    table = Table.from_csv("runs/sweep-demo-1/table.csv")
    assert table.columns[3:6] == ["lr", "bias", "depth"] and len(table) == 2
    config = load_config(sweep_study.Config, "runs/sweep-demo-1/trials/0001")
    assert (config.steps, config.gates.lr, config.seed) == (1, 0.5, 4)
    assert Plan.load(Path("runs/sweep-demo-1")).seed == 4
    for line in ("best: trial", "figures:    runs/sweep-demo-1/figures/sweep.png",
                 "table:      runs/sweep-demo-1/table.csv",
                 "curves:     tensorboard --logdir runs/sweep-demo-1/trials",
                 f"dashboard:  optuna-dashboard sqlite:///{Path.cwd()}/runs/sweep-demo-1/optuna.db"):
        assert line in out
    # three ways to the same sweep, with what it was asked for
    assert main(["sweep", "demo", "--resume", "--quiet"]) == 0
    assert main(["sweep", "demo", "--resume", "runs/sweep-demo-1", "--trials", "3"]) == 0
    assert main([*command[:-6], "--out", "runs/sweep-demo-1", "--resume", "--quiet", "--preset",
                 "quick", "--gates.lr", "0.5", "--seed", "4"]) == 0
    assert len(Table.from_csv("runs/sweep-demo-1/table.csv")) == 3
    capsys.readouterr()
    assert main(["sweep", "demo", "--resume", "--steps", "7"]) == 2
    assert "'steps' is 7, but the sweep to resume has 1" in capsys.readouterr().err


def test_command_line_without_a_value(demo, capsys):
    assert main("sweep demo --vary text=a,b --sampler grid --quiet".split()) == 1
    out, err = capsys.readouterr()
    assert err == "" and "2 trials failed" in out and "text 'b' is missing" in out


@pytest.mark.parametrize(("options", "message"), [
    ("", "nothing to vary"),
    ("--vary lr", "--vary has 'lr', expected NAME=VALUES"),
    ("--vary lr=0:1 lr=0:2", "--vary has 'lr' twice"),
    ("--vary lr=0:1 --vary lr=0:2", "--vary has 'lr' twice"),
    ("--vary lrr=0:1", "unknown setting 'lrr'; did you mean 'lr'?"),
    ("--vary lr=0:1 --trials 0", "trials is 0, expected at least 1"),
    ("--vary lr=0:1 --workers 0", "workers is 0, expected at least 1"),
    ("--vary lr=0:1 --engine dask", "--engine"),
    ("--vary lr=0:1 --sampler best", "--sampler"),
    ("--vary lr=0:1 --steps x", "--steps"),
    ("--vary lr=0:1 --preset huge", "Expected one of ('quick',"),
    ("--resume", "there is no sweep to resume: runs/ holds no sweep-demo-N"),
    ("--resume x", "--resume is 'x', expected the folder of a sweep"),
])
def test_mistakes_on_the_command_line(demo, capsys, options, message):
    assert main(["sweep", "demo", *options.split()]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and not Path("runs").exists()


def test_help(capsys):
    for name in studies.STUDIES:
        assert main(["sweep", name, "--help"]) == 0
        out = re.sub(r"\s+", " ", re.sub("[│╭╮╰╯─]", "", capsys.readouterr().out))
        for word in ("--vary NAME=VALUES", "NAME=LOW:HIGH:log", "--trials", "--workers", "--engine",
                     "--address", "--preset", "--out", "--resume", "--metric", "--direction",
                     "--sampler", "--seed", "--quiet"):
            assert word in out, word


def test_ctrl_c_on_the_command_line_says_how_to_continue(demo, capsys, monkeypatch):
    def interrupted(*args, out, **options):
        out.mkdir(parents=True)
        (out / "sweep.json").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("gatelearn.sweeps.sweep", interrupted)
    assert main(["sweep", "demo", "--vary", "lr=0:1"]) == 130
    message = "stopped; continue with: gatelearn sweep demo --resume runs/sweep-demo-1\n"
    assert message in capsys.readouterr().err


def test_the_gating_study(tmp_path):
    tiny = {"test_texts": 3, "validation_texts": 2, "timing_rounds": 2, "vocabulary": 512,
            "backbone.width": 16, "backbone.layers": 2, "backbone.heads": 2, "backbone.hidden": 16,
            "backbone.steps": 6, "backbone.batch": 4, "gates.updates": 3, "gates.texts": 3,
            "gates.penalties": (0.1,), "gates.sigmoid_penalties": (0.1,)}
    result = gl.sweep("gating", {"gates.lr": "1e-3:1e-1:log", "samples": [2, 3]}, trials=2,
                      workers=2, overrides=tiny, out=tmp_path / "sweep", progress=False)
    assert result.table["state"] == ["complete", "complete"], result.table
    for row in result.table:
        summary = json.loads((result.path / row["folder"] / "summary.json").read_text())
        assert summary["one-shot"]["score_change"] == row["value"]


def test_ray_runs_the_same_trials(finished, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    _, result = finished
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    # Ray's processes import from the working directory first: not the sources without their core
    monkeypatch.chdir(tmp_path)
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200_000_000,
             log_to_driver=False)
    try:
        same = settings(sweep(tmp_path / "same", trials=3, overrides={"gates.lr": 0.25},
                              engine="ray"))
        assert same == {i: settings(result)[i] for i in range(3)}
        died = sweep(tmp_path / "died", {"estimator": "die,loo"}, sampler="grid", engine="ray",
                     workers=2)
        assert died.table["message"] == [None, "killed by SIGKILL"]
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_ray_at_an_address(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    temporary = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # its sockets need a short path
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    # a session of its own: `ray stop` would end every cluster on the machine
    head = subprocess.Popen(
        [shutil.which("ray", path=Path(sys.executable).parent) or "ray", "start", "--head",
         "--block", "--node-ip-address=127.0.0.1", f"--port={address.rpartition(':')[2]}",
         "--num-cpus=2", "--include-dashboard=false", "--object-store-memory=200000000",
         f"--temp-dir={temporary}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        for line in head.stdout:
            if "Ray runtime started" in line:
                break
        else:
            pytest.skip("no Ray cluster can be started here")
        result = sweep(tmp_path / "sweep", {"lr": "0.01,0.1"}, sampler="grid", engine="ray",
                       address=address)
        assert result.table["state"] == ["complete", "complete"]
    finally:
        head.terminate()
        head.communicate(timeout=60)
        shutil.rmtree(temporary, ignore_errors=True)


def test_a_missing_cluster_is_named(tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=r"no Ray cluster answers at 'auto'.*ray start --head"):
        sweep(tmp_path / "a", engine="ray")
    assert not (tmp_path / "a").exists()


def test_figure_of_a_sweep():
    rows = [{"trial": i, "state": "complete" if i % 4 else "failed",
             "value": float(i) if i % 4 else None, "lr": 10.0**-i, "kind": ["b", "a"][i % 2],
             "size": [None, 2, 10][i % 3]} for i in range(8)]
    scales = {"lr": "log", "kind": "choice", "size": "choice"}
    figure = plots.sweep(Table(rows), scales, metric="score", direction="minimize")
    assert [axes.get_xlabel() for axes in figure.axes] == ["trial", *scales]
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "log", "linear", "linear"]
    assert all(axes.get_ylabel() == "score" for axes in figure.axes)
    ticks = [[label.get_text() for label in axes.get_xticklabels()] for axes in figure.axes[2:]]
    assert ticks == [["a", "b"], ["2", "10", "None"]]
    (steps,) = (line for line in figure.axes[0].lines if line.get_label() == "best so far")
    assert list(steps.get_ydata()) == 6 * [1.0]
    (best,) = (line for line in figure.axes[1].lines if line.get_label() == "best")
    assert list(best.get_xdata()) == [0.1]
    (without,) = (line for line in figure.axes[1].lines if line.get_label() == "without a value")
    assert list(without.get_xdata()) == [1.0, 1e-4]
    with pytest.raises(ValueError, match="no trial has a value to draw"):
        plots.sweep(Table(rows).where(state="failed"), scales)
