"""Gradient estimators: unbiased ones against enumeration, biased ones where theory says so."""

import itertools

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads

from gatelearn import nn, rl

CASES = [(rl.Bernoulli(), 3), (rl.Bernoulli(bound=0.1), 3), (rl.Categorical(), 5)]
BERNOULLI, CATEGORICAL = CASES[0], CASES[2]


class Linear(rl.RelaxedReward):
    """Weights times factors, and with `pairs` also neighbouring weights' products."""

    def __init__(self, factors, pairs=0.0):
        self.factors, self.pairs = factors, pairs

    def __call__(self, actions):
        one_hot = np.eye(self.factors.shape[1], dtype=self.factors.dtype)
        return self.relaxed(one_hot[actions] if np.ndim(actions) == 2 else actions)[0]

    def relaxed(self, weights):
        shifted = np.roll(weights, 1, -1) * self.pairs
        return ((self.factors + shifted) * weights).sum(-1), (
            self.factors + shifted + np.roll(weights, -1, -1) * self.pairs)


def problem(distribution, K, dtype=np.float64, rows=2):
    rng = np.random.default_rng(2)
    logits = rng.standard_normal((rows, K)).astype(dtype)
    target = rng.standard_normal((rows, K)).astype(dtype)
    return logits, target, rl.SquaredDistance(target)


def forced(distribution, actions):
    """The distribution, but its draws are given."""
    copy = type(distribution)(**vars(distribution))
    copy.draw = lambda logits, rng: (actions, None)
    return copy


def settled(baseline, B=1, K=3):
    """The baseline after a batch that is none of those that it will judge."""
    baseline.advantages(np.full((2, B), 0.7), np.ones((B, K)), np.zeros(B))
    return baseline


def value_network(K):
    return nn.Linear(K, 1).build(seed=3, dtype=np.float64)


UNBIASED = {
    "none": lambda K: rl.ScoreFunction("none"),
    "leave-one-out": lambda K: rl.ScoreFunction("loo"),
    "self-critical": lambda K: rl.ScoreFunction("self-critical"),
    "moving average": lambda K: rl.ScoreFunction(settled(rl.MovingAverage())),
    "moving average by row": lambda K: rl.ScoreFunction(settled(rl.MovingAverage(rows=1))),
    "learned": lambda K: rl.ScoreFunction(rl.LearnedBaseline(value_network(K))),
}


@pytest.mark.parametrize("distribution, K", CASES)
@pytest.mark.parametrize("name", [*UNBIASED, "mean"])
def test_expectation_over_all_pairs_of_samples(distribution, K, name):
    logits, _, reward = problem(distribution, K, rows=1)
    exact = rl.Exact().gradient(logits, distribution, reward, None, 1)
    actions = distribution.enumerate(K)[:, None]
    p = np.exp([distribution.log_prob(logits, a)[0] for a in actions])
    mean = 0
    for i, j in itertools.product(range(len(actions)), repeat=2):
        estimator = UNBIASED[name](K) if name in UNBIASED else rl.ScoreFunction("mean")
        mean = mean + p[i] * p[j] * estimator.gradient(
            logits, forced(distribution, actions[[i, j]]), reward, None, 2, observations=logits)
    np.testing.assert_allclose(mean, exact * (1 if name in UNBIASED else 0.5), atol=1e-9)


def many(estimator, distribution, reward_of, logits, n, dtype=np.float64, samples=2, seed=0):
    """Independent estimates (n, K) for one row of logits, as rows of one batch."""
    tiled = np.repeat(logits, n, 0).astype(dtype)
    return estimator.gradient(tiled, distribution, reward_of(n), np.random.default_rng(seed),
                              samples, observations=tiled)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("distribution, K", CASES)
@pytest.mark.parametrize("name", UNBIASED)
def test_unbiased_ones_agree_with_enumeration(distribution, K, name, dtype):
    logits, target, reward = problem(distribution, K, rows=1)
    exact = rl.Exact().gradient(logits, distribution, reward, None, 1)[0]
    n = 20000
    estimators = {
        "moving average": rl.ScoreFunction(settled(rl.MovingAverage(), n, K)),
        "moving average by row": rl.ScoreFunction(settled(rl.MovingAverage(rows=n), n, K)),
        "learned": rl.ScoreFunction(rl.LearnedBaseline(nn.Linear(K, 1).build(0, dtype))),
    }
    estimator = estimators.get(name) or UNBIASED[name](K)
    each = many(estimator, distribution, lambda n: rl.SquaredDistance(
        np.repeat(target, n, 0).astype(dtype)), logits, n, dtype)
    assert each.dtype == dtype
    each = each.astype(np.float64)
    assert np.all(np.abs(each.mean(0) - exact) < 4 * each.std(0) / np.sqrt(n))


