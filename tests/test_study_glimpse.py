"""The glimpse study: what it writes, that it repeats, resumes and refuses."""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from study_runs import check_resumes, results

import gatelearn as gl
from gatelearn.errors import UserError
from gatelearn.nn import Linear, check_layer
from gatelearn.runs import RunFolder, Table, bootstrap_interval
from gatelearn.studies.glimpse import METHODS, OBJECTIVE, Config
from gatelearn.studies.glimpse.evaluate import choose, draw_images
from gatelearn.studies.glimpse.methods import (
    Glimpsing,
    centre_of_mass,
    make_net,
    make_trainer,
    mass_look,
    random_look,
)
from gatelearn.studies.glimpse.networks import (
    ClassifierTrainer,
    convolutional,
    dense,
    of_size,
    parameters,
    strided,
)
from gatelearn.studies.glimpse.report import interval
from gatelearn.tasks import Digits

for package in ("safetensors", "matplotlib", "sklearn", "PIL"):
    pytest.importorskip(package)

COLUMNS = ("method,task,error,error_lo,error_hi,off_centre,pixels_read,parameters,ms_per_image,"
           "tuning_trials")
TINY = dict(tasks=("native", "cluttered-60"), steps=6, whole_steps=4, batch=3, whole_batch=4,
            samples=2, hidden=8, glimpses=3, patch=6, scales=2, renderings=2,
            validation_renderings=1, timing_rounds=2, rates=(0.5, 1.0))


