"""Hard attention: where to look is drawn, and REINFORCE trains the drawing."""

from gatelearn.hard.captioner import Captioner, CaptionerSaved
from gatelearn.hard.captioning import (
    CaptionBatch,
    CaptionTrainer,
    CaptionTrainerConfig,
    choice_advantages,
)
from gatelearn.hard.generation import END, Captions, sentences

__all__ = ["END", "CaptionBatch", "CaptionTrainer", "CaptionTrainerConfig", "Captioner",
           "CaptionerSaved", "Captions", "choice_advantages", "sentences"]
