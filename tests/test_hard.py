"""Hard attention against its twin, central differences, PyTorch, enumeration and itself."""

import sys
from typing import NamedTuple

import numpy as np
import pytest
from attention_cases import projection
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import needs, not_sanitized, run_python

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import hard as ref
from gatelearn._reference.attention import attention

# error over the largest value, against a float64 twin
ERROR = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-12}


class Case(NamedTuple):
    dout: np.ndarray
    dlogp: np.ndarray
    dentropy: np.ndarray
    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    uniforms: np.ndarray
    options: dict

    @property
    def inputs(self):
        return self.query, self.key, self.value


def case(seed, dtype, B, H, Tq, Tk, D, E, *, is_causal=False, lengths=False, mask=None):
    """Draw inputs. Every query sees the first key; `mask` is the shape of one."""
    rng = np.random.default_rng(seed)
    rows = (B, H, Tq)
    shapes = (*rows, E), rows, rows, (*rows, D), (B, H, Tk, D), (B, H, Tk, E)
    options = dict(is_causal=is_causal) | (dict(scale=0.5) if D == 0 else {})
    if lengths:
        options["key_lengths"] = rng.integers(1, Tk + 1, B)
    if mask is not None:
        options["mask"] = rng.random(mask) < 0.4
        options["mask"][..., 0] = True
    return Case(*(rng.standard_normal(s).astype(dtype) for s in shapes), rng.random(rows, dtype),
                options)


def forward(c):
    """Output, actions, log-probability, entropy and log-sum-exp."""
    return F.hard_attention(*c.inputs, c.uniforms, **c.options)


def backward(c, saved=None):
    _, actions, _, entropy, lse = forward(c) if saved is None else saved
    return F.hard_attention_backward(c.dout, c.dlogp, c.dentropy, *c.inputs, actions, lse, entropy,
                                     **c.options)


def results(c):
    saved = forward(c)
    return *saved, *backward(c, saved)


def near(got, expected, dtype):
    assert got.shape == expected.shape and got.dtype == dtype
    error = np.abs(got - expected).max(initial=0)
    assert error <= ERROR[np.dtype(dtype)] * max(1.0, np.abs(expected).max(initial=0))


def probabilities(query, key, **options):
    """Softmax, in float64."""
    return attention(query.astype(np.float64), key.astype(np.float64), key, **options)[2]


def agree(c):
    """Forward and backward agree with the twin."""
    dtype = c.query.dtype
    wide = [a.astype(np.float64) for a in c[:-1]]
    out, actions, *more = saved = forward(c)
    expected = ref.hard_attention(*wide[3:], **c.options)
    if dtype == np.float64:
        np.testing.assert_array_equal(actions, expected[1])
    same_bits(out, np.take_along_axis(c.value, actions[..., None], 2))
    for got, e in zip(more, ref.hard_attention_log_prob(*wide[3:5], actions, **c.options),
                      strict=True):
        near(got, e, dtype)
    for got, e in zip(backward(c, saved),
                      ref.hard_attention_backward(*wide[:6], actions, **c.options), strict=True):
        near(got, e, dtype)


@st.composite
def cases(draw):
    """Shapes odd, empty, one; blocks of keys full and not, of queries one and several."""
    B, H = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    Tq = draw(st.sampled_from([0, 1, 2, 3, 4, 5, 13, 64, 65, 130]))
    Tk = draw(st.sampled_from([1, 2, 15, 16, 17, 128, 129, 256, 300]))
    widths = st.sampled_from([0, 1, 3, 16, 21])
    full = (B, H, Tq, Tk)
    mask = draw(st.sampled_from([None, full, full[2:], (B, 1, 1, Tk), (1, H, Tq, 1)]))
    return case(draw(st.integers(0, 2**32)), draw(st.sampled_from(DTYPES)), *full, draw(widths),
                draw(widths), is_causal=draw(st.booleans()), lengths=draw(st.booleans()), mask=mask)


@settings(max_examples=200, deadline=None)
@given(cases())
def test_any_case_agrees_with_the_twin(c):
    agree(c)


