"""What the argument checker refuses, and what it lets through, seen through functions of _core."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from gatelearn import _core
from gatelearn._convert import as_index, as_real, as_reals, out_array


def linear(y=None, x=None, weight=None, bias=None, transposed=False):
    """N = 3, I = 4, O = 2"""
    y = np.zeros((3, 2)) if y is None else y
    x = np.ones((3, 4)) if x is None else x
    weight = np.ones((4, 2)) if weight is None else weight
    _core.linear_forward(y, x, weight, bias, transposed)
    return y


def adamw(**changes):
    arguments = dict(param=np.zeros(3), m=np.zeros(3), v=np.zeros(3), grad=np.zeros(3), decay=None,
                     lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, grad_scale=1.0,
                     step=1)
    assert changes.keys() <= arguments.keys()
    _core.adamw_step(*(arguments | changes).values())


def unaligned(shape):
    n = int(np.prod(shape))
    return np.zeros(8 * n + 1, np.uint8)[1:].view(np.float64).reshape(shape)


def test_what_is_right_passes():
    np.testing.assert_array_equal(linear(), np.full((3, 2), 4.0))
    adamw()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_count(count):
    with pytest.raises(TypeError, match=rf"tanh_forward: takes 2 arguments, {count} given"):
        _core.tanh_forward(*[np.zeros(2)] * count)


def test_keywords_are_refused():
    with pytest.raises(TypeError, match="takes no keyword arguments"):
        _core.tanh_forward(np.zeros(2), x=np.zeros(2))


@pytest.mark.parametrize("value, kind", [([1.0], "list"), (1.0, "float"), (None, "NoneType"),
                                         (np.float64(1), "numpy.float64"), (b"x", "bytes")])
def test_not_an_array(value, kind):
    with pytest.raises(TypeError, match=f"tanh_forward: x is {kind}, expected a NumPy array"):
        _core.tanh_forward(np.zeros(1), value)


@pytest.mark.parametrize("dtype", ["f2", "i8", "i4", "c16", "g", "?", "O", "U3", "M8[s]",
                                   [("a", "f8")]])
def test_dtype(dtype):
    x = np.zeros(2, dtype)
    message = r"tanh_forward: x has dtype .*, expected float32 or float64"
    with pytest.raises(TypeError, match=message):
        _core.tanh_forward(np.zeros(2), x)


@pytest.mark.parametrize("dtype", ["i4", "u8", "f8", "?"])
def test_index_dtype(dtype):
    with pytest.raises(TypeError, match=r"embedding_forward: idx has dtype .*, expected int64"):
        _core.embedding_forward(np.zeros((1, 2)), np.zeros((3, 2)), np.zeros(1, dtype))


def test_both_64_bit_integer_types_are_int64():
    out = np.empty((1, 2))
    for dtype in (np.int64, np.longlong):
        _core.embedding_forward(out, np.ones((3, 2)), np.zeros(1, dtype))


def test_mixed_types():
    with pytest.raises(TypeError, match="x has dtype float32, expected float64 as the arguments"):
        linear(x=np.ones((3, 4), np.float32))
    with pytest.raises(TypeError, match="weight has dtype float64, expected float32 as the"):
        linear(np.zeros((3, 2), np.float32), np.ones((3, 4), np.float32))


def test_byte_order():
    with pytest.raises(ValueError, match="x is byte-swapped, expected an aligned array in native"):
        linear(x=np.ones((3, 4)).astype(np.dtype(np.float64).newbyteorder()))
    idx = np.zeros(1, np.dtype(np.int64).newbyteorder())
    with pytest.raises(ValueError, match="idx is byte-swapped"):
        _core.embedding_forward(np.zeros((1, 2)), np.zeros((3, 2)), idx)


def test_alignment():
    with pytest.raises(ValueError, match="x is not aligned, expected an aligned array in native"):
        linear(x=unaligned((3, 4)))
    with pytest.raises(ValueError, match="y is not aligned"):
        linear(y=unaligned((3, 2)))


def test_read_only():
    y = np.zeros((3, 2))
    y.flags.writeable = False
    with pytest.raises(ValueError, match="y is read-only, expected a writeable array"):
        linear(y)
    x = np.ones((3, 4))
    x.flags.writeable = False
    linear(x=x)


@pytest.mark.parametrize("shape", [(), (12,), (3, 2, 2)])
def test_number_of_dimensions(shape):
    with pytest.raises(ValueError, match=f"x has {len(shape)} dimensions, expected 2"):
        linear(x=np.zeros(shape))


@pytest.mark.parametrize("arguments, message", [
    (dict(x=np.ones((2, 4))), r"x.shape\[0\] is 2, expected N = 3"),
    (dict(weight=np.ones((5, 2))), r"weight.shape\[0\] is 5, expected I = 4"),
    (dict(weight=np.ones((4, 3))), r"weight.shape\[1\] is 3, expected O = 2"),
    (dict(bias=np.ones(3)), r"bias.shape\[0\] is 3, expected O = 2"),
    (dict(weight=np.ones((4, 2)), transposed=True), r"weight.shape\[0\] is 4, expected O = 2"),
])
def test_letters(arguments, message):
    with pytest.raises(ValueError, match=message):
        linear(**arguments)


@pytest.mark.parametrize("flag", [True, 1, np.True_])
def test_flags_take_any_truth(flag):
    linear(weight=np.ones((2, 4)), transposed=flag)
    with pytest.raises(ValueError, match="truth value"):
        linear(transposed=np.zeros(2))


@pytest.mark.parametrize("x, message", [
    (np.ones((4, 3)).T, "stride of 8 bytes on axis 0, expected .*|stride of 24 bytes on axis 1"),
    (np.ones((3, 8))[:, ::2], "x has a stride of 16 bytes on axis 1, expected it contiguous"),
    (np.ones((3, 4))[:, ::-1], "x has a stride of -8 bytes on axis 1, expected it contiguous"),
    (np.ones((3, 4))[::-1], "x has a stride of -32 bytes on axis 0, expected a positive multiple"),
    (np.broadcast_to(np.ones(4), (3, 4)), "x has a stride of 0 bytes on axis 0, expected a pos"),
    (np.broadcast_to(np.ones((3, 1)), (3, 4)), "x has a stride of 0 bytes on axis 1, expected it"),
    (sliding_window_view(np.ones(6), 4), "x overlaps itself, expected separate memory"),
])
def test_strides_where_rows_may_be_strided(x, message):
    with pytest.raises(ValueError, match=message):
        linear(x=x)


def test_stride_that_is_no_multiple_of_the_item():
    pairs = np.zeros(3, np.dtype([("row", np.float32, 4), ("tag", np.int16)], align=False))
    with pytest.raises(ValueError, match=r"x is not aligned|x has a stride of 18 bytes"):
        _core.linear_forward(np.zeros((3, 2), np.float32), pairs["row"],
                             np.ones((4, 2), np.float32), None, False)


def test_strides_where_all_is_contiguous():
    weight = np.ones((4, 6))
    with pytest.raises(ValueError, match="weight has a stride of 48 bytes on axis 0, expected it "
                                         "contiguous"):
        linear(weight=weight[:, :2])
    with pytest.raises(ValueError, match="x has a stride of 16 bytes on axis 0, expected it cont"):
        _core.tanh_forward(np.zeros(3), np.zeros(6)[::2])


def test_strides_of_axes_of_one_mean_nothing():
    y = as_strided(np.zeros(2), (1, 2), (-999, 8))
    x = as_strided(np.ones(4), (1, 4), (0, 8))
    np.testing.assert_array_equal(linear(y, x), [[4, 4]])
    column = np.ones((4, 3))[:, :1]
    np.testing.assert_array_equal(linear(weight=np.ones((1, 2)), x=column[:3]), np.ones((3, 2)))


def test_huge_shapes_that_take_no_memory():
    with pytest.raises(ValueError, match="grad has a stride of 0 bytes"):
        _core.grad_norm(np.broadcast_to(np.float64(1), (2**59,)))
    y = np.empty((2**40, 0))
    with pytest.raises(ValueError, match="linear_forward: N is 1099511627776, expected at most "
                                         "2147483647"):
        linear(y, np.empty((2**40, 0)), np.empty((0, 0)))
    _core.softmax_forward(y, np.empty((2**40, 0)))
    wide = as_strided(np.ones(4), (2, 4), (2**36, 8))
    with pytest.raises(ValueError, match="x has a stride of 8589934592 items on axis 0, expected "
                                         "at most 2147483647"):
        linear(np.zeros((2, 0)), wide, np.zeros((4, 0)))
    endless = as_strided(np.ones(4), (8, 4), (2**62, 8))
    with pytest.raises(ValueError, match="x overlaps itself"):
        linear(np.zeros((8, 0)), endless, np.zeros((4, 0)))


def test_empty_arrays_overlap_nothing():
    buffer = np.zeros(8)
    _core.tanh_forward(buffer[:0], buffer[:0])
    linear(buffer[:0].reshape(0, 2), buffer[:0].reshape(0, 4), buffer.reshape(4, 2))
    linear(buffer[:6].reshape(3, 2), np.empty((3, 0)), buffer[:0].reshape(0, 2))
    assert (buffer == 0).all()


def test_without_inputs_an_output_is_the_bias():
    np.testing.assert_array_equal(
        linear(np.full((3, 2), np.nan), np.empty((3, 0)), np.empty((0, 2)), np.arange(2.0)),
        [[0, 1]] * 3)


@pytest.mark.parametrize("shift", [1, 2, 5])
def test_overlap_of_output_and_input(shift):
    buffer = np.zeros(20)
    with pytest.raises(ValueError, match="tanh_forward: y overlaps x, expected separate memory"):
        _core.tanh_forward(buffer[shift:shift + 6], buffer[:6])
    _core.tanh_forward(buffer[6:12], buffer[:6])
    _core.tanh_forward(buffer[:6], buffer[:6])


def test_alias_is_allowed_only_where_the_header_says_so():
    square = np.ones((2, 2))
    with pytest.raises(ValueError, match="linear_forward: y overlaps weight"):
        linear(square, np.ones((2, 2)), square)
    a = np.zeros(3)
    for name in ("m", "v", "grad", "decay"):
        with pytest.raises(ValueError, match=f"param overlaps {name}"):
            adamw(**{"param": a, name: a})
    with pytest.raises(ValueError, match="m overlaps v"):
        adamw(m=a, v=a)


def test_alias_of_other_layout_is_refused():
    buffer = np.zeros(12)
    with pytest.raises(ValueError, match="dx overlaps y"):
        _core.softmax_backward(buffer[:6].reshape(2, 3), np.zeros((2, 3)),
                               buffer[3:9].reshape(2, 3))
    with pytest.raises(ValueError, match="loss overlaps logits"):
        _core.cross_entropy(buffer[:2], None, buffer.reshape(2, 6), np.zeros(2, np.int64), None, -1)


def test_float_overlaps_integers_of_the_same_memory():
    buffer = np.zeros(4)
    with pytest.raises(ValueError, match="out overlaps idx"):
        _core.embedding_forward(buffer.reshape(4, 1), np.zeros((3, 1)), buffer.view(np.int64))


def test_interleaved_views_are_separate():
    joint = np.zeros((3, 8))
    linear(joint[:, :2], joint[:, 2:6])
    linear(joint[:, 6:], joint[:, 2:6])
    with pytest.raises(ValueError, match="y overlaps x"):
        linear(joint[:, 1:3], joint[:, 2:6])
    with pytest.raises(ValueError, match="y overlaps x"):
        linear(joint[:, 5:7], joint[:, 2:6])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_views_that_share_memory_never_pass(data):
    buffer = np.zeros(96)

    def view(columns):
        rows, width = data.draw(st.integers(1, 4)), data.draw(st.integers(columns, 12))
        at = data.draw(st.integers(0, 96 - (rows - 1) * width - columns))
        return as_strided(buffer[at:], (rows, columns), (8 * width, 8))

    y, x = view(data.draw(st.integers(1, 4))), view(data.draw(st.integers(1, 4)))
    rows = min(len(x), len(y))
    x, y = x[:rows], y[:rows]
    shared = np.shares_memory(x, y)
    weight = np.ones((x.shape[1], y.shape[1]))
    try:
        _core.linear_forward(y, x, weight, None, False)
        assert not shared
    except ValueError as error:
        assert "overlaps" in str(error)


@pytest.mark.parametrize("name, value, message", [
    ("lr", "0.1", "adamw_step: lr is str, expected a number"),
    ("lr", None, "adamw_step: lr is NoneType, expected a number"),
    ("lr", 1j, "adamw_step: lr is complex, expected a number"),
    ("step", 1.0, "adamw_step: step is float, expected an integer"),
    ("step", "1", "adamw_step: step is str, expected an integer"),
])
def test_scalars_of_other_types(name, value, message):
    with pytest.raises(TypeError, match=message):
        adamw(**{name: value})


def test_scalars_out_of_range():
    with pytest.raises(OverflowError, match="adamw_step: lr is out of range, expected a number of"):
        adamw(lr=10**400)
    with pytest.raises(OverflowError, match="adamw_step: step is out of range, expected an int"):
        adamw(step=2**64)


def test_scalars_of_numpy_pass():
    adamw(lr=np.float32(0.1), step=np.int32(3), eps=1, weight_decay=True)


def test_other_exceptions_of_a_scalar_come_through():
    class Odd:
        def __float__(self):
            raise KeyError("odd")

    with pytest.raises(KeyError, match="odd"):
        adamw(lr=Odd())


def test_as_real_converts_what_it_says():
    assert as_real([1, 2], "x").dtype == np.float64
    assert as_real([True], "x").dtype == np.float64
    assert as_real(np.ones(2, ">f4"), "x").dtype == np.float32
    assert as_real(unaligned((2,)), "x").flags.aligned
    x = np.ones((3, 4))
    assert np.shares_memory(as_real(x, "x"), x)
    for value in ("x", [None], 1j, np.float16(1), np.longdouble(1)):
        with pytest.raises(TypeError, match=r"x has dtype .*, expected float32 or float64"):
            as_real(value, "x")


def test_as_reals_takes_the_common_type():
    a, b = as_reals((np.ones(2, np.float32), "a"), (np.ones(2), "b"))
    assert a.dtype == b.dtype == np.float64
    a, b = as_reals((np.ones(2, np.float32), "a"), (np.ones(2, ">f4"), "b"))
    assert a.dtype == b.dtype == np.float32


@pytest.mark.parametrize("view", [
    lambda a: a[:, 1:3], lambda a: a.transpose(1, 0, 2), lambda a: a[::2, :, :3], lambda a: a])
def test_strided_views_are_not_copied(view):
    x = view(np.ones((4, 5, 6)))
    assert np.shares_memory(as_real(x, "x", strided=True), x)
    assert as_real(x, "x", strided=True).strides == x.strides


@pytest.mark.parametrize("view", [
    lambda a: a[::-1], lambda a: a[..., ::2], lambda a: a.T,
    lambda a: np.broadcast_to(a[:1], a.shape),
    lambda a: sliding_window_view(a, 2, axis=2), lambda a: a[:, :0]])
def test_other_views_are_copied(view):
    x = view(np.ones((4, 5, 6)))
    got = as_real(x, "x", strided=True)
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, x)


def test_as_index():
    assert as_index([], "idx").dtype == np.int64
    assert as_index(np.ones(2, np.uint8), "idx").dtype == np.int64
    with pytest.raises(ValueError, match="idx has values above the int64 range"):
        as_index(np.array([2**63], np.uint64), "idx")
    with pytest.raises(ValueError, match="idx has 1 dimensions, expected 2"):
        as_index([1], "idx", ndim=2)


def test_out_array():
    assert out_array(None, (2, 3), np.float32).shape == (2, 3)
    with pytest.raises(TypeError, match="out is list, expected a NumPy array"):
        out_array([0.0], (1,), np.float64)
    with pytest.raises(ValueError, match="out is not contiguous, expected it in C order"):
        out_array(np.zeros((3, 2)).T, (2, 3), np.float64)
    assert out_array(np.zeros((3, 2)).T, (2, 3), np.float64, strided=True).shape == (2, 3)
