"""An echo state network behind frozen encoders: a memory of the episode that is not trained."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import functional as F
from gatelearn._convert import as_flags, check_shape


class Embedding(Protocol):
    """What a reservoir stands behind; `Encoders` is one."""

    width: int

    def embed(self, observations: Any) -> NDArray: ...


class Reservoir:
    """Leaky tanh units with fixed random weights that read the embeddings [1]_: *RES* of [2]_.

    With the embeddings f_t of all models side by side,
    ``x_t = (1 - leak) * x_{t-1} + leak * tanh(f_t @ W_in + x_{t-1} @ W + b)``, and x_t is what the
    agent sees. W is sparse, and so scaled that traces of the past fade.

    The state depends on all observations since the episode began. So a reservoir stands where
    `Encoders` does, on the side of the environments: a rollout has it embed each observation once,
    in order, and stores what comes out; nothing goes through it again when the agent learns. Its
    rows are the environments'.

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
    >>> first = reservoir.embed(x)
    >>> second = reservoir.embed(x)
    >>> bool((first == second).any())
    False
    >>> again = reservoir.embed(x, first=[True, False, False])
    >>> bool((again[0] == first[0]).all()), bool((again[1] == first[1]).any())
    (True, False)
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
        self._state: NDArray | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.widths)

    def embed(self, observations: Any, first: ArrayLike | None = None) -> NDArray[np.float32]:
        """Take one step of time with the observations of all environments.

        Parameters
        ----------
        observations
            B of them, as the encoders take them.
        first : array_like of bool, shape (B,), optional
            Those that begin an episode: what came before them is forgotten. None do by default.

        Returns
        -------
        ndarray of float32, shape (B, size)

        Raises
        ------
        ValueError
            If there are more or fewer observations than before; `reset` comes first.
        """
        features = np.ascontiguousarray(self.encoders.embed(observations), np.float32)
        state = self._state
        if state is None:
            state = np.zeros((len(features), self.width), np.float32)
        if len(state) != len(features):
            raise ValueError(f"there are {len(features)} observations, expected {len(state)} as "
                             "before, or a reset")
        if first is not None:
            begins = check_shape(as_flags(first, "first"), "first", (len(state),)).astype(bool)
            state = np.where(begins[:, None], np.float32(0), state)
        driven = F.linear(features, self.input_weight, self.bias) + F.linear(state, self.weight)
        self._state = (1 - self.leak) * state + self.leak * F.tanh(driven)
        return self._state.copy()

    def reset(self) -> None:
        """Forget all episodes, and how many environments there are."""
        self._state = None

    def state(self) -> dict[str, NDArray]:
        """Return a copy of what was remembered, for a checkpoint; empty after `reset`."""
        return {} if self._state is None else {"reservoir": self._state.copy()}

    def load_state(self, state: dict[str, NDArray]) -> None:
        """Continue from what `state` returned.

        Raises
        ------
        ValueError
            If it is that of a reservoir of another size; nothing is then changed.
        """
        for key in state.keys() - {"reservoir"}:
            raise ValueError(f"state entry {key} is unknown")
        found = state.get("reservoir")
        if found is not None and (found.ndim != 2 or found.shape[1] != self.width):
            raise ValueError(f"state entry reservoir has shape {found.shape}, expected "
                             f"(B, {self.width})")
        self._state = None if found is None else found.astype(np.float32)


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
