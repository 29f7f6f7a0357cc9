"""Layer normalisation against its twin, central differences and itself."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import norm as ref


def inputs(rng, dtype, n=7, c=19):
    return (rng.standard_normal((n, c)).astype(dtype), rng.standard_normal(c).astype(dtype),
            rng.standard_normal(c).astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (7, 19), (130, 64), (0, 5)])
def test_forward_and_backward_agree_with_twin(rng, dtype, shape):
    x, w, b = inputs(rng, dtype, *shape)
    dout = rng.standard_normal(shape).astype(dtype)
    close(F.layer_norm(x, w, b), ref.layer_norm(x.astype(float), w, b))
    got = F.layer_norm_backward(dout, x, w)
    for g, e in zip(got, ref.layer_norm_backward(dout.astype(float), x.astype(float), w),
                    strict=True):
        assert g.dtype == dtype
        close(g, e)


def test_gradient_by_central_differences(rng):
    x, w, b = inputs(rng, np.float64, 3, 5)
    dout = rng.standard_normal(x.shape)
    dx, dw, db = F.layer_norm_backward(dout, x, w)
    np.testing.assert_allclose(dx, central_difference(lambda v: F.layer_norm(v, w, b), x, dout),
                               atol=1e-7)
    np.testing.assert_allclose(dw, central_difference(lambda v: F.layer_norm(x, v, b), w, dout),
                               atol=1e-7)
    np.testing.assert_allclose(db, central_difference(lambda v: F.layer_norm(x, w, v), b, dout),
                               atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_place_is_out_of_place(rng, dtype):
    x, w, b = inputs(rng, dtype)
    expected = F.layer_norm(x, w, b)
    same_bits(F.layer_norm(x, w, b, out=x), expected)


def test_any_number_of_threads_gives_the_same_bits(rng):
    x, w, b = inputs(rng, np.float32, 1000, 33)
    dout = rng.standard_normal(x.shape).astype(np.float32)
    same_for_any_threads(lambda: (F.layer_norm(x, w, b), *F.layer_norm_backward(dout, x, w)))


def test_nan_stays_in_its_row(rng):
    x, w, b = inputs(rng, np.float32)
    clean = F.layer_norm(x, w, b)
    x[2, 3] = np.nan
    got = F.layer_norm(x, w, b)
    assert np.isnan(got[2]).all()
    same_bits(np.delete(got, 2, 0), np.delete(clean, 2, 0))


def test_errors_name_argument_has_and_expected(rng):
    x, w, b = inputs(rng, np.float64, 2, 3)
    with pytest.raises(ValueError, match=r"weight.shape\[0\] is 2, expected C = 3"):
        F.layer_norm(x, w[:2], b)
    with pytest.raises(TypeError, match="x has dtype complex128, expected float32 or float64"):
        F.layer_norm(x + 1j, w, b)
    with pytest.raises(TypeError, match="x has dtype float16"):
        F.layer_norm(x.astype(np.float16), w, b)
    mean, rstd, buffer = np.empty(2), np.empty(2), np.zeros(9)
    with pytest.raises(ValueError, match="out overlaps weight, expected separate memory"):
        _core.layer_norm_forward(buffer[:6].reshape(2, 3), mean, rstd, x, buffer[5:8], b, 0.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_pytorch(rng, dtype):
    torch = pytest.importorskip("torch")
    x, w, b = inputs(rng, dtype, 30, 65)
    dout = rng.standard_normal(x.shape).astype(dtype)
    tx, tw, tb = (torch.tensor(a, requires_grad=True) for a in (x, w, b))
    y = torch.nn.functional.layer_norm(tx, (65,), tw, tb)
    y.backward(torch.tensor(dout))
    close(F.layer_norm(x, w, b), y.detach().numpy())
    for g, e in zip(F.layer_norm_backward(dout, x, w), (tx, tw, tb), strict=True):
        close(g, e.grad.numpy())


def test_shapes_at_the_edge_are_answered(rng):
    assert F.layer_norm(np.empty((3, 0)), [], []).shape == (3, 0)
    with pytest.raises(ValueError, match="x has 0 dimensions, expected at least 1"):
        F.layer_norm(1.0, [1.0], [0.0])
    with pytest.raises(ValueError, match="out is not contiguous, expected it in C order"):
        F.layer_norm(np.ones((2, 3, 4)), np.ones(4), np.ones(4), out=np.empty((4, 3, 2)).T)
