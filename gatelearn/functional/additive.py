"""Additive attention."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_index, as_real, as_reals, out_array


def _options(query_lengths, key_lengths, mask, is_causal):
    """The options in the order of the core."""
    if query_lengths is not None:
        query_lengths = as_index(query_lengths, "query_lengths", ndim=1)
    if key_lengths is not None:
        key_lengths = as_index(key_lengths, "key_lengths", ndim=1)
    if mask is not None:
        mask = np.ascontiguousarray(mask)
        if mask.dtype != bool:
            raise TypeError(f"mask has dtype {mask.dtype}, expected bool")
    return query_lengths, key_lengths, mask, bool(is_causal)


def additive_attention(query: ArrayLike, key: ArrayLike, value: ArrayLike, weight: ArrayLike, *,
                       is_causal: bool = False, query_lengths: ArrayLike | None = None,
                       key_lengths: ArrayLike | None = None, mask: ArrayLike | None = None,
                       return_lse: bool = False, return_weights: bool = False,
                       out: NDArray | None = None) -> NDArray | tuple[NDArray, ...]:
    """Attention whose scores are a small network's [1]_: ``weight @ tanh(query + key)``.

    Queries and keys come in projected. The *concat* score of [2]_, ``weight @ tanh(W [q; k])``, is
    the same: one half of ``W`` projects queries, the other keys. Time grows with the number of
    pairs that see each other, times A; memory does not.

    Parameters
    ----------
    query : array_like, shape (B, Tq, A)
        Batch, time, width. float32 and float64 are kept; integers become float64.
    key : array_like, shape (B, Tk, A)
    value : array_like, shape (B, Tk, E)
    weight : array_like, shape (A,)
    is_causal : bool, default False
        Query ``t`` sees keys ``0 .. t`` only.
    query_lengths, key_lengths : array_like of int, shape (B,), optional
        How many queries and keys of each sample count. Outputs behind the length are 0.
    mask : array_like of bool, shape (B, Tq, Tk), optional
        False where a query does not see a key; it sees what all options allow.
    return_lse : bool, default False
        Also return the log-sum-exp of the scores, which `additive_attention_backward` needs.
    return_weights : bool, default False
        Also return the weights of the keys.
    out : ndarray, shape (B, Tq, E), optional
        Where to write.

    Returns
    -------
    out : ndarray, shape (B, Tq, E)
        A query that sees no key gives 0.
    lse : ndarray, shape (B, Tq)
        Only with `return_lse`; ``-inf`` for queries that see no key.
    weights : ndarray, shape (B, Tq, Tk)
        Only with `return_weights`; 0 for keys that are not seen.

    Raises
    ------
    TypeError
        If a dtype is not real, a length not an integer or `mask` not bool.
    ValueError
        If shapes do not match or a length is out of range.

    References
    ----------
    .. [1] D. Bahdanau, K. Cho and Y. Bengio, "Neural Machine Translation by Jointly Learning to
       Align and Translate", ICLR 2015.
    .. [2] M.-T. Luong, H. Pham and C. D. Manning, "Effective Approaches to Attention-based Neural
       Machine Translation", EMNLP 2015.

    Examples
    --------
    >>> import numpy as np
    >>> query = np.zeros((1, 2, 3))
    >>> key, value = np.zeros((1, 4, 3)), np.arange(4.0).reshape(1, 4, 1)
    >>> additive_attention(query, key, value, np.ones(3), is_causal=True)[0, :, 0]
    array([0. , 0.5])
    """
    query, key, value = as_reals((query, "query"), (key, "key"), (value, "value"), ndim=3)
    weight = as_real(weight, "weight", dtype=query.dtype)
    options = _options(query_lengths, key_lengths, mask, is_causal)
    out = out_array(out, (*query.shape[:2], value.shape[2]), query.dtype)
    lse = np.empty(query.shape[:2], query.dtype) if return_lse else None
    weights = (np.empty((*query.shape[:2], key.shape[1]), query.dtype) if return_weights
               else None)
    _core.additive_forward(query, key, value, weight, *options, out, lse, weights)
    more = [a for a in (lse, weights) if a is not None]
    return (out, *more) if more else out


def additive_attention_backward(dout: ArrayLike, query: ArrayLike, key: ArrayLike,
                                value: ArrayLike, weight: ArrayLike, out: ArrayLike,
                                lse: ArrayLike, *, is_causal: bool = False,
                                query_lengths: ArrayLike | None = None,
                                key_lengths: ArrayLike | None = None,
                                mask: ArrayLike | None = None
                                ) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Gradients of `additive_attention`.

    Parameters
    ----------
    dout : array_like, shape (B, Tq, E)
        Gradient with respect to the output.
    query, key, value, weight
        As in the forward pass.
    out, lse : array_like
        What the forward pass returned.
    is_causal, query_lengths, key_lengths, mask
        As in the forward pass.

    Returns
    -------
    dquery : ndarray, shape (B, Tq, A)
    dkey : ndarray, shape (B, Tk, A)
    dvalue : ndarray, shape (B, Tk, E)
    dweight : ndarray, shape (A,)

    Raises
    ------
    TypeError
        If a dtype is not real, a length not an integer or `mask` not bool.
    ValueError
        If shapes do not match or a length is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> x, value, weight = np.zeros((1, 2, 1)), np.array([[[0.0], [2.0]]]), np.ones(1)
    >>> out, lse = additive_attention(x, x, value, weight, return_lse=True)
    >>> additive_attention_backward(np.ones_like(out), x, x, value, weight, out, lse)[1:3]
    (array([[[-1.],
            [ 1.]]]), array([[[1.],
            [1.]]]))
    """
    query, key, value, dout, out = as_reals(
        (query, "query"), (key, "key"), (value, "value"), (dout, "dout"), (out, "out"))
    weight = as_real(weight, "weight", dtype=query.dtype)
    lse = as_real(lse, "lse", dtype=query.dtype)
    options = _options(query_lengths, key_lengths, mask, is_causal)
    grads = [np.empty_like(a) for a in (query, key, value)]
    dweight = np.zeros_like(weight)
    _core.additive_backward(query, key, value, weight, *options, out, lse, dout, *grads, dweight)
    return *grads, dweight
