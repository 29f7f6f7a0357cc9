"""The three scores of attention over a memory. Their gradients stand in test_nn.py."""

import numpy as np
import pytest
from helpers import DTYPES, close, same_bits

from gatelearn import nn

LAYERS = {"dot": lambda: nn.DotAttention(), "general": lambda: nn.MultiplicativeAttention(4, 4),
          "concat": lambda: nn.AdditiveAttention(4, 4, hidden=6)}
LENGTHS = np.array([7, 3, 0])


def score(layer, query, memory):
    """By the formula, (B, Tq, Tk)."""
    if isinstance(layer, nn.DotAttention):
        return query @ memory.swapaxes(1, 2)
    query = query @ layer.query.param["weight"]
    if isinstance(layer, nn.MultiplicativeAttention):
        return query @ memory.swapaxes(1, 2)
    query, key = query + layer.query.param["bias"], memory @ layer.key.param["weight"]
    return np.tanh(query[:, :, None] + key[:, None]) @ layer.param["weight"]


@pytest.fixture(params=LAYERS)
def layer(request):
    layer = LAYERS[request.param]().build(0, np.float64)
    layer.params += 0.1 * np.random.default_rng(1).standard_normal(layer.params.shape)
    return layer


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_context_and_weights_by_the_formula(layer, rng, lengths):
    query, memory = rng.standard_normal((3, 5, 4)), rng.standard_normal((3, 7, 4))
    context, saved = layer.forward(query, memory, lengths)
    weights = layer.weights(saved)

    e = np.exp(score(layer, query, memory))
    e = e if lengths is None else np.where(np.arange(7) < lengths[:, None, None], e, 0)
    total = e.sum(-1, keepdims=True)
    expected = e / np.where(total == 0, 1, total)
    close(weights, expected)
    close(context, expected @ memory)
    assert lengths is None or not context[2].any()


def test_what_lies_behind_the_length_is_not_seen(layer, rng):
    query, memory = rng.standard_normal((3, 5, 4)), rng.standard_normal((3, 7, 4))
    spoilt = memory.copy()
    for b, n in enumerate(LENGTHS):
        spoilt[b, n:] = np.nan
    results = []
    for m in (memory, spoilt):
        layer.grads[...] = 0
        context, saved = layer.forward(query, m, LENGTHS)
        results.append((context, layer.weights(saved), *layer.backward(context, saved)))
    for got, expected in zip(*results, strict=True):
        same_bits(got, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_initial_scores_are_of_size_one(dtype):
    """Of standard normal inputs, whatever the widths: the softmax is neither flat nor one-hot."""
    rng = np.random.default_rng(2)
    query = rng.standard_normal((1, 200, 64)).astype(dtype)
    memory = rng.standard_normal((1, 200, 100)).astype(dtype)
    for layer in (nn.MultiplicativeAttention(64, 100), nn.AdditiveAttention(64, 100, hidden=32)):
        assert 0.4 < score(layer.build(0, dtype), query, memory).std() < 1.5


def test_names_of_parameters():
    names = nn.AdditiveAttention(2, 3, 4).build().named_parameters()
    assert {name: p.shape for name, p in names.items()} == {
        "weight": (4,), "query.weight": (2, 4), "query.bias": (4,), "key.weight": (3, 4)}
    names = nn.MultiplicativeAttention(2, 3).build().named_parameters()
    assert {name: p.shape for name, p in names.items()} == {"query.weight": (2, 3)}
    assert nn.DotAttention().build().params.size == 0


def test_errors_name_argument_has_and_expected():
    x = np.zeros((2, 3, 4))
    with pytest.raises(ValueError, match="query has width 4, expected that of memory, 3"):
        nn.DotAttention().forward(x, x[..., :3])
    with pytest.raises(ValueError, match="memory has 2 dimensions, expected 3"):
        nn.DotAttention().forward(x, x[0])
    for make in (lambda: nn.MultiplicativeAttention(4, 3), lambda: nn.AdditiveAttention(4, 3, 5)):
        layer = make().build(0, np.float64)
        with pytest.raises(ValueError, match=r"query has shape \(2, 3, 3\), expected \(B, T, 4\)"):
            layer.forward(x[..., :3], x[..., :3])
        with pytest.raises(ValueError, match=r"memory has shape \(2, 3, 4\), expected \(B, T, 3\)"):
            layer.forward(x, x)
        with pytest.raises(TypeError, match="memory has dtype float32, expected float64 as the pa"):
            layer.forward(x, x[..., :3].astype(np.float32))
        with pytest.raises(ValueError, match="lengths is not allowed at row 1, expected 0 to the"):
            layer.forward(x, x[..., :3], [3, 4])
