"""Convolution against its twin, central differences, PyTorch and itself."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads
from hypothesis import given, settings
from hypothesis import strategies as st

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import conv as ref

# N, C, H, W, O, K, L, stride, padding
CASES = [
    (2, 3, 7, 6, 4, 3, 2, (1, 1), (0, 0)),
    (3, 2, 9, 11, 5, 4, 3, (2, 3), (1, 2)),
    (2, 3, 8, 5, 4, 3, 5, (3, 1), (3, 3)),
    (2, 1, 5, 4, 1, 5, 4, (1, 1), (0, 0)),      # a kernel as large as the image
    (2, 2, 3, 2, 3, 5, 4, (1, 2), (1, 1)),      # as large as the padded image
    (2, 3, 2, 3, 2, 2, 2, (1, 1), (3, 3)),      # windows on padding alone
    (3, 4, 1, 1, 5, 1, 1, (1, 1), (0, 0)),      # one pixel
    (2, 6, 7, 5, 4, 1, 1, (1, 1), (0, 0)),      # pointwise: no patches are made
    (2, 6, 7, 5, 4, 1, 1, (2, 2), (0, 0)),
    (2, 6, 4, 5, 4, 1, 1, (1, 1), (1, 0)),
    (37, 2, 6, 6, 3, 3, 3, (1, 1), (1, 1)),     # several images a chunk
    (2, 16, 34, 30, 7, 5, 5, (1, 1), (2, 2)),   # several blocks an image
    (2, 300, 30, 30, 3, 1, 1, (1, 1), (0, 0)),  # several pointwise ones
    (1, 200, 2, 40, 50, 2, 9, (1, 1), (1, 4)),  # one row of patches is more than a block
    (0, 3, 7, 6, 4, 3, 2, (1, 1), (0, 0)),
    (2, 0, 7, 6, 4, 3, 2, (1, 1), (0, 0)),
    (2, 3, 7, 6, 0, 3, 2, (1, 1), (0, 0)),
    (2, 3, 0, 4, 2, 2, 3, (1, 1), (1, 1)),      # an image of padding
    (2, 16, 34, 30, 7, 5, 5, (2, 2), (2, 2)),   # split rows, several blocks an image
    (2, 4, 60, 84, 8, 8, 8, (4, 4), (0, 0)),
]


def inputs(rng, dtype, *case):
    """x, weight, bias, dout, options"""
    N, C, H, W, outputs, K, L, stride, padding = case
    P, Q = ((n + 2*p - k) // s + 1
            for n, k, s, p in zip((H, W), (K, L), stride, padding, strict=True))
    arrays = [rng.standard_normal(shape).astype(dtype)
              for shape in ((N, C, H, W), (outputs, C, K, L), outputs, (N, outputs, P, Q))]
    return *arrays, dict(stride=stride, padding=padding)


def against_twin(x, weight, bias, dout, options):
    wide = [a.astype(np.float64) for a in (x, weight, bias, dout)]
    for b, b64 in ((bias, wide[2]), (None, None)):
        y = F.conv2d(x, weight, b, **options)
        assert y.dtype == x.dtype and y.shape == dout.shape
        near(y, ref.conv2d(*wide[:2], b64, **options))
    expected = ref.conv2d_backward(wide[3], *wide[:2], **options)
    for g, e in zip(F.conv2d_backward(dout, x, weight, **options), expected, strict=True):
        assert g.dtype == x.dtype and g.shape == e.shape
        near(g, e)


def near(actual, expected):
    """Within rounding of the largest value: terms of a long sum cancel."""
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    close(actual / actual.dtype.type(scale), expected / scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_forward_and_backward_agree_with_twin(rng, dtype, case):
    against_twin(*inputs(rng, dtype, *case))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2, 3])
def test_every_stride_and_padding(rng, stride, padding):
    case = inputs(rng, np.float64, 2, 3, 7, 6, 4, 3, 4, (stride, stride), (padding, padding))
    against_twin(*case)
    x, weight, bias, _, options = case
    same_bits(F.conv2d(x, weight, bias, stride=stride, padding=padding),
              F.conv2d(x, weight, bias, **options))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_shape(data):
    def draw(low, high):
        return data.draw(st.integers(low, high))

    stride, padding = (draw(1, 4), draw(1, 4)), (draw(0, 4), draw(0, 4))
    H, W = draw(1, 9), draw(1, 9)
    K, L = draw(1, H + 2*padding[0]), draw(1, W + 2*padding[1])
    rng = np.random.default_rng(draw(0, 99))
    dtype = data.draw(st.sampled_from(DTYPES))
    against_twin(*inputs(rng, dtype, draw(0, 18), draw(0, 4), H, W, draw(0, 5), K, L, stride,
                         padding))


@pytest.mark.parametrize("case", CASES[:6] + CASES[7:10])
def test_gradient_by_central_differences(rng, case):
    x, weight, bias, dout, options = inputs(rng, np.float64, *case)
    got = F.conv2d_backward(dout, x, weight, **options)

    def f(x=x, weight=weight, bias=bias):
        return F.conv2d(x, weight, bias, **options)

    for g, e in zip(got, (central_difference(lambda v: f(x=v), x, dout),
                          central_difference(lambda v: f(weight=v), weight, dout),
                          central_difference(lambda v: f(bias=v), bias, dout)), strict=True):
        np.testing.assert_allclose(g, e, atol=1e-7)


def test_parameter_gradients_accumulate_and_none_is_skipped(rng):
    x, weight, _, dout, options = inputs(rng, np.float64, *CASES[1])
    numbers = *options["stride"], *options["padding"]
    dx, dweight, dbias = F.conv2d_backward(dout, x, weight, **options)
    dx2, dweight2, dbias2 = np.full_like(x, np.nan), dweight.copy(), dbias.copy()
    _core.conv2d_backward(x, weight, *numbers, dout, None, dweight2, None)
    _core.conv2d_backward(x, weight, *numbers, dout, None, None, dbias2)
    _core.conv2d_backward(x, weight, *numbers, dout, dx2, None, None)
    same_bits(dx2, dx)
    np.testing.assert_allclose(dweight2, 2 * dweight)
    np.testing.assert_allclose(dbias2, 2 * dbias)


@pytest.mark.parametrize("case", [CASES[i] for i in (1, 7, 10, 11, 12, -2, -1)])
def test_any_number_of_threads_gives_the_same_bits(rng, case):
    x, weight, bias, dout, options = inputs(rng, np.float32, *case)
    same_for_any_threads(lambda: (F.conv2d(x, weight, bias, **options),
                                  *F.conv2d_backward(dout, x, weight, **options)))


def test_an_image_has_the_same_bits_alone(rng):
    x, weight, bias, dout, options = inputs(rng, np.float32, *CASES[10])
    same_bits(F.conv2d(x, weight, bias, **options)[5:6],
              F.conv2d(x[5:6], weight, bias, **options))
    same_bits(F.conv2d_backward(dout, x, weight, **options)[0][5:6],
              F.conv2d_backward(dout[5:6], x[5:6], weight, **options)[0])


def test_inputs_of_any_strides_and_types(rng):
    x, weight, bias, dout, options = inputs(rng, np.float64, *CASES[1])
    expected = F.conv2d(x, weight, bias, **options)
    turned = [np.asfortranarray(a) for a in (x, weight, bias, dout)]
    same_bits(F.conv2d(*turned[:3], **options), expected)
    same_bits(F.conv2d(x[::-1], weight, bias, **options), expected[::-1])
    for g, e in zip(F.conv2d_backward(turned[3], *turned[:2], **options),
                    F.conv2d_backward(dout, x, weight, **options), strict=True):
        same_bits(g, e)
    whole = rng.integers(-3, 4, x.shape)
    same_bits(F.conv2d(whole, weight), F.conv2d(whole.astype(float), weight))
    assert F.conv2d(x.astype(np.float32), weight).dtype == np.float64
    out = np.empty_like(expected)
    assert F.conv2d(x, weight, bias, out=out, **options) is out
    same_bits(out, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_where_it_is_seen(rng, value):
    x, weight, bias, dout, options = inputs(rng, np.float32, *CASES[0])
    clean = F.conv2d(x, weight, bias, **options)
    x[1, 2, 3, 4] = value
    got = F.conv2d(x, weight, bias, **options)
    seen = np.zeros(got.shape, bool)
    seen[1, :, 1:4, 3:5] = True
    assert not np.isfinite(got[seen]).any()
    same_bits(got[~seen], clean[~seen])
    dx, dweight, dbias = F.conv2d_backward(dout, x, weight, **options)
    assert np.isfinite(dx).all() and np.isfinite(dbias).all()
    assert np.isfinite(dweight[:, :2]).all() and not np.isfinite(dweight[:, 2]).any()


def test_nan_in_a_weight_meets_padding(rng):
    x, weight, _, _, options = inputs(rng, np.float64, *CASES[2])
    weight[1, 0, 0, 0] = np.nan
    got = F.conv2d(x, weight, **options)
    assert np.isnan(got[:, 1]).all() and np.isfinite(np.delete(got, 1, 1)).all()


def test_huge_values_overflow_to_infinity_alone():
    x = np.full((1, 1, 2, 3), 1e30, np.float32)
    x[0, 0, 1] = 1
    got = F.conv2d(x, np.full((1, 1, 1, 2), 1e30, np.float32))
    np.testing.assert_array_equal(got[0, 0], np.float32([[np.inf] * 2, [2e30] * 2]))


def test_gradients_keep_their_accuracy_over_many_images():
    x, dout = np.full((4000, 1, 6, 6), 0.1, np.float32), np.full((4000, 1, 5, 5), 0.3, np.float32)
    _, dweight, dbias = F.conv2d_backward(dout, x, np.ones((1, 1, 2, 2), np.float32))
    places, d, v = 100_000, float(dout[0, 0, 0, 0]), float(x[0, 0, 0, 0])
    # one running sum would be off by 8e-4
    np.testing.assert_allclose(dweight, places * d * v, rtol=1e-4)
    np.testing.assert_allclose(dbias, places * d, rtol=1e-4)


@pytest.mark.parametrize("case", CASES[:14])
def test_agrees_with_pytorch(rng, case):
    torch = pytest.importorskip("torch")
    *arrays, dout, options = inputs(rng, np.float64, *case)
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    y = torch.nn.functional.conv2d(*leaves, **options)
    y.backward(torch.tensor(dout))
    expected = [y.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]
    for dtype, error in ((np.float32, 3e-6), (np.float64, 1e-13)):
        x, weight, bias, d = (a.astype(dtype) for a in (*arrays, dout))
        got = F.conv2d(x, weight, bias, **options), *F.conv2d_backward(d, x, weight, **options)
        for g, e in zip(got, expected, strict=True):
            assert np.abs(g - e).max() <= error * np.abs(e).max()


def test_errors_name_argument_has_and_expected(rng):
    x, weight, bias, dout, _ = inputs(rng, np.float64, *CASES[0])

    def refused(kind, message, f=F.conv2d, args=(x, weight, bias), **options):
        with pytest.raises(kind, match=message):
            f(*args, **options)

    refused(ValueError, "x has 3 dimensions, expected 4", args=(x[0], weight))
    refused(ValueError, "weight has 3 dimensions, expected 4", args=(x, weight[0]))
    refused(ValueError, r"weight.shape\[1\] is 2, expected C = 3", args=(x, weight[:, :2]))
    refused(ValueError, r"bias.shape\[0\] is 3, expected O = 4", args=(x, weight, bias[:3]))
    refused(ValueError, "bias has 2 dimensions, expected 1", args=(x, weight, bias[None]))
    refused(TypeError, "x has dtype complex128, expected float32", args=(x + 1j, weight))
    refused(ValueError, r"out has shape \(1,\), expected \(2, 4, 5, 5\)", out=np.empty(1))
    refused(ValueError, r"the kernel of weight is \(3, 2\), expected at least \(1, 1\) and at most "
            r"the padded image, \(2, 4\)", args=(x[:, :, :2, :4], weight))
    refused(ValueError, r"the kernel of weight is \(3, 0\), expected at least \(1, 1\)",
            args=(x, weight[..., :0]))
    refused(ValueError, "stride is 0, expected at least 1", stride=0)
    refused(ValueError, r"padding is \(0, -1\), expected at least 0", padding=(0, -1))
    for value in (1.0, "1", (1,), (1, 2, 3), (1, 1.5), None):
        refused(TypeError, "stride is .*, expected an integer or a pair of integers", stride=value)
        refused(TypeError, "padding is .*, expected an integer or a pair", padding=value)
    refused(ValueError, r"dout has shape \(2, 4, 5, 4\), expected \(2, 4, 5, 5\)",
            F.conv2d_backward, (dout[..., :4], x, weight))
    refused(ValueError, "dout has shape", F.conv2d_backward, (dout, x, weight), stride=2)


def test_the_core_refuses_what_does_not_fit(rng):
    x, weight, bias, dout, _ = inputs(rng, np.float64, *CASES[0])
    y = np.empty_like(dout)

    def refused(message, numbers=(1, 1, 0, 0), kind=ValueError, x=x, weight=weight, bias=bias, y=y):
        with pytest.raises(kind, match="conv2d_forward: " + message):
            _core.conv2d_forward(x, weight, *numbers, bias, y)

    refused("stride_w is 0, expected 1 to 2147483647", (1, 0, 0, 0))
    refused("stride_h is 2147483648, expected 1 to 2147483647", (2**31, 1, 0, 0))
    refused("padding_h is -1, expected 0 to 2147483647", (1, 1, -1, 0))
    refused("padding_w is out of range, expected an integer of 64", (1, 1, 0, 2**70), OverflowError)
    refused("stride_h is float, expected an integer", (1.0, 1, 0, 0), TypeError)
    refused(r"y.shape\[2\] is 5, expected P = 3", (2, 1, 0, 0))
    refused(r"y.shape\[3\] is 5, expected Q = 7", (1, 1, 0, 1))
    refused(r"weight.shape\[2\] is 3, expected 1 to 2", x=x[:, :, :2].copy())
    refused(r"weight.shape\[3\] is 0, expected 1 to 6", weight=np.empty((4, 3, 3, 0)))
    refused(r"x.shape\[2\] is 0, expected at least 1", x=np.empty((2, 3, 0, 6)))
    refused(r"y.shape\[1\] is 3, expected O = 4", y=np.empty((2, 3, 5, 5)))
    refused("x has a stride of 336 bytes on axis 3, expected it contiguous", x=np.asfortranarray(x))
    refused("x has a stride of 384 bytes on axis 1, expected it contiguous",
            x=np.zeros((2, 3, 8, 6))[:, :, :7])
    square = np.zeros((2, 4, 5, 5))
    refused("y overlaps x, expected separate memory", x=square, y=square,
            weight=np.ones((4, 4, 1, 1)))
    with pytest.raises(ValueError, match="conv2d_backward: dx overlaps x, expected separate"):
        _core.conv2d_backward(x, weight, 1, 1, 0, 0, dout, x, None, None)


def test_sizes_that_the_products_cannot_take_are_refused():
    def empty(*shape):
        return np.empty(shape, np.float32)

    def forward(x, weight, y, *numbers):
        _core.conv2d_forward(empty(*x), empty(*weight), *numbers, None, empty(*y))

    forward((0, 2**16, 1, 1), (0, 2**16, 1, 1), (0, 0, 1, 1), 1, 1, 0, 0)
    with pytest.raises(ValueError, match="N is 1099511627776, expected at most 2147483647"):
        forward((2**40, 0, 1, 1), (0, 0, 1, 1), (2**40, 0, 1, 1), 1, 1, 0, 0)
    with pytest.raises(ValueError, match=r"C \* K \* L is too large, expected at most 2147483647"):
        forward((0, 2**16, 2**8, 2**8), (0, 2**16, 2**8, 2**8), (0, 0, 1, 1), 1, 1, 0, 0)
    with pytest.raises(ValueError, match=r"H \* W is too large"):
        forward((0, 1, 2**16, 2**16), (0, 1, 2**16, 1), (0, 0, 1, 2**16), 1, 1, 0, 0)
    with pytest.raises(ValueError, match=r"P \* Q is too large"):
        forward((0, 1, 1, 1), (0, 1, 1, 1), (0, 0, 2**17 + 1, 2**17 + 1), 1, 1, 2**16, 2**16)
    with pytest.raises(MemoryError, match="conv2d_forward: the workspace does not fit"):
        # patches of one row of the output, 2^63 bytes
        forward((0, 2**30, 1, 1), (0, 2**30, 1, 1), (0, 0, 1, 2**31 - 1), 1, 1, 0, 2**30 - 1)
