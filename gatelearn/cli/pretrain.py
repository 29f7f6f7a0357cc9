"""``gatelearn pretrain``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gatelearn.cli.options import folder_of, option, parse
from gatelearn.cli.run import complete
from gatelearn.errors import UserError, suggest
from gatelearn.runs import load_config

SOURCES = ("atari",)


def pretrain(source: str, argv: list[str]) -> int:
    """Train encoders on frames of `source` with the options `argv`; return the exit code."""
    if source not in SOURCES:
        raise UserError(f"unknown source of frames '{source}'{suggest(source, SOURCES)}")
    from gatelearn.studies import pretraining

    out, resume = folder_of("pretrain", argv)
    default = pretraining.Config()
    if resume and (out / "config.json").exists():
        default = load_config(pretraining.Config, out)
    options, config = parse(
        f"gatelearn pretrain {source}",
        "Train encoders on frames of a random agent, and freeze them for WSA.",
        _options(), default, argv)
    return complete(pretraining, config, options, out, resume, ["gatelearn", "pretrain", source])


def _options() -> dict[str, tuple[Any, Any]]:
    return {
        "out": option(
            Path | None, None,
            "New folder for the encoders. Default: the next of runs/pretrain-1, runs/pretrain-2 "
            "and so on.", metavar="DIR"),
        "resume": option(
            Path | None, None,
            "Continue the run in DIR with its settings; without DIR, the one in --out or else the "
            "latest in runs/.", metavar="[DIR]"),
        "threads": option(
            int | None, None, "Number of threads; results do not depend on it.", metavar="INT"),
        "quiet": option(bool, False, "Show no progress."),
    }
