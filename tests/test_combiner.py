"""Weight Sharing Attention against its twin, central differences and PyTorch; models that come and go."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_for_any_threads
from hypothesis import given, settings
from hypothesis import strategies as st

from gatelearn import _core, nn, wsa
from gatelearn import functional as F
from gatelearn._reference import combiner as ref

WIDTHS = (5, 3, 8, 1)
FORMS = [dict(norm=norm, hidden=hidden, linear=linear, weigh=weigh)
         for norm in (True, False) for hidden in (6, 0) for linear in (False, True)
         for weigh in (False, True)]


def draw(rng, widths=WIDTHS, C=7, *, hidden=6, norm=True, dtype=np.float64):
    M, S = len(widths), max(hidden, 1)

    def array(*shape):
        return rng.standard_normal(shape).astype(dtype)

    return F.CombinerParams(
        array(sum(widths), C), array(M, C), 1 + array(M, C) / 4 if norm else None,
        array(M, C) if norm else None, array(C, S), array(C, S), array(S) if hidden else None,
        array(S) if hidden else None, array(1))


def some_present(rng, B, M, context=None):
    present = rng.random((B, M)) < 0.6
    for b in range(B):
        present[b, rng.choice([i for i in range(M) if i != context])] = True
    return present


def options(form, context=2):
    return dict(context=context, weigh_context=form["weigh"],
                normalisation="linear" if form["linear"] else "softmax")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_agrees_with_twin(rng, dtype, masked, form):
    params = draw(rng, hidden=form["hidden"], norm=form["norm"], dtype=dtype)
    features = rng.standard_normal((70, sum(WIDTHS))).astype(dtype)
    present = some_present(rng, 70, len(WIDTHS), 2) if masked else None
    state, trace = F.combine(features, WIDTHS, params, present=present, **options(form))
    wide = F.CombinerParams(*(None if a is None else a.astype(float) for a in params))
    expected, weights = ref.combine(features.astype(float), WIDTHS, wide, context=2,
                                    weigh_context=form["weigh"], linear=form["linear"],
                                    present=present)
    close(state, expected.astype(dtype))
    close(trace.weights, weights.astype(dtype))
    np.testing.assert_allclose(trace.weights.sum(1), 1, rtol=1e-5)
    if present is not None:
        assert not trace.weights[~present].any()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_gradients_by_central_differences(rng, masked, form):
    widths, B = (3, 2, 4), 5
    params = draw(rng, widths, 4, hidden=form["hidden"] and 5, norm=form["norm"])
    features = rng.standard_normal((B, sum(widths)))
    present = some_present(rng, B, 3, 1) if masked else None
    how = options(form, 1) | dict(present=present)
    dstate, dweights = rng.standard_normal((B, 4)), rng.standard_normal((B, 3))
    _, trace = F.combine(features, widths, params, **how)
    dfeatures, dparams = F.combine_backward(dstate, features, widths, params, trace,
                                            dweights=dweights, **how)

    def loss(**changed):
        x = changed.pop("features", features)
        state, t = F.combine(x, widths, params._replace(**changed), **how)
        return (state * dstate).sum() + (t.weights * dweights).sum()

    expected = central_difference(lambda x: loss(features=x), features, 1.0)
    np.testing.assert_allclose(dfeatures, expected, atol=2e-8)
    for name, value, grad in zip(params._fields, params, dparams, strict=True):
        if value is not None:
            expected = central_difference(lambda x, name=name: loss(**{name: x}), value, 1.0)
            np.testing.assert_allclose(grad, expected, atol=2e-8, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(0, 70),
       st.integers(1, 40), st.integers(0, 40), st.booleans(), st.booleans(), st.integers(0, 2**31))
def test_any_shape(widths, B, C, hidden, norm, linear, seed):
    rng = np.random.default_rng(seed)
    params = draw(rng, widths, C, hidden=hidden, norm=norm)
    features, dstate = rng.standard_normal((B, sum(widths))), rng.standard_normal((B, C))
    how = dict(context=int(rng.integers(len(widths))), weigh_context=True,
               normalisation="linear" if linear else "softmax",
               present=some_present(rng, B, len(widths)))
    state, trace = F.combine(features, widths, params, **how)
    expected, weights = ref.combine(
        features, widths, params, context=how["context"], weigh_context=True, linear=linear,
        present=how["present"])
    close(state, expected)
    close(trace.weights, weights)
    dfeatures, _ = F.combine_backward(dstate, features, widths, params, trace, **how)
    assert np.isfinite(dfeatures).all()
    ends = np.cumsum([0, *widths])
    for i in range(len(widths)):
        assert not dfeatures[~how["present"][:, i], ends[i]:ends[i + 1]].any()


@pytest.mark.parametrize("shape", [(8, 64), (300, 96)])
def test_any_number_of_threads_gives_the_same_bits(rng, shape):
    B, C = shape
    params = draw(rng, (40, 33, 70), C, hidden=17, dtype=np.float32)
    features, dstate = (rng.standard_normal(s).astype(np.float32) for s in ((B, 143), (B, C)))
    present = some_present(rng, B, 3, 0)

    def run():
        found = []
        for mask in (None, present):
            state, trace = F.combine(features, (40, 33, 70), params, present=mask)
            found += [state, *trace, *F.combine_backward(
                dstate, features, (40, 33, 70), params, trace, present=mask)[1]]
        return [a for a in found[:2] + found[-9:] if a is not None]

    same_for_any_threads(run)


def test_what_a_sample_does_not_have_is_not_read(rng):
    params = draw(rng)
    features = rng.standard_normal((6, sum(WIDTHS)))
    present = np.ones((6, 4), bool)
    present[2, 3] = present[4, 1] = present[5, 0] = False
    poisoned = features.copy()
    poisoned[2, 16:] = poisoned[4, 5:8] = poisoned[5, :5] = np.nan
    dstate = rng.standard_normal((6, 7))
    for a, b in zip(*(_all(x, params, present, dstate) for x in (features, poisoned)), strict=True):
        assert np.array_equal(a, b)
    state, _ = F.combine(poisoned, WIDTHS, params)
    assert np.isnan(state).any(1).tolist() == [False, False, True, False, True, True]


def _all(features, params, present, dstate):
    state, trace = F.combine(features, WIDTHS, params, context=1, present=present)
    dfeatures, dparams = F.combine_backward(dstate, features, WIDTHS, params, trace, context=1,
                                            present=present)
    return state, trace.weights, dfeatures, *dparams


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("far", [-1e4, -300.0, 300.0, 1e4])
def test_linear_weights_live_wherever_scores_are(rng, dtype, far):
    params = draw(rng, dtype=dtype)._replace(score_bias=np.array([far], dtype))
    features = rng.standard_normal((9, sum(WIDTHS))).astype(dtype)
    _, trace = F.combine(features, WIDTHS, params, normalisation="linear")
    np.testing.assert_allclose(trace.weights.sum(1), 1, rtol=1e-5)
    _, grads = F.combine_backward(rng.standard_normal((9, 7)), features, WIDTHS, params, trace,
                                  normalisation="linear")
    assert np.isfinite(grads.score_weight).all() and grads.score_weight.any()
    equal = params._replace(score_weight=np.zeros_like(params.score_weight))
    _, trace = F.combine(features, WIDTHS, equal, normalisation="linear")
    np.testing.assert_allclose(trace.weights[:, 1:], 1 / 3, rtol=1e-6)


def test_a_linear_scorer_under_softmax_does_not_see_the_context(rng):
    params = draw(rng, hidden=0)
    features = rng.standard_normal((9, sum(WIDTHS)))
    other = features.copy()
    other[:, :5] = rng.standard_normal((9, 5))
    np.testing.assert_allclose(F.combine(features, WIDTHS, params)[1].weights,
                               F.combine(other, WIDTHS, params)[1].weights, rtol=1e-12)


def build(dtype=np.float64, **how):
    return wsa.Combiner({"state": 4, "objects": 3, "motion": 2}, 5, context="state", **how).build(
        1, dtype)


@pytest.mark.parametrize("how", [
    {}, dict(hidden=0), dict(normalisation="linear"), dict(adapter="linear"),
    dict(weigh_context=True, hidden=3)])
def test_layer(rng, how):
    layer = build(input_gradient=True, **how)
    nn.check_layer(layer, rng.standard_normal((4, 9)))
    present = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]], bool)
    nn.check_layer(layer, rng.standard_normal((4, 9)), present)


def test_weights_begin_near_each_other(rng):
    layer = wsa.Combiner({f"m{i}": 64 for i in range(5)}, 128, context="m0").build(0)
    weights = layer.forward(rng.standard_normal((50, 320)).astype(np.float32))[1].weights
    assert not weights[:, 0].any() and np.abs(weights[:, 1:] - 0.25).max() < 0.1


def network(dtype=np.float32):
    combiner = wsa.Combiner({"state": 6, "objects": 4, "motion": 3}, 8, context="state", hidden=5)
    net = nn.Sequential(combiner, nn.Linear(8, 2)).build(3, dtype)
    return combiner, net, nn.AdamW(net.params, net.grads)


def train(net, adam, x, steps, rng):
    for _ in range(steps):
        y, saved = net.forward(x)
        net.grads[...] = 0
        net.backward(y - 1, saved)
        adam.step()


def test_a_model_is_added_and_others_keep_their_bits(rng):
    combiner, net, adam = network()
    x = rng.standard_normal((7, 13)).astype(np.float32)
    train(net, adam, x, 3, rng)
    before, old = net.forward(x)[0], net.named_parameters()
    old = {k: v.copy() for k, v in old.items()}
    m = dict(zip(old, np.split(adam.m, np.cumsum([v.size for v in old.values()])[:-1]), strict=True))
    combiner.add("words", 9)
    new = wsa.rebuild(net, adam, rng)
    assert sorted(new) == sorted(f"0.words.{k}" for k in (
        "weight", "bias", "norm_weight", "norm_bias"))
    for path, value in old.items():
        assert net.named_parameters()[path].tobytes() == value.tobytes()
    sizes = [v.size for v in net.named_parameters().values()]
    moments = dict(zip(net.named_parameters(), np.split(adam.m, np.cumsum(sizes)[:-1]),
                       strict=True))
    for path, value in m.items():
        assert moments[path].tobytes() == value.tobytes()
    assert not any(moments[path].any() for path in new)

    # where no sample has the new model, nothing has changed
    wider = np.concatenate([x, np.full((7, 9), np.nan, np.float32)], 1)
    present = np.ones((7, 4), bool)
    present[:, 3] = False
    state, saved = combiner.forward(wider, present)
    assert net.layers[1].forward(state)[0].tobytes() == before.tobytes()
    wider[:, 13:] = rng.standard_normal((7, 9))
    weights = combiner.forward(wider)[1].weights
    np.testing.assert_allclose(weights[:, :3] / weights[:, :3].sum(1, keepdims=True),
                               saved.weights[:, :3], rtol=1e-5)
    train(net, adam, wider, 2, rng)


def test_a_model_is_removed_and_weights_are_those_of_the_rest(rng):
    combiner, net, adam = network()
    x = rng.standard_normal((7, 13)).astype(np.float32)
    train(net, adam, x, 3, rng)
    weights = combiner.forward(x)[1].weights
    combiner.add("words", 2)
    wsa.rebuild(net, adam, rng)
    combiner.remove("objects")
    assert wsa.rebuild(net, adam, rng) == []
    combiner.remove("words")
    wsa.rebuild(net, adam, rng)
    rest = combiner.forward(np.delete(x, slice(6, 10), 1))[1].weights
    np.testing.assert_allclose(rest, weights[:, [0, 2]] / weights[:, [0, 2]].sum(1, keepdims=True),
                               rtol=1e-5)


def test_agrees_with_torch(rng):
    torch = pytest.importorskip("torch")
    layer = build(hidden=6, input_gradient=True)
    layer.params += 0.3 * rng.standard_normal(layer.params.shape)
    x, dstate = rng.standard_normal((8, 9)), rng.standard_normal((8, 5))
    p = {k: torch.tensor(v, requires_grad=True) for k, v in layer.named_parameters().items()}
    tx = torch.tensor(x, requires_grad=True)
    e = []
    for (name, _), part in zip(layer.widths.items(), tx.split([4, 3, 2], 1), strict=True):
        z = part @ p[f"{name}.weight"] + p[f"{name}.bias"]
        e.append(torch.relu(torch.nn.functional.layer_norm(
            z, (5,), p[f"{name}.norm_weight"], p[f"{name}.norm_bias"])))
    u = torch.stack([
        torch.relu(e[0] @ p["scorer.context_weight"] + e_i @ p["scorer.model_weight"]
                   + p["scorer.hidden_bias"]) @ p["scorer.score_weight"] for e_i in e[1:]], 1)
    w = torch.softmax(u + p["scorer.score_bias"], 1)
    state = w[:, :1] * e[1] + w[:, 1:] * e[2]
    (state * torch.tensor(dstate)).sum().backward()

    ours, saved = layer.forward(x)
    close(ours, state.detach().numpy())
    close(saved.weights[:, 1:], w.detach().numpy())
    layer.grads[...] = 0
    close(layer.backward(dstate, saved), tx.grad.numpy())
    for path, t in p.items():
        name, _, _ = path.rpartition(".")
        close(layer.grad[path], t.grad.numpy())


@pytest.mark.parametrize("how, message", [
    (dict(context="objects"), "context is 'objects', expected one of state, motion"),
    (dict(hidden=-1), "hidden is -1, expected at least 0"),
    (dict(normalisation="relu"), "normalisation is 'relu', expected 'softmax' or 'linear'"),
    (dict(adapter="deep"), "adapter is 'deep', expected 'norm' or 'linear'"),
])
def test_wrong_settings_are_refused(how, message):
    with pytest.raises(ValueError, match=message):
        wsa.Combiner({"state": 2, "motion": 3}, 4, **({"context": "state"} | how))


def test_what_cannot_be_weighed_is_refused(rng):
    with pytest.raises(ValueError, match="'state' is the context and the only model"):
        wsa.Combiner({"state": 2}, 4, context="state")
    layer = build()
    with pytest.raises(ValueError, match=r"features has shape \(2, 8\), expected \(B, 9\): 4 of"):
        layer.forward(rng.standard_normal((2, 8)))
    with pytest.raises(TypeError, match="features has dtype float32, expected float64"):
        layer.forward(rng.standard_normal((2, 9)).astype(np.float32))
    with pytest.raises(ValueError, match=r"present\[1\] has no model"):
        layer.forward(rng.standard_normal((2, 9)), [[1, 1, 1], [0, 0, 0]])
    with pytest.raises(ValueError, match="present is not allowed at row 1, expected a model to weigh in each sample"):
        layer.forward(rng.standard_normal((2, 9)), [[1, 1, 1], [1, 0, 0]])
    with pytest.raises(ValueError, match="'state' is the context, expected another model"):
        layer.remove("state")
    layer.remove("motion")
    with pytest.raises(ValueError, match="'objects' is the last model beside the context"):
        layer.remove("objects")


def arguments(rng, **changes):
    p = draw(rng, (2, 3), 4)
    given = dict(columns=np.array([0, 2, 5]), present=None, context=0, weigh_context=False,
                 linear=False, eps=1e-5, weight=p.weight, norm_weight=p.norm_weight,
                 context_weight=p.context_weight, model_weight=p.model_weight,
                 score_weight=p.score_weight, x=np.ones((3, 5)), weights=np.empty((3, 2)),
                 scores=np.empty((3, 2)), e=np.empty((2, 3, 4)), z=np.empty((2, 3, 4)),
                 mean=np.empty((2, 3)), rstd=np.empty((2, 3)), hidden=np.empty((2, 3, 6)),
                 bias=p.bias, norm_bias=p.norm_bias, hidden_bias=p.hidden_bias,
                 score_bias=p.score_bias, state=np.empty((3, 4)))
    return (given | changes).values()


@pytest.mark.parametrize("changes, message", [
    (dict(columns=np.array([0, 5])), r"columns.shape\[0\] is 2, expected M \+ 1 = 3"),
    (dict(columns=np.array([0, 6, 5])), "columns"),
    (dict(columns=np.array([1, 2, 5])), "columns"),
    (dict(columns=np.array([0, 2, 4])), "columns"),
    (dict(context=2), "context is 2, expected 0 <= context < 2"),
    (dict(context=-1), "context is -1"),
    (dict(z=None), "z is None, expected a NumPy array"),
    (dict(norm_weight=None), "norm_bias is an array, expected None"),
    (dict(hidden_bias=None), "hidden_bias is None, expected a NumPy array"),
    (dict(score_bias=np.ones(2)), r"score_bias.shape\[0\] is 2, expected 1"),
    (dict(present=np.ones((3, 3), bool)), r"shape\[\d\] is"),
])
def test_the_core_refuses_what_does_not_fit(rng, changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        _core.combine_forward(*arguments(rng, **changes))
    _core.combine_forward(*arguments(rng))
