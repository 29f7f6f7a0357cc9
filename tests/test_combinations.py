"""Combinations of pre-trained models: gradients, samples that lack models, parity, add and remove.

test_combiner.py has those of Weight Sharing Attention alone.
"""

import importlib
import pkgutil

import numpy as np
import pytest
from combination_cases import PRESENT, REGISTRY, WIDTHS, normal
from helpers import DTYPES, close, same_bits, same_for_any_threads

from gatelearn import nn, wsa
from gatelearn.wsa.adapters import Embedded, PerModel

WEIGHING = [name for name in REGISTRY if name.split("-")[0] in
            ("Combiner", "DotProductAttention", "Mean", "Single")]
GROWING = [name for name in REGISTRY if name != "FixedLinear"]


def test_every_combination_is_registered():
    for module in pkgutil.iter_modules(wsa.__path__, "gatelearn.wsa."):
        importlib.import_module(module.name)
    found, open_ = set(), [wsa.Combination]
    while open_:
        open_ += (classes := open_.pop().__subclasses__())
        found |= set(classes)
    bases = {PerModel, Embedded}
    names = {c.__name__ for c in found - bases if c.__module__.startswith("gatelearn.wsa")}
    assert names == {name.split("-")[0] for name in REGISTRY}


@pytest.mark.parametrize("present", [None, PRESENT], ids=["all", "some"])
@pytest.mark.parametrize("name", REGISTRY)
def test_gradients(name, present):
    args = (normal(5, 15),) if present is None else (normal(5, 15), present)
    nn.check_layer(REGISTRY[name](input_gradient=True), *args)


@pytest.mark.parametrize("name", REGISTRY)
def test_gradients_of_features_only_when_asked(name):
    grads = []
    for wanted in (True, False):
        layer = REGISTRY[name](input_gradient=wanted).build(0, np.float64)
        state, saved = layer.forward(normal(5, 15), PRESENT)
        assert (layer.backward(state, saved) is None) != wanted
        grads.append(layer.grads)
    same_bits(*grads)


@pytest.mark.parametrize("name", REGISTRY)
def test_float32_and_the_width_of_the_state(name):
    layer = REGISTRY[name]().build(0, np.float64)
    expected, _ = layer.forward(normal(5, 15))
    assert expected.shape == (5, layer.width)
    layer.bind(layer.params.astype(np.float32), layer.grads.astype(np.float32))
    state, saved = layer.forward(normal(5, 15, dtype=np.float32))
    layer.backward(state, saved)
    assert state.dtype == np.float32 and layer.grads.any()
    close(state, expected)
    with pytest.raises(TypeError, match="float64, expected float32"):
        layer.forward(normal(5, 15))


@pytest.mark.parametrize("name", REGISTRY)
def test_no_samples(name):
    layer = REGISTRY[name](input_gradient=True).build()
    for present in (None, PRESENT[:0]):
        state, saved = layer.forward(normal(0, 15, dtype=np.float32), present)
        assert state.shape == (0, layer.width)
        assert layer.backward(state, saved).shape == (0, 15) and not layer.grads.any()


@pytest.mark.parametrize("name", REGISTRY)
def test_a_model_that_is_not_present_is_not_read(name):
    layer = REGISTRY[name](input_gradient=True).build(0, np.float64)
    features = normal(5, 15)
    state, saved = layer.forward(features, PRESENT)
    dfeatures = layer.backward(np.ones_like(state), saved)
    spoiled, grads = features.copy(), layer.grads.copy()
    for i, columns in enumerate(layer.columns.values()):
        spoiled[~PRESENT[:, i], columns] = np.nan
        assert not dfeatures[~PRESENT[:, i], columns].any()
    layer.grads[...] = 0
    again, saved = layer.forward(spoiled, PRESENT)
    same_bits(again, state)
    same_bits(layer.backward(np.ones_like(state), saved), dfeatures)
    same_bits(layer.grads, grads)
    # a mask of all is none
    same_bits(layer.forward(features, np.ones((5, 3), int))[0], layer.forward(features)[0])


