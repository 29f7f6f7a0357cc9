"""Predicted attention bias: the predictor, and its training by reward and by gradient."""

import itertools

import numpy as np
import pytest
from helpers import DTYPES, central_difference, same_bits, same_for_any_threads

from gatelearn import functional as F
from gatelearn import hard, nn
from gatelearn.hard.bias import answer_loss
from gatelearn.rl import PlackettLuce, exact_gradient
from gatelearn.tasks import Batch

V, C = 9, 8


def make_net(dtype=np.float64):
    net = nn.Transformer(V, width=C, layers=2, heads=2, hidden=6).build(0, dtype)
    net.params += (0.3 * np.random.default_rng(1).standard_normal(net.params.shape)).astype(dtype)
    return net


def make_predictor(dtype=np.float64, **options):
    predictor = hard.BiasPredictor(C, hidden=5, **options).build(0, dtype)
    noise = np.random.default_rng(2).standard_normal(predictor.params.shape)
    predictor.params += (0.3 * noise).astype(dtype)
    return predictor


def texts(B=3, T=6, seed=0):
    rng = np.random.default_rng(seed)
    query = np.array([[T - 1, T - 2], [T - 1, -1], [2, T - 1]])[np.arange(B) % 3]
    none = np.zeros((B, 2, T), bool)
    return Batch(rng.integers(0, V, (B, T)), np.zeros(B, int), query,
                 np.where(query < 0, -1, rng.integers(0, V, query.shape)), none, none)


def right(logits, query, answer):
    return np.bincount(np.nonzero(query >= 0)[0], logits.argmax(-1) == answer[query >= 0],
                       minlength=len(query))


def caught(trainer):
    """Take a step; return the gradient of the predictor's logits."""
    seen = []
    descend = trainer.learner.descend
    trainer.learner.descend = lambda dy, *rest: (seen.append(dy.copy()), descend(dy, *rest))[1]
    trainer.step()
    trainer.learner.descend = descend
    return seen[0]


@pytest.mark.parametrize("k", [None, 2])
def test_gradients_by_central_differences(k):
    rng = np.random.default_rng(0)
    fixed = np.array([[1, 0, 0, 0], [1, 0, 1, 0]], bool)

    class Free(nn.Layer):
        # the free logits alone: a fixed one of a ranking is -inf
        def __init__(self):
            self.predictor = hard.BiasPredictor(2, hidden=4, k=k)

        def children(self):
            return {"predictor": self.predictor}

        def forward(self, features):
            y, saved = self.predictor.forward(features, fixed)
            return y[~fixed], (saved, y.shape)

        def backward(self, dy, saved):
            full = np.zeros(saved[1])
            full[~fixed] = dy
            return self.predictor.backward(full, saved[0])[0]

    nn.check_layer(Free(), rng.standard_normal((2, 4, 13)))


def test_features_are_the_words_around_the_likeness_and_the_queries():
    net, predictor = make_net(), make_predictor()
    tokens, query = np.array([[1, 5, 2, 3, 5]]), np.array([[4, -1]])
    seen = predictor.observe(net, tokens, query)
    x = net.embed(tokens)[0]
    x /= np.sqrt((x*x).mean(1, keepdims=True)) + 1e-6
    assert seen.features.shape == (1, 5, 5*C + 3)
    before, word, after, asked, lead = np.split(
        np.delete(seen.features[0], [C, 2*C + 1, 3*C + 2], 1), 5, axis=1)
    np.testing.assert_allclose(word, x)
    np.testing.assert_allclose(before, np.vstack([np.zeros(C), x[:-1]]))
    np.testing.assert_allclose(after, np.vstack([x[1:], np.zeros(C)]))
    np.testing.assert_allclose(asked, np.tile(x[4], (5, 1)))
    np.testing.assert_allclose(lead, np.tile(x[3], (5, 1)))
    # the same word as the query is most alike; the query itself does not count
    match = seen.features[0, :, 2*C + 1]
    assert match.argmax() == 1 and match[1] == pytest.approx(1, abs=1e-5)
    assert match[4] == 0
    np.testing.assert_array_equal(seen.fixed[0], [True, False, False, False, True])


