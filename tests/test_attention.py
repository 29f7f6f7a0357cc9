"""Attention against its twin, central differences, PyTorch and itself."""

import math
import sys

import numpy as np
import pytest
from attention_cases import (
    backward,
    cancelling,
    case,
    forward,
    projection,
    twin_backward,
    twin_forward,
)
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import needs, not_sanitized, run_python

from gatelearn import _core
from gatelearn import functional as F

# for large sizes and hypothesis: error over the largest value, against a float64 twin
ERROR = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-12}


def near(actual, expected, least=1.0):
    """Assert that the error is small next to the largest value of the array, or to `least`."""
    assert actual.shape == expected.shape
    scale = max(1.0, least, float(np.abs(expected).max(initial=0)))
    assert float(np.abs(actual - expected).max(initial=0)) <= ERROR[actual.dtype] * scale


def agree(c):
    """Forward and backward agree with the twin."""
    got, expected = forward(c), twin_forward(c)
    assert got[0].dtype == c.query.dtype
    near(got[0], expected[0])
    dead = np.isinf(expected[1])
    np.testing.assert_array_equal(np.isneginf(got[1]), dead)
    near(np.where(dead, 0, got[1]), np.where(dead, 0, expected[1]))
    least = [*cancelling(c), 1.0, 1.0]
    for g, e, terms in zip(backward(c), twin_backward(c), least, strict=False):
        near(g, e, terms)


@st.composite
def cases(draw):
    """Shapes odd, empty, one; more than a block of keys and of queries."""
    sizes = st.sampled_from([0, 1, 2, 3, 7, 16, 33])
    times = st.sampled_from([0, 1, 2, 5, 31, 95, 97, 129, 200, 300])
    B, H = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    Tq, Tk, D, E = draw(times), draw(times), draw(sizes), draw(sizes)
    lengths = st.one_of(st.none(), st.just("random"))
    return case(draw(st.integers(0, 2**32)), draw(st.sampled_from(DTYPES)), B, H, Tq, Tk, D, E,
                is_causal=draw(st.booleans()),
                scale=draw(st.sampled_from([None, 0.0, -0.7, 3.0])),
                gate=draw(st.sampled_from([None, "mixed", "closed"])),
                query_lengths=draw(lengths), key_lengths=draw(lengths))


@settings(max_examples=150, deadline=None)
@given(cases())
def test_any_case_agrees_with_the_twin(c):
    agree(c)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("Tq, Tk", [(97, 129), (300, 31), (31, 300), (1, 257), (257, 1)])
def test_several_blocks_agree_with_the_twin(dtype, is_causal, Tq, Tk):
    agree(case(0, dtype, 2, 2, Tq, Tk, 20, 9, is_causal=is_causal, gate="mixed",
               query_lengths="random", key_lengths="random"))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("scale", [None, -0.7, 0.0])
def test_gradients_by_central_differences(is_causal, scale):
    c = case(1, np.float64, 2, 2, 4, 5, 3, 2, is_causal=is_causal, scale=scale, gate="mixed",
             query_lengths="random", key_lengths="random")
    grads = dict(zip(("query", "key", "value", "gate"), backward(c), strict=True))
    for name, grad in grads.items():
        expected = central_difference(lambda v, n=name: forward(c._replace(**{n: v}))[0],
                                      getattr(c, name), c.dout)
        if name == "gate":
            expected[c.gate == 0] = 0  # a closed head has no gradient of its gate
        np.testing.assert_allclose(grad, expected, atol=2e-8, rtol=1e-6)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("Tq, Tk, D", [(64, 64, 16), (257, 257, 40), (130, 200, 64)])
def test_parity_with_pytorch(is_causal, Tq, Tk, D):
    """In float32, our largest error against float64 is at most twice PyTorch's, or 2e-6."""
    torch = pytest.importorskip("torch")
    c = case(2, np.float32, 2, 3, Tq, Tk, D, D, is_causal=is_causal)
    exact = (twin_forward(c)[0], *twin_backward(c)[:3])
    leaves = [torch.tensor(a, requires_grad=True) for a in (c.query, c.key, c.value)]
    out = torch.nn.functional.scaled_dot_product_attention(*leaves, is_causal=is_causal)
    out.backward(torch.tensor(c.dout))
    theirs = [out.detach(), *(x.grad for x in leaves)]
    for ours, t, e in zip((forward(c)[0], *backward(c)[:3]), theirs, exact, strict=True):
        scale = np.abs(e).max()
        error, limit = np.abs(ours - e).max() / scale, np.abs(t.numpy() - e).max() / scale
        assert error <= max(2 * limit, 2e-6)
        np.testing.assert_allclose(ours, t.numpy(), atol=1e-4 * scale)


