"""Hard attention by REINFORCE: score, draw, log-probability, and the gradients of a step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from timing import OURS, Case, optional

from gatelearn import functional as F

# batch, queries, positions, width
SHAPES = [(1, 1, 65536, 64), (256, 64, 128, 64)]


def cases(quick: bool) -> Iterator[Case]:
    for B, T, S, D in [(2, 8, 64, 16)] if quick else SHAPES:
        yield Case("hard attention", f"B{B} T{T} positions {S} D{D} draw and gradient",
                   lambda skipped, shape=(B, T, S, D): setup(skipped, *shape), unlike=("torch",))


def setup(skipped, B: int, T: int, S: int, D: int):
    rng = np.random.default_rng(0)
    query, dout = rng.standard_normal((2, B, 1, T, D), np.float32)
    key, value = rng.standard_normal((2, B, 1, S, D), np.float32)
    advantage = rng.standard_normal((B, 1, T), np.float32)

    def ours():
        uniforms = rng.random(advantage.shape, np.float32)
        _, z, _, entropy, lse = F.hard_attention(query, key, value, uniforms)
        return F.hard_attention_backward(dout, advantage, None, query, key, value, z, lse,
                                         entropy)[0]

    functions = {OURS: ours}
    if torch := optional("torch", skipped):
        inputs = [torch.from_numpy(a).requires_grad_() for a in (query, key, value)]
        tdout, tadvantage = torch.from_numpy(dout), torch.from_numpy(advantage)

        def straightforward():
            q, k, v = inputs
            logits = q @ k.transpose(2, 3) * D**-0.5
            draw = torch.distributions.Categorical(logits=logits, validate_args=False)
            z = draw.sample()
            out = torch.gather(v, 2, z[..., None].expand(-1, -1, -1, D))
            loss = (tdout * out).sum() + (tadvantage * draw.log_prob(z)).sum()
            return torch.autograd.grad(loss, inputs)[0]

        functions["torch"] = straightforward
    return functions
