"""The recurrent attention model in PyTorch, with our parameters, as one writes it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class RecurrentAttention(nn.Module):
    """`gatelearn.hard.RecurrentAttention` with its core of rectifiers and Gaussian places."""

    def __init__(self, ours):
        super().__init__()
        self.size, self.scales = ours.glimpse.size, ours.glimpse.scales
        self.glimpses, self.std = ours.glimpses, ours.distribution.std
        self.what, self.where, self.join = (
            linear(layer) for layer in (ours.glimpse.what, ours.glimpse.where, ours.glimpse.join))
        self.core = nn.RNNCell(ours.core.inputs, ours.core.hidden, nonlinearity="relu")
        with torch.no_grad():
            for to, name in ((self.core.weight_ih, "wx"), (self.core.weight_hh, "wh"),
                             (self.core.bias_ih, "bias")):
                to.copy_(torch.tensor(ours.core.param[name].T))
            self.core.bias_hh.zero_()
        self.hidden, self.mean = (linear(ours.locator.layers[i]) for i in (0, 2))
        self.baseline, self.classifier = linear(ours.baseline), linear(ours.classifier)

    def sensor(self, images, place):
        """Patches (N, S * C * P * P): sampled bilinearly, coarser ones averaged."""
        H, W = images.shape[2:]
        patches = []
        for s in range(self.scales):
            width = self.size * 2**s
            offset = torch.arange(width) - (width - 1) / 2
            x = place[:, :1] + 2 / W * offset
            y = place[:, 1:] + 2 / H * offset
            grid = torch.stack((x[:, None].expand(-1, width, -1),
                                y[:, :, None].expand(-1, -1, width)), -1)
            patch = F.grid_sample(images, grid, align_corners=False)
            patches.append(F.avg_pool2d(patch, 2**s))
        return torch.stack(patches, 1).flatten(1)

    def forward(self, images, places=None):
        """Logits, and of each step but the first log-probability and value.

        Places (T, N, 2) are drawn, unless they are given.
        """
        place = images.new_zeros(len(images), 2) if places is None else places[0]
        h = images.new_zeros(len(images), self.core.hidden_size)
        logp, values = [], []
        for t in range(self.glimpses):
            seen = torch.cat((F.relu(self.what(self.sensor(images, place))),
                              F.relu(self.where(place))), 1)
            h = self.core(F.relu(self.join(seen)), h)
            if t < self.glimpses - 1:
                state = h.detach()
                mean = torch.tanh(self.mean(F.relu(self.hidden(state))))
                policy = torch.distributions.Normal(mean, self.std)
                place = policy.sample() if places is None else places[t + 1]
                logp.append(policy.log_prob(place).sum(1))
                values.append(self.baseline(state)[:, 0])
        return self.classifier(h), torch.stack(logp), torch.stack(values)


def linear(layer):
    """A linear layer with our parameters."""
    made = nn.Linear(layer.inputs, layer.outputs)
    with torch.no_grad():
        made.weight.copy_(torch.tensor(layer.param["weight"]).T)
        made.bias.copy_(torch.tensor(layer.param["bias"]))
    return made