@pytest.mark.parametrize("name", REGISTRY)
def test_weights(name):
    layer = REGISTRY[name]().build()
    for present in (None, PRESENT):
        weights = layer.forward(normal(5, 15, dtype=np.float32), present)[1].weights
        assert (weights is not None) == (name in WEIGHING)
        if weights is not None:
            assert weights.shape == (5, 3) and weights.dtype == np.float32
            np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
            assert present is None or not weights[~present].any()
    if name == "DotProductAttention":
        assert not weights[:, 0].any()
    if name == "Single":
        assert weights[:, 0].all()
    if name == "Mean":
        assert weights[1].tolist() == [0.5, 0.0, 0.5]


@pytest.mark.parametrize("name", REGISTRY)
def test_same_bits_on_any_number_of_threads(name):
    layer = REGISTRY[name](input_gradient=True).build()
    features = normal(70, 15, dtype=np.float32)

    def both():
        layer.grads[...] = 0
        state, saved = layer.forward(features)
        return state, layer.backward(state, saved), layer.grads.copy()
    same_for_any_threads(both)


class Agent(nn.Layer):
    """A combination between other layers."""

    def __init__(self, combination):
        self.combination, self.head = combination, nn.Linear(combination.width, 2)

    def children(self):
        return {"combination": self.combination, "head": self.head}

    def forward(self, features, present=None):
        state, saved = self.combination.forward(features, present)
        y, kept = self.head.forward(state)
        return y, (saved, kept)

    def backward(self, dy, saved):
        return self.combination.backward(self.head.backward(dy, saved[1]), saved[0])


def trained(name, steps=3):
    """An agent, and its optimiser, after some steps."""
    agent = Agent(REGISTRY[name]()).build(0)
    optimiser = nn.AdamW(agent.params, agent.grads, weight_decay=0.1,
                         decay_mask=nn.matrices_only(agent))
    train(agent, optimiser, steps)
    return agent, optimiser


def train(agent, optimiser, steps):
    features = normal(7, sum(agent.combination.widths.values()), dtype=np.float32)
    for _ in range(steps):
        y, saved = agent.forward(features)
        agent.grads[...] = 0
        agent.backward(y - 1, saved)
        optimiser.step()


def named(agent, optimiser):
    """Parameters, moments and mask by the parameters' paths."""
    arrays, at = {}, 0
    for path, value in agent.named_parameters().items():
        part = slice(at, at + value.size)
        arrays[path] = [a[part].copy() for a in (agent.params, optimiser.m, optimiser.v,
                                                 optimiser.decay_mask)]
        at += value.size
    assert at == len(agent.params) == len(agent.grads)
    return arrays


@pytest.mark.parametrize("name", GROWING)
def test_a_model_is_added(name):
    agent, optimiser = trained(name)
    before = named(agent, optimiser)
    agent.combination.add("depth", 6)
    new = wsa.rebuild(agent, optimiser, np.random.default_rng(5))
    after = named(agent, optimiser)
    assert set(new) == after.keys() - before.keys()
    assert all(".depth" in path for path in new) and bool(new) == (name != "Single")
    for path, arrays in before.items():
        for a, e in zip(after[path], arrays, strict=True):
            same_bits(a, e)
    for path in new:
        _, m, v, mask = after[path]
        assert not m.any() and not v.any()
        assert (mask == (agent.named_parameters()[path].ndim > 1)).all()
    assert optimiser.steps == 3 and optimiser.params is agent.params
    train(agent, optimiser, 2)
    trained_on = named(agent, optimiser)
    assert all((trained_on[path][0] != after[path][0]).any() for path in new)

    # from a seed and a checkpoint: the layout depends on the models alone
    other = Agent(REGISTRY[name]())
    other.combination.add("depth", 6)
    other.build(9).load(agent.named_parameters())
    features = normal(4, 21, dtype=np.float32)
    same_bits(other.forward(features)[0], agent.forward(features)[0])
    same_bits(other.params, agent.params)


@pytest.mark.parametrize("name", GROWING)
def test_a_model_that_no_sample_has_changes_nothing(name):
    agent, optimiser = trained(name)
    features = normal(5, 15, dtype=np.float32)
    before = agent.forward(features, PRESENT)[0]
    agent.combination.add("depth", 6)
    wsa.rebuild(agent, optimiser, np.random.default_rng(5))
    wider = np.concatenate([features, np.full((5, 6), np.nan, np.float32)], axis=1)
    present = np.concatenate([PRESENT, np.zeros((5, 1), bool)], axis=1)
    same_bits(agent.forward(wider, present)[0], before)


