"""Softmax attention."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_flags, as_index, as_real, as_reals, check_shape, out_array

_LARGEST = {np.dtype(t): float(np.finfo(t).max) for t in (np.float32, np.float64)}

Window = int | tuple[int | None, int | None] | None


def _bound(window: Window, is_causal: bool) -> tuple[int, int]:
    """The window as the core has it: -1 for no bound."""
    if window is None:
        return -1, 0 if is_causal else -1
    try:
        left, right = window if isinstance(window, tuple) else (window, window)
        bounds = [-1 if w is None else w.__index__() for w in (left, right)]
    except (AttributeError, ValueError):
        raise TypeError(f"window is {window!r}, expected an integer or a pair of them") from None
    if any(w is not None and w < 0 for w in (left, right)):
        raise ValueError(f"window is {window!r}, expected nothing negative")
    return bounds[0], 0 if is_causal else bounds[1]


def _stretch(a: NDArray, name: str, shape: tuple[int, ...]) -> NDArray:
    """Return `a`, which must broadcast to `shape`, with as many axes and the last `len(shape)`."""
    try:
        fits = np.broadcast_shapes(a.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name} has shape {a.shape}, expected one that broadcasts to {shape}")
    return a.reshape((1,) * (len(shape) - a.ndim) + a.shape)


class _Options(NamedTuple):
    """The options in the order of the core."""

    gate: NDArray | None
    query_lengths: NDArray | None
    key_lengths: NDArray | None
    mask: NDArray | None
    block_mask: NDArray | None
    bias: NDArray | None
    alibi_slopes: NDArray | None
    scale: float
    left: int
    right: int
    block_size: int
    dropout_p: float
    seed: int


def _options(query: NDArray, key: NDArray, *, bias: Any = None, mask: Any = None,
             is_causal: bool = False, window: Window = None, scale: float | None = None,
             gate: Any = None, query_lengths: Any = None, key_lengths: Any = None,
             block_mask: Any = None, block_size: int = 64, alibi_slopes: Any = None,
             dropout_p: float = 0.0, seed: int | None = None) -> _Options:
    """Check and convert what the core cannot; `gate` keeps all its axes."""
    dtype, full = query.dtype, (*query.shape[:3], key.shape[2])
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1]) if query.shape[-1] else 1.0
    if not abs(scale) <= _LARGEST[dtype]:
        raise ValueError(f"scale is {scale}, expected a finite number of {dtype}")
    if gate is not None:
        gate = as_real(gate, "gate", dtype=dtype)
        if not 2 <= gate.ndim <= 4:
            raise ValueError(f"gate has {gate.ndim} dimensions, expected 2 to 4")
        if not np.isfinite(gate).all():
            raise ValueError("gate has values that are not finite")
    if query_lengths is not None:
        query_lengths = as_index(query_lengths, "query_lengths", ndim=1)
    if key_lengths is not None:
        key_lengths = as_index(key_lengths, "key_lengths", ndim=1)
    if mask is not None:
        mask = _stretch(as_flags(mask, "mask"), "mask", full)
        mask = as_flags(np.broadcast_to(mask, (*mask.shape[:3], full[3])), "mask")
    if block_mask is not None:
        block_mask = as_flags(block_mask, "block_mask")
        if block_mask.ndim == 2:
            block_mask = block_mask[None]
    if bias is not None:
        bias = _stretch(as_real(bias, "bias", dtype=dtype), "bias", full)
        bias = as_real(np.broadcast_to(bias, (*bias.shape[:2], *full[2:])), "bias")
    if alibi_slopes is not None:
        alibi_slopes = as_real(alibi_slopes, "alibi_slopes", dtype=dtype, ndim=1)
    if not 0 <= dropout_p < 1:
        raise ValueError(f"dropout_p is {dropout_p}, expected 0 <= dropout_p < 1")
    if dropout_p > 0 and not (isinstance(seed, (int, np.integer)) and 0 <= seed < 2**63):
        raise ValueError(f"seed is {seed!r}, expected an integer in [0, 2**63) where dropout_p > 0")
    return _Options(gate, query_lengths, key_lengths, mask, block_mask, bias, alibi_slopes,
                    float(scale), *_bound(window, is_causal), block_size, float(dropout_p),
                    seed if dropout_p > 0 else 0)


def _fine(gate: NDArray | None, shape: tuple[int, ...]) -> NDArray | None:
    """A gate of queries or elements as a factor of the output (B, H, Tq, E); None for heads'."""
    if gate is None or gate.ndim == 2:
        return None
    check_shape(gate, "gate", shape[:gate.ndim])
    return gate if gate.ndim == 4 else gate[..., None]


