"""Attention by others: each function returns what to time, by name, or says why it cannot."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from timing import optional

import gatelearn as gl

# those that hold the matrix of scores take part up to this length
LONGEST_MATRIX = 2048

Functions = dict[str, Callable[[], Any]]
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # query, key, value, dout


def torch_attention(arrays: Arrays, causal: bool, backward: bool, skipped: dict) -> Functions:
    torch = optional("torch", skipped)
    if torch is None:
        return {}
    q, k, v, dout = (torch.from_numpy(a) for a in arrays)
    sdpa = torch.nn.functional.scaled_dot_product_attention

    def forward():
        with torch.inference_mode():
            return sdpa(q, k, v, is_causal=causal)

    inputs = [t.clone().requires_grad_() for t in (q, k, v)]

    def both():
        return torch.autograd.grad(sdpa(*inputs, is_causal=causal), inputs, dout)[0]

    return {"torch": both if backward else forward}


def jax_attention(arrays: Arrays, causal: bool, backward: bool, skipped: dict) -> Functions:
    jax = optional("jax", skipped)
    if jax is None or arrays[0].shape[2] > LONGEST_MATRIX:
        return {}
    # (batch, time, heads, width), as it has them
    q, k, v, dout = (jax.numpy.asarray(a.swapaxes(1, 2)) for a in arrays)

    def attention(q, k, v):
        return jax.nn.dot_product_attention(q, k, v, is_causal=causal)

    @jax.jit
    def gradients(q, k, v, dout):
        return jax.vjp(attention, q, k, v)[1](dout)

    jitted = jax.jit(attention)

    def forward():
        return np.asarray(jitted(q, k, v).block_until_ready()).swapaxes(1, 2)

    def both():
        grads = jax.block_until_ready(gradients(q, k, v, dout))
        return np.asarray(grads[0]).swapaxes(1, 2)

    return {"jax": both if backward else forward}


def onnx_attention(arrays: Arrays, causal: bool, backward: bool, skipped: dict) -> Functions:
    """The operator Attention of ONNX by ONNX Runtime, which has no backward pass."""
    if backward:
        return {}
    runtime, onnx = optional("onnxruntime", skipped), optional("onnx", skipped)
    if runtime is None or onnx is None:
        return {}
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    feeds = dict(zip("QKV", arrays[:3], strict=True))
    graph = helper.make_graph(
        [helper.make_node("Attention", list("QKV"), ["Y"], is_causal=int(causal))], "attention",
        [helper.make_tensor_value_info(name, kind, a.shape) for name, a in feeds.items()],
        [helper.make_tensor_value_info("Y", kind, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = gl.get_num_threads()
    # its idle threads would spin on through the turns of the others
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = runtime.InferenceSession(model.SerializeToString(), options,
                                       providers=["CPUExecutionProvider"])
    return {"onnxruntime": lambda: session.run(None, feeds)[0]}


def numpy_attention(arrays: Arrays, causal: bool, backward: bool, skipped: dict) -> Functions:
    """The few lines that one writes without a library."""
    q, k, v, _ = arrays
    T = q.shape[2]
    if backward or T > LONGEST_MATRIX:
        return {}

    def forward():
        score = q @ k.swapaxes(2, 3)
        score *= 1 / math.sqrt(q.shape[3])
        if causal:
            score[..., np.arange(T)[:, None] < np.arange(T)] = -np.inf
        score -= score.max(-1, keepdims=True)
        np.exp(score, out=score)
        score /= score.sum(-1, keepdims=True)
        return score @ v

    return {"numpy": forward}
