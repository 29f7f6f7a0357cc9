"""The Pusher: what is drawn, bits, resets, errors."""

import numpy as np
import pytest

from gatelearn.errors import MissingPackageError, UserError
from gatelearn.tasks import Pusher
from gatelearn.tasks.control import ARM, GOAL, GROUND, OBJECT, top_view

AWAY = np.array([9.0, 9.0])


def test_view_shows_what_is_where():
    # 60 pixels are a metre; the lower left corner is at (-0.25, -1)
    image = top_view(np.array([[0.0, -0.6], [0.4, -0.6]]), np.array([AWAY, AWAY]),
                     np.array([0.45, -0.05]), np.array([0.45, 0.3]))
    assert image[60, 15] == image[60, 38] == ARM and image[55, 30] == GROUND
    assert image[26, 42] == OBJECT and image[5, 42] == GOAL
    assert image[0, 0] == GROUND


def test_view_shows_movements_of_less_than_a_pixel():
    views = [top_view(np.array([AWAY, AWAY]), np.array([AWAY, AWAY]), np.array([0.4 + x, -0.3]),
                      AWAY) for x in (0, 0.004)]
    assert not np.array_equal(*views)
    area = [(view.astype(float) - GROUND).sum() / (OBJECT - GROUND) for view in views]
    assert np.allclose(area, np.pi * (0.05 * 60)**2, rtol=0.02)


def test_nothing_in_view():
    view = top_view(np.array([AWAY, AWAY]), np.array([AWAY, AWAY * [1, -1]]), -AWAY, AWAY)
    assert (view == GROUND).all()


@pytest.fixture
def make():
    pytest.importorskip("mujoco")
    pytest.importorskip("gymnasium.envs.mujoco")
    return lambda steps=100, **settings: Pusher(steps).make(2, **settings)


def rollout(env, seed=None, steps=8):
    rng = np.random.default_rng(0)
    observations, _ = env.reset(seed=seed)
    seen = [*map(np.copy, observations.values())]
    for _ in range(steps):
        observations, rewards, *_ = env.step(rng.uniform(-2, 2, (2, 7)).astype(np.float32))
        seen += [*map(np.copy, observations.values()), rewards]
    return seen


def test_the_same_seed_gives_the_same_bits(make):
    first = rollout(make(), seed=3)
    for other in (make(), None), (make(seed=3), None):
        again = rollout(other[0], seed=3 if other[0]._first_seed is None else None)
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], rollout(make(), seed=4)[0])
    # the two environments are not alike, and images move
    assert not np.array_equal(first[0][0], first[0][1])
    assert not np.array_equal(first[0], first[-3])


def test_observations_are_in_their_space(make):
    env = make()
    observations, _ = env.reset(seed=0)
    assert observations in env.observation_space
    assert observations["image"].shape == (2, 1, 84, 84)
    assert observations["state"].dtype == np.float32
    # the object stands where the state says
    x, y = observations["state"][0, 17:19]
    image = observations["image"][0, 0]
    assert image[int((0.4 - y) * 60), int((x + 0.25) * 60)] == OBJECT


def test_episodes_end_and_begin_as_metadata_says(make):
    later, at_once = make(3), make(3, autoreset="same_step")
    for env in (later, at_once):
        first = env.reset(seed=0)[0]["state"].copy()
        for t in range(3):
            observations, _, terminated, truncated, info = env.step(np.zeros((2, 7), np.float32))
            assert truncated.all() == (t == 2) and not terminated.any()
        new = observations["state"][:, :7]
        assert ("final_obs" in info) == (env is at_once)
        assert (abs(new - first[:, :7]).max() == 0) == (env is at_once)


def test_wrong_input():
    with pytest.raises(UserError, match="max_steps is 0, expected at least 1"):
        Pusher(0)
    with pytest.raises(UserError, match="envs is 0, expected at least 1"):
        Pusher().make(0)
    with pytest.raises(UserError, match=r"'same-step'; did you mean 'same_step'\?"):
        Pusher().make(1, autoreset="same-step")


def test_missing_package(monkeypatch):
    pytest.importorskip("gymnasium")
    monkeypatch.setitem(__import__("sys").modules, "mujoco", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'gatelearn\[mujoco\]'"):
        Pusher().make(1)
