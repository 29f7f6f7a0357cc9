"""Max-pooling against its twin, central differences, PyTorch and itself."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, same_bits, same_for_any_threads
from hypothesis import given, settings
from hypothesis import strategies as st

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import max_pool as ref

# shape, kernel, stride, padding
CASES = [
    ((2, 3, 8, 6), (2, 2), (2, 2), (0, 0)),
    ((2, 3, 9, 7), (3, 2), (1, 3), (1, 1)),
    ((2, 3, 7, 5), (3, 4), (2, 3), (0, 2)),
    ((3, 1, 4, 5), (4, 5), (1, 1), (0, 0)),  # a window as large as the image
    ((1, 2, 3, 2), (5, 4), (3, 2), (2, 2)),  # larger than the image, not than the padded one
    ((2, 2, 1, 1), (1, 1), (1, 1), (0, 0)),
    ((2, 2, 6, 7), (1, 2), (3, 3), (0, 1)),
    ((40, 30, 8, 9), (2, 3), (2, 2), (1, 0)),
    ((0, 3, 8, 6), (2, 2), (2, 2), (0, 0)),
    ((2, 0, 8, 6), (2, 2), (2, 2), (0, 0)),
]


def against_twin(x, kernel, stride, padding, dout=None):
    y, index = F.max_pool2d(x, kernel, stride, padding)
    expected, where = ref.max_pool2d(x, kernel, stride, padding)
    assert index.dtype == np.int64
    same_bits(y, expected)
    same_bits(index, where)
    dout = np.arange(y.size, dtype=x.dtype).reshape(y.shape) if dout is None else dout
    same_bits(F.max_pool2d_backward(dout, index, x.shape[-2:]),
              ref.max_pool2d_backward(dout, index, x.shape[-2:]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, kernel, stride, padding", CASES)
def test_forward_and_backward_are_the_twin(rng, dtype, shape, kernel, stride, padding):
    against_twin(rng.standard_normal(shape).astype(dtype), kernel, stride, padding)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_shape_and_value(data):
    def draw(low, high):
        return data.draw(st.integers(low, high))

    H, W = draw(1, 8), draw(1, 8)
    # of the kernels n the least padding makes fit, and at most half of n
    kernel = draw(1, 2*H), draw(1, 2*W)
    padding = tuple(draw(max(0, -(-(k - n) // 2)), k // 2)
                    for k, n in zip(kernel, (H, W), strict=True))
    x = np.random.default_rng(draw(0, 99)).choice(
        [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan], (draw(0, 3), H, W),
        p=[.2, .1, .2, .2, .1, .1, .1])
    against_twin(x.astype(data.draw(st.sampled_from(DTYPES))), kernel, (draw(1, 4), draw(1, 4)),
                 padding)


def test_gradient_by_central_differences(rng):
    for shape, kernel, stride, padding in CASES[:3]:
        x = rng.standard_normal(shape)
        y, index = F.max_pool2d(x, kernel, stride, padding)
        dout = rng.standard_normal(y.shape)

        def f(v, kernel=kernel, stride=stride, padding=padding):
            return F.max_pool2d(v, kernel, stride, padding)[0]

        np.testing.assert_allclose(F.max_pool2d_backward(dout, index, shape[-2:]),
                                   central_difference(f, x, dout), atol=1e-7)


def test_nan_wins_and_the_first_of_equal_values_counts():
    nan = np.nan
    y, index = F.max_pool2d([[1.0, nan, 2.0, 2.0, -np.inf, -np.inf, nan, np.inf],
                             [nan, 9.0, 2.0, 2.0, -np.inf, -np.inf, 0.0, nan]], 2)
    np.testing.assert_array_equal(y, [[nan, 2.0, -np.inf, nan]])
    np.testing.assert_array_equal(index, [[1, 2, 4, 6]])
    assert F.max_pool2d([[-np.inf]], 3, padding=1)[1] == 0


def test_one_number_stands_for_two_and_the_stride_is_the_kernel(rng):
    x = rng.standard_normal((2, 9, 9))
    for got, expected in ((F.max_pool2d(x, 3), F.max_pool2d(x, (3, 3), (3, 3), (0, 0))),
                          (F.max_pool2d(x, 3, 2, 1), F.max_pool2d(x, (3, 3), (2, 2), (1, 1)))):
        same_bits(got[0], expected[0])
        same_bits(got[1], expected[1])


def test_inputs_of_any_strides_and_types(rng):
    x = rng.standard_normal((2, 3, 6, 8))
    y, index = F.max_pool2d(x, 2)
    for view in (np.asfortranarray(x), np.repeat(x, 2, -1)[..., ::2], x[::-1].copy()[::-1]):
        same_bits(F.max_pool2d(view, 2)[0], y)
        same_bits(F.max_pool2d(view, 2)[1], index)
    whole = rng.integers(-9, 9, (4, 5))
    assert F.max_pool2d(whole, 2)[0].dtype == np.float64
    dout = rng.standard_normal(y.shape)
    same_bits(F.max_pool2d_backward(np.asfortranarray(dout), np.asfortranarray(index), (6, 8)),
              F.max_pool2d_backward(dout, index, (6, 8)))


def test_any_number_of_threads_gives_the_same_bits(rng):
    x = rng.standard_normal((50, 20, 12, 11)).astype(np.float32)

    def both():
        y, index = F.max_pool2d(x, 3, 1, 1)
        return y, index, F.max_pool2d_backward(x, index, (12, 11))

    same_for_any_threads(both)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, kernel, stride, padding", CASES[:8])
def test_agrees_with_pytorch(rng, dtype, shape, kernel, stride, padding):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal(shape).astype(dtype)
    x[0, 0, 0, 0] = np.nan
    leaf = torch.tensor(x, requires_grad=True)
    y, index = torch.nn.functional.max_pool2d(leaf, kernel, stride, padding, return_indices=True)
    dout = rng.standard_normal(y.shape).astype(dtype)
    y.backward(torch.tensor(dout))
    got, where = F.max_pool2d(x, kernel, stride, padding)
    np.testing.assert_array_equal(got, y.detach().numpy())
    np.testing.assert_array_equal(where, index.numpy())
    np.testing.assert_allclose(F.max_pool2d_backward(dout, where, shape[-2:]), leaf.grad.numpy(),
                               rtol=1e-6, atol=1e-6)


def test_errors_name_argument_has_and_expected(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    y, index = F.max_pool2d(x, 2)

    def refused(kind, message, *args, f=F.max_pool2d):
        with pytest.raises(kind, match=message):
            f(*args)

    refused(ValueError, "x has 1 dimensions, expected at least 2", [1.0], 1)
    refused(TypeError, "x has dtype complex128, expected float32 or float64", x + 1j, 2)
    refused(ValueError, "kernel_size is 0, expected at least 1", x, 0)
    refused(ValueError, r"stride is \(1, 0\), expected at least 1", x, 2, (1, 0))
    refused(ValueError, "padding is -1, expected at least 0", x, 2, 1, -1)
    for value in (1.0, "2", (1, 2, 3), (1.5, 1)):
        refused(TypeError, "kernel_size is .*, expected an integer or a pair", x, value)
        refused(TypeError, "stride is .*, expected an integer or a pair", x, 1, value)
        refused(TypeError, "padding is .*, expected an integer or a pair", x, 1, 1, value)
    refused(ValueError, r"padding is \(2, 2\), expected at most half of kernel_size, \(3, 3\)", x,
            3, 1, 2)
    refused(ValueError, r"kernel_size is \(5, 2\), expected at least \(1, 1\) and at most the "
            r"padded image, \(4, 7\)", x, (5, 2), 1, (0, 1))
    refused(ValueError, r"kernel_size is \(1, 1\), expected .* the padded image, \(0, 3\)",
            np.empty((2, 0, 3)), 1)
    back = F.max_pool2d_backward
    refused(ValueError, r"index has shape \(2, 3, 2, 1\), expected \(2, 3, 2, 2\)", y,
            index[..., :1], (4, 5), f=back)
    refused(ValueError, "dout has 1 dimensions, expected at least 2", [1.0], [0], (1, 1), f=back)
    refused(TypeError, "index has dtype float64, expected integers", y, y, (4, 5), f=back)
    refused(ValueError, r"size is \(-1, 5\), expected at least 0", y, index, (-1, 5), f=back)


@pytest.mark.parametrize("bad", [-1, 20, 2**62])
def test_an_index_out_of_range_names_the_lowest_place(rng, bad):
    x = rng.standard_normal((60, 30, 4, 5))
    y, index = F.max_pool2d(x, 2)
    index.reshape(-1)[[4321, 777, 7000]] = bad
    with pytest.raises(IndexError, match=r"index is out of range at row 777, expected 0 <= index "
                                         r"< H \* W"):
        F.max_pool2d_backward(y, index, (4, 5))


def test_the_core_refuses_what_does_not_fit(rng):
    x, y, index = np.zeros((2, 4, 5)), np.empty((2, 2, 2)), np.empty((2, 2, 2), np.int64)

    def refused(message, numbers=(2, 2, 2, 2, 0, 0), kind=ValueError, x=x, y=y, index=index):
        with pytest.raises(kind, match="max_pool2d_forward: " + message):
            _core.max_pool2d_forward(y, index, x, *numbers)

    refused("kernel_h is 0, expected 1 to 2147483647", (0, 2, 2, 2, 0, 0))
    refused("kernel_w is 6, expected 1 to 5", (2, 6, 2, 2, 0, 0))
    refused("stride_w is -1, expected 1 to 2147483647", (2, 2, 2, -1, 0, 0))
    refused("padding_h is 2, expected 0 to 1", (2, 2, 2, 2, 2, 0))
    refused("padding_w is -1, expected 0 to 1", (2, 2, 2, 2, 0, -1))
    refused(r"y.shape\[1\] is 2, expected P = 3", (2, 2, 1, 2, 0, 0))
    refused(r"y.shape\[2\] is 2, expected Q = 3", (2, 2, 2, 2, 0, 1))
    refused(r"x.shape\[1\] is 0, expected at least 1", x=np.empty((2, 0, 5)))
    refused(r"x.shape\[0\] is 1, expected M = 2", x=x[:1])
    refused("index has dtype int32, expected int64", kind=TypeError, index=index.astype(np.int32))
    refused("y overlaps index", index=y.view(np.int64))
    refused("index is float, expected a NumPy array", kind=TypeError, index=1.0)
    with pytest.raises(ValueError, match="max_pool2d_backward: dx overlaps dy, expected separate"):
        _core.max_pool2d_backward(y, y, np.zeros_like(index))
