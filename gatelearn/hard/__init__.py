"""Attention that chooses where to look, trained by reward.

`RecurrentAttention` looks at an image one glimpse at a time, each at a place that the last ones led
to; `RecurrentAttentionTrainer` trains it, the places by REINFORCE, and `random_locations` is the
policy to beat. `Captioner` reads the regions of an image before each word of its caption, all of
them or one that is drawn; `CaptionTrainer` trains it. `BiasPredictor` predicts the positions that
matter to a text's queries; its choice, or its probability, enters a transformer's attention as a
bias. `MetaAttention` learns over many tasks how to find out within one, in a few attempts, which
position is rewarded.
"""

from gatelearn.hard.bias import (
    BiasByGradient,
    BiasByReward,
    BiasPredictor,
    BiasTrainerConfig,
    fixed_positions,
)
from gatelearn.hard.captioner import Captioner, CaptionerSaved
from gatelearn.hard.captioning import (
    CaptionBatch,
    CaptionTrainer,
    CaptionTrainerConfig,
    choice_advantages,
)
from gatelearn.hard.generation import END, Captions, sentences
from gatelearn.hard.glimpse_network import GlimpseNetwork, GlimpseSaved
from gatelearn.hard.glimpsing import (
    RecurrentAttentionConfig,
    RecurrentAttentionTrainer,
    random_locations,
)
from gatelearn.hard.meta import MetaAttention, MetaTrainer, MetaTrainerConfig
from gatelearn.hard.recurrent_attention import Episode, RecurrentAttention

__all__ = ["END", "BiasByGradient", "BiasByReward", "BiasPredictor", "BiasTrainerConfig",
           "CaptionBatch", "CaptionTrainer", "CaptionTrainerConfig", "Captioner", "CaptionerSaved",
           "Captions", "Episode", "GlimpseNetwork", "GlimpseSaved", "MetaAttention", "MetaTrainer",
           "MetaTrainerConfig", "RecurrentAttention", "RecurrentAttentionConfig",
           "RecurrentAttentionTrainer", "choice_advantages", "fixed_positions", "random_locations",
           "sentences"]