def test_lengths_of_zero_and_one():
    c = case(3, np.float64, 3, 2, 5, 6, 4, 3)._replace(
        query_lengths=np.array([0, 1, 5]), key_lengths=np.array([6, 0, 1]))
    agree(c)
    out, lse = forward(c)
    assert not out[0].any() and not out[1].any() and np.isneginf(lse[:2]).all()
    dq, dk, dv = backward(c)
    assert not any(g[:2].any() for g in (dq, dk, dv))
    # a query that sees one key copies its value
    close(out[2], np.broadcast_to(c.value[2, :, :1], out[2].shape))


@pytest.mark.parametrize("dtype", DTYPES)
def test_split_of_one_projection_is_read_and_written_in_place(rng, dtype):
    B, T, H, D = 2, 131, 3, 8
    qkv = rng.standard_normal((B, T, 3, H, D)).astype(dtype)
    q, k, v = projection(qkv)
    dout = rng.standard_normal((B, T, H, D)).astype(dtype).transpose(0, 2, 1, 3)
    gate = np.array([[1, 0, 2], [0.5, -1, 0]], dtype)

    out = np.empty((B, T, H, D), dtype).transpose(0, 2, 1, 3)
    lse = np.empty((B, H, T), dtype)
    options = (gate, *[None] * 6, 0.3, -1, 0, 1, 0.0, 0)
    # the core takes views as they are, and refuses what it would have to copy
    _core.attention_forward(q, k, v, *options, out, lse)
    dqkv = np.full_like(qkv, np.nan)
    dgate = np.empty_like(gate)
    _core.attention_backward(q, k, v, *options, out, lse, dout, *projection(dqkv), dgate,
                             None)

    args = dict(gate=gate, scale=0.3, is_causal=True)
    copies = [np.ascontiguousarray(a) for a in (q, k, v)]
    expected, expected_lse = F.attention(*copies, return_lse=True, **args)
    same_bits(out, expected)
    same_bits(lse, expected_lse)
    grads = F.attention_backward(dout, *copies, expected, lse, **args)
    for g, e in zip((*projection(dqkv), dgate), grads[:4], strict=True):
        same_bits(g, e)
    same_bits(F.attention(q, k, v, **args), expected)


def test_functional_copies_what_the_core_refuses(rng):
    x = rng.standard_normal((2, 2, 6, 8))
    odd = [x[:, :, ::-1], x[..., ::2], np.broadcast_to(x[:, :1], x.shape),
           np.lib.stride_tricks.sliding_window_view(x, 3, axis=3)[:, :, 0],
           x.astype(">f8"), x[..., :3], np.asfortranarray(x)]
    for q in odd:
        copy = np.array(q, np.float64, order="C")
        same_bits(F.attention(q, copy, copy), F.attention(copy, copy, copy))
    with pytest.raises(ValueError, match="query has a stride of -64 bytes on axis 2, expected"):
        _core.attention_forward(odd[0], x, x, *[None] * 7, 1.0, -1, -1, 1, 0.0, 0, np.empty_like(x),
                                None)


@pytest.mark.parametrize("dtype, size", [(np.float32, 1e4), (np.float32, -1e4), (np.float64, 1e4),
                                         (np.float64, 1e30), (np.float64, -1e30)])
@pytest.mark.parametrize("is_causal", [False, True])
def test_huge_scores(dtype, size, is_causal):
    """Scores up to `size`: softmax is one-hot, nothing overflows."""
    c = case(4, dtype, 1, 2, 150, 150, 5, 4, is_causal=is_causal, scale=size)
    out, expected = forward(c)[0], twin_forward(c)[0]
    assert np.isfinite(out).all()
    if dtype == np.float64:
        # of a score of 1e5, float64 itself leaves an error of 1e-11 in the exponent
        np.testing.assert_allclose(out, expected, atol=1e-11, rtol=0)
    for grad in backward(c):
        assert np.isfinite(grad).all()
    flat = c._replace(query=np.zeros_like(c.query))
    near(forward(flat)[0], twin_forward(flat)[0])


