"""Activations against their twins, central differences, PyTorch and themselves."""

import math

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads

from gatelearn import functional as F
from gatelearn._reference import activation as ref

# name: keywords, and whether backward takes the output
CASES = {"gelu": ({}, False), "gelu-none": ({"approximate": "none"}, False), "tanh": ({}, True),
         "relu": ({}, True), "sigmoid": ({}, True)}
SHAPES = [(), (0,), (1,), (17,), (3, 5, 7), (40_000,)]


def functions(case, module=F):
    """f(x, out=...), backward(dout, x or y), from_output"""
    name, (keywords, from_output) = case.split("-")[0], CASES[case]
    forward, backward = getattr(module, name), getattr(module, f"{name}_backward")
    return (lambda x, **k: forward(x, **keywords, **k),
            lambda d, v, **k: backward(d, v, **keywords, **k), from_output)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", CASES)
def test_forward_and_backward_agree_with_twin(rng, case, dtype, shape):
    f, backward, from_output = functions(case)
    g, g_backward, _ = functions(case, ref)
    x = np.asarray(3 * rng.standard_normal(shape)).astype(dtype)
    dout = np.asarray(rng.standard_normal(shape)).astype(dtype)
    y = f(x)
    assert y.dtype == dtype and y.shape == shape
    close(y, g(x.astype(float)))
    value = y if from_output else x
    close(backward(dout, value), g_backward(dout.astype(float), value.astype(float)))


@pytest.mark.parametrize("case", CASES)
def test_gradient_by_central_differences(rng, case):
    f, backward, from_output = functions(case)
    x, dout = 2 * rng.standard_normal(50), rng.standard_normal(50)
    np.testing.assert_allclose(backward(dout, f(x) if from_output else x),
                               central_difference(f, x, dout), atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_in_place_is_out_of_place(rng, case, dtype):
    f, backward, from_output = functions(case)
    x, dout = rng.standard_normal((2, 1001)).astype(dtype)
    y = f(x)
    value = y if from_output else x
    expected = backward(dout, value)
    same_bits(backward(dout, value.copy(), out=(d := dout.copy())), expected)
    same_bits(d, expected)
    v = value.copy()
    same_bits(backward(dout, v, out=v), expected)
    same_bits(f(x, out=x), y)


@pytest.mark.parametrize("case", CASES)
def test_any_number_of_threads_gives_the_same_bits(rng, case):
    f, backward, _ = functions(case)
    x, dout = rng.standard_normal((2, 100_001)).astype(np.float32)
    same_for_any_threads(lambda: (f(x), backward(dout, x)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_extremes(case, dtype):
    f, backward, from_output = functions(case)
    big = np.finfo(dtype).max
    x = np.array([np.nan, np.inf, big, 1e4, -1e4, -big], dtype)
    y = f(x)
    assert np.isnan(y[0])
    top = 1 if case in ("tanh", "sigmoid") else x[1:4]
    bottom = -1 if case == "tanh" else 0
    np.testing.assert_array_equal(y[1:4], top)
    np.testing.assert_array_equal(y[4:], bottom)
    d = backward(np.ones_like(x), y if from_output else x)
    np.testing.assert_array_equal(d[2:], 4 * [0] if bottom == -1 or case == "sigmoid"
                                  else [1, 1, 0, 0])
    assert np.isnan(d[0]) == (case != "relu")


@pytest.mark.parametrize("case", ["gelu", "gelu-none"])
def test_gelu_of_minus_inf_is_nan_as_in_pytorch(case):
    assert np.isnan(functions(case)[0](-np.inf))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_pytorch(rng, case, dtype):
    torch = pytest.importorskip("torch")
    f, backward, from_output = functions(case)
    x, dout = 3 * rng.standard_normal((2, 999)).astype(dtype)
    t = torch.tensor(x, requires_grad=True)
    if case.startswith("gelu"):
        y = torch.nn.functional.gelu(t, approximate="none" if case == "gelu-none" else "tanh")
    else:
        y = getattr(torch, case)(t)
    y.backward(torch.tensor(dout))
    close(f(x), y.detach().numpy())
    close(backward(dout, f(x) if from_output else x), t.grad.numpy())


def ulps(actual, expected):
    """Distance from a longdouble value in units of the last place of the actual array's type."""
    spacing = np.spacing(np.abs(expected).astype(actual.dtype))
    return np.abs(actual.astype(np.longdouble) - expected) / spacing


def grid(dtype, low, high, n=400_001):
    return np.linspace(low, high, n).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_is_within_1_1_ulps(dtype):
    # with a first logit of 0 and no other mass, exp(x) is the ratio of the two probabilities
    low = -86 if dtype == np.float32 else -700
    x = grid(dtype, low, -40)
    p = F.softmax(np.stack([np.zeros_like(x), x], -1))[:, 1]
    assert ulps(p, np.exp(x.astype(np.longdouble))).max() <= 1.1


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_extremes(dtype):
    tiny = np.finfo(dtype).tiny
    x = np.array([0, -np.inf, np.log(tiny) - 1, -np.finfo(dtype).max], dtype)
    np.testing.assert_array_equal(F.softmax(x), [1, 0, 0, 0])
    np.testing.assert_array_equal(F.sigmoid(x[[1, 3]]), 0)
    np.testing.assert_array_equal(F.sigmoid(-x[1:]), 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("span", [1e-3, 0.3, 3, 30])
def test_tanh_and_sigmoid_are_within_three_ulps(dtype, span):
    x = grid(dtype, -span, span)
    exact = x.astype(np.longdouble)
    assert ulps(F.tanh(x), np.tanh(exact)).max() <= 3
    assert ulps(F.sigmoid(x), 1 / (1 + np.exp(-exact))).max() <= 3


@pytest.mark.parametrize("dtype, bound", [(np.float32, 3e-7), (np.float64, 1e-15)])
def test_exact_gelu_is_within_its_bound(dtype, bound):
    x = grid(dtype, -10, 10, 20_001)
    expected = [v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x.astype(float)]
    error = np.abs(F.gelu(x, approximate="none") - expected) / np.maximum(1, np.abs(x))
    assert error.max() <= bound


def test_errors_name_argument_has_and_expected():
    x = np.zeros((2, 3))
    with pytest.raises(ValueError, match="approximate is 'erf', expected 'tanh' or 'none'"):
        F.gelu(x, approximate="erf")
    with pytest.raises(ValueError, match=r"dout has shape \(3,\), expected \(2, 3\)"):
        F.tanh_backward(x[0], x)
    with pytest.raises(TypeError, match="out has dtype float32, expected float64"):
        F.relu(x, out=np.empty((2, 3), np.float32))
    with pytest.raises(ValueError, match="out is not contiguous, expected it in C order"):
        F.relu(x, out=np.empty((3, 2)).T)
    with pytest.raises(TypeError, match="x has dtype complex128, expected float32 or float64"):
        F.sigmoid(x + 1j)
    buffer = np.zeros(8)
    with pytest.raises(ValueError, match="y overlaps x, expected separate memory"):
        F.tanh(buffer[:6], out=buffer[1:7])
