"""Learning to gate: controllers that open and close a transformer's heads and MLPs by input.

`OneShotController` decides everything from the embedded text, `PerLayerController` decides layer by
layer from the hidden state, `StaticController` decides the same for every text: all three are
policies for reinforcement learning (`GateTrainer`). `SigmoidGates` is the baseline that learns by
gradient descent.
"""

from gatelearn.gating.controllers import (
    Controller,
    Episode,
    OneShotController,
    PerLayerController,
    StaticController,
)
from gatelearn.gating.faithfulness import evidence_mass
from gatelearn.gating.sigmoid import SigmoidGates, close_to_share
from gatelearn.gating.training import GateTrainer, GateTrainerConfig, answer_scores

__all__ = ["Controller", "Episode", "GateTrainer", "GateTrainerConfig", "OneShotController",
           "PerLayerController", "SigmoidGates", "StaticController", "answer_scores",
           "close_to_share", "evidence_mass"]
