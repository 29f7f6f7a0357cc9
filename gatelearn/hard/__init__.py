"""Where to look: glimpses of images, each at a place that the last ones led to.

`RecurrentAttention` looks at one place after another and names what it saw;
`RecurrentAttentionTrainer` trains it, the places by REINFORCE. `GlimpseNetwork` is its eye,
`random_locations` the policy to beat.
"""

from gatelearn.hard.glimpse_network import GlimpseNetwork, GlimpseSaved
from gatelearn.hard.recurrent_attention import Episode, RecurrentAttention
from gatelearn.hard.training import (
    RecurrentAttentionConfig,
    RecurrentAttentionTrainer,
    random_locations,
)

__all__ = ["Episode", "GlimpseNetwork", "GlimpseSaved", "RecurrentAttention",
           "RecurrentAttentionConfig", "RecurrentAttentionTrainer", "random_locations"]
