"""Where data comes from: text retrieval, families of hidden rules; how captions are scored."""

from gatelearn.tasks.bleu import corpus_bleu, sentence_bleu
from gatelearn.tasks.corpus import Corpus
from gatelearn.tasks.digits import DIGIT_TASKS, DigitBatch, Digits
from gatelearn.tasks.families import FamiliesConfig, PositionFamilies, TaskBatch
from gatelearn.tasks.retrieval import MARKS, Batch, TextTasks, TextTasksConfig, answer_accuracy

__all__ = ["DIGIT_TASKS", "MARKS", "Batch", "Corpus", "DigitBatch", "Digits", "FamiliesConfig",
           "PositionFamilies", "TaskBatch", "TextTasks", "TextTasksConfig", "answer_accuracy",
           "corpus_bleu", "sentence_bleu"]
