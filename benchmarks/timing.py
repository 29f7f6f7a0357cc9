"""How a case is measured: by turns, so that a slow minute of the machine hits everyone alike."""

from __future__ import annotations

import gc
import importlib
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

OURS = "gatelearn"


@dataclass
class Case:
    """One line of the table.

    `setup` returns what to time, by name and with ours first; arrays that the functions return must
    agree within `tolerance` of the largest value. Where a peer cannot take part, `setup` writes the
    reason into `skipped` instead.
    """

    group: str
    name: str
    setup: Callable[[dict[str, str]], dict[str, Callable[[], Any]]]
    flops: float = 0.0                              # of one call, to compare with the sgemm limit
    tolerance: float = 1e-3
    unlike: tuple[str, ...] = ()                    # names whose results are another question's
    facts: dict[str, Any] = field(default_factory=dict)


def optional(name: str, skipped: dict[str, str], label: str | None = None) -> ModuleType | None:
    """Import a peer, or note that it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        skipped[label or name] = f"not installed ({error})"
        return None


def as_array(value: Any) -> np.ndarray | None:
    """A result as an array, if it is one of ours or PyTorch's."""
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    return value if isinstance(value, np.ndarray) else None


def check_agreement(results: dict[str, Any], tolerance: float) -> None:
    """Raise if a peer computes something else: then its time says nothing."""
    ours = as_array(results[OURS])
    for name, value in results.items():
        other = as_array(value)
        if ours is None or other is None:
            continue
        scale = max(float(np.abs(ours).max(initial=0)), 1e-30)
        error = float(np.abs(ours - other).max(initial=0)) / scale
        if not error <= tolerance:
            raise AssertionError(f"{name} differs by {error:.2g} of the largest value, "
                                 f"expected {tolerance:.2g}")


def interleave(functions: dict[str, Callable[[], Any]], *, seconds: float,
               rounds: tuple[int, int]) -> dict[str, list[float]]:
    """Time the functions by turns; return the seconds of one call, a number for each round.

    A round calls each function as often as fills about 20 ms, after a pause in which the idle
    threads of the one before fall asleep (OpenMP's go on spinning, on processors that others want)
    and half as many calls that wake its own. There are at least ``rounds[0]`` and at most
    ``rounds[1]`` rounds, as many as fit in `seconds`.
    """
    calls = {}
    for name, function in functions.items():
        function()
        start = time.perf_counter()
        function()
        calls[name] = max(1, math.ceil(0.02 / max(time.perf_counter() - start, 1e-7)))

    samples: dict[str, list[float]] = {name: [] for name in functions}
    begin = time.perf_counter()
    gc.collect()
    gc.disable()
    try:
        for i in range(rounds[1]):
            if i >= rounds[0] and time.perf_counter() - begin > seconds:
                break
            # who goes first changes, since the first finds the caches of the last
            order = list(functions)[i % len(functions):] + list(functions)[:i % len(functions)]
            for name in order:
                time.sleep(0.02)
                for _ in range(calls[name] // 2):
                    functions[name]()
                start = time.perf_counter()
                for _ in range(calls[name]):
                    functions[name]()
                samples[name].append((time.perf_counter() - start) / calls[name])
    finally:
        gc.enable()
    return samples


def measure(case: Case, *, threads: int, quick: bool, seconds: float) -> dict[str, Any]:
    """Run one case and return its row, as it stands in the JSON file."""
    skipped: dict[str, str] = {}
    functions = case.setup(skipped)
    results = {}
    for name in list(functions):
        try:
            results[name] = functions[name]()
        except Exception as error:
            if name == OURS:
                raise
            # a peer that cannot run here, such as a compiler that it does not find
            skipped[name] = f"failed: {type(error).__name__}: {str(error).splitlines()[0][:120]}"
            del functions[name]
    check_agreement({n: r for n, r in results.items() if n not in case.unlike}, case.tolerance)
    del results

    samples = interleave(functions, seconds=0.05 if quick else seconds,
                         rounds=(1, 2) if quick else (3, 101))
    ms = {name: 1e3 * statistics.median(times) for name, times in samples.items()}
    row = {
        "group": case.group, "name": case.name, "threads": threads, "ms": ms,
        "best_ms": {name: 1e3 * min(times) for name, times in samples.items()},
        "rounds": len(samples[OURS]),
        # of one round, then the median: both were measured in the same moment
        "ratio": {name: statistics.median(b / a for a, b in zip(samples[OURS], times, strict=True))
                  for name, times in samples.items() if name != OURS},
        **case.facts,
    }
    if case.flops:
        row["gflops"] = case.flops / ms[OURS] / 1e6
    if skipped:
        row["skipped"] = skipped
    return row
