"""The optimiser of a flat buffer, and the schedule of its rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn.nn.base import Layer


class AdamW:
    """Adam with decoupled weight decay [1]_ over one flat array of parameters.

    Parameters
    ----------
    params, grads : ndarray, shape (P,)
        Those of a layer that was built. `params` is changed in place, `grads` is only read.
    lr : float, default 1e-3
        Rate where `step` is given none.
    betas : pair of float, default (0.9, 0.999)
    eps : float, default 1e-8
    weight_decay : float, default 0
    decay_mask : array_like, shape (P,), optional
        Factor of `weight_decay` for each parameter; see `matrices_only`. None stands for 1.
    skip_nonfinite : bool, default False
        Whether a step with NaN or infinity in its gradient is left out instead of raising.

    Attributes
    ----------
    steps : int
        How many were taken.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.

    Examples
    --------
    >>> x, grad = np.array([4.0]), np.zeros(1)
    >>> adam = AdamW(x, grad, lr=0.1)
    >>> for _ in range(200):
    ...     grad[:] = 2 * x
    ...     norm = adam.step()
    >>> bool(abs(x[0]) < 0.01)
    True
    """

    def __init__(self, params: NDArray, grads: NDArray, *, lr: float = 1e-3,
                 betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, decay_mask: ArrayLike | None = None,
                 skip_nonfinite: bool = False):
        for name, value in (("betas[0]", betas[0]), ("betas[1]", betas[1])):
            if not 0 <= value < 1:
                raise ValueError(f"{name} is {value}, expected 0 <= {name} < 1")
        for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value}, expected a finite number of at least 0")
        if params.ndim != 1 or grads.shape != params.shape:
            raise ValueError(f"params has shape {params.shape} and grads {grads.shape}, "
                             "expected (P,) for both")
        self.params, self.grads = params, grads
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.skip_nonfinite = skip_nonfinite
        self.decay_mask = None
        if decay_mask is not None:
            self.decay_mask = np.ascontiguousarray(decay_mask, params.dtype)
            if self.decay_mask.shape != params.shape:
                raise ValueError(f"decay_mask has shape {self.decay_mask.shape}, "
                                 f"expected {params.shape}")
        self.m, self.v, self.steps = np.zeros_like(params), np.zeros_like(params), 0

    def step(self, lr: float | None = None, max_norm: float | None = None) -> float:
        """Take one step along `grads`, which it leaves as they are.

        Parameters
        ----------
        lr : float, optional
            Instead of that of the constructor, for a schedule.
        max_norm : float, optional
            Gradients of a larger Euclidean norm are scaled down to it.

        Returns
        -------
        float
            The norm before scaling.

        Raises
        ------
        FloatingPointError
            If the norm is NaN or infinite, unless `skip_nonfinite`; nothing is changed either way.
        ValueError
            If `max_norm` is not above 0.
        """
        if max_norm is not None and not max_norm > 0:
            raise ValueError(f"max_norm is {max_norm}, expected a number above 0")
        norm = _core.grad_norm(self.grads)
        if not math.isfinite(norm):
            if self.skip_nonfinite:
                return norm
            raise FloatingPointError(f"the norm of the gradient is {norm} at step {self.steps + 1}")
        scale = max_norm / norm if max_norm is not None and norm > max_norm else 1.0
        _core.adamw_step(self.params, self.m, self.v, self.grads, self.decay_mask,
                         self.lr if lr is None else lr, *self.betas, self.eps, self.weight_decay,
                         scale, self.steps + 1)
        self.steps += 1
        return norm

    def state(self) -> dict[str, Any]:
        """Return copies of all that changes, for a checkpoint: ``m``, ``v`` and ``step``.

        Returns
        -------
        dict
        """
        return {"m": self.m.copy(), "v": self.v.copy(), "step": self.steps}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned.

        Parameters
        ----------
        state : dict

        Raises
        ------
        ValueError
            If an entry is missing or unknown, or a shape differs; nothing is then changed.
        """
        for name in {"m", "v", "step"} ^ state.keys():
            raise ValueError(f"state entry {name} is {'unknown' if name in state else 'missing'}")
        for name in ("m", "v"):
            if np.shape(state[name]) != self.params.shape:
                raise ValueError(f"state entry {name} has shape {np.shape(state[name])}, "
                                 f"expected {self.params.shape}")
        steps = int(state["step"])
        if steps < 0:
            raise ValueError(f"state entry step is {steps}, expected at least 0")
        self.m[...], self.v[...], self.steps = state["m"], state["v"], steps


def matrices_only(layer: Layer) -> NDArray:
    """Return a mask of a layer's flat buffer: 1 for weights of two or more axes, 0 for the rest.

    Weight decay is for matrices; biases and the scales of layer norms are left alone.

    Parameters
    ----------
    layer : Layer
        Built.

    Returns
    -------
    ndarray, shape (P,)
        Of the parameters' type: the `decay_mask` of `AdamW`.

    Examples
    --------
    >>> from gatelearn import nn
    >>> matrices_only(nn.Linear(2, 1).build())
    array([1., 1., 0.], dtype=float32)
    """
    parts = [np.full(math.prod(shape), len(shape) > 1) for *_, shape in layer.layout()]
    return np.concatenate(parts or [np.zeros(0, bool)]).astype(layer.params.dtype)


def cosine_schedule(step: int, total: int, warmup: int = 0, *, peak: float = 1.0,
                    floor: float = 0.0) -> float:
    """Rate of a step: a straight line up to `peak`, then half a cosine down to `floor` [1]_.

    Parameters
    ----------
    step : int
        Counts from 1.
    total : int
        The step that reaches `floor`; later ones stay there.
    warmup : int, default 0
        The step that reaches `peak`.
    peak, floor : float, default 1 and 0

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If `step` is below 1, or `warmup` not in [0, total].

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
       ICLR 2017.

    Examples
    --------
    >>> [round(cosine_schedule(step, 6, 2), 3) for step in range(1, 8)]
    [0.5, 1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    if step < 1:
        raise ValueError(f"step is {step}, expected at least 1")
    if not 0 <= warmup <= total:
        raise ValueError(f"warmup is {warmup}, expected 0 to {total}")
    if step <= warmup:
        return peak * step / warmup
    if step >= total:
        return floor
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * (step - warmup)
                                                        / (total - warmup)))
