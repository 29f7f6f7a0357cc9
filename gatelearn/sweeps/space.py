"""What a sweep varies: settings of a study with their values or ranges."""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatelearn.errors import UserError
from gatelearn.runs.config import find_leaf, leaves


@dataclass(frozen=True)
class Choice:
    """A setting that takes one of several values; paths, enums and tuples as their text."""

    values: tuple[Any, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.values))


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included; on a logarithmic scale where `log`."""

    low: float
    high: float
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low}:{self.high}" + (":log" if self.log else "")


Space = dict[str, Choice | Range]


def parse_space(config: Any, vary: Mapping[str, str | Sequence[Any]]) -> Space:
    """Return what to vary, typed by the settings of a config.

    Parameters
    ----------
    config : dataclass instance
    vary : mapping of str to str or sequence
        For each setting, by its dotted name or its last part where that is unique: ``"a,b,c"`` or a
        sequence of values, ``"low:high"`` or ``"low:high:log"``. The parts of a tuple are separated
        by spaces: ``"1 2,3"`` is (1, 2) and (3,).

    Returns
    -------
    dict of str to Choice or Range
        By dotted name.

    Raises
    ------
    UserError
        If a setting is unknown or cannot be varied, a value is not of its type, or a range is
        empty.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Config:
    ...     lr: float = 0.1
    ...     heads: int = 4
    >>> parse_space(Config(), {"lr": "1e-4:1e-2:log", "heads": "2,4,8"})
    {'lr': Range(low=0.0001, high=0.01, log=True), 'heads': Choice(values=(2, 4, 8))}
    """
    if not vary:
        raise UserError("nothing to vary: give at least one setting with its values")
    known = leaves(config)
    space: Space = {}
    for given, spec in vary.items():
        name = find_leaf(config, given)
        if name in space:
            raise UserError(f"setting '{name}' is varied twice")
        space[name] = _parse(name, _kinds(known[name][0]), spec)
    return space


def to_json(space: Space) -> dict[str, Any]:
    """Return a space as JSON holds it."""
    return {name: dataclasses.asdict(domain) for name, domain in space.items()}


def from_json(tree: dict[str, Any]) -> Space:
    """Return the space that `to_json` made `tree` of."""
    return {name: Choice(tuple(domain["values"])) if "values" in domain else Range(**domain)
            for name, domain in tree.items()}


def setting(config: Any, name: str, value: Any) -> Any:
    """Return a value of a `Choice` or `Range` as the config's JSON holds it: a tuple as a list."""
    kinds = _kinds(leaves(config)[name][0])
    is_tuple = isinstance(value, str) and any(typing.get_origin(kind) is tuple for kind in kinds)
    return _read(name, kinds, value) if is_tuple else value


def _parse(name: str, kinds: list[Any], spec: str | Sequence[Any]) -> Choice | Range:
    numbers = [kind for kind in kinds if kind in (int, float)]
    if isinstance(spec, str):
        if ":" in spec and numbers:
            return _range(name, numbers, spec)
        words = [word.strip() for word in spec.split(",")]
    elif isinstance(spec, Sequence):
        words = [_text(v) for v in spec]
    else:
        raise UserError(f"{name} is {spec!r}, expected text such as '1,2' or a list of values")
    read = [_read(name, kinds, word) for word in words]
    # a tuple is no value that Optuna could store
    values = tuple(_text(value) if isinstance(value, list) else value for value in read)
    if len(values) < 2 or len(set(words)) < len(words):
        raise UserError(f"{name} is '{','.join(words)}', expected at least two values, each once")
    return Choice(values)


def _range(name: str, kinds: list[Any], spec: str) -> Range:
    low, high, *log = spec.split(":")
    if log not in ([], ["log"]):
        raise UserError(f"{name} is '{spec}', expected low:high or low:high:log")
    found = Range(_read(name, kinds, low), _read(name, kinds, high), bool(log))
    if found.low >= found.high:
        raise UserError(f"{name} is '{spec}', expected low < high")
    if found.log and found.low <= 0:
        raise UserError(f"{name} is '{spec}', expected low > 0 on a logarithmic scale")
    return found


def _kinds(hint: Any) -> list[Any]:
    """Return the types that a value may have, narrow ones first."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _kinds(args[0])
    if origin in (typing.Union, types.UnionType):
        # any word is a str or a path, or a tuple of them
        return sorted((kind for arg in args for kind in _kinds(arg)), key=lambda kind: (
            2 if typing.get_origin(kind) is tuple else
            int(isinstance(kind, type) and issubclass(kind, (str, Path)))))
    return [hint]


def _text(value: Any) -> str:
    """Return a value as it is given on the command line."""
    if isinstance(value, (tuple, list)):
        return " ".join(_text(part) for part in value)
    return str(value.value if isinstance(value, enum.Enum) else value)


def _read(name: str, kinds: list[Any], word: str) -> Any:
    """Return a word as a value of one of the types, as JSON holds it."""
    for kind in kinds:
        try:
            return _value_of(kind, word.strip())
        except ValueError:
            continue
        except TypeError:
            raise UserError(f"{name} is {kind}: a sweep varies numbers, words, booleans, paths and "
                            "tuples of these") from None
    names = " or ".join(_name(kind) for kind in kinds)
    raise UserError(f"{name} is '{word}', expected {names}")


def _value_of(kind: Any, word: str) -> Any:
    if typing.get_origin(kind) is tuple:
        return _parts(typing.get_args(kind), word.split())
    if kind is type(None):
        values: dict[str, Any] = {"none": None, "None": None}
    elif kind is bool:
        values = {"true": True, "True": True, "false": False, "False": False}
    elif typing.get_origin(kind) is typing.Literal:
        values = {str(value): value for value in typing.get_args(kind)}
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        values = {str(member.value): member.value for member in kind}
    elif kind is float:
        if not math.isfinite(number := float(word)):
            raise ValueError
        return number
    elif kind in (int, str):
        return kind(word)
    elif isinstance(kind, type) and issubclass(kind, Path):
        return word
    else:
        raise TypeError
    if word not in values:
        raise ValueError
    return values[word]


def _parts(kinds: tuple[Any, ...], words: list[str]) -> list[Any]:
    if kinds[1:] == (Ellipsis,):
        kinds = kinds[:1] * len(words)
    if any(typing.get_origin(kind) is tuple for kind in kinds):
        raise TypeError
    if len(words) != len(kinds):
        raise ValueError
    return [_value_of(kind, word) for kind, word in zip(kinds, words, strict=True)]


def _name(kind: Any) -> str:
    if typing.get_origin(kind) is tuple:
        first, *more = typing.get_args(kind)
        count = "values" if more == [Ellipsis] else f"{len(more) + 1} values"
        return f"{count} ({_name(first)}) with spaces between them"
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(map(str, typing.get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return ", ".join(str(member.value) for member in kind)
    return {type(None): "none", bool: "true or false"}.get(kind) or kind.__name__
