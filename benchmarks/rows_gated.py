"""What closing saves: time against the share of counted work that is closed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from timing import OURS, Case, optional

from gatelearn import nn

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
# computes all and adds nothing that counts: what masking instead of skipping costs
MASKED = np.float32(1e-20)
VOCABULARY, READS = 2048, 8


def cases(quick: bool) -> Iterator[Case]:
    B, T, C, H, L = (4, 64, 32, 4, 2) if quick else (32, 256, 128, 8, 4)
    for what in ("heads", "mlp", "network"):
        for backward in (False, True):
            for share in SHARES[::2] if quick else SHARES:
                yield gated_case(what, (B, T, C, H, L), share, backward)


def gated_case(what: str, dims: tuple[int, ...], share: float, backward: bool) -> Case:
    B, T, C, H, L = dims
    rng = np.random.default_rng(1)
    if what == "heads":
        layer = nn.GatedHeads(C, H)
        gate = close(B, H, share, rng)
        # of one open head and sample; what no gate can close is not counted
        total, closed = layer.work(T) * gate.size, layer.work(T) * (gate == 0).sum()
    elif what == "mlp":
        layer = nn.GatedMLP(C, 4 * C)
        gate = close(1, B, share, rng)[0]
        total, closed = layer.work(T) * B, layer.work(T) * (gate == 0).sum()
    else:
        layer = nn.Transformer(VOCABULARY, width=C, layers=L, heads=H)
        gate = close(B, L * (H + 1), share, rng).reshape(B, L, H + 1)
        total = layer.work(T).sum() * B + layer.read_work(B * READS)
        closed = ((gate == 0) * layer.work(T)).sum()
    p = float(closed / total)
    shape, passes = f"B{B} T{T} C{C} H{H} L{L}", "fwd+bwd" if backward else "fwd"
    name = f"{what} {shape if what == 'network' else shape[:-3]} closed {p:.0%} {passes}"

    def setup(skipped):
        layer.build(seed=0)
        x = rng.standard_normal((B, T, C)).astype(np.float32)
        dy = rng.standard_normal((B, T, C)).astype(np.float32)
        if what == "network":
            return network_functions(layer, gate, backward, (B, T), skipped)
        gates = {OURS: gate, "open": np.ones_like(gate), "masked": np.where(gate, gate, MASKED)}
        functions = {name: layer_function(layer, x, dy, g, backward) for name, g in gates.items()}
        if torch := optional("torch", skipped, "torch masked"):
            functions["torch masked"] = torch_function(torch, layer, x, dy, gate, backward)
        return functions

    facts = {"what": what, "passes": passes, "shape": shape, "closed": p}
    return Case("closed work", name, setup, unlike=("open",), facts=facts)


def close(n: int, m: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Gates (n, m), in each row the given share of them closed, drawn anew for each row."""
    row = (np.arange(m) >= round(share * m)).astype(np.float32)
    return rng.permuted(np.tile(row, (n, 1)), axis=1)


def layer_function(layer: nn.Layer, x, dy, gate, backward: bool):
    out = np.empty_like(x)

    def forward():
        return layer.forward(x, gate, save=False, out=out)[0]

    def both():
        _, saved = layer.forward(x, gate)
        return layer.backward(dy, saved)[0]

    return both if backward else forward


def torch_function(torch, layer, x, dy, gate, backward: bool):
    from torch_model import MLP, Heads

    peer = MLP(layer) if isinstance(layer, nn.GatedMLP) else Heads(layer, x.shape[1])
    tx, tdy, tgate = (torch.from_numpy(a) for a in (x, dy, gate))

    def forward():
        with torch.inference_mode():
            return peer(tx, tgate)

    inputs = [tx.clone().requires_grad_(), tgate.clone().requires_grad_(), *peer.parameters()]

    def both():
        return torch.autograd.grad(peer(*inputs[:2]), inputs, tdy)[0]

    return both if backward else forward


def network_functions(net: nn.Transformer, gate, backward: bool, dims: tuple[int, int],
                      skipped: dict[str, str]) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    tokens = rng.integers(VOCABULARY, size=dims)
    position = rng.integers(dims[1], size=(dims[0], READS))
    dlogits = rng.standard_normal((position.size, VOCABULARY)).astype(np.float32)
    # what a closed head would have said is known only to those who compute it
    opened = (gate != 0).astype(np.float32)

    def function(gate):
        def forward():
            return net.forward(tokens, gate, position=position, save=False)[0]

        def both():
            _, saved = net.forward(tokens, gate, position=position)
            return net.backward(dlogits, saved) * opened

        return both if backward else forward

    gates = {OURS: gate, "open": np.ones_like(gate), "masked": np.where(gate, gate, MASKED)}
    functions = {name: function(g) for name, g in gates.items()}
    if torch := optional("torch", skipped, "torch masked"):
        from torch_model import Transformer

        peer = Transformer(net, dims[1])
        sample = np.repeat(np.arange(dims[0]), READS)
        args = [torch.from_numpy(a) for a in (tokens, gate, sample, position.reshape(-1))]
        tdlogits = torch.from_numpy(dlogits)

        def forward():
            with torch.inference_mode():
                return peer(*args)

        def both():
            leaf = args[1].clone().requires_grad_()
            logits = peer(args[0], leaf, *args[2:])
            return torch.autograd.grad(logits, [leaf, *peer.parameters()], tdlogits)[0] * args[1]

        functions["torch masked"] = both if backward else forward
    return functions


def judge(row: dict[str, Any]) -> None:
    """Add to a row what its closed share allows, and whether it is kept."""
    p, ms, opened = row["closed"], row["ms"][OURS], row["ms"]["open"]
    if row["what"] == "network":
        # 90 per cent of the speed-up that p allows
        row["bound_ms"] = (1 - p) * opened / 0.9
    else:
        row["bound_ms"] = (1 - p) * opened + 0.05 * opened
    row["time_share"] = ms / opened
    row["holds"] = bool(ms <= row["bound_ms"])
