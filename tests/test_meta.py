"""Meta-learned attention: the policy over positions and its training over tasks."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads

from gatelearn import hard, nn
from gatelearn.hard.meta import positions_from_rules, returns_to_go
from gatelearn.rl import Categorical

KIND = [0, 0, 0, 1]


def tasks(B=5, A=4, T=4, seed=0):
    """Rules 0 to 2 name the positions 1 to 3, rule 3 another one in each text."""
    rng = np.random.default_rng(seed)
    place = np.concatenate([np.broadcast_to([1, 2, 3], (B, A, 3)), rng.integers(1, T, (B, A, 1))],
                           2)
    target = np.take_along_axis(place, rng.integers(0, 4, (B, 1, 1)), 2)[..., 0]
    return SimpleNamespace(tokens=np.zeros((B, A, T), int), place=place, target=target)


def make(dtype=np.float64, **options):
    policy = hard.MetaAttention(KIND, hidden=3, **options).build(0, dtype)
    policy.params += (0.5 * np.random.default_rng(1).standard_normal(policy.params.shape)
                      ).astype(dtype)
    return policy


@pytest.mark.parametrize("memory", [True, False])
def test_gradients_by_central_differences(memory):
    place = tasks(2, 3).place

    class Free(nn.Layer):
        # a position that no rule names is -inf, the first one here
        def __init__(self):
            self.policy = hard.MetaAttention(KIND, hidden=3, memory=memory)

        def children(self):
            return {"policy": self.policy}

        def forward(self, inputs):
            y, saved = self.policy.forward(inputs, place, 4)
            return y[..., 1:], saved

        def backward(self, dy, saved):
            return self.policy.backward(np.pad(dy, ((0, 0), (0, 0), (1, 0))), saved)[0]

    nn.check_layer(Free(), np.random.default_rng(0).standard_normal((2, 3, 4, 5)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_score_of_a_position_is_the_logsumexp_of_its_rules(dtype):
    rng = np.random.default_rng(0)
    score, place = 99 * rng.standard_normal((3, 2, 6)), rng.integers(0, 5, (3, 2, 6))
    score = score.astype(dtype)
    logits, share = positions_from_rules(score, place, 5)
    assert logits.dtype == dtype
    for index in np.ndindex(3, 2):
        for t in range(5):
            rules = score[index][place[index] == t].astype(np.float64)
            if rules.size:
                expected = np.logaddexp.reduce(rules)
                assert logits[(*index, t)] == pytest.approx(expected, rel=1e-5)
            else:
                assert np.isneginf(logits[(*index, t)])
    f = lambda s: np.where(np.isfinite(logits), positions_from_rules(s, place, 5)[0], 0)  # noqa: E731
    if dtype == np.float64:
        with np.errstate(invalid="ignore"):
            d = central_difference(f, score, np.ones((3, 2, 5)))
        np.testing.assert_allclose(share, d, atol=1e-6)


def test_step_by_step_is_the_whole_at_once():
    policy, batch = make(), tasks()
    played = policy.play(batch, np.random.default_rng(0))
    logits, _ = policy.forward(played.inputs, batch.place, 4)
    # the same draws from the logits of the whole sequence
    actions = np.stack([Categorical().sample(logits[:, i], rng) for rng in
                        [np.random.default_rng(0)] for i in range(4)], 1)
    np.testing.assert_array_equal(actions, played.actions)
    np.testing.assert_array_equal(played.rewards, played.actions == batch.target)


def test_what_a_rule_sees_is_its_own_last_attempt():
    policy = make()
    inputs = policy.blank(1, 1)[:, 0]
    np.testing.assert_array_equal(inputs[0], [[1, 0, 0, 0, 0]] * 3 + [[0, 1, 0, 0, 0]])
    place = np.array([[1, 2, 3, 2]])
    policy.note(inputs, place, np.array([2]), np.array([1.0]))
    np.testing.assert_array_equal(inputs[0, :, 2:], [[0, 0, 1], [1, 0, 0], [0, 0, 1], [1, 0, 0]])
    policy.note(inputs, place, np.array([1]), np.array([0.0]))
    np.testing.assert_array_equal(inputs[0, :, 2:], [[0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]])


def test_without_memory_every_attempt_is_the_first():
    policy, batch = make(memory=False), tasks()
    played = policy.play(batch, np.random.default_rng(0))
    np.testing.assert_array_equal(played.inputs, policy.blank(5, 4))
    logits, _ = policy.forward(played.inputs, np.repeat(batch.place[:, :1], 4, 1), 4)
    np.testing.assert_array_equal(logits, np.repeat(logits[:, :1], 4, 1))


def test_rules_have_no_weights_of_their_own():
    policy, batch = make(), tasks()
    order = [2, 0, 1, 3]
    played = policy.play(batch, np.random.default_rng(0))
    logits, _ = policy.forward(played.inputs, batch.place, 4)
    same, _ = policy.forward(played.inputs[:, :, order], batch.place[:, :, order], 4)
    np.testing.assert_allclose(same, logits, rtol=1e-12)


def test_the_expected_gradient_of_reinforce_is_the_exact_one(monkeypatch):
    """A task of two attempts, played twice: all 81 ways, and the gradient of the mean return."""
    policy, one = make(), tasks(1, 2, seed=3)
    batch = SimpleNamespace(**{k: np.repeat(v, 2, 0) for k, v in vars(one).items()})
    config = hard.MetaTrainerConfig(samples=2, gamma=1.0, entropy=0.0, normalise=False)
    sequences = list(itertools.product(range(1, 4), repeat=2))

    def forced(actions):
        steps = iter(np.array(actions).T)
        monkeypatch.setattr(Categorical, "draw", lambda self, logits, rng: (next(steps), None))

    def probability(inputs, actions, b):
        logits, _ = policy.forward(inputs, batch.place, 4)
        p = np.exp(logits - np.logaddexp.reduce(logits, -1, keepdims=True))
        return np.prod([p[b, i, actions[i]] for i in range(2)])

    def expected_return():
        total = 0.0
        for b in range(2):
            for actions in sequences:
                forced([actions, actions])
                played = policy.play(batch, np.random.default_rng(0))
                total += probability(played.inputs, actions, b) * played.rewards[b].sum()
        return np.array(total / 4)

    mean, weights = np.zeros_like(policy.params), 0.0
    start = policy.params.copy()
    for pair in itertools.product(sequences, sequences):
        policy.params[...] = start
        forced(pair)
        played = policy.play(batch, np.random.default_rng(0))
        weight = np.prod([probability(played.inputs, pair[b], b) for b in range(2)])
        forced(pair)
        trainer = hard.MetaTrainer(policy, lambda rng, n: one, config, np.random.default_rng(0))
        trainer.learner.optimiser.step = lambda *_: 0.0
        trainer.step()
        mean += weight * policy.grads
        weights += weight
    assert weights == pytest.approx(1)

    def at(params):
        policy.params[...] = params
        return expected_return()

    exact = central_difference(at, start, 1.0)
    assert abs(exact).max() > 1e-3
    np.testing.assert_allclose(-mean, exact, atol=1e-8)


def test_returns_count_what_follows():
    got = returns_to_go(np.array([[0.0, 1.0, 0.0, 1.0], [1.0, 0, 0, 0]]), 0.5)
    np.testing.assert_array_equal(got, [[0.625, 1.25, 0.5, 1], [1, 0, 0, 0]])
    assert returns_to_go(np.zeros((0, 3)), 0.5).shape == (0, 3)


def test_it_learns_to_stick_to_what_was_rewarded():
    policy = hard.MetaAttention([0] * 5).build(0)
    place = np.broadcast_to(np.arange(1, 6), (64, 8, 5))

    def draw(rng, n):
        target = np.repeat(rng.integers(1, 6, (n, 1)), 8, 1)
        return SimpleNamespace(tokens=np.zeros((n, 8, 6), int), place=place[:n], target=target)

    trainer = hard.MetaTrainer(policy, draw, hard.MetaTrainerConfig(lr=0.02),
                               np.random.default_rng(0))
    for _ in range(80):
        trainer.step()
    rewards = policy.play(draw(np.random.default_rng(1), 64), np.random.default_rng(2)).rewards
    # a search without repetition finds each of five by the fifth attempt
    assert rewards[:, 0].mean() < 0.45 and rewards[:, -1].mean() > 0.9


@pytest.mark.parametrize("memory", [True, False])
def test_same_bits_on_any_threads_and_after_a_checkpoint(memory):
    def build():
        return hard.MetaTrainer(make(np.float32, memory=memory),
                                lambda rng, n: tasks(7, 5, 6, int(rng.integers(99))),
                                hard.MetaTrainerConfig(), np.random.default_rng(0))

    def train():
        trainer = build()
        for _ in range(4):
            trainer.step()
        return [trainer.policy.params]

    same_for_any_threads(train)
    trainer, other = build(), build()
    trainer.step()
    trainer.step()
    other.load_state(*trainer.state())
    other.step()
    other.step()
    same_bits(other.policy.params, train()[0])
    with pytest.raises(ValueError, match=r"state entry policy\.v is missing"):
        other.load_state({k: v for k, v in other.state()[0].items() if k != "policy.v"}, {})


@pytest.mark.parametrize("B, A", [(0, 3), (1, 1)])
def test_no_task_and_one_attempt(B, A):
    policy, batch = make(), tasks(B, A)
    played = policy.play(batch)
    assert played.rewards.shape == (B, A)
    logits, saved = policy.forward(played.inputs, batch.place, 4)
    dinputs, *_ = policy.backward(np.zeros_like(logits), saved)
    assert dinputs.shape == played.inputs.shape
    close(dinputs, 0 * dinputs)


@pytest.mark.parametrize("kind", [[], [[0]], [-1, 0]])
def test_a_wrong_kind_is_named(kind):
    with pytest.raises(ValueError, match="expected the kind of each rule, 0 or more"):
        hard.MetaAttention(kind)


def test_nan_is_not_learned_from():
    policy = make()
    policy.params[0] = np.nan
    kept = policy.params.copy()
    trainer = hard.MetaTrainer(policy, lambda rng, n: tasks(), hard.MetaTrainerConfig(),
                               np.random.default_rng(0))
    with pytest.raises(FloatingPointError):
        trainer.step()
    same_bits(policy.params, kept)
