"""The caption study: what it writes, that it repeats, resumes and refuses."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest
from study_runs import check_resumes, results

import gatelearn as gl
from gatelearn.errors import UserError
from gatelearn.hard import Captions
from gatelearn.runs import RunFolder, Table, bootstrap_interval
from gatelearn.studies.caption import OBJECTIVE, Config
from gatelearn.studies.caption.encoder import EncoderTrainer, make_encoder
from gatelearn.studies.caption.evaluate import measure
from gatelearn.studies.caption.report import bleu4, resampled_bleu4
from gatelearn.tasks import EmojiCaptions, bleu_counts
from gatelearn.tasks.emoji import find_font

for package in ("safetensors", "matplotlib", "emoji", "PIL"):
    pytest.importorskip(package)
try:
    find_font()
except UserError as error:
    pytest.skip(str(error), allow_module_level=True)

METHODS = ["soft", "hard", "mixed", "random", "mean", "hard, self-critical"]
SETTINGS = {"updates": 3, "critical_updates": 2, "encoder_updates": 3, "batch": 3, "samples": 2,
            "channels": 4, "features": 8, "width": 8, "hidden": 8, "emoji": 12, "test_images": 9,
            "validation_images": 5, "timing_rounds": 2}


def tiny(**changes):
    return Config(**SETTINGS | changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "run"
    return path, gl.studies.caption.run(tiny(), out=path, progress=False)


def test_what_a_run_writes(finished):
    path, result = finished
    table = Table.from_csv(path / "table.csv")
    assert table["method"] == METHODS
    assert set(table["tuning_trials"]) == {1} and len(set(table["parameters"])) == 1
    for row in table:
        for name in ("bleu4", "exact"):
            assert 0 <= row[f"{name}_lo"] <= row[name] <= row[f"{name}_hi"] <= 1
        assert row["bleu1"] >= row["bleu2"] >= row["bleu3"] >= row["bleu4"]
        assert row["ms_per_caption"] > 0
        assert row["regions_per_word"] == (16 if row["method"] in ("soft", "mean") else 1)
        # the mean of all regions looks nowhere
        assert np.isnan(row["look"]) == (row["method"] == "mean")
    summary = json.loads((path / "summary.json").read_text())
    assert isinstance(summary[OBJECTIVE.metric], float) and OBJECTIVE.direction == "maximize"
    assert summary["soft"]["over_soft"] == summary["soft"]["over_soft_lo"] == 0
    assert summary["hard"]["over_soft_lo"] <= summary["hard"]["over_soft_hi"]
    assert json.loads((path / "config.json").read_text())["config"]["emoji"] == 12
    names = {"scores", "attention_soft", "attention_hard", "attention_mixed", "attention_critical"}
    assert {p.stem for p in (path / "figures").glob("*.png")} == names == set(result.plot())
    assert len(result.notes) == 6 and result.notes[1].startswith("hard: BLEU-4 ")
    assert "points from soft" in result.notes[1] and "points" not in result.notes[0]


def test_all_begin_from_one_encoder_and_tuning_from_hard_attention(finished):
    path, _ = finished
    folder = RunFolder.open(path)
    encoder = folder.load_stage("seed-0/encoder").arrays["params"]
    shapes = {m: folder.load_stage(f"seed-0/{m}-0").arrays["captioner.params"].size
              for m in ("soft", "hard", "mixed", "random", "mean", "critical")}
    assert len(set(shapes.values())) == 1
    arrays = folder.load_checkpoint().arrays
    names = make_encoder(tiny()).build().named_parameters()
    own = {m: np.concatenate([arrays[f"seed-0/{m}.encoder.{name}"].ravel() for name in names])
           for m in ("soft", "hard")}
    # three updates of 0.004 at most
    for value in own.values():
        assert 0 < np.abs(value - encoder[: value.size]).max() < 0.013
    hard, tuned = (folder.load_stage(f"seed-0/{m}-0").arrays["captioner.params"]
                   for m in ("hard", "critical"))
    assert 0 < np.abs(hard - tuned).max() < 2.1 * tiny().critical_lr


def test_same_seed_same_bits_on_other_threads(finished, tmp_path):
    for n in (1, 5):
        with gl.num_threads(n):
            gl.studies.caption.run(tiny(), out=tmp_path / f"{n}", progress=False)
        assert results(tmp_path / f"{n}") == results(finished[0])


def test_one_method_with_several_rates_and_seeds(tmp_path):
    config = tiny(attention="mixed", seed=3, seeds=2, rates=(0.5, 2.0))
    result = gl.studies.caption.run(config, out=tmp_path / "run", progress=False)
    (row,) = result.table
    assert row["method"] == "mixed" and row["tuning_trials"] == 2
    means = [s.arrays["look"][0].mean() for s in result.seeds]
    assert row["look"] == pytest.approx(np.mean(means))
    assert row["look_lo"] <= min(means) and row["look_hi"] >= max(means)
    assert result.summary["validation_bleu4"] == np.mean([s.validation["mixed"]
                                                          for s in result.seeds])
    assert "over_soft" not in result.summary["mixed"]
    stages = {row["stage"] for row in RunFolder.open(tmp_path / "run").metrics()}
    assert stages == {f"seed-{n}/{s}" for n in (3, 4) for s in ("encoder", "mixed-0", "mixed-1")}


@pytest.mark.parametrize("how, stage", [(signal.SIGINT, "soft-0"), (signal.SIGKILL, "hard-0")])
def test_a_stopped_run_resumes_to_the_same_bits(finished, tmp_path, how, stage):
    check_resumes("caption", SETTINGS, tmp_path / "run", stage, how, finished[0])


class Says:
    """A captioner that says and looks as it is told."""

    regions, attention = 16, "hard"

    def __init__(self, words, lengths, looked):
        self.made = Captions(words, lengths, np.zeros(len(words)),
                             np.zeros((*words.shape, 16), np.float32), looked)

    def greedy(self, images, limit, rng):
        return self.made


def test_measure_judges_looks_until_the_first_wrong_word():
    tasks = EmojiCaptions(tiny().task())
    batch = tasks.sample(np.random.default_rng(0), 40)
    live = np.arange(batch.captions.shape[1]) < batch.lengths[:, None]
    looked = np.where(live, np.array([0, 2, 8, 10])[np.maximum(batch.cell, 0)], -1)

    def score(words, looked):
        captioner = Says(words, batch.lengths, looked)
        return measure(captioner, tasks, batch, (4, 4), np.random.default_rng(0))

    perfect = score(batch.captions, looked)
    assert (perfect["exact"] == 1).all() and bleu4(perfect["counts"]) == 1
    assert (perfect["look"] == 1).all() and (perfect["look_all"] == 1).all()
    assert perfect["regions"] == 1
    assert perfect["maps"].shape == (4, tasks.length, 16)
    assert (perfect["maps"][0].argmax(1)[: batch.lengths[0]] == looked[0, : batch.lengths[0]]).all()

    # the first word is wrong: it was looked for rightly, and what comes behind is not judged
    wrong = batch.captions.copy()
    wrong[:, 0] = wrong[:, 0] % 5 + 2 + (wrong[:, 0] % 5 + 2 == wrong[:, 0])
    away = looked.copy()
    away[:, 1:] = np.where(live[:, 1:], 15 - looked[:, 1:], -1)
    missed = score(wrong, away)
    assert (missed["exact"] == 0).all() and bleu4(missed["counts"]) < 1
    assert (missed["look"] == 1).all()
    # with the right words all looks are judged
    assert (score(batch.captions, away)["look"] < 1).all()


def test_resampled_bleu_is_a_bootstrap_of_pairs():
    words = np.random.default_rng(0).integers(2, 5, size=(60, 6)).tolist()
    counts = bleu_counts(words, [[[2, 3, 4, 2, 3, 4]]] * 60)
    drawn = resampled_bleu4(counts, 400)
    assert drawn.std() > 0 and abs(np.median(drawn) - bleu4(counts)) < drawn.std()
    np.testing.assert_array_equal(drawn, resampled_bleu4(counts, 400))
    assert bootstrap_interval(drawn)[0] < bleu4(counts) + 3 * drawn.std()
    perfect = bleu_counts(words, [[w] for w in words])
    assert (resampled_bleu4(perfect, 10) == 1).all()


def test_the_encoder_learns_and_its_features_are_scaled():
    config = tiny(encoder_updates=60, features=32, channels=16)
    encoder = make_encoder(config)
    trainer = EncoderTrainer(encoder, EmojiCaptions(config.task(grid=1)), config,
                             np.random.default_rng(0))
    metrics = [trainer.step() for _ in range(60)]
    assert metrics[0]["accuracy"] < 0.3 and metrics[-1]["accuracy"] > 0.75
    images = trainer.tasks.sample(np.random.default_rng(1), 100).images
    features, _ = encoder.forward(images)
    assert features.shape == (100, 32, 2, 2)
    assert np.mean(features**2) == pytest.approx(1, abs=0.1)


def test_hard_attention_learns_to_look(tmp_path):
    config = Config(attention="hard", emoji=10, grid=2, encoder_updates=100, updates=250,
                    critical_updates=0, hidden=64, test_images=100, validation_images=20,
                    timing_rounds=1)
    result = gl.studies.caption.run(config, out=tmp_path / "run", progress=False)
    # a region drawn blindly is right a quarter of the time
    assert result.summary["hard"]["look"] > 0.5


def test_wrong_settings_are_refused():
    for changes, message in [
        ({"updates": 0}, "updates is 0, expected at least 1"),
        ({"critical_updates": -1}, "critical_updates is -1, expected at least 0"),
        ({"test_images": 1}, "test_images is 1, expected at least 2"),
        ({"lr": 0.0}, "lr is 0.0, expected a positive number"),
        ({"critical_lr": float("nan")}, "critical_lr is nan, expected a positive number"),
        ({"rates": ()}, r"rates is \(\), expected positive numbers"),
        ({"samples": 1}, "samples is 1, expected at least 2 for the baseline loo"),
        ({"soft_share": 1.5}, "soft_share is 1.5, expected a share from 0 to 1"),
        ({"cell": 12}, "cell is 12, expected a multiple of 8"),
        ({"emoji": 3}, "emoji is 3, expected at least 10"),
        ({"grid": 0}, "grid is 0, expected at least 1"),
    ]:
        with pytest.raises(UserError, match=message):
            tiny(**changes)
    assert tiny(samples=1, baseline="moving").samples == 1
    with pytest.raises(UserError, match="preset is 'huge'"):
        Config.preset("huge")
    for name in ("quick", "default", "full"):
        assert isinstance(Config.preset(name), Config)
    assert replace(Config(), grid=1).task().least == 1
    assert Config(attention="soft").main == "soft" and Config().main == "hard"
