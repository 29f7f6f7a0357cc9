"""``python benchmarks``: how fast the installed gatelearn is, beside others, here and now."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

GROUPS = ("attention", "gated", "decode", "train", "rl", "memory")


def main() -> int:
    options = parse()
    if options.child:
        Path(options.child).write_text(json.dumps(run(options)))
        return 0

    # a process for each number of threads: some libraries read it only when they are loaded
    rows, where = [], {}
    for threads in options.threads:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "rows.json")
            variables = ("GATELEARN_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                         "MKL_NUM_THREADS")
            env = {**os.environ, **dict.fromkeys(variables, str(threads))}
            command = [sys.executable, str(Path(__file__).parent), *sys.argv[1:], "--child",
                       str(path)]
            code = subprocess.run(command, env=env).returncode
            if code:
                return code
            part = json.loads(path.read_text())
        rows += part["rows"]
        where = part["machine"]

    import report

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
    parser.add_argument("--seconds", type=float, default=6.0, help="time for each row (6)")
    parser.add_argument("--out", type=Path, default=Path("runs", "benchmarks"),
                        help="folder of the JSON file and the figure")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    everyone = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if options.threads is None:
        options.threads = [1] if everyone == 1 or options.quick else [1, everyone]
    if min(options.threads) < 1:
        parser.error(f"--threads is {min(options.threads)}, expected at least 1")
    return options


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every case in this process; return the rows."""
    import report
    from timing import measure

    import gatelearn as gl

    threads, quick = gl.get_num_threads(), options.quick
    where = report.machine()
    modules = {name: importlib.import_module(f"rows_{name}") for name in options.only}
    cases = [case for name in modules if name != "memory" for case in modules[name].cases(quick)]
    rows = []
    for i, case in enumerate(cases, 1):
        print(f"[{threads} threads, {i}/{len(cases)}] {case.name}", file=sys.stderr, flush=True)
        row = measure(case, threads=threads, quick=quick, seconds=options.seconds)
        if case.group == "closed work" and not quick:
            modules["gated"].judge(row)
        rows.append(row)
    if "memory" in modules:
        rows.append(modules["memory"].row(threads, quick))
    return {"rows": rows, "machine": where}


if __name__ == "__main__":
    sys.exit(main())
