"""The ``gatelearn`` command: run a study, sweep its settings, pre-train encoders, show build."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gatelearn.cli.options import first_line
from gatelearn.errors import MissingPackageError, UserError, suggest

_USAGE = """\
usage: gatelearn run STUDY [options]    run a study; `gatelearn run STUDY --help` lists its options
       gatelearn sweep STUDY [options]  search its settings; --help likewise
       gatelearn pretrain atari [...]   train encoders on frames of a game; --help likewise
       gatelearn config                 show how the library was built and what it runs on
       gatelearn --version
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments. Default: those of the process.

    Returns
    -------
    int
        Exit code: 0, 1 when no trial of a sweep has a value, 2 after a user's mistake, 130 when
        stopped by Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        return _command(argv)
    except (UserError, MissingPackageError) as error:
        return _fail(str(error))
    except OSError as error:
        # of the user's files and folders; any other exception is a bug and shows its traceback
        if error.filename is None:
            return _fail(error.strerror or str(error))
        return _fail(f"{error.strerror}: '{error.filename}'")
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except SystemExit as exit_:
        # tyro has printed help or what is wrong
        return exit_.code if isinstance(exit_.code, int) else 2


def _command(argv: list[str]) -> int:
    match argv:
        case []:
            print(_USAGE, end="", file=sys.stderr)
            return 2
        case ["-h" | "--help", *_]:
            print(_USAGE + "\n" + _list_studies(), end="")
        case ["--version"]:
            from gatelearn._version import __version__

            print(f"gatelearn {__version__}")
        case ["config"]:
            from gatelearn import show_config

            show_config()
        case ["config", "-h" | "--help"]:
            print(_USAGE, end="")
        case ["run" | "sweep"]:
            print(_USAGE + "\n" + _list_studies(), end="", file=sys.stderr)
            return 2
        case ["run" | "sweep", "-h" | "--help", *_]:
            print(_USAGE + "\n" + _list_studies(), end="")
        case ["run", name, *options]:
            from gatelearn.cli.run import run

            return run(name, options)
        case ["sweep", name, *options]:
            from gatelearn.cli.sweep import sweep

            return sweep(name, options)
        case ["pretrain", source, *options] if not source.startswith("-"):
            from gatelearn.cli.pretrain import pretrain

            return pretrain(source, options)
        case ["pretrain", *rest]:
            print(_USAGE, end="", file=sys.stdout if rest else sys.stderr)
            return 0 if rest else 2
        case ["config" | "--version", extra, *_]:
            raise UserError(f"unexpected argument '{extra}' after '{argv[0]}'")
        case [word, *_]:
            known = ["run", "sweep", "pretrain", "config", "--version", "--help"]
            raise UserError(f"unknown command '{word}'{suggest(word, known)}")
    return 0


def _list_studies() -> str:
    from gatelearn.studies import STUDIES

    width = max(map(len, STUDIES), default=0)
    lines = [f"  {name.ljust(width)}  {first_line(study)}" for name, study in STUDIES.items()]
    return "studies:\n" + "\n".join(lines) + "\n"


def _fail(message: str) -> int:
    print(f"gatelearn: error: {' '.join(message.split())}", file=sys.stderr)
    return 2
