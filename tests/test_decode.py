"""Steps of the gated layers against a cache: against their twins, PyTorch and themselves."""

import numpy as np
import pytest
from gated_cases import built, near
from helpers import DTYPES, same_bits, same_for_any_threads
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from processes import needs, run_python

from gatelearn import _core, nn
from gatelearn._reference import decode as ref
from gatelearn._reference import gated as gated_ref
from gatelearn._reference import positions as positions_ref
from gatelearn._reference.norm import layer_norm
from gatelearn.nn.cache import HeadsCache

JUNK = 7.0  # what no step may change


def heads_case(layer, B, N, lengths, dtype=np.float64, seed=0):
    """Return x, gate, a filled cache, lengths and the previous rows."""
    built(layer, dtype, seed)
    rng = np.random.default_rng(seed)
    gate = rng.choice([0, 0, -0.7, 0.4, 1, 1], (B, layer.heads)).astype(dtype)
    x = rng.standard_normal((B, N, layer.width)).astype(dtype)
    previous = rng.standard_normal((B, layer.width)).astype(dtype)
    cache = HeadsCache(gate, int(max(lengths, default=0)) + N + 3, layer.head_width)
    cache.kv[...] = JUNK
    for p, b in enumerate(cache.sample):
        cache.kv[:, p, :lengths[b]] = rng.standard_normal((2, lengths[b], layer.head_width))
    return x, gate, cache, np.asarray(lengths, np.int64), previous


def step(layer, x, cache, lengths, previous):
    """Return the output, the last rows and the cache, all new."""
    x, kv, last = x.copy(), cache.kv.copy(), np.empty_like(previous)
    kept, cache.kv = cache.kv, kv
    layer.decode(x, cache, lengths, previous, last)
    cache.kv = kept
    return x, last, kv


def agree_heads(layer, B, N, lengths, dtype=np.float64, seed=0):
    x, gate, cache, lengths, previous = heads_case(layer, B, N, lengths, dtype, seed)
    y, last, kv = step(layer, x, cache, lengths, previous)
    assert y.dtype == dtype

    expected = cache.kv.astype(np.float64)
    param = {name: p.astype(np.float64) for name, p in layer.param.items()}
    angle = (positions_ref.rotary_angle(expected.shape[2], layer.head_width) if layer.rotary
             else None)
    pairs = [(b, h, gate[b, h]) for h, b in np.argwhere(gate.T != 0)]
    y_ref, last_ref = ref.decode_heads(x.astype(np.float64), *expected, previous.astype(np.float64),
                                       pairs, lengths, param, angle)
    near(y, y_ref, "x")
    near(kv, expected, "keys and values")
    for p, (b, _, _) in enumerate(pairs):  # exactly the new positions were written
        for rows in (np.s_[:lengths[b]], np.s_[lengths[b] + N:]):
            same_bits(kv[:, p, rows], cache.kv[:, p, rows])
    if pairs:
        near(last, last_ref, "last")
    else:
        same_bits(last, previous)


LAYERS = {
    "all": lambda: nn.GatedHeads(12, 3),
    "plain": lambda: nn.GatedHeads(15, 5, rotary=False, shift=False),
    "shifted": lambda: nn.GatedHeads(17, 1, rotary=False),
    "rotated": lambda: nn.GatedHeads(24, 4, shift=False),
    "wide": lambda: nn.GatedHeads(136, 2),
}
layers = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())


@layers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("N, lengths", [
    (1, [0]), (1, [5, 0, 9, 3]), (4, [2, 7, 0]), (1, [255, 256, 257, 600]), (70, [0, 3, 200]),
    (0, [2, 4]), (3, []),
])
def test_heads_agree_with_the_twin(make, dtype, N, lengths):
    agree_heads(make(), len(lengths), N, lengths, dtype)


@settings(max_examples=60, deadline=None)
@given(heads=st.integers(1, 4), half=st.integers(1, 9), N=st.integers(0, 5),
       lengths=st.lists(st.sampled_from([0, 1, 2, 17, 255, 256, 300]), max_size=5),
       rotary=st.booleans(), shift=st.booleans(), dtype=st.sampled_from(DTYPES),
       seed=st.integers(0, 2**32))
def test_any_heads_agree_with_the_twin(heads, half, N, lengths, rotary, shift, dtype, seed):
    # as in test_gated.py: the norm of a few channels is steep
    assume(dtype == np.float64 or 2 * half * heads >= 12)
    layer = nn.GatedHeads(2 * half * heads, heads, rotary=rotary, shift=shift)
    agree_heads(layer, len(lengths), N, lengths, dtype, seed)


