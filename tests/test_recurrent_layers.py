"""Recurrent layers against PyTorch, central differences and the functions; learning to recall."""

import numpy as np
import pytest
from helpers import DTYPES, close, same_bits
from recurrent_cases import Case

from gatelearn import functional as F
from gatelearn import nn


def torch_layer(torch, layer, dtype):
    """The torch layer with the parameters of ours; a second direction takes those of back."""
    both = isinstance(layer, nn.Bidirectional)
    one = layer.ahead if both else layer
    options = {"nonlinearity": "relu" if one.relu else "tanh"} if one.gates == 1 else {}
    other = getattr(torch.nn, type(one).__name__)(one.inputs, one.hidden, batch_first=True,
                                                  bidirectional=both, **options)
    other = other.to(torch.float32 if dtype == np.float32 else torch.float64)
    with torch.no_grad():
        for part, suffix in ((one, ""), *([(layer.back, "_reverse")] if both else [])):
            p = part.param
            hidden = np.zeros_like(p["bias"])
            if one.gates == 3:
                hidden[2 * one.hidden:] = p["bias_hidden"]
            for name, value in (("weight_ih", p["wx"].T), ("weight_hh", p["wh"].T),
                                ("bias_ih", p["bias"]), ("bias_hh", hidden)):
                getattr(other, f"{name}_l0{suffix}").copy_(torch.tensor(value))
    return other


def layers():
    return {"RNN": nn.RNN(6, 10), "RNN-relu": nn.RNN(6, 10, "relu"), "GRU": nn.GRU(6, 10),
            "LSTM": nn.LSTM(6, 10), "Bidirectional-RNN": nn.Bidirectional(nn.RNN(6, 10)),
            "Bidirectional-GRU": nn.Bidirectional(nn.GRU(6, 10)),
            "Bidirectional-LSTM": nn.Bidirectional(nn.LSTM(6, 10))}


def to_torch(state, gates):
    """(B, 2, D*H) or (B, D*H) to h, or h and c, of shape (D, B, H) with H = 10."""
    parts = [state[:, k] for k in range(2)] if gates == 4 else [state]
    parts = [p.reshape(len(p), -1, 10).swapaxes(0, 1) for p in parts]
    return tuple(parts) if gates == 4 else parts[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", layers())
def test_agrees_with_pytorch(rng, name, dtype):
    torch = pytest.importorskip("torch")
    layer = layers()[name].build(0, dtype)
    layer.params += (0.2 * rng.standard_normal(layer.params.shape)).astype(dtype)
    one = layer.ahead if name.startswith("B") else layer
    width = 20 if name.startswith("B") else 10
    B, T, lengths = 8, 12, np.array([12, 1, 5, 12, 7, 3, 11, 2])
    shape = (B, 2, width) if one.gates == 4 else (B, width)
    x, state, dy, dstate = (rng.standard_normal(s).astype(dtype)
                            for s in ((B, T, 6), shape, (B, T, width), shape))
    y, saved = layer.forward(x, state, lengths)
    dx, dfirst = layer.backward(dy, saved, dstate)

    other = torch_layer(torch, layer, dtype)
    tx, tstate = (torch.tensor(a, requires_grad=True) for a in (x, state))
    packed = torch.nn.utils.rnn.pack_padded_sequence(tx, torch.tensor(lengths), batch_first=True,
                                                     enforce_sorted=False)
    first = to_torch(tstate, one.gates)
    first = tuple(f.contiguous() for f in first) if one.gates == 4 else first.contiguous()
    out, last = other(packed, first)
    ty = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=T)[0]
    dlast = to_torch(torch.tensor(dstate), one.gates)
    loss = (ty * torch.tensor(dy)).sum()
    for a, d in zip(last, dlast, strict=True) if one.gates == 4 else [(last, dlast)]:
        loss = loss + (a * d).sum()
    loss.backward()

    close(y, ty.detach().numpy())
    for a, e in zip(to_torch(saved.state, one.gates), last, strict=True):
        close(np.asarray(a), e.detach().numpy())
    close(dx, tx.grad.numpy())
    close(dfirst, tstate.grad.numpy())
    for part, suffix in [(one, "")] + ([(layer.back, "_reverse")] if width == 20 else []):
        grad = {n: getattr(other, f"{n}_l0{suffix}").grad.numpy()
                for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        close(part.grad["wx"], grad["weight_ih"].T)
        close(part.grad["wh"], grad["weight_hh"].T)
        close(part.grad["bias"], grad["bias_ih"])
        if one.gates == 3:
            close(part.grad["bias_hidden"], grad["bias_hh"][20:])


class ReadsState(nn.Layer):
    """Outputs and last state of a recurrent layer in one array, so that both are checked."""

    def __init__(self, layer):
        self.layer = layer

    def children(self):
        return {"layer": self.layer}

    def forward(self, x, *args):
        y, saved = self.layer.forward(x, *args)
        return np.concatenate([a.reshape(len(x), -1) for a in (y, saved.state)], 1), (y, saved)

    def backward(self, dy, both):
        y, saved = both
        at = y[0].size
        return self.layer.backward(dy[:, :at].reshape(y.shape), saved,
                                   dy[:, at:].reshape(saved.state.shape))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("layer, state", [
    (lambda **o: nn.RNN(2, 3, **o), (4, 3)), (lambda **o: nn.RNN(2, 3, "relu", **o), (4, 3)),
    (lambda **o: nn.GRU(2, 3, **o), (4, 3)), (lambda **o: nn.LSTM(2, 3, **o), (4, 2, 3))])
def test_gradient_of_the_last_state(rng, layer, state, reverse):
    args = rng.standard_normal((4, 3, 2)), rng.standard_normal(state), np.array([3, 0, 1, 2])
    nn.check_layer(ReadsState(layer(reverse=reverse)), *args)


@pytest.mark.parametrize("layer, state", [(nn.RNN(2, 3), (4, 6)), (nn.GRU(2, 3), (4, 6)),
                                          (nn.LSTM(2, 3), (4, 2, 6))])
def test_gradient_of_the_last_state_of_both_directions(rng, layer, state):
    args = rng.standard_normal((4, 3, 2)), rng.standard_normal(state), np.array([3, 0, 1, 2])
    nn.check_layer(ReadsState(nn.Bidirectional(layer)), *args)
    nn.check_layer(ReadsState(nn.Bidirectional(layer)), args[0])


@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU, nn.LSTM])
def test_layers_are_the_functions(rng, cell):
    layer = cell(5, 9).build(3, np.float64)
    layer.params += rng.standard_normal(layer.params.shape)
    name = {nn.RNN: "rnn", nn.GRU: "gru", nn.LSTM: "lstm"}[cell]
    case = Case(rng, name, lengths=True)
    case.arrays |= layer.param
    a, lengths = case.arrays, case.options["lengths"]
    y, saved = layer.forward(a["x"], a["state"], lengths)
    same_bits(y, case.forward()[0])
    same_bits(saved.state, case.forward()[1])
    got = [*layer.backward(a["dy"], saved, a["dlast"]), *layer.grad.values()]
    for g, e in zip(got, case.backward(), strict=True):
        same_bits(g, e)


