"""What was seen and done, kept to be learned from again."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatelearn.rl.runner import Step


class Transitions(NamedTuple):
    """B steps of a replay buffer; ``next_observations`` mean nothing where ``terminated``."""

    observations: NDArray
    actions: NDArray
    rewards: NDArray
    terminated: NDArray
    next_observations: NDArray


class ReplayBuffer:
    """The last steps in N environments; each observation is stored once.

    The observation after a step is the entry that follows it, so that observations take half the
    memory of pairs. A step that nothing follows, since its episode was cut there, is kept but not
    drawn. Where an observation is a stack of the last frames, only the newest is stored, and all of
    them where an episode begins: one `stack`-th of the memory.

    Parameters
    ----------
    capacity : int
        Number of entries over all environments.
    stack : int, optional
        Number of frames in an observation (stack, ...), the newest last. None: no stack.

    Attributes
    ----------
    nbytes : int
        Of the arrays, allocated when the first entry is added.

    Raises
    ------
    ValueError
        If `capacity` or `stack` is less than 1.

    Examples
    --------
    >>> buffer = ReplayBuffer(100)
    >>> for t in range(3):
    ...     buffer.add(np.float32([[t]]), np.array([t]), np.float32([10 * t]),
    ...                terminated=[False], usable=[True], first=[t == 0])
    >>> batch = buffer.sample(4, np.random.default_rng(0))
    >>> bool((batch.next_observations == batch.observations + 1).all()), len(buffer)
    (True, 3)
    """

    def __init__(self, capacity: int, stack: int | None = None):
        for name, value in (("capacity", capacity), ("stack", stack)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, expected at least 1")
        self.capacity, self.stack = capacity, stack
        self._arrays: dict[str, NDArray] = {}
        self._at = self._count = np.zeros(0, int)

    def __len__(self) -> int:
        return int(self._count.sum())

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self._arrays.values())

    def add(self, observations: NDArray, actions: NDArray, rewards: NDArray, *,
            terminated: NDArray, usable: NDArray, first: NDArray) -> None:
        """Append a step in each environment; the oldest entries make room.

        Parameters
        ----------
        observations : ndarray, shape (N, ...)
            What was acted on.
        actions : ndarray, shape (N, ...)
        rewards : ndarray, shape (N,)
        terminated : ndarray of bool, shape (N,)
        usable : ndarray of bool, shape (N,)
            Whether the step may be drawn: it was a real one, and it terminated or the next
            observation added follows it.
        first : ndarray of bool, shape (N,)
            Whether the observation begins an episode.

        Raises
        ------
        ValueError
            If a shape differs from before, or the capacity is too small for N environments.
        """
        if not self._arrays:
            self._allocate(observations, actions)
        wanted = (len(self._at), *self._shape)
        if observations.shape != wanted:
            raise ValueError(f"observations has shape {observations.shape}, expected {wanted}")
        frames = observations
        if self.stack is not None:
            frames = observations[:, -1]
            for i in np.flatnonzero(first):
                for frame in observations[i, :-1]:
                    self._append(np.array([i]), frames=frame, usable=False)
        self._append(np.arange(len(self._at)), frames=frames, actions=actions, rewards=rewards,
                     terminated=terminated, usable=usable)

    def add_step(self, observations: NDArray, actions: NDArray, first: NDArray,
                 step: Step) -> None:
        """Append what `VectorRunner.step` returned.

        Parameters
        ----------
        observations : ndarray, shape (N, ...)
            The runner's before the step.
        actions : ndarray, shape (N, ...)
        first : ndarray of bool, shape (N,)
            The runner's before the step.
        step : Step
        """
        self.add(observations, actions, step.rewards, terminated=step.terminated,
                 usable=step.valid & (step.terminated | step.followed), first=first)

    def sample(self, count: int, rng: np.random.Generator) -> Transitions:
        """Draw steps, with replacement, all that may be drawn alike.

        Parameters
        ----------
        count : int
            B.
        rng : numpy.random.Generator

        Returns
        -------
        Transitions

        Raises
        ------
        ValueError
            If no step may be drawn yet.
        """
        # the newest entry waits for the one after it; the oldest lack frames of their stacks
        spans = np.maximum(self._count - 1 - ((self.stack or 1) - 1), 0)
        ends = np.cumsum(spans)
        rows = self._rows
        drawn: list[NDArray] = []
        while sum(len(d) for d in drawn) < count:
            if not drawn and not self._any_usable(spans):
                raise ValueError(f"the buffer has no step to draw among {len(self)} entries")
            flat = rng.integers(0, ends[-1], 2 * count)
            env = np.searchsorted(ends, flat, "right")
            age = 1 + flat - (ends[env] - spans[env])
            at = (self._at[env] - 1 - age) % rows
            good = self._arrays["usable"][env, at]
            drawn.append(np.stack([env[good], at[good]], 1))
        env, at = np.concatenate(drawn)[:count].T
        a = self._arrays
        return Transitions(self._observations(env, at), a["actions"][env, at],
                           a["rewards"][env, at], a["terminated"][env, at],
                           self._observations(env, (at + 1) % rows))

    def state(self) -> dict[str, Any]:
        """Return copies of everything stored, for a checkpoint: as large as what was added.

        Returns
        -------
        dict of str to ndarray
            ``at`` and ``count``, and the filled part of ``frames``, ``actions``, ``rewards``,
            ``terminated`` and ``usable``.
        """
        filled = int(self._count.max(initial=0))
        return {"at": self._at.copy(), "count": self._count.copy(),
                **{name: a[:, :filled].copy() for name, a in self._arrays.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned by a buffer of equal `capacity` and `stack`.

        Parameters
        ----------
        state : dict

        Raises
        ------
        ValueError
            If entries are missing or do not fit; nothing is then changed.
        """
        names = ("frames", "actions", "rewards", "terminated", "usable")
        wanted = {"at", "count", *(names if len(state.get("at", ())) else ())}
        for key in sorted(wanted ^ state.keys()):
            raise ValueError(f"state entry {key} is {'missing' if key in wanted else 'unknown'}")
        if not len(state["at"]):
            self._arrays, self._at, self._count = {}, np.zeros(0, int), np.zeros(0, int)
            return
        frames, N = state["frames"], len(state["at"])
        filled, rows = int(np.max(state["count"])), self.capacity // N
        for name in names:
            if state[name].shape[:2] != (N, filled) or filled > rows:
                raise ValueError(f"state entry {name} has shape {state[name].shape}, expected it "
                                 f"to begin with {(N, filled)}, at most {(N, rows)}")
        shape = frames.shape[2:] if self.stack is None else (self.stack, *frames.shape[2:])
        self._allocate(np.empty((N, *shape), frames.dtype), state["actions"][:, 0])
        for name in names:
            self._arrays[name][:, :filled] = state[name]
        self._at, self._count = state["at"].copy(), state["count"].copy()

    @property
    def _rows(self) -> int:
        return self.capacity // max(len(self._at), 1)

    def _allocate(self, observations: NDArray, actions: NDArray) -> None:
        N = len(observations)
        self._shape = observations.shape[1:]
        least = (self.stack or 1) + 1
        if self.capacity < N * least:
            raise ValueError(f"capacity is {self.capacity}, expected at least {N * least} for {N} "
                             "environments")
        if self.stack is not None and self._shape[:1] != (self.stack,):
            raise ValueError(f"observations has shape {observations.shape}, expected "
                             f"(N, {self.stack}, ...)")
        shape = (N, self.capacity // N)
        frame = self._shape if self.stack is None else self._shape[1:]
        self._arrays = {"frames": np.zeros((*shape, *frame), observations.dtype),
                        "actions": np.zeros((*shape, *actions.shape[1:]), actions.dtype),
                        "rewards": np.zeros(shape, np.float32),
                        "terminated": np.zeros(shape, bool), "usable": np.zeros(shape, bool)}
        self._at, self._count = np.zeros(N, int), np.zeros(N, int)

    def _append(self, env: NDArray, **entry: Any) -> None:
        at = self._at[env]
        for name, value in entry.items():
            self._arrays[name][env, at] = value
        self._at[env] = (at + 1) % self._rows
        self._count[env] = np.minimum(self._count[env] + 1, self._rows)

    def _any_usable(self, spans: NDArray) -> bool:
        for i, span in enumerate(spans):
            ages = 1 + np.arange(span)
            if self._arrays["usable"][i, (self._at[i] - 1 - ages) % self._rows].any():
                return True
        return False

    def _observations(self, env: NDArray, at: NDArray) -> NDArray:
        frames = self._arrays["frames"]
        if self.stack is None:
            return frames[env, at]
        back = np.arange(1 - self.stack, 1)
        return frames[env[:, None], (at[:, None] + back) % self._rows]
