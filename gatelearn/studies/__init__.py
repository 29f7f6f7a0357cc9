"""Studies: whole experiments with their baselines, one command or call each.

A study is a module with a `Config` (a frozen dataclass with the class method ``preset``), a
``run(config, out=, resume=, progress=)`` that returns a `Result`, and `OBJECTIVE`: a number of the
result's summary, and whether a sweep makes it large or small. `gatelearn.studies.runner` has what
they share, and says what `out`, `resume` and `progress` are.
"""

import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType


class _Studies(Mapping):
    """Modules by name, imported when asked for; a hyphen in a name is an underscore in Python."""

    _names = ("gating", "glimpse", "caption", "attention-bias", "meta-attention", "wsa")

    def __getitem__(self, name: str) -> ModuleType:
        if name not in self._names:
            raise KeyError(name)
        return importlib.import_module(f"gatelearn.studies.{name.replace('-', '_')}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


STUDIES: Mapping[str, ModuleType] = _Studies()


def __getattr__(name: str) -> ModuleType:
    if (study := name.replace("_", "-")) in STUDIES:
        return STUDIES[study]
    raise AttributeError(f"module 'gatelearn.studies' has no attribute {name!r}")
