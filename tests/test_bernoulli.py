"""Bernoulli vectors against their twin, central differences, PyTorch and enumeration."""

import itertools

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import bernoulli as ref

BOUNDS = (0.0, 1e-6, 0.05, 0.3)
SHAPES = [(1, 1), (7, 19), (130, 8), (2, 3, 5), (5, 600), (0, 5), (4, 0)]


def inputs(rng, dtype, shape=(7, 19)):
    return ((3 * rng.standard_normal(shape)).astype(dtype),
            rng.integers(0, 2, shape).astype(np.uint8), rng.random(shape, dtype),
            rng.standard_normal(shape[:-1]).astype(dtype),
            rng.standard_normal(shape[:-1]).astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_twin(rng, dtype, bound, shape):
    x, a, u, dlogp, dentropy = inputs(rng, dtype, shape)
    y = (x + rng.standard_normal(shape)).astype(dtype)
    exact, other = x.astype(float), y.astype(float)
    for got, expected in (
        (F.bernoulli_log_prob(x, a, bound=bound), ref.bernoulli_log_prob(exact, a, bound)),
        (F.bernoulli_entropy(x, bound=bound), ref.bernoulli_entropy(exact, bound)),
        (F.bernoulli_backward(x, a, dlogp, dentropy, bound=bound),
         ref.bernoulli_backward(exact, a, dlogp, dentropy, bound)),
        (F.bernoulli_backward(x, a, dlogp, bound=bound),
         ref.bernoulli_backward(exact, a, dlogp, 0 * dlogp, bound)),
        (F.bernoulli_kl(x, y, bound=bound), ref.bernoulli_kl(exact, other, bound)),
        *zip(F.bernoulli_kl_backward(dlogp, x, y, bound=bound),
             ref.bernoulli_kl_backward(dlogp, exact, other, bound), strict=True),
    ):
        assert got.dtype == dtype
        close(got, expected)
    actions, logp = F.bernoulli_sample(x, u, bound=bound)
    assert actions.dtype == np.uint8 and actions.shape == shape
    if dtype == np.float64:
        np.testing.assert_array_equal(actions, ref.bernoulli_sample(exact, u, bound)[0])
    close(logp, ref.bernoulli_log_prob(exact, actions, bound))


@pytest.mark.parametrize("bound", BOUNDS)
def test_gradients_by_central_differences(rng, bound):
    x, a, _, dlogp, dentropy = inputs(rng, np.float64, (3, 4))
    y = rng.standard_normal(x.shape)
    np.testing.assert_allclose(
        F.bernoulli_backward(x, a, dlogp, None, bound=bound),
        central_difference(lambda v: F.bernoulli_log_prob(v, a, bound=bound), x, dlogp), atol=1e-7)
    np.testing.assert_allclose(
        F.bernoulli_backward(x, a, None, dentropy, bound=bound),
        central_difference(lambda v: F.bernoulli_entropy(v, bound=bound), x, dentropy), atol=1e-7)
    dp, dq = F.bernoulli_kl_backward(dlogp, x, y, bound=bound)
    np.testing.assert_allclose(dp, central_difference(
        lambda v: F.bernoulli_kl(v, y, bound=bound), x, dlogp), atol=1e-7)
    np.testing.assert_allclose(dq, central_difference(
        lambda v: F.bernoulli_kl(x, v, bound=bound), y, dlogp), atol=1e-7)


@pytest.mark.parametrize("bound", BOUNDS)
def test_probabilities_of_all_actions_sum_to_one(rng, bound):
    actions = np.array(list(itertools.product((0, 1), repeat=6)), np.uint8)
    x = np.tile(4 * rng.standard_normal(6), (64, 1))
    logp = F.bernoulli_log_prob(x, actions, bound=bound)
    assert np.exp(logp).sum() == pytest.approx(1, abs=1e-12)
    assert F.bernoulli_entropy(x[:1], bound=bound)[0] == pytest.approx(-np.exp(logp) @ logp)


@pytest.mark.parametrize("bound", (0.0, 0.1))
def test_frequencies_follow_probabilities(rng, bound):
    x = np.tile([-2.0, 0.0, 1.0], (40000, 1))
    actions, _ = F.bernoulli_sample(x, rng.random(x.shape), bound=bound)
    p = bound + (1 - 2 * bound) / (1 + np.exp(-x[0]))
    assert np.all(np.abs(actions.mean(0) - p) < 5 * np.sqrt(p * (1 - p) / len(x)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_logits(dtype):
    x = np.array([[1e4], [1e4], [-1e4], [-1e4], [np.inf], [np.inf], [-np.inf]], dtype)
    a = np.array([[1], [0], [1], [0], [1], [0], [0]])
    one = np.ones(len(x), dtype)
    np.testing.assert_array_equal(F.bernoulli_log_prob(x, a), [0, -1e4, -1e4, 0, 0, -np.inf, 0])
    np.testing.assert_array_equal(F.bernoulli_entropy(x), 0)
    np.testing.assert_array_equal(F.bernoulli_backward(x, a, one, one)[:, 0],
                                  [0, -1, 1, 0, 0, -1, 0])
    np.testing.assert_array_equal(F.bernoulli_kl(x, x), 0)
    assert F.bernoulli_kl(x[:1], -x[:1])[0] == 1e4
    assert F.bernoulli_kl(x[:1], x[-1:])[0] == np.inf
    close(F.bernoulli_log_prob(x, a, bound=0.25), np.log(np.where(
        (x > 0) == (a == 1), 0.75, 0.25))[:, 0])
    np.testing.assert_array_equal(F.bernoulli_backward(x, a, one, one, bound=0.25), 0)
    assert F.bernoulli_sample(x[:4], np.full((4, 1), 0.5))[0].ravel().tolist() == [1, 1, 0, 0]
    certain, logp = F.bernoulli_sample(x[:4], np.full((4, 1), 0.2), bound=0.25)
    assert certain.ravel().tolist() == [1, 1, 1, 1]
    close(logp, np.log([0.75, 0.75, 0.25, 0.25]))


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40),
                  elements=st.floats(-1e4, 1e4)), st.sampled_from(BOUNDS))
