"""Atari games as Gymnasium vector environments, variants of them, and frames of a random agent.

The emulator is ``ale-py``, an optional package with a licence of its own (GPL 2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn.errors import UserError, require, suggest
from gatelearn.tasks.atari_emulators import PACKAGES, Emulators, Machine, load
from gatelearn.tasks.atari_modifications import (
    ModifiedMachine,
    check_modification,
    modifications,
)
from gatelearn.tasks.atari_screens import RECOLOURINGS, SIDE

AUTORESETS = ("next_step", "same_step")


@dataclass(frozen=True)
class Atari:
    """An Atari game and how an agent sees and plays it.

    The settings' defaults are those of Mnih et al. [1]_ as ``ale_py`` has them, but that rewards
    are the game's points: an agent that wants them clipped does it itself.

    Attributes
    ----------
    game : str
        As ``ale_py`` names it, or in capitals: "ms_pacman" and "MsPacman" are the same game.
    variant : str, optional
        One of `variants`; None is the original game.
    frame_skip : int
        Frames that an action lasts. Of the last two the agent sees the brighter pixels.
    stack : int
        Frames in an observation, S.
    sticky : float
        Probability that a frame repeats the action before [2]_.
    noop_max : int
        An episode begins with fewer frames than this in which nothing is done, at random.
    episodic_life : bool
        Whether an episode ends with a life. The next begins a new game.
    max_frames : int
        After as many frames of an episode it is truncated.

    Raises
    ------
    UserError
        If there is no such game or variant, or a number is out of range.
    MissingPackageError
        Without ``ale-py``, ``gymnasium`` or, for its variants, ``hackatari``.

    References
    ----------
    .. [1] V. Mnih et al., "Human-level control through deep reinforcement learning", Nature 518,
       2015.
    .. [2] M. C. Machado et al., "Revisiting the Arcade Learning Environment", JAIR 61, 2018.

    Examples
    --------
    >>> pong = Atari("Pong")
    >>> pong.actions
    ('NOOP', 'FIRE', 'RIGHT', 'LEFT', 'RIGHTFIRE', 'LEFTFIRE')
    >>> env = pong.make(2, seed=0)
    >>> observations, _ = env.reset()
    >>> observations.shape, observations.dtype
    ((2, 4, 84, 84), dtype('uint8'))
    >>> Atari("pong", "recolour-inverse")
    Traceback (most recent call last):
        ...
    gatelearn.errors.UserError: variant 'recolour-inverse' of pong is unknown; \