@pytest.mark.parametrize("name", ["Concatenation", "Convolutional", "Convolutional-3", "Mixed"])
def test_a_model_that_is_added_to_a_sum_changes_nothing_at_first(name):
    agent, optimiser = trained(name)
    features = normal(5, 15, dtype=np.float32)
    before = agent.forward(features)[0]
    agent.combination.add("depth", 6)
    wsa.rebuild(agent, optimiser, np.random.default_rng(5))
    wider = np.concatenate([features, normal(5, 6, dtype=np.float32)], axis=1)
    np.testing.assert_array_equal(agent.forward(wider)[0], before)
    train(agent, optimiser, 1)
    last = [value for path, value in agent.named_parameters().items() if ".depth" in path][-1]
    assert last.any()


@pytest.mark.parametrize("name", GROWING)
def test_a_model_is_removed(name):
    agent, optimiser = trained(name)
    agent.combination.add("depth", 6)
    wsa.rebuild(agent, optimiser, np.random.default_rng(5))
    train(agent, optimiser, 2)
    before = named(agent, optimiser)
    features = normal(5, 21, dtype=np.float32)
    present = np.ones((5, 4), bool)
    present[:, 2] = False
    expected = agent.forward(features, present)[0]
    agent.combination.remove("motion-2")
    assert wsa.rebuild(agent, optimiser, np.random.default_rng(6)) == []
    assert agent.combination.widths == {"state": 4, "objects": 8, "depth": 6}
    after = named(agent, optimiser)
    assert not any("motion-2" in path for path in after)
    assert before.keys() - after.keys() == {path for path in before if "motion-2" in path}
    for path, arrays in after.items():
        for a, e in zip(arrays, before[path], strict=True):
            same_bits(a, e)
    rest = np.delete(features, np.s_[12:15], axis=1)
    close(agent.forward(rest)[0], expected)
    train(agent, optimiser, 2)


def test_a_model_of_the_same_name_has_nothing_of_the_old_one():
    agent, optimiser = trained("Mean")
    agent.combination.remove("objects")
    agent.combination.add("objects", 8)
    new = wsa.rebuild(agent, optimiser, np.random.default_rng(5))
    assert len(new) == 4 and all(".objects." in path for path in new)
    assert list(agent.combination.widths) == ["state", "motion-2", "objects"]


def test_rebuilding_without_an_optimiser():
    agent = nn.Sequential(REGISTRY["Mean"](), nn.Linear(5, 2)).build(0)
    params = agent.params.copy()
    assert wsa.rebuild(agent, None, np.random.default_rng(0)) == []
    same_bits(agent.params, params)
    head = agent.layers[1].param["weight"].copy()
    agent.layers[0].add("depth", 6)
    assert len(wsa.rebuild(agent, None, np.random.default_rng(0))) == 4
    same_bits(agent.layers[1].param["weight"], head)
    assert agent.params.size == params.size + 6 * 5 + 3 * 5


def test_errors_of_rebuild():
    agent, optimiser = trained("Mean")
    with pytest.raises(ValueError, match="Agent has no parameters, expected a layer that was"):
        wsa.rebuild(Agent(REGISTRY["Mean"]()), optimiser, np.random.default_rng(0))
    other, _ = trained("Mean")
    with pytest.raises(ValueError, match="optimiser has other parameters than network"):
        wsa.rebuild(other, optimiser, np.random.default_rng(0))
    shared = nn.Sequential(agent.combination, nn.Tanh()).build()
    with pytest.raises(ValueError, match=r"parameter combination\.adapter\.state\.0\.weight is in "
                                         "another network, expected this one's"):
        wsa.rebuild(agent, optimiser, np.random.default_rng(0))
    assert len(shared.params) < len(agent.params)


