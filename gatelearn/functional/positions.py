"""Where a step stands: tables to add, rotations of queries and keys, biases of scores."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_real, check_shape, out_array, real_dtype


def _check_size(n: int, name: str, least: int = 0) -> None:
    if n < least:
        raise ValueError(f"{name} is {n}, expected at least {least}")


def _angles(T: int, C: int, base: float) -> NDArray[np.float64]:
    """Return t times a frequency that falls with the pair of channels, (T, ceil(C / 2))."""
    _check_size(T, "T")
    if not 0 < base < math.inf:
        raise ValueError(f"base is {base}, expected a finite number above 0")
    return np.arange(T)[:, None] * base ** (-np.arange(0, C, 2) / C)


def _shared(table: NDArray, dtype: np.dtype) -> NDArray:
    table = table.astype(dtype)
    table.flags.writeable = False
    return table


@functools.lru_cache(maxsize=32)
def sinusoidal_positions(T: int, C: int, base: float = 10000.0,
                         dtype: DTypeLike = np.float32) -> NDArray:
    """Sines and cosines of falling frequency, to be added to embeddings [1]_.

    Channel ``2 i`` of step ``t`` is ``sin(t * base ** (-2 i / C))``, channel ``2 i + 1`` its
    cosine.

    Parameters
    ----------
    T : int
        Steps.
    C : int
        Channels.
    base : float, default 10000
        Wavelengths run from ``2 pi`` to almost ``2 pi * base``.
    dtype : float32 or float64, default float32

    Returns
    -------
    ndarray, shape (T, C)
        Read-only: calls with the same arguments share one.

    Raises
    ------
    TypeError
        If `dtype` is not real.
    ValueError
        If a size is negative or `base` not above 0.

    References
    ----------
    .. [1] A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017.

    Examples
    --------
    >>> sinusoidal_positions(2, 4).round(2)
    array([[0.  , 1.  , 0.  , 1.  ],
           [0.84, 0.54, 0.01, 1.  ]], dtype=float32)
    """
    _check_size(C, "C")
    angle = _angles(T, C, base)
    table = np.empty((T, C))
    table[:, 0::2] = np.sin(angle)
    table[:, 1::2] = np.cos(angle[:, :C // 2])
    return _shared(table, real_dtype(dtype))


@functools.lru_cache(maxsize=32)
def rotary_tables(T: int, D: int, base: float = 10000.0,
                  dtype: DTypeLike = np.float32) -> tuple[NDArray, NDArray]:
    """Cosine and sine of the angles of `rotary`: ``t * base ** (-2 d / D)`` for pair ``d`` [1]_.

    Parameters
    ----------
    T : int
        Steps.
    D : int
        Head width, even.
    base : float, default 10000
    dtype : float32 or float64, default float32

    Returns
    -------
    cosine, sine : ndarray, shape (T, D / 2)
        Read-only: calls with the same arguments share one pair.

    Raises
    ------
    TypeError
        If `dtype` is not real.
    ValueError
        If a size is negative, `D` odd or `base` not above 0.

    References
    ----------
    .. [1] J. Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021.

    Examples
    --------
    >>> cosine, sine = rotary_tables(3, 2, dtype=float)
    >>> sine[:, 0].round(4)
    array([0.    , 0.8415, 0.9093])
    """
    _check_size(D, "D")
    if D % 2:
        raise ValueError(f"D is {D}, expected an even number")
    angle, dtype = _angles(T, D, base), real_dtype(dtype)
    return _shared(np.cos(angle), dtype), _shared(np.sin(angle), dtype)


def rotary(x: ArrayLike, cosine: ArrayLike, sine: ArrayLike, *, inverse: bool = False,
           out: NDArray | None = None) -> NDArray:
    """Turn queries or keys by their position [1]_.

    The pair of channels ``(d, d + D / 2)`` of step ``t`` is turned by the angle of ``cosine[t, d]``
    and ``sine[t, d]``. Norms stay, and the product of a turned query and a turned key depends on
    their distance alone. The inverse is also the gradient: that of `x` is
    ``rotary(dout, cosine, sine, inverse=True)``.

    Parameters
    ----------
    x : array_like, shape (B, H, T, D)
        Batch, heads, time, width; `D` is even. Heads and time may be strided views. float32 and
        float64 are kept.
    cosine, sine : array_like, shape (T, D / 2)
        Of `rotary_tables`; rows ``t0`` to ``t0 + T`` of larger ones where the first step of `x` is
        step ``t0``.
    inverse : bool, default False
        Turn back.
    out : ndarray, shape (B, H, T, D), optional
        Where to write. May be `x` itself.

    Returns
    -------
    ndarray, shape (B, H, T, D)
        `out`, or a new array.

    Raises
    ------
    TypeError
        If a dtype is not real.
    ValueError
        If shapes do not match or `D` is odd.

    References
    ----------
    .. [1] J. Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((1, 1, 2, 2))
    >>> rotary(x, *rotary_tables(2, 2, dtype=float))[0, 0].round(4)
    array([[ 1.    ,  1.    ],
           [-0.3012,  1.3818]])
    """
    x = as_real(x, "x", ndim=4, strided=True)
    T, D = x.shape[2:]
    if D % 2:
        raise ValueError(f"x.shape[3] is {D}, expected an even number")
    cosine = check_shape(as_real(cosine, "cosine", dtype=x.dtype), "cosine", (T, D // 2))
    sine = check_shape(as_real(sine, "sine", dtype=x.dtype), "sine", (T, D // 2))
    out = out_array(out, x.shape, x.dtype, strided=True)
    _core.rotary(out, x, cosine, sine, inverse)
    return out


def alibi_slopes(H: int, dtype: DTypeLike = np.float32) -> NDArray:
    """Slope of each head for `alibi_bias` [1]_: ``2 ** (-8 / H)`` and its powers.

    Where `H` is no power of two: the slopes of the next smaller one, then every second of those of
    its double, as the authors' code has it.

    Parameters
    ----------
    H : int
        Heads.
    dtype : float32 or float64, default float32

    Returns
    -------
    ndarray, shape (H,)

    Raises
    ------
    TypeError
        If `dtype` is not real.
    ValueError
        If `H` is below 1.

    References
    ----------
    .. [1] O. Press, N. A. Smith and M. Lewis, "Train Short, Test Long: Attention with Linear Biases
       Enables Input Length Extrapolation", ICLR 2022.

    Examples
    --------
    >>> alibi_slopes(4)
    array([0.25      , 0.0625    , 0.015625  , 0.00390625], dtype=float32)
    """
    _check_size(H, "H", least=1)
    n = 2 ** (int(H).bit_length() - 1)
    exponent = np.concatenate([-8 / n * np.arange(1, n + 1), -4 / n * np.arange(1, 2*(H - n), 2)])
    return (2.0 ** exponent).astype(real_dtype(dtype))


def alibi_bias(slopes: ArrayLike, Tq: int, Tk: int) -> NDArray:
    """Linear bias of the scores [1]_: ``-slopes[h] * abs(t - s)`` for query ``t`` and key ``s``.

    Meant for the ``bias`` argument of `attention`, together with ``is_causal=True``: heads of a
    steep slope look at what is near.

    Parameters
    ----------
    slopes : array_like, shape (H,)
        Of `alibi_slopes`. float32 and float64 are kept; integers become float64.
    Tq, Tk : int
        Queries and keys, both counted from step 0.

    Returns
    -------
    ndarray, shape (H, Tq, Tk)

    Raises
    ------
    TypeError
        If the dtype of `slopes` is not real.
    ValueError
        If `slopes` has not one dimension or a size is negative.

    References
    ----------
    .. [1] O. Press, N. A. Smith and M. Lewis, "Train Short, Test Long: Attention with Linear Biases
       Enables Input Length Extrapolation", ICLR 2022.

    Examples
    --------
    >>> alibi_bias([1.0], 2, 3)
    array([[[ 0., -1., -2.],
            [-1.,  0., -1.]]])
    """
    slopes = as_real(slopes, "slopes", ndim=1)
    _check_size(Tq, "Tq")
    _check_size(Tk, "Tk")
    nearness = -np.abs(np.arange(Tq)[:, None] - np.arange(Tk))
    return slopes[:, None, None] * nearness.astype(slopes.dtype)
