"""Steps in several environments at once, and the episodes that come of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gatelearn.rl.learner import check_state
from gatelearn.rl.rollout import Rollout

# by the letters of `metadata["autoreset_mode"]`, which is an enumeration, its value or its name
MODES = {"nextstep": "next_step", "samestep": "same_step", "disabled": "disabled"}


class Agent(Protocol):
    """What acts in a `VectorRunner`, such as `PPO`."""

    def act(self, observations: NDArray, rng: np.random.Generator,
            ) -> tuple[NDArray, NDArray, NDArray | None]:
        """Return actions, their log-probabilities, and values of the observations or None."""

    def values(self, observations: NDArray) -> NDArray | None:
        """Return values of observations, or None."""


class Step(NamedTuple):
    """What came of one action in each of N environments, as learning is to see it.

    Attributes
    ----------
    rewards : ndarray, shape (N,), float32
    terminated, truncated : ndarray of bool, shape (N,)
    valid : ndarray of bool, shape (N,)
        False where the action was ignored, since the environment began its next episode.
    followed : ndarray of bool, shape (N,)
        Whether the runner's `observations` now follow upon this step: not where they begin the
        next episode.
    rows : ndarray of int, shape (M,)
        Environments that were truncated and where `followed` is False.
    final : ndarray, shape (M, ...)
        Their last observations, encoded.
    """

    rewards: NDArray
    terminated: NDArray
    truncated: NDArray
    valid: NDArray
    followed: NDArray
    rows: NDArray
    final: NDArray


class Episodes(NamedTuple):
    """Episodes that ended, in their order: ``returns``, ``lengths`` and ``envs``, each (E,)."""

    returns: NDArray
    lengths: NDArray
    envs: NDArray


class VectorRunner:
    """Steps a Gymnasium vector environment; counts its episodes; resumes to the same bits.

    An environment's inner state is hidden, so what is kept is how to reach it again. Steps come in
    segments. At the beginning of each all environments are reset with a seed made of `seed` and the
    segment's number, and the actions since are recorded: `load_state` resets and replays them. An
    episode that a segment's end cuts is truncated for learning, and is not among those that
    `take_episodes` returns.

    Parameters
    ----------
    env : gymnasium.vector.VectorEnv
        Of N environments, whose ``metadata["autoreset_mode"]`` says how they begin again: all three
        of Gymnasium's modes are handled. It must depend on nothing but its seed and its actions.
        Rewards must be as the game gives them: `clip_reward` is for learning only.
    seed : int
    encode : callable, optional
        Observations (N, ...) to what agents are given, such as frozen encoders or ``np.float32``.
        Called once for each observation.
    clip_reward : bool, default False
        Whether learning sees only the sign of a reward [1]_.
    life_loss : bool, default False
        Whether a lost life, by ``info["lives"]``, ends an episode for learning.
    segment : int, optional, default 10,000
        Steps of each. None is one without end, replayed from its beginning.

    Attributes
    ----------
    observations : ndarray, shape (N, ...)
        What is to be acted on, encoded.
    first : ndarray of bool, shape (N,)
        Where that begins an episode.
    steps : int
        How many were taken in each environment.

    Raises
    ------
    ValueError
        If the environment does not say how it begins again, or `segment` is less than 1.

    References
    ----------
    .. [1] V. Mnih et al., "Human-level control through deep reinforcement learning", Nature 518,
       2015.

    Notes
    -----
    Actions that are real numbers are clipped to the bounds of the action space on their way to the
    environment; a rollout holds them as they were drawn.
    """

    def __init__(self, env: Any, *, seed: int, encode: Callable[[NDArray], NDArray] | None = None,
                 clip_reward: bool = False, life_loss: bool = False,
                 segment: int | None = 10_000):
        mode = getattr(env, "metadata", {}).get("autoreset_mode")
        letters = str(getattr(mode, "value", mode)).lower().replace("_", "")
        if letters not in MODES:
            raise ValueError(f"metadata['autoreset_mode'] of the environment is {mode!r}, expected "
                             f"one of {tuple(MODES.values())}")
        if segment is not None and segment < 1:
            raise ValueError(f"segment is {segment}, expected at least 1")
        self.env, self.mode, self.seed, self.segment = env, MODES[letters], seed, segment
        self.encode = encode or np.asarray
        self.clip_reward, self.life_loss = clip_reward, life_loss
        space: Any = getattr(env, "single_action_space", None)
        self._small = 0 < getattr(space, "n", 0) <= 256
        self._bounds = (space.low, space.high) if hasattr(space, "low") else None
        self.steps = 0
        self._finished: list[tuple[float, int, int]] = []
        self._begin(0)
        self.observations = self.encode(self._raw)

    def step(self, actions: NDArray) -> Step:
        """Act once in each environment.

        Parameters
        ----------
        actions : ndarray, shape (N, ...)

        Returns
        -------
        Step
        """
        actions = self._playable(actions)
        step = self._advance(actions)
        self.observations = self.encode(self._raw)
        return step._replace(final=self.encode(step.final)) if len(step.rows) else step

    def collect(self, agent: Agent, steps: int, rng: np.random.Generator) -> Rollout:
        """Let an agent act.

        Parameters
        ----------
        agent : Agent
        steps : int
            T, in each environment.
        rng : numpy.random.Generator
            Given to the agent.

        Returns
        -------
        Rollout
            Of (T, N) steps, ready for its estimate of advantages where the agent has values.
        """
        shape = (steps, len(self.first))
        rewards = np.zeros(shape, np.float32)
        terminated, truncated = np.zeros(shape, bool), np.zeros(shape, bool)
        valid, given = np.zeros(shape, bool), np.zeros(shape, bool)
        observations: NDArray = np.empty((*shape, *self.observations.shape[1:]),
                                         self.observations.dtype)
        final = np.zeros(shape, np.float32)
        actions, logps, values = [], [], []
        for t in range(steps):
            observations[t] = self.observations
            action, logp, value = agent.act(self.observations, rng)
            actions.append(action)
            logps.append(logp)
            values.append(value)
            step = self.step(action)
            rewards[t], terminated[t], truncated[t], valid[t] = step[:4]
            if value is not None and len(step.rows):
                final[t, step.rows] = agent.values(step.final)
                given[t, step.rows] = True

        logp = np.stack(logps)
        rollout = Rollout(observations, np.stack(actions), logp, rewards.astype(logp.dtype),
                          terminated=terminated, truncated=truncated,
                          valid=None if valid.all() else valid)
        if values[0] is not None:
            rollout.values = np.stack(values)
            rollout.last_values = agent.values(self.observations)
            # elsewhere the last observation of an episode is the next one seen
            following = np.concatenate([rollout.values[1:], rollout.last_values[None]])
            rollout.final_values = np.where(given, final, following)
        return rollout

    def take_episodes(self) -> Episodes:
        """Return the episodes that ended since the last call, with unclipped returns."""
        ended, self._finished = self._finished, []
        columns: list = list(zip(*ended, strict=True)) or [(), (), ()]
        return Episodes(*(np.array(c, d) for c, d in zip(columns, (float, int, int), strict=True)))

    def state(self) -> dict[str, Any]:
        """Return what `load_state` needs.

        Returns
        -------
        dict of str to ndarray or int
            ``steps``, ``segment`` and ``at``, the position in it; ``actions`` since its beginning,
            (at, N, ...); ``returns``, ``lengths`` and ``envs`` of episodes that were not taken.
        """
        pending = Episodes(*map(np.array, self.take_episodes()))
        self._finished = list(zip(*(c.tolist() for c in pending), strict=True))
        return {"steps": self.steps, "segment": self._segment, "at": self._at,
                "actions": self._recorded(), **pending._asdict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned, to the same bits.

        Parameters
        ----------
        state : dict

        Raises
        ------
        ValueError
            If an entry is missing or unknown, or the actions are not those of these environments;
            nothing is then changed.
        """
        actions, at = np.asarray(state.get("actions")), int(state.get("at", 0))
        check_state({key: state.get(key) for key in self.state()}, state)
        if len(actions.shape) < 2 or actions.shape[:2] != (at, len(self.first)):
            raise ValueError(f"state entry actions has shape {actions.shape}, expected it to begin "
                             f"with {(at, len(self.first))}")
        self._begin(int(state["segment"]))
        for action in actions:
            self._advance(action.astype(np.int64) if self._small else action)
        self.steps = int(state["steps"])
        self._finished = list(zip(*(np.asarray(state[name]).tolist() for name in
                                    Episodes._fields), strict=True))
        self.observations = self.encode(self._raw)

    def _playable(self, actions: NDArray) -> NDArray:
        if self._bounds is None:
            return actions
        low, high = self._bounds
        return np.clip(actions, low, high).astype(low.dtype)

    def _begin(self, segment: int) -> None:
        """Reset all environments for a segment."""
        seed = int(np.random.SeedSequence([self.seed, segment]).generate_state(1)[0]) >> 2
        self._raw, info = self.env.reset(seed=seed)
        N = len(self._raw)
        self._segment, self._at = segment, 0
        self._actions: NDArray | None = None
        self._returns, self._lengths = np.zeros(N), np.zeros(N, int)
        self.first, self._resetting = np.ones(N, bool), np.zeros(N, bool)
        self._lives = np.array(info["lives"]) if self.life_loss else None

    def _record(self, actions: NDArray) -> None:
        if self._actions is None or self._at == len(self._actions):
            # twice as many each time; a small array where actions are few
            dtype = np.uint8 if self._small else actions.dtype
            larger = np.empty((max(64, 2 * self._at), *actions.shape), dtype)
            if self._actions is not None:
                larger[:self._at] = self._actions
            self._actions = larger
        self._actions[self._at] = actions

    def _recorded(self) -> NDArray:
        if self._actions is None:
            return np.zeros((0, len(self.first)), np.uint8)
        return self._actions[:self._at].copy()

    def _advance(self, actions: NDArray) -> Step:
        """Act, begin new episodes where it is due, count; encode nothing."""
        self._record(actions)
        self._at += 1
        self.steps += 1
        valid = ~self._resetting
        raw, rewards, terminated, truncated, info = self.env.step(actions)
        rewards = np.where(valid, rewards, 0).astype(float)
        terminated, truncated = np.array(terminated, bool), np.array(truncated, bool)
        ended = terminated | truncated
        self._count(rewards, ended, valid)
        if self._lives is not None:
            lives = np.array(info["lives"])
            terminated |= valid & ~ended & (lives < self._lives)
            self._lives = lives

        cut = self._at == self.segment
        if cut:
            truncated |= valid
        over = valid if cut else ended
        # a terminated episode is worth nothing afterwards: its last observation is not needed
        rows = np.flatnonzero(truncated & ~terminated & over)
        if self.mode == "next_step" and not cut:
            self.first, self._resetting, rows, over = ~valid, ended, rows[:0], np.zeros_like(ended)
        else:
            self.first = np.ones_like(ended) if cut else ended
        final = raw[:0]
        if len(rows):
            inside = info["final_obs"] if self.mode == "same_step" and ended.any() else raw
            final = np.stack([(inside if ended[i] else raw)[i] for i in rows])

        self._raw = raw
        if cut:
            self._begin(self._segment + 1)
        elif self.mode == "disabled" and ended.any():
            self._raw, info = self.env.reset(options={"reset_mask": ended})
            if self._lives is not None:
                self._lives = np.where(ended, info["lives"], self._lives)
        learned = np.sign(rewards) if self.clip_reward else rewards
        return Step(learned.astype(np.float32), terminated, truncated, valid, ~over & valid, rows,
                    final)

    def _count(self, rewards: NDArray, ended: NDArray, valid: NDArray) -> None:
        self._returns += rewards
        self._lengths += valid
        for i in np.flatnonzero(ended):
            self._finished.append((float(self._returns[i]), int(self._lengths[i]), int(i)))
        self._returns[ended], self._lengths[ended] = 0, 0


