"""An echo state network behind frozen encoders: a memory of the episode that is not trained."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gatelearn import functional as F
from gatelearn._convert import check_shape


class Embedding(Protocol):
    """What a reservoir stands behind; `Encoders` is one."""

    width: int

    def embed(self, observations: Any) -> NDArray: ...


class Reservoir:
    """Leaky tanh units with fixed random weights that read the embeddings [1]_: *RES* of [2]_.

    With the embeddings f_t of all models side by side,
    ``x_t = (1 - leak) * x_{t-1} + leak * tanh(f_t @ W_in + x_{t-1} @ W + b)``, and x_t is what the
    agent sees. W is sparse, and so scaled that traces of the past fade.

    The state depends on all observations since the episode began. So a reservoir stands on the side
    of the environments, which know when one begins: see `ReservoirEnv`. A rollout stores what comes
    out; nothing goes through it again when the agent learns.

    Parameters
    ----------
    encoders : Encoders
        Or any object with `width` and `embed`.
    size : int, default 1024
        Units. Published: 512, 1024 and 2048.
    spectral_radius : float, default 0.9
        Largest absolute value of the eigenvalues of W.
    leak : float, default 0.5
        Above 0, at most 1: the smaller, the slower.
    density : float, default 0.1
        Share of the entries of W and W_in that are not 0.
    input_scale : float, default 1
        Standard deviation of ``f_t @ W_in`` for embeddings of variance 1.
    seed : int or numpy.random.Generator, default 0
        Where the weights are drawn from.

    Attributes
    ----------
    widths : dict of str to int
        ``{"reservoir": size}``, as a combination takes it; `Single` makes its adapter.
    width : int
        `size`.

    Raises
    ------
    ValueError
        If a number is out of range, or so few entries of W are not 0 that it has no cycle.

    References
    ----------
    .. [1] H. Jaeger, "The 'echo state' approach to analysing and training recurrent neural
       networks", GMD Report 148, 2001.
    .. [2] E. Piccoli, M. Li, G. Carfì, V. Lomonaco and D. Bacciu, "Combining Pre-Trained Models for
       Enhanced Feature Representation in Reinforcement Learning", arXiv:2507.07197, 2025.

    Examples
    --------
    >>> class Position:
    ...     width = 2
    ...     def embed(self, observations):
    ...         return np.asarray(observations, np.float32)
    >>> reservoir = Reservoir(Position(), size=50)
    >>> x = np.ones((3, 2))
    >>> first = reservoir.advance(None, x)
    >>> second = reservoir.advance(first, x)
    >>> second.shape, bool((first == second).any())
    ((3, 50), False)
    """

    def __init__(self, encoders: Embedding, *, size: int = 1024, spectral_radius: float = 0.9,
                 leak: float = 0.5, density: float = 0.1, input_scale: float = 1.0,
                 seed: int | np.random.Generator = 0):
        if size < 1:
            raise ValueError(f"size is {size}, expected at least 1")
        for name, value in (("leak", leak), ("density", density)):
            if not 0 < value <= 1:
                raise ValueError(f"{name} is {value}, expected above 0 and at most 1")
        for name, value in (("spectral_radius", spectral_radius), ("input_scale", input_scale)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value}, expected a finite number of at least 0")
        self.encoders, self.width, self.leak = encoders, size, np.float32(leak)
        self.widths = {"reservoir": size}

        rng = np.random.default_rng(seed)
        spread = input_scale / math.sqrt(density * encoders.width)
        self.input_weight = (spread * _sparse(rng, encoders.width, size, density)).astype(
            np.float32)
        weight = _sparse(rng, size, size, density)
        radius = radius_of(weight)
        if radius == 0:
            raise ValueError(f"density is {density}: no unit of {size} reads itself, expected more")
        self.weight = (spectral_radius / radius * weight).astype(np.float32)
        self.bias = rng.uniform(-0.1, 0.1, size).astype(np.float32)

    def advance(self, state: NDArray | None, observations: Any) -> NDArray[np.float32]:
        """Take one step of time.

        Parameters
        ----------
        state : ndarray of float32, shape (B, size), or None
            What the last step returned; 0, or None for all, where an episode begins.
        observations
            B of them, as the encoders take them.

        Returns
        -------
        ndarray of float32, shape (B, size)

        Raises
        ------
        ValueError
            If `state` has not B rows.
        """
        features = np.ascontiguousarray(self.encoders.embed(observations), np.float32)
        if state is None:
            state = np.zeros((len(features), self.width), np.float32)
        check_shape(state, "state", (len(features), self.width))
        driven = F.linear(features, self.input_weight, self.bias) + F.linear(state, self.weight)
        return (1 - self.leak) * state + self.leak * F.tanh(driven)


class ReservoirEnv:
    """A Gymnasium vector environment whose observations are the states of a reservoir.

    Each observation is encoded once. An episode begins without a past; its last observation, should
    it come beside the first of the next, has the past of its own. All else is the environment's.

    Parameters
    ----------
    env : gymnasium.vector.VectorEnv
        ``metadata["autoreset_mode"]`` says how its episodes begin again: all three of Gymnasium's
        modes are handled.
    reservoir : Reservoir

    Raises
    ------
    ValueError
        If the environment does not say how it begins again.

    Examples
    --------
    >>> import gymnasium
    >>> from gatelearn import wsa
    >>> class Same:
    ...     width = 4
    ...     def embed(self, observations):
    ...         return observations
    >>> env = wsa.ReservoirEnv(gymnasium.make_vec("CartPole-v1", 3),
    ...                        wsa.Reservoir(Same(), size=50))
    >>> env.reset(seed=0)[0].shape, env.step(np.array([0, 1, 0]))[0].shape
    ((3, 50), (3, 50))
    """

    def __init__(self, env: Any, reservoir: Reservoir):
        mode = env.metadata.get("autoreset_mode")
        # an enumeration, its value or its name
        self._mode = str(getattr(mode, "value", mode)).lower().replace("_", "")
        if self._mode not in ("nextstep", "samestep", "disabled"):
            raise ValueError(f"metadata['autoreset_mode'] of the environment is {mode!r}, expected "
                             "next_step, same_step or disabled")
        self.env, self.reservoir = env, reservoir

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)

    def reset(self, *, seed: Any = None,
              options: dict[str, Any] | None = None) -> tuple[NDArray, dict[str, Any]]:
        """Begin episodes in all environments, or in those of ``options["reset_mask"]``."""
        # the environment may take the mask out of the options
        begins = None if options is None else options.get("reset_mask")
        observations, info = self.env.reset(seed=seed, options=options)
        state = self.reservoir.advance(None, observations)
        if begins is not None:
            state = np.where(np.asarray(begins)[:, None], state, self._state)
        self._state, self._ended = state, np.zeros(len(state), bool)
        return state.copy(), info

    def step(self, actions: Any) -> tuple[NDArray, NDArray, NDArray, NDArray, dict[str, Any]]:
        """Act once in each environment."""
        observations, rewards, terminated, truncated, info = self.env.step(actions)
        ended = terminated | truncated
        begins = {"nextstep": self._ended, "samestep": ended}.get(self._mode)
        past = self._state
        if begins is not None:
            past = np.where(begins[:, None], np.float32(0), past)
        if self._mode == "samestep" and ended.any():
            rows = np.flatnonzero(ended)
            last = np.zeros_like(self._state)
            last[rows] = self.reservoir.advance(self._state[rows],
                                                np.stack([info["final_obs"][i] for i in rows]))
            info = info | {"final_obs": last}
        self._state, self._ended = self.reservoir.advance(past, observations), ended
        return self._state.copy(), rewards, terminated, truncated, info


def radius_of(matrix: NDArray) -> float:
    """Return the largest absolute value of the eigenvalues, by powers of the matrix [1]_.

    It is the limit of ``norm(A**k) ** (1/k)``; the powers double, up to 2**16.

    References
    ----------
    .. [1] I. Gelfand, "Normierte Ringe", Matematicheskii Sbornik 9, 1941.

    Examples
    --------
    >>> round(radius_of(np.array([[0.0, 2.0], [-2.0, 0.0]])), 3)
    2.0
    """
    power, log, k = np.array(matrix, np.float64), 0.0, 1
    for _ in range(16):
        norm = np.abs(power).max()
        if norm == 0:
            return 0.0
        # matrix**k is power * exp(log), kept near 1 so that nothing overflows
        power /= norm
        power = power @ power
        log, k = 2 * (log + math.log(norm)), 2 * k
    norm = np.abs(power).max()
    return 0.0 if norm == 0 else math.exp((log + math.log(norm)) / k)


def _sparse(rng: np.random.Generator, rows: int, columns: int, density: float) -> NDArray:
    values = rng.standard_normal((rows, columns))
    return np.where(rng.random((rows, columns)) < density, values, 0.0)
