"""Rows of a table by index."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_index, as_real, as_rows, check_shape, out_array


def embedding(table: ArrayLike, idx: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Return ``table[idx]``; a negative index is an error, it does not count from the end.

    Parameters
    ----------
    table : array_like, shape (V, C)
        float32 and float64 are kept; integers become float64.
    idx : array_like of int, shape (...)
        In ``[0, V)``.
    out : ndarray, shape (..., C), optional
        Where to write. Must not overlap `table`.

    Returns
    -------
    ndarray, shape (..., C)
        `out`, or a new array.

    Raises
    ------
    IndexError
        If an index is out of range; nothing is then written.
    TypeError
        If a dtype is not right.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> embedding([[1.0, 2.0], [3.0, 4.0]], [1, 1, 0])
    array([[3., 4.],
           [3., 4.],
           [1., 2.]])
    """
    table = as_real(table, "table", ndim=2)
    idx = as_index(idx, "idx")
    out = out_array(out, (*idx.shape, table.shape[1]), table.dtype)
    _core.embedding_forward(as_rows(out, "out"), table, idx.reshape(-1))
    return out


def embedding_backward(dout: ArrayLike, idx: ArrayLike, size: int) -> NDArray:
    """Gradient of `embedding` with respect to its table.

    Parameters
    ----------
    dout : array_like, shape (..., C)
        Gradient with respect to the output.
    idx : array_like of int, shape (...)
        As in the forward pass.
    size : int
        V, the number of rows of the table.

    Returns
    -------
    ndarray, shape (V, C)
        Rows of `dout` summed by index, in their order, so that results are the same bits on any
        number of threads.

    Raises
    ------
    IndexError
        If an index is out of range.
    TypeError
        If a dtype is not right.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> embedding_backward([[1.0], [2.0], [4.0]], [1, 1, 0], 2)
    array([[4.],
           [3.]])
    """
    dout = as_real(dout, "dout")
    idx = as_index(idx, "idx")
    rows = as_rows(dout, "dout")
    check_shape(dout, "dout", (*idx.shape, rows.shape[1]))
    dtable = np.zeros((size, rows.shape[1]), dout.dtype)
    _core.embedding_backward(dtable, rows, idx.reshape(-1))
    return dtable
