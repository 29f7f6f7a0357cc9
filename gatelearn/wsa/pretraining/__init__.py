"""Encoders that the library trains itself, on frames of a random agent, and then freezes.

`Frames` holds the frames and draws batches of them. `MODELS` names the models: of each its network,
the settings of its training, its trainer and the encoder that it leaves.
"""

from gatelearn.wsa.pretraining.base import (
    FrozenEncoder,
    Model,
    PretrainingConfig,
    PretrainingNetwork,
    PretrainingTrainer,
)
from gatelearn.wsa.pretraining.frames import Frames

MODELS: dict[str, Model] = {}

__all__ = ["MODELS", "Frames", "FrozenEncoder", "Model", "PretrainingConfig", "PretrainingNetwork",
           "PretrainingTrainer"]
