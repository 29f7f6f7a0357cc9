"""The Gymnasium vector environment of `gatelearn.tasks.Pusher`."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from gatelearn.tasks.control import SIDE, top_view

JOINTS = ("r_shoulder_pan_link", "r_shoulder_lift_link", "r_elbow_flex_link", "tips_arm")
FINGERS = ("tip_arml", "tip_armr")


class PusherView(gymnasium.ObservationWrapper):
    """One Pusher whose observation is its state beside its view from above."""

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self.observation_space = Dict({
            "image": Box(0, 255, (1, SIDE, SIDE), np.uint8),
            "state": Box(-np.inf, np.inf, env.observation_space.shape, np.float32),
        })

    def observation(self, observation: NDArray) -> dict[str, NDArray]:
        """Add the image."""
        data = self.unwrapped.data
        arm = np.array([data.body(name).xpos[:2] for name in JOINTS])
        fingers = np.array([data.geom(name).xpos[:2] for name in FINGERS])
        image = top_view(arm, fingers, data.body("object").xpos[:2], data.body("goal").xpos[:2])
        return {"image": image[None], "state": observation.astype(np.float32)}


class PusherVector(SyncVectorEnv):
    """Pushers, stepped one after the other.

    Parameters
    ----------
    envs, max_steps : int
    same_step : bool
        Whether environments are reset in the step that ends their episode.
    seed : int, optional
        Of the first reset.
    """

    def __init__(self, envs: int, max_steps: int, *, same_step: bool, seed: int | None):
        def one() -> gymnasium.Env:
            return PusherView(gymnasium.make("Pusher-v5", max_episode_steps=max_steps))

        mode = AutoresetMode.SAME_STEP if same_step else AutoresetMode.NEXT_STEP
        super().__init__([one] * envs, autoreset_mode=mode)
        self._first_seed = seed

    def reset(self, *, seed: int | list[int] | None = None,
              options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin episodes; without a seed, the first reset takes that of `Pusher.make`."""
        if seed is None:
            seed, self._first_seed = self._first_seed, None
        if isinstance(seed, int | np.integer):
            # not seed, seed + 1, ...: these would be shared with the next seed
            seed = np.random.SeedSequence(int(seed)).generate_state(self.num_envs).tolist()
        return super().reset(seed=seed, options=options)
