"""Keypoints and segmentation: gradients, resuming, what they find, what their encoders return."""

import numpy as np
import pytest
from helpers import close, same_bits, same_for_any_threads
from pretraining_cases import check_gradient, check_resume, moving_dots

from gatelearn.errors import UserError
from gatelearn.wsa import pretraining as pre
from gatelearn.wsa.pretraining import Frames
from gatelearn.wsa.pretraining.keypoints import pooled
from gatelearn.wsa.pretraining.segmentation import Motion
from gatelearn.wsa.pretraining.similarity import blur, ssim, ssim_backward, window_means


def keypoints(dtype=np.float32, *, std=0.3, source_gradient=False, **config):
    network = pre.KeypointsNetwork((20, 24), keypoints=3, channels=4, std=std, contrast=2,
                                   source_gradient=source_gradient).build(0, dtype)
    return pre.KeypointsTrainer(network, moving_dots(size=(20, 24)), pre.KeypointsConfig(
        **{"batch": 4, "steps": 20, "apart": 5, **config}), np.random.default_rng(1))


def segmentation(dtype=np.float32, **config):
    network = pre.SegmentationNetwork((20, 24), objects=2, channels=4, width=6, blurs=(3, 7),
                                      contrast=2).build(0, dtype)
    return pre.SegmentationTrainer(network, moving_dots(size=(20, 24)), pre.SegmentationConfig(
        **{"batch": 4, "steps": 20, "window": 3, **config}), np.random.default_rng(1))


TRAINERS = {"keypoints": keypoints, "segmentation": segmentation}
ENCODERS = {"keypoints": pre.KeypointsEncoder, "segmentation": pre.SegmentationEncoder}
MODELS = pytest.mark.parametrize("model", TRAINERS)


def test_gradient_of_the_whole_loss_of_keypoints():
    check_gradient(keypoints(np.float64, source_gradient=True))


def test_gradient_of_keypoints_stops_at_the_source(rng):
    trainer = keypoints(np.float64)
    network = trainer.network
    network.params += 0.05 * rng.standard_normal(network.params.shape)
    source, target = (x / 255 for x in trainer.draw(trainer.frames, rng))
    seen, dy = network.see(source), rng.standard_normal(target.shape)
    network.grads[...] = 0
    network.backward(dy, network.forward(source, target)[1])
    # the source as it was seen before: its part does not change with the parameters
    for i in rng.permutation(network.params.size)[:200]:
        kept = network.params[i]
        values = []
        for step in (1e-6, -1e-6):
            network.params[i] = kept + step
            values.append(np.sum(network.carry(seen, network.see(target))[0] * dy))
        network.params[i] = kept
        expected = (values[0] - values[1]) / 2e-6
        assert network.grads[i] == pytest.approx(expected, abs=1e-6 * np.abs(network.grads).max())


@pytest.mark.parametrize("similarity", [0.0, 0.5, 1.0])
def test_gradient_of_the_whole_loss_of_segmentation(similarity):
    check_gradient(segmentation(np.float64, similarity=similarity, curriculum=0.0))


@MODELS
def test_training_resumes_to_the_same_bits(model):
    check_resume(TRAINERS[model])


@MODELS
def test_same_bits_on_any_number_of_threads(model):
    def f():
        trainer = TRAINERS[model](batch=16)
        trainer.step()
        return trainer.network.params, trainer.network.grads

    same_for_any_threads(f)


