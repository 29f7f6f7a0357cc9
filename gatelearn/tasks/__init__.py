"""Where data comes from: texts, digits, emoji, games, a robot; and how captions are scored."""

from gatelearn.tasks.atari import Atari, random_frames
from gatelearn.tasks.bleu import bleu_counts, bleu_of_counts, corpus_bleu, sentence_bleu
from gatelearn.tasks.control import Pusher
from gatelearn.tasks.corpus import Corpus
from gatelearn.tasks.digits import DIGIT_TASKS, DigitBatch, Digits
from gatelearn.tasks.emoji import EmojiBatch, EmojiCaptions, EmojiConfig
from gatelearn.tasks.families import FamiliesConfig, PositionFamilies, TaskBatch
from gatelearn.tasks.retrieval import MARKS, Batch, TextTasks, TextTasksConfig, answer_accuracy

__all__ = ["DIGIT_TASKS", "MARKS", "Atari", "Batch", "Corpus", "DigitBatch", "Digits", "EmojiBatch",
           "EmojiCaptions", "EmojiConfig", "FamiliesConfig", "PositionFamilies", "Pusher",
           "TaskBatch", "TextTasks", "TextTasksConfig", "answer_accuracy", "bleu_counts",
           "bleu_of_counts", "corpus_bleu", "random_frames", "sentence_bleu"]