def spread(name, distribution, K, reward_of=None, n=4000, **more):
    """Mean, standard error and variance of an estimator for the usual problem."""
    logits, target, _ = problem(distribution, K, rows=1)
    reward_of = reward_of or (lambda n: rl.SquaredDistance(np.repeat(target, n, 0)))
    estimator = UNBIASED[name](K) if isinstance(name, str) else name
    each = many(estimator, distribution, reward_of, logits, n, **more)
    return each.mean(0), each.std(0) / np.sqrt(n), each.var(0).sum()


@pytest.mark.parametrize("distribution, K", CASES)
def test_baselines_take_variance_away(distribution, K):
    # at equal samples, and much of it where rewards are far from 0
    assert spread("leave-one-out", distribution, K, samples=4)[2] < spread(
        "none", distribution, K, samples=4)[2]

    class Shifted(rl.SquaredDistance):
        def __call__(self, actions):
            return super().__call__(actions) + 100

    _, target, _ = problem(distribution, K, rows=1)
    shifted = [spread(name, distribution, K, lambda n: Shifted(np.repeat(target, n, 0)))[2]
               for name in ("none", "leave-one-out", "self-critical")]
    assert max(shifted[1:]) < 0.1 * shifted[0]


@pytest.mark.parametrize("distribution, K", CASES)
def test_exact_agrees_with_its_definition(distribution, K):
    logits, _, reward = problem(distribution, K)
    expected = 0
    for action in distribution.enumerate(K):
        a = np.repeat(action[None], 2, 0)
        p = np.exp(distribution.log_prob(logits, a))
        expected = expected + distribution.gradient(logits, a, p * reward(a[None])[0])
    close(rl.Exact().gradient(logits, distribution, reward, None, 1), expected)


def test_exact_takes_any_number_of_categories_and_none_of_what_is_masked():
    K = 3000
    rng = np.random.default_rng(0)
    logits, rewards = rng.standard_normal((2, K)), rng.standard_normal(K)
    got = rl.Exact().gradient(logits, rl.Categorical(), lambda a: rewards[a], None, 1)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    close(got, p * (rewards - (p @ rewards)[:, None]))

    # what is impossible may have any reward
    masked = np.array([[0.0, -np.inf, 1.0]])
    values = np.array([1.0, np.nan, 2.0])
    got = rl.exact_gradient(masked, rl.Categorical(), lambda a: values)
    assert got[0, 1] == 0
    close(got[:, ::2], rl.exact_gradient(masked[:, ::2], rl.Categorical(), lambda a: values[::2]))


@pytest.mark.parametrize("distribution, K", CASES)
@pytest.mark.parametrize("name", UNBIASED)
def test_no_gradient_leaks_through_a_sample(distribution, K, name):
    """Neither the reward's own gradient nor rewards of other actions reach the estimate."""
    logits, _, reward = problem(distribution, K, rows=1)
    drawn = distribution.enumerate(K)[[1, 2]][:, None]
    seen = np.concatenate([drawn, distribution.mode(logits)[None]])

    class Elsewhere(rl.SquaredDistance):
        def __call__(self, actions):
            asked = np.asarray(actions).reshape(len(actions), -1)
            known = (asked[:, None] == seen.reshape(3, -1)).all(-1).any(1)
            return super().__call__(actions) + np.where(known, 0, 1e6)[:, None]

        def relaxed(self, weights):
            rewards, dweights = super().relaxed(weights)
            return rewards, dweights + 1e6

    got = [UNBIASED[name](K).gradient(logits, forced(distribution, drawn), r, None, 2,
                                      observations=logits)
           for r in (reward, Elsewhere(reward.target))]
    same_bits(*got)


@pytest.mark.parametrize("distribution, K", CASES)
def test_half_soft_without_soft_is_reinforce(distribution, K):
    logits, target, reward = problem(distribution, K)

    class Steep(rl.SquaredDistance):
        def relaxed(self, weights):
            rewards, dweights = super().relaxed(weights)
            return rewards, dweights + 1e6

    rng = [np.random.default_rng(0) for _ in range(2)]
    hard = rl.HalfSoft(0, "loo").gradient(logits, distribution, Steep(target), rng[0], 3)
    close(hard, rl.ScoreFunction("loo").gradient(logits, distribution, reward, rng[1], 3))


