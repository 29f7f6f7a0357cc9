"""Weight Sharing Attention against its twin, central differences, PyTorch and itself."""

from typing import NamedTuple

import numpy as np
import pytest
from helpers import DTYPES, close, same_bits, same_for_any_threads
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import needs, run_python

from gatelearn import _core, nn, wsa
from gatelearn import functional as F
from gatelearn._reference import combiner as ref

# error over the largest value, against a float64 twin
ERROR = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-11}


class Case(NamedTuple):
    dstate: np.ndarray
    features: np.ndarray
    widths: np.ndarray
    parameters: F.CombinerParameters
    context: int
    options: dict

    @property
    def inputs(self):
        return self.features, self.widths, self.parameters, self.context


def case(seed, dtype, B, widths, C, S, *, context=0, norm=True, mask=False, weigh_context=False,
         normalisation="softmax"):
    rng = np.random.default_rng(seed)
    M, D = len(widths), sum(widths)
    shapes = dict(weight=(D, C), bias=(M, C), norm_weight=(M, C), norm_bias=(M, C),
                  hidden_weight=(2, C, S), hidden_bias=(S,), score_weight=(S or 2*C,),
                  score_bias=(1,))
    absent = [] if norm else ["norm_weight", "norm_bias"]
    absent += [] if S else ["hidden_weight", "hidden_bias"]
    parameters = {name: None if name in absent else rng.standard_normal(shape).astype(dtype)
                  for name, shape in shapes.items()}
    # products of numbers near 1
    parameters["weight"] /= np.repeat(np.sqrt(widths), widths)[:, None].astype(dtype)
    if S:
        parameters["hidden_weight"] /= dtype(np.sqrt(2*C))
    options = dict(weigh_context=weigh_context, normalisation=normalisation)
    if mask:
        present = rng.random((B, M)) < 0.6
        present[:, context] = True
        if not weigh_context:
            present[np.arange(B), (context + 1 + rng.integers(M - 1, size=B)) % M] = True
        options["present"] = present
    dstate, features = (rng.standard_normal((B, n)).astype(dtype) for n in (C, D))
    return Case(dstate, features, np.array(widths), F.CombinerParameters(**parameters), context,
                options)


def forward(c):
    return F.combine(*c.inputs, **c.options)


def backward(c):
    """The gradient of the features, and those of the parameters by name."""
    _, weights, saved = F.combine(*c.inputs, **c.options, return_saved=True)
    return F.combine_backward(c.dstate, *c.inputs, weights, saved, **c.options)


def results(c):
    dfeatures, grads = backward(c)
    return [a for a in (*forward(c), dfeatures, *grads) if a is not None]


def agree(c):
    """Forward and backward agree with the twin."""
    wide = [a.astype(np.float64) for a in (c.dstate, c.features)]
    param = {k: v.astype(np.float64) for k, v in c.parameters._asdict().items() if v is not None}
    arguments = wide[1], c.widths, param, c.context
    dfeatures, grad = ref.combine_backward(wide[0], *arguments, **c.options)
    expected = [*ref.combine(*arguments, **c.options), dfeatures, *grad.values()]
    for got, e in zip(results(c), expected, strict=True):
        assert got.shape == e.shape and got.dtype == c.features.dtype
        error = float(np.abs(got - e).max(initial=0))
        assert error <= ERROR[got.dtype] * max(1.0, float(np.abs(e).max(initial=0)))


FORMS = {
    "default": dict(),
    "published": dict(S=0, normalisation="linear"),
    "masked": dict(mask=True, context=2),
    "linear": dict(norm=False, normalisation="linear", mask=True),
    "plain": dict(norm=False, S=0, weigh_context=True, context=1, mask=True),
    "weighed context": dict(weigh_context=True, context=1, normalisation="linear"),
}


def form(name, dtype, B, widths, C, S=6, seed=0, **more):
    return case(seed, dtype, B, widths, C, **(dict(S=S) | FORMS[name] | more))


forms = pytest.mark.parametrize("name", FORMS)


@forms
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("B", [0, 1, 5, 300])
def test_agrees_with_the_twin(name, dtype, B):
    agree(form(name, dtype, B, [7, 1, 16, 30], 9))


