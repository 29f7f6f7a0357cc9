"""What the core runs on: BLAS, instruction set, threads."""

from __future__ import annotations

import contextlib
import ctypes.util
import os
from collections.abc import Iterator
from pathlib import Path

from gatelearn import _core
from gatelearn._version import __version__

_VENDORED = Path(__file__).parent / "_openblas"


def _load_blas() -> tuple[str, str]:
    """Open the BLAS that GATELEARN_BLAS names; return its kind and description."""
    kind = os.environ.get("GATELEARN_BLAS") or _core.default_blas()
    if kind == "none":
        return kind, "plain C product"
    if kind == "vendored":
        found = sorted(_VENDORED.glob("libscipy_openblas*"))
        path, prefix = (str(found[0]) if found else None), "scipy_"
        missing = f"no library in {_VENDORED}; reinstall gatelearn, or set GATELEARN_BLAS"
    elif kind == "system":
        path, prefix = ctypes.util.find_library("openblas"), ""
        missing = "no libopenblas is installed on this system"
    else:
        raise ImportError(f"GATELEARN_BLAS is {kind!r}, expected vendored, system or none")
    if path is None:
        raise ImportError(f"GATELEARN_BLAS is {kind!r}: {missing}")

    # our pool does the threading: this copy need not start threads of its own
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        return kind, _core.load_blas(path, prefix)
    finally:
        if before is None:
            del os.environ["OPENBLAS_NUM_THREADS"]
        else:
            os.environ["OPENBLAS_NUM_THREADS"] = before


def _default_threads() -> int:
    asked = os.environ.get("GATELEARN_NUM_THREADS")
    if asked:
        if not asked.isdecimal() or int(asked) < 1:
            raise ImportError(f"GATELEARN_NUM_THREADS is {asked!r}, expected a positive integer")
        return min(int(asked), 128)
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), 128)
    return min(os.cpu_count() or 1, 128)


_BLAS_KIND, _BLAS_NAME = _load_blas()
_core.set_num_threads(_default_threads())


def get_num_threads() -> int:
    """Return how many threads a kernel may use.

    Returns
    -------
    int
    """
    return _core.get_num_threads()


def set_num_threads(n: int) -> None:
    """Set how many threads a kernel may use, for the whole process.

    Results do not depend on it: the same inputs give the same bits on any number of threads.

    Parameters
    ----------
    n : int
        From 1 to 128. The initial value is the environment variable ``GATELEARN_NUM_THREADS``, or
        the number of processors that the process may run on.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Examples
    --------
    >>> import gatelearn as gl
    >>> before = gl.get_num_threads()
    >>> gl.set_num_threads(2)
    >>> gl.get_num_threads()
    2
    >>> gl.set_num_threads(before)
    """
    _core.set_num_threads(n)


@contextlib.contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Use `n` threads inside a ``with`` block.

    The setting is the process's, not the calling thread's.

    Parameters
    ----------
    n : int
        From 1 to 128.

    Examples
    --------
    >>> import gatelearn as gl
    >>> with gl.num_threads(1):
    ...     gl.get_num_threads()
    1
    """
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


def config() -> dict[str, str | int]:
    """Return what `show_config` prints.

    Returns
    -------
    dict
        Keys ``version``, ``blas``, ``blas_version``, ``instruction_set``, ``threads``.
    """
    return {
        "version": __version__,
        "blas": _BLAS_KIND,
        "blas_version": _BLAS_NAME,
        "instruction_set": _core.get_isa(),
        "threads": get_num_threads(),
    }


def show_config() -> None:
    """Print the version, the BLAS, the instruction set and the number of threads in use.

    Examples
    --------
    >>> import gatelearn as gl
    >>> gl.show_config()  # doctest: +ELLIPSIS
    version          ...
    blas             ...
    blas_version     ...
    instruction_set  ...
    threads          ...
    """
    for key, value in config().items():
        print(f"{key:<17}{value}")
