"""Gaussian vectors against their twin, central differences, PyTorch and quadrature; learning."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gatelearn import _core, nn, rl
from gatelearn import functional as F
from gatelearn._reference import gaussian as ref

STDS = (1.0, 0.11, 30.0)
SHAPES = [(1, 1), (7, 2), (130, 19), (2, 3, 5), (5, 600), (3000, 2), (0, 5), (4, 0), (3,)]


def inputs(rng, dtype, shape=(7, 2)):
    """Means, actions, normal numbers and a weight a row."""
    return (*(rng.standard_normal(shape).astype(dtype) for _ in range(3)),
            rng.standard_normal(shape[:-1]).astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("std", STDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_twin(rng, dtype, std, shape):
    x, a, u, g = inputs(rng, dtype, shape)
    exact, chosen, weight = x.astype(float), a.astype(float), g.astype(float)
    for got, expected in (
        (F.gaussian_log_prob(x, a, std), ref.gaussian_log_prob(exact, chosen, std)),
        (F.gaussian_entropy(x, std), ref.gaussian_entropy(exact, std)),
        (F.gaussian_backward(x, a, g, std), ref.gaussian_backward(exact, chosen, weight, std)),
        (F.gaussian_kl(x, a, std), ref.gaussian_kl(exact, chosen, std)),
        *zip(F.gaussian_kl_backward(g, x, a, std),
             ref.gaussian_kl_backward(weight, exact, chosen, std), strict=True),
        *zip(F.gaussian_sample(x, u, std), ref.gaussian_sample(exact, u.astype(float), std),
             strict=True),
    ):
        assert got.dtype == dtype
        close(got, expected)
    actions, logp = F.gaussian_sample(x, u, std)
    same_bits(logp, F.gaussian_log_prob(x, actions, std))


@pytest.mark.parametrize("std", STDS)
def test_gradients_by_central_differences(rng, std):
    x, a, _, g = inputs(rng, np.float64, (3, 4))
    np.testing.assert_allclose(
        F.gaussian_backward(x, a, g, std),
        central_difference(lambda v: F.gaussian_log_prob(v, a, std), x, g), rtol=1e-6, atol=1e-7)
    dp, dq = F.gaussian_kl_backward(g, x, a, std)
    np.testing.assert_allclose(dp, central_difference(
        lambda v: F.gaussian_kl(v, a, std), x, g), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(dq, central_difference(
        lambda v: F.gaussian_kl(x, v, std), a, g), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_pytorch(rng, dtype):
    torch = pytest.importorskip("torch")
    x, a, _, g = inputs(rng, dtype, (33, 7))
    t = torch.tensor(x, requires_grad=True)
    d = torch.distributions.Normal(t, 0.3)
    logp = d.log_prob(torch.tensor(a)).sum(-1)
    logp.backward(torch.tensor(g))
    close(F.gaussian_log_prob(x, a, 0.3), logp.detach().numpy())
    close(F.gaussian_entropy(x, 0.3), d.entropy().sum(-1).detach().numpy())
    close(F.gaussian_backward(x, a, g, 0.3), t.grad.numpy())
    t.grad = None
    kl = torch.distributions.kl_divergence(
        d, torch.distributions.Normal(torch.tensor(a), 0.3)).sum(-1)
    kl.backward(torch.tensor(g))
    close(F.gaussian_kl(x, a, 0.3), kl.detach().numpy())
    close(F.gaussian_kl_backward(g, x, a, 0.3)[0], t.grad.numpy())


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40),
                  elements=st.floats(-1e4, 1e4)), st.floats(1e-3, 1e3))
def test_any_finite_means(x, std):
    a, one = x[::-1].copy(), np.ones(len(x))
    close(F.gaussian_log_prob(x, a, std), ref.gaussian_log_prob(x, a, std))
    close(F.gaussian_backward(x, a, one, std), ref.gaussian_backward(x, a, one, std))
    close(F.gaussian_kl(x, a, std), ref.gaussian_kl(x, a, std))
    assert np.all(F.gaussian_kl(x, x, std) == 0)


def test_moments_of_draws_and_of_their_log_density():
    d, n = rl.Gaussian(0.3), 100_000
    mean = np.tile([-1.0, 2.0], (n, 1))
    actions, logp = d.draw(mean, np.random.default_rng(0))
    z = (actions - mean) / 0.3
    assert np.all(np.abs(z.mean(0)) < 5 / np.sqrt(n))
    assert np.all(np.abs(z.var(0) - 1) < 5 * np.sqrt(2 / n))
    assert abs(np.corrcoef(z.T)[0, 1]) < 5 / np.sqrt(n)
    # the entropy is minus the mean log-density, whose deviation is that of chi-squared / 2
    assert abs(-logp.mean() - d.entropy(mean)[0]) < 5 / np.sqrt(n)


def test_reinforce_is_unbiased_by_quadrature():
    """E[-(a - c)^2] has gradient -2 (mean - c); five nodes are exact for such polynomials."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    weights = weights / weights.sum()
    d, mean, c = rl.Gaussian(0.4), np.array([[0.7]]), -0.2
    actions = mean + 0.4 * nodes[:, None, None]
    total = sum(w * rl.reinforce_gradient(mean, a[None], -(a.T - c) ** 2, d, baseline="none")[0]
                for w, a in zip(weights, actions, strict=True))
    close(total, [[2 * (0.7 - c)]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_interface_of_the_distribution(rng, dtype):
    d = rl.Gaussian(std=0.5)
    assert repr(d) == "Gaussian(std=0.5)"
    logits, a, _, g = inputs(rng, dtype, (4, 3))
    same_bits(d.mode(logits), logits)
    assert d.mode(logits) is not logits
    actions, logp = d.draw(logits, np.random.default_rng(3))
    assert actions.dtype == dtype and actions.shape == logits.shape
    same_bits(actions, d.sample(logits, np.random.default_rng(3)))
    same_bits(logp, d.log_prob(logits, actions))
    for got, expected in zip(d.evaluate(logits, a), (d.log_prob(logits, a), d.entropy(logits)),
                             strict=True):
        same_bits(got, expected)
    assert np.all(d.log_prob(logits, d.mode(logits)) >= d.log_prob(logits, a))
    same_bits(d.gradient(logits, a, g, g), d.gradient(logits, a, g))
    zero = d.gradient(logits, a, None, g)
    assert zero.shape == logits.shape and zero.dtype == dtype and not zero.any()
    same_bits(d.kl(logits, a), F.gaussian_kl(logits, a, 0.5))
    same_bits(d.kl_gradient(g, logits, a)[1], F.gaussian_kl_backward(g, logits, a, 0.5)[1])
    for f in (rl.expected_reward, rl.exact_gradient):
        with pytest.raises(TypeError, match="Gaussian has no finite list of actions, expected Be"):
            f(logits, d, lambda actions: actions[:, 0])


# the action that is rewarded most is a linear function of the observation
RULE = np.random.default_rng(7).standard_normal((6, 2)).astype(np.float32) / 3


def make(algorithm):
    policy = nn.Linear(6, 2).build(seed=0)
    if algorithm == "reinforce":
        return rl.Reinforce(policy, rl.Gaussian(0.2), rl.ReinforceConfig(
            lr=1e-2, entropy_coefficient=1e-3))
    return rl.PPO(policy, nn.Linear(6, 1).build(seed=1), rl.Gaussian(0.2), rl.PPOConfig(
        lr=1e-2, entropy_coefficient=1e-3))


def step(learner, rng):
    x = rng.standard_normal((64, 6)).astype(np.float32)
    if isinstance(learner, rl.Reinforce):
        actions, _ = learner.act(x, rng, samples=4)
        return learner.update(x, actions, -np.abs(actions - x @ RULE).sum(-1))
    actions, logp, values = learner.act(x, rng)
    rewards = -np.abs(actions - x @ RULE).sum(-1)
    ended = np.ones((1, len(x)), bool)
    return learner.update(rl.Rollout(x[None], actions[None], logp[None], rewards[None],
                                     values[None], terminated=ended), rng)


@pytest.mark.parametrize("algorithm", ["reinforce", "ppo"])
def test_algorithms_learn_to_point(algorithm):
    learner, rng = make(algorithm), np.random.default_rng(0)
    x = np.random.default_rng(99).standard_normal((500, 6)).astype(np.float32)

    def distance():
        return np.abs(learner.policy.network.forward(x)[0] - x @ RULE).mean()

    before = distance()
    for _ in range(150):
        metrics = step(learner, rng)
        assert all(np.isfinite(v) for v in metrics.values())
    assert metrics["entropy"] == pytest.approx(rl.Gaussian(0.2).entropy(np.zeros((1, 2)))[0])
    assert distance() < before / 4


@pytest.mark.parametrize("algorithm", ["reinforce", "ppo"])
def test_learning_repeats_to_the_same_bits(algorithm):
    def trained():
        learner, rng = make(algorithm), np.random.default_rng(0)
        for _ in range(3):
            step(learner, rng)
        return [learner.policy.network.params.copy()]
    same_for_any_threads(trained)


def test_ratio_is_one_on_the_first_minibatch(rng):
    ppo = rl.PPO(nn.Linear(6, 2).build(seed=0), None, rl.Gaussian(0.2),
                 rl.PPOConfig(epochs=1, minibatches=1))
    x = rng.standard_normal((64, 6)).astype(np.float32)
    actions, logp, _ = ppo.act(x, rng)
    metrics = ppo.update(rl.Rollout(x, actions, logp, advantages=actions[:, 0]), rng)
    assert metrics["approx_kl"] < 1e-12 and metrics["clip_fraction"] == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_and_tiny_numbers(dtype):
    big = np.finfo(dtype).max
    assert F.gaussian_log_prob(dtype([[0.0]]), dtype([[big]]), 1.0)[0] == -np.inf
    assert F.gaussian_kl(dtype([[0.0]]), dtype([[big]]), 1.0)[0] == np.inf
    tiny = float(np.finfo(dtype).tiny)
    close(F.gaussian_log_prob(dtype([[0.0]]), dtype([[tiny]]), tiny),
          [-0.5 - np.log(tiny) - np.log(2 * np.pi) / 2])
    assert np.isfinite(F.gaussian_entropy(dtype([[0.0]]), tiny)).all()
    # z / std, not z times 1 / std^2, which overflows
    close(F.gaussian_backward(dtype([[0.0]]), dtype([[tiny]]), dtype([tiny]), tiny), [[1.0]])


def test_nan_stays_in_its_row(rng):
    x, a, _, g = inputs(rng, np.float32, (9, 3))
    clean = F.gaussian_backward(x, a, g, 0.5)
    x[2, 1] = np.nan
    assert np.isnan(F.gaussian_log_prob(x, a, 0.5)).nonzero()[0].tolist() == [2]
    assert np.isnan(F.gaussian_kl(a, x, 0.5)).nonzero()[0].tolist() == [2]
    assert np.isfinite(F.gaussian_entropy(x, 0.5)).all()
    got = F.gaussian_backward(x, a, g, 0.5)
    assert np.argwhere(np.isnan(got)).tolist() == [[2, 1]]
    same_bits(np.delete(got, 2, 0), np.delete(clean, 2, 0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(9, 2), (3, 700)])
def test_in_place_is_out_of_place(rng, dtype, shape):
    x, a, _, g = inputs(rng, dtype, shape)
    expected = F.gaussian_backward(x, a, g, 0.5)
    assert F.gaussian_backward(x, a, g, 0.5, out=x) is x
    same_bits(x, expected)


def test_any_number_of_threads_gives_the_same_bits(rng):
    for shape in ((20000, 2), (40, 1700)):
        x, a, u, g = inputs(rng, np.float32, shape)
        same_for_any_threads(lambda x=x, a=a, u=u, g=g: (
            *F.gaussian_sample(x, u, 0.5), F.gaussian_log_prob(x, a, 0.5),
            F.gaussian_backward(x, a, g, 0.5), F.gaussian_kl(x, a, 0.5)))


def test_strided_and_other_types_are_converted(rng):
    x, a, u, _ = inputs(rng, np.float64, (6, 4))
    same_bits(F.gaussian_log_prob(x[:, ::2], a[::-1, ::2][::-1], 0.5),
              F.gaussian_log_prob(x[:, ::2].copy(), a[:, ::2].copy(), 0.5))
    actions, logp = F.gaussian_sample(x.astype(np.float32), u, 0.5)
    assert actions.dtype == logp.dtype == np.float32
    assert F.gaussian_log_prob([[0, 1]], [[1, 1]], 1).dtype == np.float64


def test_errors_name_argument_has_and_expected(rng):
    x, a, u, g = inputs(rng, np.float64, (6000, 3))
    for bad in (np.nan, np.inf, -np.inf):
        y, v = x.copy(), u.copy()
        y[[4000, 5999], 1] = v[[2, 5000], 0] = bad
        with pytest.raises(FloatingPointError, match="gaussian_sample: mean is not finite at row "
                                                     "4000, expected finite means"):
            F.gaussian_sample(y, u, 1.0)
        with pytest.raises(ValueError, match="normals is not allowed at row 2, expected numbers"):
            F.gaussian_sample(x, v, 1.0)
    with pytest.raises(ValueError, match="normals is not allowed at row 0, expected numbers that"):
        F.gaussian_sample(np.full((1, 1), 1e308), np.full((1, 1), 1e308), 1.0)
    for std in (0.0, -1.0, np.nan, np.inf):
        calls = (lambda s: F.gaussian_sample(x, u, s), lambda s: F.gaussian_log_prob(x, a, s),
                 lambda s: F.gaussian_entropy(x, s), lambda s: F.gaussian_backward(x, a, g, s),
                 lambda s: F.gaussian_kl(x, a, s), lambda s: F.gaussian_kl_backward(g, x, a, s),
                 rl.Gaussian)
        for call in calls:
            with pytest.raises(ValueError, match=f"std is {std}, expected above 0 and finite"):
                call(std)
    for std in (1e-50, 1e300):
        F.gaussian_log_prob(x, a, std)
        with pytest.raises(ValueError, match=r"std is .*, expected above 0 and finite as float32"):
            F.gaussian_log_prob(x.astype(np.float32), a, std)
    with pytest.raises(TypeError, match="std is list, expected a number"):
        F.gaussian_log_prob(x, a, [1.0])
    with pytest.raises(ValueError, match=r"actions has shape \(2, 3\), expected \(6000, 3\)"):
        F.gaussian_log_prob(x, a[:2], 1.0)
    with pytest.raises(ValueError, match=r"actions has shape \(2, 3\), expected \(6000, 3\)"):
        F.gaussian_backward(x, a[:2], g, 1.0)
    with pytest.raises(ValueError, match=r"normals has shape \(2, 3\), expected \(6000, 3\)"):
        F.gaussian_sample(x, u[:2], 1.0)
    with pytest.raises(ValueError, match=r"dlogp has shape \(2,\), expected \(6000,\)"):
        F.gaussian_backward(x, a, g[:2], 1.0)
    with pytest.raises(ValueError, match=r"mean_q has shape \(2, 3\), expected \(6000, 3\)"):
        F.gaussian_kl(x, a[:2], 1.0)
    with pytest.raises(ValueError, match=r"mean_q has shape \(2, 3\), expected \(6000, 3\)"):
        F.gaussian_kl_backward(g, x, a[:2], 1.0)
    with pytest.raises(ValueError, match=r"dkl has shape \(2,\), expected \(6000,\)"):
        F.gaussian_kl_backward(g[:2], x, a, 1.0)
    with pytest.raises(ValueError, match="mean has 0 dimensions, expected at least 1"):
        F.gaussian_entropy(0.0, 1.0)
    with pytest.raises(ValueError, match="actions overlaps mean, expected separate memory"):
        _core.gaussian_sample(x, None, x, u, 1.0)
    with pytest.raises(ValueError, match="dmean overlaps actions, expected separate memory"):
        _core.gaussian_backward(a, g, x, a, 1.0)
