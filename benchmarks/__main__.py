"""``python benchmarks``: how fast the installed gatelearn is, beside others, here and now."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

GROUPS = ("attention", "gated", "decode", "hard", "conv", "wsa", "train", "rl", "memory")


def main() -> int:
    options = parse()
    if options.child:
        measure_all(options)
        return 0

    import report

    where = report.machine()
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.resume:
        options.rows.unlink(missing_ok=True)
    # a process for each number of threads: some libraries read it only when they are loaded
    for threads in options.threads:
        variables = ("GATELEARN_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                     "MKL_NUM_THREADS")
        env = {**os.environ, **dict.fromkeys(variables, str(threads)),
               # NumPy's idle threads would spin on through the next 30 ms: 2**26 cycles, now 2**20
               "OPENBLAS_THREAD_TIMEOUT": "20"}
        code = subprocess.run([sys.executable, str(Path(__file__).parent), *sys.argv[1:],
                               "--child"], env=env).returncode
        if code:
            return code

    rows = read_rows(options)
    report.finish(rows)
    report.show(rows)
    print("written: " + ", ".join(str(p) for p in report.write(options.out, rows, where)))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true",
                        help="small shapes, few rounds: shows that all runs, measures nothing")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, help="groups to run")
    parser.add_argument("--threads", nargs="+", type=int, default=None,
                        help="numbers of threads, by default 1 and all processors")
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each row (3)")
    parser.add_argument("--out", type=Path, default=Path("runs", "benchmarks"),
                        help="folder of the JSON file and the figure")
    parser.add_argument("--resume", action="store_true",
                        help="keep the rows that a stopped run left in the folder")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.rows = options.out / "rows.jsonl"
    everyone = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if options.threads is None:
        options.threads = [1] if everyone == 1 or options.quick else [1, everyone]
    if min(options.threads) < 1:
        parser.error(f"--threads is {min(options.threads)}, expected at least 1")
    return options


def read_rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows measured so far."""
    if not options.rows.exists():
        return []
    return [json.loads(line) for line in options.rows.read_text().splitlines()]


def measure_all(options: argparse.Namespace) -> None:
    """Measure every case in this process; each row is kept as soon as it is there."""
    if hasattr(os, "sched_setaffinity"):
        # some peers cannot be told how many threads to use: they ask how many processors there are
        ours = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, ours[:int(os.environ["GATELEARN_NUM_THREADS"])])
    from timing import measure

    import gatelearn as gl

    threads, quick = gl.get_num_threads(), options.quick
    modules = {name: importlib.import_module(f"rows_{name}") for name in options.only}
    done = {(row["group"], row["name"], row["threads"]) for row in read_rows(options)}
    cases = [case for name in modules if name != "memory" for case in modules[name].cases(quick)]
    for i, case in enumerate(cases, 1):
        if (case.group, case.name, threads) in done:
            continue
        print(f"[{threads} threads, {i}/{len(cases)}] {case.name}", file=sys.stderr, flush=True)
        row = measure(case, threads=threads, quick=quick, seconds=options.seconds)
        if case.group == "closed work" and not quick:
            modules["gated"].judge(row)
        keep(options, row)
    if "memory" in modules and ("memory", threads) not in {(g, t) for g, _, t in done}:
        keep(options, modules["memory"].row(threads, quick))


def keep(options: argparse.Namespace, row: dict[str, Any]) -> None:
    with options.rows.open("a") as file:
        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    sys.exit(main())
