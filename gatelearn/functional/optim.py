"""Steps of an optimiser over flat arrays."""

from __future__ import annotations

from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_real


def adamw_step(param: NDArray, m: NDArray, v: NDArray, grad: NDArray, *, step: int,
               lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
               weight_decay: float = 0.0, decay: NDArray | None = None,
               grad_scale: float = 1.0) -> None:
    """One step of Adam [1]_ with decoupled weight decay [2]_, in place.

    With ``g = grad_scale * grad`` and t the step::

        param *= 1 - lr * weight_decay * decay
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        param -= lr * m / (1 - betas[0]**t) / (sqrt(v / (1 - betas[1]**t)) + eps)

    Parameters
    ----------
    param, m, v : ndarray, shape (P,)
        Parameters and moments, changed in place; float32 or float64, contiguous. The moments are 0
        before the first step.
    grad : ndarray, shape (P,)
    step : int
        Counts from 1.
    lr : float, default 1e-3
    betas : pair of float, default (0.9, 0.999)
    eps : float, default 1e-8
    weight_decay : float, default 0
    decay : ndarray, shape (P,), optional
        Factor of `weight_decay` for each parameter, such as 0 for biases. None stands for 1.
    grad_scale : float, default 1
        Multiplies `grad`: what clips its norm.

    Raises
    ------
    TypeError
        If a dtype is not right.
    ValueError
        If shapes do not match, arrays overlap or `step` is below 1.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    .. [2] I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> param, m, v = np.array([1.0, 1.0]), np.zeros(2), np.zeros(2)
    >>> adamw_step(param, m, v, np.array([0.5, -2.0]), step=1, lr=0.1)
    >>> param.round(6)
    array([0.9, 1.1])
    """
    _core.adamw_step(param, m, v, grad, decay, lr, *betas, eps, weight_decay, grad_scale, step)


def grad_norm(grad: ArrayLike) -> float:
    """Euclidean norm of an array, summed in double in a fixed order.

    Parameters
    ----------
    grad : array_like
        Of any shape.

    Returns
    -------
    float
        NaN or ``inf`` where `grad` has one; ``inf`` too where a square exceeds a double.

    Raises
    ------
    TypeError
        If the dtype is not real.

    Examples
    --------
    >>> grad_norm([3.0, 4.0])
    5.0
    """
    return _core.grad_norm(as_real(grad, "grad").reshape(-1))
