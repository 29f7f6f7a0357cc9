"""What a study needs around its training: a run folder, tables, progress, intervals.

`RunFolder` keeps a run's configuration, checkpoints, finished stages and metrics so that it can be
killed at any moment and resumed; `Table` is the result; `Progress` shows the time left;
`stop_on_signal` turns Ctrl-C into a flag; `bootstrap_interval` and `seed_interval` put intervals on
scores.
"""

from __future__ import annotations

from .._files import Checkpoint, atomic_write
from .config import load_config
from .folder import RunFolder, next_folder, run_numbers
from .intervals import bootstrap_interval, score_interval, seed_interval
from .progress import Progress, StageProgress, StopFlag, stop_on_signal
from .stages import Trainer, measure_stage, train_stage
from .table import Table

__all__ = [
    "Checkpoint",
    "Progress",
    "RunFolder",
    "StageProgress",
    "StopFlag",
    "Table",
    "Trainer",
    "atomic_write",
    "bootstrap_interval",
    "load_config",
    "measure_stage",
    "next_folder",
    "run_numbers",
    "score_interval",
    "seed_interval",
    "stop_on_signal",
    "train_stage",
]
