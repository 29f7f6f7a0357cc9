"""Emoji with captions: what the images show, what the captions say, how the splits part them."""

import importlib.abc
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import same_bits

from gatelearn.errors import MissingPackageError, UserError
from gatelearn.tasks import EmojiCaptions, EmojiConfig
from gatelearn.tasks import emoji as module


@pytest.fixture(scope="module")
def font():
    pytest.importorskip("emoji")
    pytest.importorskip("PIL")
    try:
        return module.find_font()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def tasks(font):
    return EmojiCaptions(EmojiConfig(emoji=40), font=font)


def single(**changes):
    return EmojiConfig(**{"grid": 1, "least": 1, "cell": 20, "sizes": (14, 18)} | changes)


def test_all_single_emoji_that_the_font_draws(font):
    tasks = EmojiCaptions(EmojiConfig(emoji=None), font=font)
    assert len(tasks.names) > 1200 and len(set(tasks.names)) == len(tasks.names)
    assert {"dog", "red apple", "rocket", "a button blood type"} <= set(tasks.names)
    assert "light skin tone" not in tasks.names
    assert all(len(character) == 1 for character in tasks.characters)
    assert tasks.characters[tasks.names.index("dog")] == "🐕"
    # none is blank
    assert (tasks._drawings[:-1, :, :, :, 3].max((2, 3)) > 0.3).all()
    assert not tasks._drawings[-1].any()


def test_words_stand_in_reading_order_and_know_their_cell(tasks):
    batch = tasks.sample(np.random.default_rng(0), 200)
    assert batch.images.shape == (200, *tasks.image_shape) == (200, 3, 32, 32)
    assert batch.images.dtype == np.float32 and len(batch) == 200
    assert batch.images.min() >= 0 and batch.images.max() <= 1
    assert batch.captions.shape[1] == batch.lengths.max() <= tasks.length
    for words, length, cell, emoji in zip(batch.captions, batch.lengths, batch.cell, batch.emoji,
                                          strict=True):
        cells = np.flatnonzero(emoji >= 0)
        names = [tasks.names[i] for i in emoji[cells]]
        assert 2 <= len(names) == len(set(names)) <= 4
        assert tasks.decode(words) == " , ".join(names)
        expected = [[c] * len(name.split()) for c, name in zip(cells, names, strict=True)]
        assert cell[:length].tolist() == [i for part in expected for i in [*part, -1]]
        assert (words[length - 1:] == 0).all() and (cell[length - 1:] == -1).all()
        assert (words[:length - 1] > 0).all()


def test_telling_words_are_those_that_the_words_before_leave_open(tasks):
    tasks = EmojiCaptions(EmojiConfig(emoji=300))
    batch = tasks.sample(np.random.default_rng(0), 100)
    seen = set()
    for words, telling, cell in zip(batch.captions, batch.telling, batch.cell, strict=True):
        assert not telling[cell < 0].any()
        for c in np.unique(cell[cell >= 0]):
            name = [tasks.vocabulary[i] for i in words[cell == c]]
            for k, marked in enumerate(telling[cell == c]):
                like = [n.split() for n in tasks.names if n.split()[:k] == name[:k]]
                assert marked == (len({tuple(n[k:k + 1]) for n in like}) > 1)
                seen.add((k > 0, bool(marked)))
    assert seen == {(False, True), (True, True), (True, False)}


def test_a_cell_shows_its_emoji_and_nothing_else(tasks):
    quiet = EmojiCaptions(EmojiConfig(emoji=40, noise=0.0, sizes=(16,)))
    batch = quiet.sample(np.random.default_rng(1), 50)
    cells = batch.images.reshape(50, 3, 2, 16, 2, 16).transpose(0, 2, 4, 1, 3, 5)
    cells = cells.reshape(50, 4, 3, 16, 16)
    for cell, emoji in zip(cells.reshape(-1, 3, 16, 16), batch.emoji.ravel(), strict=True):
        if emoji < 0:
            assert (cell == cell[:, :1, :1]).all()
        else:
            # what is opaque has the colours of the drawing, whatever the background
            drawing = quiet._drawings[emoji, 0].transpose(2, 0, 1)
            opaque = drawing[3] == 1
            np.testing.assert_allclose(cell[:, opaque], drawing[:3, opaque], atol=1e-6)


