"""Conversion of arguments: forgiving towards users, so that the core can be strict."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_real(x: Any, name: str, *, dtype: np.dtype | None = None, ndim: int | None = None,
            strided: bool = False) -> NDArray:
    """Return `x` as an aligned, native float32 or float64 array.

    Integers and booleans become float64; other kinds are refused. With `strided`, outer axes keep
    positive strides (views of a projection are not copied); the last axis is made contiguous.
    """
    a = np.asarray(x)
    if a.dtype.kind in "iub" and a.dtype.kind != "b":
        a = a.astype(np.float64)
    if a.dtype.newbyteorder("=") not in (np.float32, np.float64):
        raise TypeError(f"{name} has dtype {a.dtype}, expected float32 or float64")
    if ndim is not None and a.ndim != ndim:
        raise ValueError(f"{name} has {a.ndim} dimensions, expected {ndim}")
    want = np.dtype(dtype or a.dtype.newbyteorder("="))
    if strided and _strides_fit(a):
        return np.require(a, dtype=want, requirements=["A"])
    return np.require(a, dtype=want, requirements=["A", "C"])


def _strides_fit(a: NDArray) -> bool:
    row = a.itemsize * a.shape[-1] if a.ndim else 0
    outer = zip(a.shape[:-1], a.strides[:-1], strict=True)
    return (a.ndim > 0 and (a.shape[-1] <= 1 or a.strides[-1] == a.itemsize)
            and all(n <= 1 or (s >= row and s % a.itemsize == 0) for n, s in outer))


def as_reals(*pairs: tuple[Any, str], ndim: int | None = None,
             strided: bool = False) -> list[NDArray]:
    """Convert several (array, name) pairs to their common float type."""
    arrays = [as_real(x, name, ndim=ndim, strided=strided) for x, name in pairs]
    dtype = np.result_type(*arrays)
    return [as_real(a, name, dtype=dtype, ndim=ndim, strided=strided)
            for a, (_, name) in zip(arrays, pairs, strict=True)]


def as_index(x: Any, name: str, *, ndim: int | None = None) -> NDArray[np.int64]:
    """Return `x` as a contiguous int64 array; floats and booleans are refused."""
    a = np.asarray(x)
    if a.size == 0 and a.dtype.kind == "f":
        a = a.astype(np.int64)
    if a.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {a.dtype}, expected integers")
    if a.dtype == np.uint64 and a.size and a.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} has values above the int64 range")
    if ndim is not None and a.ndim != ndim:
        raise ValueError(f"{name} has {a.ndim} dimensions, expected {ndim}")
    return np.require(a, dtype=np.int64, requirements=["A", "C"])


def out_array(out: NDArray | None, shape: tuple[int, ...], dtype: np.dtype,
              name: str = "out") -> NDArray:
    """Return `out` if it matches exactly, or a new array if it is None."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} is {type(out).__name__}, expected a NumPy array")
    if out.shape != tuple(shape):
        raise ValueError(f"{name} has shape {out.shape}, expected {tuple(shape)}")
    if out.dtype != dtype:
        raise TypeError(f"{name} has dtype {out.dtype}, expected {np.dtype(dtype)}")
    return out
