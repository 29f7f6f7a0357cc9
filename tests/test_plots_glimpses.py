"""Figures of glimpses: squares where the sensor looks, verdicts, intervals, the animation."""

import io

import numpy as np
import pytest

from gatelearn import plots
from gatelearn.functional import glimpse
from gatelearn.plots.glimpses import DIM, gif_frames
from gatelearn.runs import Table

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")


def squares(axes, *styles):
    return [p for p in axes.patches if p.get_linestyle() in styles]


def test_squares_stand_where_the_sensor_looks(rng):
    images = rng.random((2, 1, 20, 30))
    places = rng.uniform(-0.5, 0.5, (2, 3, 2))
    # whole pixels under whole patches
    places = np.rint((places + 1) / 2 * (30, 20)) * 2 / (30, 20) - 1
    figure = plots.glimpse_paths(images, places, 4, 2)
    patches = glimpse(images, places, 4, 2)
    for axes, image, seen in zip(figure.axes, images[:, 0], patches, strict=True):
        solid, dotted = squares(axes, "-", "solid"), squares(axes, ":", "dotted")
        assert len(solid) == 3 and len(dotted) == 1 and dotted[0].get_width() == 8
        for square, patch in zip(solid, seen, strict=True):
            x, y = (round(v + 0.5) for v in square.get_xy())
            assert square.get_width() == square.get_height() == 4
            np.testing.assert_allclose(image[y:y + 4, x:x + 4], patch[0, 0], atol=1e-12)


def test_right_and_wrong_are_told_without_colour():
    figure = plots.glimpse_paths(np.zeros((3, 9, 9)), np.zeros((3, 2, 2)), 3, labels=[1, 2, 3],
                                 predictions=[1, 7, 3], columns=2, title="Paths")
    assert [a.get_title() for a in figure.axes] == ["1, right", "2, taken for 7", "3, right"]
    styles = [a.spines["left"].get_linestyle() for a in figure.axes]
    assert styles[0] == styles[2] != styles[1]
    assert figure.get_suptitle() == "Paths"
    labelled = plots.glimpse_paths(np.zeros((1, 9, 9)), np.zeros((1, 2, 2)), 3, labels=[4])
    assert labelled.axes[0].get_title() == "4"


def test_glimpses_on_one_spot_share_a_label():
    path = [[[0, 0], [0.01, 0], [0.8, 0.8], [0, 0]]]
    (axes,) = plots.glimpse_paths(np.zeros((1, 40, 40)), path, 4).axes
    assert [t.get_text() for t in axes.texts] == ["1,2,4", "3"]


def test_error_by_glimpses_draws_every_method(tmp_path):
    table = Table()
    for method, count in (("learned", 4), ("random", 4), ("convolution", None)):
        for n in range(1, 5) if count else [None]:
            table.append(method=method, task="cluttered-60", glimpses=n, error=20 / (n or 2),
                         error_lo=15 / (n or 2), error_hi=25 / (n or 2))
    figure = plots.error_by_glimpses(table)
    (axes,) = figure.axes
    names = [t.get_text() for t in figure.legends[0].get_texts()]
    assert sorted(names) == ["convolution, whole image", "learned", "random"]
    assert axes.get_ylabel() == "error (%), 95% interval" and axes.get_xlabel() == "glimpses"
    (learned,) = [c for c in axes.containers if c.get_label() == "learned"]
    np.testing.assert_allclose(learned[0].get_ydata(), [20, 10, 20 / 3, 5])
    for path in plots.save(figure, tmp_path / "figure"):
        assert path.stat().st_size > 5000


def test_gif_has_a_frame_before_and_after_each_glimpse(tmp_path):
    image = np.random.default_rng(0).random((1, 12, 16))
    path = plots.save_gif(tmp_path / "new" / "path.gif", image, [[0, 0], [0.5, 0.5], [-0.5, 0]], 4,
                          zoom=3, milliseconds=500)
    gif = Image.open(io.BytesIO(path.read_bytes()))
    assert gif.n_frames == 4 and gif.size == (48, 36) and gif.info["duration"] == 500
    again = plots.save_gif(tmp_path / "again.gif", image, [[0, 0], [0.5, 0.5], [-0.5, 0]], 4,
                           zoom=3, milliseconds=500)
    assert again.read_bytes() == path.read_bytes()


def test_what_was_not_looked_at_stays_dim():
    place = np.array([[3.5, 3.5]])  # in pixels, the middle of an image of 8
    before, after = gif_frames(np.ones((8, 8)), place, 2, 2, 4)[..., 0].astype(int)
    assert (before == int(255 * DIM)).all()
    assert after[0, 0] == int(255 * DIM)  # seen by no patch
    assert after[10, 10] == int(255 * (1 + DIM) / 2)  # pixel (2, 2), by the coarse one alone
    assert after[15, 15] == 255  # pixel (3, 3), by the fine one


def test_shapes_that_do_not_fit_are_refused():
    image, path = np.zeros((2, 9, 9)), np.zeros((2, 3, 2))
    for match, call in {
        r"images has shape \(9, 9\), expected \(N, H, W\)":
            lambda: plots.glimpse_paths(image[0], path, 3),
        r"locations has shape \(1, 3, 2\), expected \(2, T, 2\)":
            lambda: plots.glimpse_paths(image, path[:1], 3),
        r"locations has shape \(2, 3, 3\)":
            lambda: plots.glimpse_paths(image, np.zeros((2, 3, 3)), 3),
        "labels has 1 entries, expected 2": lambda: plots.glimpse_paths(image, path, 3, labels=[1]),
        "predictions has 3 entries, expected 2":
            lambda: plots.glimpse_paths(image, path, 3, predictions=[1, 2, 3]),
        "table has no rows": lambda: plots.error_by_glimpses([]),
        r"locations has shape \(1, 0, 2\)":
            lambda: plots.save_gif("path.gif", image[0], np.zeros((0, 2)), 3),
    }.items():
        with pytest.raises(ValueError, match=match):
            call()
