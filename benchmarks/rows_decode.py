"""A step of decoding against cached positions: what closing saves in time and memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rows_gated import MASKED, VOCABULARY, close
from timing import OURS, Case, optional

from gatelearn import nn

SHARES = (0.0, 0.25, 0.5, 0.75)


def cases(quick: bool) -> Iterator[Case]:
    B, C, H, L, S = (4, 32, 4, 2, 64) if quick else (16, 512, 8, 4, 2048)
    net = nn.Transformer(VOCABULARY, width=C, layers=L, heads=H)
    for share in SHARES[::2] if quick else SHARES:
        gate = close(B, L * (H + 1), share, np.random.default_rng(1)).reshape(B, L, H + 1)
        yield step_case(net, gate, S)


def step_case(net: nn.Transformer, gate: np.ndarray, S: int) -> Case:
    """One token for each sample, each time at position S."""
    B, L, H = len(gate), len(net.blocks), gate.shape[2] - 1
    shape = f"B{B} C{net.width} H{H} L{L}"
    numbers = 2 * (S + 1) * (net.width // H) * (gate[:, :, :-1] != 0).sum()
    closed = float((gate == 0).mean())

    def setup(skipped):
        rng = np.random.default_rng(2)
        net.build(seed=0)
        token = rng.integers(VOCABULARY, size=B)
        caches = {"open": net.cache(np.ones_like(gate), S + 1),
                  "masked": net.cache(np.where(gate, gate, MASKED), S + 1),
                  OURS: net.cache(gate, S + 1)}
        dense = caches["open"]
        dense.previous[...] = rng.standard_normal(dense.previous.shape)
        for i, heads in enumerate(dense.heads):
            rng.standard_normal(out=heads.kv, dtype=np.float32)
            # with all pairs open, pair (b, h) is row h * B + b; the masked run shares the memory
            ours = caches[OURS].heads[i]
            ours.kv[...] = heads.kv[:, ours.head * B + ours.sample]
            caches["masked"].heads[i].kv = heads.kv
        for cache in caches.values():
            cache.lengths[...] = S
            cache.previous = dense.previous

        functions = {name: step(net, token, caches[name]) for name in (OURS, "open", "masked")}
        if torch := optional("torch", skipped, "torch masked"):
            functions["torch masked"] = torch_step(torch, net, token, gate, dense)
        return functions

    name = f"step {shape} S{S} closed {closed:.0%}, cache {4 * numbers / 1e6:.3g} MB"
    facts = {"shape": shape, "cached": S, "closed": closed, "cache_bytes": int(4 * numbers)}
    return Case("decoding", name, setup, unlike=("open",), facts=facts)


def step(net: nn.Transformer, token: np.ndarray, cache: nn.KVCache):
    lengths, previous = cache.lengths, cache.previous

    def one():
        cache.lengths, cache.previous = lengths, previous
        return net.decode(token, cache)

    return one


def torch_step(torch, net: nn.Transformer, token: np.ndarray, gate: np.ndarray,
               dense: nn.KVCache):
    """The same step with a preallocated cache of all heads, closed ones masked."""
    from torch.nn import functional as F
    from torch_model import Transformer

    B, S = len(token), int(dense.lengths[0])
    peer = Transformer(net, S + 1)
    tokens, tgate = torch.from_numpy(token), torch.from_numpy(gate)
    previous = torch.from_numpy(dense.previous)
    # (H * B, S, D) as (B, H, S, D), without a copy
    kv = [torch.from_numpy(h.kv.reshape(2, -1, B, *h.kv.shape[2:])).transpose(1, 2)
          for h in dense.heads]

    def attend(layer, x, gate, kv, before):
        n = F.layer_norm(x, x.shape[-1:], layer.norm_weight, layer.norm_bias)
        q, k, v = (F.linear(n + s * (before - n), w).view(B, layer.H, 1, layer.D)
                   for s, w in zip(layer.shift, layer.wqkv, strict=True))
        cosine, sine = layer.cosine[S], layer.sine[S]
        q, k = (z * cosine + torch.cat((-z[..., layer.D // 2:], z[..., :layer.D // 2]), -1) * sine
                for z in (q, k))
        kv[0, :, :, S], kv[1, :, :, S] = k[:, :, 0], v[:, :, 0]
        out = F.scaled_dot_product_attention(q, kv[0], kv[1])[:, :, 0] * gate[:, :, None]
        return x + F.linear(out.reshape(B, -1), layer.wo)

    def one():
        with torch.inference_mode():
            x = F.embedding(tokens, peer.embedding)
            for i, (heads, mlp) in enumerate(zip(peer.heads, peer.mlps, strict=True)):
                x = attend(heads, x, tgate[:, i, :-1], kv[i], previous[i])
                x = mlp(x[:, None], tgate[:, i, -1])[:, 0]
            n = F.layer_norm(x, x.shape[-1:], peer.norm_weight, peer.norm_bias)
            return F.linear(n, peer.embedding)

    return one
