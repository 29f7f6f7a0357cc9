"""Digits in large images: their splits, places and pieces."""

import numpy as np
import pytest

from gatelearn.functional import glimpse
from gatelearn.tasks import DIGIT_TASKS, Digits
from gatelearn.tasks.digits import enlarge

load_digits = pytest.importorskip("sklearn.datasets").load_digits


def test_splits_are_by_image_and_stratified():
    data, task = load_digits(), Digits()
    index = np.concatenate(list(task.splits.values()))
    assert sorted(index) == list(range(len(data.images)))
    np.testing.assert_array_equal(task.labels, data.target)
    # no image stands twice under two numbers, so none is in two splits
    assert len({image.tobytes() for image in data.images}) == len(data.images)
    share = np.bincount(data.target) / len(data.target)
    for name, part in {"train": 0.6, "validation": 0.1, "test": 0.3}.items():
        members = task.splits[name]
        assert len(members) == pytest.approx(part * len(index), abs=5)
        np.testing.assert_allclose(np.bincount(task.labels[members]) / len(members), share,
                                   atol=0.005)
    assert all((a == b).all() for a, b in zip(Digits(60).splits.values(), task.splits.values(),
                                              strict=True))


@pytest.mark.parametrize("name", DIGIT_TASKS)
def test_shapes_and_ranges(name, rng):
    task = Digits.named(name)
    for B in (0, 1, 7):
        batch = task.sample(rng, B, split="test")
        side = 8 if name == "native" else int(name.split("-")[1])
        assert batch.images.shape == (B, 1, side, side) and batch.images.dtype == np.float32
        assert batch.labels.dtype == batch.index.dtype == np.int64
        assert batch.labels.shape == batch.index.shape == (B,)
        assert batch.centre.shape == (B, 2) and batch.centre.dtype == np.float32
        np.testing.assert_array_equal(batch.labels, task.labels[batch.index])
        assert np.isin(batch.index, task.splits["test"]).all()
        assert ((batch.images >= 0) & (batch.images <= 1)).all() and (abs(batch.centre) < 1).all()


def test_native_digits_are_the_images_themselves(rng):
    batch = Digits().sample(rng, 20)
    np.testing.assert_array_equal(batch.images[:, 0] * 16, load_digits().images[batch.index])
    assert (batch.centre == 0).all()


@pytest.mark.parametrize("size, zoom", [(60, 3), (61, 2.5), (8, 1), (24, 3)])
def test_the_centre_is_where_a_glimpse_finds_the_digit(size, zoom, rng):
    task = Digits(size, zoom=zoom)
    batch = task.sample(rng, 50)
    side = round(8 * zoom)
    patch = glimpse(batch.images, batch.centre, side)[:, 0, 0]
    np.testing.assert_allclose(patch, task.digits[batch.index], atol=1e-5)
    # and nothing else is bright
    np.testing.assert_allclose(batch.images.sum((1, 2, 3)), task.digits[batch.index].sum((1, 2)),
                               rtol=1e-5)


def test_every_place_is_as_likely(rng):
    batch = Digits(10, zoom=1).sample(rng, 9000)
    corner = np.rint((batch.centre + 1) * 5 - 4).astype(int)
    count = np.zeros((3, 3), int)
    np.add.at(count, (corner[:, 1], corner[:, 0]), 1)
    assert count.min() > 850 and count.max() < 1150


def test_enlarging_is_that_of_torch(rng):
    torch = pytest.importorskip("torch")
    digits = rng.random((3, 8, 8)).astype(np.float32)
    padded = torch.nn.functional.pad(torch.from_numpy(digits), (1, 1, 1, 1))
    expected = torch.nn.functional.interpolate(padded[:, None], scale_factor=3, mode="bilinear")
    np.testing.assert_allclose(enlarge(digits, 3), expected[:, 0, 3:-3, 3:-3], atol=1e-6)
    np.testing.assert_array_equal(enlarge(digits, 1), digits)