def test_a_choice_hides_the_other_positions():
    net, predictor, batch = make_net(), make_predictor(), texts(3, 9)
    seen = predictor.observe(net, batch.tokens, batch.query)
    keep = seen.fixed.copy()
    out, _ = net.forward(batch.tokens, position=batch.query, bias=predictor.hard_bias(keep))
    # what is left out says nothing, but to its successor, by the token shift of each layer
    other = batch.tokens.copy()
    changed = ~keep & ~np.roll(keep, -1, 1) & ~np.roll(keep, -2, 1)
    assert changed.any()
    other[changed] = (other[changed] + 1) % V
    same, _ = net.forward(other, position=batch.query, bias=predictor.hard_bias(keep))
    np.testing.assert_allclose(same, out, atol=1e-10)
    full, _ = net.forward(batch.tokens, position=batch.query)
    assert abs(full - out).max() > 1e-3


def test_keep_adds_what_is_fixed():
    fixed = np.array([[True, False, False, True]])
    bernoulli, ranking = make_predictor(), make_predictor(k=1)
    np.testing.assert_array_equal(
        bernoulli.keep(np.array([[0, 0, 1, 0]], np.uint8), fixed), [[True, False, True, True]])
    np.testing.assert_array_equal(ranking.keep(np.array([[[1]], [[2]]]), fixed),
                                  [[[True, True, False, True]], [[True, False, True, True]]])
    np.testing.assert_array_equal(bernoulli.hard_bias(fixed), [[0, -1e4, -1e4, 0]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_soft_bias_is_the_logarithm_of_the_probability(dtype):
    predictor = make_predictor(dtype)
    logits = np.array([[-1e4, -40, -1.5, 0, 2, 1e4]], dtype)
    bias, slope = predictor.soft_bias(logits, np.zeros((1, 6), bool))
    assert bias.dtype == dtype and np.isfinite(bias).all()
    np.testing.assert_allclose(np.exp(bias), F.sigmoid(logits), rtol=1e-5, atol=1e-30)
    f = lambda z: predictor.soft_bias(z, np.zeros((1, 6), bool))[0]  # noqa: E731
    np.testing.assert_allclose(slope, central_difference(f, logits, np.ones((1, 6))), atol=1e-6)
    fixed = predictor.soft_bias(logits, np.ones((1, 6), bool))
    assert not fixed[0].any() and not fixed[1].any()


def test_gradient_training_follows_the_gradient_of_its_objective():
    net, predictor, batch = make_net(), make_predictor(), texts()
    config = hard.BiasTrainerConfig(penalty=0.7)
    trainer = hard.BiasByGradient(predictor, net, lambda rng, n: batch, config,
                                  np.random.default_rng(0))
    seen = predictor.observe(net, batch.tokens, batch.query)
    logits, _ = predictor.forward(*seen)

    def objective(z):
        out, _ = net.forward(batch.tokens, position=batch.query,
                             bias=predictor.soft_bias(z, seen.fixed)[0])
        p = 0.01 + 0.98 / (1 + np.exp(-z))
        loss, _ = answer_loss(out, batch.query, batch.answer)
        return np.array(loss + 0.7 * np.where(seen.fixed, 1, p).mean())

    expected = central_difference(objective, logits, 1.0)
    assert abs(expected).max() > 1e-3
    np.testing.assert_allclose(caught(trainer), expected, atol=1e-8)


@pytest.mark.parametrize("k", [None, 2])
def test_the_expected_gradient_of_reinforce_is_the_exact_one(k, monkeypatch):
    net, predictor, batch = make_net(), make_predictor(k=k), texts(1, 6)
    config = hard.BiasTrainerConfig(samples=2, penalty=0.7)
    seen = predictor.observe(net, batch.tokens, batch.query)
    logits, _ = predictor.forward(*seen)
    distribution = predictor.distribution
    free = np.flatnonzero(~seen.fixed[0])

    def score(out, query, answer):
        # any number that depends on the choice
        return out[:, 0].reshape(len(query), -1).sum(1)

    def reward(actions):
        keep = predictor.keep(actions, seen.fixed)
        n = len(actions)
        out, _ = net.forward(np.tile(batch.tokens, (n, 1)), position=np.tile(batch.query, (n, 1)),
                             bias=predictor.hard_bias(keep))
        share = 0 if k else keep.mean(1)
        return score(out, np.tile(batch.query, (n, 1)), None) - 0.7 * share

    actions = distribution.enumerate(6)
    if k:
        actions = actions[np.isin(actions, free).all(1)]
    probability = np.exp(distribution.log_prob(np.tile(logits, (len(actions), 1)), actions))
    assert probability.sum() == pytest.approx(1)
    if k is None:
        exact = exact_gradient(logits, distribution, reward)
    else:
        rows = np.tile(logits, (len(actions), 1))
        exact = distribution.gradient(rows, actions, probability * reward(actions)).sum(0)[None]

    # of both samples, every pair: a full product for rankings, distinct free choices for flags
    chosen = range(len(actions))
    if k is None:
        chosen = [i for i in chosen if not actions[i][seen.fixed[0]].any()]
        marginal = np.exp(distribution.log_prob(
            np.tile(np.where(seen.fixed, -1e3, logits), (len(chosen), 1)), actions[chosen]))
        weight = dict(zip(chosen, marginal / marginal.sum(), strict=True))
    else:
        weight = dict(enumerate(probability))
    mean = np.zeros_like(logits)
    state = predictor.params.copy()
    for i, j in itertools.product(chosen, chosen):
        predictor.params[...] = state
        trainer = hard.BiasByReward(predictor, net, lambda rng, n: batch, score, config,
                                    np.random.default_rng(0))
        monkeypatch.setattr(distribution, "draw", lambda *_, pair=(i, j): (
            actions[list(pair)][:, None], None))
        d = caught(trainer)
        mean += weight[i] * weight[j] * np.where(seen.fixed, 0, d)
    np.testing.assert_allclose(-mean[0, free], exact[0, free], atol=1e-10)
    assert abs(exact[0, free]).max() > 1e-3


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("method", ["reward", "gradient"])
def test_same_bits_on_any_threads_and_after_a_checkpoint(method, joint):
    def make():
        net, predictor = make_net(np.float32), make_predictor(np.float32)
        config = hard.BiasTrainerConfig(samples=3, joint=joint)
        rng = np.random.default_rng(4)
        draw = lambda rng, n: texts(5, 7, int(rng.integers(100)))  # noqa: E731
        if method == "reward":
            return hard.BiasByReward(predictor, net, draw, right, config, rng)
        return hard.BiasByGradient(predictor, net, draw, config, rng)

    def train():
        trainer = make()
        for _ in range(4):
            trainer.step()
        return trainer.predictor.params, trainer.net.params

    same_for_any_threads(train)
    predictor, net = train()
    assert (net == make_net(np.float32).params).all() != joint
    trainer, other = make(), make()
    trainer.step()
    trainer.step()
    other.load_state(*trainer.state())
    other.step()
    other.step()
    same_bits(other.predictor.params, predictor)
    same_bits(other.net.params, net)


def test_reward_finds_the_positions_that_are_paid_for():
    """The score is 1 where position 2 is attended to and position 3 is not."""
    net, predictor = make_net(np.float32), make_predictor(np.float32)
    batch = texts(3, 6)
    seen = predictor.observe(net, batch.tokens, batch.query)
    wanted = 3
    kept = []
    keep = predictor.keep
    predictor.keep = lambda actions, fixed: kept.append(keep(actions, fixed)) or kept[-1]
    trainer = hard.BiasByReward(
        predictor, net, lambda rng, n: batch,
        lambda out, query, answer: kept[-1][..., wanted].reshape(-1) * 1.0,
        hard.BiasTrainerConfig(samples=8, penalty=0.5, lr=0.03), np.random.default_rng(0))
    for _ in range(150):
        trainer.step()
    p = F.sigmoid(predictor.forward(*seen)[0])
    free = ~seen.fixed
    others = free & (np.arange(6) != wanted)
    assert p[free[:, wanted], wanted].min() > 0.8 and p[others].max() < 0.3


@pytest.mark.parametrize("B, T", [(0, 4), (2, 1)])
def test_no_text_and_one_word(B, T):
    net, predictor = make_net(), make_predictor()
    tokens, query = np.zeros((B, T), int), np.zeros((B, 1), int)
    seen = predictor.observe(net, tokens, query)
    logits, _ = predictor.forward(*seen)
    assert logits.shape == (B, T) and seen.fixed.all()
    net.forward(tokens, position=query,
                bias=predictor.hard_bias(predictor.keep(np.zeros((B, T)), seen.fixed)))


def test_a_text_without_queries_has_no_loss():
    query = np.array([[-1, -1], [3, -1]])
    loss, d = answer_loss(np.zeros((1, 5)), query, np.array([[-1, -1], [2, -1]]))
    assert loss == pytest.approx(np.log(5) / 2) and d.shape == (1, 5)


def test_errors_name_what_was_expected():
    for strength in (0, np.inf, np.nan):
        with pytest.raises(ValueError, match=r"strength is .*, expected above 0 and finite"):
            hard.BiasPredictor(4, strength=strength)
    with pytest.raises(ValueError, match="k is 0, expected at least 1"):
        hard.BiasPredictor(4, k=0)
    predictor = make_predictor(k=2)
    assert isinstance(predictor.distribution, PlackettLuce)
    with pytest.raises(ValueError, match=r"predictor has PlackettLuce\(2\), expected Bernoulli"):
        hard.BiasByGradient(predictor, make_net(), None, hard.BiasTrainerConfig(), None)
    trainer = hard.BiasByGradient(make_predictor(), make_net(), None, hard.BiasTrainerConfig(),
                                  np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"state entry predictor\.m is missing"):
        trainer.load_state({k: v for k, v in trainer.state()[0].items() if k != "predictor.m"}, {})


def test_an_annealed_rate_ends_at_0():
    trainer = hard.BiasByGradient(make_predictor(), make_net(), lambda rng, n: texts(),
                                  hard.BiasTrainerConfig(anneal=2), np.random.default_rng(0))
    seen = [trainer.predictor.params.copy()]
    for _ in range(3):
        trainer.step()
        seen.append(trainer.predictor.params.copy())
    assert (seen[0] != seen[1]).any() and (seen[1] != seen[2]).any()
    same_bits(seen[2], seen[3])


@pytest.mark.parametrize("method", ["reward", "gradient"])
def test_nan_is_not_learned_from(method):
    net, predictor, rng = make_net(), make_predictor(), np.random.default_rng(0)
    predictor.params[0] = np.nan
    kept = predictor.params.copy()
    config = hard.BiasTrainerConfig(samples=2)
    trainer = (hard.BiasByReward(predictor, net, lambda rng, n: texts(), right, config, rng)
               if method == "reward" else
               hard.BiasByGradient(predictor, net, lambda rng, n: texts(), config, rng))
    with pytest.raises(FloatingPointError):
        trainer.step()
    same_bits(predictor.params, kept)


def test_huge_logits_are_certain_choices():
    predictor = make_predictor(np.float32)
    logits = np.array([[-3e38, 3e38]], np.float32)
    actions = predictor.distribution.mode(logits)
    np.testing.assert_array_equal(predictor.keep(actions, np.zeros((1, 2), bool)), [[False, True]])
    bias, slope = predictor.soft_bias(logits, np.zeros((1, 2), bool))
    np.testing.assert_array_equal(bias, np.minimum(logits, 0))
    np.testing.assert_array_equal(slope, [[1, 0]])
