"""Where data comes from: text retrieval, emoji with captions; and how captions are scored."""

from gatelearn.tasks.bleu import bleu_counts, bleu_of_counts, corpus_bleu, sentence_bleu
from gatelearn.tasks.corpus import Corpus
from gatelearn.tasks.emoji import EmojiBatch, EmojiCaptions, EmojiConfig
from gatelearn.tasks.retrieval import MARKS, Batch, TextTasks, TextTasksConfig, answer_accuracy

__all__ = ["MARKS", "Batch", "Corpus", "EmojiBatch", "EmojiCaptions", "EmojiConfig", "TextTasks",
           "TextTasksConfig", "answer_accuracy", "bleu_counts", "bleu_of_counts", "corpus_bleu",
           "sentence_bleu"]
