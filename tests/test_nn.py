"""Layers: gradients, the flat buffer, training; and the optimiser that drives them."""

import importlib
import math
import pkgutil

import numpy as np
import pytest
from gated_cases import REGISTRY as GATED
from helpers import same_bits

import gatelearn as gl
from gatelearn import nn


def normal(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


class Reading(nn.Layer):
    """A transformer on fixed tokens, as a layer of its gates (B, L, H + 1)."""

    def __init__(self):
        self.net = nn.Transformer(7, width=8, layers=2, heads=2, hidden=12)
        self.tokens = np.array([[0, 3, 6, 3], [1, 1, 2, 5]])
        self.position = np.array([[3, 1, -1], [2, 2, 0]])
        self.depth = np.array([[2, 1, 0], [2, 0, 2]])

    def children(self):
        return {"net": self.net}

    def forward(self, gate):
        n = len(gate)
        return self.net.forward(self.tokens[:n], gate, position=self.position[:n],
                                depth=self.depth[:n])

    def backward(self, dy, saved):
        return self.net.backward(dy, saved)


def open_gates(*shape):
    return np.random.default_rng(3).uniform(0.5, 1.5, shape)


# Gates that are closed are not differentiated: check_layer passes over what is not float64.
CLOSED_HEADS = np.array([[0, 1], [1, 0], [0, 0]], np.float32)

# Each layer, by the name of its class: a factory of (layer, *arguments of forward). Every subclass
# of nn.Layer under gatelearn.nn must stand here, or in gated_cases.py where forward takes gates;
# further cases follow a dash.
REGISTRY = {
    "Linear": lambda: (nn.Linear(4, 3), normal(2, 5, 4)),
    "Linear-no-bias": lambda: (nn.Linear(4, 3, bias=False, init="normal", gain=2), normal(4)),
    "LayerNorm": lambda: (nn.LayerNorm(5), normal(2, 3, 5)),
    "Tanh": lambda: (nn.Tanh(), normal(3, 4)),
    "ReLU": lambda: (nn.ReLU(), normal(3, 4)),
    "Sigmoid": lambda: (nn.Sigmoid(), normal(3, 4)),
    "GELU": lambda: (nn.GELU(), normal(3, 4)),
    "GELU-exact": lambda: (nn.GELU("none"), normal(3, 4)),
    "Embedding": lambda: (nn.Embedding(6, 3), np.array([[1, 5, 1], [0, 1, 3]])),
    "Sequential": lambda: (nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)),
                           normal(5, 3)),
    "Sequential-recurrent": lambda: (nn.Sequential(nn.Linear(3, 4), nn.LSTM(4, 2)),
                                     normal(3, 5, 3)),
    "Residual": lambda: (nn.Residual(nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 3))),
                         normal(5, 3)),
    "Residual-attention": lambda: (nn.Residual(nn.MultiHeadAttention(6, 2)), normal(2, 4, 6)),
    "Conv2d": lambda: (nn.Conv2d(3, 4, 3, padding=1), normal(2, 3, 5, 4)),
    "Conv2d-strided": lambda: (nn.Conv2d(2, 3, (2, 4), stride=(3, 2), padding=(2, 1), bias=False,
                                         init="orthogonal"), normal(3, 2, 6, 5)),
    "ConvTranspose2d": lambda: (nn.ConvTranspose2d(3, 2, (4, 3), stride=(2, 3), padding=1,
                                                   output_padding=(1, 2)), normal(2, 3, 4, 2)),
    "Conv2d-pointwise": lambda: (nn.Conv2d(3, 2, 1), normal(2, 3, 4, 5)),
    "ConvTranspose2d-strided": lambda: (
        nn.ConvTranspose2d(2, 3, (2, 4), stride=(3, 2), padding=(0, 1), output_padding=(2, 1),
                           bias=False), normal(2, 2, 2, 3)),
    "MaxPool2d": lambda: (nn.MaxPool2d(2), normal(2, 3, 4, 7)),
    "MaxPool2d-overlapping": lambda: (nn.MaxPool2d((3, 2), (2, 1), 1), normal(2, 3, 5, 4)),
    "Upsample2d": lambda: (nn.Upsample2d(), normal(2, 3, 2, 5)),
    "Upsample2d-3": lambda: (nn.Upsample2d(3), normal(1, 2, 3, 2)),
    "Flatten": lambda: (nn.Flatten(), normal(2, 3, 4)),
    "Sequential-images": lambda: (
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                      nn.Linear(12, 2)), normal(2, 2, 7, 6)),
    "GatedHeads": lambda: (nn.GatedHeads(8, 2), normal(3, 5, 8), open_gates(3, 2)),
    "GatedHeads-closed": lambda: (nn.GatedHeads(8, 2), normal(3, 5, 8), CLOSED_HEADS,
                                  np.array([5, 3, 1])),
    "GatedHeads-plain": lambda: (nn.GatedHeads(6, 2, is_causal=False, rotary=False, shift=False),
                                 normal(3, 5, 6), open_gates(3, 2), np.array([5, 3, 1])),
    "GatedMLP": lambda: (nn.GatedMLP(4, 6), normal(3, 5, 4), open_gates(3)),
    "GatedMLP-closed": lambda: (nn.GatedMLP(4, 6), normal(3, 5, 4), CLOSED_HEADS[:, 0].copy(),
                                np.array([5, 3, 1])),
    "MultiHeadAttention": lambda: (nn.MultiHeadAttention(6, 2, is_causal=True), normal(2, 4, 6)),
    "MultiHeadAttention-cross": lambda: (
        nn.MultiHeadAttention(8, 4, kv_heads=2, memory_width=3, output_gate="head", bias=True),
        normal(2, 4, 8), normal(2, 5, 3), open_gates(2, 4), normal(1, 4, 4, 5)),
    "MultiHeadAttention-element": lambda: (
        nn.MultiHeadAttention(4, 2, kv_heads=1, output_gate="element", rotary=True, window=(1, 1)),
        normal(2, 5, 4), normal(2, 5, 4, seed=2)),
    "RNN": lambda: (nn.RNN(3, 4), normal(3, 5, 3), normal(3, 4, seed=2)),
    "RNN-relu": lambda: (nn.RNN(3, 4, "relu"), normal(3, 5, 3)),
    "LSTM": lambda: (nn.LSTM(3, 4), normal(3, 5, 3), normal(3, 2, 4, seed=2)),
    "LSTM-lengths": lambda: (nn.LSTM(3, 4), normal(3, 5, 3), normal(3, 2, 4, seed=2),
                             np.array([5, 0, 2])),
    "GRU": lambda: (nn.GRU(3, 4), normal(3, 5, 3), normal(3, 4, seed=2)),
    "GRU-reverse": lambda: (nn.GRU(3, 4, reverse=True), normal(3, 5, 3), normal(3, 4, seed=2),
                            np.array([5, 0, 2])),
    "Bidirectional": lambda: (nn.Bidirectional(nn.GRU(3, 4)), normal(3, 5, 3),
                              normal(3, 8, seed=2), np.array([5, 0, 2])),
    "Block": lambda: (nn.Block(8, 2, 12), normal(3, 5, 8), open_gates(3, 3)),
    "Pixels": lambda: (nn.Pixels(), np.arange(6, dtype=np.uint8)),
    "DotAttention": lambda: (nn.DotAttention(), normal(3, 4, 5), normal(3, 6, 5, seed=2),
                             np.array([6, 2, 0])),
    "MultiplicativeAttention": lambda: (nn.MultiplicativeAttention(4, 3), normal(2, 4, 4),
                                        normal(2, 6, 3, seed=2)),
    "AdditiveAttention": lambda: (nn.AdditiveAttention(4, 3, 6), normal(3, 2, 4),
                                  normal(3, 5, 3, seed=2), np.array([5, 2, 0])),
    "SinusoidalPositions": lambda: (nn.SinusoidalPositions(), normal(2, 4, 5)),
    "LearnedPositions": lambda: (nn.LearnedPositions(6, 5), normal(2, 4, 5)),
    "Transformer": lambda: (Reading(), open_gates(2, 2, 3)),
}