# a row of keys shared by tasks; also several blocks of queries
LONG = [(1, 1, 1, 65536), (1, 2, 3, 5000), (1, 1, 70, 6000)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", LONG)
@pytest.mark.parametrize("options", [{}, dict(is_causal=True, lengths=True)])
def test_long_rows_agree_with_the_twin(dtype, shape, options):
    agree(case(0, dtype, *shape, 8, 3, **options))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_draw_is_that_of_categorical_sample(dtype):
    """Whole numbers: scores are exact, so the rule alone decides."""
    rng = np.random.default_rng(1)
    query = rng.integers(-2, 3, (2, 2, 40, 4)).astype(dtype)
    key = rng.integers(-2, 3, (2, 2, 5000, 4)).astype(dtype)
    uniforms = rng.random(query.shape[:3], dtype)
    uniforms[..., 0], uniforms[..., 1] = 0, np.nextafter(dtype(1), dtype(0))
    _, actions, logp, _, _ = F.hard_attention(query, key, key, uniforms, scale=0.5)
    expected = F.categorical_sample(0.5 * (query @ key.swapaxes(-1, -2)).astype(dtype), uniforms)
    same_bits(actions, expected[0])
    same_bits(logp, expected[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("Tk", [1, 7, 300])
def test_frequencies_are_the_probabilities(dtype, Tk):
    """An even grid of N uniforms draws each position N p times, but for one at each end."""
    n = 20000
    c = case(2, dtype, 1, 1, 1, Tk, 5, 1)
    query = np.repeat(c.query, n, 2)
    grid = ((np.arange(n) + 0.5) / n).reshape(1, 1, n)
    counts = np.bincount(F.hard_attention(query, c.key, c.value, grid)[1].ravel(), minlength=Tk)
    expected = n * probabilities(c.query, c.key).ravel()
    assert np.abs(counts - expected).max() <= 1 + n * ERROR[np.dtype(dtype)]
    assert ((counts - expected) ** 2 / expected).sum() <= 0.5 * Tk


@pytest.mark.parametrize("options", [
    {}, dict(is_causal=True, lengths=True, mask=(2, 2, 5, 18))], ids=["plain", "hidden keys"])
def test_gradients_by_central_differences(options):
    c = case(3, np.float64, 2, 2, 5, 18, 3, 2, **options)
    _, actions, logp, entropy, lse = forward(c)
    assert np.isfinite(logp).all()

    def gradient(dlogp, dentropy):
        return F.hard_attention_backward(None, dlogp, dentropy, *c.inputs, actions, lse, entropy,
                                         **c.options)

    for which, given_ in enumerate([(c.dlogp, None), (None, c.dentropy)]):
        dquery, dkey, dvalue = gradient(*given_)
        assert not dvalue.any()
        for name, grad in (("query", dquery), ("key", dkey)):
            def f(x, name=name, which=which):
                both = dict(query=c.query, key=c.key) | {name: x}
                return F.hard_attention_log_prob(**both, actions=actions, **c.options)[which]
            expected = central_difference(f, getattr(c, name), given_[which])
            np.testing.assert_allclose(grad, expected, atol=2e-8, rtol=1e-6)


@pytest.mark.parametrize("options", [{}, dict(mask=(2, 1, 6, 9))], ids=["plain", "mask"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_pytorch(dtype, options):
    torch = pytest.importorskip("torch")
    c = case(4, dtype, 2, 3, 6, 9, 5, 4, **options)
    out, actions, logp, entropy, lse = forward(c)
    query, key, value = (torch.tensor(a, requires_grad=True) for a in c.inputs)
    score = query @ key.transpose(-1, -2) / 5**0.5
    if options:
        score = score.masked_fill(~torch.tensor(c.options["mask"]), -1e30)
    every, z = torch.log_softmax(score, -1), torch.tensor(actions)[..., None]
    expected = (torch.take_along_dim(value, z, 2), torch.take_along_dim(every, z, 3)[..., 0],
                -(every.exp() * every).sum(-1))
    grads = torch.autograd.grad(expected, (query, key, value),
                                [torch.tensor(a) for a in (c.dout, c.dlogp, c.dentropy)])
    for got, e in zip((out, logp, entropy, *backward(c)), (*expected, *grads), strict=True):
        near(got, e.detach().numpy(), dtype)
    close(lse, torch.logsumexp(score, -1).detach().numpy())


def test_the_expected_gradient_is_that_of_the_expected_reward():
    """REINFORCE by enumeration: one query for each action, weighted with its probability."""
    c = case(5, np.float64, 1, 1, 1, 11, 4, 1)
    reward = np.random.default_rng(6).standard_normal(11)
    every = np.arange(11).reshape(1, 1, 11)
    p = probabilities(c.query, c.key)
    query = np.repeat(c.query, 11, 2)
    _, entropy, lse = F.hard_attention_log_prob(query, c.key, every)
    dquery, dkey, _ = F.hard_attention_backward(None, (p * reward).reshape(1, 1, 11), None, query,
                                                c.key, c.value, every, lse, entropy)
    np.testing.assert_allclose(
        dquery.sum(2, keepdims=True),
        central_difference(lambda x: probabilities(x, c.key) @ reward, c.query, 1), atol=1e-8)
    np.testing.assert_allclose(
        dkey, central_difference(lambda x: probabilities(c.query, x) @ reward, c.key, 1), atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 2, 10, 300), LONG[0]])
def test_given_actions_have_the_bits_of_the_draw(dtype, shape):
    c = case(7, dtype, *shape, 8, 2)
    _, actions, *drawn = forward(c)
    for got, e in zip(F.hard_attention_log_prob(c.query, c.key, actions), drawn, strict=True):
        same_bits(got, e)


def test_a_draw_leaks_no_gradient():
    """Not even NaN in the gradient of the output reaches queries and keys."""
    c = case(8, np.float64, 2, 2, 9, 20, 4, 3)
    c.dout[0, 1, 2, 0] = np.nan
    _, actions, _, entropy, lse = forward(c)
    saved = *c.inputs, actions, lse, entropy
    dquery, dkey, dvalue = F.hard_attention_backward(c.dout, None, None, *saved)
    assert not dquery.any() and not dkey.any()
    drawn = np.zeros(c.value.shape[:3], bool)
    np.put_along_axis(drawn, actions, True, 2)
    assert not dvalue[~drawn].any() and np.isnan(dvalue[0, 1, actions[0, 1, 2], 0])
    assert np.isnan(dvalue).sum() == 1
    for got, e in zip(backward(c)[:2], F.hard_attention_backward(
            None, c.dlogp, c.dentropy, *saved)[:2], strict=True):
        same_bits(got, e)
    for grad in F.hard_attention_backward(None, None, None, *saved):
        assert not grad.any()


def test_only_values_that_were_drawn_are_read():
    """The others lie in pages that may not be touched, in both passes."""
    run_python("""
        import ctypes, mmap
        import numpy as np
        from gatelearn import functional as F
        page = mmap.PAGESIZE
        memory = mmap.mmap(-1, 3 * page)
        value = np.frombuffer(memory, np.float64).reshape(1, 1, 3, page // 8)
        value[0, 0, 1] = 7
        query, key = np.ones((1, 1, 2, 4)), np.zeros((1, 1, 3, 4))
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        for row in (0, 2):
            address = value.ctypes.data + row * page
            assert protect(ctypes.c_void_p(address), ctypes.c_size_t(page), 0) == 0
        out, actions, logp, entropy, lse = F.hard_attention(query, key, value, [[[0.4, 0.6]]])
        assert (out == 7).all() and (actions == 1).all()
        one = np.ones_like(logp)
        F.hard_attention_backward(out, one, one, query, key, value, actions, lse, entropy)
    """)


HIDDEN = [dict(key_lengths=np.array([30, 20])), dict(is_causal=True),
          dict(mask=np.arange(300) % 3 == 0), dict(mask=(np.arange(300) < 7)[None])]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("Tq", [2, 20])
@pytest.mark.parametrize("options", HIDDEN, ids=["lengths", "causal", "mask", "mask of a run"])
def test_what_no_query_sees_may_hold_anything(value, Tq, options):
    c = case(9, np.float64, 2, 2, Tq, 300, 5, 3)._replace(options=options)
    seen = (probabilities(c.query, c.key, **options) > 0).any(2)
    assert seen.any() and not seen.all()
    spoilt = c._replace(key=np.where(seen[..., None], c.key, value),
                        value=np.where(seen[..., None], c.value, value))
    for got, expected in zip(results(spoilt), results(c), strict=True):
        same_bits(got, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [*LONG, (2, 3, 70, 300)])
def test_any_number_of_threads_gives_the_same_bits(dtype, shape):
    c = case(10, dtype, *shape, 8, 3, is_causal=shape[2] > 3, lengths=True)
    same_for_any_threads(lambda: results(c))


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_agrees_with_the_twin(isa):
    needs(isa)
    run_python(f"""
        import numpy as np
        from gatelearn import _core
        assert _core.get_isa() == {isa!r}
        from test_hard import agree, case
        for dtype in (np.float32, np.float64):
            agree(case(0, dtype, 2, 2, 33, 300, 19, 18, is_causal=True, mask=(2, 2, 33, 300)))
            agree(case(0, dtype, 1, 1, 1, 5000, 16, 1, lengths=True))
    """, GATELEARN_ISA=isa)


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_scores_make_the_choice_certain(dtype):
    c = case(11, dtype, 1, 1, 9, 30, 4, 3)
    c = c._replace(key=c.key * dtype(1e30))
    best = np.argmax(c.query.astype(float) @ c.key.swapaxes(-1, -2), -1)
    _, actions, logp, entropy, lse = forward(c)
    np.testing.assert_array_equal(actions, best)
    assert not logp.any() and not entropy.any() and np.isfinite(lse).all()
    dquery, dkey, _ = backward(c)
    assert not dquery.any() and not dkey.any()


def test_one_key_leaves_no_choice():
    c = case(12, np.float64, 2, 2, 3, 1, 4, 3)
    out, actions, logp, entropy, _ = forward(c)
    same_bits(out, np.repeat(c.value, 3, 2))
    assert not actions.any() and not logp.any() and not entropy.any()
    dquery, dkey, dvalue = backward(c)
    assert not dquery.any() and not dkey.any()
    close(dvalue, c.dout.sum(2, keepdims=True))


def test_a_hidden_action_has_no_probability_and_no_gradient():
    c = case(13, np.float64, 1, 1, 4, 4, 3, 2)
    for options in (dict(is_causal=True), dict(mask=np.tri(4, dtype=bool))):
        logp, entropy, lse = F.hard_attention_log_prob(c.query, c.key, [[[1, 2, 3, 3]]], **options)
        assert np.isneginf(logp[0, 0, :3]).all() and np.isfinite(logp[0, 0, 3])
        assert np.isfinite(entropy).all() and np.isfinite(lse).all()
        dlogp = np.array([[[1.0, 1.0, 1.0, 0.0]]])
        dquery, dkey, _ = F.hard_attention_backward(
            None, dlogp, None, *c.inputs, [[[1, 2, 3, 3]]], lse, entropy, **options)
        p = probabilities(c.query, c.key, **options)
        expected = -(p @ c.key) / 3**0.5 * dlogp[..., None]
        close(dquery, expected)
        close(dkey, -((p * dlogp[..., None]).swapaxes(-1, -2) @ c.query) / 3**0.5)


BAD = "query @ key^T is not finite at row {}, expected finite scores and at least one key"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("Tk", [40, 5000])
def test_scores_that_are_not_finite_are_refused(bad, Tk):
    c = case(14, np.float64, 1, 2, 20, Tk, 3, 2, is_causal=True)
    for array, at, row in ((c.query, (0, 1, 4, 0), 24), (c.key, (0, 0, 7, 1), 7)):
        kept = array[at]
        array[at] = bad
        with pytest.raises(FloatingPointError) as e:
            forward(c)
        assert BAD.format(row) in str(e.value)
        with pytest.raises(FloatingPointError) as e:
            F.hard_attention_log_prob(c.query, c.key, np.zeros((1, 2, 20), int), is_causal=True)
        assert BAD.format(row) in str(e.value)
        array[at] = kept
    forward(c)


def test_scores_that_overflow_are_refused():
    query, key = np.full((1, 1, 1, 1), 1e30, np.float32), np.float32([[[[1], [-1e30]]]])
    with pytest.raises(FloatingPointError) as e:
        F.hard_attention(query, key, key, [[[0.5]]])
    assert BAD.format(0) in str(e.value)
    # the scale goes first
    F.hard_attention(query, key, key, [[[0.5]]], scale=1e-30)


@pytest.mark.parametrize("options, row", [
    (dict(key_lengths=[3, 0]), 4), (dict(mask=np.zeros(5, bool)), 0),
    (dict(mask=np.arange(4).reshape(2, 2, 1, 1) != 3), 6),
    (dict(mask=np.array([[True] * 5, [False] * 5])), 1)])
def test_a_query_that_sees_no_key_is_named(options, row):
    c = case(15, np.float64, 2, 2, 2, 5, 3, 2)._replace(options=options)
    with pytest.raises(FloatingPointError) as e:
        forward(c)
    assert BAD.format(row) in str(e.value)


@not_sanitized
def test_the_matrix_of_scores_is_never_held():
    """6,000 x 6,000 scores would be 144 MB; both passes may take 16 MiB beyond their arrays."""
    extra = run_python("""
        import resource
        import numpy as np
        from gatelearn import functional as F
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        x, u = np.ones((1, 1, 6000, 8), np.float32), np.zeros((1, 1, 6000), np.float32)
        before = peak()
        _, actions, _, entropy, lse = F.hard_attention(x, x, x, u)
        F.hard_attention_backward(x, u, u, x, x, x, actions, lse, entropy)
        print(peak() - before)
    """)
    # ru_maxrss is in KiB on Linux, bytes on macOS
    assert int(extra) < 16 * 1024 * (1024 if sys.platform == "darwin" else 1)


def test_inputs_of_any_strides_and_types():
    c = case(16, np.float64, 2, 3, 8, 8, 6, 6)
    views = projection(np.empty((2, 8, 3, 3, 6)))
    for view, x in zip(views, c.inputs, strict=True):
        view[...] = x
    expected = results(c)
    dout = np.repeat(c.dout, 2, -1)[..., ::2]
    strided = c._replace(query=views[0], key=views[1], value=views[2], dout=dout)
    for got, e in zip(results(strided), expected, strict=True):
        same_bits(got, e)
    assert forward(c._replace(query=c.query.astype(np.float32)))[0].dtype == np.float64
    ones = np.ones((1, 1, 2, 3), int)
    out, actions, *_ = F.hard_attention(ones, ones, ones, np.array([[[0, 0.5]]], np.float32))
    assert out.dtype == np.float64 and actions.tolist() == [[[0, 1]]]


def test_empty_arrays_of_endless_batches_return_at_once():
    many = 2**29
    x, rows = np.empty((many, many, 0, 2)), np.empty((many, many, 0))
    out, actions, _, entropy, lse = F.hard_attention(x, x, x, rows)
    assert out.shape == x.shape
    grads = F.hard_attention_backward(x, rows, rows, x, x, x, actions, lse, entropy)
    assert [g.shape for g in grads] == [x.shape] * 3


def test_no_query_leaves_gradients_of_zero():
    c = case(17, np.float64, 2, 2, 0, 5, 3, 2)
    for grad in backward(c):
        assert not grad.any()
    assert backward(c)[1].shape == (2, 2, 5, 3)


ERRORS = [
    (dict(query=np.ones((2, 3))), ValueError, "query has 2 dimensions, expected 4"),
    (dict(key=np.ones((1, 1, 4, 5))), ValueError, r"key.shape\[3\] is 5, expected D = 3"),
    (dict(key=np.ones((1, 2, 4, 3))), ValueError, r"key.shape\[1\] is 2, expected H = 1"),
    (dict(value=np.ones((1, 1, 3, 2))), ValueError, r"value.shape\[2\] is 3, expected K = 4"),
    (dict(key=np.ones((1, 1, 4, 3), complex)), TypeError, "key has dtype complex128, expected flo"),
    (dict(uniforms=np.ones((1, 2)) / 2), ValueError, "uniforms has 2 dimensions, expected 3"),
    (dict(uniforms=np.ones((1, 1, 3)) / 2), ValueError, r"uniforms.shape\[2\] is 3, expected Q"),
    (dict(uniforms=[[[0.5, 1.0]]]), ValueError, "uniforms is not allowed at row 1, expected numb"),
    (dict(uniforms=[[[-0.5, 0]]]), ValueError, "uniforms is not allowed at row 0, expected number"),
    (dict(uniforms=[[[np.nan, 0]]]), ValueError, "uniforms is not allowed at row 0, expected numb"),
    (dict(key_lengths=[5]), ValueError, "key_lengths is not allowed at row 0, expected 0 to the n"),
    (dict(key_lengths=[1.0]), TypeError, "key_lengths has dtype float64, expected integers"),
    (dict(key_lengths=[1, 1]), ValueError, r"key_lengths.shape\[0\] is 2, expected B = 1"),
    (dict(mask=np.ones((2, 4))), TypeError, "mask has dtype float64, expected booleans or int"),
    (dict(mask=np.ones(3, bool)), ValueError, r"mask has shape \(3,\), expected one that broad"),
    (dict(scale=np.inf), ValueError, "scale is inf, expected a finite number of float64"),
]


@pytest.mark.parametrize("change, kind, message", ERRORS)
def test_errors_name_argument_has_and_expected(change, kind, message):
    args = dict(query=np.ones((1, 1, 2, 3)), key=np.ones((1, 1, 4, 3)), value=np.ones((1, 1, 4, 2)),
                uniforms=np.full((1, 1, 2), 0.5)) | change
    with pytest.raises(kind, match=message):
        F.hard_attention(**args)
    uniforms, row = args.pop("uniforms"), np.zeros((1, 1, 2), int)
    if "uniforms" not in change:
        with pytest.raises(kind, match=message):
            F.hard_attention_backward(None, None, None, **args, actions=row, lse=uniforms,
                                      entropy=uniforms)
        args.pop("value")
        if "value" not in change:
            with pytest.raises(kind, match=message):
                F.hard_attention_log_prob(**args, actions=row)


def test_errors_of_actions_backward_and_core():
    x, row = np.ones((1, 1, 2, 3)), np.ones((1, 1, 2))
    for bad in (-1, 2):
        actions = np.array([[[0, bad]]])
        for call in (lambda a: F.hard_attention_log_prob(x, x, a),
                     lambda a: F.hard_attention_backward(x, row, row, x, x, x, a, row, row)):
            with pytest.raises(IndexError, match="actions is out of range at row 1, expected 0"):
                call(actions)
            with pytest.raises(TypeError, match="actions has dtype float64, expected integers"):
                call(actions.astype(float))
    zero = np.zeros((1, 1, 2), int)
    with pytest.raises(ValueError, match=r"dout.shape\[3\] is 4, expected E = 3"):
        F.hard_attention_backward(np.ones((1, 1, 2, 4)), None, None, x, x, x, zero, row, row)
    with pytest.raises(ValueError, match="dquery overlaps dkey, expected separate memory"):
        _core.hard_attention_backward(x, x, None, None, 1.0, False, x, zero, row, row, None, None,
                                      None, dx := x + 1, dx, x + 2)
    with pytest.raises(ValueError, match=r"lse.shape\[2\] is 3, expected Q = 2"):
        F.hard_attention_backward(x, None, None, x, x, x, zero, np.ones((1, 1, 3)), row)
    with pytest.raises(ValueError, match="dlogp has 2 dimensions, expected 3"):
        F.hard_attention_backward(None, row[0], None, x, x, x, zero, row, row)
    with pytest.raises(ValueError, match="out overlaps query, expected separate memory"):
        _core.hard_attention_forward(x, x, None, None, 1.0, False, x, row, x, zero, row + 1,
                                     row + 2, row + 3)
    with pytest.raises(ValueError, match=r"mask.shape\[2\] is 3, expected 1 or Q = 2"):
        _core.hard_attention_log_prob(x, x, None, np.ones((1, 1, 3, 2), bool), 1.0, False, zero,
                                      row, row + 1, row + 2)