@pytest.mark.parametrize("distribution, K", CASES)
def test_half_soft_all_soft_is_the_gradient_at_the_mean(distribution, K):
    logits, _, reward = problem(distribution, K)
    got = rl.HalfSoft(1).gradient(logits, distribution, reward, np.random.default_rng(0), 2)
    numeric = central_difference(lambda x: reward.relaxed(distribution.mean(x)[None])[0], logits, 1)
    np.testing.assert_allclose(got, numeric, atol=1e-8)
    with_entropy = rl.HalfSoft(1, entropy_coefficient=0.3).gradient(
        logits, distribution, reward, np.random.default_rng(0), 2)
    actions = distribution.mode(logits)
    close(with_entropy - got, distribution.gradient(logits, actions, None, np.full(2, 0.3)))


BIASED = {"straight-through": rl.StraightThrough, "half soft": lambda: rl.HalfSoft(baseline="loo")}


@pytest.mark.parametrize("distribution, K", CASES)
@pytest.mark.parametrize("name", BIASED)
def test_straight_through_and_half_soft_are_exact_for_linear_rewards(distribution, K, name):
    logits, target, _ = problem(distribution, K, rows=1)
    exact = rl.Exact().gradient(logits, distribution, Linear(target), None, 1)[0]
    mean, error, _ = spread(BIASED[name](), distribution, K,
                            lambda n: Linear(np.repeat(target, n, 0)))
    assert np.all(np.abs(mean - exact) < 4 * error + 1e-12)
    if name == "straight-through":
        # the reward's gradient is the same everywhere: not even a variance
        assert error.max() < 1e-12


@pytest.mark.parametrize("distribution, K", CASES[:2])
@pytest.mark.parametrize("name", BIASED)
def test_and_for_bernoulli_also_where_rewards_are_linear_in_each_weight(distribution, K, name):
    logits, target, _ = problem(distribution, K, rows=1)
    exact = rl.Exact().gradient(logits, distribution, Linear(target, pairs=2.0), None, 1)[0]
    mean, error, _ = spread(BIASED[name](), distribution, K,
                            lambda n: Linear(np.repeat(target, n, 0), pairs=2.0), n=20000)
    assert error.min() > 1e-4
    assert np.all(np.abs(mean - exact) < 4 * error)


@pytest.mark.parametrize("distribution, K", CASES)
@pytest.mark.parametrize("name", [*BIASED, "Gumbel-softmax", "hard Gumbel-softmax"])
def test_biased_ones_are_biased_where_they_must_be(distribution, K, name):
    makers = BIASED | {"Gumbel-softmax": rl.GumbelSoftmax,
                       "hard Gumbel-softmax": lambda: rl.GumbelSoftmax(hard=True)}
    logits, _, reward = problem(distribution, K, rows=1)
    exact = rl.Exact().gradient(logits, distribution, reward, None, 1)[0]
    mean, error, _ = spread(makers[name](), distribution, K, n=20000, samples=8)
    assert np.any(np.abs(mean - exact) > 8 * error)
    # what it should be: over the hard samples, the gradient at each
    if name == "straight-through":
        p = [np.exp(distribution.log_prob(logits, a[None])[0]) for a in distribution.enumerate(K)]
        weights = [distribution.weights(logits, a[None]) for a in distribution.enumerate(K)]
        d = sum(q * reward.relaxed(w[None])[1][0] for q, w in zip(p, weights, strict=True))
        assert np.all(np.abs(mean - distribution.mean_gradient(logits, d)[0]) < 4 * error)


@pytest.mark.parametrize("distribution, K", CASES)
def test_gumbel_softmax_trades_bias_for_variance(distribution, K):
    logits, _, reward = problem(distribution, K, rows=1)
    exact = rl.Exact().gradient(logits, distribution, reward, None, 1)[0]
    found = [spread(rl.GumbelSoftmax(t), distribution, K, n=40000) for t in (2.0, 0.5, 0.1)]
    bias = [np.linalg.norm(mean - exact) for mean, _, _ in found]
    assert bias[0] > bias[1] > bias[2]
    assert found[0][2] < found[1][2] < found[2][2]


@pytest.mark.parametrize("distribution, K", CASES)
@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax_by_its_definition(distribution, K, hard):
    logits, _, reward = problem(distribution, K)
    tiled = np.stack([logits] * 3)
    actions, soft = distribution.relax(tiled, 0.5, np.random.default_rng(0))
    dweights = reward.relaxed(distribution.weights(tiled, actions) if hard else soft)[1]
    expected = distribution.relax_gradient(tiled, soft, dweights, 0.5).mean(0)
    close(rl.GumbelSoftmax(0.5, hard).gradient(logits, distribution, reward,
                                               np.random.default_rng(0), 3), expected)


