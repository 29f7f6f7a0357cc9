"""The echo state network: its equation, its memory, resets, resuming, messages."""

import numpy as np
import pytest
from helpers import close, same_bits, same_for_any_threads

from gatelearn import nn, wsa
from gatelearn.wsa.reservoir import radius_of


class Numbers:
    """Observations that are their own embeddings."""

    def __init__(self, width=3):
        self.width = width

    def embed(self, observations):
        return np.asarray(observations, np.float32)


def inputs(steps, batch=4, width=3, seed=1):
    return np.random.default_rng(seed).standard_normal((steps, batch, width)).astype(np.float32)


def test_the_equation():
    reservoir = wsa.Reservoir(Numbers(), size=40, leak=0.3, seed=2)
    w, w_in, b = (a.astype(np.float64) for a in (reservoir.weight, reservoir.input_weight,
                                                 reservoir.bias))
    state = np.zeros((4, 40))
    for x in inputs(20):
        state = 0.7 * state + 0.3 * np.tanh(x @ w_in + state @ w + b)
        close(reservoir.embed(x), state)
    assert reservoir.widths == {"reservoir": 40} and reservoir.names == ("reservoir",)
    assert reservoir.width == 40 and state.std() > 0.1


def test_the_weights():
    reservoir = wsa.Reservoir(Numbers(400), size=300, density=0.05, input_scale=2.0)
    for weight in (reservoir.weight, reservoir.input_weight):
        assert np.mean(weight != 0) == pytest.approx(0.05, rel=0.05)
        assert weight.dtype == np.float32
    assert np.abs(np.linalg.eigvals(reservoir.weight)).max() == pytest.approx(0.9, rel=1e-3)
    driven = inputs(1, 500, 400)[0] @ reservoir.input_weight
    assert driven.std() == pytest.approx(2.0, rel=0.05)
    same_bits(wsa.Reservoir(Numbers(), size=30, seed=4).weight,
              wsa.Reservoir(Numbers(), size=30, seed=4).weight)
    assert (wsa.Reservoir(Numbers(), size=30, seed=4).weight != wsa.Reservoir(
        Numbers(), size=30, seed=5).weight).any()


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_spectral_radius(scale, rng):
    for n in (1, 2, 7, 60):
        a = rng.standard_normal((n, n))
        expected = np.abs(np.linalg.eigvals(a)).max()
        assert radius_of(scale * a) / scale == pytest.approx(expected, rel=1e-3)
    assert radius_of(np.triu(np.ones((5, 5)), 1)) == 0


def test_the_past_fades_and_is_remembered():
    # what was before has no trace after long enough
    one, other = (wsa.Reservoir(Numbers(), size=100) for _ in range(2))
    one.embed(10 * np.ones((4, 3)))
    for x in inputs(150):
        states = one.embed(x), other.embed(x)
    assert np.abs(states[0] - states[1]).max() < 1e-4

    def recalled(lag, **settings):
        """Share of the variance of the input `lag` steps ago that a linear map reads."""
        reservoir, xs = wsa.Reservoir(Numbers(1), size=200, **settings), inputs(600, 1, 1)
        states = np.array([reservoir.embed(x)[0] for x in xs], np.float64)[50:]
        wanted = xs[50 - lag:600 - lag, 0, 0]
        # fitted on the first 400 steps
        a = np.concatenate([states, np.ones((550, 1))], axis=1)
        w = np.linalg.solve(a[:400].T @ a[:400] + 1e-4 * np.eye(201), a[:400].T @ wanted[:400])
        return 1 - np.mean((a[400:] @ w - wanted[400:]) ** 2) / np.var(wanted[400:])

    assert recalled(0) > 0.9 and recalled(3) > 0.6
    assert recalled(3, spectral_radius=0.0, leak=1.0) < 0.1


def test_an_episode_begins_without_a_past():
    reservoir, xs = wsa.Reservoir(Numbers(), size=30), inputs(3)
    first = reservoir.embed(xs[0])
    second = reservoir.embed(xs[1])
    third = reservoir.embed(xs[0], first=[True, False, True, False])
    same_bits(third[::2], first[::2])
    assert (third[1::2] != first[1::2]).any(1).all()
    reservoir.reset()
    same_bits(reservoir.embed(xs[0]), first)
    same_bits(reservoir.embed(xs[1]), second)
    reservoir.reset()
    assert reservoir.embed(xs[0][:2]).shape == (2, 30)


def test_it_goes_on_from_a_checkpoint():
    xs = inputs(6)
    reservoir = wsa.Reservoir(Numbers(), size=30)
    assert reservoir.state() == {}
    for x in xs[:3]:
        reservoir.embed(x)
    other = wsa.Reservoir(Numbers(), size=30)
    other.load_state(reservoir.state())
    for x in xs[3:]:
        same_bits(reservoir.embed(x), other.embed(x))
    # what was returned is nobody else's
    reservoir.embed(xs[0])[...] = 0
    assert reservoir.state()["reservoir"].any()
    other.load_state({})
    assert other.state() == {}
    with pytest.raises(ValueError, match=r"state entry reservoir has shape \(4, 30\), expected "
                                         r"\(B, 20\)"):
        wsa.Reservoir(Numbers(), size=20).load_state(reservoir.state())
    with pytest.raises(ValueError, match="state entry x is unknown"):
        other.load_state({"x": xs[0]})


def test_same_bits_on_any_number_of_threads():
    xs = inputs(3, 70)

    def states():
        reservoir = wsa.Reservoir(Numbers(), size=120)
        return [reservoir.embed(x) for x in xs]
    same_for_any_threads(states)


def test_an_agent_on_its_state():
    reservoir = wsa.Reservoir(Numbers(), size=50)
    network = nn.Sequential(wsa.Single(reservoir.widths, 8), nn.Linear(8, 2)).build()
    assert network.forward(reservoir.embed(inputs(1)[0]))[0].shape == (4, 2)


def test_messages():
    for settings, message in [
            (dict(size=0), "size is 0, expected at least 1"),
            (dict(leak=0.0), "leak is 0.0, expected above 0 and at most 1"),
            (dict(density=1.5), "density is 1.5, expected above 0 and at most 1"),
            (dict(spectral_radius=-1.0), "spectral_radius is -1.0, expected a finite number of"),
            (dict(input_scale=np.inf), "input_scale is inf, expected a finite number of at least"),
            (dict(size=5, density=0.01), "density is 0.01: no unit of 5 reads itself, expected")]:
        with pytest.raises(ValueError, match=message):
            wsa.Reservoir(Numbers(), **settings)
    reservoir = wsa.Reservoir(Numbers(), size=10)
    reservoir.embed(inputs(1)[0])
    with pytest.raises(ValueError, match="there are 3 observations, expected 4 as before, or a re"):
        reservoir.embed(inputs(1, 3)[0])
    with pytest.raises(ValueError, match=r"first has shape \(3,\), expected \(4,\)"):
        reservoir.embed(inputs(1)[0], [True, False, True])
    with pytest.raises(ValueError, match=r"x has shape|width|expected"):
        reservoir.embed(inputs(1, 4, 2)[0])