def tiny(**changes):
    return replace(Config(**TINY), **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "run"
    return path, gl.studies.glimpse.run(tiny(), out=path, progress=False)


def test_what_a_run_writes(finished):
    path, result = finished
    assert (path / "table.csv").read_text().splitlines()[0] == COLUMNS
    table = Table.from_csv(path / "table.csv")
    assert [(r["task"], r["method"]) for r in table] == [
        (t, m) for t in TINY["tasks"] for m in METHODS]
    for row in table:
        assert 0 <= row["error_lo"] <= row["error"] <= row["error_hi"] <= 100
        assert row["ms_per_image"] > 0 and row["tuning_trials"] == 2
        assert (row["off_centre"] is None) == (row["method"] in ("convolution", "strided", "dense"))
    by_glimpses = Table.from_csv(path / "by_glimpses.csv")
    for row in table:
        steps = by_glimpses.where(task=row["task"], method=row["method"])
        seen = [1, 2, 3] if row["off_centre"] is not None else [None]
        assert steps["glimpses"] == seen and steps[-1]["error"] == row["error"]
    summary = json.loads((path / "summary.json").read_text())
    assert OBJECTIVE.metric in summary
    entry = summary["cluttered-60"]["learned_minus_random"]
    rows = {r["method"]: r for r in table.where(task="cluttered-60")}
    assert entry["mean"] == pytest.approx(rows["learned"]["error"] - rows["random"]["error"])
    assert entry["low"] <= entry["mean"] <= entry["high"]
    for name in ("error_by_glimpses.png", "paths_cluttered-60.png", "path_cluttered-60.gif"):
        assert (path / "figures" / name).stat().st_size > 5000
    assert set(result.plot()) == {p.stem for p in (path / "figures").glob("*.png")}
    assert "cluttered-60: learned glimpses" in repr(result)


def test_pixels_read_counts_what_the_networks_are_given(finished):
    rows = {(r["task"], r["method"]): r for r in finished[1].table}
    assert rows["cluttered-60", "learned"]["pixels_read"] == pytest.approx(3 * 2 * 36 / 3600)
    assert rows["cluttered-60", "centre-of-mass"]["pixels_read"] == pytest.approx(1.06)
    assert rows["native", "random"]["pixels_read"] == pytest.approx(3 * 9 / 64)
    assert rows["native", "dense"]["pixels_read"] == 1


def test_checkpoint_holds_the_networks_that_were_kept(finished):
    path, result = finished
    arrays = RunFolder.open(path).load_checkpoint().arrays
    for name, method in result.results["cluttered-60"][0].methods.items():
        for key, value in method.net.named_parameters().items():
            np.testing.assert_array_equal(arrays[f"seed-0/cluttered-60/{name}.{key}"], value)


def test_same_seed_same_bits_on_other_threads(finished, tmp_path):
    for n in (1, 5):
        with gl.num_threads(n):
            gl.studies.glimpse.run(tiny(), out=tmp_path / f"{n}", progress=False)
        assert results(tmp_path / f"{n}") == results(finished[0])


def test_several_seeds_give_intervals_over_seeds(tmp_path):
    result = gl.studies.glimpse.run(tiny(seeds=2, tasks=("native",), rates=(1.0,)),
                                    out=tmp_path / "run", progress=False)
    means = [100 * s.arrays["dense.wrong"].mean() for s in result.results["native"]]
    (row,) = result.table.where(method="dense")
    assert means[0] != means[1] and row["error"] == pytest.approx(np.mean(means))
    assert row["error_lo"] <= min(means) and row["error_hi"] >= max(means)


@pytest.mark.parametrize("stage", ["native/learned-0", "cluttered-60/random-1",
                                   "cluttered-60/convolution-0"])
def test_a_killed_run_resumes_to_the_same_bits(finished, tmp_path, stage):
    check_resumes("glimpse", TINY, tmp_path / "run", stage, signal.SIGKILL, finished[0])


@pytest.mark.parametrize("kind", ["learned", "random", "dense"])
def test_trainers_continue_from_their_state(kind):
    task, config = Digits.named("native"), tiny()

    def make():
        if kind == "dense":
            net = dense(8, 5).build(0)
            return net, ClassifierTrainer(net, task, 9, 4, 1e-2, 0.01, np.random.default_rng(1))
        net = make_net(config, 8).build(0)
        look = random_look if kind == "random" else None
        return net, make_trainer(net, task, config, 1.0, np.random.default_rng(1), look)

    net, trainer = make()
    for _ in range(3):
        trainer.step()
    arrays, meta = trainer.state()
    arrays, meta = {k: v.copy() for k, v in arrays.items()}, json.loads(json.dumps(meta))
    expected = [trainer.step() for _ in range(2)]
    other, resumed = make()
    resumed.load_state(arrays, meta)
    assert [resumed.step() for _ in range(2)] == expected
    np.testing.assert_array_equal(other.params, net.params)


@pytest.mark.parametrize("estimator", ["reinforce", "moving-average", "learned", "loo",
                                       "self-critical", "gumbel"])
def test_every_estimator_trains(estimator):
    config = tiny(estimator=estimator, reward="log-probability", detach=False)
    net = make_net(config, 60).build(0)
    trainer = make_trainer(net, Digits.named("cluttered-60"), config, 1.0,
                           np.random.default_rng(0))
    before = net.locator.layers[0].param["weight"].copy()
    trainer.step()
    assert np.isfinite(net.params).all()
    assert (net.locator.layers[0].param["weight"] != before).any()


def test_places_spread_less_and_less():
    config, spread = tiny(steps=10, std=0.1, explore=0.8), []
    net = make_net(config, 60).build(0)
    trainer = make_trainer(net, Digits.named("cluttered-60"), config, 1.0,
                           np.random.default_rng(0))
    for _ in range(10):
        spread.append(trainer.distribution().std)
        trainer.step()
    np.testing.assert_allclose(spread[:8], np.linspace(0.8, 0.1, 8))
    assert spread[7:] == pytest.approx([0.1] * 3)


def test_given_places_see_as_many_images_as_samples(rng):
    task, config = Digits.named("native"), tiny()
    for look, shape in ((None, (3, 2)), (random_look, (6, 1))):
        trainer = make_trainer(make_net(config, 8).build(0), task, config, 1.0, rng, look)
        assert (trainer.config.batch, trainer.config.samples) == shape


def test_the_convolutional_network_learns_digits():
    task = Digits.named("native")
    net = convolutional(8, 32).build(0)
    trainer = ClassifierTrainer(net, task, 150, 32, 3e-3, 0.01, np.random.default_rng(0))
    errors = [trainer.step()["error"] for _ in range(150)]
    assert np.mean(errors[:5]) > 60 and np.mean(errors[-20:]) < 10


@pytest.mark.parametrize("make, side", [(dense, 8), (dense, 60), (convolutional, 8),
                                        (convolutional, 60), (convolutional, 100), (strided, 8),
                                        (strided, 60), (strided, 100)])
def test_networks_have_the_size_that_is_asked_for(make, side):
    target = parameters(make_net(Config(), side))
    net = of_size(lambda hidden: make(side, hidden), target)
    assert abs(parameters(net) / target - 1) < 0.03
    net.build(0)
    assert parameters(net) == net.params.size
    assert net.forward(np.zeros((2, 1, side, side), np.float32))[0].shape == (2, 10)


def test_of_size_takes_the_nearest():
    for target, width in ((0, 1), (11, 1), (16, 1), (17, 2), (100, 9), (1000, 91)):
        net = of_size(lambda hidden: Linear(10, hidden), target)
        assert net.outputs == width, target


@pytest.mark.parametrize("make", [dense, convolutional, strided])
def test_backward_of_whole_networks(make):
    check_layer(make(8, 3), np.random.default_rng(0).standard_normal((2, 1, 8, 8)))


def test_centre_of_mass_and_the_circle_round_it(rng):
    batch = Digits(60).sample(rng, 20)
    mass = centre_of_mass(batch.images)
    assert (abs(mass - batch.centre) < 0.2).all()
    shifted = np.roll(np.pad(batch.images, ((0, 0), (0, 0), (30, 30), (30, 30))), (5, -7), (2, 3))
    np.testing.assert_allclose(centre_of_mass(shifted) * 60, mass * 30 + (-7, 5), atol=1e-3)
    places = mass_look(rng, batch.images, 5, 2)
    assert places.shape == (5, 20, 2, 2) and places.dtype == np.float32
    np.testing.assert_allclose(places[0, :, 1], mass, atol=1e-6)
    np.testing.assert_allclose(np.hypot(*np.moveaxis(places[1:] - places[0], -1, 0)), 0.2,
                               atol=1e-6)
    assert mass_look(rng, batch.images, 1, 1).shape == (1, 20, 1, 2)


def test_random_places_are_anywhere(rng):
    places = random_look(rng, np.zeros((500, 1, 8, 8), np.float32), 4, 1)
    assert places.shape == (4, 500, 1, 2) and abs(places.mean()) < 0.05
    assert abs(places).max() <= 1 and places.var() == pytest.approx(1 / 3, abs=0.02)


def test_each_glimpse_names_what_a_shorter_pass_names(rng):
    # the class behind t glimpses is that of a pass of t glimpses
    config, images = tiny(), Digits.named("cluttered-60").sample(rng, 9).images
    net = make_net(config, 60).build(0)
    named, places = Glimpsing(net).run(images, rng)
    for t in (1, 2, 3):
        short = make_net(replace(config, glimpses=t), 60).build(0)
        short.load(net.named_parameters())
        logits, episode = short.forward(images)
        np.testing.assert_array_equal(logits[:, 0].argmax(-1), named[:, t - 1])
        np.testing.assert_array_equal(episode.locations[:, :, 0].swapaxes(0, 1), places[:, :t])


def test_intervals_count_a_digit_once(rng):
    wrong = 100.0 * (rng.random((40, 1)) < 0.3) * np.ones((1, 5))
    mean, low, high = interval([wrong])
    assert (low, high) == bootstrap_interval(wrong[:, 0], seed=0) and mean == wrong.mean()
    # as wide as with one rendering, not narrower by the square root of five
    assert high - low > 20


def test_validation_chooses_the_trial_of_smallest_error(rng):
    images = draw_images(Digits.named("native"), "validation", 2, seed=3)

    class Named:
        def __init__(self, wrong):
            self.wrong = wrong

        def run(self, part, rng):
            at = next(i for i in range(0, 360, 128)
                      if np.array_equal(part, images.images[i:i + 128]))
            named = images.labels[at:at + 128].copy()
            named[:self.wrong if at == 0 else 0] += 1
            return named[:, None], None

    best, errors = choose([Named(9), Named(0), Named(36)], images)
    assert best == 1 and errors == pytest.approx([2.5, 0, 10])


def test_wrong_settings_are_refused():
    for match, changes in {
        "tasks has 'tilted', expected some of native": {"tasks": ("tilted",)},
        r"tasks is \(\), expected at least one": {"tasks": ()},
        r"tasks is .*, expected at least one, each once": {"tasks": ("native", "native")},
        "samples is 1, expected at least 2": {"samples": 1},
        "steps is 0, expected at least 1": {"steps": 0},
        "std is 0, expected a number above 0": {"std": 0},
        "lr is nan, expected a number above 0": {"lr": float("nan")},
        "weight_decay is -1, expected at least 0": {"weight_decay": -1},
        r"rates is \(\), expected at least one": {"rates": ()},
        r"rates is \(0.0,\), expected": {"rates": (0.0,)},
        "estimator is 'magic', expected one of reinforce": {"estimator": "magic"},
        "reward is 'fame', expected one of": {"reward": "fame"},
    }.items():
        with pytest.raises(UserError, match=match):
            tiny(**changes)
    assert tiny(samples=1, estimator="learned").samples == 1
    with pytest.raises(UserError, match="preset is 'huge'"):
        Config.preset("huge")
    for name in ("quick", "default", "full"):
        assert isinstance(Config.preset(name), Config)


def test_a_users_mistakes_are_one_line_and_code_2(tmp_path):
    pytest.importorskip("tyro")
    for word, options in {"--tasks": ("--tasks", "tilted"), "glimpses": ("--glimpses", "0"),
                          "--estimator": ("--estimator", "magic")}.items():
        done = subprocess.run([sys.executable, "-m", "gatelearn", "run", "glimpse", *options],
                              capture_output=True, text=True, cwd=tmp_path, timeout=120)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert word.strip("-") in done.stderr and not (tmp_path / "runs").exists()
