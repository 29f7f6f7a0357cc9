"""Layers of images: errors, initial values, training; test_nn.py has their gradients."""

import math

import numpy as np
import pytest
from helpers import same_bits

import gatelearn as gl
from gatelearn import functional as F
from gatelearn import nn


def test_a_layer_is_its_function(rng):
    x = rng.standard_normal((2, 3, 7, 6))
    layer = nn.Conv2d(3, 4, (3, 2), stride=(1, 2), padding=(1, 0)).build(0, np.float64)
    layer.param["bias"][...] = rng.standard_normal(4)
    y, _ = layer.forward(x)
    same_bits(y, F.conv2d(x, layer.param["weight"], layer.param["bias"], stride=(1, 2),
                          padding=(1, 0)))
    same_bits(nn.MaxPool2d(3, 2, 1).forward(x)[0], F.max_pool2d(x, 3, 2, 1)[0])
    assert nn.Flatten().forward(x[:0])[0].shape == (0, 126)


def test_initial_values():
    layer = nn.Conv2d(8, 400, (5, 3)).build()
    weight = layer.param["weight"]
    assert weight.std() == pytest.approx(math.sqrt(2 / 120), rel=0.01)
    bound = math.sqrt(6 / 120)
    assert 0.999 * bound < np.abs(weight).max() <= bound
    assert not layer.param["bias"].any() and "bias" not in nn.Conv2d(1, 1, 1, bias=False).shapes()
    for outputs in (5, 50):
        rows = nn.Conv2d(3, outputs, (2, 4), init="orthogonal", gain=2).build(0, np.float64)
        w = rows.param["weight"].reshape(outputs, 24) / 2
        np.testing.assert_allclose(w @ w.T if outputs == 5 else w.T @ w, np.eye(min(outputs, 24)),
                                   atol=1e-12)
    same_bits(nn.Conv2d(2, 3, 2).build(5).params, nn.Conv2d(2, 3, 2).build(5).params)


def test_errors_name_argument_has_and_expected():
    layer = nn.Conv2d(3, 4, 3).build()
    x = np.zeros((2, 3, 5, 6), np.float32)
    with pytest.raises(ValueError, match=r"x has shape \(2, 2, 5, 6\), expected \(N, 3, H, W\)"):
        layer.forward(x[:, :2])
    with pytest.raises(ValueError, match=r"x has shape \(3, 5, 6\), expected \(N, 3, H, W\)"):
        layer.forward(x[0])
    with pytest.raises(TypeError, match="x has dtype float64, expected float32 as the parameters"):
        layer.forward(x.astype(np.float64))
    with pytest.raises(ValueError, match=r"kernel_size is \(3, 3\), expected .* at most the padded "
                                         r"image, \(2, 6\)"):
        layer.forward(x[:, :, :2])
    y, saved = layer.forward(x)
    with pytest.raises(ValueError, match=r"conv2d_backward: dy.shape\[3\] is 3, expected Q = 4"):
        layer.backward(y[..., :3], saved)
    with pytest.raises(ValueError, match="init is 'xavier', expected 'uniform' or 'orthogonal'"):
        nn.Conv2d(1, 1, 1, init="xavier")
    with pytest.raises(ValueError, match="kernel_size is 0, expected at least 1"):
        nn.Conv2d(1, 1, 0)
    with pytest.raises(TypeError, match=r"stride is 1\.0, expected an integer or a pair"):
        nn.Conv2d(1, 1, 1, stride=1.0)
    with pytest.raises(ValueError, match="x has 0 dimensions, expected at least 1"):
        nn.Flatten().forward(np.float32(1))


def bars(rng, n):
    """Noisy images of one bar each, and whether it stands upright."""
    x = 0.5 * rng.standard_normal((n, 1, 12, 12)).astype(np.float32)
    upright = rng.integers(0, 2, n)
    for image, u, at in zip(x[:, 0], upright, rng.integers(0, 12, n), strict=True):
        (image.T if u else image)[at] += 2
    return x, upright


def train(steps=60):
    """Return losses, the share of new images that are told right, and the parameters."""
    rng = np.random.default_rng(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                        nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
                        nn.Linear(72, 2)).build(0)
    adam = nn.AdamW(net.params, net.grads, weight_decay=0.0)
    losses = []
    for _ in range(steps):
        x, target = bars(rng, 64)
        y, saved = net.forward(x)
        loss, dy = F.cross_entropy_backward(None, y, target)
        losses.append(float(loss.mean()))
        net.grads[...] = 0
        net.backward(dy / len(y), saved)
        adam.step(lr=1e-2)
    x, target = bars(rng, 500)
    return losses, float((net.forward(x)[0].argmax(1) == target).mean()), net.params


def test_a_small_network_tells_bars_apart():
    losses, right, _ = train()
    assert losses[0] > 0.5 > 0.1 > losses[-1] and right > 0.98


def test_training_gives_the_same_bits_on_any_number_of_threads():
    runs = []
    for threads in (1, 2, 5, 1):
        with gl.num_threads(threads):
            runs.append(train(steps=5)[2])
    for other in runs[1:]:
        same_bits(other, runs[0])