@pytest.mark.parametrize("dtype", DTYPES)
def test_wide_states_agree_with_the_twin(dtype):
    agree(form("masked", dtype, 20, [64, 130, 16], 96, S=48))


@st.composite
def cases(draw):
    weigh = draw(st.booleans())
    widths = draw(st.lists(st.integers(1, 20), min_size=1 if weigh else 2, max_size=5))
    return case(draw(st.integers(0, 2**32)), np.float64, draw(st.integers(0, 6)), widths,
                draw(st.integers(3, 24)), draw(st.integers(0, 18)),
                context=draw(st.integers(0, len(widths) - 1)), norm=draw(st.booleans()),
                mask=draw(st.booleans()), weigh_context=weigh,
                normalisation=draw(st.sampled_from(["softmax", "linear"])))


@settings(max_examples=150, deadline=None)
@given(cases())
def test_any_case_agrees_with_the_twin(c):
    agree(c)


@forms
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_number_of_threads_gives_the_same_bits(name, dtype):
    # large enough to be shared out
    c = form(name, dtype, 300, [64, 80, 100], 48, S=16)
    same_for_any_threads(lambda: results(c))


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_agrees_with_the_twin(isa):
    needs(isa)
    run_python(f"""
        import numpy as np
        from gatelearn import _core
        assert _core.get_isa() == {isa!r}
        from test_combiner import FORMS, agree, form
        for name in FORMS:
            for dtype in (np.float32, np.float64):
                agree(form(name, dtype, 9, [17, 3, 40], 33, S=19))
    """, GATELEARN_ISA=isa)


@forms
def test_without_a_library_of_products(name):
    run_python(f"""
        import numpy as np
        from test_combiner import agree, form
        agree(form({name!r}, np.float64, 9, [17, 3, 40], 33, S=19))
    """, GATELEARN_BLAS="none")