def test_places_fill_the_cell_and_stay_inside(tasks):
    batch = EmojiCaptions(EmojiConfig(emoji=10, noise=0.0, sizes=(8,), cell=12)).sample(
        np.random.default_rng(2), 400)
    ground = batch.images.reshape(400, 3, -1)
    # the commonest colour of an image is its background
    cells = batch.images.reshape(400, 3, 2, 12, 2, 12)
    median = np.median(ground, axis=2)[:, :, None, None, None, None]
    marked = (np.abs(cells - median) > 0.05).any(1)
    assert marked.any((0, 1, 3)).all()
    assert marked.sum((2, 4)).max() <= 64


def test_noise_and_background_are_drawn_anew(tasks):
    rng = np.random.default_rng(3)
    config = EmojiConfig(emoji=10, noise=0.05, sizes=(4,), cell=16)
    images = EmojiCaptions(config).sample(rng, 300).images
    corners = images[:, :, 7:9, 7:9]
    assert 0.5 < corners.mean((2, 3)).std(0).mean() * np.sqrt(12) * 2 < 1.5
    assert 0.02 < corners.std((2, 3)).mean() < 0.07


@pytest.mark.parametrize("grid", [2, 3])
def test_sets_of_emoji_are_never_in_two_splits(font, grid):
    tasks = EmojiCaptions(EmojiConfig(emoji=12, grid=grid, least=2))
    sets = {}
    for split in ("train", "validation", "test"):
        batch = tasks.sample(np.random.default_rng(4), 2000, split=split)
        sets[split] = {frozenset(row[row >= 0].tolist()) for row in batch.emoji}
        assert len(batch) == 2000
    assert not (sets["train"] & sets["test"] or sets["train"] & sets["validation"]
                or sets["validation"] & sets["test"])
    assert len(sets["train"]) > 3 * len(sets["test"])


def test_single_emoji_are_split_by_size_and_place(font):
    tasks = EmojiCaptions(single(emoji=10, noise=0.0), font=font)
    assert tasks.length == max(len(n.split()) for n in tasks.names) + 1
    drawn = {}
    for split in ("train", "test"):
        rng = np.random.default_rng(5)
        batch = tasks.sample(rng, 3000, split=split)
        assert (batch.cell[:, 0] == 0).all() and batch.emoji.shape == (3000, 1)
        assert set(batch.emoji.ravel().tolist()) == set(range(10))
        # an image but for its background: which pixels differ from the corner's
        ground = np.median(batch.images.reshape(3000, 3, -1), axis=2)
        marked = (np.abs(batch.images - ground[..., None, None]) > 0.2).any(1)
        drawn[split] = {(int(e), m.tobytes()) for e, m in zip(batch.emoji[:, 0], marked,
                                                              strict=True)}
        keys = tasks._key(*map(np.array, zip(*[
            (e, p) for e, p in zip(*tasks._arrange(np.random.default_rng(6), 5000), strict=True)],
            strict=True)))
        assert np.bincount(keys, minlength=10).min() > 300


def test_the_same_generator_gives_the_same_batch(tasks):
    first, again = (tasks.sample(np.random.default_rng(7), 9, split="test") for _ in range(2))
    other = tasks.sample(np.random.default_rng(8), 9, split="test")
    for name in ("images", "captions", "lengths", "cell", "telling", "emoji"):
        same_bits(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.emoji, other.emoji)
    assert len(tasks.sample(np.random.default_rng(0), 1)) == 1


def test_every_number_of_emoji_is_as_likely(tasks):
    batch = tasks.sample(np.random.default_rng(9), 3000)
    count = np.bincount((batch.emoji >= 0).sum(1))[2:]
    assert count.min() > 900 and count.size == 3
    # every cell is as likely to be empty
    assert np.ptp((batch.emoji >= 0).mean(0)) < 0.05


