"""Where data comes from: text retrieval, emoji with captions."""

from gatelearn.tasks.corpus import Corpus
from gatelearn.tasks.emoji import EmojiBatch, EmojiCaptions, EmojiConfig
from gatelearn.tasks.retrieval import MARKS, Batch, TextTasks, TextTasksConfig, answer_accuracy

__all__ = ["MARKS", "Batch", "Corpus", "EmojiBatch", "EmojiCaptions", "EmojiConfig", "TextTasks",
           "TextTasksConfig", "answer_accuracy"]
