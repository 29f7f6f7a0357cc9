"""Recurrent layers through time: RNN, LSTM and GRU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_index, as_real, as_reals, check_shape


def by_gate(a: NDArray, G: int) -> NDArray:
    """Return a view (..., G, H) of weights or a bias (..., G * H), as the core takes them."""
    return a.reshape(*a.shape[:-1], G, a.shape[-1] // G)


def as_state(state: Any, name: str, G: int, B: int, H: int, dtype: np.dtype) -> NDArray:
    """Return a state as the core takes it, (B, 1, H) or of an LSTM (B, 2, H); None is 0."""
    shape = (B, 2, H) if G == 4 else (B, H)
    if state is None:
        state = np.zeros(shape, dtype)
    return check_shape(as_real(state, name, dtype=dtype), name, shape).reshape(B, len(shape) - 1, H)


def of_core(state: NDArray) -> NDArray:
    """Return a state of the core as it is outside: without an axis of one."""
    return state if state.shape[1] == 2 else state[:, 0]


def _fit(a: Any, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    return None if a is None else check_shape(as_real(a, name, dtype=dtype), name, shape)


def _inputs(G: int, x: Any, wx: Any, wh: Any, state: Any, lengths: Any) -> tuple:
    """What forward and backward have in common, as the core takes it."""
    x, wx, wh = as_reals((x, "x"), (wx, "wx"), (wh, "wh"))
    x, wh = as_real(x, "x", ndim=3), as_real(wh, "wh", ndim=2)
    B, H = len(x), len(wh)
    check_shape(wx, "wx", (x.shape[2], G * H))
    check_shape(wh, "wh", (H, G * H))
    if lengths is not None:
        lengths = check_shape(as_index(lengths, "lengths"), "lengths", (B,))
    return (x, as_state(state, "state", G, B, H, x.dtype), lengths, by_gate(wx, G), by_gate(wh, G))


def _forward(G: int, x: Any, wx: Any, wh: Any, bias: Any, bias_hidden: Any, state: Any,
             lengths: Any, reverse: bool, relu: bool = False) -> tuple:
    inputs = x, first, _, _, wh = _inputs(G, x, wx, wh, state, lengths)
    (B, T, _), H = x.shape, len(wh)
    bias = check_shape(as_real(bias, "bias", dtype=x.dtype), "bias", (G * H,))
    bias_hidden = _fit(bias_hidden, "bias_hidden", (H,), x.dtype)
    y, last = np.empty((B, T, H), x.dtype), np.empty_like(first)
    trace = None if G == 1 else np.empty((B, T, G + 1, H), x.dtype)
    _core.recurrent_forward(*inputs, relu, bool(reverse), y, trace, by_gate(bias, G), bias_hidden,
                            last)
    return y, of_core(last), trace


def _backward(G: int, dy: Any, x: Any, wx: Any, wh: Any, y: Any, trace: Any, state: Any,
              dlast: Any, lengths: Any, reverse: bool, relu: bool = False) -> tuple:
    inputs = x, first, _, _, wh = _inputs(G, x, wx, wh, state, lengths)
    (B, T, width), H = x.shape, len(wh)
    y = _fit(y, "y", (B, T, H), x.dtype)
    trace = _fit(trace, "trace", (B, T, G + 1, H), x.dtype)
    dy = _fit(dy, "dy", (B, T, H), x.dtype)
    dlast = as_state(dlast, "dlast", G, B, H, x.dtype)
    dx, dstate = np.empty_like(x), np.empty_like(first)
    dwx, dwh, dbias = (np.zeros((*n, G * H), x.dtype) for n in ((width,), (H,), ()))
    dbias_hidden = np.zeros(H, x.dtype) if G == 3 else None
    _core.recurrent_backward(*inputs, relu, bool(reverse), y, trace, dy, dlast, dx, dstate,
                             *(by_gate(d, G) for d in (dwx, dwh, dbias)), dbias_hidden)
    grads = dx, of_core(dstate), dwx, dwh, dbias
    return grads if dbias_hidden is None else (*grads, dbias_hidden)


def _is_relu(nonlinearity: str) -> bool:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"nonlinearity is {nonlinearity!r}, expected 'tanh' or 'relu'")
    return nonlinearity == "relu"


def rnn(x: ArrayLike, wx: ArrayLike, wh: ArrayLike, bias: ArrayLike, state: ArrayLike | None = None,
        *, nonlinearity: str = "tanh", lengths: ArrayLike | None = None,
        reverse: bool = False) -> tuple[NDArray, NDArray]:
    """Run a plain recurrent layer [1]_: ``h = tanh(x_t @ wx + h @ wh + bias)`` at each step.

    Parameters
    ----------
    x : array_like, shape (B, T, I)
        Batch, time, width. float32 and float64 are kept; integers become float64. The common type
        of `x`, `wx` and `wh` is that of the results.
    wx : array_like, shape (I, H)
        Weights of the input.
    wh : array_like, shape (H, H)
        Weights of the state.
    bias : array_like, shape (H,)
    state : array_like, shape (B, H), optional
        State before the first step, 0 by default.
    nonlinearity : {'tanh', 'relu'}, default 'tanh'
    lengths : array_like of int, shape (B,), optional
        Steps of each sample that count. Those behind are not computed: outputs are 0, the state
        stays.
    reverse : bool, default False
        From the last step, which is a sample's own, to the first.

    Returns
    -------
    y : ndarray, shape (B, T, H)
        The state at each step.
    state : ndarray, shape (B, H)
        The state behind the last step.

    Raises
    ------
    TypeError
        If a dtype is not real, or a length not an integer.
    ValueError
        If shapes do not match, a length is out of range or `nonlinearity` unknown.

    References
    ----------
    .. [1] J. L. Elman, "Finding Structure in Time", Cognitive Science 14, 1990.

    Examples
    --------
    >>> y, state = rnn([[[1.0], [2.0], [4.0]]], [[1.0]], [[0.5]], [0.0], nonlinearity="relu",
    ...                lengths=[2])
    >>> y[0, :, 0], state
    (array([1. , 2.5, 0. ]), array([[2.5]]))
    """
    return _forward(1, x, wx, wh, bias, None, state, lengths, reverse, _is_relu(nonlinearity))[:2]


def rnn_backward(dy: ArrayLike | None, x: ArrayLike, wx: ArrayLike, wh: ArrayLike, y: ArrayLike,
                 state: ArrayLike | None = None, *, dlast: ArrayLike | None = None,
                 nonlinearity: str = "tanh", lengths: ArrayLike | None = None,
                 reverse: bool = False) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray]:
    """Gradients of `rnn`.

    Parameters
    ----------
    dy : array_like, shape (B, T, H), or None
        Gradient with respect to the outputs; None is 0.
    x, wx, wh
        As in the forward pass.
    y : array_like, shape (B, T, H)
        What the forward pass returned.
    state : array_like, shape (B, H), optional
        As in the forward pass.
    dlast : array_like, shape (B, H), optional
        Gradient with respect to the state behind the last step, 0 by default.
    nonlinearity, lengths, reverse
        As in the forward pass.

    Returns
    -------
    dx : ndarray, shape (B, T, I)
        0 behind a sample's length.
    dstate : ndarray, shape (B, H)
        With respect to the state before the first step.
    dwx, dwh, dbias : ndarray
        As the parameters.

    Examples
    --------
    >>> y, _ = rnn([[[1.0], [2.0]]], [[1.0]], [[0.5]], [0.0], nonlinearity="relu")
    >>> dx, *_ = rnn_backward([[[0.0], [1.0]]], [[[1.0], [2.0]]], [[1.0]], [[0.5]], y,
    ...                       nonlinearity="relu")
    >>> dx[0, :, 0]
    array([0.5, 1. ])
    """
    return _backward(1, dy, x, wx, wh, y, None, state, dlast, lengths, reverse,
                     _is_relu(nonlinearity))


def lstm(x: ArrayLike, wx: ArrayLike, wh: ArrayLike, bias: ArrayLike,
         state: ArrayLike | None = None, *, lengths: ArrayLike | None = None,
         reverse: bool = False) -> tuple[NDArray, NDArray, NDArray]:
    """Run a long short-term memory layer [1]_ with forget gates [2]_.

    With the four blocks i, f, g, o of ``x_t @ wx + h @ wh + bias``, at each step ``c = sigmoid(f) *
    c + sigmoid(i) * tanh(g)`` and ``h = sigmoid(o) * tanh(c)``.

    Parameters
    ----------
    x : array_like, shape (B, T, I)
        Batch, time, width. float32 and float64 are kept; integers become float64. The common type
        of `x`, `wx` and `wh` is that of the results.
    wx : array_like, shape (I, 4 * H)
        Weights of the input: H columns a gate, in the order i, f, g, o.
    wh : array_like, shape (H, 4 * H)
        Weights of the state.
    bias : array_like, shape (4 * H,)
    state : array_like, shape (B, 2, H), optional
        h and c before the first step, 0 by default.
    lengths : array_like of int, shape (B,), optional
        Steps of each sample that count. Those behind are not computed: outputs are 0, the state
        stays.
    reverse : bool, default False
        From the last step, which is a sample's own, to the first.

    Returns
    -------
    y : ndarray, shape (B, T, H)
        h at each step.
    state : ndarray, shape (B, 2, H)
        h and c behind the last step.
    trace : ndarray, shape (B, T, 5, H)
        The values of the gates and c at each step, for `lstm_backward`; undefined behind a sample's
        length.

    Raises
    ------
    TypeError
        If a dtype is not real, or a length not an integer.
    ValueError
        If shapes do not match or a length is out of range.

    References
    ----------
    .. [1] S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997.
    .. [2] F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to Forget: Continual Prediction with
       LSTM", Neural Computation 12, 2000.

    Examples
    --------
    All gates at a half, and a memory that fades:

    >>> import numpy as np
    >>> y, state, trace = lstm(np.zeros((1, 3, 1)), np.zeros((1, 4)), np.zeros((1, 4)), np.zeros(4),
    ...                        [[[0.0], [8.0]]])
    >>> state[0, 1], y[0, :, 0].round(3)
    (array([1.]), array([0.5  , 0.482, 0.381]))
    """
    return _forward(4, x, wx, wh, bias, None, state, lengths, reverse)


def lstm_backward(dy: ArrayLike | None, x: ArrayLike, wx: ArrayLike, wh: ArrayLike, y: ArrayLike,
                  trace: ArrayLike, state: ArrayLike | None = None, *,
                  dlast: ArrayLike | None = None, lengths: ArrayLike | None = None,
                  reverse: bool = False) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray]:
    """Gradients of `lstm`.

    Parameters
    ----------
    dy : array_like, shape (B, T, H), or None
        Gradient with respect to the outputs; None is 0.
    x, wx, wh
        As in the forward pass.
    y, trace : array_like
        What the forward pass returned.
    state : array_like, shape (B, 2, H), optional
        As in the forward pass.
    dlast : array_like, shape (B, 2, H), optional
        Gradient with respect to h and c behind the last step, 0 by default.
    lengths, reverse
        As in the forward pass.

    Returns
    -------
    dx : ndarray, shape (B, T, I)
        0 behind a sample's length.
    dstate : ndarray, shape (B, 2, H)
        With respect to h and c before the first step.
    dwx, dwh, dbias : ndarray
        As the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> x, w, state = np.zeros((1, 3, 1)), np.zeros((1, 4)), [[[0.0], [8.0]]]
    >>> y, _, trace = lstm(x, w, w, np.zeros(4), state)
    >>> _, dstate, *_ = lstm_backward(None, x, w, w, y, trace, state, dlast=[[[0.0], [1.0]]])
    >>> dstate[0, 1]
    array([0.125])
    """
    return _backward(4, dy, x, wx, wh, y, trace, state, dlast, lengths, reverse)


def gru(x: ArrayLike, wx: ArrayLike, wh: ArrayLike, bias: ArrayLike, bias_hidden: ArrayLike,
        state: ArrayLike | None = None, *, lengths: ArrayLike | None = None,
        reverse: bool = False) -> tuple[NDArray, NDArray, NDArray]:
    """Run a layer of gated recurrent units [1]_.

    With the three blocks r, z, n of ``a = x_t @ wx + bias`` and ``u = h @ wh``, at each step ``n =
    tanh(a_n + sigmoid(a_r + u_r) * (u_n + bias_hidden))`` and, with ``z = sigmoid(a_z + u_z)``,
    ``h = (1 - z) * n + z * h``.

    Parameters
    ----------
    x : array_like, shape (B, T, I)
        Batch, time, width. float32 and float64 are kept; integers become float64. The common type
        of `x`, `wx` and `wh` is that of the results.
    wx : array_like, shape (I, 3 * H)
        Weights of the input: H columns a gate, in the order r, z, n.
    wh : array_like, shape (H, 3 * H)
        Weights of the state.
    bias : array_like, shape (3 * H,)
    bias_hidden : array_like, shape (H,)
        Second bias of n, which the gate r multiplies.
    state : array_like, shape (B, H), optional
        State before the first step, 0 by default.
    lengths : array_like of int, shape (B,), optional
        Steps of each sample that count. Those behind are not computed: outputs are 0, the state
        stays.
    reverse : bool, default False
        From the last step, which is a sample's own, to the first.

    Returns
    -------
    y : ndarray, shape (B, T, H)
        The state at each step.
    state : ndarray, shape (B, H)
        The state behind the last step.
    trace : ndarray, shape (B, T, 4, H)
        The values of the gates and ``u_n + bias_hidden`` at each step, for `gru_backward`;
        undefined behind a sample's length.

    Raises
    ------
    TypeError
        If a dtype is not real, or a length not an integer.
    ValueError
        If shapes do not match or a length is out of range.

    References
    ----------
    .. [1] K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical
       Machine Translation", EMNLP 2014. There r multiplies h before the product; here, as in most
       libraries, what comes out of it.

    Examples
    --------
    All gates at a half, and a memory that fades:

    >>> import numpy as np
    >>> y, state, trace = gru(np.zeros((1, 3, 1)), np.zeros((1, 3)), np.zeros((1, 3)), np.zeros(3),
    ...                       np.zeros(1), [[8.0]])
    >>> y[0, :, 0]
    array([4., 2., 1.])
    """
    return _forward(3, x, wx, wh, bias, bias_hidden, state, lengths, reverse)


def gru_backward(dy: ArrayLike | None, x: ArrayLike, wx: ArrayLike, wh: ArrayLike, y: ArrayLike,
                 trace: ArrayLike, state: ArrayLike | None = None, *,
                 dlast: ArrayLike | None = None, lengths: ArrayLike | None = None,
                 reverse: bool = False
                 ) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray, NDArray]:
    """Gradients of `gru`.

    Parameters
    ----------
    dy : array_like, shape (B, T, H), or None
        Gradient with respect to the outputs; None is 0.
    x, wx, wh
        As in the forward pass.
    y, trace : array_like
        What the forward pass returned.
    state : array_like, shape (B, H), optional
        As in the forward pass.
    dlast : array_like, shape (B, H), optional
        Gradient with respect to the state behind the last step, 0 by default.
    lengths, reverse
        As in the forward pass.

    Returns
    -------
    dx : ndarray, shape (B, T, I)
        0 behind a sample's length.
    dstate : ndarray, shape (B, H)
        With respect to the state before the first step.
    dwx, dwh, dbias, dbias_hidden : ndarray
        As the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> x, w = np.zeros((1, 3, 1)), np.zeros((1, 3))
    >>> y, _, trace = gru(x, w, w, np.zeros(3), np.zeros(1), [[8.0]])
    >>> gru_backward(None, x, w, w, y, trace, [[8.0]], dlast=[[1.0]])[1]
    array([[0.125]])
    """
    return _backward(3, dy, x, wx, wh, y, trace, state, dlast, lengths, reverse)
