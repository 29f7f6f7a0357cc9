"""The table, the JSON file and the figure."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from timing import OURS

from gatelearn import _config

PEERS = ("numpy", "torch", "jax", "onnxruntime", "stable-baselines3", "matplotlib", "rich",
         "scipy-openblas32")


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    versions = {"python": platform.python_version()}
    for name in PEERS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"processor": processor(), "processors": os.cpu_count(), "system": platform.platform(),
            "load": os.getloadavg()[0], "date": datetime.date.today().isoformat(),
            "gatelearn": _config.config(), "versions": versions}


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":")[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def finish(rows: list[dict[str, Any]]) -> None:
    """Add to each row with a count of operations its share of the sgemm limit."""
    limits: dict[int, float] = {}
    for row in rows:
        if row["group"] == "limit":
            # the fastest of all libraries
            fastest = row["gflops"] * max([1, *(1 / r for r in row["ratio"].values())])
            limits[row["threads"]] = fastest
    for row in rows:
        if "gflops" in row and row["threads"] in limits:
            row["limit_share"] = row["gflops"] / limits[row["threads"]]


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table, by rich where it is installed."""
    header = ("row", "threads", "ours ms", "peers: ms (times ours)", "GF/s", "of limit", "bound")
    lines = [cells(row) for row in rows]
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        for line in [header, *lines]:
            print(" | ".join(line))
    else:
        table = Table(box=None, header_style="bold")
        for i, name in enumerate(header):
            table.add_column(name, justify="left" if i in (0, 3) else "right",
                             overflow="fold" if i in (0, 3) else "ignore", no_wrap=i not in (0, 3))
        group = None
        for row, line in zip(rows, lines, strict=True):
            if row["group"] != group:
                group = row["group"]
                table.add_row(f"[bold]{group}[/bold]")
            table.add_row(*line)
        width = None if sys.stdout.isatty() else 140
        Console(width=width, highlight=False, markup=True).print(table)
    seen = {(name, why) for row in rows for name, why in row.get("skipped", {}).items()}
    for name, why in sorted(seen):
        print(f"skipped: {name}: {why}")


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    peers = [f"{name} {number(row['ms'][name])} ({ratio:.2f}x)"
             for name, ratio in row["ratio"].items()]
    bound = ""
    if "bound_ms" in row:
        bound = f"{number(row['bound_ms'])} {'kept' if row['holds'] else 'MISSED'}"
    return (row["name"], str(row["threads"]),
            number(row["ms"][OURS]) if OURS in row["ms"] else "",
            row.get("note") or ", ".join(peers),
            f"{row['gflops']:.0f}" if "gflops" in row else "",
            f"{row['limit_share']:.0%}" if "limit_share" in row else "", bound)


def number(ms: float) -> str:
    return f"{ms:.3g}" if ms < 100 else f"{ms:.0f}"


def write(folder: Path, rows: list[dict[str, Any]], where: dict[str, Any]) -> list[Path]:
    """Write the JSON file and, where there is Matplotlib, the figure; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "benchmarks.json"
    path.write_text(json.dumps({"machine": where, "rows": rows}, indent=1) + "\n")
    written = [path]
    gated = [row for row in rows if row["group"] == "closed work"]
    try:
        from gatelearn import plots

        for threads in sorted({row["threads"] for row in gated}):
            points = [{"name": f"{row['what']} {row['passes']}", "closed": row["closed"],
                       "ms": row["ms"][OURS]} for row in gated if row["threads"] == threads]
            figure = plots.scaling(points, title=f"{gated[0]['shape']}, threads: {threads}")
            written += plots.save(figure, folder / f"scaling-{threads}")
    except ImportError as error:
        print(f"no figure: {error}")
    return written
