"""The gated heads and MLP against their twin, PyTorch and themselves.

Their central differences stand in test_nn.py, with those of all layers.
"""

import numpy as np
import pytest
from gated_cases import agree, all_same_bits, built, gate_shape, inputs, near, run, twin
from helpers import DTYPES, same_bits, same_for_any_threads
from hypothesis import example, given, settings
from hypothesis import strategies as st
from processes import needs, run_python

from gatelearn import _core, nn

LAYERS = {
    "heads": lambda: nn.GatedHeads(12, 3),
    "heads, plain": lambda: nn.GatedHeads(15, 5, is_causal=False, rotary=False, shift=False),
    "heads, shifted": lambda: nn.GatedHeads(7, 1, rotary=False),
    "heads, rotated": lambda: nn.GatedHeads(24, 4, shift=False),
    "mlp": lambda: nn.GatedMLP(11, 37),
    "mlp, wide": lambda: nn.GatedMLP(6, 130),
}
layers = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())


@layers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("B, T", [(3, 5), (1, 1), (4, 131), (40, 9), (0, 3), (2, 0)])
@pytest.mark.parametrize("lengths", [False, True])
def test_agrees_with_the_twin(make, dtype, B, T, lengths):
    agree(make(), B, T, dtype, lengths=lengths)


@pytest.mark.parametrize("order", [[0, 1, 2, 0, 3], [1, 0, 0, 2, 3], [3, 3, 2, 1, 0]])
@pytest.mark.parametrize("dtype", DTYPES)
def test_heads_open_in_any_order_of_samples(order, dtype):
    layer = built(nn.GatedHeads(24, 4), dtype)
    x, _, lengths, dy = inputs(layer, 5, 6, dtype)
    gate = np.array([[1, 0.4, 1, -0.7], [0, 1, 0, 2], [1, 0, 0, 1], [0, 0, 0, 0]], dtype)[order]
    got, expected = run(layer, x, gate, lengths, dy), twin(layer, x, gate, lengths, dy)
    for name in expected:
        near(got[name], expected[name], name)


@settings(max_examples=60, deadline=None)
@given(heads=st.integers(1, 4), half=st.integers(1, 9), B=st.integers(0, 4),
       T=st.sampled_from([0, 1, 2, 7, 33, 100]), is_causal=st.booleans(), rotary=st.booleans(),
       shift=st.booleans(), lengths=st.booleans(), dtype=st.sampled_from(DTYPES),
       seed=st.integers(0, 2**32))
@example(heads=1, half=1, B=1, T=33, is_causal=False, rotary=False, shift=False, lengths=False,
         dtype=np.float64, seed=3)  # two channels that differ by 0.0015: 1 / std is 307
def test_any_heads_agree_with_the_twin(heads, half, B, T, is_causal, rotary, shift, lengths, dtype,
                                       seed):
    layer = nn.GatedHeads(2 * half * heads, heads, is_causal=is_causal, rotary=rotary, shift=shift)
    agree(layer, B, T, dtype, seed, lengths)


@settings(max_examples=40, deadline=None)
@given(width=st.integers(1, 40), hidden=st.integers(1, 140), B=st.integers(0, 4),
       T=st.sampled_from([0, 1, 5, 127, 128, 129, 260]), lengths=st.booleans(),
       dtype=st.sampled_from(DTYPES), seed=st.integers(0, 2**32))
def test_any_mlp_agrees_with_the_twin(width, hidden, B, T, lengths, dtype, seed):
    agree(nn.GatedMLP(width, hidden), B, T, dtype, seed, lengths)


