"""Hard attention by REINFORCE: score, draw and gradients; the recurrent attention model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from timing import OURS, Case, optional

from gatelearn import functional as F
from gatelearn import hard

# batch, queries, positions, width
SHAPES = [(1, 1, 65536, 64), (256, 64, 128, 64)]
# images, passes over each, size of a patch
GLIMPSES = [(20, 1, 8), (64, 1, 8), (64, 4, 8), (64, 4, 12)]


def cases(quick: bool) -> Iterator[Case]:
    for B, T, S, D in [(2, 8, 64, 16)] if quick else SHAPES:
        yield Case("hard attention", f"B{B} T{T} positions {S} D{D} draw and gradient",
                   lambda skipped, shape=(B, T, S, D): setup(skipped, *shape), unlike=("torch",))
    for B, M, size in [(4, 2, 4)] if quick else GLIMPSES:
        baseline = "loo" if M > 1 else "learned"
        yield Case("glimpses", f"B{B} samples {M} 60x60, 6 glimpses of 3 x {size}x{size}, H256 "
                   f"{baseline}, a step",
                   lambda skipped, shape=(B, M, size, baseline): glimpses(skipped, *shape),
                   unlike=("torch",))


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


def glimpses(skipped, B: int, M: int, size: int, baseline: str):
    """A step of training: draw, cross-entropy, REINFORCE, baseline, Adam."""
    rng = np.random.default_rng(0)
    images = rng.random((B, 1, 60, 60), np.float32)
    net = hard.RecurrentAttention(1, 10, size=size, scales=3).build(seed=0)
    config = hard.RecurrentAttentionConfig(batch=B, samples=M, baseline=baseline)

    def labels():
        # always new: what was learned by heart leaves no advantage, and we skip those without
        return rng.integers(0, 10, B)

    functions = {}
    if torch := optional("torch", skipped):
        from torch_glimpses import RecurrentAttention

        peer = RecurrentAttention(net)
        adam = torch.optim.Adam(peer.parameters(), lr=config.lr)
        timages = torch.from_numpy(images)

        def straightforward():
            target = torch.from_numpy(labels()).repeat(M)
            logits, logp, values = peer(timages.repeat(M, 1, 1, 1))
            reward = (logits.argmax(1) == target).float()
            if M > 1:
                samples = reward.view(M, B)
                advantage = (samples - (samples.sum(0) - samples) / (M - 1)).view(-1)
            else:
                advantage = reward - values.detach()
            loss = (torch.nn.functional.cross_entropy(logits, target)
                    - (advantage * logp).sum(0).mean())
            if M == 1:
                loss = loss + ((values - reward)**2).sum(0).mean() / 2
            adam.zero_grad()
            loss.backward()
            adam.step()
            return loss.detach().reshape(1)

        functions["torch"] = straightforward
    trainer = hard.RecurrentAttentionTrainer(net, lambda _, n: (images, labels()), config, rng)

    def step():
        return np.array([trainer.step()["loss"]])

    return {OURS: step, **functions}
