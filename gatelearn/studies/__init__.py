"""Studies: whole experiments with their baselines, one command or call each."""

import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType


class _Studies(Mapping):
    """Modules by name, imported when asked for."""

    _names = ("gating",)

    def __getitem__(self, name: str) -> ModuleType:
        if name not in self._names:
            raise KeyError(name)
        return importlib.import_module(f"gatelearn.studies.{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


STUDIES: Mapping[str, ModuleType] = _Studies()


def __getattr__(name: str) -> ModuleType:
    if name in STUDIES:
        return STUDIES[name]
    raise AttributeError(f"module 'gatelearn.studies' has no attribute {name!r}")