@pytest.mark.parametrize("name", ["default", "published"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_pytorch(name, dtype):
    torch = pytest.importorskip("torch")
    c = form(name, dtype, 6, [7, 12, 30], 16, S=8) if name == "default" else form(
        name, dtype, 6, [7, 12, 30], 16)
    leaves = {k: torch.tensor(v, requires_grad=True)
              for k, v in c.parameters._asdict().items() if v is not None}
    features = torch.tensor(c.features, requires_grad=True)
    e = []
    for i, (f, weight) in enumerate(zip(features.split([7, 12, 30], 1),
                                        leaves["weight"].split([7, 12, 30]), strict=True)):
        z = f @ weight + leaves["bias"][i]
        e.append(torch.relu(torch.nn.functional.layer_norm(
            z, (16,), leaves["norm_weight"][i], leaves["norm_bias"][i])))
    e = torch.stack(e, 1)
    pair = torch.cat([e[:, :1].expand(-1, 2, -1), e[:, 1:]], 2)
    if name == "default":
        hidden = leaves["hidden_weight"].reshape(32, 8)
        pair = torch.relu(pair @ hidden + leaves["hidden_bias"])
    u = pair @ leaves["score_weight"] + leaves["score_bias"]
    if name == "default":
        weights = torch.softmax(u, 1)
    else:
        weights = torch.nn.functional.softplus(u)
        weights = weights / weights.sum(1, keepdim=True)
    state = (weights[..., None] * e[:, 1:]).sum(1)
    state.backward(torch.tensor(c.dstate))
    got = forward(c)
    close(got[0], state.detach().numpy())
    close(got[1][:, 1:], weights.detach().numpy())
    dfeatures, grads = backward(c)
    close(dfeatures, features.grad.numpy())
    for key, leaf in leaves.items():
        np.testing.assert_allclose(getattr(grads, key), leaf.grad.numpy(),
                                   rtol=1e-3 if dtype == np.float32 else 1e-8,
                                   atol=1e-4 if dtype == np.float32 else 1e-9)


@pytest.mark.parametrize("normalisation", ["softmax", "linear"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_of_any_scores(normalisation, dtype):
    """One sample a score, from far below 0 to far above: never 0 / 0, never without a gradient."""
    scores = np.array([-1e4, -200, -100, -30, -19, -10, -9, -1, 0, 1, 9, 80, 1e4])
    for apart in (0.0, 0.5):
        features = np.stack([np.zeros_like(scores), scores, scores + apart], 1).astype(dtype)
        p = F.CombinerParameters(np.ones((3, 1)), np.zeros((3, 1)), None, None, None, None,
                                 [0.0, 1.0], [0.0])
        state, weights, saved = F.combine(features, [1, 1, 1], p, 0, normalisation=normalisation,
                                          return_saved=True)
        a, b = features[:, 1].astype(float), features[:, 2].astype(float)
        if normalisation == "softmax":
            ratio = np.exp(b - a)
        else:
            ratio = np.exp(ref.log_softplus(b) - ref.log_softplus(a))
        np.testing.assert_allclose(weights[:, 2] / weights[:, 1], ratio,
                                   rtol=1e-5 if dtype == np.float32 else 1e-10)
        np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
        if apart == 0:
            same_bits(weights[:, 1], np.full(len(scores), 0.5, dtype))
        else:
            _, grads = F.combine_backward(np.ones_like(state), features, [1, 1, 1], p, 0, weights,
                                          saved, normalisation=normalisation)
            assert np.isfinite(grads.score_weight).all() and grads.score_weight[1] != 0


def test_with_softmax_and_no_hidden_layer_the_context_cancels():
    c = case(0, np.float64, 5, [3, 4, 5], 8, 0)
    other = c._replace(features=np.concatenate([c.features[:, :3] + 1, c.features[:, 3:]], 1))
    close(forward(c)[1], forward(other)[1])
    for change in (dict(normalisation="linear"), dict()):
        moved = [case(0, np.float64, 5, [3, 4, 5], 8, 0 if change else 6, **change)._replace(
            features=f) for f in (c.features, other.features)]
        assert np.abs(forward(moved[0])[1] - forward(moved[1])[1]).max() > 1e-3


@forms
def test_what_a_sample_lacks_is_not_read(name):
    c = form(name, np.float64, 40, [5, 4, 6], 7, mask=True)
    shown = np.repeat(c.options["present"], c.widths, axis=1)
    assert not shown.all()
    spoiled = c._replace(features=np.where(shown, c.features, np.nan))
    for got, expected in zip(results(spoiled), results(c), strict=True):
        same_bits(got, expected)
    assert not backward(c)[0][~shown].any()
    assert not forward(c)[1][~c.options["present"]].any()
    # a mask of all is none
    every = {**c.options, "present": np.ones((40, 3), bool)}
    for got, expected in zip(results(c._replace(options=every)),
                             results(c._replace(options={**every, "present": None})), strict=True):
        same_bits(got, expected)


@forms
def test_nan_reaches_its_sample_and_no_other(name):
    c = form(name, np.float64, 5, [5, 4, 6], 7, mask=False)
    features = c.features.copy()
    features[2, 12] = np.nan
    state, weights = forward(c._replace(features=features))
    assert np.isnan(state[2]).any() and np.isnan(weights[2]).any()
    for got, expected in zip((state, weights), forward(c), strict=True):
        same_bits(np.delete(got, 2, 0), np.delete(expected, 2, 0))


def test_the_gradient_of_the_features_changes_no_other():
    c = form("masked", np.float32, 30, [5, 4, 6], 7)
    _, weights, saved = F.combine(*c.inputs, **c.options, return_saved=True)
    dfeatures, grads = F.combine_backward(c.dstate, *c.inputs, weights, saved, **c.options,
                                          input_gradient=False)
    assert dfeatures is None
    for got, expected in zip(grads, backward(c)[1], strict=True):
        same_bits(got, expected)


def test_inputs_of_any_strides_and_types():
    c = form("masked", np.float64, 8, [5, 4, 6], 7)
    expected = results(c)
    odd = c._replace(features=np.asfortranarray(c.features), widths=[5, 4, 6],
                     parameters=c.parameters._replace(weight=c.parameters.weight.astype(">f8")),
                     options=c.options | dict(present=c.options["present"].astype(int)))
    for got, e in zip(results(odd), expected, strict=True):
        same_bits(got, e)
    out = np.empty_like(expected[0])
    assert F.combine(*c.inputs, **c.options, out=out)[0] is out
    same_bits(out, expected[0])


ERRORS = [
    (dict(features=np.ones(6)), ValueError, "features has 1 dimensions, expected 2"),
    (dict(features=np.ones((2, 5))), ValueError, r"weight.shape\[0\] is 6, expected D = 5"),
    (dict(widths=[3, 2]), ValueError, "the sum of widths is 5, expected D = 6"),
    (dict(widths=[3, 4]), ValueError, r"widths\[1\] is 4, expected at least 1 and a sum of D = 6"),
    (dict(widths=[6, 0]), ValueError, r"widths\[1\] is 0, expected at least 1"),
    (dict(widths=[2, 2, 2]), ValueError, r"bias.shape\[0\] is 2, expected M = 3"),
    (dict(widths=[3.0, 3.0]), TypeError, "widths has dtype float64, expected integers"),
    (dict(context=2), ValueError, "context is 2, expected 0 to 1"),
    (dict(context=-1), ValueError, "context is -1, expected 0 to 1"),
    (dict(normalisation="sum"), ValueError, "normalisation is 'sum', expected 'softmax' or 'lin"),
    (dict(present=[[1, 1], [0, 1]]), ValueError, "present is not allowed at row 1, expected 0"),
    (dict(present=[[1, 0], [1, 1]]), ValueError, "row 0, expected 0 or 1, the context and a model"),
    (dict(present=np.full((2, 2), 2, np.uint8)), ValueError, "present is not allowed at row 0"),
    (dict(present=[[1, 1]]), ValueError, r"present.shape\[0\] is 1, expected B = 2"),
    (dict(present=np.ones((2, 2))), TypeError, "present has dtype float64, expected booleans"),
    (dict(weight=np.ones(6)), ValueError, "weight has 1 dimensions, expected 2"),
    (dict(weight=np.ones((6, 0)), bias=np.ones((2, 0)), hidden_weight=np.ones((2, 0, 4))),
     ValueError, r"weight.shape\[1\] is 0, expected at least 1"),
    (dict(norm_weight=np.ones((2, 3))), ValueError, "norm_weight and norm_bias are not both given"),
    (dict(hidden_bias=None), ValueError, "hidden_weight and hidden_bias are not both given"),
    (dict(hidden_weight=np.ones((1, 3, 4))), ValueError, r"hidden_weight.shape\[0\] is 1, expec"),
    (dict(score_weight=np.ones(5)), ValueError, r"score_weight.shape\[0\] is 5, expected S = 4"),
    (dict(score_bias=np.ones(2)), ValueError, r"score_bias.shape\[0\] is 2, expected 1"),
    (dict(out=np.ones((2, 2))), ValueError, r"out has shape \(2, 2\), expected \(2, 3\)"),
]


def well_formed():
    return dict(features=np.ones((2, 6)), widths=[3, 3], context=0, weight=np.ones((6, 3)),
                bias=np.ones((2, 3)), norm_weight=None, norm_bias=None,
                hidden_weight=np.ones((2, 3, 4)), hidden_bias=np.ones(4), score_weight=np.ones(4),
                score_bias=np.ones(1))


def split(arguments):
    """Positional arguments and options of `combine`."""
    parameters = F.CombinerParameters(*(arguments.pop(k) for k in F.CombinerParameters._fields))
    return ([arguments.pop("features"), arguments.pop("widths"), parameters,
             arguments.pop("context")], arguments)


@pytest.mark.parametrize("change, kind, message", ERRORS)
def test_errors_name_argument_has_and_expected(change, kind, message):
    arguments, options = split(well_formed() | change)
    with pytest.raises(kind, match=message):
        F.combine(*arguments, **options)


def test_errors_of_backward_and_of_the_core():
    arguments, _ = split(well_formed())
    state, weights, saved = F.combine(*arguments, return_saved=True)
    with pytest.raises(ValueError, match=r"dstate.shape\[1\] is 2, expected C = 3"):
        F.combine_backward(np.ones((2, 2)), *arguments, weights, saved)
    with pytest.raises(ValueError, match=r"saved.shape\[1\] is 15, expected K = 16"):
        F.combine_backward(state, *arguments, weights, saved[:, 1:])
    x, widths, p, context = arguments
    p = [None if a is None else np.asarray(a, float) for a in p]
    core = [x, np.array(widths), None, *p, context, False, False, 1e-5]
    buffer = np.empty(8)
    with pytest.raises(ValueError, match="weights overlaps state, expected separate memory"):
        _core.combiner_forward(*core, buffer[:4].reshape(2, 2), saved, buffer[2:].reshape(2, 3))
    grads = [None if a is None else np.zeros_like(a) for a in p]
    grads[4] = None
    with pytest.raises(ValueError, match="hidden_weight and dhidden_weight are not both given"):
        _core.combiner_backward(*core, weights, saved, state, None, *grads)
    with pytest.raises(ValueError, match="widths has the context alone, expected a model to weigh"):
        F.combine(x[:, :3], [3], F.CombinerParameters(p[0][:3], p[1][:1], *p[2:]), 0)


# ---- the layer

WIDTHS = {"state": 4, "objects": 8, "motion-2": 3}
PRESENT = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0], [1, 0, 1], [1, 1, 1]], bool)
LAYERS = {
    "default": dict(hidden=6),
    "published": dict(hidden=0, normalisation="linear"),
    "weighed context": dict(hidden=6, weigh_context=True, normalisation="linear"),
    "linear adapters": dict(hidden=0, adapter="linear", weigh_context=True),
}
layers = pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS.keys())