def test_parity_with_pytorch(rng):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def tensors(layer):
        return {k: torch.tensor(v, requires_grad=True) for k, v in layer.named_parameters().items()}

    def linear(p, name, x):
        return x @ p[f"{name}.weight"] + p.get(f"{name}.bias", 0)

    def embed(p, name, x):
        x = functional.layer_norm(linear(p, f"adapter.{name}.0", x), (5,),
                                  p[f"adapter.{name}.1.weight"], p[f"adapter.{name}.1.bias"])
        return x.relu()

    def split(x):
        return dict(zip(WIDTHS, x.split(list(WIDTHS.values()), 1), strict=True))

    def concatenation(p, x):
        weight = torch.cat([p[f"adapter.{name}.weight"] for name in WIDTHS])
        return (x @ weight + p["bias"]).relu()

    def fixed(p, x):
        return torch.cat([linear(p, f"adapter.{n}", f) for n, f in split(x).items()], 1)

    def convolutional(p, x):
        f = split(x)
        maps = torch.cat([f["state"].view(-1, 1, 2, 2), f["objects"].view(-1, 2, 2, 2),
                          linear(p, "adapter.motion-2.0", f["motion-2"]).view(-1, 1, 2, 2)], 1)
        weight = torch.cat([p["adapter.state.1.weight"], p["adapter.objects.1.weight"],
                            p["adapter.motion-2.2.weight"]], 1)
        return functional.conv2d(maps, weight, p["bias"], padding=1).relu().flatten(1)

    def attention(p, x):
        e = {name: embed(p, name, f) for name, f in split(x).items()}
        keys = torch.stack([e["objects"], e["motion-2"]], 1)
        return functional.scaled_dot_product_attention(e["state"][:, None], keys, keys)[:, 0]

    def mean(p, x):
        return torch.stack([embed(p, name, f) for name, f in split(x).items()]).mean(0)

    def single(p, x):
        return embed(p, "state", x[:, :4])

    peers = {"Concatenation": concatenation, "FixedLinear": fixed, "Convolutional": convolutional,
             "DotProductAttention": attention, "Mean": mean, "Single": single}
    for dtype in DTYPES:
        for name, peer in peers.items():
            layer = REGISTRY[name](input_gradient=True).build(0, dtype)
            layer.params += 0.1 * rng.standard_normal(len(layer.params)).astype(dtype)
            p, x = tensors(layer), torch.tensor(normal(6, 15, dtype=dtype), requires_grad=True)
            expected = peer(p, x)
            state, saved = layer.forward(x.detach().numpy())
            close(state, expected.detach())
            dstate = normal(*state.shape, seed=2, dtype=dtype)
            expected.backward(torch.tensor(dstate))
            close(layer.backward(dstate, saved), x.grad)
            close(layer.grads, torch.cat([t.grad.flatten() for t in p.values()]))


def test_published_sizes():
    widths = {"state": 16384, "keypoints": 8192, "keynet": 4096, "segmentation": 4096,
              "representation": 512}
    layer = wsa.Mixed(widths, vectors=["representation"])
    assert layer.width == 32 * 16 * 16 + 512
    sizes = {row[0]: row[3] for row in layer.layout()}
    assert sizes["maps.adapter.state.1.weight"] == (32, 64, 3, 3)
    assert sizes["vectors.adapter.representation.weight"] == (512, 512)
    assert wsa.Concatenation(widths).width == wsa.Mean(widths).width == 512
    assert wsa.FixedLinear(widths).width == 5 * 512


MODELS = {"a": 2, "b": 3}


@pytest.mark.parametrize("make, message", [
    (lambda: wsa.Mean({}), "widths is empty, expected at least one model"),
    (lambda: wsa.Mean(MODELS, 0), "width is 0, expected at least 1"),
    (lambda: wsa.Mean({"a": 0}), "model 'a' has width 0, expected at least 1"),
    (lambda: wsa.Mean({"a.b": 1}), "name is 'a.b', expected letters, digits, hyphens and"),
    (lambda: wsa.Mean(MODELS, adapter="tanh"), "adapter is 'tanh', expected 'norm' or 'linear'"),
    (lambda: wsa.Single(MODELS), "model is None, expected one of a, b"),
    (lambda: wsa.Single(MODELS, model="c"), "model is 'c', expected one of a, b"),
    (lambda: wsa.FixedLinear(MODELS, 0), "model_width is 0, expected at least 1"),
    (lambda: wsa.Convolutional(MODELS, convolutions=0), "convolutions is 0, expected at least 1"),
    (lambda: wsa.Mixed(MODELS), "vectors has 2 of 2 models, expected some and not all"),
    (lambda: wsa.Mixed(MODELS, vectors=["c"]), "vectors has 'c', expected models of widths: a, b"),
    (lambda: wsa.Mixed(MODELS, linear=0), "linear is 0 and size 16, expected at least 1"),
    (lambda: wsa.DotProductAttention(MODELS, context="c"), "context is 'c', expected one of a, b"),
    (lambda: wsa.DotProductAttention({"a": 2}, context="a"), "'a' is the context and the only"),
], ids=lambda x: x if isinstance(x, str) else "")
def test_messages_of_constructors(make, message):
    with pytest.raises(ValueError) as raised:
        make()
    assert message in str(raised.value)


