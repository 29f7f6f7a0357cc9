"""Attention: long, of middle length, and short; forward, and forward with backward."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import peers
from timing import OURS, Case, optional

from gatelearn import functional as F

# batch, heads, time, width
LONG = [(1, 8, 512, 64), (1, 8, 2048, 64), (1, 8, 8192, 64)]
MIDDLE = [(8, 4, 128, 32), (8, 8, 128, 16), (1, 12, 128, 64)]
SHORT = [(1, 4, 64, 32), (32, 4, 16, 16), (32, 8, 64, 16), (32, 8, 32, 32)]


def cases(quick: bool) -> Iterator[Case]:
    yield limit_case(quick)
    groups = {"attention, long": LONG, "attention, T 128": MIDDLE, "attention, short": SHORT}
    for group, shapes in groups.items():
        for shape in shapes[:1] if quick else shapes:
            for causal in (False, True):
                for backward in (False, True):
                    yield attention_case(group, shape, causal, backward)


def attention_case(group: str, shape: tuple[int, ...], causal: bool, backward: bool) -> Case:
    B, H, T, D = shape
    name = f"B{B} H{H} T{T} D{D}{' causal' * causal} {'fwd+bwd' if backward else 'fwd'}"
    pairs = T * (T + 1) // 2 if causal else T * T
    # two products forward, five backward, of which one computes the scores again
    flops = 2.0 * B * H * pairs * D * (7 if backward else 2)

    def setup(skipped):
        rng = np.random.default_rng(0)
        q, k, v, dout = rng.standard_normal((4, *shape), np.float32)

        def ours():
            return F.attention(q, k, v, is_causal=causal)

        def ours_both():
            out, lse = F.attention(q, k, v, is_causal=causal, return_lse=True)
            return F.attention_backward(dout, q, k, v, out, lse, is_causal=causal)[0]

        functions = {OURS: ours_both if backward else ours}
        arrays = q, k, v, dout
        for peer in (peers.torch_attention, peers.jax_attention, peers.onnx_attention,
                     peers.numpy_attention):
            functions |= peer(arrays, causal, backward, skipped)
        return functions

    return Case(group, name, setup, flops)


def limit_case(quick: bool) -> Case:
    """What the processor can do: the product of two squares, by OpenBLAS."""
    n = 512 if quick else 2048

    def setup(skipped):
        rng = np.random.default_rng(0)
        a, b = rng.standard_normal((2, n, n), np.float32)
        out = np.empty((n, n), np.float32)
        functions = {OURS: lambda: F.linear(a, b), "numpy": lambda: np.matmul(a, b, out=out)}
        if torch := optional("torch", skipped):
            ta, tb = torch.from_numpy(a), torch.from_numpy(b)
            functions["torch"] = lambda: ta @ tb
        return functions

    return Case("limit", f"sgemm {n} cube", setup, 2.0 * n**3)