def evaluate(env: Any, act: Callable[[NDArray], NDArray], episodes: int, *, seed: int = 0,
             encode: Callable[[NDArray], NDArray] | None = None,
             progress: Callable[[int, int], None] | None = None) -> NDArray:
    """Play the same number of episodes in each environment.

    Were the first episodes to end counted, whichever environment they come from, short ones would
    be counted too often.

    Parameters
    ----------
    env : gymnasium.vector.VectorEnv
        Of N environments; see `VectorRunner`.
    act : callable
        Observations (N, ...) to actions (N, ...).
    episodes : int
        E, in each environment.
    seed : int, default 0
        Of the environments.
    encode : callable, optional
        What `act` is given instead of observations; see `VectorRunner`.
    progress : callable, optional
        Given the number of counted episodes and how many there will be, after each step in which
        some ended.

    Returns
    -------
    ndarray, shape (N, E)
        Unclipped returns, in the order of each environment's episodes.

    Raises
    ------
    ValueError
        If `episodes` is less than 1.
    """
    if episodes < 1:
        raise ValueError(f"episodes is {episodes}, expected at least 1")
    runner = VectorRunner(env, seed=seed, encode=encode, segment=None)
    returns = np.zeros((len(runner.first), episodes))
    counts = np.zeros(len(returns), int)
    while counts.min() < episodes:
        runner.step(act(runner.observations))
        ended = runner.take_episodes()
        for value, i in zip(ended.returns, ended.envs, strict=True):
            if counts[i] < episodes:
                returns[i, counts[i]] = value
                counts[i] += 1
        if progress and len(ended.envs):
            progress(int(counts.sum()), returns.size)
    return returns
