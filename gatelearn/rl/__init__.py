"""Distributions, advantages and algorithms. Nothing here knows of attention."""

from gatelearn.rl.advantage import MovingAverage, gae, leave_one_out, normalise
from gatelearn.rl.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Gaussian,
    PlackettLuce,
)
from gatelearn.rl.exact import exact_gradient, expected_reward
from gatelearn.rl.ppo import PPO, PPOConfig, explained_variance
from gatelearn.rl.reinforce import Reinforce, ReinforceConfig, reinforce_gradient
from gatelearn.rl.rollout import Minibatch, Rollout

__all__ = [
    "PPO",
    "Bernoulli",
    "Categorical",
    "Distribution",
    "Gaussian",
    "Minibatch",
    "MovingAverage",
    "PPOConfig",
    "PlackettLuce",
    "Reinforce",
    "ReinforceConfig",
    "Rollout",
    "exact_gradient",
    "expected_reward",
    "explained_variance",
    "gae",
    "leave_one_out",
    "normalise",
    "reinforce_gradient",
]
