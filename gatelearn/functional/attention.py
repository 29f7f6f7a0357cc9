"""Softmax attention."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_index, as_real, as_reals, out_array


def _inputs(arrays, is_causal, scale, gate, query_lengths, key_lengths):
    """Arrays of one type, then the options in the order of the core."""
    arrays = as_reals(*arrays, ndim=4, strided=True)
    query = arrays[0]
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1]) if query.shape[-1] else 1.0
    if not abs(scale) <= float(np.finfo(query.dtype).max):
        raise ValueError(f"scale is {scale}, expected a finite number of {query.dtype}")
    if gate is not None:
        gate = as_real(gate, "gate", dtype=query.dtype, ndim=2)
        if not np.isfinite(gate).all():
            raise ValueError("gate has values that are not finite")
    if query_lengths is not None:
        query_lengths = as_index(query_lengths, "query_lengths", ndim=1)
    if key_lengths is not None:
        key_lengths = as_index(key_lengths, "key_lengths", ndim=1)
    return arrays, (gate, query_lengths, key_lengths, float(scale), bool(is_causal))


def attention(query: ArrayLike, key: ArrayLike, value: ArrayLike, *, is_causal: bool = False,
              scale: float | None = None, gate: ArrayLike | None = None,
              query_lengths: ArrayLike | None = None, key_lengths: ArrayLike | None = None,
              return_lse: bool = False,
              out: NDArray | None = None) -> NDArray | tuple[NDArray, NDArray]:
    """Scaled dot-product attention [1]_ whose closed heads are skipped.

    ``gate * softmax(scale * query @ key^T) @ value``, computed in blocks [2]_: the matrix of scores
    is never held.

    Parameters
    ----------
    query : array_like, shape (B, H, Tq, D)
        Batch, heads, time, width. Heads and time may be strided views, as the split of one
        projection gives them; no copy is made. float32 and float64 are kept.
    key : array_like, shape (B, H, Tk, D)
    value : array_like, shape (B, H, Tk, E)
    is_causal : bool, default False
        Query ``t`` sees keys ``0 .. t`` only.
    scale : float, optional
        Factor of the scores, ``1 / sqrt(D)`` by default.
    gate : array_like, shape (B, H), optional
        Factor of each sample's and head's output. Where it is 0 the head is closed: it is not
        computed, nothing of it is read, and its output is 0.
    query_lengths, key_lengths : array_like of int, shape (B,), optional
        How many queries and keys of each sample count. Outputs behind the length are 0.
    return_lse : bool, default False
        Also return the log-sum-exp of the scores, which `attention_backward` needs.
    out : ndarray, shape (B, H, Tq, E), optional
        Where to write.

    Returns
    -------
    out : ndarray, shape (B, H, Tq, E)
        A query that sees no key gives 0.
    lse : ndarray, shape (B, H, Tq)
        Only with `return_lse`; ``-inf`` for queries that see no key.

    Raises
    ------
    TypeError
        If a dtype is not real, or a length not an integer.
    ValueError
        If shapes do not match, a length is out of range, or `scale` or `gate` is not finite.

    References
    ----------
    .. [1] A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017.
    .. [2] T. Dao et al., "FlashAttention: Fast and Memory-Efficient Exact Attention with
       IO-Awareness", NeurIPS 2022.

    Examples
    --------
    >>> import numpy as np
    >>> q = k = np.zeros((1, 2, 3, 4))
    >>> v = np.arange(6.0).reshape(1, 2, 3, 1)
    >>> attention(q, k, v, is_causal=True, gate=[[1.0, 0.0]])[0, :, :, 0]
    array([[0. , 0.5, 1. ],
           [0. , 0. , 0. ]])
    """
    (query, key, value), options = _inputs(
        ((query, "query"), (key, "key"), (value, "value")), is_causal, scale, gate, query_lengths,
        key_lengths)
    out = out_array(out, (*query.shape[:3], value.shape[3]), query.dtype)
    lse = np.empty(query.shape[:3], query.dtype) if return_lse else None
    _core.attention_forward(query, key, value, *options, out, lse)
    return (out, lse) if return_lse else out


def attention_backward(dout: ArrayLike, query: ArrayLike, key: ArrayLike, value: ArrayLike,
                       out: ArrayLike, lse: ArrayLike, *, is_causal: bool = False,
                       scale: float | None = None, gate: ArrayLike | None = None,
                       query_lengths: ArrayLike | None = None,
                       key_lengths: ArrayLike | None = None
                       ) -> tuple[NDArray, NDArray, NDArray, NDArray | None]:
    """Gradients of `attention`.

    Parameters
    ----------
    dout : array_like, shape (B, H, Tq, E)
        Gradient with respect to the output.
    query, key, value
        As in the forward pass.
    out, lse : array_like
        What the forward pass returned.
    is_causal, scale, gate, query_lengths, key_lengths
        As in the forward pass.

    Returns
    -------
    dquery : ndarray, shape (B, H, Tq, D)
    dkey : ndarray, shape (B, H, Tk, D)
    dvalue : ndarray, shape (B, H, Tk, E)
    dgate : ndarray, shape (B, H), or None
        None without `gate`. 0 for a closed head, whose output was never computed.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((1, 1, 2, 1))
    >>> out, lse = attention(x, x, x, return_lse=True)
    >>> attention_backward(x, x, x, x, out, lse, gate=[[1.0]])[2:]
    (array([[[[1.],
             [1.]]]]), array([[2.]]))
    """
    (query, key, value, dout, out), options = _inputs(
        ((query, "query"), (key, "key"), (value, "value"), (dout, "dout"), (out, "out")),
        is_causal, scale, gate, query_lengths, key_lengths)
    lse = as_real(lse, "lse", dtype=query.dtype, ndim=3)
    grads = [np.empty(a.shape, a.dtype) for a in (query, key, value)]
    dgate = None if gate is None else np.empty(query.shape[:2], query.dtype)
    _core.attention_backward(query, key, value, *options, out, lse, dout, *grads, dgate)
    return (*grads, dgate)