@pytest.mark.parametrize("layer", layers().values(), ids=layers())
def test_step_by_step_is_the_whole_sequence(rng, layer):
    if isinstance(layer, nn.Bidirectional):
        layer = layer.ahead
    layer.build(0, np.float64)
    x = rng.standard_normal((4, 9, 6))
    y, saved = layer.forward(x)
    state = None
    for t in range(9):
        y_t, step = layer.forward(x[:, t:t + 1], state)
        state = step.state
        close(y_t[:, 0], y[:, t])
    close(state, saved.state)


def test_an_encoder_starts_a_decoder(rng):
    """The gradient of the joined network is that of one layer over the joined sequence."""
    layer = nn.GRU(3, 4).build(0, np.float64)
    x, dy = rng.standard_normal((2, 8, 3)), rng.standard_normal((2, 3, 4))
    _, whole = layer.forward(x)
    expected = layer.backward(np.concatenate([np.zeros((2, 5, 4)), dy], 1), whole)
    grads = layer.grads.copy()
    layer.grads[...] = 0
    _, read = layer.forward(x[:, :5])
    _, wrote = layer.forward(x[:, 5:], read.state)
    du, dstate = layer.backward(dy, wrote)
    close(np.concatenate([layer.backward(None, read, dstate), du], 1), expected)
    close(layer.grads, grads)


