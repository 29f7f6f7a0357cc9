"""Gated layers with random parameters and inputs, and both sides of a comparison."""

import numpy as np
from helpers import same_bits

from gatelearn import nn
from gatelearn._reference import gated as ref

ERROR = {np.dtype(np.float32): 3e-5, np.dtype(np.float64): 1e-12}


def near(actual, expected, name=""):
    """Assert that the error is small next to the largest value of the array."""
    assert actual.shape == expected.shape, name
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    error = float(np.abs(actual - expected).max(initial=0))
    assert error <= ERROR[actual.dtype] * scale, f"{name}: {error} of {scale}"


def built(layer, dtype=np.float64, seed=0):
    """Build with every parameter random: zeros and ones hide errors."""
    layer.build(seed, dtype)
    rng = np.random.default_rng(seed)
    layer.params += (0.3 * rng.standard_normal(layer.params.shape)).astype(dtype)
    return layer


def gate_shape(layer, B):
    return (B, layer.heads) if isinstance(layer, nn.GatedHeads) else (B,)


def inputs(layer, B, T, dtype=np.float64, seed=1, lengths=False):
    """Return x, gates (closed, negative, fractional, open), lengths or None, and dy."""
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((2, B, T, layer.width)).astype(dtype)
    gate = rng.choice([0, 0, -0.7, 0.4, 1, 1], gate_shape(layer, B)).astype(dtype)
    return x, gate, rng.integers(0, T + 1, B) if lengths else None, dy


def run(layer, x, gate, lengths, dy):
    """Return y, dx, dgate and all gradients of parameters, by name."""
    y, saved = layer.forward(x, gate, lengths)
    layer.grads[...] = 0
    dx, dgate = layer.backward(dy, saved)
    return {"y": y, "dx": dx, "dgate": dgate,
            **{name: g.copy() for name, g in layer.grad.items()}}


def twin(layer, x, gate, lengths, dy):
    """The same from the twin, in float64."""
    x, gate, dy = (a.astype(np.float64) for a in (x, gate, dy))
    param = {name: p.astype(np.float64) for name, p in layer.param.items()}
    if isinstance(layer, nn.GatedMLP):
        y = ref.gated_mlp(x, gate, param, lengths)
        dx, dgate, grad = ref.gated_mlp_backward(dy, x, gate, param, lengths)
    else:
        angle = ref.rotary_angle(x.shape[1], layer.head_width) if layer.rotary else None
        options = dict(lengths=lengths, angle=angle, is_causal=layer.is_causal)
        y = ref.gated_heads(x, gate, param, **options)
        dx, dgate, grad = ref.gated_heads_backward(dy, x, gate, param, **options)
    return {"y": y, "dx": dx, "dgate": dgate, **grad}


def agree(layer, B, T, dtype=np.float64, seed=1, lengths=False):
    built(layer, dtype, seed)
    args = inputs(layer, B, T, dtype, seed, lengths)
    got, expected = run(layer, *args), twin(layer, *args)
    assert got.keys() == expected.keys()
    for name in expected:
        assert got[name].dtype == dtype
        near(got[name], expected[name], name)


def all_same_bits(got, expected):
    for name in expected:
        same_bits(got[name], expected[name])