def as_tuple(grads):
    grads = grads if isinstance(grads, tuple) else (grads,)
    return tuple(g for g in grads if g is not None)


def all_layers():
    """Names of all public layers under gatelearn.nn."""
    for module in pkgutil.walk_packages(nn.__path__, "gatelearn.nn."):
        importlib.import_module(module.name)
    found, open_ = set(), [nn.Layer]
    while open_:
        open_ += (classes := open_.pop().__subclasses__())
        found |= {c.__name__ for c in classes
                  if c.__module__.startswith("gatelearn.nn") and not c.__name__.startswith("_")}
    return found


def test_every_layer_is_registered():
    assert all_layers() <= {name.split("-")[0] for name in REGISTRY | GATED}


@pytest.mark.parametrize("name", REGISTRY | GATED)
def test_gradients(name):
    nn.check_layer(*(REGISTRY | GATED)[name]())


@pytest.mark.parametrize("name", REGISTRY)
def test_float32_agrees_with_float64(name):
    layer, *args = REGISTRY[name]()
    layer.build(0, np.float64)
    expected = layer.forward(*args)
    de = layer.backward(np.ones_like(expected[0]), expected[1])
    params, grads = layer.params, layer.grads
    layer.bind(params.astype(np.float32), np.zeros(len(params), np.float32))
    args = [a.astype(np.float32) if a.dtype == np.float64 else a for a in args]
    got = layer.forward(*args)
    dg = layer.backward(np.ones_like(got[0]), got[1])
    assert got[0].dtype == np.float32
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.grads, grads, rtol=1e-4, atol=1e-5)
    for g, e in zip(as_tuple(dg), as_tuple(de), strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", REGISTRY)
def test_backward_adds_to_the_gradient(name):
    layer, *args = REGISTRY[name]()
    layer.build(0, np.float64)
    y, saved = layer.forward(*args)
    layer.backward(np.ones_like(y), saved)
    once = layer.grads.copy()
    layer.backward(np.ones_like(y), saved)
    np.testing.assert_allclose(layer.grads, 2 * once)


@pytest.mark.parametrize("name", REGISTRY)
def test_empty_batches(name):
    layer, *args = REGISTRY[name]()
    layer.build(0, np.float64)
    y, saved = layer.forward(*[a[:0] if args[0].ndim > 1 else a for a in args])
    layer.backward(np.ones_like(y), saved)
    assert not (args[0].ndim > 1 and layer.grads.any())


# gated layers take contiguous arrays only
@pytest.mark.parametrize("name", [name for name in REGISTRY if name.split("-")[0] not in
                                  ("GatedHeads", "GatedMLP", "Block", "Transformer")])
def test_inputs_of_any_strides(name):
    layer, *args = REGISTRY[name]()
    layer.build(0, np.float64)
    turned = [np.moveaxis(np.ascontiguousarray(np.moveaxis(a, -1, 0)), 0, -1) for a in args]
    same_bits(layer.forward(*turned)[0], layer.forward(*args)[0])
    y, saved = layer.forward(*args)
    dy = normal(*y.shape)
    expected, got = layer.backward(dy, saved), layer.backward(dy[::-1].copy()[::-1], saved)
    for g, e in zip(as_tuple(got), as_tuple(expected), strict=True):
        same_bits(g, e)


def test_a_layer_may_stand_twice_in_one_network():
    shared = nn.Linear(3, 3)
    network = nn.Sequential(shared, nn.Tanh(), shared)
    nn.check_layer(network, normal(4, 3))
    assert list(network.named_parameters()) == ["0.weight", "0.bias"]
    assert len(network.params) == 12


def test_check_layer_finds_a_wrong_gradient():
    class Wrong(nn.Tanh):
        def backward(self, dy, saved):
            return 1.01 * super().backward(dy, saved)

    with pytest.raises(AssertionError, match=r"argument 0\[0, 0\]: gradient"):
        nn.check_layer(Wrong(), normal(3, 4))


def test_initial_values():
    for i, o in ((8, 5), (5, 8)):
        w = nn.Linear(i, o, gain=3).build(0, np.float64).param["weight"] / 3
        np.testing.assert_allclose(w.T @ w if i > o else w @ w.T, np.eye(5), atol=1e-12)
    layer = nn.Linear(400, 300, init="normal", gain=2).build()
    assert layer.param["weight"].std() == pytest.approx(2 / math.sqrt(400), rel=0.02)
    assert not layer.param["bias"].any()
    assert nn.Embedding(400, 300, std=0.02).build().params.std() == pytest.approx(0.02, rel=0.02)
    same_bits(nn.Linear(4, 3).build(5).params, nn.Linear(4, 3).build(5).params)


def test_layer_errors_name_argument_has_and_expected():
    layer = nn.Linear(4, 3).build()
    with pytest.raises(ValueError, match=r"x has shape \(2, 5\), expected \(\.\.\., 4\)"):
        layer.forward(np.zeros((2, 5), np.float32))
    with pytest.raises(TypeError, match="x has dtype float64, expected float32"):
        layer.forward(np.zeros((2, 4)))
    saved = layer.forward(np.zeros((2, 4), np.float32))[1]
    with pytest.raises(ValueError, match=r"dy has shape \(2, 4\), expected \(\.\.\., 3\)"):
        layer.backward(np.zeros((2, 4), np.float32), saved)
    with pytest.raises(ValueError, match="init is 'xavier', expected 'orthogonal' or 'normal'"):
        nn.Linear(1, 1, init="xavier")
    with pytest.raises(ValueError, match="approximate is 'erf', expected 'tanh' or 'none'"):
        nn.GELU("erf")
    with pytest.raises(IndexError, match="idx is out of range at row 1"):
        nn.Embedding(3, 2).build().forward([0, 3])


def train(steps=300, seed=0, n=200, width=64):
    """Fit sin(3x) with a small network; return the losses and the parameters."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, 1)).astype(np.float32)
    target = np.sin(3 * x)
    net = nn.Sequential(nn.Linear(1, width, gain=16), nn.Tanh(), nn.Linear(width, width), nn.GELU(),
                        nn.Linear(width, 1)).build(seed)
    adam = nn.AdamW(net.params, net.grads, weight_decay=1e-4, decay_mask=nn.matrices_only(net))
    losses = []
    for step in range(1, steps + 1):
        y, saved = net.forward(x)
        losses.append(float(np.mean((y - target) ** 2)))
        net.grads[...] = 0
        net.backward(2 * (y - target) / len(x), saved)
        adam.step(lr=nn.cosine_schedule(step, steps, steps // 10, peak=1e-2), max_norm=1.0)
    return losses, net.params


def test_a_small_network_fits_a_function():
    losses, _ = train()
    assert losses[-1] < 2e-3 < 0.2 < losses[0]


def test_same_seed_gives_the_same_bits_on_any_number_of_threads():
    # large enough for several tasks a kernel
    runs = []
    for threads in (1, 1, 2, 5):
        with gl.num_threads(threads):
            runs.append(train(steps=10, n=5000)[1])
    for other in runs[1:]:
        same_bits(other, runs[0])


def adam(**options):
    params, grads = normal(5), normal(5, seed=2)
    return nn.AdamW(params, grads, **options)


def test_max_norm_scales_the_gradient_down_and_never_up():
    reference = adam(eps=1.0)
    norm = float(np.linalg.norm(reference.grads))
    for limit, factor in ((norm / 4, 0.25), (norm * 4, 1.0), (None, 1.0)):
        clipped, scaled = adam(eps=1.0), adam(eps=1.0)
        assert clipped.step(max_norm=limit) == pytest.approx(norm)
        scaled.grads *= factor
        scaled.step()
        np.testing.assert_allclose(clipped.params, scaled.params, rtol=1e-14)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_gradient_raises_or_is_skipped_and_changes_nothing(bad):
    for skip in (False, True):
        a = adam(skip_nonfinite=skip)
        a.step()
        before = a.params.copy()
        a.grads[3] = bad
        if skip:
            assert not math.isfinite(a.step())
        else:
            with pytest.raises(FloatingPointError, match=f"gradient is {bad} at step 2"):
                a.step()
        same_bits(a.params, before)
        assert a.steps == 1


def test_state_resumes_with_the_same_bits():
    whole, first = adam(), adam()
    for _ in range(3):
        whole.step()
        first.step()
    state = first.state()
    second = nn.AdamW(first.params.copy(), first.grads)
    second.load_state(state)
    first.step()
    for _ in range(3):
        whole.step()
        second.step()
    same_bits(second.params, whole.params)
    assert second.steps == 6 and state["step"] == 3


@pytest.mark.parametrize("change, message", [
    ({"m": None}, "state entry m is missing"), ({"z": 1}, "state entry z is unknown"),
    ({"v": np.zeros(4)}, r"state entry v has shape \(4,\), expected \(5,\)"),
    ({"step": -1}, "state entry step is -1, expected at least 0")])
def test_wrong_state_changes_nothing(change, message):
    a = adam()
    a.step()
    before = a.state()
    state = {k: v for k, v in (a.state() | change).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        a.load_state(state)
    same_bits(a.m, before["m"])


def test_optimiser_errors():
    with pytest.raises(ValueError, match=r"betas\[1\] is 1.0, expected 0 <= betas\[1\] < 1"):
        adam(betas=(0.9, 1.0))
    with pytest.raises(ValueError, match="lr is -1, expected a finite number of at least 0"):
        adam(lr=-1)
    with pytest.raises(ValueError, match=r"decay_mask has shape \(4,\), expected \(5,\)"):
        adam(decay_mask=np.ones(4))
    with pytest.raises(ValueError, match=r"params has shape \(2,\) and grads \(3,\), expected"):
        nn.AdamW(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="max_norm is 0, expected a number above 0"):
        adam().step(max_norm=0)


def test_matrices_only_follows_the_buffer():
    net = nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 3), nn.Tanh(), nn.Embedding(2, 1)).build()
    assert nn.matrices_only(net).tolist() == [0] * 4 + [1] * 6 + [0] * 3 + [1] * 2
    assert nn.matrices_only(nn.Tanh().build()).shape == (0,)


def test_cosine_schedule():
    values = [nn.cosine_schedule(s, 100, 10, peak=2, floor=0.5) for s in range(1, 120)]
    assert values[0] == pytest.approx(0.2) and values[9] == 2
    assert values[54] == pytest.approx(1.25) and set(values[99:]) == {0.5}
    assert (np.diff(values[9:]) <= 0).all()
    assert nn.cosine_schedule(1, 1, 1) == 1 and nn.cosine_schedule(5, 0) == 0
    with pytest.raises(ValueError, match="step is 0, expected at least 1"):
        nn.cosine_schedule(0, 10)
    with pytest.raises(ValueError, match="warmup is 11, expected 0 to 10"):
        nn.cosine_schedule(1, 10, 11)