def test_both_directions_are_two_layers(rng):
    both = nn.Bidirectional(nn.LSTM(3, 4)).build(0, np.float64)
    assert list(both.named_parameters()) == [f"{side}.{name}" for side in ("ahead", "back")
                                             for name in ("wx", "wh", "bias")]
    x, lengths = rng.standard_normal((3, 6, 3)), np.array([6, 0, 2])
    y, saved = both.forward(x, lengths=lengths)
    back = nn.LSTM(3, 4, reverse=True)
    back.bind(both.params[len(both.params) // 2:], both.grads[len(both.params) // 2:])
    same_bits(y[..., 4:], back.forward(x, lengths=lengths)[0])
    # the last state ahead stands at the end, the one back at the start
    for b, n in enumerate(lengths):
        if n:
            same_bits(saved.state[b, 0], np.concatenate([y[b, n - 1, :4], y[b, 0, 4:]]))


def test_initial_values():
    for layer in (nn.RNN(6, 4), nn.GRU(3, 4), nn.LSTM(4, 4)):
        layer.build(0, np.float64)
        G = layer.gates
        for w in np.split(layer.param["wh"], G, 1):
            np.testing.assert_allclose(w.T @ w, np.eye(4), atol=1e-12)
        for w in np.split(layer.param["wx"], G, 1):
            shorter = w.T @ w if w.shape[0] >= 4 else w @ w.T
            np.testing.assert_allclose(shorter, np.eye(len(shorter)), atol=1e-12)
        bias = np.zeros((G, 4))
        bias[1:2] = G == 4
        np.testing.assert_array_equal(layer.param["bias"], bias.reshape(-1))
    assert not nn.GRU(3, 4).build().param["bias_hidden"].any()
    mask = nn.matrices_only(nn.GRU(2, 3).build())
    assert mask.tolist() == [1] * (2 * 9 + 3 * 9) + [0] * (9 + 3)


def recall(cell, T, steps=200, symbols=6, B=32, width=24):
    """Train a layer to name the first of T random symbols; return its first and last accuracy."""
    rng = np.random.default_rng(0)
    embed, layer = nn.Embedding(symbols, width), cell(width, width)
    net = nn.Sequential(embed, layer, nn.Linear(width, symbols)).build(0)
    adam = nn.AdamW(net.params, net.grads)
    right = []
    for _ in range(steps):
        tokens = rng.integers(0, symbols, (B, T))
        logits, saved = net.forward(tokens)
        target = tokens[:, 0]
        right.append(np.mean(logits[:, -1].argmax(1) == target))
        dlogits = np.zeros_like(logits)
        _, dlogits[:, -1] = F.cross_entropy_backward(np.full(B, 1 / B), logits[:, -1], target)
        net.grads[...] = 0
        net.backward(dlogits, saved)
        adam.step(lr=1e-2, max_norm=1.0)
    return float(np.mean(right[:20])), float(np.mean(right[-20:]))


@pytest.mark.parametrize("cell, T", [(nn.RNN, 6), (nn.LSTM, 10), (nn.GRU, 20)])
def test_the_first_symbol_is_recalled(cell, T):
    before, after = recall(cell, T)
    assert before < 0.4 and after > 0.95


def test_layer_errors(rng):
    layer = nn.LSTM(4, 3).build()
    x = np.zeros((2, 5, 4), np.float32)
    with pytest.raises(ValueError, match=r"x has shape \(2, 4\), expected \(B, T, 4\)"):
        layer.forward(x[:, 0])
    with pytest.raises(TypeError, match="x has dtype float64, expected float32 as the parameters"):
        layer.forward(x.astype(float))
    with pytest.raises(ValueError, match=r"state has shape \(2, 3\), expected \(2, 2, 3\)"):
        layer.forward(x, np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"lengths has shape \(1,\), expected \(2,\)"):
        layer.forward(x, lengths=[5])
    _, saved = layer.forward(x)
    with pytest.raises(ValueError, match=r"dy has shape \(2, 5, 4\), expected \(2, 5, 3\)"):
        layer.backward(x, saved)
    with pytest.raises(ValueError, match=r"dstate has shape \(2, 3\), expected \(2, 2, 3\)"):
        layer.backward(None, saved, np.zeros((2, 3)))
    both = nn.Bidirectional(nn.LSTM(4, 3)).build()
    with pytest.raises(ValueError, match=r"state has shape \(2, 2, 3\), expected \(2, 2, 6\)"):
        both.forward(x, np.zeros((2, 2, 3)))
    with pytest.raises(ValueError, match=r"dy has shape \(2, 5, 3\), expected \(2, 5, 6\)"):
        both.backward(np.zeros((2, 5, 3), np.float32), both.forward(x)[1])
    with pytest.raises(TypeError, match="layer is Tanh, expected RNN, LSTM or GRU"):
        nn.Bidirectional(nn.Tanh())
    with pytest.raises(ValueError, match="nonlinearity is 'elu', expected 'tanh' or 'relu'"):
        nn.RNN(1, 1, "elu")
    with pytest.raises(ValueError, match=r"layer\.reverse is True, expected False"):
        nn.Bidirectional(nn.GRU(1, 1, reverse=True))
