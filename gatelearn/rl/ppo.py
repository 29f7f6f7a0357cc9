"""Proximal policy optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn import nn
from gatelearn.functional import ppo_loss
from gatelearn.rl.actor_critic import ActorCritic
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
        That of a separate value network; None is `lr`.
    anneal : int, optional
        Number of updates over which learning rates fall on a straight line to 0. None keeps them.
    anneal_clip : bool, default False
        Whether `clip` falls with them.
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
    anneal_clip: bool = False
    entropy_coefficient: float = 0.0
    value_coefficient: float = 0.5
    max_grad_norm: float | None = 0.5
    gamma: float = 0.99
    lam: float = 0.95
    normalise_advantage: bool = True
    target_kl: float | None = None

    @classmethod
    def atari(cls, updates: int, **changes: Any) -> PPOConfig:
        """Return the settings published for Atari games, for rollouts of 128 steps in 8 games.

        Parameters
        ----------
        updates : int
            Over which learning rate and clip fall to 0.
        **changes
            Other settings than the published ones.

        Returns
        -------
        PPOConfig

        Examples
        --------
        >>> config = PPOConfig.atari(1000, lr=1e-3)
        >>> config.clip, config.lr, config.anneal
        (0.1, 0.001, 1000)
        """
        published: dict[str, Any] = {"clip": 0.1, "lr": 2.5e-4, "anneal": updates,
                                     "anneal_clip": True, "entropy_coefficient": 0.01}
        return cls(**(published | changes))


class PPO:
    """Proximal policy optimisation [1]_, with one network of two heads or two networks.

    One policy network may act at several steps of an episode, as a controller that decides layer
    by layer does: each step is a row of observations.

    Parameters
    ----------
    policy : nn.Layer
        Observations (B, ...) to logits (B, K). Built. An `ActorCritic` is both networks: one
        optimiser trains it, and one norm of the gradient is limited.
    value : nn.Layer or None
        Observations (B, ...) to values (B, 1) or (B,). Built. With None, and no `ActorCritic`, a
        rollout must bring its advantages, such as `gatelearn.rl.leave_one_out` gives.
    distribution : Distribution
        What the logits mean.
    config : PPOConfig, optional

    Attributes
    ----------
    updates : int
        How many were made.

    Raises
    ------
    ValueError
        If a network was not built, or there are two value functions or a `value_lr` for none.

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
        self._shared = isinstance(policy, ActorCritic)
        if self._shared and value is not None:
            raise ValueError(f"value is {type(value).__name__}, expected None beside an "
                             "ActorCritic")
        if self._shared and self.config.value_lr is not None:
            raise ValueError(f"value_lr is {self.config.value_lr}, expected None with an "
                             "ActorCritic, which has one learning rate")

    @property
    def has_value(self) -> bool:
        """Whether there is a value function."""
        return self._shared or self.value is not None

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
            None without a value function.
        """
        logits, values, _ = self._forward(observations)
        actions, logp = self.distribution.draw(logits, rng)
        return actions, logp, values

    def values(self, observations: NDArray) -> NDArray | None:
        """Return the value of each observation, as a rollout's `last_values` needs it.

        Parameters
        ----------
        observations : ndarray, shape (B, ...)

        Returns
        -------
        ndarray, shape (B,), or None
        """
        if self._shared:
            return self.policy.network.forward(observations)[0][1]
        if self.value is None:
            return None
        return self.value.network.forward(observations)[0].reshape(len(observations))

    def update(self, rollout: Rollout, rng: np.random.Generator) -> dict[str, float]:
        """Improve policy and value function on a rollout.

        Where the rollout has no advantages, `Rollout.estimate` fills them in. Steps that are not
        valid are left out.

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
            clipping, ``policy_grad_norm`` (of the whole network, if it is an `ActorCritic`) and
            ``value_grad_norm`` (of a separate one). Also ``explained_variance``, the share of the
            returns' variance that the old values explain (1 is all, below 0 is worse than a
            constant); ``learning_rate`` and ``clip``; ``steps``, the number of minibatches used.

        Raises
        ------
        ValueError
            If the rollout lacks what the estimate of its advantages needs, or returns for the
            value function.
        FloatingPointError
            If a gradient is NaN or infinite.
        """
        c = self.config
        if rollout.advantages is None:
            rollout.estimate(c.gamma, c.lam)
        if self.has_value and rollout.returns is None:
            raise ValueError("returns is None, expected it where there is a value function")
        if c.value_clip is not None and self.has_value and rollout.values is None:
            raise ValueError("values is None, expected it where value_clip is given")

        lr = learning_rate(c.lr, self.updates, c.anneal)
        clip = learning_rate(c.clip, self.updates, c.anneal) if c.anneal_clip else c.clip
        history: list[dict[str, float]] = []
        for batch in (b for _ in range(c.epochs) for b in rollout.minibatches(c.minibatches, rng)):
            logits, values, saved = self._forward(batch.observations)
            stats, dlogits, dvalues = self._loss(batch, logits, values, clip)
            if c.target_kl is not None and stats["approx_kl"] > c.target_kl:
                break
            history.append(stats | self._descend(dlogits, dvalues, saved, lr))
        self.updates += 1

        metrics = {name: sum(s[name] for s in history) / len(history)
                   for name in (history[0] if history else ())}
        if self.has_value and rollout.values is not None:
            seen = ... if rollout.valid is None else rollout.valid
            metrics["explained_variance"] = explained_variance(rollout.values[seen],
                                                               rollout.returns[seen])
        return metrics | {"learning_rate": lr, "clip": clip, "steps": float(len(history))}

    def _forward(self, observations: NDArray) -> tuple[NDArray, NDArray | None, Any]:
        """Return logits, values where there are any, and what `_descend` needs."""
        y, saved = self.policy.network.forward(observations)
        if self._shared:
            return *y, saved
        if self.value is None:
            return y, None, (saved, None, None)
        values, value_saved = self.value.network.forward(observations)
        return y, values.reshape(len(values)), (saved, value_saved, values.shape)

    def _descend(self, dlogits: NDArray, dvalues: NDArray | None, saved: Any,
                 lr: float) -> dict[str, float]:
        """Take one step against the gradients; return their norms."""
        c = self.config
        if self._shared:
            return {"policy_grad_norm": self.policy.descend((dlogits, dvalues), saved, lr,
                                                            c.max_grad_norm)}
        saved, value_saved, shape = saved
        norms = {"policy_grad_norm": self.policy.descend(dlogits, saved, lr, c.max_grad_norm)}
        if self.value is not None:
            if c.value_lr is not None:
                lr = learning_rate(c.value_lr, self.updates, c.anneal)
            norms["value_grad_norm"] = self.value.descend(dvalues.reshape(shape), value_saved, lr,
                                                          c.max_grad_norm)
        return norms

    def _loss(self, batch: Minibatch, logits: NDArray, values: NDArray | None,
              clip: float) -> tuple[dict[str, float], NDArray, NDArray | None]:
        """Return statistics, and gradients with respect to logits and values."""
        c = self.config
        advantages = normalise(batch.advantages) if c.normalise_advantage else batch.advantages
        if self.distribution.has_entropy or c.entropy_coefficient:
            logp, entropy = self.distribution.evaluate(logits, batch.actions)
        else:
            logp = self.distribution.log_prob(logits, batch.actions)
            entropy = np.zeros_like(logp)
        returns = old = None
        if values is not None:
            returns, old = batch.returns, batch.values if c.value_clip is not None else None
        stats, dlogp, dvalues, dentropy = ppo_loss(
            logp, batch.logp, advantages, entropy, values, returns, old, clip=clip,
            value_clip=c.value_clip or 0.0, value_coefficient=c.value_coefficient,
            entropy_coefficient=c.entropy_coefficient)
        if not self.distribution.has_entropy:
            del stats["entropy"]
        dlogits = self.distribution.gradient(logits, batch.actions, dlogp,
                                             dentropy if c.entropy_coefficient else None)
        return stats, dlogits, dvalues

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
