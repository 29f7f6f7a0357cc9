"""Sweeps: the settings of a study, searched by trials.

`sweep` is the whole of it; ``gatelearn sweep`` the same from a shell. A trial is an ordinary run.
"""

from gatelearn.sweeps.result import SweepResult
from gatelearn.sweeps.sweep import read_metric, sweep

__all__ = ["SweepResult", "read_metric", "sweep"]
