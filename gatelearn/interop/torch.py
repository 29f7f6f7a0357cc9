"""Attention, and combinations of models, for PyTorch, with gradients, on tensors of the CPU.

Tensors and arrays share memory: nothing is copied that `gatelearn.functional` would not copy.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import functional as F
from gatelearn.errors import require
from gatelearn.functional.attention import Window

if TYPE_CHECKING:
    from gatelearn.wsa import Combination

torch = require("torch", install="torch")

__all__ = ["additive_attention", "attention", "combination", "rotary"]


def _array(x: Any, name: str, *, real: bool = True) -> NDArray:
    """Return the memory of a tensor as an array."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} is {type(x).__name__}, expected a tensor")
    if x.is_nested or x.layout is not torch.strided:
        raise TypeError(f"{name} is {'nested' if x.is_nested else x.layout}, "
                        "expected a dense tensor")
    if x.device.type != "cpu":
        raise ValueError(f"{name} is on device {x.device}, expected cpu")
    if real and x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} has dtype {x.dtype}, expected torch.float32 or torch.float64")
    if not real and (x.dtype.is_floating_point or x.dtype.is_complex):
        raise TypeError(f"{name} has dtype {x.dtype}, expected booleans or integers")
    return x.detach().numpy()


def _constant(x: Any, name: str, *, real: bool = False) -> Any:
    """Return an option as `gatelearn.functional`, which checks the rest, takes it."""
    if not isinstance(x, torch.Tensor):
        return x
    if x.requires_grad:
        raise ValueError(f"{name} requires a gradient, expected a constant")
    return _array(x, name, real=real)


def _arrays(names: tuple[str, ...], tensors: tuple) -> dict[str, NDArray]:
    return {name: _array(x, name) for name, x in zip(names, tensors, strict=False)
            if not (x is None and name in ("gate", "bias"))}


class _Kernel(NamedTuple):
    """Either attention; `names` are its inputs in the order of the gradients."""

    forward: Callable
    backward: Callable
    names: tuple[str, ...]


_SOFTMAX = _Kernel(F.attention, F.attention_backward, ("query", "key", "value", "gate", "bias"))
_ADDITIVE = _Kernel(F.additive_attention, F.additive_attention_backward,
                    ("query", "key", "value", "weight"))


class _Attention(torch.autograd.Function):
    """Arguments: a kernel, its options, then a tensor or None for each of the kernel's names."""

    @staticmethod
    def forward(ctx, kernel, options, *inputs):
        arrays = _arrays(kernel.names, inputs)
        ctx.kernel, ctx.options = kernel, {
            name: _constant(x, name, real=name == "alibi_slopes") for name, x in options.items()}
        out, lse = map(torch.from_numpy, kernel.forward(**arrays, **ctx.options, return_lse=True))
        # masks and lengths are saved for autograd's check that nothing changed in between
        ctx.save_for_backward(*inputs, out, lse,
                              *(x for x in options.values() if isinstance(x, torch.Tensor)))
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dout):
        arrays = _arrays((*ctx.kernel.names, "out", "lse"), ctx.saved_tensors)
        grads = ctx.kernel.backward(_array(dout, "dout"), **arrays, **ctx.options)
        needed = ctx.needs_input_grad[2:]
        return None, None, *(torch.from_numpy(grad) if need else None
                             for grad, need in zip(grads, needed, strict=True))


class _Rotary(torch.autograd.Function):
    """The gradient of a rotation is the inverse rotation."""

    @staticmethod
    def forward(ctx, x, cosine, sine, inverse):
        ctx.save_for_backward(*(t for t in (cosine, sine) if isinstance(t, torch.Tensor)))
        ctx.tables, ctx.inverse = (cosine, sine), inverse
        tables = _constant(cosine, "cosine", real=True), _constant(sine, "sine", real=True)
        return torch.from_numpy(F.rotary(_array(x, "x"), *tables, inverse=inverse))

    @staticmethod
    def backward(ctx, dout):
        _ = ctx.saved_tensors  # raises where a table has changed
        return _Rotary.apply(dout, *ctx.tables, not ctx.inverse), None, None, None


# Parameters of a layer are views of an array. Which one, and that no one else uses the layer
# while they are: autograd may run on several threads.
_BOUND: WeakKeyDictionary[Any, NDArray] = WeakKeyDictionary()
_BINDING = threading.Lock()


@contextmanager
def _bound(layer: Combination, params: NDArray) -> Iterator[None]:
    """Let the layer's parameters be views of `params`."""
    with _BINDING:
        has = _BOUND.get(layer)
        if has is None or layer.params is not has or (
                has.ctypes.data, has.dtype, has.size) != (params.ctypes.data, params.dtype,
                                                          params.size):
            size = sum(math.prod(shape) for *_, shape in layer.layout())
            if params.shape != (size,):
                raise ValueError(f"params has shape {params.shape}, expected ({size},)")
            layer.bind(params, np.zeros_like(params))
            _BOUND[layer] = params
        yield


