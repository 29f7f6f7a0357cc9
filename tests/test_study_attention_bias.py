"""The study of attention bias: what it writes, that it repeats, resumes and refuses."""

import signal
from dataclasses import replace

import numpy as np
import pytest
from study_runs import check_resumes, results

import gatelearn as gl
from gatelearn.errors import UserError
from gatelearn.runs import RunFolder, Table
from gatelearn.studies.attention_bias import Config
from gatelearn.studies.attention_bias.methods import Predicted, Random, Ranked, Recent
from gatelearn.studies.attention_bias.report import measure
from gatelearn.studies.backbone import BackboneConfig
from gatelearn.tasks import Batch

pytest.importorskip("safetensors")
pytest.importorskip("matplotlib")

METHODS = ["full", "rl-bias", "gradient-bias", "gradient-soft", "random", "recent"]
TASKS = ["needle", "last", "mark", "chain", "next", "overall"]


def tiny(**changes):
    return replace(Config(
        test_texts=3, validation_texts=2, timing_rounds=1, vocabulary=512, updates=3, texts=3,
        samples=2, hidden=8, penalties=(0.1, 0.2), gradient_penalties=(0.1, 0.2),
        backbone=BackboneConfig(width=16, layers=2, heads=2, hidden=16, steps=6, batch=4)),
        **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "run"
    return path, gl.studies.attention_bias.run(tiny(), out=path, progress=False)


def test_what_a_run_writes(finished):
    path, result = finished
    table = Table.from_csv(path / "table.csv")
    assert [(r["method"], r["task"]) for r in table] == [(m, t) for m in METHODS for t in TASKS]
    for row in table:
        assert 0 <= row["score_lo"] <= row["score"] <= row["score_hi"] <= 1
        assert 0 < row["attended"] <= 1 and row["ms_per_text"] > 0
        assert row["tuning_trials"] == (1 if row["method"] == "full" else 2)
        if row["task"] == "next":
            assert np.isnan(row["precision"]) and np.isnan(row["recall"])
        if row["method"] == "full":
            assert row["attended"] == 1
    assert set(result.plot()) == {p.stem for p in (path / "figures").glob("*.png")}
    assert set(result.plot()) == {"score_vs_attended", "learning_curves"}
    assert result.summary["rl-bias"].keys() >= {"score_change", "over_random", "over_recent"}
    assert any("of the positions attended" in note for note in result.notes)
    assert any(k.startswith("seed-0/rl-bias.predictor.")
               for k in RunFolder.open(path).load_checkpoint().arrays)


def test_same_seed_same_bits_on_other_threads(finished, tmp_path):
    for n in (1, 5):
        with gl.num_threads(n):
            gl.studies.attention_bias.run(tiny(), out=tmp_path / f"{n}", progress=False)
        assert results(tmp_path / f"{n}") == results(finished[0])


def test_several_seeds_a_ranking_and_a_joint_backbone(tmp_path):
    config = tiny(seeds=2, top_k=3, joint=True, penalties=(0.1,), gradient_penalties=(0.1,))
    result = gl.studies.attention_bias.run(config, out=tmp_path / "run", progress=False)
    (row,) = result.table.where(method="rl-bias", task="needle")
    # the first word, two queries and three choices, of 64
    assert row["attended"] == pytest.approx(6 / 64)
    (row,) = result.table.where(method="full", task="overall")
    means = [s["score"][0].mean() for s in result.seeds]
    assert row["score"] == pytest.approx(np.mean(means))
    assert row["score_lo"] <= min(means) and row["score_hi"] >= max(means)
    assert not result.table.where(method="gradient-bias")


# the same as tiny()
OPTIONS = {"backbone.width": 16, "backbone.layers": 2, "backbone.heads": 2,
           "backbone.hidden": 16, "backbone.steps": 6, "backbone.batch": 4,
           "updates": 3, "texts": 3, "samples": 2, "hidden": 8, "penalties": (0.1, 0.2),
           "gradient_penalties": (0.1, 0.2), "test_texts": 3, "validation_texts": 2,
           "timing_rounds": 1, "vocabulary": 512}


@pytest.mark.parametrize("stage", ["backbone", "rl-bias-1"])
def test_a_killed_run_resumes_to_the_same_bits(finished, tmp_path, stage):
    check_resumes("attention-bias", OPTIONS, tmp_path / "run", stage, signal.SIGKILL, finished[0])


@pytest.mark.parametrize("change, message", [
    (dict(samples=1), "samples is 1, expected at least 2"),
    (dict(updates=0), "updates is 0, expected at least 1"),
    (dict(top_k=64), "top_k is 64, expected below length = 64"),
    (dict(penalties=()), "penalties is empty"),
    (dict(gradient_penalties=(1.0,)), "gradient_penalties has 1 values, expected 2"),
])
def test_wrong_settings_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        tiny(**change)


def test_what_the_tasks_cannot_do_is_refused(tmp_path):
    with pytest.raises(UserError, match="needle_queries is 9, expected 1 to needles = 8"):
        gl.studies.attention_bias.run(tiny(needle_queries=9), out=tmp_path / "run")
    with pytest.raises(UserError, match="preset is 'huge'"):
        Config.preset("huge")
    assert not (tmp_path / "run").exists()


class Chooses(Predicted):
    """Chooses positions 2 and 4 of every text of 8 words whose query is the last."""

    def __init__(self):
        self.net, self.predictor = None, self

    def bias(self, tokens, query):
        at = np.arange(8)
        fixed = np.tile((at == 0) | (at == 7), (len(tokens), 1))
        return None, np.tile((at == 2) | (at == 4), (len(tokens), 1)), fixed

    def run(self, tokens, query):
        return np.eye(5)[tokens[:, 2]], *self.bias(tokens, query)[1:]

    def hard_bias(self, keep):
        return np.where(keep, 0.0, -30.0)


def test_precision_and_recall_leave_out_what_is_fixed():
    evidence = np.zeros((3, 1, 8), bool)
    evidence[0, 0, [2, 3, 7]] = True
    evidence[1, 0, [0]] = True
    tokens = np.tile(np.array([0, 1, 2, 3, 4, 0, 1, 2]), (3, 1))
    got = measure(Chooses(), Batch(tokens, np.zeros(3), np.full((3, 1), 7),
                                   np.array([[2], [1], [2]]), evidence, evidence))
    np.testing.assert_array_equal(got["score"], [1, 0, 1])
    np.testing.assert_array_equal(got["attended"], 0.5)
    np.testing.assert_array_equal(got["precision"], [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(got["recall"], [0.5, np.nan, np.nan])


def test_random_and_recent_take_as_many_positions():
    tokens, query = np.arange(24).reshape(3, 8), np.full((3, 1), 7)
    _, chosen, _ = Recent(Chooses()).bias(tokens, query)
    np.testing.assert_array_equal(np.nonzero(chosen)[1], [5, 6] * 3)
    bias, chosen, _ = Recent(Chooses(), 1).bias(tokens, query)
    np.testing.assert_array_equal(np.nonzero(chosen)[1], [1, 6] * 3)
    np.testing.assert_array_equal(np.nonzero(bias[0] == 0)[0], [0, 1, 6, 7])
    by = Chooses()
    by.logits = lambda tokens, query: (np.tile([9, 0, 0, 5, 1, 4, 2, 9], (3, 1)), None)
    _, chosen, _ = Ranked(Chooses(), by).bias(tokens, query)
    np.testing.assert_array_equal(np.nonzero(chosen)[1], [3, 5] * 3)
    _, chosen, fixed = Random(Chooses(), 3).bias(tokens, query)
    assert (chosen.sum(1) == 2).all() and not (chosen & fixed).any()
    np.testing.assert_array_equal(chosen, Random(Chooses(), 3).bias(tokens, query)[1])
    assert any((chosen != Random(Chooses(), s).bias(tokens, query)[1]).any() for s in range(4))
