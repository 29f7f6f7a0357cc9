"""Errors that tell a user's mistake from a bug."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType

__all__ = ["MissingPackageError", "UserError", "require", "suggest"]


class UserError(ValueError):
    """What the user gave cannot be used: a setting, a file, a run folder.

    The message is one line that names the thing, what it is and what was expected. The command
    line prints it without a traceback; any other `ValueError` counts as a bug.
    """


class MissingPackageError(ImportError):
    """An optional package that this part of the library needs is not installed."""


def require(module: str, *, install: str = "'gatelearn[lab]'") -> ModuleType:
    """Import an optional module.

    Parameters
    ----------
    module : str
        Dotted name, as in ``importlib.import_module``.
    install : str, optional
        What to give to ``pip install``.

    Returns
    -------
    module

    Raises
    ------
    MissingPackageError
        If its package is not installed; the message says how to install it.

    Examples
    --------
    >>> require("json").dumps([1])
    '[1]'
    >>> require("no_such_package.part")
    Traceback (most recent call last):
        ...
    gatelearn.errors.MissingPackageError: no_such_package is not installed: \
pip install 'gatelearn[lab]'
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingPackageError(
            f"{package} is not installed: pip install {install}", name=package
        ) from None


def suggest(word: str, known: Iterable[str]) -> str:
    """Return what to add to the message that a word is unknown.

    Examples
    --------
    >>> suggest("gatin", ["gating", "hard"])
    "; did you mean 'gating'?"
    >>> suggest("xyz", ["gating", "hard"])
    '; expected one of gating, hard'
    """
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; expected one of {', '.join(known)}"
