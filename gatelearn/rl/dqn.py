"""Deep Q-learning."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn import nn
from gatelearn.rl.learner import Learner, check_state
from gatelearn.rl.replay import ReplayBuffer, Transitions
from gatelearn.rl.runner import VectorRunner


@dataclass(frozen=True)
class DQNConfig:
    """How to explore and update.

    Parameters
    ----------
    lr : float, default 1e-4
        Learning rate of Adam.
    gamma : float, default 0.99
        Discount.
    batch : int, default 32
        Steps drawn for each update.
    double : bool, default True
        Whether the network, not its older copy, chooses the action that the copy values [1]_.
    max_grad_norm : float, optional, default 10
        Longest gradient; None is no limit.
    target_every : int, default 1,000
        Updates between copies of the network.
    learn_from : int, default 10,000
        Steps, over all environments, before the first update.
    train_every : int, default 4
        Steps, over all environments, for each update.
    epsilon : pair of float, default (1, 0.01)
        Share of random actions at the beginning and at the end.
    epsilon_steps : int, default 100,000
        Steps, over all environments, between the two, on a straight line.

    References
    ----------
    .. [1] H. van Hasselt, A. Guez and D. Silver, "Deep Reinforcement Learning with Double
       Q-learning", AAAI 2016.
    """

    lr: float = 1e-4
    gamma: float = 0.99
    batch: int = 32
    double: bool = True
    max_grad_norm: float | None = 10.0
    target_every: int = 1_000
    learn_from: int = 10_000
    train_every: int = 4
    epsilon: tuple[float, float] = (1.0, 0.01)
    epsilon_steps: int = 100_000

    def __post_init__(self):
        for name in ("batch", "target_every", "train_every", "epsilon_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")


class DQN:
    """Deep Q-learning [1]_, with double targets [2]_ unless the configuration says otherwise.

    The loss is that of Huber with its corner at 1: the gradient of an error is clipped to [-1, 1].

    Parameters
    ----------
    network : nn.Layer
        Observations (B, ...) to values of K actions (B, K). Built.
    config : DQNConfig, optional

    Attributes
    ----------
    target : nn.Layer
        The older copy of the network.
    updates, steps : int
        How many updates were made, and for how many observations `act` was asked.

    References
    ----------
    .. [1] V. Mnih et al., "Human-level control through deep reinforcement learning", Nature 518,
       2015.
    .. [2] H. van Hasselt, A. Guez and D. Silver, "Deep Reinforcement Learning with Double
       Q-learning", AAAI 2016.

    Examples
    --------
    >>> dqn = DQN(nn.Linear(2, 3).build(seed=0), DQNConfig(lr=0.01, target_every=1))
    >>> x = np.float32([[1, 0], [0, 1]])
    >>> for _ in range(500):
    ...     metrics = dqn.update(Transitions(x, np.array([0, 2]), np.float32([1, -1]),
    ...                                      np.array([True, True]), x))
    >>> dqn.network.forward(x)[0][[0, 1], [0, 2]].round(2)
    array([ 1., -1.], dtype=float32)
    """

    def __init__(self, network: nn.Layer, config: DQNConfig | None = None):
        self.learner = Learner(network)
        self.config = config or DQNConfig()
        self.target = copy.deepcopy(network)
        self.target.bind(network.params.copy(), np.zeros_like(network.params))
        self.updates = self.steps = 0

    @property
    def network(self) -> nn.Layer:
        """The network that learns."""
        return self.learner.network

    @property
    def epsilon(self) -> float:
        """Share of random actions now."""
        start, end = self.config.epsilon
        return start + (end - start) * min(1.0, self.steps / self.config.epsilon_steps)

    def act(self, observations: NDArray, rng: np.random.Generator) -> NDArray:
        """Choose the best action, or one of all with probability `epsilon`.

        Parameters
        ----------
        observations : ndarray, shape (B, ...)
        rng : numpy.random.Generator

        Returns
        -------
        ndarray of int, shape (B,)
        """
        values, _ = self.network.forward(observations)
        random = rng.random(len(values)) < self.epsilon
        self.steps += len(values)
        return np.where(random, rng.integers(0, values.shape[1], len(values)), values.argmax(1))

    def update(self, batch: Transitions) -> dict[str, float]:
        """Take one step against the error of a batch.

        Parameters
        ----------
        batch : Transitions
            Of B steps.

        Returns
        -------
        dict of str to float
            ``loss``, that of Huber; ``value``, the mean value of the actions taken; ``grad_norm``
            before clipping.

        Raises
        ------
        FloatingPointError
            If the gradient is NaN or infinite.
        """
        c, rows = self.config, np.arange(len(batch.actions))
        following, _ = self.target.forward(batch.next_observations)
        chooser = following
        if c.double:
            chooser, _ = self.network.forward(batch.next_observations)
        future = following[rows, chooser.argmax(1)]
        goal = batch.rewards + np.where(batch.terminated, 0, c.gamma * future)

        values, saved = self.network.forward(batch.observations)
        taken = values[rows, batch.actions]
        error = taken - goal.astype(taken.dtype)
        near = np.clip(error, -1, 1)
        dvalues = np.zeros_like(values)
        dvalues[rows, batch.actions] = near / len(rows)
        norm = self.learner.descend(dvalues, saved, c.lr, c.max_grad_norm)
        self.updates += 1
        if self.updates % c.target_every == 0:
            self.target.params[...] = self.network.params
        # error^2 / 2 up to 1, abs(error) - 1/2 beyond
        return {"loss": float((near * (error - near / 2)).mean()), "value": float(taken.mean()),
                "grad_norm": norm}

    def state(self) -> dict[str, Any]:
        """Return copies of all that updates change, for a checkpoint.

        Returns
        -------
        dict of str to ndarray or int
            ``updates``, ``steps``, ``target``, and of the network ``params``, ``m``, ``v``,
            ``step``.
        """
        return {"updates": self.updates, "steps": self.steps, "target": self.target.params.copy(),
                **self.learner.state("network")}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned, to the same bits.

        Parameters
        ----------
        state : dict

        Raises
        ------
        ValueError
            If an entry is missing or unknown, or a shape differs; nothing is then changed.
        """
        check_state(self.state(), state)
        self.updates, self.steps = int(state["updates"]), int(state["steps"])
        self.target.params[...] = state["target"]
        self.learner.load_state("network", state)


