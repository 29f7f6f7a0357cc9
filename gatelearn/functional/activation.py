"""Activations, element by element."""

from __future__ import annotations

from collections.abc import Callable

from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_real, as_reals, check_shape, out_array

_GELU = {"tanh": (_core.gelu_forward, _core.gelu_backward),
         "none": (_core.gelu_exact_forward, _core.gelu_exact_backward)}


def _map(f: Callable, x: ArrayLike, out: NDArray | None) -> NDArray:
    x = as_real(x, "x")
    out = out_array(out, x.shape, x.dtype)
    f(out.reshape(-1), x.reshape(-1))
    return out


def _map_backward(f: Callable, dout: ArrayLike, value: ArrayLike, name: str,
                  out: NDArray | None) -> NDArray:
    dout, value = as_reals((dout, "dout"), (value, name))
    check_shape(dout, "dout", value.shape)
    out = out_array(out, value.shape, value.dtype)
    f(out.reshape(-1), dout.reshape(-1), value.reshape(-1))
    return out


def _gelu(approximate: str) -> tuple[Callable, Callable]:
    if approximate not in _GELU:
        raise ValueError(f"approximate is {approximate!r}, expected 'tanh' or 'none'")
    return _GELU[approximate]


def gelu(x: ArrayLike, *, approximate: str = "tanh", out: NDArray | None = None) -> NDArray:
    """Gaussian error linear unit [1]_, ``x * Phi(x)`` with the normal distribution function.

    Parameters
    ----------
    x : array_like
        float32 and float64 are kept; integers become float64.
    approximate : {'tanh', 'none'}, default 'tanh'
        ``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``, within 5e-4 of the function
        and what the layers of this library use, or the function itself.
    out : ndarray, shape of x, optional
        Where to write. May be `x` itself.

    Returns
    -------
    ndarray, shape of x
        `out`, or a new array. NaN and ``-inf`` give NaN.

    Raises
    ------
    TypeError
        If the dtype is not real.
    ValueError
        If `approximate` is unknown, or `out` does not match.

    References
    ----------
    .. [1] D. Hendrycks and K. Gimpel, "Gaussian Error Linear Units (GELUs)", arXiv 1606.08415,
       2016.

    Examples
    --------
    >>> gelu([-1.0, 0.0, 1.0]).round(4)
    array([-0.1588,  0.    ,  0.8412])
    >>> gelu([-1.0, 0.0, 1.0], approximate="none").round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    return _map(_gelu(approximate)[0], x, out)


def gelu_backward(dout: ArrayLike, x: ArrayLike, *, approximate: str = "tanh",
                  out: NDArray | None = None) -> NDArray:
    """Gradient of `gelu`.

    Parameters
    ----------
    dout : array_like
        Gradient with respect to the output.
    x : array_like, shape of dout
        The input of the forward pass.
    approximate : {'tanh', 'none'}, default 'tanh'
        As in the forward pass.
    out : ndarray, shape of dout, optional
        Where to write. May be `dout` or `x`.

    Returns
    -------
    ndarray, shape of dout
        Gradient with respect to `x`.

    Raises
    ------
    TypeError
        If a dtype is not real.
    ValueError
        If `approximate` is unknown, or shapes do not match.

    Examples
    --------
    >>> gelu_backward([1.0, 2.0], [0.0, 0.0])
    array([0.5, 1. ])
    """
    return _map_backward(_gelu(approximate)[1], dout, x, "x", out)


def tanh(x: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Hyperbolic tangent.

    Parameters
    ----------
    x : array_like
        float32 and float64 are kept; integers become float64.
    out : ndarray, shape of x, optional
        Where to write. May be `x` itself.

    Returns
    -------
    ndarray, shape of x
        `out`, or a new array.

    Raises
    ------
    TypeError
        If the dtype is not real.
    ValueError
        If `out` does not match.

    Examples
    --------
    >>> tanh([0.0, float("inf")])
    array([0., 1.])
    """
    return _map(_core.tanh_forward, x, out)


def tanh_backward(dout: ArrayLike, y: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Gradient of `tanh` from its output, ``dout * (1 - y**2)``.

    Parameters
    ----------
    dout : array_like
        Gradient with respect to the output.
    y : array_like, shape of dout
        The output of the forward pass.
    out : ndarray, shape of dout, optional
        Where to write. May be `dout` or `y`.

    Returns
    -------
    ndarray, shape of dout

    Raises
    ------
    TypeError
        If a dtype is not real.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> tanh_backward([1.0, 1.0], [0.5, 1.0])
    array([0.75, 0.  ])
    """
    return _map_backward(_core.tanh_backward, dout, y, "y", out)


def relu(x: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Return ``max(x, 0)``; NaN stays NaN.

    Parameters
    ----------
    x : array_like
        float32 and float64 are kept; integers become float64.
    out : ndarray, shape of x, optional
        Where to write. May be `x` itself.

    Returns
    -------
    ndarray, shape of x
        `out`, or a new array.

    Raises
    ------
    TypeError
        If the dtype is not real.
    ValueError
        If `out` does not match.

    Examples
    --------
    >>> relu([-1.0, 2.0])
    array([0., 2.])
    """
    return _map(_core.relu_forward, x, out)


def relu_backward(dout: ArrayLike, y: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Gradient of `relu` from its output: `dout` where `y` is positive, and 0 at 0.

    Parameters
    ----------
    dout : array_like
        Gradient with respect to the output.
    y : array_like, shape of dout
        The output of the forward pass.
    out : ndarray, shape of dout, optional
        Where to write. May be `dout` or `y`.

    Returns
    -------
    ndarray, shape of dout

    Raises
    ------
    TypeError
        If a dtype is not real.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> relu_backward([1.0, 1.0], [0.0, 2.0])
    array([0., 1.])
    """
    return _map_backward(_core.relu_backward, dout, y, "y", out)


def sigmoid(x: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Logistic function, ``1 / (1 + exp(-x))``, without overflow.

    Parameters
    ----------
    x : array_like
        float32 and float64 are kept; integers become float64.
    out : ndarray, shape of x, optional
        Where to write. May be `x` itself.

    Returns
    -------
    ndarray, shape of x
        `out`, or a new array.

    Raises
    ------
    TypeError
        If the dtype is not real.
    ValueError
        If `out` does not match.

    Examples
    --------
    >>> sigmoid([-float("inf"), 0.0, float("inf")])
    array([0. , 0.5, 1. ])
    """
    return _map(_core.sigmoid_forward, x, out)


def sigmoid_backward(dout: ArrayLike, y: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Gradient of `sigmoid` from its output, ``dout * y * (1 - y)``.

    Parameters
    ----------
    dout : array_like
        Gradient with respect to the output.
    y : array_like, shape of dout
        The output of the forward pass.
    out : ndarray, shape of dout, optional
        Where to write. May be `dout` or `y`.

    Returns
    -------
    ndarray, shape of dout

    Raises
    ------
    TypeError
        If a dtype is not real.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> sigmoid_backward([4.0, 1.0], [0.5, 1.0])
    array([1., 0.])
    """
    return _map_backward(_core.sigmoid_backward, dout, y, "y", out)
