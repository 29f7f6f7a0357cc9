"""A config dataclass as JSON and back, exactly."""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..errors import UserError, suggest

T = TypeVar("T")


def to_json(config: Any) -> dict[str, Any]:
    """Return a config dataclass as a tree of JSON types.

    Parameters
    ----------
    config : dataclass instance
        Fields may be numbers, strings, paths, enums, tuples, lists, dicts with string keys and
        dataclasses of these.

    Returns
    -------
    dict

    Raises
    ------
    TypeError
        If a field would not come back from JSON as it was.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Config:
    ...     heads: tuple[int, ...] = (8, 4)
    >>> to_json(Config())
    {'heads': [8, 4]}
    >>> from_json(Config, {"heads": [8, 4]})
    Config(heads=(8, 4))
    """
    tree = json.loads(json.dumps(dataclasses.asdict(config), default=_plain))
    back = from_json(type(config), tree)
    for field in dataclasses.fields(config):
        was, now = getattr(config, field.name), getattr(back, field.name)
        if not _same(was, now):
            raise TypeError(f"config field '{field.name}' is {was!r} but reads back as {now!r}")
    return tree


def from_json(cls: type[T], tree: Any, where: str = "") -> T:
    """Return the `cls` that `to_json` made `tree` of.

    Parameters
    ----------
    cls : type
        A dataclass.
    tree : dict
        Every field of `cls`, and no other.
    where : str, optional
        Dotted name of this dataclass within the config, for messages.

    Returns
    -------
    cls

    Raises
    ------
    UserError
        If a field is missing, unknown or of another type; the message names it.
    """
    if not isinstance(tree, dict):
        raise UserError(f"config {where or cls.__name__} is {tree!r}, expected an object")
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    for name in tree:
        if name not in names:
            raise UserError(f"config has an unknown field '{where}{name}'")
    values = {}
    for name in names:
        if name not in tree:
            raise UserError(f"config lacks the field '{where}{name}'")
        values[name] = _decode(hints[name], tree[name], where + name)
    return cls(**values)


def leaves(config: Any) -> dict[str, tuple[Any, Any]]:
    """Return the type and the value of every setting that is no dataclass itself.

    Parameters
    ----------
    config : dataclass instance

    Returns
    -------
    dict of str to tuple
        By dotted name.

    Examples
    --------
    >>> Gates = dataclasses.make_dataclass("Gates", [("lr", float)])
    >>> Config = dataclasses.make_dataclass("Config", [("steps", int), ("gates", Gates)])
    >>> leaves(Config(3, Gates(0.1)))
    {'steps': (<class 'int'>, 3), 'gates.lr': (<class 'float'>, 0.1)}
    >>> replace_leaves(Config(3, Gates(0.1)), {"gates.lr": 0.2})
    Config(steps=3, gates=Gates(lr=0.2))
    """
    found: dict[str, tuple[Any, Any]] = {}
    hints = typing.get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found |= {f"{field.name}.{name}": leaf for name, leaf in leaves(value).items()}
        else:
            found[field.name] = hints[field.name], value
    return found


def find_leaf(config: Any, name: str) -> str:
    """Return the dotted name of a setting, of which its last part is enough where it is unique.

    A hyphen may stand for an underscore, as on the command line.

    Raises
    ------
    UserError
        If there is no such setting, or more than one.
    """
    names, name = list(leaves(config)), name.replace("-", "_")
    if name in names:
        return name
    found = [known for known in names if known.endswith(f".{name}")]
    if len(found) > 1:
        raise UserError(f"setting '{name}' may be {' or '.join(found)}: give one of them")
    if not found:
        parts = [known.rpartition(".")[2] for known in names]
        raise UserError(f"unknown setting '{name}'{suggest(name, dict.fromkeys(names + parts))}")
    return found[0]


def replace_leaves(config: T, values: Mapping[str, Any]) -> T:
    """Return a config with some settings replaced.

    Parameters
    ----------
    config : dataclass instance
    values : mapping of str to object
        By name as `find_leaf` takes it; values as in the config or as in its JSON.

    Returns
    -------
    dataclass instance

    Raises
    ------
    UserError
        If a name is unknown or a value cannot be used; the message names it.
    """
    tree = to_json(config)
    for name, value in values.items():
        *path, last = find_leaf(config, name).split(".")
        node = tree
        for part in path:
            node = node[part]
        node[last] = json.loads(json.dumps(value, default=_plain))
    return from_json(type(config), tree)


def load_config(cls: type[T], path: str | Path) -> T:
    """Read the config of a run.

    Parameters
    ----------
    cls : type
        The study's config dataclass.
    path : path
        A run folder, or a ``config.json``.

    Returns
    -------
    cls

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    UserError
        If the file is not a config of this class.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "config.json"
    return from_json(cls, read_config(path)["config"])


def read_config(path: Path) -> dict[str, Any]:
    """Return the content of a ``config.json``: 'study', 'config' and 'made_with'."""
    if not path.is_file():
        raise FileNotFoundError(f"'{path}' does not exist: '{path.parent}' is not a run folder")
    try:
        tree = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"'{path}' is not valid JSON: {error}") from None
    if not isinstance(tree, dict) or not {"study", "config"} <= tree.keys():
        raise UserError(f"'{path}' was not written by gatelearn: it lacks 'study' or 'config'")
    return tree


def first_difference(a: Any, b: Any, where: str = "") -> tuple[str, Any, Any] | None:
    """Return the dotted name and both values of the first leaf that differs, or None."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            name = f"{where}.{key}" if where else key
            if key not in a or key not in b:
                return name, a.get(key, "absent"), b.get(key, "absent")
            if (found := first_difference(a[key], b[key], name)) is not None:
                return found
        return None
    return None if _same(a, b) else (where, a, b)


def _same(a: Any, b: Any) -> bool:
    # NaN is a setting like any other
    return a == b or json.dumps(a, default=repr) == json.dumps(b, default=repr)


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"config holds {value!r}, which JSON cannot hold")


def _decode(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _decode(args[0], value, where)
    if hint is Any:
        return value
    if hint is None or hint is type(None):
        if value is None:
            return None
    elif origin in (typing.Union, types.UnionType):
        for member in args:
            try:
                return _decode(member, value, where)
            except UserError:
                continue
    elif origin is typing.Literal:
        if any(value == arg and type(value) is type(arg) for arg in args):
            return value
    elif dataclasses.is_dataclass(hint):
        return from_json(hint, value, where + ".")
    elif origin is tuple and isinstance(value, list):
        if len(args) == 2 and args[1] is Ellipsis:
            args = (args[0],) * len(value)
        if len(args) == len(value):
            return tuple(_decode(args[i], v, f"{where}[{i}]") for i, v in enumerate(value))
    elif origin is list and isinstance(value, list):
        return [_decode(args[0], v, f"{where}[{i}]") for i, v in enumerate(value)]
    elif origin is dict and isinstance(value, dict):
        return {key: _decode(args[1], v, f"{where}.{key}") for key, v in value.items()}
    elif isinstance(hint, type):
        if issubclass(hint, enum.Enum):
            if value in [member.value for member in hint]:
                return hint(value)
        elif issubclass(hint, Path) and isinstance(value, str):
            return hint(value)
        # by type(), not isinstance: a bool is no int here
        elif hint is float and type(value) in (int, float):
            return float(value)
        elif type(value) is hint:
            return value
    name = getattr(hint, "__name__", None) if origin is None else str(hint)
    raise UserError(f"config field '{where}' is {value!r}, expected {name or hint}")