def attention(query: ArrayLike, key: ArrayLike, value: ArrayLike, *,
              bias: ArrayLike | None = None, mask: ArrayLike | None = None,
              is_causal: bool = False, window: Window = None, scale: float | None = None,
              gate: ArrayLike | None = None, query_lengths: ArrayLike | None = None,
              key_lengths: ArrayLike | None = None, block_mask: ArrayLike | None = None,
              block_size: int = 64, alibi_slopes: ArrayLike | None = None, dropout_p: float = 0.0,
              seed: int | None = None, return_lse: bool = False,
              out: NDArray | None = None) -> NDArray | tuple[NDArray, NDArray]:
    """Scaled dot-product attention [1]_ whose closed heads and hidden keys are skipped.

    ``gate * softmax(scale * query @ key^T + bias) @ value``, computed in blocks [2]_: the matrix of
    scores is never held.

    Parameters
    ----------
    query : array_like, shape (B, H, Tq, D)
        Batch, heads, time, width. Heads and time may be strided views, as the split of one
        projection gives them; no copy is made. float32 and float64 are kept.
    key : array_like, shape (B, G, Tk, D)
        G divides H: ``H / G`` neighbouring heads share the keys and values of one. ``G = H`` is
        multi-head, ``G = 1`` multi-query, in between grouped-query attention [3]_.
    value : array_like, shape (B, G, Tk, E)
    bias : array_like, broadcasts to (B, H, Tq, Tk), optional
        Added to the scaled scores. ``-inf`` hides a key, but is computed; use `mask`.
    mask : array_like of bool, broadcasts to (B, H, Tq, Tk), optional
        True where a query may see a key.
    is_causal : bool, default False
        Query ``t`` sees keys ``0 .. t`` only.
    window : int or (int or None, int or None), optional
        Query ``t`` sees keys ``t - left .. t + right`` only; None is no bound, one number stands
        for both sides. The cost is that of the window.
    scale : float, optional
        Factor of the scores, ``1 / sqrt(D)`` by default.
    gate : array_like, shape (B, H), (B, H, Tq) or (B, H, Tq, E), optional
        Factor of the output of each head, query or element. A head whose gate is 0 is closed: it
        is not computed, nothing of it is read, and its output is 0. Gates of queries and elements
        multiply what has been computed [4]_.
    query_lengths, key_lengths : array_like of int, shape (B,), optional
        How many queries and keys of each sample count. Outputs behind the length are 0.
    block_mask : array_like of bool, shape (H, Tq / N, Tk / N) or (1, ...) or (Tq / N, Tk / N)
        Block-sparse pattern, True for pairs of blocks to compute; sizes are rounded up.
    block_size : int, default 64
        N, the length of a block.
    alibi_slopes : array_like, shape (H,), optional
        The score of query t and key s is lowered by ``slope * abs(t - s)`` [5]_.
    dropout_p : float, default 0
        Share of the weights set to 0; the others grow by ``1 / (1 - dropout_p)``.
    seed : int, optional
        Decides, with the position of a weight, whether it is dropped; needed with `dropout_p`.
    return_lse : bool, default False
        Also return the log-sum-exp of the scores, which `attention_backward` needs.
    out : ndarray, shape (B, H, Tq, E), optional
        Where to write; heads and time may be strided.

    Returns
    -------
    out : ndarray, shape (B, H, Tq, E)
        A query that sees no key gives 0.
    lse : ndarray, shape (B, H, Tq)
        Only with `return_lse`; ``-inf`` for queries that see no key.

    Raises
    ------
    TypeError
        If a dtype is not real, a length not an integer, or a mask not of booleans or integers.
    ValueError
        If shapes do not match, a length or `dropout_p` is out of range, or `scale` or `gate` is not
        finite.

    See Also
    --------
    attention_weights : the softmax itself, for analysis.

    References
    ----------
    .. [1] A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017.
    .. [2] T. Dao et al., "FlashAttention: Fast and Memory-Efficient Exact Attention with
       IO-Awareness", NeurIPS 2022.
    .. [3] J. Ainslie et al., "GQA: Training Generalized Multi-Query Transformer Models from
       Multi-Head Checkpoints", EMNLP 2023.
    .. [4] Z. Qiu et al., "Gated Attention for Large Language Models", NeurIPS 2025.
    .. [5] O. Press, N. A. Smith and M. Lewis, "Train Short, Test Long: Attention with Linear Biases
       Enables Input Length Extrapolation", ICLR 2022.

    Examples
    --------
    >>> import numpy as np
    >>> q = k = np.zeros((1, 2, 3, 4))
    >>> v = np.arange(6.0).reshape(1, 2, 3, 1)
    >>> attention(q, k, v, is_causal=True, gate=[[1.0, 0.0]])[0, :, :, 0]
    array([[0. , 0.5, 1. ],
           [0. , 0. , 0. ]])
    >>> attention(q, k[:, :1], v[:, :1], window=(1, 0))[0, :, :, 0]
    array([[0. , 0.5, 1.5],
           [0. , 0.5, 1.5]])
    """
    query, key, value = as_reals((query, "query"), (key, "key"), (value, "value"), ndim=4,
                                 strided=True)
    options = _options(query, key, bias=bias, mask=mask, is_causal=is_causal, window=window,
                       scale=scale, gate=gate, query_lengths=query_lengths,
                       key_lengths=key_lengths, block_mask=block_mask, block_size=block_size,
                       alibi_slopes=alibi_slopes, dropout_p=dropout_p, seed=seed)
    out = out_array(out, (*query.shape[:3], value.shape[3]), query.dtype, strided=True)
    fine = _fine(options.gate, out.shape)
    if fine is not None:
        options = options._replace(gate=None)
    lse = np.empty(query.shape[:3], query.dtype) if return_lse else None
    _core.attention_forward(query, key, value, *options, out, lse)
    if fine is not None:
        out *= fine
    return (out, lse) if return_lse else out


