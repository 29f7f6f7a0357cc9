"""The ``gatelearn`` command: run a study, resume it, show how the library was built."""

from __future__ import annotations

import dataclasses
import difflib
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from .errors import MissingPackageError, UserError, require
from .runs import load_config, next_folder, run_numbers

PRESETS = ("quick", "default", "full")

_USAGE = """\
usage: gatelearn run STUDY [options]   run a study; `gatelearn run STUDY --help` lists its options
       gatelearn config                show how the library was built and what it runs on
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
        Exit code: 0, 2 after a user's mistake, 130 when stopped by Ctrl-C.
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
            from ._version import __version__

            print(f"gatelearn {__version__}")
        case ["config"]:
            from . import show_config

            show_config()
        case ["config", "-h" | "--help"]:
            print(_USAGE, end="")
        case ["run"]:
            print(_USAGE + "\n" + _list_studies(), end="", file=sys.stderr)
            return 2
        case ["run", "-h" | "--help", *_]:
            print(_USAGE + "\n" + _list_studies(), end="")
        case ["run", name, *options]:
            return _run(name, options)
        case ["config" | "--version", extra, *_]:
            raise UserError(f"unexpected argument '{extra}' after '{argv[0]}'")
        case [word, *_]:
            known = ["run", "config", "--version", "--help"]
            raise UserError(f"unknown command '{word}'{_suggest(word, known)}")
    return 0


def _run(name: str, argv: list[str]) -> int:
    from .studies import STUDIES

    if name not in STUDIES:
        raise UserError(f"unknown study '{name}'{_suggest(name, STUDIES)}")
    study = STUDIES[name]
    config, options, out, resume = _parse(name, study, argv)
    if options.threads is not None:
        if options.threads < 1:
            raise UserError(f"--threads is {options.threads}, expected at least 1")
        from . import set_num_threads

        set_num_threads(options.threads)
    if not options.quiet:
        print(f"run folder: {out}", file=sys.stderr)
    try:
        result = study.run(config, out=out, resume=resume, progress=not options.quiet)
    except KeyboardInterrupt:
        if not (out / "config.json").exists():
            raise
        command = shlex.join(["gatelearn", "run", name, "--resume", str(out)])
        print(f"\nstopped; continue with: {command}", file=sys.stderr)
        return 130
    _print_result(result, out)
    return 0


def _parse(name: str, study: ModuleType, argv: list[str]) -> tuple[Any, Any, Path, bool]:
    """Return the config, the run options, the run folder and whether to resume."""
    tyro = require("tyro")
    # these decide what the defaults of all others are, so they are read first
    preset, out, resume = (_value(argv, option) for option in ("--preset", "--out", "--resume"))
    if resume is not None:
        folder = _folder_to_resume(name, out, resume)
    else:
        folder = Path(out) if out else next_folder(name)
    if resume is not None and preset is None and (folder / "config.json").exists():
        default = load_config(study.Config, folder)
    else:
        default = study.Config.preset(preset if preset in PRESETS else "default")

    run_options = _run_options(tyro)
    both = dataclasses.make_dataclass(
        "Both",
        [
            ("run", Annotated[run_options, tyro.conf.arg(name="")]),
            ("study", Annotated[study.Config, tyro.conf.arg(name="")]),
        ],
    )
    parsed = tyro.cli(
        both,
        prog=f"gatelearn run {name}",
        description=_first_line(study),
        # tyro has no option with an optional value
        args=_without_bare(argv, "--resume"),
        default=both(run_options(), default),
    )
    return parsed.study, parsed.run, folder, resume is not None


def _run_options(tyro: ModuleType) -> type:
    def option(kind: Any, default: Any, text: str, **how: Any) -> tuple[Any, Any]:
        return Annotated[kind, tyro.conf.arg(help=text, **how)], dataclasses.field(default=default)

    options = {
        "preset": option(
            Literal[PRESETS],
            "default",
            "Size of the run: quick takes seconds, default minutes, full is the paper's. The "
            "defaults of the other options are those of the preset.",
        ),
        "out": option(
            Path | None,
            None,
            "New folder for the run. Default: the next of runs/STUDY-1, runs/STUDY-2 and so on.",
            metavar="DIR",
        ),
        "resume": option(
            Path | None,
            None,
            "Continue the run in DIR with its settings; without DIR, the one in --out or else the "
            "latest in runs/.",
            metavar="[DIR]",
        ),
        "threads": option(
            int | None, None, "Number of threads; results do not depend on it.", metavar="INT"
        ),
        "quiet": option(bool, False, "Show no progress."),
    }
    fields = [(name, kind, field) for name, (kind, field) in options.items()]
    return dataclasses.make_dataclass("run", fields)


def _value(argv: list[str], option: str) -> str | None:
    """Return the last value of `option`, "" where it stands bare, None where it is absent."""
    found = None
    for i, word in enumerate(argv):
        if word.startswith(option + "="):
            found = word.partition("=")[2]
        elif word == option:
            bare = i + 1 == len(argv) or argv[i + 1].startswith("-")
            found = "" if bare else argv[i + 1]
    return found


def _without_bare(argv: list[str], option: str) -> list[str]:
    return [
        word
        for i, word in enumerate(argv)
        if word != option or (i + 1 < len(argv) and not argv[i + 1].startswith("-"))
    ]


def _folder_to_resume(name: str, out: str | None, resume: str) -> Path:
    if resume:
        if out and Path(out) != Path(resume):
            raise UserError(f"--out is '{out}' but --resume is '{resume}': give one of them")
        if not Path(resume).is_dir():
            raise FileNotFoundError(f"--resume is '{resume}', expected the folder of a run")
        return Path(resume)
    if out:
        return Path(out)
    numbers = run_numbers(name)
    if not numbers:
        raise FileNotFoundError(f"there is no run to resume: runs/ holds no {name}-N")
    return Path("runs", f"{name}-{max(numbers)}")


def _print_result(result: Any, out: Path) -> None:
    # every task is in the file; the screen shows what they come to
    table = result.table
    if "task" in table.columns:
        table = table.where(task="overall")
    if sys.stdout.isatty():
        require("rich.console").Console().print(table)
    else:
        print(table)
    for note in getattr(result, "notes", ()):
        print(note)
    figures = sorted(out.rglob("*.png"))
    if figures:
        print("\nfigures:    " + "\n            ".join(map(str, figures)))
    print(f"table:      {out / 'table.csv'}")
    print(f"curves:     {shlex.join(['tensorboard', '--logdir', str(out / 'metrics')])}")


def _list_studies() -> str:
    from .studies import STUDIES

    width = max(map(len, STUDIES), default=0)
    lines = [f"  {name.ljust(width)}  {_first_line(study)}" for name, study in STUDIES.items()]
    return "studies:\n" + "\n".join(lines) + "\n"


def _first_line(study: ModuleType) -> str:
    return (study.__doc__ or "").strip().partition("\n")[0]


def _suggest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; expected one of {', '.join(known)}"


def _fail(message: str) -> int:
    print(f"gatelearn: error: {' '.join(message.split())}", file=sys.stderr)
    return 2
