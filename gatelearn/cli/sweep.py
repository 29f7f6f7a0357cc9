"""``gatelearn sweep``."""

from __future__ import annotations

import itertools
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from gatelearn.cli.options import (
    find_study,
    first_line,
    folder_of,
    option,
    parse,
    preset_of,
    preset_option,
)
from gatelearn.cli.run import print_table
from gatelearn.errors import UserError, require
from gatelearn.runs.config import leaves


def sweep(name: str, argv: list[str]) -> int:
    """Search the settings of a study with the options `argv`; return the exit code."""
    from gatelearn import sweeps
    from gatelearn.sweeps.plan import Plan

    study = find_study(name)
    preset = preset_of(argv)
    out, resume = folder_of(f"sweep-{name}", argv, "sweep")
    if resume and preset is None and (out / "sweep.json").exists():
        default = Plan.load(out).config
    else:
        default = study.Config.preset(preset or "default")
    options, config = parse(
        f"gatelearn sweep {name}",
        f"Search the settings of a study by trials, each an ordinary run. {first_line(study)}",
        _options(), default, argv)
    if not options.quiet:
        print(f"sweep folder: {out}", file=sys.stderr)
    try:
        result = sweeps.sweep(
            name, _vary(options.vary), trials=options.trials, workers=options.workers,
            overrides={setting: value for setting, (_, value) in leaves(config).items()},
            metric=options.metric, direction=options.direction, out=out, resume=resume,
            engine=options.engine, address=options.address, sampler=options.sampler,
            progress=not options.quiet)
    except KeyboardInterrupt:
        if not (out / "sweep.json").exists():
            raise
        command = shlex.join(["gatelearn", "sweep", name, "--resume", str(out)])
        print(f"\nstopped; continue with: {command}", file=sys.stderr)
        return 130
    _print_result(result)
    return 0 if result.best is not None else 1


def _options() -> dict[str, tuple[Any, Any]]:
    return {
        "vary": option(
            # once with many, or many times
            Annotated[tuple[tuple[str, ...], ...], require("tyro").conf.UseAppendAction], (),
            "Settings to vary, each NAME=A,B,C (values), NAME=LOW:HIGH (a range) or "
            "NAME=LOW:HIGH:log. Where a value has several parts, they have spaces between them: "
            "'NAME=1 2,3'. NAME is that of the study's option below, such as gates.lr, or its last "
            "part where that is unique. Every other option of the study holds for all trials.",
            metavar="NAME=VALUES ..."),
        "trials": option(
            int | None, None,
            "How many in all, failed ones included. Default: 20, with sampler grid all "
            "combinations. A resumed sweep may be given another number.", metavar="INT"),
        "workers": option(int, 1, "Trials at a time; they share the processors."),
        "engine": option(
            Literal["local", "ray"], "local",
            "Where trials run: on this machine, or on a Ray cluster that you have started and "
            "whose machines see the sweep's folder and the one you work in."),
        "address": option(
            str | None, None, "Address of the Ray cluster. Default: that of this machine.",
            metavar="ADDRESS"),
        "preset": preset_option("each run"),
        "out": option(
            Path | None, None,
            "New folder for the sweep. Default: the next of runs/sweep-STUDY-1 and so on.",
            metavar="DIR"),
        "resume": option(
            Path | None, None,
            "Continue the sweep in DIR as it was asked for; without DIR, the one in --out or else "
            "the latest in runs/.", metavar="[DIR]"),
        "metric": option(
            str | None, None,
            "Path of a number in the summary of a run, with dots. Default: the study's own.",
            metavar="PATH"),
        "direction": option(
            Literal["maximize", "minimize"] | None, None,
            "What is good for the metric; needed with a --metric that is not the study's own."),
        "sampler": option(
            Literal["tpe", "random", "grid"] | None, None,
            "How settings are proposed: from what was good so far (default), by chance, or all "
            "combinations. --seed seeds it and the runs; with several workers, what tpe proposes "
            "depends on the order in which trials finish."),
        "quiet": option(bool, False, "Show no progress."),
    }


def _vary(words: tuple[tuple[str, ...], ...]) -> dict[str, str]:
    vary: dict[str, str] = {}
    for word in itertools.chain(*words):
        name, equals, values = word.partition("=")
        if not equals:
            raise UserError(f"--vary has '{word}', expected NAME=VALUES")
        if name in vary:
            raise UserError(f"--vary has '{name}' twice")
        vary[name] = values
    return vary


def _print_result(result: Any) -> None:
    print_table(result.table)
    for note in result.notes:
        print(note)
    figures = sorted((result.path / "figures").glob("*.png"))
    if figures:
        print("\nfigures:    " + "\n            ".join(map(str, figures)))
    print(f"table:      {result.path / 'table.csv'}")
    print(f"curves:     {shlex.join(['tensorboard', '--logdir', str(result.path / 'trials')])}")
    print(f"dashboard:  {result.dashboard}")
