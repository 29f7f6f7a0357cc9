"""Where data comes from: text retrieval, families of hidden rules."""

from gatelearn.tasks.corpus import Corpus
from gatelearn.tasks.families import FamiliesConfig, PositionFamilies, TaskBatch
from gatelearn.tasks.retrieval import MARKS, Batch, TextTasks, TextTasksConfig, answer_accuracy

__all__ = ["MARKS", "Batch", "Corpus", "FamiliesConfig", "PositionFamilies", "TaskBatch",
           "TextTasks", "TextTasksConfig", "answer_accuracy"]
