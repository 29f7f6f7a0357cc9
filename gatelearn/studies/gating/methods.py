"""The methods that are compared: each sets the gates of texts and runs the network under them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn.gating import Controller, SigmoidGates, close_to_share
from gatelearn.nn import AdamW, Transformer
from gatelearn.studies.backbone import Targets
from gatelearn.studies.gating.config import Config
from gatelearn.tasks import TextTasks


class Fixed:
    """The same gates for every text; all open is the vanilla network."""

    work = 0

    def __init__(self, net: Transformer, gate: NDArray | None = None):
        self.net = net
        self.gate = np.ones(net.gate_shape, net.params.dtype) if gate is None else gate

    def gates(self, tokens: NDArray) -> NDArray:
        """Return the gates of texts, (B, L, H + 1)."""
        return np.broadcast_to(self.gate, (len(tokens), *self.gate.shape))

    def run(self, tokens: NDArray, position: NDArray, save: bool = False):
        """Return logits (N, V), gates (B, L, H + 1) and, with `save`, the network's saved."""
        gate = self.gates(tokens)
        logits, saved = self.net.forward(tokens, gate, position=position, save=save)
        return logits, gate, saved


class Controlled:
    """Gates set by a controller, the more probable action for each."""

    def __init__(self, net: Transformer, controller: Controller):
        self.net, self.controller = net, controller
        self.work = controller.work()

    def run(self, tokens: NDArray, position: NDArray, save: bool = False):
        episode, saved = self.controller.run(self.net, tokens, position, save=save)
        return episode.logits, episode.gate, saved


class Shuffled:
    """Random gates at the cost of another method's: each text's heads are shuffled among its heads
    and its MLPs among its MLPs, so every text has exactly the same share open.

    Gates are drawn once for given texts and remembered: drawing them is not timed.
    """

    work = 0

    def __init__(self, like: Controlled, seed: int):
        self.net, self.like, self.seed = like.net, like, seed
        self.drawn: dict[bytes, NDArray] = {}

    def gates(self, tokens: NDArray) -> NDArray:
        key = np.ascontiguousarray(tokens).tobytes()
        if key not in self.drawn:
            rng = np.random.default_rng([self.seed, len(self.drawn)])
            _, gate, _ = self.like.run(tokens, np.full((len(tokens), 1), -1))
            heads = gate[:, :, :-1]
            shuffled = rng.permuted(heads.reshape(len(gate), -1), axis=1).reshape(heads.shape)
            mlps = rng.permuted(gate[:, :, -1:], axis=1)
            self.drawn[key] = np.concatenate([shuffled, mlps], 2)
        return self.drawn[key]

    run = Fixed.run


def closed(value: NDArray, heads: float, mlps: float) -> NDArray:
    """Return gates (L, H + 1) of which the largest stay open: these shares of heads and MLPs."""
    return np.concatenate([close_to_share(value[:, :-1], heads),
                           close_to_share(value[:, -1:], mlps)], 1)


def random_pattern(like: Controlled, heads: float, mlps: float, seed: int) -> Fixed:
    """Return one random pattern for all texts, with these shares of heads and MLPs open."""
    rng = np.random.default_rng(seed)
    gate = closed(rng.random(like.net.gate_shape), heads, mlps)
    return Fixed(like.net, (gate != 0).astype(like.net.params.dtype))


def thresholded(net: Transformer, gates: SigmoidGates, heads: float, mlps: float) -> Fixed:
    """Return sigmoid gates of which these shares of heads and MLPs stay open."""
    (value,), _ = gates.forward(1)
    return Fixed(net, closed(value, heads, mlps))


class SigmoidTrainer:
    """Trains network and sigmoid gates together: cross-entropy + penalty * mean gated work."""

    def __init__(self, net: Transformer, gates: SigmoidGates, tasks: TextTasks, config: Config,
                 penalty: float, rng: np.random.Generator):
        self.net, self.gates, self.tasks, self.config = net, gates, tasks, config
        self.penalty, self.rng, self.steps = penalty, rng, 0
        price = net.work(tasks.config.length)
        self.price = (price / price.sum()).astype(net.params.dtype)
        # the network continues gently, the few gate logits move as fast as the controllers'
        self.optimisers = (
            AdamW(net.params, net.grads, lr=config.backbone.lr / 10, betas=(0.9, 0.98),
                  weight_decay=config.backbone.weight_decay, decay_mask=net.decay_mask()),
            AdamW(gates.params, gates.grads, lr=4 * config.gates.lr, weight_decay=0.0))

    def step(self) -> dict[str, Any]:
        net, gates, config = self.net, self.gates, self.config
        batch = self.tasks.sample(self.rng, config.backbone.batch)
        want = Targets(batch, config.backbone.layers, 0.0, net.params.dtype)
        gate, saved_gate = gates.forward(len(batch.tokens))
        logits, saved = net.forward(batch.tokens, gate, position=want.position)
        loss, dlogits = want.loss(logits)
        net.grads[...] = gates.grads[...] = 0
        dgate = net.backward(dlogits, saved) + self.penalty * self.price / len(gate)
        gates.backward(dgate, saved_gate)
        for optimiser in self.optimisers:
            optimiser.step(max_norm=1.0)
        self.steps += 1
        opened = float((gate * self.price).sum((1, 2)).mean())
        return {"loss": loss, "open": opened, "text": f"loss {loss:.2f}, {100 * opened:.0f}% open"}

    def state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        arrays = {f"net.{k}": v for k, v in self.net.named_parameters().items()}
        arrays |= {f"gates.{k}": v for k, v in self.gates.named_parameters().items()}
        for i, optimiser in enumerate(self.optimisers):
            state = optimiser.state()
            arrays |= {f"{i}.m": state["m"], f"{i}.v": state["v"]}
        return arrays, {"steps": self.steps, "rng": self.rng.bit_generator.state}

    def load_state(self, arrays: dict[str, NDArray], meta: dict[str, Any]) -> None:
        self.net.load({k[4:]: v for k, v in arrays.items() if k.startswith("net.")})
        self.gates.load({k[6:]: v for k, v in arrays.items() if k.startswith("gates.")})
        self.steps = meta["steps"]
        for i, optimiser in enumerate(self.optimisers):
            optimiser.load_state({"m": arrays[f"{i}.m"], "v": arrays[f"{i}.v"],
                                  "step": self.steps})
        self.rng.bit_generator.state = meta["rng"]