class DQNTrainer:
    """A `DQN` that plays and learns, step by step; `gatelearn.runs.train_stage` can drive it.

    Parameters
    ----------
    dqn : DQN
    runner : VectorRunner
    buffer : ReplayBuffer
    rng : numpy.random.Generator
        For actions and for what is drawn from the buffer.
    """

    def __init__(self, dqn: DQN, runner: VectorRunner, buffer: ReplayBuffer,
                 rng: np.random.Generator):
        self.dqn, self.runner, self.buffer, self.rng = dqn, runner, buffer, rng

    def step(self) -> dict[str, float]:
        """Act once in each environment; make the updates that are due.

        Returns
        -------
        dict of str to float
            Of the last update, and ``return``, the mean of the episodes that ended in this step,
            where any did.
        """
        c, runner, before = self.dqn.config, self.runner, self.dqn.steps
        seen, first = runner.observations, runner.first
        actions = self.dqn.act(seen, self.rng)
        self.buffer.add_step(seen, actions, first, runner.step(actions))
        metrics = {"epsilon": self.dqn.epsilon}
        if self.dqn.steps > c.learn_from:
            for _ in range(self.dqn.steps // c.train_every - before // c.train_every):
                metrics |= self.dqn.update(self.buffer.sample(c.batch, self.rng))
        ended = runner.take_episodes()
        return metrics | ({"return": float(ended.returns.mean())} if len(ended.returns) else {})

    def state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Return everything that the next step depends on, the buffer included."""
        parts = {"dqn": self.dqn, "runner": self.runner, "buffer": self.buffer}
        arrays = {f"{name}.{key}": np.asarray(value) for name, part in parts.items()
                  for key, value in part.state().items()}
        return arrays, {"rng": self.rng.bit_generator.state}

    def load_state(self, arrays: dict[str, NDArray], meta: dict[str, Any]) -> None:
        """Continue from what `state` returned, to the same bits."""
        for name, part in (("dqn", self.dqn), ("runner", self.runner), ("buffer", self.buffer)):
            part.load_state({key.removeprefix(f"{name}."): value for key, value in arrays.items()
                             if key.startswith(f"{name}.")})
        self.rng.bit_generator.state = meta["rng"]
