"""The report on gradient estimators: its statistics, its defaults, its table and figure."""

import numpy as np
import pytest
from helpers import same_bits

from gatelearn import plots, rl
from gatelearn.rl.estimators.report import _statistics
from gatelearn.runs import Table

DETERMINED = ("estimator", "bias", "bias_lo", "bias_hi", "variance", "mse", "cosine",
              "evaluations")


def problem(K=4, rows=2, dtype=np.float64):
    rng = np.random.default_rng(3)
    return (rng.standard_normal((rows, K)).astype(dtype),
            rl.SquaredDistance(rng.standard_normal((rows, K)).astype(dtype)))


class Noisy(rl.Estimator):
    """The exact gradient with an error of known mean and covariance."""

    def __init__(self, factor=1.0, deviation=0.0):
        self.factor, self.deviation = factor, deviation

    def gradient(self, logits, distribution, reward, rng, samples, *, observations=None):
        exact = rl.Exact().gradient(logits, distribution, reward, rng, samples)
        return self.factor * exact + self.deviation * rng.standard_normal(exact.shape)


def by_name(report):
    return {row["estimator"]: row for row in report.rows}


@pytest.mark.parametrize("distribution", [rl.Bernoulli(), rl.Categorical()])
def test_statistics_of_known_errors(distribution):
    logits, reward = problem()
    norm = np.linalg.norm(rl.Exact().gradient(logits, distribution, reward, None, 1))
    rows = by_name(rl.estimator_report(logits, reward, distribution, repeats=4000, estimators={
        "right": Noisy(), "half": Noisy(0.5), "against": Noisy(-1), "noisy": Noisy(1, 0.2),
        "both": Noisy(1.5, 0.2), "zero": Noisy(0)}))
    assert rows["right"]["bias"] == rows["right"]["variance"] == rows["right"]["mse"] == 0
    assert rows["right"]["cosine"] == pytest.approx(1)
    assert rows["half"]["bias"] == pytest.approx(0.5) and rows["half"]["variance"] == 0
    assert rows["half"]["bias_lo"] == pytest.approx(0.5, abs=1e-6)
    assert rows["half"]["mse"] == pytest.approx(norm**2 / 4)
    assert rows["against"]["cosine"] == pytest.approx(-1)
    assert rows["zero"]["cosine"] == 0 and rows["zero"]["bias"] == pytest.approx(1)
    assert rows["noisy"]["bias_lo"] == 0 < rows["noisy"]["bias_hi"]
    for name, bias in (("noisy", 0), ("both", 0.5)):
        assert rows[name]["variance"] == pytest.approx(8 * 0.2**2, rel=0.05)
        assert rows[name]["bias_lo"] <= bias <= rows[name]["bias_hi"]
        assert rows[name]["mse"] == pytest.approx(
            rows[name]["variance"] + (rows[name]["bias"] * norm) ** 2, rel=1e-3)
    assert rows["both"]["bias_lo"] > 0.45


@pytest.mark.parametrize("scales", [[1.0], [1.0, 1.0], [3.0, 1.0, 0.1], [1.0] * 12])
def test_interval_of_the_bias_covers_it(scales):
    rng = np.random.default_rng(0)
    exact = np.ones(len(scales))
    trials = 1000
    lows = []
    for _ in range(trials):
        estimates = exact + scales * rng.standard_normal((200, len(scales)))
        lows.append(_statistics(estimates, exact, 1e-16)["bias_lo"])
    # 99.9%, less four standard errors
    assert np.mean(np.equal(lows, 0)) > 0.999 - 4 * np.sqrt(0.001 * 0.999 / trials)

    # a bias of two thirds of a deviation is seen
    estimates[:, 0] += 2 * max(scales) / 3
    assert _statistics(estimates, exact, 1e-16)["bias_lo"] > 0


def test_either_way_to_the_trace_of_the_squared_covariance():
    rng = np.random.default_rng(0)
    estimates, exact = rng.standard_normal((20, 30)), np.ones(30)
    wide = _statistics(estimates, exact, 1e-16)
    covariance = np.cov(estimates.T)
    radius = np.sqrt((np.trace(covariance) + 7 * np.sqrt(2 * np.trace(covariance @ covariance)))
                     / 20)
    assert wide["bias_hi"] - wide["bias"] == pytest.approx(radius / np.linalg.norm(exact))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distribution", [rl.Bernoulli(bound=0.05), rl.Categorical()])
