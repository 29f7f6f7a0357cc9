"""Figures: what they show, and that they leave Matplotlib as it was."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from gatelearn import plots
from gatelearn.runs import Table

pytest.importorskip("matplotlib")

TASKS = ["needle", "repeat-last", "chain-2"]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def overlaps(boxes):
    return [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def drawn(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas.get_renderer()


@pytest.fixture
def table():
    scores = {
        "vanilla": (0.972, 1),
        "static": (0.96, 0.42),
        "random": (0.85, 0.42),
        "one-shot": (0.985, 0.31),
        "per-layer": (0.983, 0.32),
        "fixed": (0.984, 0.31),
    }
    rows = [
        {
            "method": method,
            "task": task,
            "score": score,
            "score_lo": score - 0.01,
            "score_hi": score + 0.01,
            "open": share,
        }
        for method, (score, share) in scores.items()
        for task in ("overall", "needle")
    ]
    return Table(rows)


@pytest.fixture
def rows(rng):
    rows = []
    for seed in (0, 1):
        for i in range(50):
            scores = {f"score/{task}": rng.random() for task in TASKS}
            rows.append({"stage": f"seed-{seed}/backbone", "step": 64 * i, "loss": 1.0, **scores})
        for name in ("controller/one-shot", "controller/per-layer"):
            for i in range(90):
                row = {"reward": rng.random(), "score": rng.random(), "open": rng.random()}
                rows.append({"stage": f"seed-{seed}/{name}", "step": i, **row})
    return rows


@pytest.mark.parametrize("shape", [(3, 1, 2), (3, 3, 9), (3, 8, 17)])
def test_gate_map(shape, rng):
    shares = rng.random(shape)
    figure = plots.gate_map(shares, TASKS)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == TASKS
    assert "MLP" in [label.get_text() for label in axes.get_xticklabels()]
    shown = np.concatenate([image.get_array() for image in axes.images], axis=1)
    assert np.array_equal(shown, shares.reshape(3, -1))
    renderer = drawn(figure)
    assert not overlaps(
        [t.get_window_extent(renderer) for t in axes.get_xticklabels() if t.get_text()]
    )
    assert figure.get_size_inches()[0] <= 16


def test_gate_map_refuses():
    with pytest.raises(ValueError, match=r"shape \(2, 3\), expected \(3, layers, heads\+1\)"):
        plots.gate_map(np.zeros((2, 3)), TASKS)
    for bad in (1.5, np.nan):
        with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
            plots.gate_map(np.full((3, 1, 2), bad), TASKS)
    with pytest.raises(ValueError, match="labels has 1 entries, expected 2"):
        plots.gate_map(np.zeros((3, 1, 2)), TASKS, labels=["a"])


def test_score_vs_open_names_every_method_once_and_readably(table):
    figure = plots.score_vs_open(table)
    axes = figure.axes[0]
    assert sorted(texts(axes)) == sorted(table.where(task="overall")["method"])
    renderer = drawn(figure)
    assert not overlaps([plots.figure.text_box(text, renderer) for text in axes.texts])
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_ydata()[0] for line in dashed] == [0.972]


def test_score_vs_open_without_interval_or_rows():
    row = {"method": "a", "task": "t", "score": 0.5, "score_lo": None, "score_hi": None, "open": 1}
    assert texts(plots.score_vs_open([row], task="t").axes[0]) == ["a"]
    with pytest.raises(ValueError, match="no row of task 'overall'"):
        plots.score_vs_open([row])


def test_learning_curves(rows):
    figure = plots.learning_curves(rows)
    assert [axes.get_ylabel() for axes in figure.axes] == ["score", "reward", "score", "share open"]
    assert figure.axes[0].get_xlabel() == "texts seen"
    names = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert names == ["one-shot", "per-layer"]
    # one line a method, its seeds in a band
    assert len(figure.axes[1].lines) == len(figure.axes[1].collections) == 2
    assert "running mean of 7" in figure.axes[1].get_legend().get_title().get_text()
    with pytest.raises(ValueError, match="rows hold no score"):
        plots.learning_curves([{"stage": "backbone", "step": 0, "loss": 1.0}])


def test_running_mean():
    assert plots.figure.running_mean([1, 2, 3, 4], 1).tolist() == [1, 2, 3, 4]
    assert plots.figure.running_mean([1, 2, 3, 4], 3).tolist() == [1.5, 2, 3, 3.5]


def test_scaling():
    rows = [{"name": "layer", "closed": p, "ms": 8 * (1 - p) + 1} for p in (0.5, 0.0, 1.0)]
    axes = plots.scaling(rows).axes[0]
    assert axes.lines[-1].get_ydata().tolist() == pytest.approx([1, 5 / 9, 1 / 9])
    with pytest.raises(ValueError, match="'layer' lack one with nothing closed"):
        plots.scaling(rows[:1])


def test_styles_differ_in_grey():
    from matplotlib.colors import to_rgb

    styles = [plots.figure.style(i) for i in range(7)]
    assert len({marker for _, marker, _ in styles}) == len({str(x) for *_, x in styles}) == 7
    # dark enough to be seen on white
    assert all(np.dot(to_rgb(colour), [0.299, 0.587, 0.114]) < 0.72 for colour, *_ in styles)


def test_save(tmp_path, table):
    figure = plots.score_vs_open(table)
    written = plots.save(figure, tmp_path / "figures" / "score.png")
    assert [path.name for path in written] == ["score.png", "score.svg"]
    before = [path.read_bytes() for path in written]
    assert before[0].startswith(b"\x89PNG") and b"one-shot" in before[1]
    # the same figure is the same file
    plots.save(plots.score_vs_open(table), tmp_path / "figures" / "score")
    assert [path.read_bytes() for path in written] == before
    assert len(list((tmp_path / "figures").iterdir())) == 2
    assert plots.save(figure, tmp_path / "open-0.5")[0].name == "open-0.5.png"
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_no_global_state(tmp_path):
    script = (
        "import sys, matplotlib\n"
        "from gatelearn import plots\n"
        # a plain copy: reading the backend entry would load pyplot
        "before = matplotlib.rcParams.copy()\n"
        "figure = plots.gate_map([[[1, 0.5]]], ['needle'])\n"
        "plots.save(figure, sys.argv[1])\n"
        "assert matplotlib.rcParams.copy() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(tmp_path / "gates")]
    subprocess.run(command, env=env, check=True)


def test_attention_maps(rng):
    images = rng.random((2, 3, 16, 8))
    words = [["red", "apple", ","], ["dog"]]
    weights = [np.eye(8).reshape(8, 4, 2)[:3], rng.random((1, 4, 2))]
    figure = plots.attention_maps(images, words, weights, titles=["hard", "soft"], dim=0.25)
    (axes,) = figure.axes
    assert [t for t in texts(axes) if t] == ["red", "apple", ",", "hard", "dog", "soft"]
    assert len(axes.images) == 6
    # the image itself, then for the first word its first region bright and all else dark
    picture = images[0].transpose(1, 2, 0)
    np.testing.assert_allclose(axes.images[0].get_array(), picture)
    bright = np.full((16, 8, 1), 0.25)
    bright[:4, :4] = 1
    np.testing.assert_allclose(axes.images[1].get_array(), picture * bright)
    # the largest weight is as bright as the image
    shown = axes.images[-1].get_array() / images[1].transpose(1, 2, 0)
    assert shown.max() == pytest.approx(1) and shown.min() > 0.25
    renderer = drawn(figure)
    assert not overlaps([t.get_window_extent(renderer) for t in axes.texts if t.get_text()])


def test_attention_maps_refuse():
    image, weights = np.zeros((3, 8, 8)), np.ones((1, 2, 2))
    with pytest.raises(ValueError, match="there are 0 images"):
        plots.attention_maps([], [], [])
    with pytest.raises(ValueError, match="there are 1 images, 2 captions, 1 arrays of weights"):
        plots.attention_maps([image], [["a"], ["b"]], [weights])
    with pytest.raises(ValueError, match=r"weights\[0\] has shape \(1, 2, 2\), expected \(2, h, w"):
        plots.attention_maps([image], [["a", "b"]], [weights])
    for bad in (0 * weights, -weights, np.nan * weights):
        with pytest.raises(ValueError, match=r"weights\[0\] holds a map without weight, or values"):
            plots.attention_maps([image], [["a"]], [bad])


def test_caption_scores():
    rows = [{"method": m, "bleu4": v, "bleu4_lo": v - 0.1, "bleu4_hi": v + 0.1, "exact": v / 2,
             "look": look} for m, v, look in [("soft", 0.8, 0.9), ("mean", 0.3, float("nan"))]]
    figure = plots.caption_scores(Table(rows))
    assert [a.get_xlabel() for a in figure.axes] == [
        "BLEU-4", "captions without a fault", "looks at the right cell"]
    bleu, exact, _ = figure.axes
    assert [label.get_text() for label in bleu.get_yticklabels()] == ["soft", "mean"]
    # an interval and a marker each; no interval is known of exact matches, and one look is none
    assert [len(a.lines) for a in figure.axes] == [4, 2, 1]
    assert bleu.lines[0].get_xdata().tolist() == pytest.approx([0.7, 0.9])
    assert [line.get_xdata()[0] for line in exact.lines] == [0.4, 0.15]
    assert len(plots.caption_scores(rows, columns={"exact": "exact"}).axes) == 1
    with pytest.raises(ValueError, match="table has no rows to draw"):
        plots.caption_scores([])