did you mean 'recolour-inverted'?
    """

    game: str
    variant: str | None = None
    frame_skip: int = 4
    stack: int = 4
    sticky: float = 0.0
    noop_max: int = 30
    episodic_life: bool = False
    max_frames: int = 108_000

    def __post_init__(self):
        object.__setattr__(self, "game", game_name(self.game))
        for name, least in (("frame_skip", 1), ("stack", 1), ("noop_max", 0), ("max_frames", 1)):
            check_count(name, getattr(self, name), least)
        if not 0 <= self.sticky < 1:
            raise UserError(f"sticky is {self.sticky}, expected at least 0 and below 1")
        if self.variant is None:
            return
        kind, _, name = self.variant.partition("-")
        if kind == "hackatari":
            check_modification(self.game, name)
        elif self.variant not in variants(self.game):
            hint = suggest(self.variant, variants(self.game))
            raise UserError(f"variant '{self.variant}' of {self.game} is unknown{hint}")

    @property
    def actions(self) -> tuple[str, ...]:
        """Names of the actions that the game has, in the order of their numbers."""
        return _facts(self.game)[0]

    def make(self, envs: int, *, seed: int | None = None, threads: int = 1,
             autoreset: str = "next_step") -> Any:
        """Return a Gymnasium vector environment.

        Parameters
        ----------
        envs : int
            How many environments, N.
        seed : int, optional
            Of the first reset, if that is not given one.
        threads : int, default 1
            Results do not depend on it. Variants are played by the thread that calls: their
            emulator holds Python's lock.
        autoreset : {"next_step", "same_step"}
            Whether an environment whose episode has ended is reset by its next step, in which the
            action is ignored, or at once, the last observation in ``info["final_obs"]``.

        Returns
        -------
        gymnasium.vector.VectorEnv
            Observations uint8 (N, S, 84, 84), the newest frame last; rewards float32 (N,), not
            clipped.

        Raises
        ------
        UserError
            If a number is out of range or `autoreset` unknown.
        """
        check_count("envs", envs, 1)
        check_count("threads", threads, 1)
        if autoreset not in AUTORESETS:
            raise UserError(f"autoreset is '{autoreset}'{suggest(autoreset, AUTORESETS)}")
        same_step = autoreset == "same_step"
        games = (self._native(envs, threads, autoreset) if self.variant is None
                 else self.emulators(envs, same_step=same_step))
        # not above: it imports Gymnasium
        from gatelearn.tasks.atari_vector import AtariVector

        return AtariVector(games, envs, self.actions, self.stack, same_step=same_step, seed=seed)

    def emulators(self, envs: int, *, same_step: bool = False) -> Emulators:
        """Return what plays a variant; on the original game it does what ``ale_py`` does."""
        kind, _, name = (self.variant or "").partition("-")
        if kind == "hackatari":
            machines = [ModifiedMachine(self.game, self.sticky, name) for _ in range(envs)]
        else:
            setting = {kind: int(name)} if kind in ("mode", "difficulty") else {}
            machines = [Machine(self.game, self.sticky, **setting) for _ in range(envs)]
        return Emulators(machines, self, same_step=same_step,
                         recolouring=name if kind == "recolour" else None)

    def _native(self, envs: int, threads: int, autoreset: str) -> Any:
        vector = require("ale_py.vector_env", install=PACKAGES)
        return vector.AtariVectorEnv(
            self.game, envs, num_threads=threads, frameskip=self.frame_skip, stack_num=self.stack,
            img_height=SIDE, img_width=SIDE, repeat_action_probability=self.sticky,
            noop_max=self.noop_max, episodic_life=self.episodic_life, reward_clipping=False,
            max_num_frames_per_episode=self.max_frames,
            autoreset_mode=require("gymnasium.vector", install=PACKAGES).AutoresetMode[
                autoreset.upper()])


def games() -> list[str]:
    """Return the names of all games.

    Examples
    --------
    >>> len(games()) > 100, "ms_pacman" in games()
    (True, True)
    """
    require("gymnasium", install=PACKAGES)
    return sorted(require("ale_py.roms", install=PACKAGES).get_all_rom_ids())


def game_name(name: str) -> str:
    """Return the emulator's name of a game.

    Raises
    ------
    UserError
        If there is no such game.

    Examples
    --------
    >>> game_name("MsPacman")
    'ms_pacman'
    """
    known = {game.replace("_", ""): game for game in games()}
    short = str(name).replace("_", "").lower()
    if short not in known:
        hint = suggest(str(name).lower(), known.values())
        # the list of all games is long
        raise UserError(f"game '{name}' is unknown" + (hint if "did you" in hint else ""))
    return known[short]


def variants(game: str) -> list[str]:
    """Return the names of a game's variants.

    - ``mode-N`` and ``difficulty-N`` are the emulator's: the switches of the console. Those that a
      game starts with are the original game and not listed;
    - ``recolour-NAME`` changes the colours before the screen becomes gray;
    - ``hackatari-NAME`` changes the console's memory while the game is played, by the optional
      package HackAtari; listed if that is installed.

    Examples
    --------
    >>> variants("pong")[:5]
    ['mode-1', 'difficulty-1', 'difficulty-2', 'difficulty-3', 'recolour-inverted']
    """
    game = game_name(game)
    _, modes, difficulties = _facts(game)
    return [*(f"mode-{mode}" for mode in modes), *(f"difficulty-{d}" for d in difficulties),
            *(f"recolour-{name}" for name in RECOLOURINGS),
            *(f"hackatari-{name}" for name in modifications(game))]


@cache
def _facts(game: str) -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]:
    """Return a game's actions, and the modes and difficulties that it does not start with."""
    ale = load(game)
    state = ale.cloneState()
    return (tuple(action.name for action in ale.getMinimalActionSet()),
            tuple(mode for mode in ale.getAvailableModes() if mode != state.getCurrentMode()),
            tuple(d for d in ale.getAvailableDifficulties() if d != state.getDifficulty()))


def random_frames(game: str | Atari, count: int, seed: int = 0, *, envs: int = 8,
                  threads: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return frames that an agent sees which acts at random.

    Parameters
    ----------
    game : str or Atari
    count : int
        How many frames, F.
    seed : int, optional
        The same frames on any number of threads.
    envs : int, default 8
        Environments played side by side; frames of one stand together. Others than 8 give other
        frames.
    threads : int, default 1

    Returns
    -------
    images : ndarray of uint8, shape (F, 84, 84)
        Single frames, not stacks, in the order in which they were seen.
    episode : ndarray of int64, shape (F,)
        Numbers of episodes, from 0. Those of the last frames of each environment are cut off where
        enough have been seen.

    Raises
    ------
    UserError
        If there is no such game, or a number is out of range.
    MissingPackageError
        Without ``ale-py`` or ``gymnasium``.

    Examples
    --------
    >>> images, episode = random_frames("pong", 20)
    >>> images.shape, int(episode.max())
    ((20, 84, 84), 7)
    """
    setting = Atari(game) if isinstance(game, str) else game
    check_count("count", count, 1)
    check_count("envs", envs, 1)
    check_count("seed", seed, 0)
    N = min(envs, count)
    steps = -(-count // N)
    env = replace(setting, stack=1).make(N, threads=threads)
    rng = np.random.default_rng(seed)
    images = np.empty((N, steps, SIDE, SIDE), np.uint8)
    begins = np.zeros((N, steps), bool)
    images[:, 0] = env.reset(seed=seed)[0][:, 0]
    begins[:, 0] = True
    over = np.zeros(N, bool)
    for t in range(1, steps):
        actions = rng.integers(env.single_action_space.n, size=N)
        observations, _, terminated, truncated, _ = env.step(actions)
        images[:, t] = observations[:, 0]
        begins[:, t] = over  # then it was reset by this step
        over = terminated | truncated
    env.close()
    # of the last environments one frame fewer, if need be
    kept = np.arange(steps) < np.where(np.arange(N) < count - N * (steps - 1), steps,
                                       steps - 1)[:, None]
    return images[kept], np.cumsum(begins[kept]) - 1


def check_count(name: str, value: Any, least: int) -> None:
    """Refuse what is not a whole number of at least `least`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise UserError(f"{name} is {value!r}, expected a whole number")
    if value < least:
        raise UserError(f"{name} is {value}, expected at least {least}")
