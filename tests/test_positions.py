"""Tables, rotations and biases against their twin and closed forms."""

import math

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads

from gatelearn import _core, nn
from gatelearn import functional as F
from gatelearn._reference import positions as ref


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("T, C", [(0, 4), (1, 1), (9, 6), (50, 7), (3, 0)])
def test_sinusoids_by_the_formula(dtype, T, C):
    table = F.sinusoidal_positions(T, C, 100.0, dtype)
    assert table.shape == (T, C) and table.dtype == dtype
    for t in range(T):
        for c in range(C):
            angle = t / 100.0 ** ((c - c % 2) / C)
            close(table[t, c], math.cos(angle) if c % 2 else math.sin(angle))


def test_a_shift_of_sinusoids_is_a_rotation():
    """The row of t + 5 is the same linear map of the row of t, for every t."""
    table = F.sinusoidal_positions(40, 8, 10.0, float)
    shift, *_ = np.linalg.lstsq(table[:-5], table[5:], rcond=None)
    close(table[:-5] @ shift, table[5:])
    close(shift @ shift.T, np.eye(8))


def test_tables_are_shared_and_read_only():
    assert F.sinusoidal_positions(7, 4) is F.sinusoidal_positions(7, 4)
    cosine, sine = F.rotary_tables(7, 4)
    assert cosine is F.rotary_tables(7, 4)[0] and cosine.dtype == np.float32
    for table in (cosine, sine, F.sinusoidal_positions(7, 4)):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3, 5, 8), (1, 1, 1, 2), (2, 2, 600, 34), (0, 2, 3, 4),
                                   (2, 0, 3, 4), (2, 2, 0, 4), (2, 2, 3, 0)])
def test_rotary_agrees_with_the_twin(rng, dtype, shape):
    x = rng.standard_normal(shape).astype(dtype)
    tables = F.rotary_tables(*shape[2:], dtype=dtype)
    got = F.rotary(x, *tables)
    assert got.dtype == dtype
    close(got, ref.rotary(x.astype(float), ref.rotary_angle(*shape[2:])))
    close(F.rotary(got, *tables, inverse=True), x)
    # in place, and in views of one projection
    many = np.zeros((shape[0], shape[2], 3, shape[1], shape[3]), dtype)
    view, other = (many[:, :, i].transpose(0, 2, 1, 3) for i in range(2))
    view[...] = x
    assert F.rotary(view, *tables, out=other) is other
    same_bits(other, got)
    F.rotary(view, *tables, out=view)
    same_bits(view, got)
    assert not many[:, :, 2].any()


def test_rotary_keeps_norms_and_relative_positions(rng):
    T, D, shift = 30, 16, 11
    query, key = rng.standard_normal((2, D))
    cosine, sine = F.rotary_tables(T + shift, D, dtype=float)
    every = np.broadcast_to(np.stack([query, key])[:, None], (2, T + shift, D))[None]
    q, k = F.rotary(every, cosine, sine)[0]
    close(np.linalg.norm(q, axis=1), np.full(T + shift, np.linalg.norm(query)))
    score = q @ k.T
    close(score[shift:, shift:], score[:-shift, :-shift])
    # and they do depend on it
    assert np.ptp(score[0]) > 1
    # a later part of the tables is for a later part of the sequence
    same_bits(F.rotary(every[:, :, shift:], cosine[shift:], sine[shift:])[0, 0], q[shift:])


def test_the_gradient_of_rotary_is_its_inverse(rng):
    x, dout = rng.standard_normal((2, 1, 2, 3, 6))
    tables = F.rotary_tables(3, 6, dtype=float)
    expected = central_difference(lambda v: F.rotary(v, *tables), x, dout)
    np.testing.assert_allclose(F.rotary(dout, *tables, inverse=True), expected, atol=1e-8)


def test_any_number_of_threads_gives_the_same_bits(rng):
    x = rng.standard_normal((2, 2, 700, 10)).astype(np.float32)
    same_for_any_threads(lambda: [F.rotary(x, *F.rotary_tables(700, 10))])


def test_nan_stays_in_its_pair(rng):
    x = rng.standard_normal((1, 2, 3, 8))
    clean = F.rotary(x, *F.rotary_tables(3, 8, dtype=float))
    x[0, 1, 2, 5] = np.nan
    got = F.rotary(x, *F.rotary_tables(3, 8, dtype=float))
    np.testing.assert_array_equal(np.argwhere(np.isnan(got)), [[0, 1, 2, 1], [0, 1, 2, 5]])
    same_bits(got[~np.isnan(got)], clean[~np.isnan(got)])


def test_empty_arrays_of_endless_heads_return_at_once():
    x = np.empty((2**29, 2**29, 1, 0))
    assert F.rotary(x, *F.rotary_tables(1, 0, dtype=float)).shape == x.shape


def test_slopes():
    np.testing.assert_array_equal(F.alibi_slopes(1), [2.0**-8])
    np.testing.assert_array_equal(F.alibi_slopes(8), 2.0 ** -np.arange(1, 9))
    close(F.alibi_slopes(16, float), 2.0 ** (-np.arange(1, 17) / 2))
    # 12 heads: those of 8, then the first, third, fifth and seventh of 16
    sixteen = F.alibi_slopes(16, float)
    close(F.alibi_slopes(12, float), np.concatenate([F.alibi_slopes(8, float), sixteen[:8:2]]))
    for H in range(1, 40):
        slopes = F.alibi_slopes(H)
        assert slopes.shape == (H,) and slopes.dtype == np.float32 and len(set(slopes)) == H
        assert (slopes > 0).all() and (slopes < 1).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("Tq, Tk", [(4, 4), (1, 6), (5, 2), (0, 3), (3, 0)])
