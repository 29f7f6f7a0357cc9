"""Gated layers with random parameters and inputs, and both sides of a comparison."""

import numpy as np
from helpers import same_bits

from gatelearn import nn
from gatelearn._reference import gated as ref
from gatelearn._reference.positions import rotary_angle

ERROR = {np.dtype(np.float32): 3e-5, np.dtype(np.float64): 1e-12}


def near(actual, expected, name="", condition=1.0, least=1.0):
    """Assert that the error is small next to the largest value of the array, or to `least`."""
    assert actual.shape == expected.shape, name
    scale = max(least, float(np.abs(expected).max(initial=0)))
    error = float(np.abs(actual - expected).max(initial=0))
    assert error <= ERROR[actual.dtype] * condition * scale, f"{name}: {error} of {scale}"


def built(layer, dtype=np.float64, seed=0):
    """Build with every parameter random: zeros and ones hide errors."""
    layer.build(seed, dtype)
    rng = np.random.default_rng(seed)
    layer.params += (0.3 * rng.standard_normal(layer.params.shape)).astype(dtype)
    return layer


class Reads(nn.Layer):
    """A transformer that is read at fixed places; the tokens are not differentiated."""

    def __init__(self, net, **options):
        self.net, self.options = net, options

    def children(self):
        return {"net": self.net}

    def forward(self, tokens, gate, bias=None):
        return self.net.forward(tokens, gate, bias=bias, **self.options)

    def backward(self, dy, saved):
        grads = self.net.backward(dy, saved)
        return None, *(grads if isinstance(grads, tuple) else (grads,))


class Biased(nn.Layer):
    """Gated heads with a bias of each key, and no other optional argument."""

    def __init__(self, layer):
        self.layer = layer

    def children(self):
        return {"layer": self.layer}

    def forward(self, x, gate, bias):
        return self.layer.forward(x, gate, None, bias)

    def backward(self, dy, saved):
        return self.layer.backward(dy, saved)


class Fixed(nn.Layer):
    """A gated layer whose gates stay as they are: closed ones have no gradient of their own."""

    def __init__(self, layer, gate, lengths=None):
        self.layer, self.gate, self.lengths = layer, gate, lengths

    def children(self):
        return {"layer": self.layer}

    def forward(self, x):
        return self.layer.forward(x, self.gate, self.lengths)

    def backward(self, dy, saved):
        return self.layer.backward(dy, saved)[0]


def _draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def _gate(seed, *shape, closed=False):
    return np.random.default_rng(seed).choice([-0.6, 0.4, 1, 0.0 if closed else 1.5], shape)


# for nn.check_layer, as the registry in test_nn.py
REGISTRY = {
    "GatedHeads": lambda: (nn.GatedHeads(12, 3), _draw(0, 3, 4, 12), _gate(1, 3, 3)),
    "GatedHeads-lengths": lambda: (nn.GatedHeads(12, 3), _draw(0, 3, 4, 12), _gate(1, 3, 3),
                                   np.array([4, 0, 2])),
    "GatedHeads-bias": lambda: (Biased(nn.GatedHeads(12, 3)), _draw(0, 3, 4, 12), _gate(1, 3, 3),
                                _draw(2, 3, 4)),
    "GatedHeads-plain": lambda: (
        nn.GatedHeads(10, 2, is_causal=False, rotary=False, shift=False), _draw(2, 2, 5, 10),
        _gate(3, 2, 2)),
    "GatedHeads-closed": lambda: (Fixed(nn.GatedHeads(8, 4), _gate(4, 5, 4, closed=True)),
                                  _draw(5, 5, 3, 8)),
    "GatedMLP": lambda: (nn.GatedMLP(7, 30), _draw(6, 3, 4, 7), _gate(7, 3)),
    "GatedMLP-lengths": lambda: (nn.GatedMLP(7, 30), _draw(6, 3, 4, 7), _gate(7, 3),
                                 np.array([0, 3, 4])),
    "GatedMLP-closed": lambda: (Fixed(nn.GatedMLP(5, 9), np.array([0, 1.5, 0, 1])),
                                _draw(8, 4, 3, 5)),
    "Block": lambda: (nn.Block(8, 2, 11), _draw(9, 2, 3, 8), _gate(10, 2, 3)),
    "Transformer": lambda: (
        Reads(nn.Transformer(5, width=4, layers=2, heads=2, hidden=6),
              position=[[3, -1], [0, 0]], depth=[[2, 9], [1, 2]]),
        np.array([[0, 4, 2, 2], [1, 3, 0, 4]]), _gate(11, 2, 2, 3)),
    "Transformer-bias": lambda: (
        Reads(nn.Transformer(5, width=4, layers=2, heads=2, hidden=6), position=[[3, 1], [3, 0]]),
        np.array([[0, 4, 2, 2], [1, 3, 0, 4]]), _gate(11, 2, 2, 3), _draw(12, 2, 4)),
}