@pytest.mark.parametrize("distribution, K", CASES)
@pytest.mark.parametrize("estimator", [
    rl.ScoreFunction("none"), rl.StraightThrough(), rl.GumbelSoftmax(), rl.GumbelSoftmax(hard=True),
    rl.HalfSoft(baseline="none")])
def test_samples_are_averaged(distribution, K, estimator):
    few, more = (spread(estimator, distribution, K, samples=s)[2] for s in (2, 8))
    assert more / few == pytest.approx(1 / 4, rel=0.15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("distribution, K", CASES)
def test_relaxed_samples(distribution, K, dtype):
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((4, K)).astype(dtype)
    drelaxed = rng.standard_normal((4, K)).astype(dtype)
    actions, relaxed = distribution.relax(logits, 0.7, np.random.default_rng(1))
    got = distribution.relax_gradient(logits, relaxed, drelaxed, 0.7)
    assert relaxed.dtype == got.dtype == dtype

    def same_noise(x):
        return distribution.relax(x, 0.7, np.random.default_rng(1))[1]

    tolerance = dict(rtol=1e-5, atol=1e-7) if dtype == np.float64 else dict(rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(got, central_difference(same_noise, logits, drelaxed), **tolerance)

    # a cold sample is its action, and actions have the distribution's probabilities
    cold = distribution.relax(logits.astype(np.float64), 1e-9, np.random.default_rng(1))[1]
    np.testing.assert_allclose(cold, distribution.weights(logits, actions), atol=1e-6)
    n = 40000
    tiled = np.repeat(logits[:1], n, 0)
    weights = distribution.weights(tiled, distribution.relax(tiled, 1.0, rng)[0])
    error = weights.std(0, dtype=np.float64) / np.sqrt(n)
    difference = weights.mean(0, dtype=np.float64) - distribution.mean(logits[:1])[0]
    assert np.all(np.abs(difference) < 4 * error)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("distribution, K", CASES)
def test_mean_of_weights(distribution, K, dtype):
    logits = np.random.default_rng(0).standard_normal((2, K)).astype(dtype)
    expected = sum(
        np.exp(distribution.log_prob(logits, np.repeat(a[None], 2, 0)))[:, None]
        * distribution.weights(logits, np.repeat(a[None], 2, 0)) for a in distribution.enumerate(K))
    mean = distribution.mean(logits)
    assert mean.dtype == dtype
    close(mean, expected)
    dmean = np.random.default_rng(1).standard_normal((2, K)).astype(dtype)
    numeric = central_difference(distribution.mean, logits, dmean)
    np.testing.assert_allclose(distribution.mean_gradient(logits, dmean), numeric,
                               rtol=1e-3 if dtype == np.float32 else 1e-6, atol=1e-5)


EVERY = {
    **{name: make for name, make in UNBIASED.items() if not name.startswith("moving")},
    "moving average": lambda K: rl.ScoreFunction(rl.MovingAverage()),
    "moving average by row": lambda K: rl.ScoreFunction(rl.MovingAverage(rows=2)),
    "mean": lambda K: rl.ScoreFunction("mean"),
    "exact": lambda K: rl.Exact(),
    "straight-through": lambda K: rl.StraightThrough(),
    "Gumbel-softmax": lambda K: rl.GumbelSoftmax(0.5),
    "hard Gumbel-softmax": lambda K: rl.GumbelSoftmax(0.5, hard=True),
    "half soft": lambda K: rl.HalfSoft(),
    "half soft, self-critical": lambda K: rl.HalfSoft(0.3, "self-critical", 0.1),
}


@pytest.mark.parametrize("distribution, K", CASES)
@pytest.mark.parametrize("name", EVERY)
def test_same_seed_same_bits(distribution, K, name):
    logits, _, reward = problem(distribution, K)

    def twice():
        estimator, rng = EVERY[name](K), np.random.default_rng(0)
        return [estimator.gradient(logits, distribution, reward, rng, 3, observations=logits)
                for _ in range(2)]

    same_for_any_threads(twice)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("distribution, K", CASES)
@pytest.mark.parametrize("name", EVERY)
def test_types_and_small_sizes(distribution, K, name, dtype):
    for B, k in ((2, K), (2, 1), (0, K)):
        target = np.zeros((B, k), dtype)
        estimator = EVERY[name](k)
        if name == "learned":
            estimator = rl.ScoreFunction(rl.LearnedBaseline(nn.Linear(k, 1).build(0, dtype)))
        if name == "moving average by row":
            estimator = rl.ScoreFunction(rl.MovingAverage(rows=B))
        logits = np.full((B, k), 0.3, dtype)
        got = estimator.gradient(logits, distribution, rl.SquaredDistance(target + dtype(0.2)),
                                 np.random.default_rng(0), 2, observations=logits)
        assert got.shape == (B, k) and got.dtype == dtype and np.isfinite(got).all()


def test_masked_categories_get_no_gradient():
    logits = np.array([[0.0, -np.inf, 1.0]])
    for name, make in EVERY.items():
        if name in ("learned", "moving average by row"):
            continue
        got = make(3).gradient(logits, rl.Categorical(), rl.SquaredDistance([[1.0, 2.0, 3.0]]),
                               np.random.default_rng(0), 4)
        assert got[0, 1] == 0 and np.isfinite(got).all(), name


@pytest.mark.parametrize("name", EVERY)
def test_errors_of_estimators(name):
    distribution, K = BERNOULLI
    logits, target, reward = problem(distribution, K)

    def gradient(reward, logits=logits, samples=2):
        return EVERY[name](K).gradient(logits, distribution, reward, np.random.default_rng(0),
                                       samples, observations=logits)

    class Wrong(rl.SquaredDistance):
        def relaxed(self, weights):
            rewards, dweights = super().relaxed(weights)
            return rewards * self.factor, dweights

    wrong = Wrong(target)
    for wrong.factor, found in ((np.nan, "nan"), (np.inf, "-inf")):
        with pytest.raises(FloatingPointError, match=rf"rewards\[0, 0\] is {found}, expected a f"):
            gradient(wrong)
    wrong.factor = np.ones((2, 1, 1))
    with pytest.raises(ValueError, match=r"rewards has shape \(2, \d, 2\), expected \(\d, 2\)"):
        gradient(wrong)
    for bad in (np.nan, np.inf):
        with pytest.raises(FloatingPointError, match=r"logits hold NaN or \+inf"):
            gradient(reward, np.where(np.eye(2, K), bad, logits))
    with pytest.raises(ValueError, match="logits has 1 dimensions, expected 2"):
        gradient(reward, logits[0])
    if name != "exact":
        with pytest.raises(ValueError, match="samples is 0, expected at least 1"):
            gradient(reward, samples=0)
    if name == "leave-one-out":
        with pytest.raises(ValueError, match="at least 2 samples"):
            gradient(reward, samples=1)


@pytest.mark.parametrize("name", ["straight-through", "Gumbel-softmax", "half soft"])
def test_a_reward_that_cannot_be_relaxed_is_named(name):
    distribution, K = CATEGORICAL
    logits, target, _ = problem(distribution, K)

    def hits(actions):
        return actions == 1

    with pytest.raises(TypeError, match=r"reward hits has no method relaxed\(weights\), expected"):
        EVERY[name](K).gradient(logits, distribution, hits, np.random.default_rng(0), 2)
    with pytest.raises(TypeError, match=r"distribution is PlackettLuce\(2\), expected Bern"):
        EVERY[name](K).gradient(logits, rl.PlackettLuce(2), rl.SquaredDistance(target),
                                np.random.default_rng(0), 2)

    class Wrong(rl.SquaredDistance):
        def relaxed(self, weights):
            rewards, dweights = super().relaxed(weights)
            return rewards, self.change(dweights)

    wrong = Wrong(target)
    for wrong.change, kind, message in (
            (lambda d: d[..., 0], ValueError, r"dweights has shape \(2, 2\), expected \(2, 2, 5\)"),
            (lambda d: d * np.nan, FloatingPointError, r"dweights\[0, 0, 0\] is nan, expected")):
        with pytest.raises(kind, match=message):
            EVERY[name](K).gradient(logits, distribution, wrong, np.random.default_rng(0), 2)


def test_errors_of_options():
    for temperature in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"temperature is {temperature}, expected a finite"):
            rl.GumbelSoftmax(temperature)
    for soft in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=f"soft is {soft}, expected 0 <= soft <= 1"):
            rl.HalfSoft(soft)
    for make in (rl.ScoreFunction, lambda name: rl.HalfSoft(baseline=name)):
        with pytest.raises(ValueError, match="baseline is 'best', expected one of"):
            make("best")
