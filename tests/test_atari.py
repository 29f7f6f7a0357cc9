"""Atari games: the variants' loop against the emulator's own environment, bits, errors."""

import importlib.util
import sys

import numpy as np
import pytest

from gatelearn.errors import MissingPackageError, UserError
from gatelearn.tasks import Atari, random_frames
from gatelearn.tasks.atari import game_name, variants
from gatelearn.tasks.atari_screens import RECOLOURINGS, recoloured, shrink

pytest.importorskip("ale_py")
pytest.importorskip("gymnasium")

from gymnasium.vector import AutoresetMode

HACKATARI = importlib.util.find_spec("hackatari") is not None


def play(env, steps, seed=None, actions=0):
    """Return all that an environment gives, its first observation among it."""
    rng = np.random.default_rng(actions)
    observations, info = env.reset(seed=seed)
    seen = [(observations, info)]
    for _ in range(steps):
        played = rng.integers(env.single_action_space.n, size=env.num_envs)
        seen.append(env.step(played))
    env.close()
    return seen


def flat(seen):
    """Return the arrays of what was seen, for comparing."""
    return [array for step in seen
            for part in step
            for array in (part.values() if isinstance(part, dict) else [part])]


def same(a, b):
    a, b = flat(a), flat(b)
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("same_step", [False, True])
@pytest.mark.parametrize("game, settings", [
    ("pong", {"max_frames": 61}),
    ("breakout", {"episodic_life": True}),
    ("breakout", {"sticky": 0.25, "frame_skip": 3, "stack": 2}),
    ("ms_pacman", {"noop_max": 7}),
    ("ms_pacman", {"frame_skip": 1, "noop_max": 0}),
])
def test_loop_is_the_emulators_own_environment_bit_for_bit(game, settings, same_step):
    atari = Atari(game, **settings)
    autoreset = "same_step" if same_step else "next_step"
    ours, theirs = atari.emulators(2, same_step=same_step), atari._native(2, 1, autoreset)
    rng = np.random.default_rng(1)
    seeds = np.array([3, 2**31 - 1])
    a, b = ours.reset(seed=seeds), theirs.reset(seed=seeds)
    assert np.array_equal(a[0], b[0]) and a[0].any()
    ended = 0
    for _ in range(70):
        actions = rng.integers(len(atari.actions), size=2).astype(np.int32)
        a, b = ours.step(actions), theirs.step(actions)
        for mine, other in zip(a[:4], b[:4], strict=True):
            assert np.array_equal(mine, other)
        done = a[2] | a[3]
        ended += done.sum()
        assert a[4].keys() == b[4].keys()
        for name in a[4]:
            rows = done if name == "final_obs" else slice(None)
            assert np.array_equal(a[4][name][rows], b[4][name][rows]), name
    if "max_frames" in settings or "episodic_life" in settings:
        assert ended > 1


def test_some_environments_are_reset_alone():
    atari = Atari("breakout")
    ours, theirs = atari.emulators(3), atari._native(3, 1, "next_step")
    mask = {"reset_mask": np.array([False, True, False])}
    for games in (ours, theirs):
        games.reset(seed=np.array([5, 6, 7]))
        for t in range(5):
            games.step(np.full(3, t % 4, np.int32))
    a, b = (games.reset(seed=np.array([9]), options=mask)[0] for games in (ours, theirs))
    assert np.array_equal(a, b)
    assert not a[1, :3].any() and a[0, :3].any()


def test_shrink_is_the_mean_of_the_area():
    screens = np.random.default_rng(0).integers(0, 256, (3, 210, 160)).astype(np.uint8)
    fine = screens.astype(float).repeat(2, 1).repeat(21, 2)  # 420 x 3360: 5 x 40 a pixel
    mean = fine.reshape(3, 84, 5, 84, 40).mean((2, 4))
    assert np.abs(shrink(screens) - mean).max() <= 0.5001
    assert shrink(screens[:0]).shape == (0, 84, 84)


@pytest.mark.parametrize("variant", [None, "mode-4", "recolour-rotated"])
def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(variant):
    atari = Atari("breakout", variant, sticky=0.25)
    first = play(atari.make(3, threads=1), 20, seed=5)
    assert same(first, play(atari.make(3, threads=2), 20, seed=5))
    assert same(first, play(atari.make(3, seed=5), 20))
    assert not same(first, play(atari.make(3), 20, seed=6))


def test_environments_of_neighbouring_seeds_share_nothing():
    env = Atari("breakout").make(4)
    assert not set(env._seeds(0)) & set(env._seeds(1))
    assert not np.array_equal(*(env.reset(seed=None)[1]["episode_frame_number"]
                                for _ in range(2)))