def gate_shape(layer, B):
    return (B, layer.heads) if isinstance(layer, nn.GatedHeads) else (B,)


def inputs(layer, B, T, dtype=np.float64, seed=1, lengths=False):
    """Return x, gates (closed, negative, fractional, open), lengths or None, and dy."""
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((2, B, T, layer.width)).astype(dtype)
    gate = rng.choice([0, 0, -0.7, 0.4, 1, 1], gate_shape(layer, B)).astype(dtype)
    return x, gate, rng.integers(0, T + 1, B) if lengths else None, dy


def run(layer, x, gate, lengths, dy, *bias):
    """Return y, dx, dgate and all gradients of parameters, by name; that of a bias, if any."""
    y, saved = layer.forward(x, gate, lengths, *bias)
    layer.grads[...] = 0
    dx, dgate, *dbias = layer.backward(dy, saved)
    return {"y": y, "dx": dx, "dgate": dgate,
            **{name: g.copy() for name, g in layer.grad.items()},
            **dict(zip(["bias"], dbias, strict=False))}


def twin(layer, x, gate, lengths, dy, bias=None):
    """The same from the twin, in float64."""
    x, gate, dy = (a.astype(np.float64) for a in (x, gate, dy))
    param = {name: p.astype(np.float64) for name, p in layer.param.items()}
    if isinstance(layer, nn.GatedMLP):
        y = ref.gated_mlp(x, gate, param, lengths)
        dx, dgate, grad = ref.gated_mlp_backward(dy, x, gate, param, lengths)
    else:
        angle = rotary_angle(x.shape[1], layer.head_width) if layer.rotary else None
        bias = None if bias is None else bias.astype(np.float64)
        options = dict(lengths=lengths, angle=angle, is_causal=layer.is_causal, bias=bias)
        y = ref.gated_heads(x, gate, param, **options)
        dx, dgate, grad = ref.gated_heads_backward(dy, x, gate, param, **options)
    return {"y": y, "dx": dx, "dgate": dgate, **grad}


def agree(layer, B, T, dtype=np.float64, seed=1, lengths=False):
    built(layer, dtype, seed)
    args = inputs(layer, B, T, dtype, seed, lengths)
    got, expected = run(layer, *args), twin(layer, *args)
    # the norm multiplies what its input and its gradient are off by with 1 / std: up to 316 where
    # a row's channels, being few, happen to be alike
    condition = (1 / np.sqrt(args[0].var(-1, dtype=np.float64) + layer.eps)).max(initial=1)
    assert got.keys() == expected.keys()
    for name in expected:
        assert got[name].dtype == dtype
        # the gradient of a gate is one sum of T * width terms of either sign, which may come to 0
        least = np.sqrt(max(1, T * layer.width)) if name == "dgate" else 1.0
        near(got[name], expected[name], name, condition, least)


def all_same_bits(got, expected):
    for name in expected:
        same_bits(got[name], expected[name])