def mlp_case(layer, B, N, dtype=np.float64, seed=0):
    built(layer, dtype, seed)
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((B, N, layer.width)).astype(dtype),
            rng.choice([0, -0.7, 0.4, 1], B).astype(dtype))


@settings(max_examples=40, deadline=None)
@given(width=st.integers(12, 80), hidden=st.integers(1, 140), B=st.integers(0, 60),
       N=st.sampled_from([0, 1, 3, 33]), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 2**32))
def test_any_mlp_agrees_with_the_twin(width, hidden, B, N, dtype, seed):
    layer = nn.GatedMLP(width, hidden)
    x, gate = mlp_case(layer, B, N, dtype, seed)
    y = x.copy()
    layer.decode(y, gate)
    param = {name: p.astype(np.float64) for name, p in layer.param.items()}
    near(y, gated_ref.gated_mlp(x.astype(np.float64), gate.astype(np.float64), param))
    same_bits(y[gate == 0], x[gate == 0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("B, C, vocabulary", [(3, 20, 5), (1, 64, 130), (17, 12, 64), (0, 4, 3),
                                              (2, 30, 0)])
def test_logits_agree_with_the_twin(rng, dtype, B, C, vocabulary):
    x, w, b, table = (rng.standard_normal(shape).astype(dtype)
                      for shape in ((B, C), C, C, (vocabulary, C)))
    logits = np.empty((B, vocabulary), dtype)
    _core.decode_logits(logits, x, w, b, table, 1e-5)
    near(logits, layer_norm(x.astype(float), w, b) @ table.T.astype(float))


@pytest.mark.parametrize("env", [{"GATELEARN_BLAS": "none"}, {"GATELEARN_ISA": "baseline"},
                                 {"GATELEARN_ISA": "avx2"}])
def test_any_blas_and_instruction_set_agree_with_the_twin(env):
    needs(env.get("GATELEARN_ISA"))
    run_python("""
        import numpy as np
        import test_decode as t
        import test_decode_network as network
        for make in t.LAYERS.values():
            for dtype in (np.float32, np.float64):
                t.agree_heads(make(), 3, 2, [300, 0, 17], dtype)
        for dtype in (np.float32, np.float64):
            network.test_a_sample_has_the_same_bits_alone_and_in_a_batch(dtype)
    """, **env)


def test_parity_with_pytorch(rng):
    """All open, no shift, no rotation: one query against cached keys, as PyTorch writes it."""
    torch = pytest.importorskip("torch")
    C, H, S = 24, 4, 300
    layer = built(nn.GatedHeads(C, H, rotary=False, shift=False))
    cache = HeadsCache(np.ones((2, H)), S + 1, C // H)
    cache.kv[...] = rng.standard_normal(cache.kv.shape)
    x, previous = rng.standard_normal((2, 1, C)), np.zeros((2, C))
    y, _, kv = step(layer, x, cache, np.array([S, S]), previous)

    p = {name: torch.tensor(value) for name, value in layer.param.items()}
    t = torch.tensor(x)
    n = torch.nn.functional.layer_norm(t, (C,), p["norm_weight"], p["norm_bias"])
    q, k, v = torch.einsum("btc,pchd->pbhtd", n, p["wqkv"])
    # rows are ordered by head, then by sample
    keys, values = torch.tensor(cache.kv).view(2, H, 2, S + 1, C // H).transpose(1, 2)
    keys[:, :, S:], values[:, :, S:] = k, v
    out = torch.nn.functional.scaled_dot_product_attention(q, keys, values)
    z = t + torch.einsum("bhtd,hdc->btc", out, p["wo"])
    np.testing.assert_allclose(y, z, atol=1e-11)
    np.testing.assert_allclose(kv[0].reshape(H, 2, S + 1, -1), keys.transpose(0, 1), atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_do_not_depend_on_the_number_of_threads(dtype):
    heads, mlp = nn.GatedHeads(200, 4), nn.GatedMLP(200, 300)
    x, _, *rest = heads_case(heads, 5, 2, [3, 600, 0, 256, 40], dtype)
    z, gate = mlp_case(mlp, 50, 1, dtype)

    def run():
        y = z.copy()
        mlp.decode(y, gate)
        return [*step(heads, x, *rest), y]

    same_for_any_threads(run)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_of_a_sample_stays_there(dtype):
    layer = nn.GatedHeads(24, 4)
    x, _, cache, lengths, previous = heads_case(layer, 4, 3, [5, 0, 300, 7], dtype)
    cache = HeadsCache(np.ones((4, 4), dtype), 310, 6)
    cache.kv[...] = np.random.default_rng(0).standard_normal(cache.kv.shape)
    clean, _, _ = step(layer, x, cache, lengths, previous)
    # what stands behind the lengths is not read; a key is seen by its sample and head
    for p, b in enumerate(cache.sample):
        cache.kv[:, p, lengths[b]:] = np.nan
    cache.kv[0, 2, 250] = np.nan
    assert cache.sample[2] == 2
    x[0, 1] = previous[3] = np.nan
    got, _, _ = step(layer, x, cache, lengths, previous)
    same_bits(got[1], clean[1])
    same_bits(got[0, 0], clean[0, 0])
    assert np.isnan(got[0, 1:]).all() and np.isnan(got[2:]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_scores_are_softmax(dtype):
    """One key has all the weight, one block of it; -inf among scores is weight 0."""
    layer = built(nn.GatedHeads(16, 1, rotary=False, shift=False), dtype)
    cache = HeadsCache(np.ones((1, 1), dtype), 600, 16)
    x, previous = np.ones((1, 1, 16), dtype), np.zeros((1, 16), dtype)
    x[0, 0, ::2] = -1
    cache.kv[...] = 0
    n = layer_norm(x[0].astype(float), layer.param["norm_weight"], layer.param["norm_bias"])
    q = n[0] @ layer.param["wqkv"][0, :, 0]
    cache.kv[0, 0] = -q * 1e4
    cache.kv[0, 0, 3] = -np.inf * np.sign(q)
    cache.kv[0, 0, 300] = q * 1e4
    cache.kv[1, 0, 300] = np.arange(16)
    y, _, _ = step(layer, x, cache, np.array([500]), previous)
    near(y[0], (x[0] + np.arange(16) @ layer.param["wo"][0].astype(float)))


@pytest.mark.parametrize("at, value, kind, message", [
    (4, np.zeros((2, 13)), ValueError, r"previous.shape\[1\] is 13, expected C = 12"),
    (5, np.array([0, 2]), ValueError, r"wqkv.shape\[2\] is 3, expected H = 2"),
    (5, np.array([0, 4, 2]), ValueError, "first is not allowed at row 2, expected 0 to P, ascend"),
    (5, np.array([1, 2, 4]), ValueError, "first is not allowed at row 0, expected 0 to P, ascend"),
    (5, np.array([0, 2, 7]), ValueError, "first is not allowed at row 2, expected 0 to P, ascend"),
    (6, np.array([0, 1, 0, 2, 0, 1]), IndexError,
     "sample is out of range at row 3, expected 0 <= sample < B"),
    (6, np.array([0, 1, 0, 1, -1, 1]), IndexError, "sample is out of range at row 4"),
    (8, np.array([2, 9]), ValueError, "lengths is not allowed at row 1, expected 0 to S - N"),
    (8, np.array([-1, 2]), ValueError, "lengths is not allowed at row 0, expected 0 to S - N"),
    (12, np.zeros((2, 12, 3, 4)), ValueError, r"wqkv.shape\[0\] is 2, expected Q = 3"),
    (14, None, ValueError, r"cosine and sine are not both \(S, D/2\) or both None"),
    (14, np.zeros((10, 3)), ValueError, r"sine.shape\[1\] is 2, expected R = 3"),
    (2, "keys", ValueError, "keys overlaps values, expected separate memory"),
])
def test_the_core_refuses_what_does_not_fit(at, value, kind, message):
    layer = nn.GatedHeads(12, 3)
    x, _, cache, lengths, previous = heads_case(layer, 2, 2, [5, 4])
    cache = HeadsCache(np.ones((2, 3)), 10, 4)
    p, tables = layer.param, np.zeros((2, 10, 2))
    args = [x, *cache.kv, previous.copy(), previous, cache.first, cache.sample, cache.factor,
            lengths, p["norm_weight"], p["norm_bias"], p["shift"], p["wqkv"], p["wo"], *tables, 0.5,
            1e-5]
    _core.decode_heads(*args)
    args[at] = args[1] if isinstance(value, str) else value
    with pytest.raises(kind, match=message):
        _core.decode_heads(*args)


def test_two_blocks_of_weights_without_shift_are_refused():
    layer = nn.GatedHeads(12, 3, shift=False, rotary=False)
    x, _, cache, lengths, previous = heads_case(layer, 2, 1, [1, 1])
    layer.param["wqkv"] = layer.param["wqkv"][:2]
    with pytest.raises(ValueError, match=r"decode_heads: wqkv.shape\[0\] is 2, expected 3"):
        layer.decode(x, cache, lengths, previous, previous.copy())


def test_only_causal_layers_are_decoded():
    layer = nn.GatedHeads(12, 3, is_causal=False)
    x, _, cache, lengths, previous = heads_case(layer, 1, 1, [2])
    with pytest.raises(ValueError, match="is_causal is False, expected True"):
        layer.decode(x, cache, lengths, previous, previous.copy())