class _Combination(torch.autograd.Function):
    """Arguments: a combination, the mask, then the tensors."""

    @staticmethod
    def forward(ctx, layer, present, features, params):
        arrays = _array(features, "features"), np.ascontiguousarray(_array(params, "params"))
        if ctx.needs_input_grad[2] and not layer.input_gradient:
            raise ValueError("features requires a gradient, expected a constant: the combination "
                             "has input_gradient=False")
        with _bound(layer, arrays[1]):
            state, saved = layer.forward(arrays[0], _constant(present, "present"))
        ctx.layer, ctx.saved = layer, saved
        ctx.save_for_backward(features, params,
                              *((present,) if isinstance(present, torch.Tensor) else ()))
        weights = None if saved.weights is None else torch.from_numpy(saved.weights)
        if weights is not None:
            ctx.mark_non_differentiable(weights)
        return torch.from_numpy(state), weights

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dstate, _):
        params = np.ascontiguousarray(_array(ctx.saved_tensors[1], "params"))
        with _bound(ctx.layer, params):
            ctx.layer.grads[...] = 0
            dfeatures = ctx.layer.backward(_array(dstate, "dstate"), ctx.saved)
            dparams = ctx.layer.grads.copy()
        return (None, None, torch.from_numpy(dfeatures) if ctx.needs_input_grad[2] else None,
                torch.from_numpy(dparams) if ctx.needs_input_grad[3] else None)


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *,
              bias: torch.Tensor | None = None, gate: torch.Tensor | None = None,
              mask: torch.Tensor | ArrayLike | None = None, is_causal: bool = False,
              window: Window = None, scale: float | None = None,
              query_lengths: torch.Tensor | ArrayLike | None = None,
              key_lengths: torch.Tensor | ArrayLike | None = None,
              block_mask: torch.Tensor | ArrayLike | None = None, block_size: int = 64,
              alibi_slopes: torch.Tensor | ArrayLike | None = None, dropout_p: float = 0.0,
              seed: int | None = None) -> torch.Tensor:
    """`gatelearn.functional.attention` on tensors; shapes, options and references are listed there.

    Parameters
    ----------
    query : Tensor, shape (B, H, Tq, D)
        On the CPU, float32 or float64. Heads and time may be strided views, as the split of one
        projection gives them; no copy is made.
    key : Tensor, shape (B, G, Tk, D)
    value : Tensor, shape (B, G, Tk, E)
    bias : Tensor, broadcasts to (B, H, Tq, Tk), optional
    gate : Tensor, shape (B, H), (B, H, Tq) or (B, H, Tq, E), optional
        A head whose gate is 0 is not computed, and the gradient of its gate is 0.
    mask, query_lengths, key_lengths, block_mask, alibi_slopes : Tensor or array_like, optional
        Constants.
    is_causal, window, scale, block_size, dropout_p, seed
        Numbers.

    Returns
    -------
    Tensor, shape (B, H, Tq, E)
        Has a gradient, once, with respect to `query`, `key`, `value`, `bias` and `gate`.

    Raises
    ------
    TypeError
        If what should be a tensor is none or is not dense, or a dtype does not fit.
    ValueError
        If a tensor is on another device, a constant requires a gradient, or as in
        `gatelearn.functional.attention`.

    Examples
    --------
    >>> q = k = torch.zeros(1, 2, 3, 4)
    >>> v = torch.arange(6.0).reshape(1, 2, 3, 1).requires_grad_()
    >>> out = attention(q, k, v, is_causal=True, gate=torch.tensor([[1.0, 0.0]]))
    >>> out[0, :, :, 0].detach()
    tensor([[0.0000, 0.5000, 1.0000],
            [0.0000, 0.0000, 0.0000]])
    >>> out[0, 0, 1].sum().backward()
    >>> v.grad[0, :, :, 0]
    tensor([[0.5000, 0.5000, 0.0000],
            [0.0000, 0.0000, 0.0000]])
    """
    if isinstance(scale, torch.Tensor):
        raise TypeError("scale is Tensor, expected a number; multiply query by a tensor instead")
    options = dict(mask=mask, is_causal=is_causal, window=window, scale=scale,
                   query_lengths=query_lengths, key_lengths=key_lengths, block_mask=block_mask,
                   block_size=block_size, alibi_slopes=alibi_slopes, dropout_p=dropout_p,
                   seed=seed)
    return _Attention.apply(_SOFTMAX, options, query, key, value, gate, bias)


