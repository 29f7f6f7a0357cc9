"""Rankings against their twin, central differences, PyTorch, enumeration and the categorical."""

import itertools
import math

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import plackett_luce as ref

SHAPES = [((1, 1), 1), ((7, 19), 5), ((130, 8), 8), ((2, 3, 5), 2), ((3, 5000), 700), ((0, 5), 2)]


def inputs(rng, dtype, shape=(7, 19), k=5):
    """Logits, any rankings of k, uniforms, a gradient of the log-probability."""
    rows = shape[:-1]
    return ((3 * rng.standard_normal(shape)).astype(dtype),
            rng.random(shape).argsort(-1)[..., :k], rng.random(shape, dtype),
            rng.standard_normal(rows).astype(dtype))


def every(K, k):
    return np.array(list(itertools.permutations(range(K), k)))


def probabilities(x, rankings):
    return np.exp(F.plackett_luce_log_prob(np.tile(x, (len(rankings), 1)), rankings))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, k", SHAPES)
@pytest.mark.parametrize("masked", (False, True))
def test_agrees_with_twin(rng, dtype, shape, k, masked):
    x, rankings, u, dlogp = inputs(rng, dtype, shape, k)
    if masked:
        x[..., 1::3] = -np.inf
        k = min(k, np.isfinite(x).sum(-1).min(initial=shape[-1]))
    exact = x.astype(float)
    for got, expected in (
        (F.plackett_luce_log_prob(x, rankings), ref.plackett_luce_log_prob(exact, rankings)),
        (F.plackett_luce_backward(x, rankings, dlogp),
         ref.plackett_luce_backward(exact, rankings, dlogp)),
    ):
        assert got.dtype == dtype
        close(got, expected)
    drawn, logp = F.plackett_luce_sample(x, u, k)
    assert drawn.dtype == np.int64 and drawn.shape == (*shape[:-1], k)
    if dtype == np.float64:
        np.testing.assert_array_equal(drawn, ref.plackett_luce_sample(exact, u, k)[0])
    close(logp, ref.plackett_luce_log_prob(exact, drawn))
    same_bits(logp, F.plackett_luce_log_prob(x, drawn))
    assert np.all(np.isfinite(logp))