def test_keypoints_lie_on_what_moves():
    frames = moving_dots(400, size=(40, 40), episodes=10)
    network = pre.KeypointsNetwork((40, 40), keypoints=4, channels=16, std=0.1).build(0)
    trainer = pre.KeypointsTrainer(network, frames, pre.KeypointsConfig(steps=200, lr=5e-3),
                                   np.random.default_rng(0))
    for _ in range(200):
        trainer.step()
    held_out = moving_dots(100, size=(40, 40), episodes=4, seed=5).images
    bright = held_out == 230
    rows, columns = (np.arange(40) for _ in range(2))
    middle = np.stack([(bright * columns).sum((1, 2)), (bright * rows[:, None]).sum((1, 2))], -1)
    middle = middle / bright.sum((1, 2))[:, None]
    points = (network.see(held_out[:, None]).points * 40 + 39) / 2
    near = np.linalg.norm(points - middle[:, None], axis=-1).min(1) < 5
    shuffled = np.linalg.norm(points - np.roll(middle, 50, 0)[:, None], axis=-1).min(1) < 5
    assert near.mean() > 0.75 and shuffled.mean() < 0.5


def moving_square(count, seed):
    """Frames and places of a square of 5 x 5 that moves on from a random place, two of a kind."""
    rng = np.random.default_rng(seed)
    images, places = np.zeros((2 * count, 24, 24), np.uint8), rng.integers(3, 16, (count, 2))
    moves = rng.integers(-2, 3, (count, 2))
    for i, (place, move) in enumerate(zip(places, moves, strict=True)):
        for t in range(2):
            y, x = place + t * move
            images[2 * i + t, y:y + 5, x:x + 5] = 200
    return Frames(images, np.arange(2 * count) // 2), moves


def test_segmentation_finds_how_an_object_moves():
    frames, _ = moving_square(300, 0)
    network = pre.SegmentationNetwork((24, 24), objects=4, channels=16, width=64,
                                      contrast=4).build(0)
    trainer = pre.SegmentationTrainer(network, frames, pre.SegmentationConfig(
        steps=300, lr=3e-3, window=5), np.random.default_rng(0))
    for _ in range(300):
        trainer.step()
    frames, moves = moving_square(100, 1)
    stacks = frames.images.reshape(100, 2, 24, 24)
    assert trainer.gradient(stacks)["unexplained"] < 0.6
    motion, inside = network.find(stacks), stacks[:, 1] == 200
    flow = (motion.flow() * inside[:, None]).sum((2, 3)) / inside.sum((1, 2))[:, None]
    # pixels came from where the object was
    correlation = np.corrcoef(-flow.ravel(), moves[:, ::-1].ravel())[0, 1]
    assert correlation > 0.6


def test_blur_is_its_own_adjoint(rng):
    x, y = rng.standard_normal((2, 3, 6, 7))
    assert np.sum(blur(x, 5) * y) == pytest.approx(np.sum(x * blur(y, 5)))
    close(blur(x, 3)[:, 0, 0], x[:, :2, :2].sum((1, 2)) / 9)
    assert blur(x, 1) is x


def test_the_weight_of_masks_rises():
    trainer = segmentation(mask_weight=0.4, curriculum=0.5)
    weights = []
    for _ in range(12):
        weights.append(trainer.mask_weight())
        trainer.step()
    np.testing.assert_allclose(weights, [0.4 * min(i / 10, 1) for i in range(12)])
    assert segmentation(curriculum=0.0, mask_weight=0.4).mask_weight() == 0.4


def test_flow_is_the_camera_and_its_objects(rng):
    masks, moves = rng.random((2, 3, 4, 5)), rng.standard_normal((2, 4, 2))
    flow = np.einsum("bkhw,bkd->bdhw", masks, moves[:, :3]) + moves[:, 3, :, None, None]
    close(Motion(masks, moves, ()).flow(), flow)


def test_similarity(rng):
    x, y = rng.random((2, 2, 1, 9, 8))
    similarity, saved = ssim(x, y, 3)
    windows = np.lib.stride_tricks.sliding_window_view
    a, b = (windows(v, (3, 3), (2, 3)).reshape(2, 1, 7, 6, 9) for v in (x, y))
    covariance = ((a - a.mean(-1, keepdims=True)) * (b - b.mean(-1, keepdims=True))).mean(-1)
    expected = ((2 * a.mean(-1) * b.mean(-1) + 1e-4) * (2 * covariance + 9e-4)
                / ((a.mean(-1)**2 + b.mean(-1)**2 + 1e-4) * (a.var(-1) + b.var(-1) + 9e-4)))
    close(similarity, expected)
    close(ssim(x, x, 3)[0], np.ones((2, 1, 7, 6)))
    close(window_means(x, 3), a.mean(-1))
    d = rng.standard_normal(similarity.shape)
    got = ssim_backward(d, saved)
    for i in [(0, 0, 0, 0), (1, 0, 4, 4), (0, 0, 8, 7), (1, 0, 2, 6)]:
        above, below = x.copy(), x.copy()
        above[i] += 1e-6
        below[i] -= 1e-6
        expected = np.sum((ssim(above, y, 3)[0] - ssim(below, y, 3)[0]) * d) / 2e-6
        assert got[i] == pytest.approx(expected, abs=1e-7)


def test_keypoints_are_expected_places():
    network = pre.KeypointsNetwork((20, 24), keypoints=3, channels=4).build(0)
    frames = np.random.default_rng(0).integers(0, 255, (5, 1, 20, 24), dtype=np.uint8)
    sight = network.see(frames)
    assert sight.features.shape == (5, 4, 5, 6) and sight.blobs.shape == (5, 3, 5, 6)
    assert np.abs(sight.points).max() < 1
    # each blob is highest in the pixel that its keypoint lies in
    highest = sight.blobs.reshape(5, 3, 30).argmax(-1)
    x, y = (np.floor((sight.points[..., i] + 1) / 2 * n).astype(int) for i, n in enumerate((6, 5)))
    np.testing.assert_array_equal(highest, 6 * y + x)
    close(sight.near[:, 0], 1 - (1 - sight.blobs.astype(float)).prod(1))


@pytest.mark.parametrize("options, width", [
    ({}, 3 * (2 * 4 + 4)), ({"looks": 2}, 3 * (2 * 2 + 4)), ({"kind": "maps"}, 7 * 5 * 5),
    ({"kind": "maps", "pool": 2}, 7 * 2 * 2), ({"kind": "maps", "pool": None}, 7 * 5 * 6)])
def test_keypoints_encoder(options, width):
    trainer = keypoints()
    encoder = pre.KeypointsEncoder.freeze(trainer.network, trainer.frames, **options)
    embeddings = encoder.embed(trainer.frames.spread(1024, encoder.depth))
    assert encoder.width == width == embeddings.shape[1] and embeddings.dtype == np.float32
    assert np.mean(embeddings**2) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("pool", [4, 7, None])
def test_segmentation_encoder(pool):
    trainer = segmentation()
    encoder = pre.SegmentationEncoder.freeze(trainer.network, trainer.frames, pool=pool)
    stacks = trainer.frames.spread(1024, 2)
    masks = 2 * (20 * 24 if pool is None else pool * pool)
    assert encoder.embed(stacks).shape == (len(stacks), masks + 6) == (len(stacks), encoder.width)


@MODELS
def test_encoders_are_frozen_and_kept_in_files(model, tmp_path):
    trainer = TRAINERS[model]()
    encoder = ENCODERS[model].freeze(trainer.network, trainer.frames)
    stacks = trainer.frames.spread(5, 4)
    before = encoder.embed(stacks)
    trainer.step()
    same_bits(encoder.embed(stacks), before)
    pre.save_encoder(tmp_path / "e.safetensors", encoder, {"game": "dots"})
    same_bits(pre.load_encoder(tmp_path / "e.safetensors").embed(stacks), before)


@MODELS
def test_default_encoders_have_at_most_1024_numbers(model):
    network = pre.MODELS[model].network().build(0)
    assert ENCODERS[model](network).width <= 1024
    if model == "keypoints":
        assert ENCODERS[model](network, kind="maps").width <= 1024
        assert ENCODERS[model](network, kind="maps", pool=None).width == (8 + 32) * 21 * 21


def test_pooled(rng):
    maps = rng.standard_normal((2, 3, 7, 9))
    got = pooled(maps, 3)
    for i, rows in enumerate((slice(0, 2), slice(2, 4), slice(4, 7))):
        for j, columns in enumerate((slice(0, 3), slice(3, 6), slice(6, 9))):
            close(got[:, :, i, j], maps[:, :, rows, columns].mean((2, 3)))
    assert pooled(maps, None) is maps


def test_settings_are_checked():
    for make, message in (
            (lambda: pre.KeypointsNetwork((20, 22)), r"size is \(20, 22\), expected multiples"),
            (lambda: pre.KeypointsNetwork(keypoints=0), "keypoints is 0, expected at least 1"),
            (lambda: pre.KeypointsNetwork(std=0), "std is 0, expected a finite number above 0"),
            (lambda: pre.KeypointsConfig(apart=0), "apart is 0, expected at least 1"),
            (lambda: pre.KeypointsConfig(floor=0), "floor is 0, expected a finite number above 0"),
            (lambda: pre.SegmentationNetwork((4, 8)), r"size is \(4, 8\), expected multiples"),
            (lambda: pre.SegmentationNetwork(objects=0), "objects is 0, expected at least 1"),
            (lambda: pre.SegmentationNetwork(blurs=(4,)), r"blurs is \(4,\), expected odd numbers"),
            (lambda: pre.SegmentationConfig(similarity=2), "similarity is 2, expected 0 to 1"),
            (lambda: pre.SegmentationConfig(curriculum=-1), "curriculum is -1, expected 0 to 1"),
            (lambda: segmentation(window=21), "window is 21, expected at most 20"),
            (lambda: pre.KeypointsEncoder(keypoints().network, kind="map"), "kind is 'map'"),
            (lambda: pre.KeypointsEncoder(keypoints().network, pool=6), "pool is 6, expected 1"),
            (lambda: pre.KeypointsEncoder(keypoints().network, looks=0), "looks is 0, expected")):
        with pytest.raises(UserError, match=message):
            make()
    network = pre.KeypointsNetwork().build(0)
    with pytest.raises(UserError, match=r"frames have size \(20, 20\), expected \(84, 84\)"):
        pre.KeypointsTrainer(network, moving_dots(), pre.KeypointsConfig(),
                             np.random.default_rng(0))


def test_figures(tmp_path):
    pytest.importorskip("matplotlib")
    from gatelearn import plots
    trainer = segmentation()
    frames = trainer.frames.images[:3]
    figure = plots.keypoints_over_frames(frames, keypoints().network.see(frames[:, None]).points)
    assert len(figure.axes) == 3 and len(figure.legends[0].get_texts()) == 3
    line = plots.keypoints_over_frames(frames[:1], [[[-1, 1]]]).axes[0].lines[0]
    assert (line.get_xdata()[0], line.get_ydata()[0]) == (-0.5, 19.5)
    motion = trainer.network.find(trainer.frames.spread(4, 2))
    figure = plots.masks_over_frames(trainer.frames.spread(4, 2)[:, 1], motion.masks, motion.moves)
    assert len(figure.axes) == 4 * 3
    plots.save(figure, tmp_path / "masks")
    for call, message in (
            (lambda: plots.keypoints_over_frames(frames, np.zeros((2, 3, 2))), "points has shape"),
            (lambda: plots.masks_over_frames(frames, np.zeros((3, 2, 4, 4))), "masks has shape"),
            (lambda: plots.masks_over_frames(frames[0], np.zeros((3, 2, 4, 4))), "frames has sh"),
            (lambda: plots.masks_over_frames(frames, np.zeros((3, 2, 20, 24)), np.zeros((3, 1, 2))),
             "moves has shape")):
        with pytest.raises(ValueError, match=message):
            call()
