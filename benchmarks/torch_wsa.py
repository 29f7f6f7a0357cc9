"""Weight Sharing Attention as one writes it in PyTorch: a module a model, then the scorer."""

from __future__ import annotations

import torch
from torch import nn


class Combiner(nn.Module):
    """With the parameters of one of ours, which weighs all models but the context, its first."""

    def __init__(self, ours):
        super().__init__()
        p = {name: torch.tensor(value) for name, value in ours.named_parameters().items()}
        self.widths = list(ours.widths.values())
        self.adapters = nn.ModuleList()
        for name, width in ours.widths.items():
            linear, norm = nn.Linear(width, ours.width), nn.LayerNorm(ours.width)
            copy(linear, p[f"adapter.{name}.weight"].T, p[f"adapter.{name}.bias"])
            copy(norm, p[f"adapter.{name}.norm_weight"], p[f"adapter.{name}.norm_bias"])
            self.adapters.append(nn.Sequential(linear, norm, nn.ReLU()))
        last = nn.Linear(ours.hidden or 2 * ours.width, 1)
        copy(last, p["scorer.weight"].T, p["scorer.bias"])
        self.scorer = last
        if ours.hidden:
            first = nn.Linear(2 * ours.width, ours.hidden)
            copy(first, p["scorer.hidden_weight"].reshape(-1, ours.hidden).T,
                 p["scorer.hidden_bias"])
            self.scorer = nn.Sequential(first, nn.ReLU(), last)

    def forward(self, features):
        e = torch.stack([adapter(f) for adapter, f in
                         zip(self.adapters, features.split(self.widths, 1), strict=True)], 1)
        context, e = e[:, :1], e[:, 1:]
        pairs = torch.cat([context.expand(-1, e.shape[1], -1), e], 2)
        weights = torch.softmax(self.scorer(pairs), 1)
        return (weights * e).sum(1)


def copy(layer, weight, bias):
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