@pytest.mark.parametrize("k", (1, 2, 5))
def test_gradient_by_central_differences(rng, k):
    x, rankings, _, dlogp = inputs(rng, np.float64, (3, 5), k)
    np.testing.assert_allclose(
        F.plackett_luce_backward(x, rankings, dlogp),
        central_difference(lambda v: F.plackett_luce_log_prob(v, rankings), x, dlogp), atol=1e-7)
    rankings = np.tile([3, 0, 1][:k], (3, 1))
    x[:, 4] = -np.inf
    gradient = F.plackett_luce_backward(x, rankings, dlogp)
    np.testing.assert_allclose(
        gradient[:, :4], central_difference(lambda v: F.plackett_luce_log_prob(
            np.column_stack([v, x[:, 4]]), rankings), x[:, :4], dlogp), atol=1e-7)
    np.testing.assert_array_equal(gradient[:, 4], 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", (1, 2, 3, 4))
def test_probabilities_of_all_rankings_sum_to_one(dtype, k):
    x = np.array([0.5, -1.0, 2.0, -3.0, 0.0], dtype)
    close(probabilities(x, every(5, k)).sum(), 1)
    x[1] = -np.inf
    p = probabilities(x, every(5, k))
    close(p.sum(), 1)
    assert np.all((p == 0) == (every(5, k) == 1).any(1))


# the quantile of a chi-square at 0.999 by its degrees of freedom
CHI_SQUARE = {1: 10.83, 5: 20.52, 11: 31.26, 23: 49.73}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("x, k, freedom", [
    ([0.5, -1.0, 2.0, 0.0], 2, 11),
    ([0.5, -1.0, 1.0, 0.0], 4, 23),
    ([0.5, -np.inf, -1.0, 0.2, -np.inf], 3, 5),
    ([0.0, -1e5, -99999.0, -np.inf], 2, 1),  # of the second place, far below the first
])
def test_frequencies_follow_probabilities(rng, dtype, x, k, freedom):
    rankings = every(len(x), k)
    p = probabilities(np.array(x, dtype), rankings).astype(float)
    rankings, p = rankings[p > 1e-9], p[p > 1e-9]
    assert len(p) == freedom + 1
    many = np.tile(np.array(x, dtype), (60000, 1))
    drawn, _ = F.plackett_luce_sample(many, rng.random(many.shape, dtype), k)
    found = (drawn[:, None] == rankings).all(-1).sum(0)
    assert found.sum() == len(many)
    expected = len(many) * p
    assert ((found - expected)**2 / expected).sum() < CHI_SQUARE[freedom]


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_place_is_a_categorical(rng, dtype):
    x, rankings, _, dlogp = inputs(rng, dtype, (40, 19), 1)
    x[:, ::4] = -np.inf
    close(F.plackett_luce_log_prob(x, rankings), F.categorical_log_prob(x, rankings[:, 0]))
    close(F.plackett_luce_backward(x, rankings, dlogp),
          F.categorical_backward(x, rankings[:, 0], dlogp))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("K, k", [(1, 1), (6, 6), (100, 7), (3000, 2999), (70000, 300)])
def test_the_best_in_order_and_of_equals_the_first(rng, dtype, K, k):
    x = rng.integers(0, 9, (2, K)).astype(dtype)
    drawn, _ = F.plackett_luce_sample(x, np.full((2, K), 0.5), k)
    np.testing.assert_array_equal(drawn, np.argsort(-x, -1, kind="stable")[:, :k])


@pytest.mark.parametrize("dtype", DTYPES)
def test_ends_of_the_unit_interval(dtype):
    last = np.nextafter(dtype(1), dtype(0))
    x = np.array([[0, 1, -np.inf, 2]], dtype)
    assert F.plackett_luce_sample(x, np.zeros((1, 4)), 3)[0].tolist() == [[3, 1, 0]]
    assert F.plackett_luce_sample(x, np.array([[last, 0, last, 0]]), 3)[0].tolist() == [[0, 3, 1]]
    tiny = np.finfo(dtype).tiny
    same_bits(F.plackett_luce_sample(x, np.zeros((1, 4)), 2)[0],
              F.plackett_luce_sample(x, np.full((1, 4), tiny), 2)[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_logits(dtype):
    """What is left after the largest is gone is not what rounding leaves of a difference."""
    x = np.array([[1000, 0, 0], [1e30, 1e30, -1e30], [-1e30, 7, -np.inf], [3, 2, 1]], dtype)
    rankings = [[0, 1], [1, 0], [1, 0], [2, 1]]
    close(F.plackett_luce_log_prob(x, rankings),
          [-np.log(2), -np.log(2), 0,
           -np.log(1 + np.e + np.e**2) - np.log(1 + np.e)])
    p = 1 / (1 + np.exp(1.0))
    q = np.exp([3.0, 2, 1]) / np.exp([3.0, 2, 1]).sum()
    close(F.plackett_luce_backward(x, rankings, np.ones(4)),
          [[0, 0.5, -0.5], [-0.5, 0.5, 0], [0, 0, 0], [-q[0] - 1 + p, 1 - q[1] - p, 1 - q[2]]])
    close(F.plackett_luce_log_prob(x[:1], [[1, 2, 0]]), [-2000])
    drawn, logp = F.plackett_luce_sample(x[2:3], np.full((1, 3), 0.3), 2)
    assert drawn.tolist() == [[1, 0]] and logp[0] == 0
    drawn, _ = F.plackett_luce_sample(x[1:2], np.array([[0.4, 0.5, 0.6]]), 3)
    assert drawn.tolist() == [[1, 0, 2]]
    most = np.array([[-np.inf, np.finfo(dtype).min, np.finfo(dtype).max]])
    assert F.plackett_luce_sample(most, np.full((1, 3), 0.5), 2)[0].tolist() == [[2, 1]]
    low = np.array([[0, -1e6, -1e6]], dtype)
    drawn, _ = F.plackett_luce_sample(low, np.array([[0.5, 0.5, 0.50001]]), 3)
    assert drawn.tolist() == [[0, 2, 1]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_long_rankings_keep_their_digits(rng, dtype):
    K = 20000
    logp = F.plackett_luce_log_prob(np.full((1, K), 7, dtype), rng.permutation(K)[None])
    np.testing.assert_allclose(logp, -math.lgamma(K + 1), rtol=max(1e-12, 8 * np.finfo(dtype).eps))
    x = (5 * rng.standard_normal((1, K))).astype(dtype)
    one = np.ones(1)
    for ranking in (np.argsort(x), np.argsort(-x)):  # what is left falls and rises
        got = F.plackett_luce_log_prob(x, ranking)
        ordered = np.take_along_axis(x.astype(np.longdouble), ranking, 1)[0]
        left = np.cumsum(np.exp(ordered)[::-1])[::-1]
        np.testing.assert_allclose(got, float((ordered - np.log(left)).sum()),
                                   rtol=max(1e-12, 8 * np.finfo(dtype).eps))
        expected = np.empty_like(ordered)
        expected[ranking[0]] = 1 - np.exp(ordered) * np.cumsum(1 / left)
        np.testing.assert_allclose(F.plackett_luce_backward(x, ranking, one)[0],
                                   expected.astype(float), rtol=1e-5, atol=1e-6)


def test_masked_choices_that_are_ranked():
    x = np.array([[0, -np.inf, 1, -np.inf]])
    for ranking in ([1, 0], [0, 1, 3, 2], [0, 2, 1], [3, 1]):
        assert F.plackett_luce_log_prob(x, [ranking])[0] == -np.inf
        gradient = F.plackett_luce_backward(x, [ranking], [1.0])
        close(gradient, ref.plackett_luce_backward(x, np.array([ranking]), np.ones(1)))
        assert [gradient[0, c] for c in (1, 3)] == [float(c in ranking) for c in (1, 3)]
    np.testing.assert_array_equal(F.plackett_luce_backward(x, [[1, 0]], [0.0]), 0)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40),
                  elements=st.floats(-1e4, 1e4) | st.just(-np.inf)), st.data())
def test_any_logits_with_enough_choices(x, data):
    x[:, 0] = np.maximum(x[:, 0], -1e4)
    k = data.draw(st.integers(1, int(np.isfinite(x).sum(1).min())))
    u = data.draw(hnp.arrays(np.float64, x.shape, elements=st.floats(0, 1, exclude_max=True)))
    drawn, logp = F.plackett_luce_sample(x, u, k)
    assert all(len(set(row)) == k for row in drawn.tolist())
    assert np.isfinite(np.take_along_axis(x, drawn, 1)).all()
    close(logp, ref.plackett_luce_log_prob(x, drawn))
    gradient = F.plackett_luce_backward(x, drawn, np.ones(len(x)))
    close(gradient, ref.plackett_luce_backward(x, drawn, np.ones(len(x))))
    np.testing.assert_allclose(gradient.sum(1), 0, atol=1e-9)


@pytest.mark.parametrize("bad", ([np.nan, 0, 1], [0, np.inf, 1], [-np.inf] * 3, [1, 0, np.nan],
                                 [np.nan, -np.inf, -np.inf], [np.inf, -np.inf, np.inf]))
def test_rows_without_a_distribution(bad):
    x = np.zeros((5000, 3))
    x[[3000, 4999]] = bad
    for ranking in ([0], [2, 1], [1, 0, 2]):
        rankings = np.tile(ranking, (5000, 1))
        logp = F.plackett_luce_log_prob(x, rankings)
        assert np.isnan(logp).nonzero()[0].tolist() == [3000, 4999]
        gradient = F.plackett_luce_backward(x, rankings, np.ones(5000))
        assert np.isnan(gradient).all(1).nonzero()[0].tolist() == [3000, 4999]
        assert np.isfinite(gradient).all(1).sum() == 4998
        with pytest.raises(FloatingPointError, match="logits is not finite at row 3000, expected"):
            F.plackett_luce_sample(x, np.full(x.shape, 0.5), len(ranking))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("K, k", [(1, 1), (5, 2), (16, 16), (40, 7)])
def test_in_place_is_out_of_place(rng, dtype, K, k):
    x, rankings, _, dlogp = inputs(rng, dtype, (9, K), k)
    expected = F.plackett_luce_backward(x, rankings, dlogp)
    same_bits(F.plackett_luce_backward(x, rankings, dlogp, out=x), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_strided_arrays_are_read_as_they_are(rng, dtype):
    x, rankings, u, dlogp = inputs(rng, dtype, (6, 10), 3)
    wide = [np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2] for a in (x, rankings, u)]
    assert not any(a.flags.c_contiguous for a in wide)
    x_s, rankings_s, u_s = wide
    for a, b in zip(F.plackett_luce_sample(x_s, u_s, 4), F.plackett_luce_sample(x, u, 4),
                    strict=True):
        same_bits(a, b)
    same_bits(F.plackett_luce_log_prob(x_s[::-1], rankings_s[::-1]),
              F.plackett_luce_log_prob(x, rankings)[::-1])
    same_bits(F.plackett_luce_backward(x_s, rankings_s.astype(np.int32), np.repeat(dlogp, 2)[::2]),
              F.plackett_luce_backward(x, rankings, dlogp))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_single_choice_is_certain(dtype):
    x = np.array([[-3.0], [1e30]], dtype)
    drawn, logp = F.plackett_luce_sample(x, np.zeros((2, 1)), 1)
    assert drawn.tolist() == [[0], [0]] and logp.tolist() == [0, 0]
    assert F.plackett_luce_backward(x, drawn, np.ones(2)).tolist() == [[0], [0]]
    assert F.plackett_luce_log_prob(np.zeros(4), [1, 0]).shape == ()


def test_any_number_of_threads_gives_the_same_bits(rng):
    x, rankings, u, dlogp = inputs(rng, np.float32, (5000, 17), 6)
    same_for_any_threads(lambda: (
        *F.plackett_luce_sample(x, u, 6), F.plackett_luce_log_prob(x, rankings),
        F.plackett_luce_backward(x, rankings, dlogp)))


def test_errors_name_argument_has_and_expected(rng):
    x, rankings, u, dlogp = inputs(rng, np.float64, (6000, 3), 2)
    calls = (lambda r: F.plackett_luce_log_prob(x, r), lambda r: F.plackett_luce_backward(
        x, r, dlogp))
    for call in calls:
        for bad in (-1, 3, 2**62):
            r = rankings.copy()
            r[[70, 5000], 1] = bad
            with pytest.raises(IndexError, match="rankings is out of range at row 70, expected 0"):
                call(r)
        r = rankings.copy()
        r[[70, 5000]] = 1
        with pytest.raises(ValueError, match="rankings is not allowed at row 70, expected no ch"):
            call(r)
        with pytest.raises(ValueError, match=r"rankings.shape\[1\] is 4, expected at least 1 and "
                           "at most K = 3"):
            call(np.tile(np.arange(4), (6000, 1)))
        with pytest.raises(ValueError, match=r"rankings.shape\[1\] is 0, expected at least 1 and"):
            call(rankings[:, :0])
        with pytest.raises(ValueError, match=r"rankings has shape \(2, 2\), expected \(6000, 2\)"):
            call(rankings[:2])
        with pytest.raises(TypeError, match="rankings has dtype float64, expected integers"):
            call(rankings.astype(float))
    for bad in (-0.5, 1.0, np.nan):
        v = u.copy()
        v[2, 1] = bad
        with pytest.raises(ValueError, match="uniforms is not allowed at row 2, expected numbers"):
            F.plackett_luce_sample(x, v, 2)
    for k in (0, 4, -1):
        with pytest.raises(ValueError, match=f"k is {k}, expected at least 1 and at most K = 3"):
            F.plackett_luce_sample(x, u, k)
    with pytest.raises(ValueError, match=r"uniforms has shape \(6000,\), expected \(6000, 3\)"):
        F.plackett_luce_sample(x, u[:, 0], 2)
    with pytest.raises(ValueError, match=r"dlogp has shape \(6000, 3\), expected \(6000,\)"):
        F.plackett_luce_backward(x, rankings, x)
    x[[40, 4000], 1:] = -np.inf
    assert F.plackett_luce_sample(x, u, 1)[0][40] == 0
    with pytest.raises(FloatingPointError, match="logits is not finite at row 40, expected as many "
                       "finite logits as are ranked, and neither NaN nor "):
        F.plackett_luce_sample(x, u, 2)
    with pytest.raises(ValueError, match="dlogits overlaps logits, expected separate memory"):
        block = np.zeros(12)
        _core.plackett_luce_backward(block[:6].reshape(2, 3), np.zeros(2),
                                     block[3:9].reshape(2, 3), np.zeros((2, 1), np.int64))


@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_torch(rng, dtype):
    torch = pytest.importorskip("torch")
    x, rankings, _, dlogp = inputs(rng, dtype, (33, 7), 7)
    t = torch.tensor(x, requires_grad=True)
    ordered = t.gather(1, torch.tensor(rankings))
    places = ordered - ordered.flip(1).logcumsumexp(1).flip(1)
    for k in (1, 3, 7):
        logp = places[:, :k].sum(1)
        gradient, = torch.autograd.grad(logp @ torch.tensor(dlogp), t, retain_graph=True)
        close(F.plackett_luce_log_prob(x, rankings[:, :k]), logp.detach().numpy())
        close(F.plackett_luce_backward(x, rankings[:, :k], dlogp), gradient.numpy())