def test_region_cells(tasks):
    assert tasks.region_cells(2, 2).tolist() == [0, 1, 2, 3]
    assert tasks.region_cells(4, 4).reshape(4, 4).tolist() == (
        [[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2)
    # of three rows the middle one begins the lower half
    assert tasks.region_cells(3, 2).tolist() == [0, 1, 2, 3, 2, 3]
    three = EmojiCaptions(EmojiConfig(emoji=10, grid=3))
    assert three.region_cells(6, 3).reshape(6, 3).tolist() == [
        [0, 1, 2]] * 2 + [[3, 4, 5]] * 2 + [[6, 7, 8]] * 2


def test_looks_right(tasks):
    batch = tasks.sample(np.random.default_rng(10), 50)
    right = np.maximum(batch.cell, 0)
    named = batch.cell >= 0
    np.testing.assert_array_equal(tasks.looks_right(right, batch, (2, 2)), named)
    assert not tasks.looks_right((right + 1) % 4, batch, (2, 2)).any()

    # of a cell's four regions each is right
    looked = np.array([0, 2, 8, 10])[right] + np.array([[0], [1], [4], [5], [1]] * 10)
    np.testing.assert_array_equal(tasks.looks_right(looked, batch, (4, 4)), named)
    with pytest.raises(ValueError, match=r"looked has shape \(50, 1\), expected \(50, \d+\)"):
        tasks.looks_right(right[:, :1], batch, (2, 2))


def test_refused_settings(tasks):
    for changes, message in [
        (dict(emoji=9), "emoji is 9, expected at least 10 or None for all"),
        (dict(emoji=12, grid=4), "emoji is 12, expected at least one for each of the 16 cells"),
        (dict(grid=0), "grid is 0, expected at least 1"),
        (dict(least=5), "least is 5, expected 1 to the 4 of a grid of 2 by 2"),
        (dict(least=0), "least is 0, expected 1 to the 4"),
        (dict(sizes=()), r"sizes is \(\), expected numbers from 4 to cell = 16"),
        (dict(sizes=(17,)), r"sizes is \(17,\), expected numbers from 4 to cell = 16"),
        (dict(noise=-0.1), "noise is -0.1, expected 0 <= noise < 1"),
        (dict(noise=float("nan")), "noise is nan, expected 0 <= noise < 1"),
        (dict(grid=1, least=1, sizes=(15, 16)),
         r"sizes is \(15, 16\), expected smaller ones: there are 5 placements in a cell"),
    ]:
        with pytest.raises(UserError, match=message):
            EmojiConfig(**changes)
    with pytest.raises(UserError, match=r"emoji is 5000, expected at most the 1\d+ that the"):
        EmojiCaptions(EmojiConfig(emoji=5000))
    with pytest.raises(ValueError, match="split is 'dev', expected one of train, validation, test"):
        tasks.sample(np.random.default_rng(0), 1, split="dev")
    with pytest.raises(ValueError, match="batch is 0, expected at least 1"):
        tasks.sample(np.random.default_rng(0), 0)


def test_fonts_that_cannot_be_used(font, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"nowhere\.ttf', expected the file NotoColorEmoji"):
        EmojiCaptions(font=tmp_path / "nowhere.ttf")
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    with pytest.raises(UserError, match=r"broken.ttf' cannot be used: .*; expected NotoColorEmoji"):
        EmojiCaptions(font=tmp_path / "broken.ttf")
    plain = Path(pytest.importorskip("matplotlib").get_data_path(), "fonts/ttf/DejaVuSans.ttf")
    with pytest.raises(UserError, match="is DejaVu Sans, expected Noto Color Emoji"):
        EmojiCaptions(font=plain)
    monkeypatch.setattr(module, "_FOLDERS", (str(tmp_path), str(tmp_path / "missing")))
    with pytest.raises(UserError, match=r"no font NotoColorEmoji\.ttf was found: install it"):
        EmojiCaptions()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "NotoColorEmoji.ttf").symlink_to(font)
    assert module.find_font() == tmp_path / "deep" / "NotoColorEmoji.ttf"


class Without(importlib.abc.MetaPathFinder):
    """As if a package were not installed."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path, target=None):
        if name == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize("package", ["emoji", "PIL"])
def test_missing_packages_are_named(font, package, monkeypatch):
    module._draw.cache_clear()
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Without(package), *sys.meta_path])
    with pytest.raises(MissingPackageError, match=rf"{package} is not installed: pip install "
                                                  r"'gatelearn\[captions\]'"):
        EmojiCaptions(font=font)
