"""The study of meta-learned attention: what it writes, that it repeats, resumes and refuses."""

import signal

import numpy as np
import pytest
from study_runs import check_resumes, results

import gatelearn as gl
from gatelearn import plots
from gatelearn.errors import UserError
from gatelearn.runs import Table
from gatelearn.studies.meta_attention import METHODS, Config, load_families, methods
from gatelearn.tasks import TaskBatch

pytest.importorskip("safetensors")
pytest.importorskip("matplotlib")

SETTINGS = {"seeds": 1, "vocabulary": 512, "updates": 3, "tasks": 3, "samples": 2, "hidden": 4,
            "attempts": 4, "lrs": (0.01, 0.02), "ucb_widths": (0.0, 0.1),
            "thompson_strengths": (1.0, 2.0), "test_tasks": 20, "validation_tasks": 5}


def tiny(**changes):
    return Config(**SETTINGS | changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "run"
    return path, gl.studies.meta_attention.run(tiny(), out=path, progress=False)


def test_what_a_run_writes(finished):
    path, result = finished
    table = Table.from_csv(path / "table.csv")
    assert [(r["method"], r["rules"]) for r in table] == [
        (m, k) for m in METHODS for k in ("place", "after", "all")]
    tuned = ("meta", "memoryless", "ucb", "thompson")
    for row in table:
        assert 0 <= row["reward_lo"] <= row["reward"] <= row["reward_hi"] <= 1
        assert row["tuning_trials"] == (2 if row["method"] in tuned else 1)
    assert set(table.where(method="oracle")["reward"]) == {1.0}
    assert set(result.plot()) == {"reward_by_attempt", "learning_curves"}
    assert set(result.plot()) == {p.stem for p in (path / "figures").glob("*.png")}
    assert result.summary["meta"].keys() >= {"over_bandit", "over_memoryless", "of_elimination"}
    assert any("of the search that knows all rules" in note for note in result.notes)


def test_same_seed_same_bits_on_other_threads(finished, tmp_path):
    for n in (1, 5):
        with gl.num_threads(n):
            gl.studies.meta_attention.run(tiny(), out=tmp_path / f"{n}", progress=False)
        assert results(tmp_path / f"{n}") == results(finished[0])


def test_several_seeds_give_intervals_over_seeds(tmp_path):
    result = gl.studies.meta_attention.run(tiny(seeds=2), out=tmp_path / "run", progress=False)
    means = [s["rewards"][0].mean() for s in result.seeds]
    (row,) = result.table.where(method="meta", rules="all")
    assert row["reward"] == pytest.approx(np.mean(means))
    assert row["reward_lo"] <= min(means) and row["reward_hi"] >= max(means)


@pytest.mark.parametrize("stage", ["meta-0", "memoryless-1"])
def test_a_killed_run_resumes_to_the_same_bits(finished, tmp_path, stage):
    check_resumes("meta-attention", SETTINGS, tmp_path / "run", stage, signal.SIGKILL, finished[0])


@pytest.mark.parametrize("change, message", [
    (dict(samples=1), "samples is 1, expected at least 2"),
    (dict(updates=0), "updates is 0, expected at least 1"),
    (dict(gamma=1.5), r"gamma is 1\.5, expected 0 to 1"),
    (dict(lrs=()), "lrs is empty, expected at least one"),
    (dict(ucb_widths=(1.0,)), "ucb_widths has 1 values, expected 2 as lrs"),
    (dict(thompson_strengths=(0.0, 1.0)), r"thompson_strengths is \(0\.0, 1\.0\), expected"),
])
def test_wrong_settings_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        tiny(**change)


def test_what_no_text_can_hold_is_refused(tmp_path):
    with pytest.raises(UserError, match="length is 10, expected at least 14"):
        gl.studies.meta_attention.run(tiny(length=10), out=tmp_path / "run")
    with pytest.raises(UserError, match="preset is 'huge'"):
        Config.preset("huge")
    assert not (tmp_path / "run").exists()


def place_tasks(B, A, T, rng):
    """Tasks whose rewarded position stays the same."""
    place = np.broadcast_to(np.arange(1, T), (B, A, T - 1))
    return TaskBatch(np.zeros((B, A, T), np.int64), rng.integers(0, T - 1, B), place)


@pytest.mark.parametrize("make", [lambda: methods.ucb(0.0),
                                  lambda: methods.elimination(np.zeros(5, int), 0.0)])
def test_bandits_search_without_repetition_and_stick(make):
    rng = np.random.default_rng(0)
    rewards = make()(place_tasks(500, 7, 6, rng), rng)
    # one of five: found by attempt i with probability i / 5, and then kept
    np.testing.assert_allclose(rewards.mean(0), np.minimum(np.arange(1, 8) / 5, 1), atol=0.09)
    assert (np.diff(rewards, axis=1) >= 0).mean() > 0.98


def test_thompson_finds_and_sticks():
    rng = np.random.default_rng(0)
    by_attempt = methods.thompson(1.0)(place_tasks(500, 60, 6, rng), rng).mean(0)
    assert by_attempt[0] == pytest.approx(0.2, abs=0.06) and by_attempt[-10:].mean() > 0.9


def test_random_is_chance_and_the_search_follows_moving_rules():
    families = load_families(tiny(attempts=12))
    rng = np.random.default_rng(0)
    tasks = families.sample(rng, 600, split="test")
    assert methods.random(tasks, rng).mean() == pytest.approx(1 / 19, abs=0.01)
    after = families.kind[tasks.rule] == 1
    rewards = methods.elimination(families.kind, 0.5)(tasks, rng)
    # six rules of the kind, each attempt strikes out one at least
    assert rewards[after, 6:].mean() > 0.95
    assert methods.ucb(0.0)(tasks, rng)[after].mean() < 0.2


def test_a_wide_bound_explores():
    rng = np.random.default_rng(0)
    tasks = place_tasks(300, 60, 6, rng)
    assert methods.ucb(3.0)(tasks, rng)[:, 30:].mean() < 0.6 < methods.ucb(0.1)(tasks, rng).mean()


def test_a_figure_needs_curves():
    with pytest.raises(ValueError, match="curves is empty, expected at least one kind of task"):
        plots.reward_by_attempt({})
