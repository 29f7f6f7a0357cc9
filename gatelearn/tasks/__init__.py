"""Where data comes from: text retrieval, digits in large images."""

from gatelearn.tasks.corpus import Corpus
from gatelearn.tasks.digits import DIGIT_TASKS, DigitBatch, Digits
from gatelearn.tasks.retrieval import MARKS, Batch, TextTasks, TextTasksConfig, answer_accuracy

__all__ = ["DIGIT_TASKS", "MARKS", "Batch", "Corpus", "DigitBatch", "Digits", "TextTasks",
           "TextTasksConfig", "answer_accuracy"]