def additive_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
                       weight: torch.Tensor, *, is_causal: bool = False,
                       query_lengths: torch.Tensor | ArrayLike | None = None,
                       key_lengths: torch.Tensor | ArrayLike | None = None,
                       mask: torch.Tensor | ArrayLike | None = None) -> torch.Tensor:
    """`gatelearn.functional.additive_attention` on tensors; options and references are there.

    Parameters
    ----------
    query : Tensor, shape (B, Tq, A)
        On the CPU, float32 or float64.
    key : Tensor, shape (B, Tk, A)
    value : Tensor, shape (B, Tk, E)
    weight : Tensor, shape (A,)
    is_causal : bool, default False
    query_lengths, key_lengths, mask : Tensor or array_like, optional
        Constants.

    Returns
    -------
    Tensor, shape (B, Tq, E)
        Has a gradient, once, with respect to `query`, `key`, `value` and `weight`.

    Raises
    ------
    TypeError, ValueError
        As `attention` and `gatelearn.functional.additive_attention`.

    Examples
    --------
    >>> x, weight = torch.zeros(1, 2, 3), torch.ones(3)
    >>> additive_attention(x, x, torch.tensor([[[1.0], [3.0]]]), weight, is_causal=True)[0, :, 0]
    tensor([1., 2.])
    """
    options = dict(is_causal=is_causal, query_lengths=query_lengths, key_lengths=key_lengths,
                   mask=mask)
    return _Attention.apply(_ADDITIVE, options, query, key, value, weight)


def rotary(x: torch.Tensor, cosine: torch.Tensor | ArrayLike, sine: torch.Tensor | ArrayLike, *,
           inverse: bool = False) -> torch.Tensor:
    """`gatelearn.functional.rotary` on tensors; what it does and its reference are there.

    Parameters
    ----------
    x : Tensor, shape (B, H, T, D)
        On the CPU, float32 or float64. Heads and time may be strided views.
    cosine, sine : Tensor or array_like, shape (T, D / 2)
        Constants, of `gatelearn.functional.rotary_tables`.
    inverse : bool, default False
        Turn back.

    Returns
    -------
    Tensor, shape (B, H, T, D)
        Has gradients of any order with respect to `x`.

    Raises
    ------
    TypeError, ValueError
        As `attention` and `gatelearn.functional.rotary`.

    Examples
    --------
    >>> from gatelearn.functional import rotary_tables
    >>> rotary(torch.ones(1, 1, 2, 2), *rotary_tables(2, 2))[0, 0]
    tensor([[ 1.0000,  1.0000],
            [-0.3012,  1.3818]])
    """
    return _Rotary.apply(x, cosine, sine, inverse)


def combination(layer: Combination, features: torch.Tensor, params: torch.Tensor,
                present: torch.Tensor | ArrayLike | None = None, *, return_weights: bool = False
                ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor | None]:
    """Any combination of `gatelearn.wsa` on tensors; how it combines is documented there.

    Parameters
    ----------
    layer : Combination
        By itself, in no network. Its own parameters are from then on the memory of `params`.
    features : Tensor, shape (B, D)
        Embeddings of all models side by side. On the CPU, float32 or float64.
    params : Tensor, shape (P,)
        All parameters, flat: ``torch.nn.Parameter(torch.from_numpy(layer.params))`` of a layer that
        was built.
    present : Tensor or array_like of bool, shape (B, M), optional
        A constant: which models a sample has; all by default.
    return_weights : bool, default False
        Whether to return the share of each model in the state too.

    Returns
    -------
    state : Tensor, shape (B, R)
        Has a gradient, once, with respect to `params`, and to `features` if the layer was made with
        ``input_gradient=True``.
    weights : Tensor, shape (B, M), or None
        Only with `return_weights`; a constant. None where the combination weighs no models.

    Raises
    ------
    TypeError, ValueError
        As `attention` and the layer's ``forward``; if `params` has another size, or `features`
        requires a gradient that the layer does not have.

    Examples
    --------
    >>> from gatelearn import wsa
    >>> layer = wsa.Mean({"state": 3, "objects": 2}, 4).build(seed=0)
    >>> params = torch.nn.Parameter(torch.from_numpy(layer.params))
    >>> state, weights = combination(layer, torch.ones(6, 5), params, return_weights=True)
    >>> state.shape, weights[0]
    (torch.Size([6, 4]), tensor([0.5000, 0.5000]))
    >>> state.sum().backward()
    >>> params.grad.shape
    torch.Size([44])
    """
    state, weights = _Combination.apply(layer, present, features, params)
    return (state, weights) if return_weights else state
