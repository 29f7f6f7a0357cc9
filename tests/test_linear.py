"""Affine maps against their twin, central differences, PyTorch and themselves."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import linear as ref

SHAPES = [(1, 1, 1), (7, 5, 3), (130, 33, 520), (0, 4, 3), (3, 0, 2), (3, 2, 0), (300, 70, 1)]


def inputs(rng, dtype, n=7, i=5, o=3, transposed=False):
    """x, weight, bias, dout"""
    draw = [rng.standard_normal(shape).astype(dtype)
            for shape in [(n, i), (o, i) if transposed else (i, o), o, (n, o)]]
    return draw


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("transposed", [False, True])
def test_forward_and_backward_agree_with_twin(rng, dtype, shape, transposed):
    x, w, b, dout = inputs(rng, dtype, *shape, transposed)
    x64, w64, b64, dout64 = (a.astype(float) for a in (x, w, b, dout))
    for bias, bias64 in ((b, b64), (None, None)):
        got = F.linear(x, w, bias, transposed=transposed)
        assert got.dtype == dtype
        close(got, ref.linear(x64, w64, bias64, transposed))
    got = F.linear_backward(dout, x, w, transposed=transposed)
    for g, e in zip(got, ref.linear_backward(dout64, x64, w64, transposed), strict=True):
        assert g.dtype == dtype
        close(g, e)


@pytest.mark.parametrize("transposed", [False, True])
def test_gradient_by_central_differences(rng, transposed):
    x, w, b, dout = inputs(rng, np.float64, transposed=transposed)
    dx, dw, db = F.linear_backward(dout, x, w, transposed=transposed)

    def f(x=x, w=w, b=b):
        return F.linear(x, w, b, transposed=transposed)

    np.testing.assert_allclose(dx, central_difference(lambda v: f(x=v), x, dout), atol=1e-7)
    np.testing.assert_allclose(dw, central_difference(lambda v: f(w=v), w, dout), atol=1e-7)
    np.testing.assert_allclose(db, central_difference(lambda v: f(b=v), b, dout), atol=1e-7)


def test_leading_axes_are_rows(rng):
    x, w, b, dout = inputs(rng, np.float64, 6)
    got = F.linear(x.reshape(2, 3, 5), w, b)
    same_bits(got.reshape(6, 3), F.linear(x, w, b))
    same_bits(F.linear(x[0], w, b), F.linear(x[:1], w, b)[0])
    dx, _, _ = F.linear_backward(dout.reshape(2, 3, 3), x.reshape(2, 3, 5), w)
    assert dx.shape == (2, 3, 5)


def test_parameter_gradients_accumulate_and_none_is_skipped(rng):
    x, w, _, dout = inputs(rng, np.float64)
    dx, dw, db = F.linear_backward(dout, x, w)
    dx2, dw2, db2 = np.empty_like(x), dw.copy(), db.copy()
    _core.linear_backward(dx2, dw2, None, dout, x, w, False)
    _core.linear_backward(None, None, db2, dout, x, w, False)
    same_bits(dx2, dx)
    np.testing.assert_allclose(dw2, 2 * dw)
    np.testing.assert_allclose(db2, 2 * db)


@pytest.mark.parametrize("transposed", [False, True])
def test_rows_may_be_strided(rng, transposed):
    x, w, b, dout = inputs(rng, np.float32, 9, 5, 3, transposed)
    wide_x, wide_dy = np.zeros((9, 12), np.float32), np.zeros((9, 7), np.float32)
    wide_x[:, 4:9], wide_dy[:, 2:5] = x, dout
    joint = np.full((9, 8), 7, np.float32)
    _core.linear_forward(joint[:, 5:], wide_x[:, 4:9], w, b, transposed)
    same_bits(joint[:, 5:], F.linear(x, w, b, transposed=transposed))
    assert (joint[:, :5] == 7).all()
    dw, db = np.zeros_like(w), np.zeros_like(b)
    _core.linear_backward(joint[:, :5], dw, db, wide_dy[:, 2:5], wide_x[:, 4:9], w, transposed)
    for g, e in zip((joint[:, :5], dw, db), F.linear_backward(dout, x, w, transposed=transposed),
                    strict=True):
        same_bits(g, e)


@pytest.mark.parametrize("transposed", [False, True])
def test_any_number_of_threads_gives_the_same_bits(rng, transposed):
    x, w, b, dout = inputs(rng, np.float32, 700, 130, 600, transposed)
    same_for_any_threads(lambda: (F.linear(x, w, b, transposed=transposed),
                                  *F.linear_backward(dout, x, w, transposed=transposed)))


def test_nan_stays_in_its_row(rng):
    x, w, b, _ = inputs(rng, np.float32)
    x[2, 3] = np.nan
    got = F.linear(x, w, b)
    assert np.isnan(got[2]).all() and np.isfinite(np.delete(got, 2, 0)).all()


def test_bias_gradient_keeps_its_accuracy_over_many_rows():
    dout = np.full((100_000, 2), 0.1, np.float32)
    x, w = np.zeros((100_000, 1), np.float32), np.zeros((1, 2), np.float32)
    np.testing.assert_allclose(F.linear_backward(dout, x, w)[2], 1e5 * float(dout[0, 0]), rtol=2e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_pytorch(rng, dtype):
    torch = pytest.importorskip("torch")
    x, w, b, dout = inputs(rng, dtype, 40, 30, 20, transposed=True)
    tx, tw, tb = (torch.tensor(a, requires_grad=True) for a in (x, w, b))
    y = torch.nn.functional.linear(tx, tw, tb)
    y.backward(torch.tensor(dout))
    close(F.linear(x, w, b, transposed=True), y.detach().numpy())
    for g, e in zip(F.linear_backward(dout, x, w, transposed=True), (tx, tw, tb), strict=True):
        close(g, e.grad.numpy())


def test_errors_name_argument_has_and_expected(rng):
    x, w, b, dout = inputs(rng, np.float64)
    with pytest.raises(ValueError, match=r"weight.shape\[0\] is 4, expected I = 5"):
        F.linear(x, w[:4], b)
    with pytest.raises(ValueError, match=r"bias.shape\[0\] is 2, expected O = 3"):
        F.linear(x, w, b[:2])
    with pytest.raises(ValueError, match="weight has 1 dimensions, expected 2"):
        F.linear(x, w[0], b)
    with pytest.raises(ValueError, match="x has 0 dimensions, expected at least 1"):
        F.linear(1.0, w, b)
    with pytest.raises(ValueError, match=r"dout has shape \(7, 2\), expected \(7, 3\)"):
        F.linear_backward(dout[:, :2], x, w)
    with pytest.raises(ValueError, match=r"out has shape \(7, 2\), expected \(7, 3\)"):
        F.linear(x, w, b, out=np.empty((7, 2)))
    square = np.zeros((4, 4))
    with pytest.raises(ValueError, match="y overlaps x, expected separate memory"):
        F.linear(square, np.zeros((4, 4)), out=square)