def combiner(**options):
    return wsa.Combiner(WIDTHS, 5, context="state", **options)


def normal(*shape, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@layers
@pytest.mark.parametrize("present", [None, PRESENT], ids=["all", "some"])
def test_gradients_of_the_layer(options, present):
    args = (normal(5, 15),) if present is None else (normal(5, 15), present)
    nn.check_layer(combiner(**options, input_gradient=True), *args)


@layers
def test_the_layer_is_the_function(options):
    layer = combiner(**options).build(0, np.float64)
    features = normal(5, 15)
    state, saved = layer.forward(features, PRESENT)
    p = layer.named_parameters()

    def joined(kind):
        rows = [p[f"adapter.{name}.{kind}"] for name in WIDTHS if f"adapter.{name}.{kind}" in p]
        return (np.concatenate if kind == "weight" else np.stack)(rows) if rows else None

    parameters = F.CombinerParameters(
        *map(joined, ("weight", "bias", "norm_weight", "norm_bias")), p.get("scorer.hidden_weight"),
        p.get("scorer.hidden_bias"), p["scorer.weight"][:, 0], p["scorer.bias"])
    expected = F.combine(features, list(WIDTHS.values()), parameters, 0, present=PRESENT,
                         weigh_context=options.get("weigh_context", False),
                         normalisation=options.get("normalisation", "softmax"))
    same_bits(state, expected[0])
    same_bits(saved.weights, expected[1])
    # not asked for: frozen models have no use for it
    assert layer.backward(state, saved) is None and layer.grads.any()


@layers
def test_weights_begin_near_uniform(options):
    weights = combiner(**options).build(3).forward(normal(5, 15, dtype=np.float32))[1].weights
    expected = [1/3, 1/3, 1/3] if options.get("weigh_context") else [0, 0.5, 0.5]
    np.testing.assert_allclose(weights, np.tile(expected, (5, 1)), atol=0.03)


@layers
def test_gradients_of_parameters_are_added(options):
    layer = combiner(**options).build(0, np.float64)
    state, saved = layer.forward(normal(5, 15))
    layer.backward(state, saved)
    once = layer.grads.copy()
    layer.backward(state, saved)
    close(layer.grads, 2 * once)


def test_no_samples():
    layer = combiner(input_gradient=True).build()
    for present in (None, PRESENT[:0]):
        state, saved = layer.forward(normal(0, 15, dtype=np.float32), present)
        assert state.shape == (0, 5) and saved.weights.shape == (0, 3)
        assert layer.backward(state, saved).shape == (0, 15) and not layer.grads.any()


def trained(options, steps=3):
    network = nn.Sequential(combiner(**options), nn.Linear(5, 2)).build(0)
    adam = nn.AdamW(network.params, network.grads)
    for seed in range(steps):
        network.grads[...] = 0
        y, saved = network.forward(normal(6, 15, seed=seed, dtype=np.float32))
        network.backward(y, saved)
        adam.step(0.01)
    return network, adam


@layers
def test_a_model_that_is_added_changes_no_bit_where_it_is_absent(options):
    network, adam = trained(options)
    layer = network.layers[0]
    features = normal(40, 15, dtype=np.float32)
    state, saved = layer.forward(features)
    weights = saved.weights
    layer.add("new", 7)
    with pytest.raises(ValueError, match=r"models changed .*, expected wsa\.rebuild"):
        layer.forward(np.zeros((1, 22), np.float32))
    new = wsa.rebuild(network, adam, np.random.default_rng(0))
    assert new == [name for name in network.named_parameters() if ".new." in name] and new
    wide = np.concatenate([features, np.full((40, 7), np.nan, np.float32)], 1)
    present = np.arange(4) < 3
    got = layer.forward(wide, np.tile(present, (40, 1)))
    same_bits(got[0], state)
    same_bits(got[1].weights, np.concatenate([weights, np.zeros((40, 1), np.float32)], 1))
    # and it learns
    y, saved = network.forward(normal(40, 22, dtype=np.float32))
    network.grads[...] = 0
    network.backward(y, saved)
    assert layer.grad["adapter.new.weight"].any()


@layers
def test_after_removal_weights_are_the_old_ones_renormalised(options):
    network, adam = trained(options)
    layer = network.layers[0]
    features = normal(40, 15, dtype=np.float32)
    weights = layer.forward(features)[1].weights
    kept = {name: value.copy() for name, value in network.named_parameters().items()
            if ".objects." not in name}
    layer.remove("objects")
    with pytest.raises(ValueError, match=r"models changed .*, expected wsa\.rebuild"):
        layer.forward(features[:, [0, 1, 2, 3, 12, 13, 14]])
    assert wsa.rebuild(network, adam, np.random.default_rng(0)) == []
    for name, value in network.named_parameters().items():
        same_bits(value, kept.pop(name))
    assert not kept
    got = layer.forward(features[:, [0, 1, 2, 3, 12, 13, 14]])[1].weights
    left = weights[:, [0, 2]]
    np.testing.assert_allclose(got, left / left.sum(1, keepdims=True), rtol=1e-5)


def test_errors_of_the_layer():
    with pytest.raises(ValueError, match="context is 'sound', expected one of state, objects, mot"):
        wsa.Combiner(WIDTHS, 5, context="sound")
    with pytest.raises(ValueError, match="'a' is the context and the only model, expected one to"):
        wsa.Combiner({"a": 2}, context="a")
    with pytest.raises(ValueError, match="hidden is -1, expected at least 0"):
        combiner(hidden=-1)
    with pytest.raises(ValueError, match="normalisation is 'max', expected 'softmax' or 'linear'"):
        combiner(normalisation="max")
    with pytest.raises(ValueError, match="adapter is 'conv', expected 'norm' or 'linear'"):
        combiner(adapter="conv")
    layer = combiner().build()
    with pytest.raises(ValueError, match=r"features has shape \(2, 14\), expected \(B, 15\): 4 of"):
        layer.forward(np.ones((2, 14), np.float32))
    with pytest.raises(TypeError, match="features has dtype float64, expected float32"):
        layer.forward(np.ones((2, 15)))
    x = np.ones((2, 15), np.float32)
    with pytest.raises(ValueError, match=r"present\[1\] lacks the context, 'state'"):
        layer.forward(x, [[1, 1, 1], [0, 1, 1]])
    with pytest.raises(ValueError, match=r"present\[0\] has no model beside the context"):
        layer.forward(x, [[1, 0, 0], [1, 1, 1]])
    with pytest.raises(ValueError, match=r"present\[1\] has no model, expected at least one"):
        layer.forward(x, [[1, 1, 0], [0, 0, 0]])
    with pytest.raises(ValueError, match="there is a model 'objects' already"):
        layer.add("objects", 2)
    with pytest.raises(ValueError, match="'state' is the context, expected another model"):
        layer.remove("state")
    layer.remove("objects")
    with pytest.raises(ValueError, match="'motion-2' is the last model beside the context"):
        layer.remove("motion-2")
    with pytest.raises(KeyError, match="no model 'objects', expected one of state, motion-2"):
        layer.remove("objects")


def test_the_context_alone_may_be_weighed():
    layer = wsa.Combiner({"only": 3}, 4, context="only", weigh_context=True).build()
    assert (layer.forward(normal(2, 3, dtype=np.float32))[1].weights == 1).all()
