"""Training the recurrent attention model: the exact gradient, baselines, resuming, learning."""

import numpy as np
import pytest
from helpers import same_bits, same_for_any_threads

from gatelearn import functional as F
from gatelearn import hard, rl
from gatelearn.errors import UserError
from gatelearn.hard.glimpsing import BASELINES


def draw(rng, n, size=40):
    """One of four textures, to the left or to the right: too fine to be named from the centre."""
    labels = rng.integers(0, 4, n)
    row, column = np.divmod(np.arange(36).reshape(6, 6), 6)
    textures = np.stack([row % 2, column % 2, (row + column) % 2, (row // 2 + column // 2) % 2])
    images = np.zeros((n, 1, size, size), np.float32)
    for image, label, left in zip(images[:, 0], labels, rng.integers(0, 2, n), strict=True):
        y, x = rng.integers(0, 3, 2) + np.array([size // 2 - 4, 4 if left else size - 12])
        image[y:y + 6, x:x + 6] = textures[label]
    return images, labels


def small_trainer(baseline="loo", look=None, samples=3, dtype=np.float32, seed=0, config=None,
                  **options):
    options = dict(size=6, scales=3, glimpses=3, hidden=16, locator=8, what=8, where=8) | options
    net = hard.RecurrentAttention(1, 4, **options).build(0, dtype)

    def cast(rng, n):
        images, labels = draw(rng, n)
        return images.astype(dtype), labels

    config = hard.RecurrentAttentionConfig(batch=6, samples=samples, baseline=baseline,
                                           **config or {})
    return hard.RecurrentAttentionTrainer(net, cast, config, np.random.default_rng(seed), look)


def gradient_of(net, prefix):
    at, parts = 0, []
    for path, value in net.named_parameters().items():
        if path.startswith(prefix):
            parts.append(net.grads[at:at + value.size])
        at += value.size
    return np.concatenate(parts)


@pytest.mark.parametrize("reward", ["correct", "log-probability"])
@pytest.mark.parametrize("baseline", BASELINES)
def test_expected_gradient_of_the_places_is_exact(baseline, reward):
    """Four cells, one choice: the mean over many draws is the exact one, within its error."""
    trainer = small_trainer(baseline, dtype=np.float64, grid=2, glimpses=2, std=1,
                            config=dict(reward=reward, location_weight=0.7))
    net = trainer.net
    rng = np.random.default_rng(3)
    net.params += 0.3 * rng.standard_normal(net.params.shape)
    images, labels = trainer.draw(rng, 4)
    B = len(images)

    # every cell once: its reward, and the gradient of minus the mean expected reward
    places = np.zeros((2, B, 4, 2))
    places[1] = net.places(np.arange(4))
    # no class is favoured, so that the places decide
    net.classifier.param["bias"] -= net.forward(images, locations=places)[0].mean((0, 1))
    logits, e = net.forward(images, locations=places)
    targets = np.repeat(labels[:, None], 4, 1)
    rewards = (-F.cross_entropy(logits, targets) if reward == "log-probability"
               else (logits.argmax(-1) == targets).astype(float))
    assert (rewards.std(1) > 0).any()
    exact = rl.exact_gradient(e.policy[0, :, 0], rl.Categorical(), lambda actions: rewards.T)
    one, first = net.forward(images, locations=places[:, :, :1])
    net.grads[...] = 0
    net.backward(np.zeros_like(one), first, -0.7 / B * exact[None, :, None])
    expected = gradient_of(net, "locator.")
    assert np.abs(expected).max() > 1e-5

    if baseline == "moving-average":
        # the first batch enters its own average
        trainer.gradient(images, labels)
    found = []
    for _ in range(1500):
        trainer.gradient(images, labels)
        found.append(gradient_of(net, "locator."))
    error = np.std(found, 0) / np.sqrt(len(found))
    # of hundreds of parameters a few are off by three errors
    off = np.abs(np.mean(found, 0) - expected) / np.maximum(error, 1e-9)
    assert np.percentile(off, 90) < 3 and off.max() < 6


def test_the_learned_baseline_descends_its_squared_error():
    trainer = small_trainer("learned", dtype=np.float64, config=dict(baseline_weight=0.5))
    net = trainer.net
    images, labels = trainer.draw(np.random.default_rng(1), 4)
    trainer.rng = np.random.default_rng(7)
    trainer.gradient(images, labels)
    grad = gradient_of(net, "baseline.")

    logits, e = net.forward(images, np.random.default_rng(7), samples=3)
    reward = (logits.argmax(-1) == labels[:, None]).astype(float)

    def loss():
        values = net.forward(images, locations=e.locations)[1].values
        return 0.5 * 0.5 * np.sum((values - reward)**2) / reward.size

    numeric = []
    for value in net.baseline.param.values():
        for i in np.ndindex(value.shape):
            value[i] += 1e-6
            above = loss()
            value[i] -= 2e-6
            numeric.append((above - loss()) / 2e-6)
            value[i] += 1e-6
    assert np.abs(grad).max() > 1e-3
    np.testing.assert_allclose(grad, numeric, atol=1e-8)


def test_only_the_learned_baseline_trains_its_head():
    for baseline in BASELINES:
        trainer = small_trainer(baseline)
        trainer.step()
        assert gradient_of(trainer.net, "baseline.").any() == (baseline == "learned")


def test_given_places_train_the_classifier_alone():
    def look(rng, images, T, M):
        return hard.random_locations(rng, (T, len(images), M))

    trainer = small_trainer("learned", look)
    metrics = trainer.step()
    assert "advantage_std" not in metrics
    assert not gradient_of(trainer.net, ("locator.", "baseline.")).any()
    assert gradient_of(trainer.net, "glimpse.").any()


RESUMED = dict(anneal=10, max_grad_norm=0.1, std_start=0.5, std_updates=5)


@pytest.mark.parametrize("baseline", BASELINES)
def test_resumes_to_the_same_bits(baseline):
    whole = small_trainer(baseline, config=RESUMED)
    for _ in range(3):
        whole.step()
    arrays, meta = whole.state()
    kept = {name: np.array(value) for name, value in arrays.items()}
    metrics = [whole.step() for _ in range(3)]
    for name, value in kept.items():
        same_bits(arrays[name], value)

    resumed = small_trainer(baseline, seed=5, config=RESUMED)
    resumed.load_state(arrays, meta)
    assert [resumed.step() for _ in range(3)] == metrics
    same_bits(resumed.net.params, whole.net.params)


@pytest.mark.parametrize("temperature", [None, 1.0])
def test_steps_have_the_same_bits_on_any_number_of_threads(temperature):
    def run():
        trainer = small_trainer("learned", hidden=64, grid=3, config=dict(temperature=temperature))
        for _ in range(3):
            trainer.step()
        return [trainer.net.params.copy()]

    same_for_any_threads(run)


def test_exploration_falls_to_the_deviation_of_the_network():
    trainer = small_trainer(std=0.1, samples=200, config=dict(std_start=0.5, std_updates=4))
    for expected in (0.5, 0.4, 0.3, 0.2, 0.1, 0.1):
        assert trainer.distribution().std == pytest.approx(expected)
        trainer.step()
    # and places are drawn with it, and judged by it
    wide = small_trainer(std=0.1, config=dict(std_start=0.5))
    same = small_trainer(std=0.5)
    images, labels = draw(np.random.default_rng(0), 4)
    wide.gradient(images, labels)
    same.gradient(images, labels)
    same_bits(wide.net.grads, same.net.grads)


@pytest.mark.parametrize("baseline", BASELINES)
def test_one_glimpse_leaves_nothing_to_choose(baseline):
    trainer = small_trainer(baseline, glimpses=1)
    assert trainer.step()["grad_norm"] > 0
    assert not gradient_of(trainer.net, ("locator.", "baseline.")).any()


def test_metrics():
    trainer = small_trainer(config=dict(reward="log-probability", lr=0.0))
    metrics = trainer.step()
    assert metrics["reward"] == pytest.approx(-metrics["loss"])
    assert 0 <= metrics["accuracy"] <= 1 and metrics["grad_norm"] > 0
    assert metrics["advantage_std"] > 0
    assert metrics["text"] == f"accuracy {100 * metrics['accuracy']:.0f}%"


def accuracy(look=None, updates=600, temperature=None, **options):
    """Train on the textures; return the accuracy at the likeliest places, or at those of `look`."""
    options = dict(size=6, scales=4, glimpses=3, hidden=64, locator=32, what=32, where=32) | options
    net = hard.RecurrentAttention(1, 4, **options).build(seed=0)
    config = hard.RecurrentAttentionConfig(batch=32, lr=2e-3, temperature=temperature)
    trainer = hard.RecurrentAttentionTrainer(net, draw, config, np.random.default_rng(0), look)
    for _ in range(updates):
        trainer.step()
    rng = np.random.default_rng(9)
    images, labels = draw(rng, 1000)
    given = None if look is None else look(rng, images, net.glimpses, 1)
    logits, _ = net.forward(images, locations=given)
    return float((logits[:, 0].argmax(-1) == labels).mean())


def test_learned_places_beat_random_ones():
    def look(rng, images, T, M):
        return hard.random_locations(rng, (T, len(images), M))

    random = accuracy(look)
    assert random < 0.55
    assert accuracy(grid=4) > 0.85
    assert accuracy(grid=4, temperature=1.0) > 0.85
    assert accuracy(std=0.3) > random + 0.15


def test_errors():
    for options, message in [
            (dict(batch=0), "batch is 0, expected at least 1"),
            (dict(samples=1), "samples is 1, expected at least 2 for the baseline 'loo'"),
            (dict(samples=0, baseline="none"), "samples is 0, expected at least 1"),
            (dict(baseline="best"), "baseline is 'best', expected one of"),
            (dict(reward="speed"), "reward is 'speed', expected one of"),
            (dict(std_start=0.0), "std_start is 0.0, expected above 0 and finite"),
            (dict(std_updates=0), "std_updates is 0, expected at least 1"),
            (dict(lr=-1.0), "lr is -1.0, expected a finite number of at least 0"),
            (dict(location_weight=float("nan")), "location_weight is nan, expected a finite"),
            (dict(baseline_weight=float("inf")), "baseline_weight is inf, expected a finite")]:
        with pytest.raises(UserError, match=message):
            hard.RecurrentAttentionConfig(**options)
    with pytest.raises(UserError, match=r"std_start is 0\.5, expected None for a network with "):
        small_trainer(grid=2, config=dict(std_start=0.5))
    with pytest.raises(UserError, match=r"temperature is 1\.0, expected None for a network wit"):
        small_trainer(config=dict(temperature=1.0))
    trainer = small_trainer()
    arrays, meta = trainer.state()
    del arrays["net.core.wx"]
    with pytest.raises(ValueError, match=r"parameter core\.wx is missing"):
        trainer.load_state(arrays, meta)
