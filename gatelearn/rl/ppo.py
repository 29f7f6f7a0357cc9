"""Proximal policy optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn import nn
from gatelearn.functional import ppo_loss
from gatelearn.rl.advantage import normalise
from gatelearn.rl.distributions import Distribution
from gatelearn.rl.learner import Learner, check_state, learning_rate
from gatelearn.rl.rollout import Minibatch, Rollout


@dataclass(frozen=True)
class PPOConfig:
    """How to update.

    Parameters
    ----------
    clip : float, default 0.2
        How far the ratio of probabilities may leave 1 and still be rewarded.
    value_clip : float, optional
        How far the value may move in one update. None, the default, leaves it free: two studies
        found clipping of no use or harmful.
    epochs, minibatches : int, default 4
        Passes over a rollout, and parts that each pass is cut into.
    lr : float, default 3e-4
        Learning rate of the policy network.
    value_lr : float, optional
        That of the value network; None is `lr`.
    anneal : int, optional
        Number of updates over which learning rates fall on a straight line to 0. None keeps them.
    entropy_coefficient : float, default 0
        Weight of the entropy bonus.
    value_coefficient : float, default 0.5
        Weight of the value loss.
    max_grad_norm : float, optional, default 0.5
        Longest gradient, of each network by itself; None is no limit.
    gamma, lam : float, default 0.99 and 0.95
        Of generalised advantage estimation.
    normalise_advantage : bool, default True
        Whether each minibatch's advantages get mean 0 and deviation 1.
    target_kl : float, optional
        An update ends before the minibatch whose ``approx_kl`` exceeds it.
    """

    clip: float = 0.2
    value_clip: float | None = None
    epochs: int = 4
    minibatches: int = 4
    lr: float = 3e-4
    value_lr: float | None = None
    anneal: int | None = None
    entropy_coefficient: float = 0.0
    value_coefficient: float = 0.5
    max_grad_norm: float | None = 0.5
    gamma: float = 0.99
    lam: float = 0.95
    normalise_advantage: bool = True
    target_kl: float | None = None


class PPO:
    """Proximal policy optimisation [1]_ with separate policy and value networks.

    One policy network may act at several steps of an episode, as a controller that decides layer
    by layer does: each step is a row of observations.

    Parameters
    ----------
    policy : nn.Layer
        Observations (B, ...) to logits (B, K). Built.
    value : nn.Layer or None
        Observations (B, ...) to values (B, 1) or (B,). Built. With None a rollout must bring its
        advantages, such as `gatelearn.rl.leave_one_out` gives.
    distribution : Distribution
        What the logits mean.
    config : PPOConfig, optional

    Attributes
    ----------
    updates : int
        How many were made.

    References
    ----------
    .. [1] J. Schulman et al., "Proximal Policy Optimization Algorithms", arXiv 1707.06347, 2017.

    Examples
    --------
    Two lights, each to be switched as its observation says:

    >>> from gatelearn import nn, rl
    >>> rng = np.random.default_rng(0)
    >>> policy = nn.Linear(2, 2).build(seed=0)
    >>> ppo = rl.PPO(policy, None, rl.Bernoulli(), rl.PPOConfig(lr=0.05))
    >>> for _ in range(20):
    ...     x = rng.choice(np.float32([-1, 1]), (64, 2))
    ...     actions, logp, _ = ppo.act(x, rng)
    ...     rewards = (actions == (x > 0)).mean(1, dtype=np.float32)
    ...     advantages = rewards - rewards.mean()
    ...     metrics = ppo.update(rl.Rollout(x, actions, logp, advantages=advantages), rng)
    >>> bool(rewards.mean() > 0.9)
    True
    """

    def __init__(self, policy: nn.Layer, value: nn.Layer | None, distribution: Distribution,
                 config: PPOConfig | None = None):
        self.policy = Learner(policy)
        self.value = None if value is None else Learner(value)
        self.distribution = distribution
        self.config = config or PPOConfig()
        self.updates = 0

    def act(self, observations: NDArray,
            rng: np.random.Generator) -> tuple[NDArray, NDArray, NDArray | None]:
        """Draw an action for each observation.

        Parameters
        ----------
        observations : ndarray, shape (B, ...)
        rng : numpy.random.Generator
            One random number a choice is drawn from it.

        Returns
        -------
        actions : ndarray, shape (B, ...)
            As the distribution has them.
        logp : ndarray, shape (B,)
        values : ndarray, shape (B,), or None
            None without a value network.
        """
        logits, _ = self.policy.network.forward(observations)
        actions, logp = self.distribution.draw(logits, rng)
        return actions, logp, self.values(observations)

    def values(self, observations: NDArray) -> NDArray | None:
        """Return the value of each observation, as a rollout's `last_values` needs it.

        Parameters
        ----------
        observations : ndarray, shape (B, ...)

        Returns
        -------
        ndarray, shape (B,), or None
        """
        if self.value is None:
            return None
        return self.value.network.forward(observations)[0].reshape(len(observations))

    def update(self, rollout: Rollout, rng: np.random.Generator) -> dict[str, float]:
        """Improve both networks on a rollout.

        Where the rollout has no advantages, `Rollout.estimate` fills them in.

        Parameters
        ----------
        rollout : Rollout
        rng : numpy.random.Generator
            Shuffles the steps, once an epoch.

        Returns
        -------
        dict of str to float
            Means over the minibatches that were used: ``loss``, ``policy_loss``, ``value_loss``,
            ``entropy`` (where the distribution has it), ``approx_kl`` and ``clip_fraction`` as
            `gatelearn.functional.ppo_loss` defines them, and the norms of the gradients before
            clipping, ``policy_grad_norm`` and ``value_grad_norm``. Also ``explained_variance``, the
            share of the returns' variance that the old values explain (1 is all, below 0 is worse
            than a constant); ``learning_rate``; ``steps``, the number of minibatches used.

        Raises
        ------
        ValueError
            If the rollout lacks what the estimate of its advantages needs, or returns for the
            value network.
        FloatingPointError
            If a gradient is NaN or infinite.
        """
        c = self.config
        if rollout.advantages is None:
            rollout.estimate(c.gamma, c.lam)
        if self.value is not None and rollout.returns is None:
            raise ValueError("returns is None, expected it where there is a value network")
        if c.value_clip is not None and self.value is not None and rollout.values is None:
            raise ValueError("values is None, expected it where value_clip is given")

        lr = learning_rate(c.lr, self.updates, c.anneal)
        value_lr = lr if c.value_lr is None else learning_rate(c.value_lr, self.updates, c.anneal)
        history: list[dict[str, float]] = []
        for batch in (b for _ in range(c.epochs) for b in rollout.minibatches(c.minibatches, rng)):
            logits, saved = self.policy.network.forward(batch.observations)
            stats, dlogits, dvalue, value_saved = self._loss(batch, logits)
            if c.target_kl is not None and stats["approx_kl"] > c.target_kl:
                break
            stats["policy_grad_norm"] = self.policy.descend(dlogits, saved, lr, c.max_grad_norm)
            if self.value is not None:
                stats["value_grad_norm"] = self.value.descend(dvalue, value_saved, value_lr,
                                                              c.max_grad_norm)
            history.append(stats)
        self.updates += 1

        metrics = {name: sum(s[name] for s in history) / len(history)
                   for name in (history[0] if history else ())}
        if self.value is not None and rollout.values is not None:
            metrics["explained_variance"] = explained_variance(rollout.values, rollout.returns)
        return metrics | {"learning_rate": lr, "steps": float(len(history))}

    def _loss(self, batch: Minibatch, logits: NDArray) -> tuple[dict[str, float], NDArray, Any,
                                                                Any]:
        """Return statistics, gradients with respect to logits and values, and what was saved."""
        c = self.config
        advantages = normalise(batch.advantages) if c.normalise_advantage else batch.advantages
        if self.distribution.has_entropy or c.entropy_coefficient:
            logp, entropy = self.distribution.evaluate(logits, batch.actions)
        else:
            logp = self.distribution.log_prob(logits, batch.actions)
            entropy = np.zeros_like(logp)
        value = returns = old = saved = None
        if self.value is not None:
            y, saved = self.value.network.forward(batch.observations)
            value, returns = y.reshape(len(y)), batch.returns
            old = batch.values if c.value_clip is not None else None
        stats, dlogp, dvalue, dentropy = ppo_loss(
            logp, batch.logp, advantages, entropy, value, returns, old, clip=c.clip,
            value_clip=c.value_clip or 0.0, value_coefficient=c.value_coefficient,
            entropy_coefficient=c.entropy_coefficient)
        if not self.distribution.has_entropy:
            del stats["entropy"]
        dlogits = self.distribution.gradient(logits, batch.actions, dlogp,
                                             dentropy if c.entropy_coefficient else None)
        return stats, dlogits, None if dvalue is None else dvalue.reshape(y.shape), saved

    def state(self) -> dict[str, Any]:
        """Return copies of all that updates change, for a checkpoint.

        The random generator is the caller's to keep.

        Returns
        -------
        dict of str to ndarray or int
            ``updates``, and for each network ``params``, ``m``, ``v`` and ``step``.
        """
        state = {"updates": self.updates, **self.policy.state("policy")}
        return state if self.value is None else state | self.value.state("value")

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
        self.updates = int(state["updates"])
        self.policy.load_state("policy", state)
        if self.value is not None:
            self.value.load_state("value", state)


def explained_variance(values: NDArray, returns: NDArray) -> float:
    """Return the share of the variance of `returns` that `values` explain.

    Parameters
    ----------
    values, returns : ndarray
        Of equal shape.

    Returns
    -------
    float
        1 is all, 0 what a constant does, negative is worse; NaN where all returns are equal.

    Examples
    --------
    >>> explained_variance(np.array([1.0, 3.0]), np.array([0.0, 4.0]))
    0.75
    """
    variance = float(np.var(returns, dtype=np.float64))
    error = float(np.var(returns - values, dtype=np.float64))
    return 1 - error / variance if variance else float("nan")
