"""Additive attention against its twin, central differences, PyTorch and itself."""

import sys
from typing import NamedTuple

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import needs, not_sanitized, run_python

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import additive as ref

# error over the largest value, against a float64 twin
ERROR = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}


class Case(NamedTuple):
    dout: np.ndarray
    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    weight: np.ndarray
    options: dict

    @property
    def inputs(self):
        return self.query, self.key, self.value, self.weight


def case(seed, dtype, B, Tq, Tk, A, E, *, is_causal=False, lengths=False, mask=False):
    rng = np.random.default_rng(seed)
    shapes = (B, Tq, E), (B, Tq, A), (B, Tk, A), (B, Tk, E), (A,)
    options = dict(is_causal=is_causal)
    if lengths:
        options |= dict(query_lengths=rng.integers(0, Tq + 1, B),
                        key_lengths=rng.integers(0, Tk + 1, B))
    if mask:
        options["mask"] = rng.random((B, Tq, Tk)) < 0.4
    return Case(*(rng.standard_normal(s).astype(dtype) for s in shapes), options)


def forward(c):
    """Output, log-sum-exp and weights."""
    return F.additive_attention(*c.inputs, return_lse=True, return_weights=True, **c.options)


def backward(c):
    out, lse = F.additive_attention(*c.inputs, return_lse=True, **c.options)
    return F.additive_attention_backward(c.dout, *c.inputs, out, lse, **c.options)


def results(c):
    return *forward(c), *backward(c)


def agree(c):
    """Forward and backward agree with the twin."""
    wide = [a.astype(np.float64) for a in c[:-1]]
    expected = (*ref.additive_attention(*wide[1:], **c.options),
                *ref.additive_attention_backward(*wide, **c.options))
    for got, e in zip(results(c), expected, strict=True):
        assert got.shape == e.shape and got.dtype == c.query.dtype
        np.testing.assert_array_equal(np.isneginf(got), np.isneginf(e))
        got, e = np.where(np.isneginf(e), 0, got), np.where(np.isneginf(e), 0, e)
        error = float(np.abs(got - e).max(initial=0))
        assert error <= ERROR[c.query.dtype] * max(1.0, float(np.abs(e).max(initial=0)))


@st.composite
def cases(draw):
    """Shapes odd, empty, one; runs of 16 keys full and not; several tasks."""
    times, widths = st.sampled_from([0, 1, 2, 15, 16, 17, 40]), st.sampled_from([0, 1, 3, 16, 21])
    return case(draw(st.integers(0, 2**32)), draw(st.sampled_from(DTYPES)), draw(st.integers(0, 3)),
                draw(times), draw(times), draw(widths), draw(widths), is_causal=draw(st.booleans()),
                lengths=draw(st.booleans()), mask=draw(st.booleans()))


@settings(max_examples=200, deadline=None)
@given(cases())
def test_any_case_agrees_with_the_twin(c):
    agree(c)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("B", [1, 9])
def test_long_sequences_agree_with_the_twin(dtype, B):
    agree(case(0, dtype, B, 130, 200, 30, 20, is_causal=True, lengths=True, mask=True))


