"""PyTorch: our kernels as `torch.autograd` functions over the memory of CPU tensors.

Tensors are not copied: heads and time may be strided views, as the split of one projection gives
them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn import functional as F

try:
    import torch
except ImportError as error:
    raise ImportError("gatelearn.interop.torch needs PyTorch: pip install torch") from error

__all__ = ["additive_attention", "attention", "rotary"]

REAL = (torch.float32, torch.float64)


def _array(x: Any, name: str) -> NDArray:
    """Return the memory of a real CPU tensor as an array."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} is {type(x).__name__}, expected a tensor")
    if x.device.type != "cpu" or x.layout != torch.strided:
        raise ValueError(f"{name} is on {x.device} with layout {x.layout}, expected a strided "
                         "tensor on the CPU")
    if x.dtype not in REAL:
        raise TypeError(f"{name} has dtype {x.dtype}, expected torch.float32 or torch.float64")
    return x.detach().numpy()


def _plain(x: Any) -> Any:
    """Return what is not differentiated: tensors as arrays, everything else as it is."""
    return x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else x


def _tensor(x: NDArray | None) -> torch.Tensor | None:
    return None if x is None else torch.from_numpy(x)


class _Attention(torch.autograd.Function):

    @staticmethod
    def forward(ctx, query, key, value, bias, gate, options):
        q, k, v = (_array(x, name) for x, name in ((query, "query"), (key, "key"),
                                                   (value, "value")))
        options = options | {name: None if x is None else _array(x, name)
                             for x, name in ((bias, "bias"), (gate, "gate"))}
        out, lse = F.attention(q, k, v, return_lse=True, **options)
        out, lse = torch.from_numpy(out), torch.from_numpy(lse)
        ctx.save_for_backward(query, key, value, bias, gate, out, lse)
        ctx.options = options
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dout):
        # saved tensors, not arrays: autograd refuses those that were written over in the meantime
        query, key, value, _, _, out, lse = ctx.saved_tensors
        arrays = [x.detach().numpy() for x in (query, key, value, out, lse)]
        dquery, dkey, dvalue, dgate, dbias = F.attention_backward(_array(dout, "dout"), *arrays,
                                                                  **ctx.options)
        return *map(_tensor, (dquery, dkey, dvalue, dbias, dgate)), None


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *,
              bias: torch.Tensor | None = None, gate: torch.Tensor | None = None,
              **options: Any) -> torch.Tensor:
    """`gatelearn.functional.attention` for tensors.

    Parameters
    ----------
    query : Tensor, shape (B, H, Tq, D)
    key : Tensor, shape (B, G, Tk, D)
    value : Tensor, shape (B, G, Tk, E)
        float32 or float64 on the CPU, all of one type.
    bias : Tensor, broadcasts to (B, H, Tq, Tk), optional
    gate : Tensor, shape (B, H), (B, H, Tq) or (B, H, Tq, E), optional
        A head whose gate is 0 is not computed; its gate then has gradient 0.
    **options
        `mask`, `is_causal`, `window`, `scale`, `query_lengths`, `key_lengths`, `block_mask`,
        `block_size`, `alibi_slopes`, `dropout_p` and `seed` as there; tensors or arrays.

    Returns
    -------
    Tensor, shape (B, H, Tq, E)
        Differentiable once by `query`, `key`, `value`, `bias` and `gate`.

    Raises
    ------
    TypeError, ValueError
        If a tensor is not real, not on the CPU or of the wrong shape, or an option is refused.

    Examples
    --------
    >>> import torch
    >>> q = torch.zeros(1, 2, 3, 4, requires_grad=True)
    >>> out = attention(q, q, q + 1, is_causal=True, gate=torch.tensor([[1.0, 0.0]]))
    >>> out.sum().backward()
    >>> out[0, :, 0, 0].tolist(), q.grad[0, 1].abs().sum().item()
    ([1.0, 0.0], 0.0)
    """
    options = {name: _plain(x) for name, x in options.items()}
    return _Attention.apply(query, key, value, bias, gate, options)


class _AdditiveAttention(torch.autograd.Function):

    @staticmethod
    def forward(ctx, query, key, value, weight, options):
        arrays = [_array(x, name) for x, name in (
            (query, "query"), (key, "key"), (value, "value"), (weight, "weight"))]
        out, lse = F.additive_attention(*arrays, return_lse=True, **options)
        out, lse = torch.from_numpy(out), torch.from_numpy(lse)
        ctx.save_for_backward(query, key, value, weight, out, lse)
        ctx.options = options
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dout):
        arrays = [x.detach().numpy() for x in ctx.saved_tensors]
        grads = F.additive_attention_backward(_array(dout, "dout"), *arrays, **ctx.options)
        return *map(_tensor, grads), None


def additive_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
                       weight: torch.Tensor, **options: Any) -> torch.Tensor:
    """`gatelearn.functional.additive_attention` for tensors.

    Parameters
    ----------
    query : Tensor, shape (B, Tq, A)
    key : Tensor, shape (B, Tk, A)
    value : Tensor, shape (B, Tk, E)
    weight : Tensor, shape (A,)
        float32 or float64 on the CPU, all of one type.
    **options
        `is_causal`, `query_lengths`, `key_lengths` and `mask` as there; tensors or arrays.

    Returns
    -------
    Tensor, shape (B, Tq, E)
        Differentiable once.

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(1, 2, 3)
    >>> additive_attention(x, x, torch.eye(2)[None], torch.ones(3))[0].tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    options = {name: _plain(x) for name, x in options.items()}
    return _AdditiveAttention.apply(query, key, value, weight, options)


class _Rotary(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x, cosine, sine):
        ctx.tables = cosine, sine
        return torch.from_numpy(F.rotary(_array(x, "x"), cosine, sine))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dout):
        dx = F.rotary(_array(dout, "dout"), *ctx.tables, inverse=True)
        return torch.from_numpy(dx), None, None


def rotary(x: torch.Tensor, cosine: Any, sine: Any) -> torch.Tensor:
    """`gatelearn.functional.rotary` for tensors.

    Parameters
    ----------
    x : Tensor, shape (B, H, T, D)
    cosine, sine : Tensor or array_like, shape (T, D / 2)
        Not differentiated.

    Returns
    -------
    Tensor, shape (B, H, T, D)

    Examples
    --------
    >>> import torch
    >>> from gatelearn.functional import rotary_tables
    >>> x = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    >>> rotary(x, *rotary_tables(2, 2, dtype=float))[0, 0, 1].round(decimals=4).tolist()
    [-0.3012, 1.3818]
    """
    return _Rotary.apply(x, np.asarray(_plain(cosine)), np.asarray(_plain(sine)))