@pytest.mark.parametrize("make", [LAYERS["heads"], LAYERS["heads, plain"]])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("B, T", [(3, 5), (1, 1), (2, 131), (0, 3), (2, 0)])
@pytest.mark.parametrize("lengths", [False, True])
def test_a_bias_of_keys_agrees_with_the_twin(make, dtype, B, T, lengths):
    layer = built(make(), dtype)
    args = inputs(layer, B, T, dtype, lengths=lengths)
    bias = 2 * np.random.default_rng(5).standard_normal((B, T)).astype(dtype)
    # far below the others, and hidden
    bias[:, 1::7], bias[:, 2::7] = -1e4, -np.inf
    got, expected = run(layer, *args, bias), twin(layer, *args, bias)
    assert got.keys() == expected.keys() and "bias" in got
    for name in expected:
        near(got[name], expected[name], name, 30)


def test_a_bias_of_keys_has_the_same_bits_on_any_threads():
    layer = built(nn.GatedHeads(12, 3), np.float32)
    args = inputs(layer, 40, 33, np.float32)
    bias = np.random.default_rng(5).standard_normal((40, 33)).astype(np.float32)
    same_for_any_threads(lambda: list(run(layer, *args, bias).values()))


def test_a_bias_enters_the_weights_for_analysis():
    layer = built(nn.GatedHeads(12, 3))
    x = np.random.default_rng(1).standard_normal((1, 6, 12))
    _, saved = layer.forward(x, None, None, np.array([[0, 0, 0, -np.inf, 0, 0]]))
    weights = layer.weights(saved, np.array([0]), np.array([5]))
    assert (weights[0, :, 3] == 0).all()
    np.testing.assert_allclose(weights.sum(-1), 1)


def test_a_bias_of_another_shape_is_refused():
    layer = built(nn.GatedHeads(12, 3))
    with pytest.raises(ValueError, match=r"bias has shape \(2, 4\), expected \(2, 5\)"):
        layer.forward(np.zeros((2, 5, 12)), bias=np.zeros((2, 4)))


@layers
@pytest.mark.parametrize("dtype", DTYPES)
def test_without_an_open_gate_nothing_happens(make, dtype):
    layer = built(make(), dtype)
    x, gate, lengths, dy = inputs(layer, 3, 4, dtype)
    gate[...] = 0
    layer.params[...] = np.nan
    got = run(layer, x, gate, lengths, dy)
    same_bits(got["y"], x)
    same_bits(got["dx"], dy)
    assert not got["dgate"].any() and not layer.grads.any()


@layers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lengths", [False, True])
def test_in_place_is_out_of_place(make, dtype, lengths):
    layer = built(make(), dtype)
    x, gate, lengths, dy = inputs(layer, 4, 37, dtype, lengths=lengths)
    y, saved = layer.forward(x, gate, lengths)
    z, nothing = layer.forward(x, gate, lengths, save=False)
    assert nothing is None
    same_bits(z, y)
    expected = run(layer, x, gate, lengths, dy)

    layer.grads[...] = 0
    in_place = dy.copy()
    dx, dgate = layer.backward(in_place, saved, out=in_place)
    assert dx is in_place
    all_same_bits({"dx": dx, "dgate": dgate, **layer.grad},
                  {k: v for k, v in expected.items() if k != "y"})

    # last: this overwrites the input
    z, _ = layer.forward(x, gate, lengths, save=False, out=x)
    assert z is x
    same_bits(x, y)


@layers
def test_gradients_of_parameters_are_added(make):
    layer = built(make())
    args = inputs(layer, 3, 6)
    once = run(layer, *args)
    _, saved = layer.forward(*args[:3])
    layer.backward(args[3], saved)
    for name, g in layer.grad.items():
        np.testing.assert_allclose(g, 2 * once[name], rtol=1e-12, atol=1e-12)


@layers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lengths", [False, True])
def test_results_do_not_depend_on_the_number_of_threads(make, dtype, lengths):
    layer = built(make(), dtype)
    args = inputs(layer, 5, 140, dtype, lengths=lengths)
    same_for_any_threads(lambda: run(layer, *args).values())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["heads", "heads, plain", "heads, rotated"])
