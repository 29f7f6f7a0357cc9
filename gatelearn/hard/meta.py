"""Meta-learned attention: how to find out where to look, learned by reward over many tasks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gatelearn.nn import GRU, Layer, Linear
from gatelearn.rl import Categorical, leave_one_out, normalise
from gatelearn.rl.learner import Learner, check_state


class Tasks(Protocol):
    """A batch of tasks of several attempts; `gatelearn.tasks.TaskBatch` is one."""

    tokens: NDArray  # (B, A, T)
    place: NDArray   # (B, A, N)
    target: NDArray  # (B, A)


class Repeated(NamedTuple):
    """Tasks that are played several times."""

    tokens: NDArray
    place: NDArray
    target: NDArray


class Played(NamedTuple):
    """What a policy did in tasks, attempt by attempt."""

    inputs: NDArray   # (B, A, N, F)
    actions: NDArray  # (B, A) positions looked at
    rewards: NDArray  # (B, A) 0 or 1


class MetaAttention(Layer):
    """A recurrent policy over positions that remembers its earlier attempts at the same task.

    After the recurrent meta-learners of [1]_ and [2]_: weights learn over tasks, the recurrent
    state learns within one. There is a state for each rule that a task may hide, and all rules
    share the weights of one GRU; at each attempt a rule sees its kind, whether the position that it
    named last time was looked at, and what came of it. The score of a position is the logsumexp of
    the scores of the rules that name it. Since no weight belongs to a rule, what is learned serves
    rules that training never hid.

    Parameters
    ----------
    kind : array_like of int, shape (N,)
        Of each rule, as `gatelearn.tasks.PositionFamilies.kind`.
    hidden : int, default 24
        Width of each state.
    memory : bool, default True
        Without it the state and what it sees are those of the first attempt, at every attempt.

    References
    ----------
    .. [1] Y. Duan et al., "RL^2: Fast Reinforcement Learning via Slow Reinforcement Learning",
       arXiv 1611.02779, 2016.
    .. [2] J. X. Wang et al., "Learning to reinforcement learn", arXiv 1611.05763, 2016.

    Examples
    --------
    >>> policy = MetaAttention([0, 0, 1]).build(seed=0)
    >>> place = np.array([[[1, 2, 2], [1, 2, 1]]])      # one task, two attempts, three rules
    >>> logits, saved = policy.forward(policy.blank(1, 2), place, 3)
    >>> logits.shape, bool(np.isneginf(logits[0, :, 0]).all())
    ((1, 2, 3), True)
    """

    def __init__(self, kind: Any, *, hidden: int = 24, memory: bool = True):
        self.kind, self.memory = np.asarray(kind, np.int64), memory
        if self.kind.ndim != 1 or self.kind.size == 0 or self.kind.min() < 0:
            raise ValueError(f"kind is {kind}, expected the kind of each rule, 0 or more")
        self.kinds = int(self.kind.max()) + 1
        self.gru = GRU(self.kinds + 3, hidden)
        self.last = Linear(hidden, 1, gain=0.01)

    def children(self) -> dict[str, Layer]:
        return {"gru": self.gru, "last": self.last}

    def blank(self, B: int, A: int) -> NDArray:
        """Return inputs (B, A, N, F) in which nothing has been tried."""
        inputs = np.zeros((B, A, len(self.kind), self.kinds + 3), self.params.dtype)
        inputs[..., np.arange(len(self.kind)), self.kind] = 1
        return inputs

    def note(self, inputs: NDArray, place: NDArray, action: NDArray, reward: NDArray) -> None:
        """Write the outcome of an attempt into the inputs of the next.

        Parameters
        ----------
        inputs : ndarray, shape (B, N, F)
            Of the next attempt; changed.
        place : ndarray of int, shape (B, N)
            The position that each rule named.
        action : ndarray of int, shape (B,)
            The position that was looked at.
        reward : ndarray, shape (B,)
        """
        if self.memory:
            named, reward = place == action[:, None], reward[:, None]
            inputs[..., self.kinds] = named * reward
            inputs[..., self.kinds + 1] = named * (1 - reward)
            inputs[..., self.kinds + 2] = ~named * reward

    def forward(self, inputs: NDArray, place: NDArray, T: int) -> tuple[NDArray, Any]:
        """Return the logits of positions at every attempt.

        Parameters
        ----------
        inputs : ndarray, shape (B, A, N, F)
        place : ndarray of int, shape (B, A, N)
            The position that each rule names.
        T : int
            Positions of a text; the logit of one that no rule names is ``-inf``.

        Returns
        -------
        logits : ndarray, shape (B, A, T)
        saved : object
        """
        score, saved = self.rule_scores(inputs, None)
        logits, share = positions_from_rules(score, place, T)
        return logits, (saved, share, place)

    def backward(self, dy: NDArray, saved: Any) -> tuple[NDArray, None, None]:
        """Return the gradient of `inputs`."""
        (gru, last, shape), share, place = saved
        # forward: logits[place] = log(sum of exp(score)), share = exp(score - logits[place])
        dscore = np.take_along_axis(dy, place, 2) * share
        dh = self.last.backward(self._by_rule(dscore)[..., None], last)
        dx = self.gru.backward(dh.reshape(gru.y.shape), gru)
        return self._by_attempt(dx, shape), None, None

    def rule_scores(self, inputs: NDArray, state: NDArray | None) -> tuple[NDArray, Any]:
        """Return the scores (B, A, N) of rules from a state (B * N, H); saved[0] has the new."""
        B, A, N, F = inputs.shape
        x = self._by_rule(inputs)
        if not self.memory:
            x = x.reshape(-1, 1, F)
        y, gru = self.gru.forward(x, state)
        score, last = self.last.forward(y.reshape(B*N, A, self.gru.hidden))
        return self._by_attempt(score[..., 0], (B, A, N)), (gru, last, (B, A, N))

    def _by_rule(self, x: NDArray) -> NDArray:
        """Return (B, A, N, ...) as (B * N, A, ...)."""
        B, A, N = x.shape[:3]
        return np.ascontiguousarray(x.swapaxes(1, 2)).reshape(B*N, A, *x.shape[3:])

    def _by_attempt(self, x: NDArray, shape: tuple[int, int, int]) -> NDArray:
        """Return (B * N, A, ...) as (B, A, N, ...)."""
        B, A, N = shape
        return x.reshape(B, N, A, *x.shape[2:]).swapaxes(1, 2)

    def play(self, tasks: Tasks, rng: np.random.Generator | None = None) -> Played:
        """Make all attempts at tasks.

        Parameters
        ----------
        tasks : Tasks
        rng : numpy.random.Generator, optional
            Draws positions; without it the likeliest is taken.

        Returns
        -------
        Played
        """
        B, A, T = tasks.tokens.shape
        inputs = self.blank(B, A)
        actions, rewards = np.zeros((B, A), np.int64), np.zeros((B, A), inputs.dtype)
        state, distribution = None, Categorical()
        for i in range(A):
            score, (gru, *_) = self.rule_scores(inputs[:, i:i + 1], state)
            logits = positions_from_rules(score, tasks.place[:, i:i + 1], T)[0][:, 0]
            state = gru.state if self.memory else None
            actions[:, i] = (distribution.mode(logits) if rng is None
                             else distribution.draw(logits, rng)[0])
            rewards[:, i] = actions[:, i] == tasks.target[:, i]
            if i + 1 < A:
                self.note(inputs[:, i + 1], tasks.place[:, i], actions[:, i], rewards[:, i])
        return Played(inputs, actions, rewards)


def positions_from_rules(score: NDArray, place: NDArray, T: int) -> tuple[NDArray, NDArray]:
    """Return the logits (..., T) of positions, and each rule's share (..., N) of its position.

    Parameters
    ----------
    score : ndarray, shape (..., N)
        Of rules.
    place : ndarray of int, shape (..., N)
        The position that each rule names.
    T : int

    Examples
    --------
    >>> logits, share = positions_from_rules(np.zeros(3), np.array([1, 1, 0]), 3)
    >>> np.exp(logits), share
    (array([1., 2., 0.]), array([0.5, 0.5, 1. ]))
    """
    rows = math.prod(place.shape[:-1])
    at = place.reshape(rows, place.shape[-1])
    where = np.arange(rows)[:, None], at
    values = score.reshape(at.shape)
    # less the largest at the same position, so that no position's sum is 0
    top = np.full((rows, T), -np.inf, score.dtype)
    np.maximum.at(top, where, values)
    weight = np.exp(values - top[where])
    total = np.zeros((rows, T), score.dtype)
    np.add.at(total, where, weight)
    with np.errstate(divide="ignore"):
        logits = top + np.log(total)
    return logits.reshape(*place.shape[:-1], T), (weight / total[where]).reshape(place.shape)


@dataclass(frozen=True)
class MetaTrainerConfig:
    """Settings of `MetaTrainer`."""

    tasks: int = 16
    """Tasks an update, B."""
    samples: int = 8
    """How often each is played, S; the others of a task are its baseline."""
    lr: float = 1e-2
    """Learning rate."""
    gamma: float = 0.9
    """How much a reward counts for the attempt before."""
    entropy: float = 0.01
    """Entropy bonus."""
    normalise: bool = True
    """Divide advantages by their spread."""


class MetaTrainer:
    """Trains a `MetaAttention` by REINFORCE over tasks: each attempt is worth all that follows.

    Every task is played several times. The baseline of an attempt is the mean return of the other
    plays of the same task at the same attempt, which leaves the gradient unbiased.

    Parameters
    ----------
    policy : MetaAttention
        Built.
    draw : callable
        ``draw(rng, n)`` returns n tasks to train on.
    config : MetaTrainerConfig
    rng : numpy.random.Generator
        Draws tasks and positions.
    """

    def __init__(self, policy: MetaAttention, draw: Callable[[np.random.Generator, int], Tasks],
                 config: MetaTrainerConfig, rng: np.random.Generator):
        self.policy, self.draw, self.config, self.rng = policy, draw, config, rng
        self.learner = Learner(policy)

    def step(self) -> dict[str, Any]:
        """Draw tasks, play them, update the policy; return metrics."""
        c, drawn = self.config, self.draw(self.rng, self.config.tasks)
        tasks = Repeated(*(np.concatenate([a] * c.samples)
                           for a in (drawn.tokens, drawn.place, drawn.target)))
        played = self.policy.play(tasks, self.rng)
        logits, saved = self.policy.forward(played.inputs, tasks.place, tasks.tokens.shape[2])
        returns = returns_to_go(played.rewards, c.gamma)
        advantages = leave_one_out(returns.reshape(c.samples, drawn.target.size))
        advantages = advantages.reshape(returns.shape)
        if c.normalise:
            advantages = normalise(advantages)
        distribution = Categorical()
        n = played.rewards.size
        dentropy = np.full(played.rewards.shape, -c.entropy / n, logits.dtype)
        dlogits = distribution.gradient(logits, played.actions, -advantages / n, dentropy)
        self.learner.descend(dlogits, saved, c.lr, 1.0)
        by_attempt = played.rewards.mean(0)
        return {"reward": float(by_attempt.mean()), "last_reward": float(by_attempt[-1]),
                "text": f"reward {by_attempt[0]:.2f} at first, {by_attempt[-1]:.2f} at last"}

    def _arrays(self) -> dict[str, NDArray]:
        return {k: np.asarray(v) for k, v in self.learner.state("policy").items()}

    def state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Return everything that the next step depends on."""
        return self._arrays(), {"rng": self.rng.bit_generator.state}

    def load_state(self, arrays: dict[str, NDArray], meta: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        check_state(self._arrays(), arrays)
        self.learner.load_state("policy", arrays)
        self.rng.bit_generator.state = meta["rng"]


def returns_to_go(rewards: NDArray, gamma: float) -> NDArray:
    """Return what each attempt (B, A) is worth: its reward and, discounted, those that follow.

    Examples
    --------
    >>> returns_to_go(np.array([[1.0, 0.0, 2.0]]), 0.5)
    array([[1.5, 1. , 2. ]])
    """
    out = np.array(rewards)
    for i in range(rewards.shape[1] - 2, -1, -1):
        out[:, i] += gamma * out[:, i + 1]
    return out
