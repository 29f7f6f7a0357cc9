"""Attention tuned by reinforcement learning, on a C core.

Arrays in, arrays out: :mod:`gatelearn.functional`. Layers and networks: :mod:`gatelearn.nn`.
Distributions, advantages and algorithms: :mod:`gatelearn.rl`. Controllers that open and close
attention heads: :mod:`gatelearn.gating`. Where to look: :mod:`gatelearn.hard`. Whole experiments:
:mod:`gatelearn.studies`; a search of their settings: :func:`gatelearn.sweep`. Attention for
PyTorch: :mod:`gatelearn.interop.torch`.
"""

import importlib

from gatelearn._config import get_num_threads, num_threads, set_num_threads, show_config
from gatelearn._version import __version__

_LAZY = ("functional", "gating", "hard", "nn", "plots", "rl", "runs", "studies", "sweeps", "tasks",
         "wsa")

__all__ = ["__version__", "get_num_threads", "num_threads", "set_num_threads", "show_config",
           "sweep", *_LAZY]


def __getattr__(name):
    if name in _LAZY:
        return importlib.import_module(f"gatelearn.{name}")
    if name == "sweep":
        return importlib.import_module("gatelearn.sweeps").sweep
    raise AttributeError(f"module 'gatelearn' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
