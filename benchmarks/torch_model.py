"""The layers and the network in PyTorch, with our parameters; closed heads are masked."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from gatelearn.functional import rotary_tables


class Heads(nn.Module):
    """`gatelearn.nn.GatedHeads`."""

    def __init__(self, ours, T):
        super().__init__()
        C, H, D = ours.width, ours.heads, ours.head_width
        self.H, self.D, self.causal, self.shifted = H, D, ours.is_causal, ours.shift
        p = parameters(ours)
        self.norm_weight, self.norm_bias = p["norm_weight"], p["norm_bias"]
        self.shift = p.get("shift")
        # (in, out) as ours, laid out so that a linear layer takes them as they are
        self.wqkv = nn.Parameter(p["wqkv"].detach().reshape(3, C, C).transpose(1, 2).contiguous())
        self.wo = nn.Parameter(p["wo"].detach().reshape(C, C).T.contiguous())
        cosine, sine = rotary_tables(T, D, dtype=ours.param["wo"].dtype)
        self.register_buffer("cosine", torch.tensor(cosine).repeat(1, 2) if ours.rotary else None)
        self.register_buffer("sine", torch.tensor(sine).repeat(1, 2) if ours.rotary else None)

    def rotate(self, x):
        if self.cosine is None:
            return x
        a, b = x.chunk(2, -1)
        return x * self.cosine + torch.cat((-b, a), -1) * self.sine

    def forward(self, x, gate):
        B, T, C = x.shape
        n = F.layer_norm(x, (C,), self.norm_weight, self.norm_bias)
        if self.shift is None:
            q, k, v = F.linear(n, self.wqkv.view(3 * C, C)).chunk(3, -1)
        else:
            change = F.pad(n, (0, 0, 1, 0))[:, :T] - n
            q, k, v = (F.linear(n + s * change, w)
                       for s, w in zip(self.shift, self.wqkv, strict=True))
        q, k, v = (z.view(B, T, self.H, self.D).transpose(1, 2) for z in (q, k, v))
        out = F.scaled_dot_product_attention(self.rotate(q), self.rotate(k), v,
                                             is_causal=self.causal)
        out = out * gate[:, :, None, None]
        return x + F.linear(out.transpose(1, 2).reshape(B, T, C), self.wo)


class MLP(nn.Module):
    """`gatelearn.nn.GatedMLP`."""

    def __init__(self, ours):
        super().__init__()
        p = parameters(ours)
        self.norm_weight, self.norm_bias = p["norm_weight"], p["norm_bias"]
        self.w1 = nn.Parameter(p["w1"].detach().T.contiguous())
        self.w2 = nn.Parameter(p["w2"].detach().T.contiguous())

    def forward(self, x, gate):
        n = F.layer_norm(x, x.shape[-1:], self.norm_weight, self.norm_bias)
        u = F.gelu(F.linear(n, self.w1), approximate="tanh")
        return x + gate[:, None, None] * F.linear(u, self.w2)


class Transformer(nn.Module):
    """`gatelearn.nn.Transformer`, read at given places."""

    def __init__(self, ours, T):
        super().__init__()
        p = parameters(ours)
        self.embedding = p["embedding"]
        self.norm_weight, self.norm_bias = p["norm_weight"], p["norm_bias"]
        self.heads = nn.ModuleList(Heads(block.heads, T) for block in ours.blocks)
        self.mlps = nn.ModuleList(MLP(block.mlp) for block in ours.blocks)

    def forward(self, tokens, gate, sample, position):
        x = F.embedding(tokens, self.embedding)
        for i, (heads, mlp) in enumerate(zip(self.heads, self.mlps, strict=True)):
            x = mlp(heads(x, gate[:, i, :-1]), gate[:, i, -1])
        rows = F.layer_norm(x[sample, position], x.shape[-1:], self.norm_weight, self.norm_bias)
        return F.linear(rows, self.embedding)


def parameters(layer):
    return {name: nn.Parameter(torch.tensor(value)) for name, value in layer.param.items()}
