"""Attention that chooses: which positions matter, learned by reward.

`BiasPredictor` predicts the positions that matter to a text's queries; its choice, or its
probability, enters a transformer's attention as a bias. `MetaAttention` learns over many tasks how
to find out within one, in a few attempts, which position is rewarded.
"""

from gatelearn.hard.bias import (
    BiasByGradient,
    BiasByReward,
    BiasPredictor,
    BiasTrainerConfig,
    fixed_positions,
)
from gatelearn.hard.meta import MetaAttention, MetaTrainer, MetaTrainerConfig

__all__ = ["BiasByGradient", "BiasByReward", "BiasPredictor", "BiasTrainerConfig",
           "MetaAttention", "MetaTrainer", "MetaTrainerConfig", "fixed_positions"]