@pytest.mark.parametrize("name", REGISTRY)
def test_messages_about_features_and_present(name):
    layer = REGISTRY[name]().build()
    x = np.zeros((2, 15), np.float32)
    for bad in (x[:, 1:], x[0], x[None]):
        with pytest.raises(ValueError) as raised:
            layer.forward(bad)
        assert str(raised.value) == (f"features has shape {bad.shape}, expected (B, 15): 4 of "
                                     "'state' + 8 of 'objects' + 3 of 'motion-2'")
    with pytest.raises(ValueError, match=r"present has shape \(2, 2\), expected \(2, 3\)"):
        layer.forward(x, np.ones((2, 2), bool))
    with pytest.raises(TypeError, match="present has dtype float64, expected booleans"):
        layer.forward(x, np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"present\[1\] has no model, expected at least one"):
        layer.forward(x, [[1, 1, 1], [0, 0, 0]])


def test_a_base_class_says_what_is_missing():
    for base, method in ((wsa.Combination(MODELS, 2), "forward"), (wsa.Combination(MODELS, 2),
                                                                   "backward")):
        with pytest.raises(TypeError, match=f"Combination defines no {method}"):
            getattr(base, method)(np.zeros((1, 5), np.float32), None)
    with pytest.raises(TypeError, match="PerModel defines no adapter"):
        PerModel(MODELS, 2)


def test_messages_about_models_that_must_be_there():
    x = np.zeros((2, 15), np.float32)
    layer = REGISTRY["DotProductAttention"]().build()
    with pytest.raises(ValueError, match=r"present\[1\] lacks the context, 'state'"):
        layer.forward(x, [[1, 1, 1], [0, 1, 1]])
    with pytest.raises(ValueError, match=r"present\[1\] has no model beside the context"):
        layer.forward(x, [[1, 1, 1], [1, 0, 0]])
    with pytest.raises(ValueError, match=r"present\[0\] lacks 'state', the one model"):
        REGISTRY["Single"]().build().forward(x, [[0, 1, 1], [1, 1, 1]])


def test_messages_about_adding_and_removing():
    layer = wsa.Mean(MODELS)
    for name, width, message in [("a", 2, "there is a model 'a' already"),
                                 ("c", 0, "model 'c' has width 0, expected at least 1"),
                                 ("1", 1, "name is '1', expected letters")]:
        with pytest.raises(ValueError, match=message):
            layer.add(name, width)
    with pytest.raises(KeyError, match="no model 'c', expected one of a, b"):
        layer.remove("c")
    layer.remove("a")
    with pytest.raises(ValueError, match="'b' is the last model, expected one that stays"):
        layer.remove("b")
    assert layer.widths == {"b": 3} and list(layer.adapters) == ["b"]
    for change in (lambda: wsa.FixedLinear(MODELS).add("c", 1),
                   lambda: wsa.FixedLinear(MODELS).remove("a")):
        with pytest.raises(ValueError, match="would change the width of the state"):
            change()
    with pytest.raises(ValueError, match="'a' is the one model of the state, expected another"):
        wsa.Single(MODELS, model="a").remove("a")
    layer = wsa.DotProductAttention(MODELS, context="a")
    with pytest.raises(ValueError, match="'a' is the context, expected another model"):
        layer.remove("a")
    with pytest.raises(ValueError, match="'b' is the last model beside the context"):
        layer.remove("b")
    layer = wsa.Mixed({"a": 2, "b": 256, "c": 256})
    with pytest.raises(ValueError, match="'a' is the last model, expected one that stays"):
        layer.remove("a")
    with pytest.raises(KeyError, match="no model 'd'"):
        layer.remove("d")
    assert list(layer.widths) == ["a", "b", "c"]
