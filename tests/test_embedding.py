"""Embedding against its twin, central differences, PyTorch and itself."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import embedding as ref


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("v, c, shape", [(1, 1, (1,)), (9, 5, (3, 4)), (50, 33, (300,)),
                                         (5, 3, (0,)), (5, 0, (4,)), (4, 3, ())])
def test_forward_and_backward_agree_with_twin(rng, dtype, v, c, shape):
    table = rng.standard_normal((v, c)).astype(dtype)
    idx = rng.integers(v, size=shape)
    dout = rng.standard_normal((*shape, c)).astype(dtype)
    got = F.embedding(table, idx)
    assert got.dtype == dtype
    same_bits(got, ref.embedding(table, idx))
    dtable = F.embedding_backward(dout, idx, v)
    assert dtable.dtype == dtype
    same_bits(dtable, ref.embedding_backward(dout, idx, v))


def test_gradient_by_central_differences(rng):
    table, idx = rng.standard_normal((4, 3)), np.array([2, 0, 2, 2, 1])
    dout = rng.standard_normal((5, 3))
    expected = central_difference(lambda t: F.embedding(t, idx), table, dout)
    np.testing.assert_allclose(F.embedding_backward(dout, idx, 4), expected, atol=1e-8)


def test_empty_table_and_no_index():
    assert F.embedding(np.empty((0, 3)), []).shape == (0, 3)
    assert F.embedding_backward(np.empty((0, 3)), [], 0).shape == (0, 3)


def test_gradient_accumulates(rng):
    dtable, dout, idx = np.ones((4, 3)), rng.standard_normal((5, 3)), np.array([2, 0, 2, 2, 1])
    _core.embedding_backward(dtable, dout, idx)
    np.testing.assert_allclose(dtable, 1 + F.embedding_backward(dout, idx, 4))


def test_any_number_of_threads_gives_the_same_bits(rng):
    table, idx = rng.standard_normal((7, 130)).astype(np.float32), rng.integers(7, size=2000)
    dout = rng.standard_normal((2000, 130)).astype(np.float32)
    same_for_any_threads(lambda: (F.embedding(table, idx), F.embedding_backward(dout, idx, 7)))


def test_nan_stays_in_its_row():
    table = np.array([[1.0], [np.nan]])
    np.testing.assert_array_equal(F.embedding(table, [0, 1, 0]), [[1], [np.nan], [1]])
    np.testing.assert_array_equal(F.embedding_backward(table, [0, 2], 3), [[1], [0], [np.nan]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_pytorch(rng, dtype):
    torch = pytest.importorskip("torch")
    table, idx = rng.standard_normal((20, 8)).astype(dtype), rng.integers(20, size=(6, 50))
    dout = rng.standard_normal((6, 50, 8)).astype(dtype)
    t = torch.tensor(table, requires_grad=True)
    y = torch.nn.functional.embedding(torch.tensor(idx), t)
    y.backward(torch.tensor(dout))
    close(F.embedding(table, idx), y.detach().numpy())
    close(F.embedding_backward(dout, idx, 20), t.grad.numpy())


@pytest.mark.parametrize("bad", [-1, 4, 2**40, -2**63])
def test_index_error_names_lowest_row_and_writes_nothing(bad):
    table, out, dtable = np.ones((4, 2)), np.full((300, 2), 7.0), np.full((4, 2), 7.0)
    idx = np.zeros(300, np.int64)
    idx[[150, 299]] = bad
    with pytest.raises(IndexError, match="embedding_forward: idx is out of range at row 150, "
                                         "expected 0 <= idx < V"):
        F.embedding(table, idx, out=out)
    with pytest.raises(IndexError, match="embedding_backward: idx is out of range at row 150"):
        _core.embedding_backward(dtable, out, idx)
    assert (out == 7).all() and (dtable == 7).all()


def test_errors_name_argument_has_and_expected():
    table = np.zeros((4, 2))
    with pytest.raises(TypeError, match="idx has dtype float64, expected integers"):
        F.embedding(table, [1.0])
    with pytest.raises(TypeError, match="idx has dtype bool, expected integers"):
        F.embedding(table, [True])
    with pytest.raises(ValueError, match="table has 1 dimensions, expected 2"):
        F.embedding(table[0], [0])
    with pytest.raises(ValueError, match=r"dout has shape \(3, 2\), expected \(2, 2\)"):
        F.embedding_backward(np.zeros((3, 2)), [0, 1], 4)
    with pytest.raises(ValueError, match="out overlaps table, expected separate memory"):
        F.embedding(table, [0, 1], out=table[:2])