@pytest.mark.parametrize("junk", [np.nan, np.inf, 1e30])
def test_closed_heads_keep_the_bits_whatever_their_weights_hold(name, dtype, junk):
    layer = built(LAYERS[name](), dtype)
    x, gate, _, dy = inputs(layer, 4, 33, dtype)
    closed = [0, layer.heads - 1]
    gate[:, closed] = 0
    gate[1:3, 1] = 1
    clean = run(layer, x, gate, None, dy)
    for h in closed:
        layer.param["wqkv"][:, :, h] = junk
        layer.param["wo"][h] = junk
    layer.grads[...] = 0
    layer.grad["wqkv"][:, :, closed] = marks = np.linspace(-1, 1, layer.head_width, dtype=dtype)
    layer.grad["wo"][closed] = marks[0]
    y, saved = layer.forward(x, gate)
    dx, dgate = layer.backward(dy, saved)

    all_same_bits({"y": y, "dx": dx, "dgate": dgate},
                  {k: clean[k] for k in ("y", "dx", "dgate")})
    others = np.setdiff1d(np.arange(layer.heads), closed)
    same_bits(layer.grad["wqkv"][:, :, others], clean["wqkv"][:, :, others])
    same_bits(layer.grad["wo"][others], clean["wo"][others])
    for key in clean.keys() - {"y", "dx", "dgate", "wqkv", "wo"}:
        same_bits(layer.grad[key], clean[key])
    # what was there is still there
    assert (layer.grad["wqkv"][:, :, closed] == marks).all()
    assert (layer.grad["wo"][closed] == marks[0]).all()
    assert not dgate[:, closed].any()


@layers
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sample_is_alone(make, dtype):
    """NaN in one sample, and behind a length, stays there; a closed sample is copied."""
    layer = built(make(), dtype)
    x, gate, _, dy = inputs(layer, 4, 20, dtype)
    gate[3] = 0
    lengths = np.array([20, 20, 7, 20])
    clean = run(layer, x, gate, lengths, dy)
    x[1] = x[2, 7:] = x[3] = np.nan
    got = run(layer, x, gate, lengths, dy)
    for name in ("y", "dx", "dgate"):
        same_bits(got[name][0], clean[name][0])
    same_bits(got["y"][2, :7], clean["y"][2, :7])
    same_bits(got["dx"][2], clean["dx"][2])
    same_bits(got["dgate"][2], clean["dgate"][2])
    same_bits(got["y"][3], x[3])
    same_bits(got["dx"][3], dy[3])


def test_the_past_never_sees_the_future():
    layer = built(nn.GatedHeads(12, 3))
    x, gate, _, _ = inputs(layer, 2, 140)
    clean, _ = layer.forward(x, gate)
    for t in (1, 70, 139):
        bad = x.copy()
        bad[:, t] = np.nan
        same_bits(layer.forward(bad, gate)[0][:, :t], clean[:, :t])


def test_weights_are_the_softmax(rng):
    layer = built(nn.GatedHeads(12, 3))
    x, gate, _, _ = inputs(layer, 3, 9)
    lengths = np.array([9, 5, 7])
    _, saved = layer.forward(x, gate, lengths)
    sample, position = np.array([0, 1, 2, 0]), np.array([8, 4, 0, 3])
    p = layer.weights(saved, sample, position)
    opened = gate[sample] != 0
    np.testing.assert_allclose(p.sum(-1), opened, atol=1e-12)
    for i, (b, t) in enumerate(zip(sample, position, strict=True)):
        assert not p[i, :, t + 1:].any()
        heads, qkv = saved.open_heads(b)
        np.testing.assert_array_equal(heads, np.flatnonzero(gate[b]))
        out = np.einsum("ht,thd->hd", p[i, heads, :t + 1], qkv[:t + 1, 2])
        saved_out = saved.out[b].reshape(-1)[:9 * out.size].reshape(9, *out.shape)
        np.testing.assert_allclose(gate[b, heads, None] * out, saved_out[t], atol=1e-12)