def attention_backward(dout: ArrayLike, query: ArrayLike, key: ArrayLike, value: ArrayLike,
                       out: ArrayLike, lse: ArrayLike, **options: Any
                       ) -> tuple[NDArray, NDArray, NDArray, NDArray | None, NDArray | None]:
    """Gradients of `attention`.

    Parameters
    ----------
    dout : array_like, shape (B, H, Tq, E)
        Gradient with respect to the output.
    query, key, value
        As in the forward pass.
    out, lse : array_like
        What the forward pass returned.
    **options
        Those of the forward pass: `bias`, `mask`, `is_causal`, `window`, `scale`, `gate`,
        `query_lengths`, `key_lengths`, `block_mask`, `block_size`, `alibi_slopes`, `dropout_p`,
        `seed`.

    Returns
    -------
    dquery : ndarray, shape (B, H, Tq, D)
    dkey : ndarray, shape (B, G, Tk, D)
    dvalue : ndarray, shape (B, G, Tk, E)
    dgate : ndarray, of the shape of `gate`, or None
        None without `gate`. 0 for a closed head, whose output was never computed.
    dbias : ndarray, of the shape of `bias`, or None
        None without `bias`; summed over the axes along which it was broadcast.

    Notes
    -----
    Gates of queries and elements cost one more forward pass, since what they multiplied cannot be
    had from `out` where they are 0. The gradient of `bias` costs two products more.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((1, 1, 2, 1))
    >>> out, lse = attention(x, x, x, return_lse=True)
    >>> attention_backward(x, x, x, x, out, lse, gate=[[1.0]])[2:4]
    (array([[[[1.],
             [1.]]]]), array([[2.]]))
    """
    query, key, value, dout, out = as_reals(
        (query, "query"), (key, "key"), (value, "value"), (dout, "dout"), (out, "out"), ndim=4,
        strided=True)
    done = _options(query, key, **options)
    lse = as_real(lse, "lse", dtype=query.dtype, ndim=3)
    dgate = None
    fine = _fine(done.gate, out.shape)
    if fine is not None:
        # forward: out = fine * o
        done = done._replace(gate=None)
        out = np.empty(out.shape, out.dtype)
        _core.attention_forward(query, key, value, *done, out, None)
        dgate = dout * out if fine.shape == out.shape else (dout * out).sum(-1)
        dout = dout * fine
    elif done.gate is not None:
        dgate = np.empty(query.shape[:2], query.dtype)

    # in the order of the inputs' axes in memory: what was split off a projection goes back into it
    grads = [np.empty_like(a) for a in (query, key, value)]
    dbias = None if done.bias is None else np.empty(done.bias.shape, query.dtype)
    _core.attention_backward(query, key, value, *done, out, lse, dout, *grads,
                             dgate if fine is None else None, dbias)
    if dbias is not None:
        # the core knows biases that samples and heads share, not those of queries or keys
        shape = np.shape(options["bias"])
        padded = (1,) * (4 - len(shape)) + shape
        shared = tuple(axis for axis, n in enumerate(padded) if n == 1)
        dbias = dbias.sum(shared, keepdims=True).reshape(shape)
    return (*grads, dgate, dbias)


def attention_weights(query: ArrayLike, key: ArrayLike, *, rows: ArrayLike | None = None,
                      **options: Any) -> NDArray:
    """Softmax of the scores of `attention`, for analysis.

    Parameters
    ----------
    query, key
        As of `attention`.
    rows : array_like of int, shape (R,), optional
        Which queries, all by default; a long context then needs little memory.
    **options
        Those of `attention`, of which dropout has no effect and gates only close heads.

    Returns
    -------
    ndarray, shape (B, H, R, Tk)
        Each row sums to 1; 0 throughout for closed heads and for queries that see no key.

    Raises
    ------
    IndexError
        If `rows` is out of range.
    TypeError, ValueError
        As `attention`.

    Examples
    --------
    >>> import numpy as np
    >>> q = k = np.zeros((1, 1, 4, 2))
    >>> attention_weights(q, k, rows=[1, 3], is_causal=True)[0, 0]
    array([[0.5 , 0.5 , 0.  , 0.  ],
           [0.25, 0.25, 0.25, 0.25]])
    """
    query, key = as_reals((query, "query"), (key, "key"), ndim=4, strided=True)
    done = _options(query, key, **options)
    if done.gate is not None and done.gate.ndim > 2:
        done = done._replace(gate=None)
    rows = np.arange(query.shape[2]) if rows is None else as_index(rows, "rows", ndim=1)
    weights = np.empty((*query.shape[:2], len(rows), key.shape[2]), query.dtype)
    _core.attention_weights(query, key, key, *done, rows, weights)
    return weights