def test_any_finite_logits(x, bound):
    a = (np.arange(x.size) % 3 == 0).reshape(x.shape)
    one = np.ones(len(x))
    close(F.bernoulli_log_prob(x, a, bound=bound), ref.bernoulli_log_prob(x, a, bound))
    entropy = F.bernoulli_entropy(x, bound=bound)
    assert np.all((entropy >= 0) & (entropy <= x.shape[1] * np.log(2) * (1 + 1e-15)))
    close(F.bernoulli_backward(x, a, one, one, bound=bound),
          ref.bernoulli_backward(x, a, one, one, bound))
    assert np.all(F.bernoulli_kl(x, x[::-1], bound=bound) > -1e-9)


def test_nan_stays_in_its_row(rng):
    x, a, _, dlogp, dentropy = inputs(rng, np.float32)
    clean = F.bernoulli_backward(x, a, dlogp, dentropy)
    x[2, 3] = np.nan
    assert np.isnan(F.bernoulli_log_prob(x, a)).nonzero()[0].tolist() == [2]
    assert np.isnan(F.bernoulli_entropy(x)).nonzero()[0].tolist() == [2]
    got = F.bernoulli_backward(x, a, dlogp, dentropy)
    assert np.isnan(got[2, 3])
    same_bits(np.delete(got, 2, 0), np.delete(clean, 2, 0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(9, 5), (3, 700)])
def test_in_place_is_out_of_place(rng, dtype, shape):
    x, a, _, dlogp, dentropy = inputs(rng, dtype, shape)
    expected = F.bernoulli_backward(x, a, dlogp, dentropy, bound=0.1)
    same_bits(F.bernoulli_backward(x, a, dlogp, dentropy, bound=0.1, out=x), expected)


