"""Distributions, advantages, estimators of gradients, algorithms. None knows of attention."""

from gatelearn.rl.actor_critic import ActorCritic
from gatelearn.rl.advantage import gae, leave_one_out, normalise
from gatelearn.rl.baselines import (
    Baseline,
    BatchMean,
    LearnedBaseline,
    LeaveOneOut,
    MovingAverage,
    SelfCritical,
)
from gatelearn.rl.diagonal_gaussian import DiagonalGaussian, LogStd
from gatelearn.rl.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Gaussian,
    PlackettLuce,
    RelaxedDistribution,
)
from gatelearn.rl.dqn import DQN, DQNConfig, DQNTrainer
from gatelearn.rl.estimators import (
    Estimator,
    EstimatorReport,
    Exact,
    GumbelSoftmax,
    HalfSoft,
    RelaxedReward,
    Reward,
    ScoreFunction,
    SquaredDistance,
    StraightThrough,
    estimator_report,
)
from gatelearn.rl.exact import exact_gradient, expected_reward
from gatelearn.rl.ppo import PPO, PPOConfig, explained_variance
from gatelearn.rl.reinforce import Reinforce, ReinforceConfig, reinforce_gradient
from gatelearn.rl.replay import ReplayBuffer, Transitions
from gatelearn.rl.rollout import Minibatch, Rollout
from gatelearn.rl.runner import Agent, Episodes, Step, VectorRunner, evaluate

__all__ = [
    "DQN",
    "PPO",
    "ActorCritic",
    "Agent",
    "Baseline",
    "BatchMean",
    "Bernoulli",
    "Categorical",
    "DQNConfig",
    "DQNTrainer",
    "DiagonalGaussian",
    "Distribution",
    "Episodes",
    "Estimator",
    "EstimatorReport",
    "Exact",
    "Gaussian",
    "GumbelSoftmax",
    "HalfSoft",
    "LearnedBaseline",
    "LeaveOneOut",
    "LogStd",
    "Minibatch",
    "MovingAverage",
    "PPOConfig",
    "PlackettLuce",
    "Reinforce",
    "ReinforceConfig",
    "RelaxedDistribution",
    "RelaxedReward",
    "ReplayBuffer",
    "Reward",
    "Rollout",
    "ScoreFunction",
    "SelfCritical",
    "SquaredDistance",
    "Step",
    "StraightThrough",
    "Transitions",
    "VectorRunner",
    "estimator_report",
    "evaluate",
    "exact_gradient",
    "expected_reward",
    "explained_variance",
    "gae",
    "leave_one_out",
    "normalise",
    "reinforce_gradient",
]
