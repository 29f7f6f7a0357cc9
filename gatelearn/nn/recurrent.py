"""Recurrent layers through time: RNN, LSTM, GRU, and two of them in both directions."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_index, check_shape
from gatelearn.functional.recurrent import as_state, by_gate, of_core
from gatelearn.nn.base import Layer, check_input
from gatelearn.nn.layers import orthogonal


class RecurrentSaved(NamedTuple):
    """What the backward pass of a recurrent layer needs, and the state behind the last step."""

    x: NDArray
    first: NDArray
    lengths: NDArray | None
    y: NDArray
    trace: NDArray | None
    state: NDArray
    started: bool  # from a state that was given


class _Recurrent(Layer):
    """What the cells share. A state is (B, H), or (B, 2, H) where there are h and c."""

    gates = 1
    relu = False

    def __init__(self, inputs: int, hidden: int, *, reverse: bool = False):
        self.inputs, self.hidden, self.reverse = inputs, hidden, reverse

    def shapes(self) -> dict[str, tuple[int, ...]]:
        width = self.gates * self.hidden
        return {"wx": (self.inputs, width), "wh": (self.hidden, width), "bias": (width,)}

    def initialise(self, rng: np.random.Generator) -> None:
        for name in ("wx", "wh"):
            for w in np.split(self.param[name], self.gates, axis=1):
                w[...] = orthogonal(rng, *w.shape)

    def _state(self, state: ArrayLike | None, name: str, x: NDArray) -> NDArray:
        return as_state(state, name, self.gates, len(x), self.hidden, x.dtype)

    def _options(self, x: NDArray, first: NDArray, lengths: NDArray | None) -> tuple:
        wx, wh = (by_gate(self.param[name], self.gates) for name in ("wx", "wh"))
        return x, first, lengths, wx, wh, self.relu, self.reverse

    def forward(self, x: NDArray, state: ArrayLike | None = None,
                lengths: ArrayLike | None = None) -> tuple[NDArray, RecurrentSaved]:
        """Run through all steps.

        Parameters
        ----------
        x : ndarray, shape (B, T, inputs)
        state : array_like, shape (B, hidden), or (B, 2, hidden) for h and c of an LSTM, optional
            Before the first step, 0 by default.
        lengths : array_like of int, shape (B,), optional
            Steps of each sample that count. Those behind are not computed: outputs are 0, the state
            stays.

        Returns
        -------
        y : ndarray, shape (B, T, hidden)
        saved : RecurrentSaved
            ``saved.state`` is the state behind each sample's last step, as `state`: it starts a
            decoder, or the next step of the same layer.
        """
        p, H, G = self.param, self.hidden, self.gates
        check_input(x, self.inputs, p["wx"].dtype)
        x, (B, T, _) = np.ascontiguousarray(x), x.shape
        first = self._state(state, "state", x)
        if lengths is not None:
            lengths = check_shape(as_index(lengths, "lengths"), "lengths", (B,))
        y, last = np.empty((B, T, H), x.dtype), np.empty_like(first)
        trace = np.empty((B, T, G + 1, H), x.dtype) if G > 1 else None
        _core.recurrent_forward(*self._options(x, first, lengths), y, trace, by_gate(p["bias"], G),
                                p.get("bias_hidden"), last)
        return y, RecurrentSaved(x, first, lengths, y, trace, of_core(last), state is not None)

    def backward(self, dy: NDArray | None, saved: RecurrentSaved,
                 dstate: ArrayLike | None = None) -> Any:
        """Return the gradient of `x`, and that of `state` beside it where one was given.

        Parameters
        ----------
        dy : ndarray, shape (B, T, hidden), or None
            None where only the last state was used.
        saved : RecurrentSaved
            Of the forward pass.
        dstate : array_like, shape of the state, optional
            Gradient with respect to ``saved.state``, 0 by default.

        Returns
        -------
        dx : ndarray, shape (B, T, inputs)
        dfirst : ndarray, shape of the state
            Only with a state in the forward pass.
        """
        x, first, lengths, y, trace, _, started = saved
        if dy is not None:
            dy = check_shape(np.ascontiguousarray(dy), "dy", y.shape)
        dx, dfirst = np.empty_like(x), np.empty_like(first)
        _core.recurrent_backward(
            *self._options(x, first, lengths), y, trace, dy, self._state(dstate, "dstate", x), dx,
            dfirst, *(by_gate(self.grad[name], self.gates) for name in ("wx", "wh", "bias")),
            self.grad.get("bias_hidden"))
        return (dx, of_core(dfirst)) if started else dx


class RNN(_Recurrent):
    """Plain recurrent layer, as :func:`gatelearn.functional.rnn`.

    Parameters
    ----------
    inputs, hidden : int
        Widths I of the input and H of the state, which is the output.
    nonlinearity : {'tanh', 'relu'}, default 'tanh'
    reverse : bool, default False
        From the last step, which is a sample's own, to the first.

    Notes
    -----
    Parameters are ``wx`` (I, H), ``wh`` (H, H) and ``bias`` (H,): torch's ``weight_ih.T``,
    ``weight_hh.T`` and ``bias_ih + bias_hh``. Both weights start orthogonal, the bias at 0.

    Examples
    --------
    An encoder gives a decoder its first state; backward, the gradient goes the other way:

    >>> from gatelearn import nn
    >>> encoder, decoder = nn.RNN(3, 4).build(seed=0), nn.RNN(2, 4).build(seed=1)
    >>> x, u = np.ones((5, 7, 3), np.float32), np.ones((5, 6, 2), np.float32)
    >>> _, read = encoder.forward(x, lengths=[7, 3, 1, 7, 2])
    >>> y, wrote = decoder.forward(u, read.state)
    >>> du, dstate = decoder.backward(np.ones_like(y), wrote)
    >>> encoder.backward(None, read, dstate).shape
    (5, 7, 3)
    """

    def __init__(self, inputs: int, hidden: int, nonlinearity: str = "tanh", *,
                 reverse: bool = False):
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity is {nonlinearity!r}, expected 'tanh' or 'relu'")
        super().__init__(inputs, hidden, reverse=reverse)
        self.relu = nonlinearity == "relu"


class LSTM(_Recurrent):
    """Long short-term memory, as :func:`gatelearn.functional.lstm`.

    Parameters
    ----------
    inputs, hidden : int
        Widths I of the input and H of the output. A state is (B, 2, H): h and c.
    reverse : bool, default False
        From the last step, which is a sample's own, to the first.

    Notes
    -----
    Parameters are ``wx`` (I, 4H), ``wh`` (H, 4H) and ``bias`` (4H,), with H columns a gate in the
    order i, f, g, o: torch's ``weight_ih.T``, ``weight_hh.T`` and ``bias_ih + bias_hh``. The
    weights of each gate start orthogonal, the bias at 0 but for the forget gate's, which starts at
    1 [1]_.

    References
    ----------
    .. [1] R. Jozefowicz, W. Zaremba and I. Sutskever, "An Empirical Exploration of Recurrent
       Network Architectures", ICML 2015.

    Examples
    --------
    Step by step gives what the whole sequence gives:

    >>> from gatelearn import nn
    >>> layer = nn.LSTM(3, 4).build(seed=0)
    >>> x = np.random.default_rng(0).standard_normal((2, 5, 3), np.float32)
    >>> state, steps = None, []
    >>> for t in range(5):
    ...     y, saved = layer.forward(x[:, t:t + 1], state)
    ...     state = saved.state
    ...     steps.append(y)
    >>> bool(np.allclose(np.concatenate(steps, 1), layer.forward(x)[0], atol=1e-6))
    True
    """

    gates = 4

    def initialise(self, rng: np.random.Generator) -> None:
        super().initialise(rng)
        self.param["bias"].reshape(4, self.hidden)[1] = 1


class GRU(_Recurrent):
    """Gated recurrent units, as :func:`gatelearn.functional.gru`.

    Parameters
    ----------
    inputs, hidden : int
        Widths I of the input and H of the state, which is the output.
    reverse : bool, default False
        From the last step, which is a sample's own, to the first.

    Notes
    -----
    Parameters are ``wx`` (I, 3H), ``wh`` (H, 3H) and ``bias`` (3H,), with H columns a gate in the
    order r, z, n, and ``bias_hidden`` (H,), which r multiplies: torch's ``weight_ih.T``,
    ``weight_hh.T``, ``bias_ih + bias_hh`` of r and z and ``bias_ih`` of n, and ``bias_hh`` of n.
    The weights of each gate start orthogonal, the biases at 0.

    Examples
    --------
    >>> from gatelearn import nn
    >>> layer = nn.GRU(3, 4).build(seed=0)
    >>> y, saved = layer.forward(np.ones((2, 5, 3), np.float32), lengths=[5, 2])
    >>> y.shape, bool((y[1, 1] == saved.state[1]).all()), bool((y[1, 2:] == 0).all())
    ((2, 5, 4), True, True)
    """

    gates = 3

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return super().shapes() | {"bias_hidden": (self.hidden,)}


class BothSaved(NamedTuple):
    """What the backward pass of `Bidirectional` needs; `state` is that of both directions."""

    ahead: RecurrentSaved
    back: RecurrentSaved
    state: NDArray


class Bidirectional(Layer):
    """Two recurrent layers, from the first step and from the last [1]_, side by side.

    Outputs and states are those of both, concatenated along the last axis. A sample's last step is
    the one that its length says.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
        The layer ahead; the one back is built like it, with parameters of its own.

    References
    ----------
    .. [1] M. Schuster and K. K. Paliwal, "Bidirectional Recurrent Neural Networks", IEEE
       Transactions on Signal Processing 45, 1997.

    Examples
    --------
    >>> from gatelearn import nn
    >>> layer = nn.Bidirectional(nn.GRU(3, 4)).build(seed=0)
    >>> y, saved = layer.forward(np.ones((2, 5, 3), np.float32), lengths=[5, 2])
    >>> y.shape, saved.state.shape
    ((2, 5, 8), (2, 8))
    >>> bool((y[1, 0, 4:] == saved.state[1, 4:]).all())
    True
    """

    def __init__(self, layer: _Recurrent):
        if not isinstance(layer, _Recurrent):
            raise TypeError(f"layer is {type(layer).__name__}, expected RNN, LSTM or GRU")
        if layer.reverse:
            raise ValueError("layer.reverse is True, expected False: the layer ahead")
        self.ahead, self.back = layer, copy.copy(layer)
        self.back.reverse = True

    def children(self) -> dict[str, Layer]:
        return {"ahead": self.ahead, "back": self.back}

    def forward(self, x: NDArray, state: ArrayLike | None = None,
                lengths: ArrayLike | None = None) -> tuple[NDArray, BothSaved]:
        """Run in both directions; as the layer's own `forward`, with twice the width."""
        first = self._halves(state, "state", len(x))
        y_ahead, ahead = self.ahead.forward(x, first[0], lengths)
        y_back, back = self.back.forward(x, first[1], lengths)
        return (np.concatenate((y_ahead, y_back), -1),
                BothSaved(ahead, back, np.concatenate((ahead.state, back.state), -1)))

    def backward(self, dy: NDArray | None, saved: BothSaved,
                 dstate: ArrayLike | None = None) -> Any:
        """Return the gradients as the layer's own `backward`."""
        B, T, H = saved.ahead.y.shape
        dlast = self._halves(dstate, "dstate", B)
        dys = (None, None) if dy is None else np.split(check_shape(dy, "dy", (B, T, 2 * H)), 2, -1)
        ahead = self.ahead.backward(dys[0], saved.ahead, dlast[0])
        back = self.back.backward(dys[1], saved.back, dlast[1])
        if not saved.ahead.started:
            return ahead + back
        return ahead[0] + back[0], np.concatenate((ahead[1], back[1]), -1)

    def _halves(self, state: ArrayLike | None, name: str, B: int) -> Any:
        if state is None:
            return None, None
        shape = (B, 2) if self.ahead.gates == 4 else (B,)
        whole = check_shape(np.asarray(state), name, (*shape, 2 * self.ahead.hidden))
        return np.split(whole, 2, axis=-1)
