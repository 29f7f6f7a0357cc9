"""A training step of the gated transformer: forward, cross-entropy, backward, AdamW."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from timing import OURS, Case, optional

from gatelearn import functional, nn

# batch, time, width, heads, layers
SHAPES = [(32, 256, 128, 8, 4), (8, 1024, 128, 8, 4)]
VOCABULARY, READS, RATE = 2048, 8, 1e-3


def cases(quick: bool) -> Iterator[Case]:
    for shape in [(4, 32, 32, 4, 2)] if quick else SHAPES:
        yield train_case(shape, compiled=not quick)


def train_case(shape: tuple[int, ...], compiled: bool) -> Case:
    B, T, C, H, L = shape

    def setup(skipped):
        rng = np.random.default_rng(0)
        net = nn.Transformer(VOCABULARY, width=C, layers=L, heads=H).build(seed=0)
        tokens = rng.integers(VOCABULARY, size=(B, T))
        position = rng.integers(T, size=(B, READS))
        target = rng.integers(VOCABULARY, size=B * READS)
        gate = np.ones((B, *net.gate_shape), np.float32)

        functions = {}
        if torch := optional("torch", skipped):
            args = [torch.from_numpy(a) for a in
                    (tokens, gate, np.repeat(np.arange(B), READS), position.reshape(-1), target)]
            functions["torch"] = torch_step(torch, net, args, compiled=False)
            if compiled:
                functions["torch compiled"] = torch_step(torch, net, args, compiled=True)
            else:
                skipped["torch compiled"] = "left out of a quick run"

        adam = nn.AdamW(net.params, net.grads, lr=RATE)
        weight = np.full(len(target), 1 / len(target), np.float32)

        def step():
            logits, saved = net.forward(tokens, gate, position=position)
            loss, dlogits = functional.cross_entropy_backward(weight, logits, target, out=logits)
            net.grads[...] = 0
            net.backward(dlogits, saved)
            adam.step()
            # of the first step all agree; later ones drift apart by rounding
            return np.array([loss.mean()])

        return {OURS: step, **functions}

    return Case("training step", f"B{B} T{T} C{C} H{H} L{L}", setup, tolerance=1e-2)


def torch_step(torch, net, args, compiled: bool):
    from torch_model import Transformer

    peer = Transformer(net, args[0].shape[1])
    tokens, gate, sample, position, target = args
    gate = gate.clone().requires_grad_()
    adam = torch.optim.AdamW(peer.parameters(), lr=RATE, weight_decay=0, fused=True)

    def loss_of(gate):
        logits = peer(tokens, gate, sample, position)
        return torch.nn.functional.cross_entropy(logits, target)

    loss_of = torch.compile(loss_of) if compiled else loss_of

    def step():
        adam.zero_grad()
        gate.grad = None
        loss = loss_of(gate)
        loss.backward()
        adam.step()
        return loss.detach().reshape(1)

    return step