def test_bias(dtype, Tq, Tk):
    slopes = F.alibi_slopes(3, dtype)
    bias = F.alibi_bias(slopes, Tq, Tk)
    assert bias.shape == (3, Tq, Tk) and bias.dtype == dtype
    for h, t, s in np.ndindex(bias.shape):
        assert bias[h, t, s] == -slopes[h] * abs(t - s)


def test_linear_biases_look_at_what_is_near():
    """With scores of 0, weights of a causal row fall with the distance by exp(-slope)."""
    slopes, x = F.alibi_slopes(2, float), np.zeros((1, 2, 6, 3))
    weights = F.attention_weights(x, x, is_causal=True, bias=F.alibi_bias(slopes, 6, 6))
    close(weights[0, :, 5, 1:] / weights[0, :, 5, :-1], np.exp(slopes)[:, None].repeat(5, 1))
    close(F.attention_weights(x, x, is_causal=True, alibi_slopes=slopes), weights)


@pytest.mark.parametrize("call, kind, message", [
    (lambda: F.sinusoidal_positions(-1, 4), ValueError, "T is -1, expected at least 0"),
    (lambda: F.sinusoidal_positions(1, -4), ValueError, "C is -4, expected at least 0"),
    (lambda: F.sinusoidal_positions(1, 4, 0.0), ValueError, "base is 0.0, expected a finite numb"),
    (lambda: F.sinusoidal_positions(1, 4, np.inf), ValueError, "base is inf, expected a finite nu"),
    (lambda: F.sinusoidal_positions(1, 4, dtype=int), TypeError, "dtype is int64, expected float3"),
    (lambda: F.rotary_tables(3, 5), ValueError, "D is 5, expected an even number"),
    (lambda: F.rotary_tables(3, -2), ValueError, "D is -2, expected at least 0"),
    (lambda: F.rotary_tables(-3, 2), ValueError, "T is -3, expected at least 0"),
    (lambda: F.rotary_tables(3, 2, dtype="f2"), TypeError, "dtype is float16, expected float32 or"),
    (lambda: F.alibi_slopes(0), ValueError, "H is 0, expected at least 1"),
    (lambda: F.alibi_slopes(2, "c16"), TypeError, "dtype is complex128, expected float32 or float"),
    (lambda: F.alibi_bias(np.ones((2, 1)), 1, 1), ValueError, "slopes has 2 dimensions, expected"),
    (lambda: F.alibi_bias([1.0], -1, 1), ValueError, "Tq is -1, expected at least 0"),
    (lambda: F.alibi_bias([1.0], 1, -1), ValueError, "Tk is -1, expected at least 0"),
    (lambda: F.alibi_bias([1j], 1, 1), TypeError, "slopes has dtype complex128, expected float32"),
])
def test_errors_of_tables(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_errors_of_rotary():
    x, table = np.ones((1, 2, 3, 4)), np.ones((3, 2))
    for args, kind, message in [
        ((x[0], table, table), ValueError, "x has 3 dimensions, expected 4"),
        ((x[..., :3], table, table), ValueError, r"x.shape\[3\] is 3, expected an even number"),
        ((x, table[:2], table), ValueError, r"cosine has shape \(2, 2\), expected \(3, 2\)"),
        ((x, table, table[:, :1]), ValueError, r"sine has shape \(3, 1\), expected \(3, 2\)"),
        ((x.astype(int) + 1j, table, table), TypeError, "x has dtype complex128, expected float32"),
    ]:
        with pytest.raises(kind, match=message):
            F.rotary(*args)
    with pytest.raises(ValueError, match=r"out has shape \(1, 2, 3, 2\), expected \(1, 2, 3, 4\)"):
        F.rotary(x, table, table, out=np.ones((1, 2, 3, 2)))
    with pytest.raises(ValueError, match=r"rotary: out.shape\[3\] is 4, expected 2R = 6"):
        _core.rotary(x.copy(), x, np.ones((3, 3)), np.ones((3, 3)), False)
    wide = np.ones((1, 2, 4, 4))
    with pytest.raises(ValueError, match="out overlaps x, expected separate memory"):
        F.rotary(wide[:, :, 1:], table, table, out=wide[:, :, :3])


def test_layers_add_positions(rng):
    x = rng.standard_normal((2, 5, 6)).astype(np.float32)
    same_bits(nn.SinusoidalPositions(50.0).forward(x)[0], x + F.sinusoidal_positions(5, 6, 50.0))
    layer = nn.LearnedPositions(8, 6, std=3.0).build(seed=0)
    assert 2 < layer.param["table"].std() < 4
    y, saved = layer.forward(x)
    same_bits(y, x + layer.param["table"][:5])
    layer.backward(np.ones_like(y), saved)
    np.testing.assert_array_equal(layer.grad["table"], np.repeat([[2.0], [0.0]], [5, 3], 0)
                                  * np.ones(6))


def test_errors_of_layers():
    layer = nn.LearnedPositions(4, 3).build()
    for x, kind, message in [
        (np.zeros((1, 5, 3), np.float32), ValueError,
         r"x.shape\[1\] is 5, expected at most max_length = 4"),
        (np.zeros((1, 4, 2), np.float32), ValueError,
         r"x has shape \(1, 4, 2\), expected \(B, T, 3\)"),
        (np.zeros((1, 4, 3)), TypeError, "x has dtype float64, expected float32 as the parameters"),
    ]:
        with pytest.raises(kind, match=message):
            layer.forward(x)
    with pytest.raises(ValueError, match="x has 2 dimensions, expected 3"):
        nn.SinusoidalPositions().forward(np.zeros((4, 3)))
