"""Options that commands share, and how they are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from gatelearn.errors import UserError, require, suggest
from gatelearn.runs import next_folder, run_numbers

PRESETS = ("quick", "default", "full")


def find_study(name: str) -> ModuleType:
    """Return a study by name."""
    from gatelearn.studies import STUDIES

    if name not in STUDIES:
        raise UserError(f"unknown study '{name}'{suggest(name, STUDIES)}")
    return STUDIES[name]


def first_line(study: ModuleType) -> str:
    """Return what a study is about."""
    return (study.__doc__ or "").strip().partition("\n")[0]


def option(kind: Any, default: Any, text: str, **how: Any) -> tuple[Any, Any]:
    """Return type and default of an option with its help."""
    tyro = require("tyro")
    return Annotated[kind, tyro.conf.arg(help=text, **how)], dataclasses.field(default=default)


def preset_option(extent: str) -> tuple[Any, Any]:
    """Return the option --preset."""
    return option(
        Literal[PRESETS], "default",
        f"Size of {extent}: quick takes seconds, default minutes, full is the paper's. The "
        "defaults of the study's options are those of the preset.")


def parse(prog: str, description: str, options: Mapping[str, tuple[Any, Any]], default: Any,
          argv: list[str]) -> tuple[Any, Any]:
    """Return the values of a command's options, and the config of a study from its own options.

    Parameters
    ----------
    prog, description : str
        For the help.
    options : mapping of str to tuple
        As `option` makes them.
    default : dataclass instance
        The config where no option says otherwise.
    argv : list of str
    """
    tyro = require("tyro")
    own = dataclasses.make_dataclass(
        "own", [(name, kind, field) for name, (kind, field) in options.items()])
    flat = tyro.conf.arg(name="")
    both = dataclasses.make_dataclass(
        "Both", [("own", Annotated[own, flat]), ("study", Annotated[type(default), flat])])
    # tyro has no option with an optional value
    parsed = tyro.cli(both, prog=prog, description=description,
                      args=_without_bare(argv, "--resume"), default=both(own(), default))
    return parsed.own, parsed.study


def value_of(argv: list[str], name: str) -> str | None:
    """Return the last value of an option, "" where it stands bare, None where it is absent."""
    found = None
    for i, word in enumerate(argv):
        if word.startswith(name + "="):
            found = word.partition("=")[2]
        elif word == name:
            bare = i + 1 == len(argv) or argv[i + 1].startswith("-")
            found = "" if bare else argv[i + 1]
    return found


def folder_of(name: str, argv: list[str], what: str = "run") -> tuple[Path, bool]:
    """Return the folder that --out and --resume mean, and whether to resume.

    Parameters
    ----------
    name : str
        What folders without --out are called, before their number.
    argv : list of str
    what : str
        Whose folder it is, for messages.
    """
    out, resume = value_of(argv, "--out"), value_of(argv, "--resume")
    if resume is None:
        return Path(out) if out else next_folder(name), False
    if resume:
        if out and Path(out) != Path(resume):
            raise UserError(f"--out is '{out}' but --resume is '{resume}': give one of them")
        if not Path(resume).is_dir():
            raise FileNotFoundError(f"--resume is '{resume}', expected the folder of a {what}")
        return Path(resume), True
    if out:
        return Path(out), True
    numbers = run_numbers(name)
    if not numbers:
        raise FileNotFoundError(f"there is no {what} to resume: runs/ holds no {name}-N")
    return Path("runs", f"{name}-{max(numbers)}"), True


def preset_of(argv: list[str]) -> str | None:
    """Return the preset, where it is given; a wrong one is left for `parse` to refuse."""
    preset = value_of(argv, "--preset")
    return None if preset is None else preset if preset in PRESETS else "default"


def _without_bare(argv: list[str], name: str) -> list[str]:
    return [
        word
        for i, word in enumerate(argv)
        if word != name or (i + 1 < len(argv) and not argv[i + 1].startswith("-"))
    ]
