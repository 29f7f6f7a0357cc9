"""Attention that chooses where to look, trained by reward.

`RecurrentAttention` looks at an image one glimpse at a time, each at a place that the last ones led
to; `RecurrentAttentionTrainer` trains it, the places by REINFORCE, and `random_locations` is the
policy to beat. `Captioner` reads the regions of an image before each word of its caption, all of
them or one that is drawn; `CaptionTrainer` trains it.
"""

from gatelearn.hard.captioner import Captioner, CaptionerSaved
from gatelearn.hard.captioning import (
    CaptionBatch,
    CaptionTrainer,
    CaptionTrainerConfig,
    choice_advantages,
)
from gatelearn.hard.generation import END, Captions, sentences
from gatelearn.hard.glimpse_network import GlimpseNetwork, GlimpseSaved
from gatelearn.hard.recurrent_attention import Episode, RecurrentAttention
from gatelearn.hard.training import (
    RecurrentAttentionConfig,
    RecurrentAttentionTrainer,
    random_locations,
)

__all__ = ["END", "CaptionBatch", "CaptionTrainer", "CaptionTrainerConfig", "Captioner",
           "CaptionerSaved", "Captions", "Episode", "GlimpseNetwork", "GlimpseSaved",
           "RecurrentAttention", "RecurrentAttentionConfig", "RecurrentAttentionTrainer",
           "choice_advantages", "random_locations", "sentences"]