def test_scores_of_infinity(rng):
    q = np.ones((1, 1, 2, 1))
    k = np.array([-np.inf, 0, 1]).reshape(1, 1, 3, 1)
    v = rng.standard_normal((1, 1, 3, 2))
    close(F.attention(q, k, v)[..., :1, :], F.attention(q[:, :, :1], k[:, :, 1:], v[:, :, 1:]))
    # nothing but -inf: nothing to attend to
    out, lse = F.attention(q, k[:, :, :1], v[:, :, :1], return_lse=True)
    assert not out.any() and np.isneginf(lse).all()
    # +inf has no softmax
    assert np.isnan(F.attention(q, -k, v)).all()
    # a score that overflows float32 is such an infinity
    huge = np.full((1, 1, 1, 1), 1e30, np.float32)
    assert np.isnan(F.attention(huge, huge, huge)).all()


def test_a_score_of_minus_infinity_in_an_early_block_is_forgotten(rng):
    """A first block of keys with nothing to see leaves no trace in the running maximum."""
    c = case(5, np.float64, 1, 1, 3, 200, 4, 2)
    key = c.key.copy()
    key[:, :, :128] = 0
    key[:, :, :128, 0] = -np.inf
    query = np.abs(c.query)
    out = F.attention(query, key, c.value)
    near(out, F.attention(query, key[:, :, 128:], c.value[:, :, 128:]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_do_not_depend_on_the_number_of_threads(dtype):
    c = case(6, dtype, 2, 3, 210, 150, 17, 11, is_causal=True, gate="mixed",
             query_lengths="random")
    same_for_any_threads(lambda: (*forward(c), *backward(c)))


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_agrees_with_the_twin(isa):
    needs(isa)
    run_python(f"""
        import numpy as np
        from gatelearn import _core
        assert _core.get_isa() == {isa!r}
        from attention_cases import case
        from test_attention import agree
        for dtype in (np.float32, np.float64):
            for Tq, Tk, D, E, is_causal in [(1, 1, 1, 1, True), (97, 131, 33, 7, True),
                                            (130, 200, 16, 64, False), (5, 0, 3, 3, False)]:
                agree(case(0, dtype, 2, 2, Tq, Tk, D, E, is_causal=is_causal, gate="mixed",
                           key_lengths="random"))
    """, GATELEARN_ISA=isa)


def test_an_unknown_instruction_set_is_refused():
    run_python("""
        try:
            import gatelearn
        except ImportError as e:
            assert "GATELEARN_ISA is 'sse9', expected baseline, avx2 or avx512" in str(e)
        else:
            raise SystemExit("imported")
    """, GATELEARN_ISA="sse9")


@not_sanitized
def test_the_matrix_of_scores_is_never_held():
    """16,384 x 16,384 scores would be 1 GiB; the pass may take 16 MiB beyond its arrays."""
    extra = run_python("""
        import resource
        import numpy as np
        from gatelearn import functional as F
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        T = 16384
        x = np.random.default_rng(0).standard_normal((1, 1, T, 8)).astype(np.float32)
        out, lse = F.attention(x[:, :, :200], x, x, is_causal=True, return_lse=True)
        held = [np.zeros_like(x) for _ in range(5)]
        before = peak()
        out, lse = F.attention(x, x, x, is_causal=True, return_lse=True)
        F.attention_backward(x, x, x, x, out, lse, is_causal=True)
        print(peak() - before)
    """)
    # tracing tools cannot see the core's memory; ru_maxrss is in KiB on Linux, bytes on macOS
    assert int(extra) < 16 * 1024 * (1024 if sys.platform == "darwin" else 1)


def test_empty_arrays_of_endless_heads_return_at_once():
    q = np.empty((2**30, 2**30, 1, 0), np.float32)
    assert F.attention(q, q, q).shape == q.shape
    q = np.empty((2**30, 2**30, 0, 1), np.float32)
    lse = np.empty(q.shape[:3], np.float32)
    assert F.attention_backward(q, q, q, q, q, lse)[0].shape == q.shape


ERRORS = [
    (dict(query=np.ones((1, 2, 3))), ValueError, "query has 3 dimensions, expected 4"),
    (dict(key=np.ones((1, 2, 3, 5))), ValueError, r"key.shape\[3\] is 5, expected D = 4"),
    (dict(key=np.ones((1, 3, 3, 4))), ValueError, r"value.shape\[1\] is 2, expected G = 3"),
    (dict(value=np.ones((1, 2, 4, 4))), ValueError, r"value.shape\[2\] is 4, expected K = 3"),
    (dict(value=np.ones((1, 2, 3, 4), complex)), TypeError, "value has dtype complex128"),
    (dict(query=np.ones((1, 2, 3, 4), np.float16)), TypeError, "query has dtype float16"),
    (dict(query="text"), TypeError, "query has dtype <U4, expected float32 or float64"),
    (dict(gate=np.ones(2)), ValueError, "gate has 1 dimensions, expected 2 to 4"),
    (dict(gate=np.ones((2, 2))), ValueError, r"gate.shape\[0\] is 2, expected B = 1"),
    (dict(gate=[[1, np.nan]]), ValueError, "gate has values that are not finite"),
    (dict(scale=math.inf), ValueError, "scale is inf, expected a finite number"),
    (dict(scale=math.nan), ValueError, "scale is nan, expected a finite number"),
    (dict(query_lengths=[4]), ValueError,
     "query_lengths is not allowed at row 0, expected 0 to the number of queries"),
    (dict(query_lengths=[-1]), ValueError, "query_lengths is not allowed at row 0"),
    (dict(key_lengths=[4]), ValueError,
     "key_lengths is not allowed at row 0, expected 0 to the number of keys"),
    (dict(key_lengths=[1.0]), TypeError, "key_lengths has dtype float64, expected integers"),
    (dict(key_lengths=[1, 1]), ValueError, r"key_lengths.shape\[0\] is 2, expected B = 1"),
    (dict(out=np.ones((1, 2, 3, 5))), ValueError, "out has shape .*, expected"),
    (dict(out=np.ones((1, 2, 3, 4), np.float32)), TypeError, "out has dtype float32"),
    (dict(out=[1.0]), TypeError, "out is list, expected a NumPy array"),
]


@pytest.mark.parametrize("change, kind, message", ERRORS)
def test_errors_name_argument_has_and_expected(change, kind, message):
    args = {name: np.ones((1, 2, 3, 4)) for name in ("query", "key", "value")}
    with pytest.raises(kind, match=message):
        F.attention(**{**args, **change})


def test_scale_must_fit_the_type():
    x = np.ones((1, 1, 1, 1), np.float32)
    with pytest.raises(ValueError, match=r"scale is 1e\+300, expected a finite number of float32"):
        F.attention(x, x, x, scale=1e300)
    close(F.attention(x.astype(float), x, x, scale=1e300), x)


def test_outputs_must_not_overlap():
    x = np.ones((1, 2, 3, 4))
    with pytest.raises(ValueError, match="out overlaps query, expected separate memory"):
        F.attention(x, x.copy(), x.copy(), out=x)
    lse = np.ones((1, 2, 3))
    buffer = np.ones(25)
    dq, dk = buffer[:24].reshape(x.shape), buffer[1:].reshape(x.shape)
    args = (x, x, x, *[None] * 7, 1.0, -1, -1, 1, 0.0, 0, x, lse, x)
    with pytest.raises(ValueError, match="dquery overlaps dkey, expected separate memory"):
        _core.attention_backward(*args, dq, dk, np.empty_like(x), None, None)
    twice = np.lib.stride_tricks.as_strided(np.ones(64), x.shape, (8, 32, 32, 8))
    with pytest.raises(ValueError, match="dquery overlaps itself, expected separate memory"):
        _core.attention_backward(*args, twice, np.empty_like(x), np.empty_like(x), None, None)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only, expected a writeable array"):
        F.attention(x.copy(), x.copy(), x.copy(), out=x)


def test_backward_errors_name_the_argument():
    x, lse = np.ones((1, 2, 3, 4)), np.ones((1, 2, 3))
    for change, message in [
        (dict(dout=np.ones((1, 2, 3, 5))), r"dout.shape\[3\] is 5, expected E = 4"),
        (dict(out=np.ones((1, 2, 2, 4))), r"out.shape\[2\] is 2, expected Q = 3"),
        (dict(lse=np.ones((1, 2, 4))), r"lse.shape\[2\] is 4, expected Q = 3"),
        (dict(lse=np.ones((2, 3))), "lse has 2 dimensions, expected 3"),
    ]:
        args = {**dict(dout=x, query=x, key=x, value=x, out=x, lse=lse), **change}
        with pytest.raises(ValueError, match=message):
            F.attention_backward(**args)
