"""The Gymnasium vector environment of an Atari game."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from gatelearn.errors import UserError
from gatelearn.tasks.atari_screens import SIDE


class AtariVector(VectorEnv):
    """Environments of one Atari game, as `gatelearn.tasks.Atari.make` makes them.

    Parameters
    ----------
    games : AtariVectorEnv or Emulators
        What plays.
    envs : int
        How many, N.
    actions : tuple of str
        Their names, K.
    stack : int
        Frames in an observation.
    same_step : bool
        Whether environments are reset in the step that ends their episode.
    seed : int, optional
        Of the first reset, unless it is given another.
    """

    def __init__(self, games: Any, envs: int, actions: tuple[str, ...], stack: int, *,
                 same_step: bool, seed: int | None = None):
        self._games = games
        self._seed = seed
        self._started = False
        self._same_step = same_step
        self.num_envs = envs
        self.actions = actions
        # its own, not the dictionary that all classes of vector environments share
        mode = AutoresetMode.SAME_STEP if same_step else AutoresetMode.NEXT_STEP
        self.metadata = {"autoreset_mode": mode}
        self.single_observation_space = Box(0, 255, (stack, SIDE, SIDE), np.uint8)
        self.single_action_space = Discrete(len(actions))
        self.observation_space = batch_space(self.single_observation_space, envs)
        self.action_space = batch_space(self.single_action_space, envs)

    def reset(self, *, seed: int | list[int] | NDArray | None = None,
              options: dict[str, Any] | None = None) -> tuple[NDArray, dict[str, Any]]:
        """Begin an episode in each environment.

        Parameters
        ----------
        seed : int or array_like of int, shape (N,), optional
            With one number environments draw independently of each other and of those with another
            number. Without, the first reset takes the seed of `make`, later ones go on drawing.
        options : dict, optional
            ``reset_mask``, bool (N,): which environments; all of them the first time.

        Returns
        -------
        observations : ndarray of uint8, shape (N, S, 84, 84)
            The newest frame last.
        info : dict of ndarray, each of shape (N,)
            ``lives``, ``frame_number``, ``episode_frame_number``, ``env_id``.

        Raises
        ------
        UserError
            If seed or mask do not fit.
        """
        mask = (options or {}).get("reset_mask")
        if mask is not None:
            mask = np.asarray(mask)
            if mask.shape != (self.num_envs,) or mask.dtype != bool:
                raise UserError(f"reset_mask is {mask.dtype} of shape {mask.shape}, expected bool "
                                f"of shape ({self.num_envs},)")
            if not self._started:
                raise UserError("reset_mask is given to the first reset, which is of all")
        if seed is None and not self._started:
            seed = np.random.SeedSequence().entropy if self._seed is None else self._seed
        if seed is not None:
            seed = self._seeds(seed)
            seed = seed if mask is None else seed[mask]
        observations, info = self._games.reset(
            seed=seed, options=None if mask is None else {"reset_mask": mask})
        self._started = True
        return observations, dict(info)

    def step(self, actions: Any) -> tuple[NDArray, NDArray, NDArray, NDArray, dict[str, Any]]:
        """Play an action in each environment.

        Parameters
        ----------
        actions : array_like of int, shape (N,)
            In ``[0, K)``.

        Returns
        -------
        observations : ndarray of uint8, shape (N, S, 84, 84)
        rewards : ndarray of float32, shape (N,)
            Points of the game, not clipped.
        terminated, truncated : ndarray of bool, shape (N,)
        info : dict of ndarray, each of shape (N,)
            As of `reset`; with autoreset in the same step, and where an episode ended, also
            ``final_obs`` (N, S, 84, 84) and ``_final_obs``, in which environments: elsewhere
            ``final_obs`` is 0.

        Raises
        ------
        UserError
            If actions do not fit.
        RuntimeError
            Before the first reset.
        """
        if not self._started:
            raise RuntimeError("step() was called before reset()")
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise UserError(f"actions are {actions.dtype} of shape {actions.shape}, expected "
                            f"integers of shape ({self.num_envs},)")
        if actions.min() < 0 or actions.max() >= len(self.actions):
            wrong = actions[(actions < 0) | (actions >= len(self.actions))][0]
            raise UserError(f"actions holds {wrong}, expected 0 to {len(self.actions) - 1}")
        observations, rewards, terminated, truncated, info = self._games.step(
            actions.astype(np.int32))
        info = dict(info)
        done = terminated | truncated
        if "final_obs" in info and done.any():
            final = np.asarray(info["final_obs"])
            info["final_obs"] = np.where(done[:, None, None, None], final, 0).astype(np.uint8)
            info["_final_obs"] = done.copy()
        return observations, rewards.astype(np.float32), terminated, truncated, info

    def _seeds(self, seed: Any) -> NDArray[np.int64]:
        """Return the seed of each environment."""
        if np.ndim(seed) == 0:
            if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
                raise UserError(f"seed is {seed!r}, expected a whole number of at least 0")
            drawn = np.random.SeedSequence(int(seed)).generate_state(self.num_envs)
            return (drawn >> 1).astype(np.int64)
        seeds = np.asarray(seed)
        if seeds.shape != (self.num_envs,) or seeds.dtype.kind not in "iu":
            raise UserError(f"seed is {seeds.dtype} of shape {seeds.shape}, expected integers of "
                            f"shape ({self.num_envs},)")
        if seeds.min() < 0 or seeds.max() >= 2**31:
            raise UserError("seed holds a number outside of 0 to 2**31 - 1")
        return seeds.astype(np.int64)
