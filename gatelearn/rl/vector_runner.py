"""Environments side by side, and what an agent does in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gatelearn.rl.rollout import Rollout


class Agent(Protocol):
    """What acts and judges; `PPO` does."""

    def act(self, observations: NDArray,
            rng: np.random.Generator) -> tuple[NDArray, NDArray, NDArray | None]:
        """Return actions, their log-probabilities and the observations' values."""

    def values(self, observations: NDArray) -> NDArray | None:
        """Return the values of observations."""


class Episode(NamedTuple):
    """One that has ended: its sum of rewards as they came, and its steps."""

    total: float
    length: int


class VectorRunner:
    """Steps a Gymnasium vector environment with an agent, so that it resumes to the same bits.

    Environments cannot be saved. So they are reset every `segment` steps, with a seed of their own
    each time, and the actions since are kept: `load_state` takes them again.

    Parameters
    ----------
    env : gymnasium.vector.VectorEnv
        N environments of any autoreset mode; what its ``metadata["autoreset_mode"]`` says counts.
    seed : int
        Of all resets.
    encode : callable, optional
        ``encode(observations)``, applied once to each observation, gives what the agent sees and
        the rollout holds: embeddings of frozen models, say.
    to_env : callable, optional
        ``to_env(actions)`` gives what the environment is told: actions within its bounds, say.
    clip_reward : bool, default False
        Whether the agent learns from the signs of rewards, as [1]_ has it; episodes' sums are never
        clipped.
    segment : int, default 8192
        Steps of each environment, at least, between resets. Episodes that then run are cut as those
        at the end of a rollout are, and not counted.

    Attributes
    ----------
    steps : int
        Taken so far, of all environments.

    References
    ----------
    .. [1] V. Mnih et al., "Human-level control through deep reinforcement learning", Nature 518,
       2015.
    """

    def __init__(self, env: Any, *, seed: int = 0,
                 encode: Callable[[NDArray], NDArray] | None = None,
                 to_env: Callable[[NDArray], NDArray] | None = None, clip_reward: bool = False,
                 segment: int = 8192):
        if segment < 1:
            raise ValueError(f"segment is {segment}, expected at least 1")
        self.env, self.seed, self.encode, self.to_env = env, seed, encode, to_env
        self.clip_reward, self.segment = clip_reward, segment
        # Gymnasium has an enumeration; its values are compared so that it need not be installed
        mode = env.metadata.get("autoreset_mode")
        self.mode = getattr(mode, "value", mode)
        known = ("NextStep", "SameStep", "Disabled")
        if self.mode not in known:
            raise ValueError(f"autoreset_mode is {self.mode!r}, expected one of {', '.join(known)}")
        self.steps = 0
        self._segments = 0  # begun so far
        self._actions: list[NDArray] = []  # of this segment
        self._seen: NDArray  # by the agent at the next step
        self._begins: NDArray[np.bool_]  # where the next step only resets
        self._totals: NDArray
        self._lengths: NDArray

    def collect(self, agent: Agent, steps: int,
                rng: np.random.Generator) -> tuple[Rollout, list[Episode]]:
        """Let the agent act.

        Parameters
        ----------
        agent : Agent
        steps : int
            T, of each environment.
        rng : numpy.random.Generator
            Draws the actions.

        Returns
        -------
        rollout : Rollout
            T x N steps with values of the last observations, and of the final ones where episodes
            were truncated. Steps that only reset an environment are not `valid`.
        episodes : list of Episode
            Those that ended.
        """
        if self._segments == 0 or len(self._actions) >= self.segment:
            self._begin()
        shape, episodes, rows = (steps, len(self._seen)), [], []
        observations = np.empty((*shape, *self._seen.shape[1:]), self._seen.dtype)
        rewards, values, finals = (np.zeros(shape, np.float32) for _ in range(3))
        valid, terminated, truncated = (np.zeros(shape, bool) for _ in range(3))
        for t in range(steps):
            observations[t] = self._seen
            actions, logp, value = agent.act(self._seen, rng)
            if value is not None:
                values[t] = value
            valid[t] = ~self._begins
            final, rewards[t], terminated[t], truncated[t] = self._step(actions, episodes)
            if final is not None:
                where, seen = final
                last = agent.values(seen)
                if last is not None:
                    finals[t, where] = last
            rows.append((actions, logp))
        actions, logp = (np.stack(column) for column in zip(*rows, strict=True))
        # where the final observation is seen at the next step, its value stands there
        known = None if self.mode == "NextStep" else finals
        return Rollout(observations, actions, logp, rewards, values, agent.values(self._seen),
                       terminated, truncated, known,
                       valid=None if valid.all() else valid), episodes

    def state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Return what `load_state` continues from: an array and numbers."""
        actions = np.stack(self._actions) if self._actions else np.zeros(0)
        return {"actions": actions}, {"segments": self._segments, "steps": self.steps}

    def load_state(self, arrays: dict[str, NDArray], meta: dict[str, Any]) -> None:
        """Take the steps of the segment at hand once more."""
        self._segments = int(meta["segments"])
        if self._segments:
            self._segments -= 1
            self._begin()
            for i, actions in enumerate(arrays["actions"]):
                self._step(actions, [], last=i + 1 == len(arrays["actions"]))
        self.steps = int(meta["steps"])

    def _begin(self) -> None:
        """Reset all environments with a seed of this segment."""
        sequence = np.random.SeedSequence([self.seed, self._segments])
        observations, _ = self.env.reset(seed=int(sequence.generate_state(1)[0] >> 1))
        self._segments += 1
        self._actions = []
        self._seen = self._encoded(observations)
        count = len(self._seen)
        self._begins = np.zeros(count, bool)
        self._totals, self._lengths = np.zeros(count), np.zeros(count, np.int64)

    def _encoded(self, observations: NDArray) -> NDArray:
        return np.asarray(observations if self.encode is None else self.encode(observations))

    def _step(self, actions: NDArray, episodes: list[Episode], last: bool = True) -> tuple:
        """Take one step; return final observations of truncated episodes, rewards and ends.

        Observations are encoded only where `last`, or where the agent is to judge them.
        """
        self._actions.append(actions.copy())
        told = actions if self.to_env is None else self.to_env(actions)
        observations, rewards, terminated, truncated, info = self.env.step(told)
        rewards = np.asarray(rewards, np.float64)
        resets = self._begins
        self._totals += np.where(resets, 0, rewards)
        self._lengths += ~resets
        ended = (terminated | truncated) & ~resets
        for i in np.flatnonzero(ended):
            episodes.append(Episode(float(self._totals[i]), int(self._lengths[i])))
        self._totals[ended] = self._lengths[ended] = 0
        self.steps += len(actions)

        final = None
        where = np.flatnonzero(truncated & ~terminated & ended)
        if self.mode == "NextStep":
            self._begins = ended
        else:
            if where.size and last:
                stopped = (observations[where] if self.mode == "Disabled"
                           else np.stack([info["final_obs"][i] for i in where]))
                final = where, self._encoded(stopped)
            if self.mode == "Disabled" and ended.any():
                observations, _ = self.env.reset(options={"reset_mask": ended})
        if last:
            self._seen = self._encoded(observations)
        learned = np.sign(rewards) if self.clip_reward else rewards
        return final, learned, terminated & ended, truncated & ended


def evaluate(env: Any, act: Callable[[NDArray], NDArray], episodes: int, *, seed: int = 0,
             progress: Callable[[int], None] | None = None) -> NDArray[np.float64]:
    """Play whole episodes.

    How many count is settled for each environment beforehand: to take the first ones that end
    would prefer short ones.

    Parameters
    ----------
    env : gymnasium.vector.VectorEnv
        N environments of any autoreset mode.
    act : callable
        ``act(observations)`` returns N actions as the environment takes them.
    episodes : int
    seed : int, default 0
        Of the reset.
    progress : callable, optional
        Called with the number of episodes that have ended, when it grows.

    Returns
    -------
    ndarray, shape (episodes,)
        Sums of rewards.

    Raises
    ------
    ValueError
        If `episodes` is below 1.
    """
    if episodes < 1:
        raise ValueError(f"episodes is {episodes}, expected at least 1")
    mode = getattr(env.metadata.get("autoreset_mode"), "value", None)
    observations, _ = env.reset(seed=seed)
    count = len(observations)
    left = np.full(count, episodes // count) + (np.arange(count) < episodes % count)
    totals, found = np.zeros(count), []
    while left.any():
        observations, rewards, terminated, truncated, _ = env.step(act(observations))
        totals += np.asarray(rewards, np.float64)
        ended = terminated | truncated
        for i in np.flatnonzero(ended & (left > 0)):
            found.append(totals[i])
        if ended.any():
            if progress is not None and (ended & (left > 0)).any():
                progress(len(found))
            left[ended & (left > 0)] -= 1
            totals[ended] = 0
            if mode == "Disabled":
                observations, _ = env.reset(options={"reset_mask": ended})
    return np.array(found)