@pytest.mark.parametrize("is_causal", [True, False])
def test_parity_with_pytorch(rng, is_causal):
    """All open, no shift, no rotation: the pre-norm block as PyTorch writes it; both in float64."""
    torch = pytest.importorskip("torch")
    C, H, hidden = 24, 4, 50
    heads = built(nn.GatedHeads(C, H, is_causal=is_causal, rotary=False, shift=False))
    mlp = built(nn.GatedMLP(C, hidden))
    x, dy = rng.standard_normal((2, 3, 17, C))
    y, saved_heads = heads.forward(x)
    y, saved_mlp = mlp.forward(y)
    heads.grads[...] = mlp.grads[...] = 0
    dx, _ = mlp.backward(dy, saved_mlp)
    dx, _ = heads.backward(dx, saved_heads)

    leaf = {f"{k}.{n}": torch.tensor(p, requires_grad=True)
            for k, layer in (("heads", heads), ("mlp", mlp)) for n, p in layer.param.items()}
    t = torch.tensor(x, requires_grad=True)
    norm = torch.nn.functional.layer_norm
    n = norm(t, (C,), leaf["heads.norm_weight"], leaf["heads.norm_bias"])
    q, k, v = torch.einsum("btc,pchd->pbhtd", n, leaf["heads.wqkv"])
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=is_causal)
    z = t + torch.einsum("bhtd,hdc->btc", out, leaf["heads.wo"])
    n = norm(z, (C,), leaf["mlp.norm_weight"], leaf["mlp.norm_bias"])
    u = torch.nn.functional.gelu(n @ leaf["mlp.w1"], approximate="tanh")
    z = z + u @ leaf["mlp.w2"]
    z.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, z.detach(), atol=1e-11)
    np.testing.assert_allclose(dx, t.grad, atol=1e-10)
    for kind, layer in (("heads", heads), ("mlp", mlp)):
        for name, g in layer.grad.items():
            np.testing.assert_allclose(g, leaf[f"{kind}.{name}"].grad, atol=1e-10)


@pytest.mark.parametrize("env", [{"GATELEARN_BLAS": "none"}, {"GATELEARN_ISA": "baseline"},
                                 {"GATELEARN_ISA": "avx2"}])
def test_any_blas_and_instruction_set_agree_with_the_twin(env):
    needs(env.get("GATELEARN_ISA"))
    run_python("""
        import os
        import numpy as np
        import gatelearn as gl
        has = gl._config.config()
        assert has["blas"] == os.environ.get("GATELEARN_BLAS", has["blas"])
        assert has["instruction_set"] == os.environ.get("GATELEARN_ISA", has["instruction_set"])
        from gated_cases import agree
        from test_gated import LAYERS
        for make in LAYERS.values():
            for dtype in (np.float32, np.float64):
                agree(make(), 3, 130, dtype, lengths=dtype == np.float64)
    """, **env)


ERRORS = [
    (dict(x=np.ones((2, 3, 12), np.float32)), TypeError, "x has dtype float32, expected float64"),
    (dict(x=[[[1.0]]]), TypeError, "x has dtype list, expected float64"),
    (dict(x=np.ones((2, 12))), ValueError, r"x has shape \(2, 12\), expected \(B, T, 12\)"),
    (dict(x=np.ones((2, 3, 11))), ValueError, r"x has shape \(2, 3, 11\), expected \(B, T, 12\)"),
    (dict(x=np.ones((2, 6, 12))[:, ::2]), ValueError,
     "x has a stride of 192 bytes on axis 1, expected it contiguous"),
    (dict(gate=np.ones((3, 3))), ValueError, r"gate has shape \(3, 3\), expected \(2, "),
    (dict(lengths=[1]), ValueError, r"lengths.shape\[0\] is 1, expected B = 2"),
    (dict(lengths=[1, 4]), ValueError, "lengths is not allowed at row 1, expected 0 to T"),
    (dict(lengths=[-1, 3]), ValueError, "lengths is not allowed at row 0, expected 0 to T"),
    (dict(lengths=[1.0, 2.0]), TypeError, "lengths has dtype float64, expected integers"),
    (dict(out=np.ones((2, 3, 11))), ValueError, r"y.shape\[2\] is 11, expected C = 12"),
    (dict(out=np.ones((2, 3, 12), np.float32)), TypeError, "y has dtype float32, expected float64"),
]


