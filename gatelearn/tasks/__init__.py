"""Where data comes from: text retrieval."""

from gatelearn.tasks.corpus import Corpus
from gatelearn.tasks.retrieval import MARKS, Batch, TextTasks, TextTasksConfig, answer_accuracy

__all__ = ["MARKS", "Batch", "Corpus", "TextTasks", "TextTasksConfig", "answer_accuracy"]