@pytest.mark.parametrize("options", [{}, dict(is_causal=True, lengths=True, mask=True)])
def test_gradients_by_central_differences(options):
    c = case(1, np.float64, 2, 5, 18, 3, 2, **options)
    for name, grad in zip(("query", "key", "value", "weight"), backward(c), strict=True):
        expected = central_difference(lambda v, n=name: forward(c._replace(**{n: v}))[0],
                                      getattr(c, name), c.dout)
        np.testing.assert_allclose(grad, expected, atol=2e-8, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_pytorch(dtype):
    torch = pytest.importorskip("torch")
    c = case(2, dtype, 2, 30, 41, 24, 10, mask=True)
    leaves = [torch.tensor(a, requires_grad=True) for a in c.inputs]
    query, key, value, weight = leaves
    score = torch.tanh(query[:, :, None] + key[:, None]) @ weight
    score = score.masked_fill(~torch.tensor(c.options["mask"]), -np.inf)
    out = torch.softmax(score, -1) @ value
    out.backward(torch.tensor(c.dout))
    close(forward(c)[0], out.detach().numpy())
    for g, leaf in zip(backward(c), leaves, strict=True):
        close(g, leaf.grad.numpy())


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_are_shares_that_give_the_output(dtype):
    c = case(3, dtype, 2, 20, 35, 6, 4, lengths=True, mask=True)
    out, lse, weights = forward(c)
    close(weights.sum(-1), np.where(np.isneginf(lse), 0, 1))
    assert not weights[~c.options["mask"]].any()
    close(out, weights.astype(float) @ c.value)
    # what is returned beside it changes no bit of the output
    same_bits(F.additive_attention(*c.inputs, **c.options), out)


def test_a_query_that_sees_no_key_gives_nothing():
    c = case(4, np.float64, 4, 6, 20, 5, 3)
    mask = np.ones((4, 6, 20), bool)
    mask[2] = False
    c = c._replace(options=dict(query_lengths=[0, 6, 6, 6], key_lengths=[20, 0, 20, 1], mask=mask))
    out, lse, weights = forward(c)
    assert not out[:3].any() and not weights[:3].any() and np.isneginf(lse[:3]).all()
    for grad in backward(c)[:3]:
        assert not grad[:3].any()
    # a query that sees one key copies its value, whatever the score: no gradient of that
    close(out[3], np.broadcast_to(c.value[3, :1], out[3].shape))
    dquery, dkey, dvalue, _ = backward(c)
    assert not dquery[3].any() and not dkey[3].any()
    close(dvalue[3, 0], c.dout[3].sum(0))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("options", [
    dict(key_lengths=np.array([30, 20])), dict(is_causal=True),
    dict(mask=np.broadcast_to(np.arange(40) % 3 != 0, (2, 20, 40))),
    dict(mask=np.broadcast_to(np.arange(40) >= 20, (2, 20, 40)))],
    ids=["lengths", "causal", "mask", "mask of a run"])
def test_what_is_not_seen_reaches_nothing(value, options):
    """20 queries, 40 keys: those that no query of a sample sees may hold anything."""
    c = case(5, np.float64, 2, 20, 40, 5, 3)._replace(options=options)
    seen = (forward(c)[2] > 0).any(1)
    assert seen.any() and not seen.all()
    spoilt = c._replace(key=np.where(seen[..., None], c.key, value),
                        value=np.where(seen[..., None], c.value, value))
    for got, expected in zip(results(spoilt), results(c), strict=True):
        same_bits(got, expected)


def test_nan_reaches_the_queries_that_see_it_and_no_others():
    c = case(6, np.float64, 2, 20, 20, 5, 3, is_causal=True)
    for name in ("key", "value"):
        array = getattr(c, name).copy()
        array[1, 7, 0] = np.nan
        got, clean = results(c._replace(**{name: array})), results(c)
        assert np.isnan(got[0][1, 7:, 0]).all() and np.isnan(got[3][1, 7:]).all()
        for a, e in zip((got[0], got[3]), (clean[0], clean[3]), strict=True):
            same_bits(a[0], e[0])
            same_bits(a[1, :7], e[1, :7])
    query = c.query.copy()
    query[0, 3] = np.nan
    out = forward(c._replace(query=query))[0]
    np.testing.assert_array_equal(np.isnan(out).any(-1), (np.arange(40) == 3).reshape(2, 20))


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_values(dtype):
    """tanh is at its end, softmax one-hot: nothing overflows."""
    c = case(7, dtype, 1, 9, 30, 4, 3)
    c = c._replace(key=c.key * dtype(1e30), weight=c.weight * dtype(1e6))
    expected = ref.additive_attention(*(a.astype(np.float64) for a in c.inputs))
    for got, e in zip(forward(c), expected, strict=True):
        close(got, e)
    mixed = c._replace(key=np.where(c.key > 0, np.inf, c.key).astype(dtype))
    assert all(np.isfinite(a).all() for a in (*results(c), *results(mixed)))
    # inf - inf has no tanh
    query = np.full_like(c.query, -np.inf)
    assert np.isnan(forward(mixed._replace(query=query))[0]).all()
    # a score of +inf has no softmax, one of -inf no share
    one = np.ones((1, 1, 1), dtype)
    assert np.isnan(F.additive_attention(one, one, one, [np.inf]))
    assert F.additive_attention(one, one, one, [-np.inf]) == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("B", [1, 3])
def test_any_number_of_threads_gives_the_same_bits(dtype, B):
    c = case(8, dtype, B, 70, 90, 17, 11, is_causal=True, lengths=True, mask=True)
    same_for_any_threads(lambda: results(c))


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_agrees_with_the_twin(isa):
    needs(isa)
    run_python(f"""
        import numpy as np
        from gatelearn import _core
        assert _core.get_isa() == {isa!r}
        from test_additive import agree, case
        for dtype in (np.float32, np.float64):
            agree(case(0, dtype, 2, 33, 50, 19, 18, is_causal=True, mask=True))
            agree(case(0, dtype, 2, 7, 16, 16, 1, lengths=True))
    """, GATELEARN_ISA=isa)


@not_sanitized
def test_the_array_of_sums_is_never_held():
    """1,000 x 1,000 x 64 sums would be 256 MB; both passes may take 16 MiB beyond their arrays."""
    extra = run_python("""
        import resource
        import numpy as np
        from gatelearn import functional as F
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        x, w = np.ones((1, 1000, 64), np.float32), np.ones(64, np.float32)
        before = peak()
        out, lse = F.additive_attention(x, x, x, w, return_lse=True)
        F.additive_attention_backward(x, x, x, x, w, out, lse)
        print(peak() - before)
    """)
    # ru_maxrss is in KiB on Linux, bytes on macOS
    assert int(extra) < 16 * 1024 * (1024 if sys.platform == "darwin" else 1)


def test_inputs_of_any_strides_and_types():
    c = case(9, np.float64, 2, 8, 20, 6, 6)
    expected = results(c)
    odd = c._replace(query=np.asfortranarray(c.query), key=np.repeat(c.key, 2, -1)[..., ::2],
                     value=c.value[::-1].copy()[::-1], weight=c.weight.astype(">f8"))
    for got, e in zip(results(odd), expected, strict=True):
        same_bits(got, e)
    out = np.empty_like(expected[0])
    assert F.additive_attention(*c.inputs, out=out) is out
    same_bits(out, expected[0])
    # float32 and float64 become float64; integers do, too
    mixed = F.additive_attention(c.query.astype(np.float32), *c.inputs[1:])
    assert mixed.dtype == np.float64
    ones = np.ones((1, 2, 3), int)
    close(F.additive_attention(ones, ones, ones, [1, 1, 1]), np.ones((1, 2, 3)))


def test_empty_arrays_of_endless_batches_return_at_once():
    many = 2**29
    x, wide = np.empty((many, 0, 0)), np.empty((many, many, 0))
    assert F.additive_attention(x, x, x, []).shape == (many, 0, 0)
    assert F.additive_attention(wide, x, x, []).shape == (many, many, 0)
    lse = np.empty((many, 0))
    assert F.additive_attention_backward(x, x, x, x, [], x, lse)[0].shape == x.shape


def test_no_query_leaves_gradients_of_zero():
    c = case(10, np.float64, 2, 0, 5, 3, 2)
    _, dkey, dvalue, dweight = backward(c)
    assert dkey.shape == (2, 5, 3) and dvalue.shape == (2, 5, 2)
    assert not (dkey.any() or dvalue.any() or dweight.any())


ERRORS = [
    (dict(query=np.ones((2, 3))), ValueError, "query has 2 dimensions, expected 3"),
    (dict(key=np.ones((1, 4, 5))), ValueError, r"key.shape\[2\] is 5, expected A = 3"),
    (dict(value=np.ones((1, 3, 2))), ValueError, r"value.shape\[1\] is 3, expected K = 4"),
    (dict(weight=np.ones(2)), ValueError, r"weight.shape\[0\] is 2, expected A = 3"),
    (dict(weight=np.ones((3, 1))), ValueError, "weight has 2 dimensions, expected 1"),
    (dict(key=np.ones((1, 4, 3), complex)), TypeError, "key has dtype complex128, expected float"),
    (dict(key_lengths=[5]), ValueError, "key_lengths is not allowed at row 0, expected 0 to the "),
    (dict(query_lengths=[-1]), ValueError, "query_lengths is not allowed at row 0, expected 0 to"),
    (dict(key_lengths=[1.0]), TypeError, "key_lengths has dtype float64, expected integers"),
    (dict(query_lengths=[1, 1]), ValueError, r"query_lengths.shape\[0\] is 2, expected B = 1"),
    (dict(mask=np.ones((1, 2, 4))), TypeError, "mask has dtype float64, expected bool"),
    (dict(mask=np.ones((2, 4), bool)), ValueError, "mask has 2 dimensions, expected 3"),
    (dict(mask=np.ones((1, 2, 5), bool)), ValueError, r"mask.shape\[2\] is 5, expected K = 4"),
    (dict(out=np.ones((1, 2, 3))), ValueError, r"out has shape \(1, 2, 3\), expected \(1, 2, 2\)"),
]


@pytest.mark.parametrize("change, kind, message", ERRORS)
def test_errors_name_argument_has_and_expected(change, kind, message):
    args = dict(query=np.ones((1, 2, 3)), key=np.ones((1, 4, 3)), value=np.ones((1, 4, 2)),
                weight=np.ones(3))
    with pytest.raises(kind, match=message):
        F.additive_attention(**(args | change))
    backward_args = {k: v for k, v in (args | change).items() if k != "out"}
    if "out" not in change:
        with pytest.raises(kind, match=message):
            F.additive_attention_backward(np.ones((1, 2, 2)), out=np.ones((1, 2, 2)),
                                          lse=np.ones((1, 2)), **backward_args)


def test_backward_and_core_errors():
    x, w, out, lse = np.ones((1, 2, 3)), np.ones(3), np.ones((1, 2, 3)), np.ones((1, 2))
    with pytest.raises(ValueError, match=r"dout.shape\[2\] is 4, expected E = 3"):
        F.additive_attention_backward(np.ones((1, 2, 4)), x, x, x, w, out, lse)
    with pytest.raises(ValueError, match=r"lse.shape\[1\] is 3, expected Q = 2"):
        F.additive_attention_backward(x, x, x, x, w, out, np.ones((1, 3)))
    with pytest.raises(ValueError, match="out overlaps query, expected separate memory"):
        _core.additive_forward(x, x, x, w, None, None, None, False, x, None, None)
    with pytest.raises(ValueError, match="dquery overlaps dkey, expected separate memory"):
        _core.additive_backward(x, x, x, w, None, None, None, False, out, lse, out, dx := x + 1,
                                dx, x + 1, w + 1)