def test_pieces_are_cut_from_other_digits_of_the_split(rng):
    # each digit of a split has a brightness of its own, all others are dark
    task = Digits(40, clutter=3, zoom=1, piece=4)
    for split, members in task.splits.items():
        level = np.zeros(len(task.labels), np.float32)
        level[members] = np.arange(1, len(members) + 1)
        task.digits = np.broadcast_to(level[:, None, None], (len(level), 8, 8))
        batch = task.sample(rng, 200, split=split)
        for image in batch.images:
            seen = set(np.unique(image)) - {0}
            assert 0 < len(seen) <= 4 and seen <= set(level[members])
        own = level[batch.index]
        # of the brighter digits nothing covers them, of the others only a piece
        assert ((batch.images == own[:, None, None, None]).sum((1, 2, 3)) >= 16).all()


def test_a_piece_is_never_of_the_digit_itself(rng):
    task = Digits(30, clutter=1, zoom=1, piece=8)
    task.splits = {"train": np.array([3, 5])}
    task.digits = np.zeros_like(task.digits)
    task.digits[3], task.digits[5] = 0.5, 1
    batch = task.sample(rng, 100)
    assert (batch.images.max((1, 2, 3)) == 1).all()
    assert ((batch.images == 0.5).sum((1, 2, 3)) + (batch.images == 1).sum((1, 2, 3)) <= 128).all()
    assert (batch.images == 0.5).any((1, 2, 3)).mean() > 0.95


def test_clutter_adds_as_many_pieces_as_asked(rng):
    task = Digits(60, clutter=5, zoom=2, piece=3)
    task.digits = np.ones_like(task.digits)
    images = task.sample(rng, 300).images
    more = images.sum((1, 2, 3)) - 16 ** 2
    assert more.max() == 5 * 9 and more.min() >= 0 and 30 < more.mean() < 45


def test_the_same_state_gives_the_same_images():
    task = Digits.named("cluttered-60")
    a, b, c = (task.sample(np.random.default_rng(seed), 9) for seed in (1, 1, 2))
    assert all((x == y).all() for x, y in zip(a, b, strict=True))
    assert (a.images != c.images).any()


def test_given_digits_are_rendered_each_time_anew(rng):
    task = Digits.named("cluttered-60")
    index = np.repeat(task.splits["validation"][:4], 3)
    batch = task.render(rng, index, split="validation")
    np.testing.assert_array_equal(batch.index, index)
    assert len({image.tobytes() for image in batch.images}) == 12


def test_what_does_not_fit_is_refused(rng):
    task = Digits(60)
    for match, call in {
        "clutter is -1, expected at least 0": lambda: Digits(60, -1),
        "clutter is 2, expected 0 where no size is given": lambda: Digits(clutter=2),
        r"zoom is 3.0, expected 1 to 2.5: 8 pixels in an image of 20": lambda: Digits(20),
        "zoom is 0.5, expected 1 to 7.5": lambda: Digits(60, zoom=0.5),
        "zoom is nan, expected 1 to 7.5": lambda: Digits(60, zoom=float("nan")),
        "piece is 25, expected 1 to 24, the size of a digit": lambda: Digits(60, 1, piece=25),
        "piece is 0, expected 1 to 24": lambda: Digits(60, 1, piece=0),
        "task is 'tilted', expected one of native, translated-60": lambda: Digits.named("tilted"),
        "split is 'all', expected one of train, validation, test":
            lambda: task.sample(rng, 1, split="all"),
        "batch is -2, expected at least 0": lambda: task.sample(rng, -2),
        "index has 2 dimensions, expected 1": lambda: task.render(rng, [[1]]),
        f"index has {task.splits['test'][0]}, which is not in split train":
            lambda: task.render(rng, [task.splits["train"][0], task.splits["test"][0]]),
    }.items():
        with pytest.raises(ValueError, match=match):
            call()
    with pytest.raises(TypeError, match="index has dtype float64, expected integers"):
        task.render(rng, [1.0])