def test_default_estimators(distribution, dtype):
    logits, reward = problem(dtype=dtype)
    report = rl.estimator_report(logits, reward, distribution, repeats=2000)
    rows = by_name(report)
    A = len(distribution.enumerate(4))
    assert rows["exact"]["variance"] == rows["exact"]["bias_lo"] == 0
    assert rows["exact"]["evaluations"] == A
    for name in ("no baseline", "moving average", "moving average by row", "self-critical",
                 "leave-one-out"):
        assert rows[name]["bias_lo"] == 0, name
        assert rows[name]["evaluations"] == 4 + (name == "self-critical")
        assert 0 < rows[name]["cosine"] < 1
    for name in ("half soft", "straight-through", "Gumbel-softmax", "hard Gumbel-softmax"):
        # the bias of "half soft" on Bernoulli actions is less than its spread shows
        assert rows[name]["bias_lo"] > 0 or (name, A) == ("half soft", 16)
        assert rows[name]["evaluations"] == 4
    assert rows["leave-one-out"]["variance"] < rows["no baseline"]["variance"]
    assert all(row["ms"] > 0 for row in report)


def test_defaults_follow_what_the_reward_can():
    logits, _ = problem()
    report = rl.estimator_report(logits, lambda a: a.sum(-1), rl.Bernoulli(), samples=1, repeats=2)
    assert [row["estimator"] for row in report] == [
        "no baseline", "moving average", "moving average by row", "self-critical", "exact"]
    assert (report.samples, report.repeats) == (1, 2)


def test_same_seed_same_report():
    logits, reward = problem()
    first, again, other = (rl.estimator_report(logits, reward, rl.Bernoulli(), repeats=20, seed=s)
                           for s in (1, 1, 2))
    for a, b in zip(first, again, strict=True):
        for key in DETERMINED[1:]:
            same_bits(np.float64(a[key]), np.float64(b[key]))
    assert first.rows[0]["bias"] != other.rows[0]["bias"]


def test_a_learned_baseline_gets_its_observations():
    from gatelearn import nn
    logits, reward = problem()
    learned = {"learned": rl.ScoreFunction(rl.LearnedBaseline(
        nn.Linear(4, 1).build(0, np.float64)))}
    report = rl.estimator_report(logits, reward, rl.Bernoulli(), estimators=learned, repeats=20,
                                 observations=logits)
    assert by_name(report)["learned"]["evaluations"] == 4
    with pytest.raises(ValueError, match="observations is None"):
        rl.estimator_report(logits, reward, rl.Bernoulli(), estimators=learned)


def test_table_and_figure():
    logits, reward = problem()
    report = rl.estimator_report(logits, reward, rl.Bernoulli(), repeats=50)
    table = report.table
    assert isinstance(table, Table) and table.rows == report.rows
    assert set(table.columns) == {*DETERMINED, "ms"}
    assert str(report) == str(table) and "leave-one-out" in str(report)
    assert report._repr_html_() == table._repr_html_()

    pytest.importorskip("matplotlib")
    (axes,) = report.plot().axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    named = [row["estimator"] for row in report if row["variance"]]
    assert sorted(text.get_text() for text in axes.texts) == sorted(named)
    filled = {tuple(spot): len(points.get_facecolor()) > 0
              for points in axes.collections for spot in points.get_offsets()}
    for row in report:
        if row["variance"]:
            assert filled[row["evaluations"], row["variance"]] == (row["bias_lo"] == 0)
    assert set(filled.values()) == {False, True}
    (legend,) = axes.figure.legends
    legend = [text.get_text() for text in legend.get_texts()]
    assert legend == ["exact: no variance", "no bias found", "biased"]


def test_names_in_the_figure_cover_nothing():
    from test_plots import drawn, overlaps
    pytest.importorskip("matplotlib")
    logits, reward = problem()
    figure = rl.estimator_report(logits, reward, rl.Categorical(), repeats=50).plot()
    (axes,) = figure.axes
    renderer = drawn(figure)
    boxes = [plots.figure.text_box(text, renderer) for text in axes.texts]
    assert not overlaps(boxes)


def test_errors():
    logits, reward = problem()
    with pytest.raises(ValueError, match="repeats is 1, expected at least 2"):
        rl.estimator_report(logits, reward, rl.Bernoulli(), repeats=1)
    for constant in (0.0, 3.0):
        with pytest.raises(ValueError, match="the exact gradient has norm"):
            rl.estimator_report(logits, lambda a, c=constant: np.full(a.shape[:2], c),
                                rl.Bernoulli())
    with pytest.raises(ValueError, match=r"logits.shape\[1\] is 17, expected at most 16"):
        rl.estimator_report(np.zeros((1, 17)), lambda a: a.sum(-1), rl.Bernoulli())
    with pytest.raises(ValueError, match="rows hold no variance to draw"):
        plots.estimators([{"estimator": "exact", "variance": 0.0}])
