"""The echo state network: its equation, its memory, episodes, messages."""

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


def through(reservoir, xs):
    """The states after each of the observations of an episode."""
    state = None
    for x in xs:
        state = reservoir.advance(state, x)
        yield state


def inputs(steps, batch=4, width=3, seed=1):
    return np.random.default_rng(seed).standard_normal((steps, batch, width)).astype(np.float32)


def test_the_equation():
    reservoir = wsa.Reservoir(Numbers(), size=40, leak=0.3, seed=2)
    w, w_in, b = (a.astype(np.float64) for a in (reservoir.weight, reservoir.input_weight,
                                                 reservoir.bias))
    state, got = np.zeros((4, 40)), None
    for x in inputs(20):
        state = 0.7 * state + 0.3 * np.tanh(x @ w_in + state @ w + b)
        got = reservoir.advance(got, x)
        close(got, state)
    assert reservoir.widths == {"reservoir": 40} and reservoir.width == 40 and state.std() > 0.1


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
    reservoir = wsa.Reservoir(Numbers(), size=100)
    one, other = reservoir.advance(None, 10 * np.ones((4, 3))), None
    for x in inputs(150):
        one, other = reservoir.advance(one, x), reservoir.advance(other, x)
    assert np.abs(one - other).max() < 1e-4

    def recalled(lag, **settings):
        """Share of the variance of the input `lag` steps ago that a linear map reads."""
        reservoir, xs = wsa.Reservoir(Numbers(1), size=200, **settings), inputs(600, 1, 1)
        states = np.array(list(through(reservoir, xs)), np.float64)[50:, 0]
        wanted = xs[50 - lag:600 - lag, 0, 0]
        # fitted on the first 400 steps
        a = np.concatenate([states, np.ones((550, 1))], axis=1)
        w = np.linalg.solve(a[:400].T @ a[:400] + 1e-4 * np.eye(201), a[:400].T @ wanted[:400])
        return 1 - np.mean((a[400:] @ w - wanted[400:]) ** 2) / np.var(wanted[400:])

    assert recalled(0) > 0.9 and recalled(3) > 0.6
    assert recalled(3, spectral_radius=0.0, leak=1.0) < 0.1


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP", "DISABLED"])
def test_episodes_of_environments(mode):
    gymnasium = pytest.importorskip("gymnasium")
    mode = gymnasium.vector.AutoresetMode[mode]
    disabled = mode == gymnasium.vector.AutoresetMode.DISABLED

    def make():
        return gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="sync",
                                  vector_kwargs=dict(autoreset_mode=mode))

    encoders = Numbers(4)
    reservoir = wsa.Reservoir(encoders, size=30)
    plain, env = make(), wsa.ReservoirEnv(make(), reservoir)
    assert env.num_envs == 3 and env.single_action_space.n == 2
    raw, _ = plain.reset(seed=5)
    got, _ = env.reset(seed=5)
    # what each environment saw since its episode began, and whether the last is the end
    seen, over, ends = [[x] for x in raw], np.zeros(3, bool), 0

    def expected(i):
        return list(through(reservoir, [x[None] for x in seen[i]]))[-1][0]

    rng = np.random.default_rng(0)
    for _ in range(80):
        for i in range(3):
            close(got[i], expected(i))
        actions = rng.integers(0, 2, 3)
        raw, _, terminated, truncated, info = plain.step(actions)
        got, _, _, _, ours = env.step(actions)
        ended = terminated | truncated
        for i in range(3):
            if ended[i] and mode == gymnasium.vector.AutoresetMode.SAME_STEP:
                seen[i].append(info["final_obs"][i])
                close(ours["final_obs"][i], expected(i))
                seen[i] = [raw[i]]
            elif over[i] and not disabled:
                seen[i] = [raw[i]]
            else:
                seen[i].append(raw[i])
        over, ends = ended & (mode == gymnasium.vector.AutoresetMode.NEXT_STEP), ends + ended.sum()
        if disabled and ended.any():
            for i in range(3):
                close(got[i], expected(i))
            raw, _ = plain.reset(options={"reset_mask": ended.copy()})
            got, _ = env.reset(options={"reset_mask": ended.copy()})
            for i in np.flatnonzero(ended):
                seen[i] = [raw[i]]
    assert ends > 5
    with pytest.raises(ValueError, match=r"metadata\['autoreset_mode'\] of the environment is No"):
        plain.metadata = {}
        wsa.ReservoirEnv(plain, reservoir)


def test_same_bits_on_any_number_of_threads():
    xs = inputs(3, 70)

    def states():
        return list(through(wsa.Reservoir(Numbers(), size=120), xs))
    same_for_any_threads(states)


def test_an_agent_on_its_state():
    reservoir = wsa.Reservoir(Numbers(), size=50)
    network = nn.Sequential(wsa.Single(reservoir.widths, 8), nn.Linear(8, 2)).build()
    assert network.forward(reservoir.advance(None, inputs(1)[0]))[0].shape == (4, 2)


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
    state = reservoir.advance(None, inputs(1)[0])
    with pytest.raises(ValueError, match=r"state has shape \(4, 10\), expected \(3, 10\)"):
        reservoir.advance(state, inputs(1, 3)[0])
    with pytest.raises(ValueError, match="expected"):
        reservoir.advance(None, inputs(1, 4, 2)[0])
