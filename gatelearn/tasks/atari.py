"""Atari games, and frames of an agent that plays them at random."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn.errors import UserError, require, suggest

INSTALL = "'gatelearn[atari]'"


class Atari:
    """A game, as agents are used to see it [1]_ [2]_.

    Every fourth frame is acted on; what is seen is the larger of the last two frames, gray, 84 by
    84 pixels, with the three such images before it.

    Parameters
    ----------
    game : str
        Name of the game as Gymnasium has it, such as ``"Pong"`` or ``"MsPacman"``.
    sticky : float, default 0
        Probability that the emulator repeats the last action instead [2]_.
    noops : int, default 30
        An episode begins after as many steps of doing nothing at most, a random number of them.

    Attributes
    ----------
    actions : int
        Number of actions.

    Raises
    ------
    UserError
        If there is no such game, or a setting cannot be used.
    MissingPackageError
        If ale-py is not installed.

    References
    ----------
    .. [1] V. Mnih et al., "Human-level control through deep reinforcement learning", Nature 518,
       2015.
    .. [2] M. C. Machado et al., "Revisiting the Arcade Learning Environment: Evaluation Protocols
       and Open Problems for General Agents", JAIR 61, 2018.

    Examples
    --------
    >>> env = Atari("Pong").make(2, seed=0)  # doctest: +SKIP
    >>> env.reset(seed=0)[0].shape  # doctest: +SKIP
    (2, 4, 84, 84)
    """

    def __init__(self, game: str, *, sticky: float = 0.0, noops: int = 30):
        games = {_camel(rom): rom for rom in require(
            "ale_py.roms", install=INSTALL).get_all_rom_ids()}
        if game not in games:
            raise UserError(f"unknown game '{game}'{suggest(game, games)}"
                            if len(suggest(game, games)) < 60 else
                            f"unknown game '{game}', expected a name such as Pong or MsPacman")
        if not 0 <= sticky < 1:
            raise UserError(f"sticky is {sticky}, expected 0 <= sticky < 1")
        if noops < 0:
            raise UserError(f"noops is {noops}, expected at least 0")
        self.game, self.sticky, self.noops = game, sticky, noops
        self._rom = games[game]
        env = self.make(1)
        self.actions = int(env.single_action_space.n)
        env.close()

    def make(self, envs: int, *, threads: int = 0) -> Any:
        """Return games side by side.

        Parameters
        ----------
        envs : int
            N.
        threads : int, default 0
            Of the emulator; 0 is one for each processor, at most N. Nothing depends on it but time.

        Returns
        -------
        gymnasium.vector.VectorEnv
            Observations are uint8 (N, 4, 84, 84), the newest image last; rewards are those of the
            game, not clipped. What comes after an episode's end is shown at the next step.
        """
        if envs < 1:
            raise UserError(f"envs is {envs}, expected at least 1")
        vector = require("ale_py.vector_env", install=INSTALL)
        return vector.AtariVectorEnv(
            self._rom, envs, num_threads=threads, reward_clipping=False, noop_max=self.noops,
            repeat_action_probability=self.sticky)


def random_frames(game: str, count: int, seed: int = 0, *,
                  envs: int = 8) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return what an agent sees that acts at random, for models to learn from.

    Parameters
    ----------
    game : str
    count : int
        F.
    seed : int, default 0
    envs : int, default 8
        Games played side by side.

    Returns
    -------
    images : ndarray of uint8, shape (F, 84, 84)
        Of each observation the newest image. The images of one episode stand together, in the
        order in which they were seen.
    episode : ndarray of int64, shape (F,)
        Number of the episode that each belongs to.

    Raises
    ------
    UserError
        If there is no such game, or `count` is less than `envs`.
    MissingPackageError
        If ale-py is not installed.
    """
    if count < envs:
        raise UserError(f"count is {count}, expected at least {envs}")
    atari = Atari(game)
    env, rng = atari.make(envs), np.random.default_rng(seed)
    each = -(-count // envs)
    images = np.empty((envs, each, 84, 84), np.uint8)
    episode = np.zeros((envs, each), np.int64)
    observations, _ = env.reset(seed=int(rng.integers(2**31)))
    ended = np.zeros(envs, bool)
    for i in range(each):
        images[:, i] = observations[:, -1]
        if i:
            episode[:, i] = episode[:, i - 1] + ended
        # the first image of an episode comes a step after the last one of another
        last = ended
        observations, _, terminated, truncated, _ = env.step(
            rng.integers(atari.actions, size=envs))
        ended = (terminated | truncated) & ~last
    env.close()
    episode += np.concatenate([[0], np.cumsum(episode[:-1, -1] + 1)])[:, None]
    return images.reshape(-1, 84, 84)[:count], episode.reshape(-1)[:count]


def _camel(rom: str) -> str:
    return "".join(word.capitalize() for word in rom.split("_"))
