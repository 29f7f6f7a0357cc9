"""Training captioners: expected gradients by enumeration, resuming, learning where to look."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import central_difference, close, same_bits, same_for_any_threads

from gatelearn import functional as F
from gatelearn import nn
from gatelearn.hard import (
    END,
    Captioner,
    Captions,
    CaptionTrainer,
    CaptionTrainerConfig,
    captioning,
    choice_advantages,
    sentences,
)
from gatelearn.rl import LeaveOneOut, MovingAverage
from gatelearn.tasks import sentence_bleu

# two cells of one pixel, each of one of three colours: the caption names both, left one first
COLOURS = np.float32([[1, 0, 0], [0, 1, 0], [0, 0, 1]])


def draw(rng, n, dtype=np.float32):
    words = rng.integers(1, 4, (n, 2))
    images = COLOURS[words - 1].transpose(0, 2, 1)[:, :, None].astype(dtype)
    return SimpleNamespace(images=np.ascontiguousarray(images),
                           captions=np.pad(words, ((0, 0), (0, 1))), lengths=np.full(n, 3))


def make(attention="hard", seed=0, dtype=np.float32, **options):
    options = dict(vocabulary=4, width=8, hidden=16, key_width=4, glance=False) | options
    return Captioner(nn.Conv2d(3, 4, 1), 4, 2, attention=attention, **options).build(seed, dtype)


def trainer(attention="hard", seed=0, reward=None, data=draw, captioner=None, **config):
    captioner = captioner or make(attention, seed)
    return CaptionTrainer(captioner, data, CaptionTrainerConfig(**{"batch": 16} | config),
                          np.random.default_rng(seed), reward)


def bleu(captions, references):
    return [sentence_bleu(c, [r], 2) for c, r in zip(captions, references, strict=True)]


# one image, two regions, two words: all that a captioner can do is soon enumerated
TINY = SimpleNamespace(images=np.random.default_rng(0).standard_normal((1, 3, 1, 2)),
                       captions=np.array([[2, 0]]), lengths=np.array([2]))
EVERY_LOOK = [np.array([look]) for look in itertools.product((0, 1), repeat=2)]


def tiny(**config):
    captioner = make(dtype=np.float64, hidden=3, width=3, key_width=2, vocabulary=3, glance=True)
    captioner.params += 0.5 * np.random.default_rng(1).standard_normal(captioner.params.shape)
    # at a rate of 0 nothing changes, and grads can be read
    return captioner, trainer(captioner=captioner, data=lambda rng, n: TINY, lr=0.0,
                              entropy=0.0, **config)


def likelihoods(captioner, choices):
    """Probability of the choices, and the log-likelihood of the words given them."""
    logits, saved = captioner.forward(TINY.images, TINY.captions, TINY.lengths, None, choices)
    return np.exp(saved.logp.sum()), -F.cross_entropy(logits, TINY.captions).sum()


@pytest.mark.parametrize("baseline", ["none", "moving"])
def test_expected_gradient_is_that_of_the_expected_likelihood(baseline, monkeypatch):
    captioner, train = tiny(baseline=baseline)
    if baseline == "moving":
        train.baseline.value = -3.0
        monkeypatch.setattr(train.baseline, "decay", 1.0)  # the same baseline each time
    expected = np.zeros_like(captioner.params)
    for choices in EVERY_LOOK:
        monkeypatch.setattr(captioner, "_plan", lambda *_, c=choices: (c.T.copy(), None))
        train.step()
        expected += likelihoods(captioner, choices)[0] * captioner.grads
    monkeypatch.undo()

    def objective(params):
        captioner.params[...] = params
        return -sum(p * value for p, value in (likelihoods(captioner, c) for c in EVERY_LOOK)) / 2

    exact = central_difference(objective, captioner.params.copy(), 1.0)
    np.testing.assert_allclose(expected, exact, atol=1e-8)
    assert abs(exact).max() > 0.01


def test_expected_self_critical_gradient_is_that_of_the_expected_reward(monkeypatch):
    def reward(captions, references):
        assert references == [[2, 0]] * len(captions)
        return [{(0,): 0.3, (1, 0): -0.5, (2, 0): 2.0}.get(tuple(c), 0.1 * sum(c))
                for c in captions]

    captioner, train = tiny(objective="self-critical", limit=2, reward=reward)
    # what can be drawn: words up to END or the limit, and a look before each
    captions = [(END,), *itertools.product((1, 2), (0, 1, 2))]
    paths = [(words, looks) for words in captions
             for looks in itertools.product((0, 1), repeat=len(words))]
    words, looks = (np.array([[*path[i], 0][:2] for path in paths]) for i in (0, 1))
    lengths = np.array([len(path[0]) for path in paths])
    rewards = np.array(reward([path[0] for path in paths], [[2, 0]] * len(paths)))

    def probabilities():
        images = np.repeat(TINY.images, len(paths), 0)
        logits, saved = captioner.forward(images, words, lengths, None, looks)
        loss = F.cross_entropy(logits, np.where(saved.live, words, -1))
        return np.exp((saved.logp - loss).sum(1))

    p = probabilities()
    assert p.sum() == pytest.approx(1)
    describe = captioning.describe
    expected = np.zeros_like(captioner.params)
    for i, n in enumerate(lengths):
        path = Captions(words[i:i + 1, :n], lengths[i:i + 1], None, None, looks[i:i + 1, :n])
        monkeypatch.setattr(captioning, "describe", lambda *args, draw=False, path=path:
                            path if draw else describe(*args))
        train.step()
        expected += p[i] * captioner.grads

    def objective(params):
        captioner.params[...] = params
        return -(probabilities() * rewards).sum()

    exact = central_difference(objective, captioner.params.copy(), 1.0)
    np.testing.assert_allclose(expected, exact, atol=1e-8)
    assert abs(exact).max() > 0.01


def test_mixed_gradient_is_the_mean_of_soft_and_hard(monkeypatch):
    captioner, train = tiny(baseline="none")
    grads = []
    for choices in (np.full((1, 2), -1), EVERY_LOOK[1], np.concatenate((np.full((1, 2), -1),
                                                                        EVERY_LOOK[1]))):
        train.config = CaptionTrainerConfig(lr=0.0, entropy=0.0, baseline="none",
                                            samples=len(choices))
        monkeypatch.setattr(captioner, "_plan", lambda *_, c=choices: (c.T.copy(), None))
        train.step()
        grads.append(captioner.grads.copy())
    close(grads[2], (grads[0] + grads[1]) / 2)


def test_bonus_and_regulariser_by_central_differences(monkeypatch):
    captioner, _ = tiny()
    train = trainer(captioner=captioner, data=lambda rng, n: TINY, lr=0.0, entropy=0.7,
                    doubly_stochastic=0.9, reinforce=0.0)
    choices = EVERY_LOOK[2]
    monkeypatch.setattr(captioner, "_plan", lambda *_: (choices.T.copy(), None))
    train.step()
    got = captioner.grads.copy()

    def objective(params):
        captioner.params[...] = params
        logits, saved = captioner.forward(TINY.images, TINY.captions, TINY.lengths)
        return (F.cross_entropy(logits, TINY.captions).sum() - 0.7 * saved.entropy.sum()
                + 0.9 * ((1 - saved.weights.sum(1))**2).sum()) / 2

    np.testing.assert_allclose(got, central_difference(objective, captioner.params.copy(), 1.0),
                               atol=1e-8)


def test_advantages_of_choices():
    rng = np.random.default_rng(0)
    rewards, live = rng.standard_normal((3, 2, 4)), np.array([[1, 1, 1, 0], [1, 0, 0, 0]]) > 0
    rewards[:, ~live] = np.nan  # what does not count is not read
    got = choice_advantages(rewards, live, LeaveOneOut(), 0.5)
    # the return of a choice less the mean of the other samples' returns
    returns = rewards[:, 0, :3] @ [[1, 0, 0], [0.5, 1, 0], [0.25, 0.5, 1]]
    close(got[:, 0, :3], 1.5 * (returns - returns.mean(0)))
    close(got[:, 1, 0], 1.5 * (rewards[:, 1, 0] - rewards[:, 1, 0].mean()))
    assert not got[:, ~live].any()
    moving = MovingAverage()
    choice_advantages(rewards, live, moving)
    assert moving.value == pytest.approx(rewards[:, live].mean())


CONFIGS = {"soft": dict(attention="soft"), "hard": dict(samples=2, baseline="loo"),
           "mixed": dict(attention="mixed", doubly_stochastic=0.1, anneal=20),
           "random": dict(attention="random"), "mean": dict(attention="mean"),
           "self-critical": dict(objective="self-critical", reward=bleu, samples=2, limit=4)}


@pytest.mark.parametrize("name", CONFIGS)
def test_resumes_to_the_same_bits(name):
    straight = trainer(**CONFIGS[name])
    for _ in range(3):
        straight.step()
    arrays, meta = straight.state()
    expected = [straight.step() for _ in range(3)]
    resumed = trainer(seed=5, **CONFIGS[name])
    resumed.load_state(arrays, meta)
    assert [resumed.step() for _ in range(3)] == expected
    same_bits(resumed.captioner.params, straight.captioner.params)


@pytest.mark.parametrize("name", CONFIGS)
def test_same_bits_on_any_number_of_threads(name):
    def run():
        train = trainer(**CONFIGS[name])
        for _ in range(4):
            train.step()
        return [train.captioner.params]

    same_for_any_threads(run)


def test_a_state_of_another_shape_changes_nothing():
    train, other = trainer(), trainer(captioner=make(hidden=4))
    kept = train.captioner.params.copy()
    with pytest.raises(ValueError, match=r"state entry captioner\.params has shape"):
        train.load_state(*other.state())
    arrays, meta = train.state()
    del arrays["baseline.value"]
    with pytest.raises(ValueError, match=r"state entry baseline\.value is missing"):
        train.load_state(arrays, meta)
    same_bits(train.captioner.params, kept)


def accuracy(captioner):
    """Share of captions that are right, and of words before which it looked at the right cell."""
    batch = draw(np.random.default_rng(99), 200)
    made = captioner.greedy(batch.images, 4, np.random.default_rng(0))
    right = [a == b for a, b in zip(sentences(made.words, made.lengths),
                                    sentences(batch.captions, batch.lengths), strict=True)]
    looked = made.looked[:, :2]
    return np.mean(right), np.mean(looked == np.arange(looked.shape[1]))


@pytest.mark.parametrize("attention", ["soft", "hard", "mixed"])
def test_learns_to_look_and_to_tell(attention):
    train = trainer(attention, samples=4, baseline="loo", lr=0.01,
                    entropy=0.0 if attention == "soft" else 0.02)
    for _ in range(150):
        metrics = train.step()
    told, looked = accuracy(train.captioner)
    assert told > 0.95 and looked > 0.95
    # attention is not even, as it is of a policy that learned nothing
    assert metrics["peak"] > 0.8 and metrics["entropy"] < 0.5


@pytest.mark.parametrize("attention", ["random", "mean"])
def test_without_looking_captions_are_worse(attention):
    train = trainer(attention, lr=0.01)
    for _ in range(150):
        train.step()
    assert accuracy(train.captioner)[0] < 0.7


def test_self_critical_training_raises_the_reward():
    train = trainer(lr=0.01, samples=2, entropy=0.02)
    for _ in range(10):
        train.step()
    batch = draw(np.random.default_rng(99), 400)
    references = sentences(batch.captions, batch.lengths, end=True)

    def reward(captioner):
        made = captioner.greedy(batch.images, 4)
        return np.mean(bleu(sentences(made.words, made.lengths, end=True), references))

    before = reward(train.captioner)
    tune = trainer(captioner=train.captioner, objective="self-critical", reward=bleu, lr=0.01,
                   samples=4, limit=4)
    for _ in range(60):
        metrics = tune.step()
    assert before < 0.9 and reward(train.captioner) > before + 0.08
    assert set(metrics) == {"loss", "reward", "greedy", "entropy", "peak", "advantage_std",
                            "grad_norm", "text"}


def test_a_reward_sees_the_end():
    seen = []
    train = trainer(objective="self-critical", limit=3, batch=4,
                    reward=lambda captions, references: seen.append((captions, references)) or
                    np.zeros(len(captions)))
    train.step()
    for captions, references in seen:
        assert all(c[-1] == END or len(c) == 3 for c in captions)
        assert all(r[-1] == END and len(r) == 3 for r in references)
    assert len(seen) == 2


@pytest.mark.parametrize("options, message", [
    (dict(objective="bleu"), "objective is 'bleu', expected one of ('likelihood', "
                             "'self-critical')"),
    (dict(batch=0), "batch is 0, expected at least 1"),
    (dict(samples=-1), "samples is -1, expected at least 1"),
    (dict(limit=0), "limit is 0, expected at least 1"),
    (dict(discount=1.5), "discount is 1.5, expected 0 <= discount <= 1"),
    (dict(baseline="mode"),
     "baseline is 'mode', expected one of ('moving', 'loo', 'mean', 'none')"),
    (dict(baseline="loo"), "samples is 1, expected at least 2 for baseline 'loo'"),
])
def test_messages_of_settings(options, message):
    with pytest.raises(ValueError) as error:
        CaptionTrainerConfig(**options)
    assert str(error.value) == message


def test_other_messages():
    with pytest.raises(ValueError) as error:
        trainer(objective="self-critical")
    assert str(error.value) == ("reward is None, expected a function for the self-critical "
                                "objective")
    with pytest.raises(ValueError, match="Captioner has no parameters, expected a layer"):
        trainer(captioner=Captioner(nn.Conv2d(3, 4, 1), 4, 2, 4))
    with pytest.raises(ValueError, match=r"rewards has shape \(1,\), expected \(16,\)"):
        trainer(objective="self-critical", reward=lambda *_: [0.0]).step()
