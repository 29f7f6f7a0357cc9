"""The transformer against a plain one made of the twins, and its ways of being read."""

import numpy as np
import pytest
from gated_cases import near
from helpers import DTYPES, central_difference, same_bits, same_for_any_threads

from gatelearn import nn
from gatelearn._reference import gated as ref
from gatelearn._reference.norm import layer_norm
from gatelearn._reference.positions import rotary_angle

V, C, L, H, F = 11, 8, 3, 2, 9


def net(dtype=np.float64, seed=0):
    net = nn.Transformer(V, width=C, layers=L, heads=H, hidden=F).build(seed, dtype)
    noise = np.random.default_rng(seed).standard_normal(net.params.shape)
    net.params += (0.2 * noise).astype(dtype)
    return net


def batch(rng, B=4, T=7, dtype=np.float64):
    tokens = rng.integers(0, V, (B, T))
    gate = rng.choice([0, 0.5, 1, 1], (B, L, H + 1)).astype(dtype)
    return tokens, gate


def twin(net, tokens, gate, position, depth, lengths=None):
    """Logits by the twins of the layers."""
    states = [net.param["embedding"][tokens]]
    for i, block in enumerate(net.blocks):
        angle = rotary_angle(tokens.shape[1], C // H)
        y = ref.gated_heads(states[-1], gate[:, i, :-1], block.heads.param, lengths, angle)
        states.append(ref.gated_mlp(y, gate[:, i, -1], block.mlp.param, lengths))
    rows = [states[L if depth is None else depth[b, j]][b, t]
            for b in range(len(tokens)) for j, t in enumerate(position[b]) if t >= 0]
    n = layer_norm(np.array(rows).reshape(-1, C), net.param["norm_weight"], net.param["norm_bias"])
    return n @ net.param["embedding"].T


POSITION = np.array([[6, -1, 0], [3, 3, 3], [-1, -1, -1], [-1, 6, 2]])
DEPTH = np.array([[3, 99, 0], [1, 1, 2], [7, -5, 0], [0, 3, 3]])  # unread slots hold anything


@pytest.mark.parametrize("depth", [None, DEPTH])
@pytest.mark.parametrize("lengths", [None, np.array([7, 4, 0, 7])])
def test_reads_what_is_asked_for(rng, depth, lengths):
    model, (tokens, gate) = net(), batch(rng)
    logits, saved = model.forward(tokens, gate, position=POSITION, depth=depth, lengths=lengths)
    assert logits.shape == ((POSITION >= 0).sum(), V)
    near(logits, twin(model, tokens, gate, POSITION, depth, lengths))
    assert saved is not None


def test_gradients_by_central_differences(rng):
    model, (tokens, gate) = net(), batch(rng)
    gate[gate == 0] = -0.3
    args = dict(position=POSITION, depth=DEPTH, lengths=np.array([7, 4, 0, 7]))
    logits, saved = model.forward(tokens, gate, **args)
    dlogits = rng.standard_normal(logits.shape)
    model.grads[...] = 0
    dgate = model.backward(dlogits, saved)
    np.testing.assert_allclose(
        dgate, central_difference(lambda g: model.forward(tokens, g, **args)[0], gate, dlogits),
        atol=1e-7)

    def at(params):
        model.params[...] = params
        return model.forward(tokens, gate, **args)[0]

    expected = central_difference(at, model.params.copy(), dlogits)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(model.grads, expected, atol=1e-7 * scale)


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_saving_the_bits_are_the_same(rng, dtype):
    model, (tokens, gate) = net(dtype), batch(rng, T=70, dtype=dtype)
    args = dict(position=np.tile([69, 3, -1], (4, 1)), depth=np.tile([3, 1, 0], (4, 1)),
                lengths=np.array([70, 3, 0, 69]))
    for gates in (gate, None, np.zeros_like(gate)):
        logits, saved = model.forward(tokens, gates, **args)
        again, nothing = model.forward(tokens, gates, **args, save=False)
        same_bits(again, logits)
        assert nothing is None and saved is not None


def test_results_do_not_depend_on_the_number_of_threads(rng):
    model, (tokens, gate) = net(np.float32), batch(rng, T=200, dtype=np.float32)

    def run():
        logits, saved = model.forward(tokens, gate, position=np.tile([199, 50], (4, 1)))
        model.grads[...] = 0
        dgate = model.backward(np.ones_like(logits), saved)
        return logits, dgate, model.grads.copy()

    same_for_any_threads(run)


def test_a_position_read_twice_counts_twice(rng):
    model, (tokens, gate) = net(), batch(rng)
    grads = []
    for position in ([[3, 3]] * 4, [[3]] * 4):
        logits, saved = model.forward(tokens, gate, position=position)
        model.grads[...] = 0
        dgate = model.backward(np.ones_like(logits), saved)
        grads.append((dgate, model.grads.copy()))
    for twice, once in zip(*grads, strict=True):
        np.testing.assert_allclose(twice, 2 * once, rtol=1e-9, atol=1e-12)


def test_nothing_read_is_nothing_learned(rng):
    model, (tokens, gate) = net(), batch(rng)
    logits, saved = model.forward(tokens, gate, position=np.full((4, 2), -1))
    assert logits.shape == (0, V)
    model.grads[...] = 0
    assert not model.backward(logits, saved).any() and not model.grads.any()


def test_the_future_changes_nothing(rng):
    model, (tokens, gate) = net(), batch(rng)
    args = dict(position=np.full((4, 1), 3))
    logits, _ = model.forward(tokens, gate, **args)
    tokens[:, 4:] = (tokens[:, 4:] + 1) % V
    same_bits(model.forward(tokens, gate, **args)[0], logits)


ERRORS = [
    (dict(tokens=[[0, 1, V]]), IndexError, "idx is out of range at row 2, expected 0 <= idx < V"),
    (dict(tokens=[[0, -1, 0]]), IndexError, "idx is out of range at row 1"),
    (dict(tokens=[[0.0, 1.0, 2.0]]), TypeError, "tokens has dtype float64, expected integers"),
    (dict(tokens=[0, 1, 2]), ValueError, "tokens has 1 dimensions, expected 2"),
    (dict(position=[[3]]), IndexError, r"position has values outside \[-1, 3\)"),
    (dict(position=[[-2]]), IndexError, r"position has values outside \[-1, 3\)"),
    (dict(position=[[0], [0]]), ValueError, "position has 2 rows, expected 1"),
    (dict(position=[[0.0]]), TypeError, "position has dtype float64, expected integers"),
    (dict(depth=[[L + 1]]), IndexError, r"depth has values outside \[0, 3\]"),
    (dict(depth=[[-1]]), IndexError, r"depth has values outside \[0, 3\]"),
    (dict(depth=[[0, 0]]), ValueError, r"depth has shape \(1, 2\), expected \(1, 1\)"),
    (dict(gate=np.ones((1, L, H))), ValueError,
     r"gate has shape \(1, 3, 2\), expected \(1, 3, 3\)"),
    (dict(lengths=[4]), ValueError, "lengths is not allowed at row 0, expected 0 to T"),
]


@pytest.mark.parametrize("change, kind, message", ERRORS)
def test_errors_name_argument_has_and_expected(change, kind, message):
    with pytest.raises(kind, match=message):
        net().forward(**{**dict(tokens=[[0, 1, 2]], position=[[2]]), **change})


@pytest.mark.parametrize("is_causal", [True, False])
def test_work_is_the_count_of_multiply_adds(is_causal):
    """Counted one by one: every product of the pass, as its loops would run."""
    T, width, heads, hidden = 6, 8, 2, 5
    D = width // heads
    count = 0
    for t in range(T):
        count += 3 * width * D  # q, k and v of this step
        for s in range(T):
            if s <= t or not is_causal:
                count += D + D  # score, weighted value
        count += D * width  # output projection
    assert nn.GatedHeads(width, heads, is_causal=is_causal).work(T) == count
    assert nn.GatedMLP(width, hidden).work(T) == sum(2 * width * hidden for _ in range(T))


def test_work_of_the_network_has_a_number_for_each_gate():
    model = net()
    work = model.work(20)
    assert work.shape == model.gate_shape == (L, H + 1)
    assert (work[:, :-1] == model.blocks[0].heads.work(20)).all()
    assert (work[:, -1] == model.blocks[0].mlp.work(20)).all()
    assert model.read_work(3) == 3 * C * V


def test_only_weights_of_products_decay():
    model = net()
    mask, at = model.decay_mask(), 0
    assert mask.shape == model.params.shape and mask.dtype == model.params.dtype
    for path, value in model.named_parameters().items():
        expected = path.split(".")[-1] in ("wqkv", "wo", "w1", "w2")
        assert (mask[at:at + value.size] == expected).all(), path
        at += value.size


def test_gates_may_be_asked_for_layer_by_layer(rng):
    model, (tokens, gate) = net(), batch(rng)
    expected, _ = model.forward(tokens, gate, position=POSITION)
    seen = []

    def ask(layer, x):
        seen.append((layer, x.copy()))
        return gate[:, layer]

    for save in (True, False):
        seen.clear()
        same_bits(model.forward(tokens, ask, position=POSITION, save=save)[0], expected)
        assert [i for i, _ in seen] == list(range(L))
        same_bits(seen[0][1], model.param["embedding"][tokens])
        y, _ = model.blocks[0].forward(seen[0][1], gate[:, 0])
        same_bits(seen[1][1], y)