@pytest.mark.parametrize("change, kind, message", ERRORS)
@pytest.mark.parametrize("make", [lambda: nn.GatedHeads(12, 3), lambda: nn.GatedMLP(12, 5)])
def test_errors_name_argument_has_and_expected(make, change, kind, message):
    layer = make().build(0, np.float64)
    gate = np.ones(gate_shape(layer, 2))
    if "gate" in change and gate.ndim == 1:
        message = message.replace(r"\(2, ", r"\(2,\)")
    with pytest.raises(kind, match=message):
        layer.forward(**{**dict(x=np.ones((2, 3, 12)), gate=gate), **change})


@layers
def test_what_backward_needs_cannot_be_overwritten(make):
    layer = built(make())
    x, gate, lengths, dy = inputs(layer, 2, 3)
    for out in (x, x[:], x.reshape(-1).reshape(x.shape)):
        with pytest.raises(ValueError, match="out is x, expected another array where save is True"):
            layer.forward(x, gate, lengths, out=out)
    _, saved = layer.forward(x, gate, lengths)
    with pytest.raises(ValueError, match="dx overlaps x, expected separate memory"):
        layer.backward(dy, saved, out=x)
    with pytest.raises(ValueError, match=r"dy.shape\[1\] is 4, expected T = 3"):
        layer.backward(np.ones((2, 4, layer.width)), saved)


def test_constructors_refuse_what_does_not_divide():
    with pytest.raises(ValueError, match="heads is 5, expected a divisor of width = 12"):
        nn.GatedHeads(12, 5)
    with pytest.raises(ValueError, match="heads is 0, expected a divisor"):
        nn.GatedHeads(12, 0)
    with pytest.raises(ValueError, match="width / heads is 3, expected an even number"):
        nn.GatedHeads(12, 4)


def test_no_other_argument_may_be_the_memory_of_an_output(rng):
    """x may be y, of the same letters; a weight gradient that happens to fit it may not."""
    layer = built(nn.GatedHeads(4, 2, rotary=False))
    x = rng.standard_normal((2, 2, 4))
    gate = np.ones((2, 2))
    y, saved = layer.forward(x, gate)
    p, g = layer.param, {k: v.copy() for k, v in layer.grad.items()}
    args = [x, gate, None, None, p["norm_weight"], p["norm_bias"], p["shift"], p["wqkv"], p["wo"],
            None, None, 1.0, True, 1e-5, *saved[3:6], y, np.empty_like(x), np.empty_like(gate),
            None, g["norm_weight"], g["norm_bias"], g["shift"], g["wqkv"], g["wo"]]
    _core.gated_heads_backward(*args)
    args[-1] = x
    with pytest.raises(ValueError, match="dwo overlaps x, expected separate memory"):
        _core.gated_heads_backward(*args)
    # optional arrays come together
    args[-1] = g["wo"]
    for at, message in [(6, "dshift and shift are not both given"), (14, "qkv is NoneType")]:
        with pytest.raises((TypeError, ValueError), match=message):
            _core.gated_heads_backward(*args[:at], None, *args[at + 1:])
    args[3] = np.zeros((2, 2))
    with pytest.raises(ValueError, match="dbias and bias are not both given"):
        _core.gated_heads_backward(*args)
