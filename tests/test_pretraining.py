"""Models that the library trains on frames: batches, gradients, resuming, what encoders keep."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import same_bits, same_for_any_threads
from pretraining_cases import check_gradient, check_resume, moving_dots

from gatelearn.errors import UserError
from gatelearn.wsa import pretraining as pre
from gatelearn.wsa.pretraining import Frames


def numbered(lengths):
    """Frames whose pixels are their number, in episodes of these lengths."""
    count = sum(lengths)
    images = np.arange(count, dtype=np.uint8)[:, None, None] * np.ones((2, 3), np.uint8)
    return Frames(images, np.repeat(np.arange(len(lengths)) + 7, lengths))


def test_batches_lie_within_an_episode(rng):
    frames = numbered([5, 2, 9, 1])
    assert len(frames) == 17 and frames.size == (2, 3)
    stacks = frames.stacks(rng, 500, depth=3)[:, :, 0, 0]
    assert stacks.shape == (500, 3) and (np.diff(stacks.astype(int), axis=1) == 1).all()
    assert set(stacks[:, 0]) == {0, 1, 2, *range(7, 14)}
    assert set(frames.single(rng, 500).ravel()) == set(range(17))
    before, after = (x[:, :, 0, 0].astype(int)
                     for x in frames.pairs(rng, 500, apart=(1, 4), depth=2))
    assert set((after - before).ravel()) == {1, 2, 3, 4}
    # 2 frames, and the second stack up to 4 later: 6 frames of one episode, the third
    assert set(before[:, 0]) == {7, 8, 9, 10} and after.max() <= 15
    same_bits(frames.spread(4, 2)[:, 0, 0, 0], np.array([0, 5, 10, 14], np.uint8))
    assert len(frames.spread(1000, 1)) == 17


def test_mean_frame_and_split():
    frames = moving_dots(2100)
    np.testing.assert_allclose(frames.mean(), frames.images.mean(0, dtype=np.float64) / 255,
                               rtol=1e-6)
    train, test = numbered([5, 2, 9, 1]).split(0.5)
    assert (len(train), len(test)) == (7, 10)
    train, test = numbered([10]).split(0.3)
    assert (len(train), len(test)) == (7, 3) and test.images[0, 0, 0] == 7


def test_frames_are_checked():
    images = np.zeros((4, 2, 2), np.uint8)
    with pytest.raises(TypeError, match="images has dtype float64, expected uint8"):
        Frames(images.astype(float), [0, 0, 0, 0])
    with pytest.raises(ValueError, match=r"images has shape \(4, 2\), expected \(F, H, W\)"):
        Frames(images[:, 0], [0, 0, 0, 0])
    with pytest.raises(ValueError, match=r"episode has shape \(3,\), expected \(4,\)"):
        Frames(images, [0, 0, 0])
    with pytest.raises(ValueError, match="episode 5 stands in 2 places, expected the frames"):
        Frames(images, [5, 5, 0, 5])
    frames, rng = Frames(images, [0, 0, 0, 1]), np.random.default_rng(0)
    with pytest.raises(ValueError, match="the longest episode has 3 frames, expected at least 4 "):
        frames.stacks(rng, 1)
    with pytest.raises(ValueError, match="depth is 0, expected at least 1"):
        frames.stacks(rng, 1, depth=0)
    with pytest.raises(ValueError, match=r"apart is \(3, 2\), expected at least 1"):
        frames.pairs(rng, 1, apart=(3, 2))
    with pytest.raises(ValueError, match="held_out is 1, expected a number between 0 and 1"):
        frames.split(1)


SMALL = [(3, 4, 4), (2, 3, 1)]


def autoencoder(dtype=np.float32, **config):
    network = pre.AutoencoderNetwork((20, 20), 2, SMALL).build(0, dtype)
    return pre.AutoencoderTrainer(network, moving_dots(), pre.AutoencoderConfig(
        **{"batch": 4, "steps": 20, **config}), np.random.default_rng(1))


def contrastive(dtype=np.float32, **config):
    network = pre.ContrastiveNetwork((20, 20), 2, SMALL, width=5).build(0, dtype)
    return pre.ContrastiveTrainer(network, moving_dots(), pre.ContrastiveConfig(
        **{"batch": 4, "steps": 20, "apart": 2, **config}), np.random.default_rng(1))


TRAINERS = {"state": autoencoder, "contrastive": contrastive}


@pytest.mark.parametrize("make", TRAINERS.values(), ids=TRAINERS)
def test_gradient_of_the_whole_loss(make):
    check_gradient(make(np.float64))


@pytest.mark.parametrize("make", TRAINERS.values(), ids=TRAINERS)
def test_training_resumes_to_the_same_bits(make):
    check_resume(make)


@pytest.mark.parametrize("make", TRAINERS.values(), ids=TRAINERS)
def test_same_bits_on_any_number_of_threads(make):
    def f():
        trainer = make(batch=16)
        metrics = trainer.step()
        return trainer.network.params, trainer.network.grads, np.array(metrics["loss"])

    same_for_any_threads(f)


@pytest.mark.parametrize("make", TRAINERS.values(), ids=TRAINERS)
def test_evaluation_repeats_and_changes_nothing(make):
    trainer = make()
    before = trainer.network.params.copy()
    held_out = moving_dots(seed=9)
    assert trainer.evaluate(held_out) == trainer.evaluate(held_out)
    same_bits(trainer.network.params, before)


def test_the_autoencoder_finds_what_moves():
    frames = moving_dots(400)
    network = pre.AutoencoderNetwork((20, 20), 2, [(16, 4, 4), (16, 3, 1)]).build(0)
    trainer = pre.AutoencoderTrainer(network, frames, pre.AutoencoderConfig(steps=300, lr=3e-3),
                                     np.random.default_rng(0))
    start = trainer.evaluate(moving_dots(seed=0))
    for _ in range(300):
        trainer.step()
    end = trainer.evaluate(moving_dots(seed=0))
    assert start["unexplained"] > 0.9 and end["unexplained"] < 0.1


def test_contrastive_accuracy_rises_above_chance():
    frames = moving_dots(600, episodes=30)
    network = pre.ContrastiveNetwork((20, 20), 2, [(16, 4, 4), (16, 3, 1)], width=32).build(0)
    trainer = pre.ContrastiveTrainer(
        network, frames, pre.ContrastiveConfig(steps=200, batch=16, lr=3e-3, apart=2),
        np.random.default_rng(0))
    for _ in range(200):
        trainer.step()
    metrics = trainer.evaluate(moving_dots(300, episodes=15, seed=3))
    # most places show no dot
    assert metrics["accuracy_global"] > 2 / 16 and metrics["accuracy_local"] > 4 / 16
    assert metrics["matched"] > 8 / 16


def test_settings_are_checked():
    with pytest.raises(UserError, match=r"layers\[0\] has kernel size 8 and stride 4, which leave "
                                        "a rest on a map of 21 x 20"):
        pre.AutoencoderNetwork((21, 20))
    with pytest.raises(UserError, match=r"layers\[1\] has kernel size 4, expected at most the map "
                                        "of 1 x 1 before it"):
        pre.ContrastiveNetwork((8, 8))
    with pytest.raises(UserError, match=r"frames have size \(20, 20\), expected \(84, 84\)"):
        pre.AutoencoderTrainer(pre.AutoencoderNetwork().build(0), moving_dots(),
                               pre.AutoencoderConfig(), np.random.default_rng(0))
    with pytest.raises(UserError, match="apart is 1, expected at least 2: stacks of that depth"):
        contrastive(apart=1)
    for config, name, message in (
            (pre.PretrainingConfig, "steps", "steps is 0, expected at least 1"),
            (pre.PretrainingConfig, "lr", "lr is 0, expected"),
            (pre.AutoencoderConfig, "floor", "floor is 0, expected a finite number above 0"),
            (pre.ContrastiveConfig, "batch", "batch is 0, expected at least")):
        if name != "lr":
            with pytest.raises(UserError, match=message):
                config(**{name: 0})


ENCODERS = {
    "state": lambda: pre.StateEncoder.freeze(autoencoder().network, moving_dots()),
    "contrastive": lambda: pre.ContrastiveEncoder.freeze(contrastive().network, moving_dots()),
}


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS)
def test_embeddings_are_centred_and_scaled(make):
    encoder, frames = make(), moving_dots()
    embeddings = encoder.embed(frames.spread(1024, encoder.depth))
    assert embeddings.dtype == np.float32 and embeddings.shape[1] == encoder.width
    np.testing.assert_allclose(embeddings.mean(0), 0, atol=1e-4)
    assert np.mean(embeddings**2) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("make", TRAINERS.values(), ids=TRAINERS)
def test_a_frozen_encoder_learns_no_more(make):
    trainer = make()
    kind = {"state": pre.StateEncoder, "contrastive": pre.ContrastiveEncoder}
    encoder = kind[next(k for k, v in TRAINERS.items() if v is make)].freeze(
        trainer.network, trainer.frames, name="mine")
    stacks = trainer.frames.spread(5, 6)
    before = encoder.embed(stacks)
    trainer.step()
    same_bits(encoder.embed(stacks), before)
    assert encoder.name == "mine" and encoder.depth <= 5
    # it sees the newest frames of deeper stacks, and each row by itself
    same_bits(encoder.embed(np.concatenate([stacks[:, :1], stacks], 1)), before)
    np.testing.assert_allclose(encoder.embed(stacks[3:4]), before[3:4], atol=1e-5)


def test_observations_are_checked():
    encoder = ENCODERS["state"]()
    with pytest.raises(TypeError, match="encoder 'state': observations has dtype float32, expected "
                                        "uint8"):
        encoder.embed(np.zeros((1, 2, 20, 20), np.float32))
    with pytest.raises(ValueError, match=r"encoder 'state': observations has shape \(1, 1, 20, 20\)"
                                         ", expected .* T of at least 2"):
        encoder.embed(np.zeros((1, 1, 20, 20), np.uint8))


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS)
def test_encoders_run_in_several_threads_and_can_be_pickled(make):
    encoder, frames = make(), moving_dots()
    stacks = [frames.stacks(np.random.default_rng(i), 8, 5) for i in range(4)]
    expected = [encoder.embed(x) for x in stacks]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            for found, e in zip(pool.map(encoder.embed, stacks), expected, strict=True):
                same_bits(found, e)
    same_bits(pickle.loads(pickle.dumps(encoder)).embed(stacks[0]), expected[0])