def test_any_number_of_threads_gives_the_same_bits(rng):
    x, a, u, dlogp, dentropy = inputs(rng, np.float32, (5000, 17))
    same_for_any_threads(lambda: (
        *F.bernoulli_sample(x, u), F.bernoulli_entropy(x),
        F.bernoulli_backward(x, a, dlogp, dentropy), F.bernoulli_kl(x, -x)))


def test_float64_uniforms_never_round_up_to_one():
    u = np.array([[1 - 2.0**-53]])
    assert F.bernoulli_sample(np.array([[50]], np.float32), u)[0].tolist() == [[1]]


def test_errors_name_argument_has_and_expected(rng):
    x, a, u, dlogp, _ = inputs(rng, np.float64, (6000, 3))
    for bad in (np.nan, np.inf, -np.inf):
        y = x.copy()
        y[[4000, 5999], 1] = bad
        with pytest.raises(FloatingPointError, match="logits is not finite at row 4000, expected"):
            F.bernoulli_sample(y, u)
    u[2, 1] = 1.0
    with pytest.raises(ValueError, match=r"uniforms is not allowed at row 2, expected .*\[0, 1\)"):
        F.bernoulli_sample(x, u)
    a[[5000, 70], 2] = 2
    with pytest.raises(ValueError, match="actions holds 2, expected 0 or 1"):
        F.bernoulli_log_prob(x, a.astype(int))
    with pytest.raises(ValueError, match="actions holds -1, expected 0 or 1"):
        F.bernoulli_log_prob(x, -a.astype(int) % 2 - 1)
    with pytest.raises(ValueError, match="actions is not allowed at row 70, expected 0 or 1"):
        F.bernoulli_log_prob(x, a)
    with pytest.raises(ValueError, match="actions is not allowed at row 70, expected 0 or 1"):
        _core.bernoulli_forward(np.empty(6000), None, x, a, 0.0)
    with pytest.raises(ValueError, match="actions is not allowed at row 70"):
        _core.bernoulli_backward(np.empty_like(x), dlogp, None, x, a, 0.0)
    with pytest.raises(TypeError, match="actions has dtype float64, expected booleans or integers"):
        F.bernoulli_log_prob(x, a.astype(float))
    with pytest.raises(TypeError, match="actions is None, expected an array where logp is given"):
        _core.bernoulli_forward(np.empty(6000), None, x, None, 0.0)
    for bound in (-0.1, 0.5, np.nan):
        with pytest.raises(ValueError, match=f"bound is {bound}, expected 0 <= bound < 0.5"):
            F.bernoulli_entropy(x, bound=bound)
    with pytest.raises(ValueError, match=r"actions has shape \(2, 3\), expected \(6000, 3\)"):
        F.bernoulli_log_prob(x, a[:2])
    with pytest.raises(ValueError, match=r"dlogp has shape \(2,\), expected \(6000,\)"):
        F.bernoulli_backward(x, a % 2, dlogp[:2])
    with pytest.raises(ValueError, match="logits has 0 dimensions, expected at least 1"):
        F.bernoulli_entropy(0.0)
    with pytest.raises(ValueError, match="entropy overlaps logits"):
        _core.bernoulli_forward(None, x.reshape(-1)[:6000], x, None, 0.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_torch(rng, dtype):
    torch = pytest.importorskip("torch")
    x, a, _, dlogp, dentropy = inputs(rng, dtype, (33, 7))
    t = torch.tensor(x, requires_grad=True)
    d = torch.distributions.Bernoulli(logits=t)
    logp, entropy = d.log_prob(torch.tensor(a.astype(dtype))).sum(-1), d.entropy().sum(-1)
    (logp @ torch.tensor(dlogp) + entropy @ torch.tensor(dentropy)).backward()
    close(F.bernoulli_log_prob(x, a), logp.detach().numpy())
    close(F.bernoulli_entropy(x), entropy.detach().numpy())
    close(F.bernoulli_backward(x, a, dlogp, dentropy), t.grad.numpy())
    q = torch.distributions.Bernoulli(logits=torch.tensor(x[::-1].copy()))
    close(F.bernoulli_kl(x, x[::-1]),
          torch.distributions.kl_divergence(d, q).sum(-1).detach().numpy())
