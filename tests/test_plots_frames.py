"""Frames of games as a figure and as an animation."""

import numpy as np
import pytest

from gatelearn.plots import frame_strip, save_frames

FILM = np.arange(5 * 6 * 4, dtype=np.uint8).reshape(5, 6, 4)


def test_strip_has_a_row_a_variant_and_shows_pixels_as_they_are():
    pytest.importorskip("matplotlib")
    figure = frame_strip({"original": FILM, "dark": FILM[:2] // 2}, columns=3, title="Pong")
    images = [axes.images[0] for axes in figure.axes]
    assert len(images) == 5
    assert all(image.get_clim() == (0, 255) for image in images)
    for image, frame in zip(images, (*FILM[::2], *(FILM[:2] // 2)), strict=True):
        assert np.array_equal(image.get_array(), frame)
    assert [axes.get_ylabel() for axes in figure.axes] == ["original", "", "", "dark", ""]


def test_strip_of_nothing():
    with pytest.raises(ValueError, match="frames has no variant"):
        frame_strip({})
    with pytest.raises(ValueError, match=r"frames of a have shape \(4, 4\), expected \(F, H, W\)"):
        frame_strip({"a": np.zeros((4, 4))})
    with pytest.raises(ValueError, match="columns is 0, expected at least 1"):
        frame_strip({"a": FILM}, columns=0)


@pytest.mark.parametrize("frames", [FILM, FILM[..., None].repeat(3, 3)])
def test_animation_holds_the_frames(tmp_path, frames):
    image = pytest.importorskip("PIL.Image")
    path = save_frames(tmp_path / "new" / "film.gif", frames, zoom=3, milliseconds=100)
    with image.open(path) as film:
        assert (film.n_frames, film.size, film.info["duration"]) == (5, (12, 18), 100)
        for i in range(5):
            film.seek(i)
            shown = np.asarray(film.convert("L"))[1::3, 1::3]
            assert np.abs(shown.astype(int) - FILM[i]).max() <= 1


def test_animation_of_what_is_none(tmp_path):
    with pytest.raises(TypeError, match="frames are float64, expected uint8"):
        save_frames(tmp_path / "a.gif", FILM / 255)
    with pytest.raises(ValueError, match=r"shape \(0, 6, 4\), expected \(F, H, W\) or"):
        save_frames(tmp_path / "a.gif", FILM[:0])
    with pytest.raises(ValueError, match="zoom is 0, expected at least 1"):
        save_frames(tmp_path / "a.gif", FILM, zoom=0)
    assert not list(tmp_path.iterdir())
