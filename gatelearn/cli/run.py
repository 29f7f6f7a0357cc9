"""``gatelearn run``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from gatelearn.cli.options import (
    find_study,
    first_line,
    folder_of,
    option,
    parse,
    preset_of,
    preset_option,
)
from gatelearn.errors import UserError, require
from gatelearn.runs import Table, load_config


def run(name: str, argv: list[str]) -> int:
    """Run a study with the options `argv`; return the exit code."""
    study = find_study(name)
    # these decide what the defaults of all others are, so they are read first
    preset = preset_of(argv)
    out, resume = folder_of(name, argv)
    if resume and preset is None and (out / "config.json").exists():
        default = load_config(study.Config, out)
    else:
        default = study.Config.preset(preset or "default")
    options, config = parse(f"gatelearn run {name}", first_line(study), _options(), default, argv)
    return complete(study, config, options, out, resume, ["gatelearn", "run", name])


def complete(study: ModuleType, config: Any, options: Any, out: Path, resume: bool,
             command: list[str]) -> int:
    """Run a study to its end, or until Ctrl-C; return the exit code.

    `options` are the command's own; `command` is what resumes it, but for --resume.
    """
    _use_threads(options.threads)
    if not options.quiet:
        print(f"run folder: {out}", file=sys.stderr)
    try:
        result = study.run(config, out=out, resume=resume, progress=not options.quiet)
    except KeyboardInterrupt:
        if not (out / "config.json").exists():
            raise
        again = shlex.join([*command, "--resume", str(out)])
        print(f"\nstopped; continue with: {again}", file=sys.stderr)
        return 130
    _print_result(result, out)
    return 0


def _use_threads(threads: int | None) -> None:
    """Set the number of threads that --threads asks for, if it does."""
    if threads is None:
        return
    if threads < 1:
        raise UserError(f"--threads is {threads}, expected at least 1")
    from gatelearn import set_num_threads

    set_num_threads(threads)


def _options() -> dict[str, tuple[Any, Any]]:
    return {
        "preset": preset_option("the run"),
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


def print_table(table: Table) -> None:
    """Print a table, on a terminal as wide as that is."""
    if sys.stdout.isatty():
        require("rich.console").Console().print(table)
    else:
        print(table)


def _print_result(result: Any, out: Path) -> None:
    """Print the table of a run, its notes, and where its files are."""
    # every task is in the file; the screen shows what they come to
    table = result.table
    if "task" in table.columns:
        table = table.where(task="overall")
    print_table(table)
    for note in getattr(result, "notes", ()):
        print(note)
    figures = sorted(out.rglob("*.png"))
    if figures:
        print("\nfigures:    " + "\n            ".join(map(str, figures)))
    print(f"table:      {out / 'table.csv'}")
    print(f"curves:     {shlex.join(['tensorboard', '--logdir', str(out / 'metrics')])}")
