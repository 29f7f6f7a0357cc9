"""Attention that chooses: which positions matter, learned by reward.

`BiasPredictor` predicts the positions that matter to a text's queries; its choice, or its
probability, enters a transformer's attention as a bias.
"""

from gatelearn.hard.bias import (
    BiasByGradient,
    BiasByReward,
    BiasPredictor,
    BiasTrainerConfig,
    fixed_positions,
)

__all__ = ["BiasByGradient", "BiasByReward", "BiasPredictor", "BiasTrainerConfig",
           "fixed_positions"]
