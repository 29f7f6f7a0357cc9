"""Weight Sharing Attention: the combiner forward and backward, small as in acting and large."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from timing import OURS, Case, optional

from gatelearn import wsa

# width of the state, samples, widths of the models; the first gives the context
SHAPES = [(64, 8, [512] * 4),
          (512, 256, [512, 512, 512, 1024, 1024, 512, 1024, 1024])]
HIDDEN = 64


def cases(quick: bool) -> Iterator[Case]:
    for C, B, widths in [(16, 4, [32, 48, 32])] if quick else SHAPES:
        for hidden in (HIDDEN, 0):
            for inputs in (False, True):
                yield case(C, B, widths, hidden, inputs)


def case(C: int, B: int, widths: list[int], hidden: int, inputs: bool) -> Case:
    names = [f"model-{i}" for i in range(len(widths))]
    layer = wsa.Combiner(dict(zip(names, widths, strict=True)), C, context=names[0], hidden=hidden,
                         input_gradient=inputs)
    rows = f"{min(widths)}" if min(widths) == max(widths) else f"{min(widths)}..{max(widths)}"
    name = (f"C{C} B{B} {len(widths)} models of {rows}, "
            f"{f'hidden {hidden}' if hidden else 'no hidden layer'}, fwd+bwd"
            f"{' and gradient of the features' if inputs else ''}")

    def setup(skipped):
        rng = np.random.default_rng(0)
        layer.build(rng)
        features = rng.standard_normal((B, sum(widths)), np.float32)
        dstate = rng.standard_normal((B, C), np.float32)
        at = layer.grad[f"adapter.{names[-1]}.weight"]

        def ours():
            layer.grads[...] = 0
            _, saved = layer.forward(features)
            layer.backward(dstate, saved)
            return at

        functions = {OURS: ours}
        if torch := optional("torch", skipped):
            from torch_wsa import Combiner

            peer = Combiner(layer)
            x, dy = torch.from_numpy(features).requires_grad_(inputs), torch.from_numpy(dstate)
            leaves = [*peer.parameters(), *([x] if inputs else [])]
            last = next(i for i, p in enumerate(leaves) if p is peer.adapters[-1][0].weight)

            def straightforward():
                return torch.autograd.grad(peer(x), leaves, dy)[last].T

            functions["torch"] = straightforward
        return functions

    # two products, three with the gradient of the features; a context half once a sample
    M, D = len(widths), sum(widths)
    products = D * C + M * C * hidden
    flops = 2 * B * (products * 2 + D * C * inputs + M * C * hidden)
    return Case("combiner", name, setup, flops=flops)
