"""Forms of attention: who sees whom, shared keys, biases, dropout, fine gates, weights."""

import numpy as np
import pytest
from attention_cases import backward, case, forward, twin_backward, twin_forward
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import not_sanitized, run_python
from test_attention import agree, near

from gatelearn import functional as F
from gatelearn._reference import attention as ref


def draw_forms(rng, dtype, B, H, Tq, Tk, names):
    """Options of the named forms; axes of mask and bias are sometimes shared."""
    def shape():
        return [n if rng.random() < 0.5 else 1 for n in (B, H)] + [Tq, Tk]

    forms = {}
    if "window" in names:
        left, right = (None if rng.random() < 0.3 else int(rng.integers(0, 40)) for _ in range(2))
        forms["window"] = (left, right)
    if "mask" in names:
        forms["mask"] = rng.random(shape()) < rng.choice([0.0, 0.1, 0.9])
    if "bias" in names:
        forms["bias"] = rng.standard_normal(shape()).astype(dtype)
    if "block_mask" in names:
        block = int(rng.choice([1, 5, 16, 64, 1000]))
        size = (int(rng.choice([1, H])) if H else 1, -(-Tq // block), -(-Tk // block))
        forms |= {"block_mask": rng.random(size) < 0.5, "block_size": block}
    if "alibi_slopes" in names:
        forms["alibi_slopes"] = (0.1 * rng.random(H)).astype(dtype)
    if "dropout" in names:
        forms |= {"dropout_p": 0.3, "seed": int(rng.integers(2**63))}
    return forms


FORMS = ("window", "mask", "bias", "block_mask", "alibi_slopes", "dropout")


@st.composite
def cases(draw):
    sizes = st.sampled_from([1, 2, 3, 7, 16, 33])
    times = st.sampled_from([0, 1, 2, 13, 31, 97, 193, 260, 300])
    B, G, group = draw(st.integers(0, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    H, Tq, Tk, D, E = G * group, draw(times), draw(times), draw(sizes), draw(sizes)
    dtype, seed = draw(st.sampled_from(DTYPES)), draw(st.integers(0, 2**32))
    names = draw(st.sets(st.sampled_from(FORMS), min_size=1))
    lengths = st.one_of(st.none(), st.just("random"))
    return case(seed, dtype, B, H, Tq, Tk, D, E, G=G, is_causal=draw(st.booleans()),
                gate=draw(st.sampled_from([None, "mixed"])), query_lengths=draw(lengths),
                key_lengths=draw(lengths),
                **draw_forms(np.random.default_rng(seed), dtype, B, H, Tq, Tk, names))


@settings(max_examples=200, deadline=None)
@given(cases())
def test_any_forms_together_agree_with_the_twin(c):
    agree(c)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_form_agrees_with_the_twin_over_several_blocks(name, dtype):
    rng = np.random.default_rng(3)
    forms = draw_forms(rng, dtype, 2, 4, 300, 530, [name])
    agree(case(1, dtype, 2, 4, 300, 530, 12, 9, G=2, gate="mixed", key_lengths="random", **forms))


@pytest.mark.parametrize("name", FORMS)
def test_gradients_by_central_differences(name):
    forms = draw_forms(np.random.default_rng(0), np.float64, 2, 4, 5, 6, [name])
    c = case(1, np.float64, 2, 4, 5, 6, 3, 2, G=2, gate="mixed", **forms)
    grads = backward(c)
    names = ["query", "key", "value", "gate"]
    for label, grad in zip(names, grads, strict=False):
        expected = central_difference(lambda v, n=label: forward(c._replace(**{n: v}))[0],
                                      getattr(c, label), c.dout)
        if label == "gate":
            expected[c.gate == 0] = 0
        np.testing.assert_allclose(grad, expected, atol=2e-8, rtol=1e-6)
    if name == "bias":
        expected = central_difference(
            lambda v: forward(c._replace(forms={"bias": v}))[0], c.forms["bias"], c.dout)
        np.testing.assert_allclose(grads[-1], expected, atol=2e-8, rtol=1e-6)


@pytest.mark.parametrize("shape", [(300, 31), (3, 1, 31), (1, 1, 31), (2, 1, 1, 31),
                                   (2, 3, 300, 1), ()])
def test_bias_and_its_gradient_broadcast(rng, shape):
    bias = np.array(rng.standard_normal(shape))
    c = case(2, np.float64, 2, 3, 300, 31, 4, 4, bias=bias)
    near(forward(c)[0], twin_forward(c)[0])
    full = case(2, np.float64, 2, 3, 300, 31, 4, 4,
                bias=np.array(np.broadcast_to(bias, (2, 3, 300, 31))))
    dfull, axes = backward(full)[-1], tuple(
        i for i, n in enumerate((1,) * (4 - len(shape)) + shape) if n == 1)
    dbias = backward(c)[-1]
    assert isinstance(dbias, np.ndarray) and dbias.shape == shape
    near(dbias, dfull.sum(axes, keepdims=True).reshape(shape))


def test_bias_of_minus_infinity_hides(rng):
    hidden = rng.random((300, 300)) < 0.5
    hidden[7] = True
    bias = np.where(hidden, -np.inf, 0.0)
    by_bias = case(3, np.float64, 1, 2, 300, 300, 4, 4, bias=bias)
    by_mask = case(3, np.float64, 1, 2, 300, 300, 4, 4, mask=~hidden)
    for a, e in zip(forward(by_bias), forward(by_mask), strict=True):
        np.testing.assert_allclose(a, e, atol=1e-12)
    for a, e in zip(backward(by_bias), backward(by_mask), strict=False):
        close(a, e)
    assert not forward(by_bias)[0][:, :, 7].any()


@pytest.mark.parametrize("name", ["window", "mask", "block_mask"])
@pytest.mark.parametrize("where", ["key", "value", "query", "dout"])
def test_nan_never_reaches_who_does_not_see_it(rng, name, where):
    T, t = 300, 150
    forms = {"window": dict(window=(20, 10)), "mask": dict(mask=rng.random((T, T)) < 0.3),
             "block_mask": dict(block_mask=rng.random((10, 10)) < 0.4, block_size=32)}[name]
    c = case(4, np.float64, 1, 2, T, T, 5, 4, **forms)
    pairs = ref.visible(T, T, 1, 2, **{k: v[None] if k == "block_mask" else v
                                       for k, v in forms.items()})[0, 0]
    array = getattr(c, where).copy()
    array[0, 0, t, 1] = np.nan
    bad = c._replace(**{where: array})
    q_hit = pairs[:, t] if where in ("key", "value") else np.arange(T) == t
    k_hit = (pairs & q_hit[:, None]).any(0)
    clean, got = (*forward(c), *backward(c)), (*forward(bad), *backward(bad))
    hits = [q_hit if where != "dout" else np.zeros(T, bool),
            q_hit if where in ("query", "key") else np.zeros(T, bool), q_hit, k_hit, k_hit]
    for a, e, hit in zip(got, clean, hits, strict=True):
        same_bits(a[0, 1], e[0, 1])
        # run by run of the keys that a mask shows, sums are taken in other pieces
        same = close if name == "mask" else same_bits
        same(a[0, 0][~hit], e[0, 0][~hit])
    if where == "value":
        np.testing.assert_array_equal(np.isnan(got[0][0, 0]).any(1), q_hit)


def test_window_of_all_is_no_window():
    c = case(5, np.float64, 2, 2, 300, 280, 4, 4)
    for window in (300, (300, None), (None, 2**62), (None, None)):
        for a, e in zip((*forward(c._replace(forms={"window": window})),
                         *backward(c._replace(forms={"window": window}))),
                        (*forward(c), *backward(c)), strict=True):
            np.testing.assert_allclose(a, e, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_do_not_depend_on_the_number_of_threads(rng, dtype):
    forms = draw_forms(rng, dtype, 2, 4, 400, 300, ["bias", "mask", "dropout"])
    c = case(6, dtype, 2, 4, 400, 300, 17, 11, G=2, **forms)
    same_for_any_threads(lambda: (*forward(c), *backward(c)))


@pytest.mark.parametrize("form", ["grouped", "mask", "bias", "multi-query"])
def test_parity_with_pytorch(form):
    """In float32, our largest error against float64 is at most twice PyTorch's, or 2e-6."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    B, H, T, D = 2, 4, 130, 32
    G = {"grouped": 2, "multi-query": 1}.get(form, H)
    forms = {"mask": dict(mask=rng.random((B, 1, T, T)) < 0.5),
             "bias": dict(bias=rng.standard_normal((1, H, T, T)).astype(np.float32))}.get(form, {})
    c = case(8, np.float32, B, H, T, T, D, D, G=G, **forms)
    exact = (twin_forward(c)[0], *twin_backward(c))
    leaves = [torch.tensor(a, requires_grad=True) for a in c.inputs]
    extra = [torch.tensor(v) for v in forms.values()]
    if form == "bias":
        leaves.append(extra[0].requires_grad_())
    out = torch.nn.functional.scaled_dot_product_attention(
        *leaves[:3], attn_mask=extra[0] if extra else None, enable_gqa=G < H)
    out.backward(torch.tensor(c.dout))
    theirs = [out.detach(), *(x.grad for x in leaves)]
    for ours, t, e in zip((forward(c)[0], *backward(c)), theirs, exact, strict=True):
        scale = np.abs(e).max()
        error, limit = np.abs(ours - e).max() / scale, np.abs(t.numpy() - e).max() / scale
        assert error <= max(2 * limit, 2e-6)


def test_philox_is_the_published_generator():
    words = ref.philox([np.zeros(1)] * 4, 0)
    assert [int(w[0]) for w in words] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    full = np.full(1, 2**32 - 1)
    words = ref.philox([full] * 4, 2**64 - 1)
    assert [int(w[0]) for w in words] == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def test_dropout_drops_its_share_and_keeps_the_mean(rng):
    T = 400
    q = np.zeros((1, 2, T, 4), np.float32)
    v = np.ones((1, 2, T, 1), np.float32)
    out = F.attention(q, q, v, dropout_p=0.25, seed=11)
    # each output is the kept share / 0.75: a mean of 400 draws
    assert abs(out.mean() - 1) < 4 * np.sqrt(0.25 / 0.75 / out.size / T)
    assert 0.5 * np.sqrt(0.25 / 0.75 / T) < out.std() < 2 * np.sqrt(0.25 / 0.75 / T)
    same_bits(F.attention(q, q, v, dropout_p=0.25, seed=11), out)
    assert (F.attention(q, q, v, dropout_p=0.25, seed=12) != out).any()
    assert (out[0, 0] != out[0, 1]).any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3, 40), (2, 3, 40, 5)])
def test_gates_of_queries_and_elements(rng, dtype, shape):
    c = case(9, dtype, 2, 3, 40, 50, 4, 5, is_causal=True)
    gate = rng.standard_normal(shape).astype(dtype)
    gate[..., 0] = 0
    factor = gate if gate.ndim == 4 else gate[..., None]
    plain, lse = forward(c)
    out, same = F.attention(*c.inputs, is_causal=True, gate=gate, return_lse=True)
    same_bits(out, plain * factor)
    same_bits(same, lse)
    *grads, dgate, dbias = F.attention_backward(c.dout, *c.inputs, out, lse, is_causal=True,
                                                gate=gate)
    expected = F.attention_backward(c.dout * factor, *c.inputs, plain, lse, is_causal=True)
    for a, e in zip(grads, expected[:3], strict=True):
        same_bits(a, e)
    whole = c.dout * plain
    near(dgate, whole if gate.ndim == 4 else whole.sum(-1))
    assert dbias is None and dgate[..., 0].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_are_the_rows_of_softmax(rng, dtype):
    forms = draw_forms(rng, dtype, 2, 4, 300, 270, ["mask", "bias", "window"])
    c = case(10, dtype, 2, 4, 300, 270, 8, 8, G=2, gate="mixed", key_lengths="random", **forms)
    wide = {k: v.astype(np.float64) if getattr(v, "dtype", None) == dtype else v
            for k, v in c.options.items()}
    expected = ref.attention(*(a.astype(np.float64) for a in c.inputs), **wide)[2]
    near(F.attention_weights(c.query, c.key, **c.options), expected)
    rows = np.array([299, 0, 77, 77])
    some = F.attention_weights(c.query, c.key, rows=rows, **c.options)
    near(some, expected[:, :, rows])
    assert F.attention_weights(c.query, c.key, rows=[]).shape == (2, 4, 0, 270)


def test_weights_of_huge_scores_and_hidden_nan():
    q = np.full((1, 1, 3, 1), 1e4)
    k = np.array([1.0, 2.0, np.nan]).reshape(1, 1, 3, 1)
    np.testing.assert_array_equal(F.attention_weights(q, k, is_causal=True)[0, 0, :2],
                                  [[1, 0, 0], [0, 1, 0]])


@not_sanitized
@pytest.mark.parametrize("form", ["window=(50, 60)", "is_causal=True", "key_lengths=[100]",
                                  "block_mask=np.arange(64)[None] == 0, block_size=128"])
def test_keys_that_nobody_sees_are_not_read(form):
    """All keys but those that 100 queries see lie in memory that must not be touched."""
    run_python(f"""
        import ctypes, mmap
        import numpy as np
        from gatelearn import functional as F
        T, D, seen = 8192, 64, 256
        maps = [mmap.mmap(-1, T*D*4) for _ in range(2)]
        k, v = (np.frombuffer(m, np.float32).reshape(1, 1, T, D) for m in maps)
        libc = ctypes.CDLL(None, use_errno=True)
        for x in (k, v):
            start = x.ctypes.data + seen*D*4
            assert libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t((T - seen)*D*4), 0) == 0
        q = np.ones((1, 1, 100, D), np.float32)
        F.attention(q, k, v, {form})
    """)


X = np.ones((1, 2, 3, 4))
ERRORS = [
    (dict(key=np.ones((1, 4, 3, 4)), value=np.ones((1, 4, 3, 4))), ValueError,
     r"key.shape\[1\] is 4, expected a divisor of H = 2"),
    (dict(mask=np.ones((3, 2), bool)), ValueError,
     r"mask has shape \(3, 2\), expected one that broadcasts to \(1, 2, 3, 3\)"),
    (dict(mask=np.ones((2, 1, 3, 3), bool)), ValueError, "mask has shape .* broadcasts to"),
    (dict(mask=np.ones((3, 3))), TypeError, "mask has dtype float64, expected booleans"),
    (dict(mask=np.full((3, 3), 2)), ValueError, "mask holds 2, expected 0 or 1"),
    (dict(bias=np.ones((3, 3, 3))), ValueError, r"bias has shape \(3, 3, 3\), expected one"),
    (dict(bias=np.ones((3, 3), complex)), TypeError, "bias has dtype complex128"),
    (dict(block_mask=np.ones((2, 1), bool)), ValueError,
     r"block_mask.shape\[1\] is 2, expected blocks = 1"),
    (dict(block_mask=np.ones((1, 2), bool)), ValueError,
     r"block_mask.shape\[2\] is 2, expected blocks = 1"),
    (dict(block_mask=np.ones((3, 1, 1), bool)), ValueError,
     r"block_mask.shape\[0\] is 3, expected 1 or H = 2"),
    (dict(block_mask=np.ones((1, 1), bool), block_size=0), ValueError,
     "block_size is 0, expected at least 1"),
    (dict(block_mask=np.ones((1, 1), bool), block_size=1.5), TypeError,
     "block_size is float, expected an integer"),
    (dict(window=-1), ValueError, "window is -1, expected nothing negative"),
    (dict(window=(1, 2, 3)), TypeError, r"window is \(1, 2, 3\), expected an integer or a pair"),
    (dict(window=1.5), TypeError, "window is 1.5, expected an integer or a pair"),
    (dict(alibi_slopes=np.ones(3)), ValueError, r"alibi_slopes.shape\[0\] is 3, expected H = 2"),
    (dict(dropout_p=1.0, seed=0), ValueError, "dropout_p is 1.0, expected 0 <= dropout_p < 1"),
    (dict(dropout_p=np.nan, seed=0), ValueError, "dropout_p is nan, expected"),
    (dict(dropout_p=0.5), ValueError, r"seed is None, expected an integer in \[0, 2\*\*63\)"),
    (dict(dropout_p=0.5, seed=-1), ValueError, "seed is -1, expected an integer"),
    (dict(gate=np.ones((1, 2, 4))), ValueError,
     r"gate has shape \(1, 2, 4\), expected \(1, 2, 3\)"),
]


@pytest.mark.parametrize("change, kind, message", ERRORS)
def test_errors_name_argument_has_and_expected(change, kind, message):
    args = dict(query=X, key=X, value=X) | change
    with pytest.raises(kind, match=message):
        F.attention(**args)


def test_errors_of_weights():
    with pytest.raises(IndexError, match="rows is out of range at row 1, expected 0 to the number"):
        F.attention_weights(X, X, rows=[0, 3])
    with pytest.raises(TypeError, match="rows has dtype float64, expected integers"):
        F.attention_weights(X, X, rows=[0.5])
    with pytest.raises(TypeError, match="unexpected keyword argument 'maks'"):
        F.attention_weights(X, X, maks=None)
