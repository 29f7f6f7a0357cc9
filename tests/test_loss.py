"""Softmax, log-softmax and cross-entropy against twins, central differences and PyTorch."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import loss as ref

SHAPES = [(1, 1), (7, 3), (5, 16), (4, 17), (3, 255), (2, 257), (2, 3, 70), (0, 4), (9,)]
MAPS = ("softmax", "log_softmax")


def targets_for(rng, shape):
    targets = np.asarray(rng.integers(shape[-1], size=shape[:-1]))
    targets[rng.random(targets.shape) < 0.2] = -1
    return targets


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MAPS)
def test_softmax_and_its_logarithm_agree_with_twins(rng, name, shape, dtype):
    f, backward = getattr(F, name), getattr(F, f"{name}_backward")
    x, dout = 4 * rng.standard_normal((2, *shape)).astype(dtype)
    y = f(x)
    assert y.dtype == dtype and y.shape == shape
    close(y, getattr(ref, name)(x.astype(float)))
    d = backward(dout, y)
    close(d, getattr(ref, f"{name}_backward")(dout.astype(float), y.astype(float)))
    same_bits(f(x, out=x), y)
    same_bits(backward(dout, y, out=dout), d)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy_agrees_with_twin(rng, shape, dtype):
    logits = 4 * rng.standard_normal(shape).astype(dtype)
    dloss = rng.standard_normal(shape[:-1]).astype(dtype)
    targets = targets_for(rng, shape)
    loss = F.cross_entropy(logits, targets)
    assert loss.dtype == dtype and loss.shape == shape[:-1]
    close(loss, ref.cross_entropy(logits.astype(float), targets))
    for weight in (dloss, None):
        got = F.cross_entropy_backward(weight, logits, targets)
        expected = ref.cross_entropy_backward(weight, logits.astype(float), targets)
        same_bits(got[0], loss)
        close(got[1], expected[1])
    expected = F.cross_entropy_backward(dloss, logits, targets)[1]
    same_bits(F.cross_entropy_backward(dloss, logits, targets, out=logits)[1], expected)


@pytest.mark.parametrize("name", MAPS)
def test_gradient_by_central_differences(rng, name):
    f, x, dout = getattr(F, name), *rng.standard_normal((2, 3, 18))
    np.testing.assert_allclose(getattr(F, f"{name}_backward")(dout, f(x)),
                               central_difference(f, x, dout), atol=1e-8)


def test_cross_entropy_gradient_by_central_differences(rng):
    logits, targets, dloss = rng.standard_normal((4, 18)), np.array([3, -1, 17, 0]), np.arange(4.0)
    got = F.cross_entropy_backward(dloss, logits, targets)[1]
    expected = central_difference(lambda v: F.cross_entropy(v, targets), logits, dloss)
    np.testing.assert_allclose(got, expected, atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [3, 40])
def test_extremes(dtype, width):
    big = np.finfo(dtype).max
    rows = np.zeros((6, width), dtype)
    rows[:, 3:] = -np.inf
    rows[0, :3] = [big, big, -big]
    rows[1, :3] = [5, -np.inf, 5]
    rows[2, :3] = -np.inf
    rows[3, :3] = [np.inf, 0, 0]
    rows[4, :3] = [np.nan, 0, 0]
    rows[5, :3] = [-np.inf, -np.inf, -big]
    p, log_p = F.softmax(rows), F.log_softmax(rows)
    half = [0.5, 0.5, 0]
    np.testing.assert_array_equal(p[0, :3], half)
    np.testing.assert_array_equal(p[1, :3], [0.5, 0, 0.5])
    np.testing.assert_array_equal(p[5, :3], [0, 0, 1])
    assert (p[[0, 1, 5], 3:] == 0).all() and np.isnan(p[2:5]).all()
    np.testing.assert_array_equal(log_p[5, :3], [-np.inf, -np.inf, 0])
    assert np.isnan(log_p[[2, 4]]).all() and np.isnan(log_p[3, 0])

    loss, d = F.cross_entropy_backward(None, rows, [0, 1, 0, 0, 1, 2])
    np.testing.assert_allclose(loss[[0, 1, 5]], [np.log(2), np.inf, 0], rtol=1e-6)
    assert np.isnan(loss[2:5]).all() and np.isnan(d[2:5]).all()
    np.testing.assert_array_equal(d[1, :3], [0.5, -1, 0.5])
    d = F.log_softmax_backward(np.ones((1, width), dtype), log_p[5:])
    np.testing.assert_array_equal(d[0, :3], [1, 1, 1 - width])


def test_ignored_rows_are_silent_whatever_their_logits():
    logits = np.array([[np.nan, np.inf], [0, 0]])
    loss, d = F.cross_entropy_backward([np.nan, 1], logits, [7, 0], ignore_index=7)
    np.testing.assert_allclose(loss, [0, np.log(2)])
    np.testing.assert_array_equal(d, [[0, 0], [-0.5, 0.5]])


def test_nan_stays_in_its_row(rng):
    x = rng.standard_normal((5, 20))
    clean = F.softmax(x)
    x[2, 19] = np.nan
    same_bits(np.delete(F.softmax(x), 2, 0), np.delete(clean, 2, 0))
    assert np.isnan(F.softmax(x)[2]).all()
    assert np.isnan(F.cross_entropy(x, np.zeros(5, int))).tolist() == [0, 0, 1, 0, 0]


def test_any_number_of_threads_gives_the_same_bits(rng):
    x, dout = rng.standard_normal((2, 999, 77)).astype(np.float32)
    targets, weight = targets_for(rng, x.shape), dout[:, 0].copy()
    same_for_any_threads(lambda: (
        y := F.softmax(x), F.softmax_backward(dout, y),
        z := F.log_softmax(x), F.log_softmax_backward(dout, z),
        *F.cross_entropy_backward(weight, x, targets)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_pytorch(rng, dtype):
    torch = pytest.importorskip("torch")
    x, dout = 3 * rng.standard_normal((2, 40, 50)).astype(dtype)
    targets, weight = targets_for(rng, x.shape), dout[:, 0].copy()
    for name in MAPS:
        t = torch.tensor(x, requires_grad=True)
        y = getattr(torch, name)(t, -1)
        y.backward(torch.tensor(dout))
        close(getattr(F, name)(x), y.detach().numpy())
        close(getattr(F, f"{name}_backward")(dout, getattr(F, name)(x)), t.grad.numpy())
    t = torch.tensor(x, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(t, torch.tensor(targets), ignore_index=-1,
                                             reduction="none")
    loss.backward(torch.tensor(weight))
    got = F.cross_entropy_backward(weight, x, targets)
    close(got[0], loss.detach().numpy())
    close(got[1], t.grad.numpy())


@pytest.mark.parametrize("bad", [-2, 3, 2**40])
def test_target_error_names_lowest_row_and_writes_nothing(bad):
    logits, out = np.zeros((5, 3)), np.full((5, 3), 7.0)
    with pytest.raises(IndexError, match="cross_entropy: targets is out of range at row 2, "
                                         "expected 0 <= targets < V or ignore_index"):
        F.cross_entropy_backward(None, logits, [0, -1, bad, bad, 0], out=out)
    assert (out == 7).all()


def test_errors_name_argument_has_and_expected():
    x = np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"targets has shape \(3,\), expected \(2,\)"):
        F.cross_entropy(x, [0, 1, 2])
    with pytest.raises(ValueError, match=r"dloss has shape \(3,\), expected \(2,\)"):
        F.cross_entropy_backward([1, 1, 1], x, [0, 1])
    with pytest.raises(ValueError, match="x has 0 dimensions, expected at least 1"):
        F.softmax(1.0)
    with pytest.raises(TypeError, match="targets has dtype float64, expected integers"):
        F.cross_entropy(x, [0.0, 1.0])
    buffer = np.zeros(9)
    with pytest.raises(ValueError, match="y overlaps x, expected separate memory"):
        _core.softmax_forward(buffer[:6].reshape(2, 3), buffer[3:].reshape(2, 3))
    loss = np.zeros(2)
    with pytest.raises(ValueError, match="loss overlaps dloss, expected separate memory"):
        _core.cross_entropy(loss, None, x, np.zeros(2, np.int64), loss, -1)