@pytest.mark.parametrize("variant", [None, "difficulty-1"])
def test_metadata_says_how_environments_are_reset(variant):
    atari = Atari("pong", variant, max_frames=40)
    later, at_once = atari.make(2), atari.make(2, autoreset="same_step")
    assert later.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert at_once.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    for env in (later, at_once):
        env.reset(seed=0)
        for _ in range(9):
            _, _, terminated, truncated, _ = env.step([0, 0])
            assert not (terminated | truncated).any()
        observations, _, terminated, truncated, info = env.step([0, 0])
        assert truncated.all() and not terminated.any()
        assert ("final_obs" in info) == (env is at_once)
        if env is at_once:
            assert info["_final_obs"].all() and info["final_obs"][0, :3].any()
        else:
            observations, rewards, terminated, truncated, _ = env.step([1, 1])
            assert not rewards.any() and not (terminated | truncated).any()
        # a new episode has one frame, and none before it
        assert not observations[:, :3].any() and observations[:, 3].any()


@pytest.mark.parametrize("variant", [None, "recolour-dark"])
def test_rewards_are_points_and_not_clipped(variant):
    env = Atari("ms_pacman", variant).make(2, seed=0)
    seen = play(env, 150)
    rewards = np.array([step[1] for step in seen[1:]])
    assert rewards.dtype == np.float32
    assert rewards.max() >= 10


def test_spaces_and_observations_agree():
    env = Atari("pong", "recolour-pale", stack=3).make(2)
    observations, info = env.reset(seed=1)
    assert observations in env.observation_space
    assert env.step(env.action_space.sample())[0] in env.observation_space
    assert env.actions == Atari("Pong").actions
    assert set(info) == {"env_id", "lives", "frame_number", "episode_frame_number"}


@pytest.mark.parametrize("game", ["pong", "breakout", "ms_pacman"])
def test_recolourings_change_the_frames_and_nothing_else(game):
    plain = random_frames(game, 12, envs=1)[0]
    seen = {name: random_frames(Atari(game, f"recolour-{name}"), 12, envs=1)[0]
            for name in RECOLOURINGS}
    for frames in seen.values():
        assert (frames != plain).any((1, 2)).all()
        # where the original has an edge there is one, and elsewhere none
        before, after = (np.abs(np.diff(a[-1].astype(int), axis=0)) > 8 for a in (plain, frames))
        assert (before == after).mean() > 0.8 and after.any()
    assert abs(seen["dark"] - plain / 2).max() <= 1
    assert abs(seen["inverted"].astype(int) + plain - 255).max() <= 1
    assert abs(seen["pale"] - (127.5 + plain / 2)).max() <= 1


def test_recolourings_merge_no_two_grays():
    gray = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)
    assert len(set(recoloured(gray, "shuffled"))) == 256
    assert len(set(recoloured(gray, "inverted"))) == 256
    assert recoloured(np.array([[0, 255, 0]], np.uint8), "rotated")[0] == 76  # as red was


def test_modes_and_difficulties_play_differently():
    original = random_frames("breakout", 60, 1, envs=1)[0]
    for variant in ("mode-4", "mode-12", "difficulty-1"):
        frames = random_frames(Atari("breakout", variant), 60, 1, envs=1)[0]
        assert not np.array_equal(frames, original), variant


def test_random_frames_do_not_depend_on_threads():
    images, episode = random_frames(Atari("pong", max_frames=48), 101, 3, envs=4, threads=1)
    again, numbers = random_frames(Atari("pong", max_frames=48), 101, 3, envs=4, threads=2)
    assert np.array_equal(images, again) and np.array_equal(episode, numbers)
    assert images.shape == (101, 84, 84) and images.dtype == np.uint8
    # 26, 25, 25, 25 frames of four environments; an episode has its first frame and 12 more
    assert np.bincount(episode).tolist() == [13, 13, 13, 12, 13, 12, 13, 12]
    assert not np.array_equal(images, random_frames(Atari("pong", max_frames=48), 101, 4,
                                                    envs=4)[0])
    assert random_frames("pong", 1)[0].shape == (1, 84, 84)


def test_random_frames_are_the_newest_of_the_stack():
    images, _ = random_frames("breakout", 10, 7, envs=1)
    env = Atari("breakout").make(1)
    rng = np.random.default_rng(7)
    observations, _ = env.reset(seed=7)
    for t in range(10):
        assert np.array_equal(observations[0, -1], images[t])
        observations = env.step(rng.integers(4, size=1))[0]


