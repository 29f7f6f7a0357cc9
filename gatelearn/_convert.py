"""Conversion of arguments: forgiving towards users, so that the core can be strict."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def as_real(x: Any, name: str, *, dtype: np.dtype | None = None, ndim: int | None = None,
            strided: bool = False) -> NDArray:
    """Return `x` as an aligned, native float32 or float64 array.

    Integers and booleans become float64; other kinds are refused. With `strided`, outer axes keep
    strides (views of a projection are not copied) unless they are negative or items share memory;
    the last axis is made contiguous.
    """
    # what needs no conversion, which is what training loops pass, returns at once
    if (type(x) is np.ndarray and (x.dtype is _FLOAT32 or x.dtype is _FLOAT64)
            and (dtype is None or dtype == x.dtype) and (ndim is None or ndim == x.ndim)
            and x.flags.carray):
        return x
    a = np.asarray(x)
    if a.dtype.kind in "iub":
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
    """Is the last axis contiguous, are strides positive and do no two items share memory?"""
    if a.ndim == 0 or a.size == 0 or (a.shape[-1] > 1 and a.strides[-1] != a.itemsize):
        return False
    extent = a.itemsize
    for stride, n in sorted((s, n) for s, n in zip(a.strides, a.shape, strict=True) if n > 1):
        if stride < extent or stride % a.itemsize:
            return False
        extent += stride * (n - 1)
    return True


def as_reals(*pairs: tuple[Any, str], ndim: int | None = None,
             strided: bool = False) -> list[NDArray]:
    """Convert several (array, name) pairs to their common float type."""
    arrays = [as_real(x, name, ndim=ndim, strided=strided) for x, name in pairs]
    dtype = arrays[0].dtype
    if all(a.dtype is dtype for a in arrays):
        return arrays
    dtype = np.result_type(*arrays)
    return [as_real(a, name, dtype=dtype, ndim=ndim, strided=strided)
            for a, (_, name) in zip(arrays, pairs, strict=True)]


def real_dtype(dtype: DTypeLike) -> np.dtype:
    """Return `dtype` as a NumPy dtype; what is not float32 or float64 is refused."""
    found = np.dtype(dtype)
    if found not in (_FLOAT32, _FLOAT64):
        raise TypeError(f"dtype is {found}, expected float32 or float64")
    return found


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


def as_rows(a: NDArray, name: str) -> NDArray:
    """Return contiguous `a` of shape (..., C) as a view of shape (N, C)."""
    if a.ndim == 0:
        raise ValueError(f"{name} has 0 dimensions, expected at least 1")
    return a.reshape(math.prod(a.shape[:-1]), a.shape[-1])


def check_shape(a: NDArray, name: str, shape: tuple[int, ...]) -> NDArray:
    """Return `a`; raise ValueError unless it has the shape."""
    if a.shape != tuple(shape):
        raise ValueError(f"{name} has shape {a.shape}, expected {tuple(shape)}")
    return a


def check_finite(a: NDArray, name: str) -> NDArray:
    """Return `a`; raise FloatingPointError that names its first NaN or infinity."""
    finite = np.isfinite(a)
    if not finite.all():
        i = tuple(int(n) for n in np.argwhere(~finite)[0])
        raise FloatingPointError(f"{name}[{', '.join(map(str, i))}] is {a[i]}, expected a finite "
                                 "number")
    return a


def out_array(out: NDArray | None, shape: tuple[int, ...], dtype: np.dtype, name: str = "out", *,
              strided: bool = False) -> NDArray:
    """Return `out` if it matches exactly, or a new array if it is None.

    Without `strided` it must be contiguous: a view of other shape is then the same memory.
    """
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} is {type(out).__name__}, expected a NumPy array")
    check_shape(out, name, shape)
    if out.dtype != dtype:
        raise TypeError(f"{name} has dtype {out.dtype}, expected {np.dtype(dtype)}")
    if not strided and not out.flags.c_contiguous:
        raise ValueError(f"{name} is not contiguous, expected it in C order")
    return out


def as_flags(x: Any, name: str) -> NDArray[np.uint8]:
    """Return `x` as a contiguous uint8 array; floats, and other numbers than 0 and 1, are refused.

    Those of a uint8 array are left for the kernel to check.
    """
    a = np.asarray(x)
    if a.size == 0 and a.dtype.kind == "f":
        a = a.astype(np.uint8)
    if a.dtype.kind not in "biu":
        raise TypeError(f"{name} has dtype {a.dtype}, expected booleans or integers")
    if a.dtype.kind != "b" and a.dtype != np.uint8 and a.size and not (
            a.min() >= 0 and a.max() <= 1):
        raise ValueError(f"{name} holds {a.max() if a.max() > 1 else a.min()}, expected 0 or 1")
    return np.require(a, dtype=np.uint8, requirements=["A", "C"])


def as_uniforms(x: Any, name: str, dtype: np.dtype) -> NDArray:
    """Return `x` in [0, 1) as `dtype`, rounded down: nearest would make some of them 1."""
    a = as_real(x, name)
    return as_real(a if a.dtype == dtype else np.where(
        a < 1, np.minimum(a, np.nextafter(dtype.type(1), dtype.type(0))), a), name, dtype=dtype)


def as_weights(w: Any, name: str, shape: tuple[int, ...],
               dtype: np.dtype) -> NDArray | None:
    """Return one weight a row as a flat array; None stays None."""
    return None if w is None else check_shape(as_real(w, name, dtype=dtype), name,
                                              shape).reshape(-1)


def as_pair(value: Any, name: str, *, least: int) -> tuple[int, int]:
    """Return a pair of integers as it is, one integer as two of them; each at least `least`."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(isinstance(n, (int, np.integer)) for n in pair):
        raise TypeError(f"{name} is {value!r}, expected an integer or a pair of integers")
    if min(pair) < least:
        raise ValueError(f"{name} is {value!r}, expected at least {least}")
    return int(pair[0]), int(pair[1])


def window_counts(size: tuple[int, ...], kernel: tuple[int, ...], name: str,
                  stride: tuple[int, int], padding: tuple[int, int]) -> tuple[int, int]:
    """Return along height and width how many windows a padded image has; `name` is the kernel's."""
    padded = tuple(n + 2*p for n, p in zip(size, padding, strict=True))
    if min(kernel) < 1 or any(k > n for k, n in zip(kernel, padded, strict=True)):
        raise ValueError(f"{name} is {kernel}, expected at least (1, 1) and at most the padded "
                         f"image, {padded}")
    P, Q = ((n - k) // s + 1 for n, k, s in zip(padded, kernel, stride, strict=True))
    return P, Q
