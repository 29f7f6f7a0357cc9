"""Categorical choices against their twin, central differences, PyTorch and enumeration."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import categorical as ref

SHAPES = [(1, 1), (7, 19), (130, 8), (2, 3, 5), (3, 5000), (0, 5)]


def inputs(rng, dtype, shape=(7, 19)):
    rows = shape[:-1]
    return ((3 * rng.standard_normal(shape)).astype(dtype), rng.integers(0, shape[-1], rows),
            rng.random(rows, dtype), rng.standard_normal(rows).astype(dtype),
            rng.standard_normal(rows).astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("masked", (False, True))
def test_agrees_with_twin(rng, dtype, shape, masked):
    x, a, u, dlogp, dentropy = inputs(rng, dtype, shape)
    if masked:
        x[..., ::3] = -np.inf
        x[..., 0] = 1
        a -= a % 3 == 0
        a[a < 0] = 0
    y = (x + rng.standard_normal(shape)).astype(dtype)
    exact, other = x.astype(float), y.astype(float)
    for got, expected in (
        (F.categorical_log_prob(x, a), ref.categorical_log_prob(exact, a)),
        (F.categorical_entropy(x), ref.categorical_entropy(exact)),
        (F.categorical_backward(x, a, dlogp, dentropy),
         ref.categorical_backward(exact, a, dlogp, dentropy)),
        (F.categorical_kl(x, y), ref.categorical_kl(exact, other)),
        *zip(F.categorical_kl_backward(dlogp, x, y),
             ref.categorical_kl_backward(dlogp, exact, other), strict=True),
    ):
        assert got.dtype == dtype
        close(got, expected)
    actions, logp = F.categorical_sample(x, u)
    assert actions.dtype == np.int64 and actions.shape == shape[:-1]
    if dtype == np.float64:
        np.testing.assert_array_equal(actions, ref.categorical_sample(exact, u)[0])
    close(logp, ref.categorical_log_prob(exact, actions))
    assert np.all(np.isfinite(logp))


def test_gradients_by_central_differences(rng):
    x, a, _, dlogp, dentropy = inputs(rng, np.float64, (3, 5))
    y = rng.standard_normal(x.shape)
    np.testing.assert_allclose(
        F.categorical_backward(x, a, dlogp, None),
        central_difference(lambda v: F.categorical_log_prob(v, a), x, dlogp), atol=1e-7)
    np.testing.assert_allclose(
        F.categorical_backward(x, a, None, dentropy),
        central_difference(F.categorical_entropy, x, dentropy), atol=1e-7)
    dp, dq = F.categorical_kl_backward(dlogp, x, y)
    np.testing.assert_allclose(
        dp, central_difference(lambda v: F.categorical_kl(v, y), x, dlogp), atol=1e-7)
    np.testing.assert_allclose(
        dq, central_difference(lambda v: F.categorical_kl(x, v), y, dlogp), atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_frequencies_follow_probabilities(rng, dtype):
    x = np.tile(np.array([0.5, -np.inf, -1.0, 2.0, -np.inf], dtype), (40000, 1))
    actions, _ = F.categorical_sample(x, rng.random(len(x)))
    p = np.exp(ref.categorical_log_prob(x[:5].astype(float), np.arange(5)))
    found = np.bincount(actions, minlength=5) / len(x)
    assert found[1] == found[4] == 0
    assert np.all(np.abs(found - p) <= 5 * np.sqrt(p * (1 - p) / len(x)))


@pytest.mark.parametrize("k", (1, 2, 16, 17, 255, 4097, 65536))
def test_ends_of_the_unit_interval_draw_the_ends_of_the_row(rng, k):
    x = rng.standard_normal((1, k)).astype(np.float32)
    last = np.nextafter(np.float32(1), np.float32(0))
    assert F.categorical_sample(x, [0.0])[0] == 0
    assert 0 <= F.categorical_sample(x, np.array([last]))[0] < k
    if k > 2:
        x[0, [0, -1]] = -np.inf
        assert F.categorical_sample(x, [0.0])[0] == 1
        assert F.categorical_sample(x, np.array([last]))[0] <= k - 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_logits(dtype):
    x = np.array([[1e4, 0, -1e4], [-1e4, -1e4, -np.inf], [5, -np.inf, -np.inf]], dtype)
    one = np.ones(3, dtype)
    close(F.categorical_log_prob(x, [1, 0, 0]), [-1e4, -np.log(2), 0])
    assert F.categorical_log_prob(x, [0, 2, 1]).tolist() == [0, -np.inf, -np.inf]
    close(F.categorical_entropy(x), [0, np.log(2), 0])
    close(F.categorical_backward(x, [1, 0, 0], one, one), [[-1, 1, 0], [0.5, -0.5, 0], [0, 0, 0]])
    close(F.categorical_kl(x[:2], x[1:]), [np.log(2), np.inf])
    np.testing.assert_array_equal(F.categorical_sample(x, one * 0.25)[0], 0)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40),
                  elements=st.floats(-1e4, 1e4) | st.just(-np.inf)),
       st.floats(0, 1, exclude_max=True))
def test_any_logits_with_a_choice(x, u):
    x[:, 0] = np.maximum(x[:, 0], -1e4)
    a, logp = F.categorical_sample(x, np.full(len(x), u))
    one = np.ones(len(x))
    assert np.all(np.isfinite(logp))
    close(logp, ref.categorical_log_prob(x, a))
    entropy = F.categorical_entropy(x)
    assert np.all((entropy >= -1e-12) & (entropy <= np.log(x.shape[1]) + 1e-12))
    close(F.categorical_backward(x, a, one, one), ref.categorical_backward(x, a, one, one))


@pytest.mark.parametrize("bad", ([np.nan, 0], [np.inf, 0], [-np.inf, -np.inf]))
def test_rows_without_a_distribution(bad):
    x = np.zeros((5000, 2))
    x[[3000, 4999]] = bad
    zero = np.zeros(5000, int)
    for got in (F.categorical_log_prob(x, zero), F.categorical_entropy(x), F.categorical_kl(x, x)):
        assert np.isnan(got).nonzero()[0].tolist() == [3000, 4999]
    gradient = F.categorical_backward(x, zero, np.ones(5000))
    assert np.isnan(gradient).any(1).nonzero()[0].tolist() == [3000, 4999]
    with pytest.raises(FloatingPointError, match="logits is not finite at row 3000, expected"):
        F.categorical_sample(x, np.zeros(5000))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", (5, 16, 40))
def test_in_place_is_out_of_place(rng, dtype, k):
    x, a, _, dlogp, dentropy = inputs(rng, dtype, (9, k))
    expected = F.categorical_backward(x, a, dlogp, dentropy)
    same_bits(F.categorical_backward(x, a, dlogp, dentropy, out=x), expected)


def test_any_number_of_threads_gives_the_same_bits(rng):
    x, a, u, dlogp, dentropy = inputs(rng, np.float32, (5000, 17))
    same_for_any_threads(lambda: (
        *F.categorical_sample(x, u), F.categorical_entropy(x),
        F.categorical_backward(x, a, dlogp, dentropy), F.categorical_kl(x, -x)))


def test_errors_name_argument_has_and_expected(rng):
    x, a, u, dlogp, _ = inputs(rng, np.float64, (6000, 3))
    for bad in (-1, 3):
        b = a.copy()
        b[[70, 5000]] = bad
        with pytest.raises(IndexError, match="actions is out of range at row 70, expected 0 <="):
            F.categorical_log_prob(x, b)
        with pytest.raises(IndexError, match="actions is out of range at row 70"):
            F.categorical_backward(x, b, dlogp)
    for bad in (-0.5, 1.0, np.nan):
        v = u.copy()
        v[2] = bad
        with pytest.raises(ValueError, match="uniforms is not allowed at row 2, expected numbers"):
            F.categorical_sample(x, v)
    with pytest.raises(TypeError, match="actions has dtype float64, expected integers"):
        F.categorical_log_prob(x, a.astype(float))
    with pytest.raises(ValueError, match=r"uniforms has shape \(6000, 3\), expected \(6000,\)"):
        F.categorical_sample(x, x)
    with pytest.raises(FloatingPointError, match="logits is not finite at row 0"):
        F.categorical_sample(np.zeros((2, 0)), np.zeros(2))
    with pytest.raises(TypeError, match="actions is None, expected an array where dlogp is given"):
        _core.categorical_backward(np.empty_like(x), dlogp, None, x, None)


@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_torch(rng, dtype):
    torch = pytest.importorskip("torch")
    x, a, _, dlogp, dentropy = inputs(rng, dtype, (33, 7))
    t = torch.tensor(x, requires_grad=True)
    d = torch.distributions.Categorical(logits=t)
    logp, entropy = d.log_prob(torch.tensor(a)), d.entropy()
    (logp @ torch.tensor(dlogp) + entropy @ torch.tensor(dentropy)).backward()
    close(F.categorical_log_prob(x, a), logp.detach().numpy())
    close(F.categorical_entropy(x), entropy.detach().numpy())
    close(F.categorical_backward(x, a, dlogp, dentropy), t.grad.numpy())
    q = torch.distributions.Categorical(logits=torch.tensor(x[::-1].copy()))
    close(F.categorical_kl(x, x[::-1]), torch.distributions.kl_divergence(d, q).detach().numpy())