@pytest.mark.parametrize("make, message", [
    (lambda: Atari("pongg"), r"game 'pongg' is unknown; did you mean 'pong'\?"),
    (lambda: Atari("xyzxyz"), r"game 'xyzxyz' is unknown$"),
    (lambda: Atari("pong", "mode-7"), "variant 'mode-7' of pong is unknown; did you mean 'mode-1'"),
    (lambda: Atari("pong", "zzz"), "unknown; expected one of mode-1, difficulty-1"),
    (lambda: Atari("pong", "hackatari-lazy_enemi"), r"did you mean 'lazy_enemy'\?"),
    (lambda: Atari("tennis", "hackatari-x"), "for breakout, ms_pacman, pong, not for tennis"),
    (lambda: Atari("ms_pacman", "hackatari-edible_ghosts"), "refused: .* changes nothing"),
    (lambda: Atari("ms_pacman", "hackatari-end_game"), "refused: .* no seed reaches"),
    (lambda: Atari("pong", frame_skip=0), "frame_skip is 0, expected at least 1"),
    (lambda: Atari("pong", stack=2.0), r"stack is 2\.0, expected a whole number"),
    (lambda: Atari("pong", sticky=1.0), r"sticky is 1\.0, expected at least 0 and below 1"),
    (lambda: Atari("pong", noop_max=-1), "noop_max is -1, expected at least 0"),
    (lambda: Atari("pong").make(0), "envs is 0, expected at least 1"),
    (lambda: Atari("pong").make(1, threads=0), "threads is 0, expected at least 1"),
    (lambda: Atari("pong").make(1, autoreset="disabled"), "autoreset is 'disabled'"),
    (lambda: Atari("pong").make(1).reset(seed=-1), "seed is -1, expected a whole number of at"),
    (lambda: Atari("pong").make(2).reset(seed=[1]), r"shape \(1,\), expected integers of shape"),
    (lambda: Atari("pong").make(1).reset(seed=[2**31]), "seed holds a number outside"),
    (lambda: Atari("pong").make(1).reset(options={"reset_mask": np.ones(1, bool)}), "of all"),
    (lambda: random_frames("pong", 0), "count is 0, expected at least 1"),
    (lambda: random_frames("pong", 5, -1), "seed is -1, expected at least 0"),
])
def test_wrong_input(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_wrong_actions():
    env = Atari("pong", "mode-1").make(2)
    with pytest.raises(RuntimeError, match=r"step\(\) was called before reset\(\)"):
        env.step([0, 0])
    env.reset(seed=0)
    with pytest.raises(UserError, match="actions holds 6, expected 0 to 5"):
        env.step([0, 6])
    with pytest.raises(UserError, match=r"int64 of shape \(3,\), expected integers of shape \(2,"):
        env.step([0, 0, 0])
    with pytest.raises(UserError, match="actions are float64"):
        env.step([0.0, 1.0])
    with pytest.raises(UserError, match=r"reset_mask is int64 of shape \(2,\), expected bool"):
        env.reset(options={"reset_mask": [1, 0]})


@pytest.mark.parametrize("package", ["ale_py", "gymnasium"])
def test_missing_package(monkeypatch, package):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)

    class Missing:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(MissingPackageError,
                       match=rf"{package} is not installed: pip install 'gatelearn\[atari\]'"):
        Atari("pong")


@pytest.mark.skipif(HACKATARI, reason="HackAtari is installed")
def test_hackatari_missing():
    assert not any(name.startswith("hackatari") for name in variants("pong"))
    with pytest.raises(MissingPackageError, match=r"pip install 'gatelearn\[hackatari\]'"):
        Atari("pong", "hackatari-lazy_enemy")


@pytest.mark.skipif(not HACKATARI, reason="needs HackAtari")
@pytest.mark.parametrize("game", ["pong", "breakout", "ms_pacman"])
def test_hackatari_modifies_the_game_and_repeats(game):
    original = random_frames(game, 30, envs=1)[0]
    names = [name for name in variants(game) if name.startswith("hackatari")]
    assert names
    for name in names:
        frames, again = (random_frames(Atari(game, name), 30, envs=1)[0] for _ in range(2))
        assert np.array_equal(frames, again)
        # the level that a game begins with stays as it is
        assert np.array_equal(frames, original) == (name == "hackatari-set_level_0"), name


def test_names_of_games():
    assert game_name("MsPacman") == game_name("ms_pacman") == "ms_pacman"
    assert Atari("SpaceInvaders").game == "space_invaders"
