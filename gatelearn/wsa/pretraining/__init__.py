"""Encoders that the library trains itself, on frames of a random agent, and then freezes.

`Frames` holds the frames and draws batches of them. `MODELS` names the models: of each its network,
the settings of its training, its trainer and the encoder that it leaves. `save_encoder` writes and
`load_encoder` reads files of them.
"""

from gatelearn.wsa.pretraining.autoencoder import (
    AutoencoderConfig,
    AutoencoderNetwork,
    AutoencoderTrainer,
    StateEncoder,
)
from gatelearn.wsa.pretraining.base import (
    FrozenEncoder,
    Model,
    PretrainingConfig,
    PretrainingNetwork,
    PretrainingTrainer,
)
from gatelearn.wsa.pretraining.contrastive import (
    ContrastiveConfig,
    ContrastiveEncoder,
    ContrastiveNetwork,
    ContrastiveTrainer,
)
from gatelearn.wsa.pretraining.frames import Frames
from gatelearn.wsa.pretraining.keypoints import (
    KeypointsConfig,
    KeypointsEncoder,
    KeypointsNetwork,
    KeypointsTrainer,
)
from gatelearn.wsa.pretraining.segmentation import (
    SegmentationConfig,
    SegmentationEncoder,
    SegmentationNetwork,
    SegmentationTrainer,
)
from gatelearn.wsa.pretraining.storage import load_encoder, save_encoder

MODELS: dict[str, Model] = {
    "state": Model(AutoencoderNetwork, AutoencoderConfig, AutoencoderTrainer, StateEncoder),
    "contrastive": Model(ContrastiveNetwork, ContrastiveConfig, ContrastiveTrainer,
                         ContrastiveEncoder),
    "keypoints": Model(KeypointsNetwork, KeypointsConfig, KeypointsTrainer, KeypointsEncoder),
    "segmentation": Model(SegmentationNetwork, SegmentationConfig, SegmentationTrainer,
                          SegmentationEncoder),
}

__all__ = ["MODELS", "AutoencoderConfig", "AutoencoderNetwork", "AutoencoderTrainer",
           "ContrastiveConfig", "ContrastiveEncoder", "ContrastiveNetwork", "ContrastiveTrainer",
           "Frames", "FrozenEncoder", "KeypointsConfig", "KeypointsEncoder", "KeypointsNetwork",
           "KeypointsTrainer", "Model", "PretrainingConfig", "PretrainingNetwork",
           "PretrainingTrainer", "SegmentationConfig", "SegmentationEncoder",
           "SegmentationNetwork", "SegmentationTrainer", "StateEncoder", "load_encoder",
           "save_encoder"]
