"""The transformer that studies of text stand on: tasks, and training with all gates open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn import functional as F
from gatelearn.errors import UserError
from gatelearn.gating import answer_scores
from gatelearn.nn import AdamW, Transformer
from gatelearn.tasks import MARKS, Batch, Corpus, TextTasks, TextTasksConfig


@dataclass(frozen=True)
class BackboneConfig:
    """The transformer and its training with all gates open."""

    width: int = 64
    """Channels."""
    layers: int = 3
    """Blocks."""
    heads: int = 4
    """Heads a block."""
    hidden: int = 128
    """Hidden width of the MLPs."""
    steps: int = 700
    """Training steps."""
    batch: int = 64
    """Texts a step."""
    lr: float = 5e-3
    """Peak learning rate; warm-up for 3% of the steps, down to 2% over the last 40%."""
    mixture: tuple[float, float, float, float, float] = (0.2, 0.15, 0.15, 0.3, 0.2)
    """Share of each task in training: chains are the hardest. Gates train on equal shares."""
    weight_decay: float = 0.01
    """Of the weights of products."""
    hop_weight: float = 0.5
    """Weight of the auxiliary loss: after block l, the answer of hop l of a chain."""
    curriculum: float = 0.3
    """Share of the steps in which chains have two assignments, where `hops` asks for more."""


def load_tasks(config: Any) -> TextTasks:
    """Return the tasks over the text of a study's config, in equal shares.

    Its fields `text`, `vocabulary`, `length` and `hops` say which.

    Raises
    ------
    UserError
        If the text is missing, not text, or too little.
    """
    try:
        corpus = Corpus.load(config.text, vocab_size=config.vocabulary, reserved=MARKS)
        return TextTasks(corpus, TextTasksConfig(
            length=config.length, hops=config.hops, variables=max(128, config.length)))
    except ValueError as error:
        raise UserError(f"text '{config.text}': {error}" if config.text else str(error)) from None


def draw_texts(tasks: TextTasks, split: str, n: int, seed: int) -> list[Batch]:
    """Return n texts of each task; the same for the same seed."""
    rng = np.random.default_rng([seed, *split.encode()])
    return [tasks.sample(rng, n, task=name, split=split) for name in tasks.names]


def make_net(tasks: TextTasks, config: BackboneConfig) -> Transformer:
    """Return an unbuilt transformer over the vocabulary of the tasks."""
    return Transformer(len(tasks.corpus.vocabulary), width=config.width, layers=config.layers,
                       heads=config.heads, hidden=config.hidden)


def learning_rate(done: float) -> float:
    """Return the factor of the peak rate: warm-up for 3%, flat, down to 2% over the last 40%."""
    return min(1.0, (done + 1e-3) / 0.03, max(0.02, (1 - done) / 0.4))


class Targets:
    """What is asked of a batch: where to read, after which block, the answer and its weight.

    Each text weighs the same. With `hop_weight`, the state after block l is asked for the word that
    hop l of a chain finds, which shows the network one hop a block.
    """

    def __init__(self, batch: Batch, layers: int, hop_weight: float, dtype: np.dtype):
        query, asked = batch.query, batch.query >= 0
        share = asked / np.maximum(asked.sum(1, keepdims=True), 1) / len(query)
        columns = [(query, np.full_like(query, layers), batch.answer, share)]
        hops = (batch.hop_answer >= 0).sum(-1)
        for hop in range(min(layers - 1, batch.hop_answer.shape[-1])) if hop_weight else ():
            use = (hops > 1) & (hop < hops)
            columns.append((np.where(use, query, -1), np.full_like(query, hop + 1),
                            batch.hop_answer[:, :, hop], hop_weight * share * use))
        self.position, self.depth, answer, weight = (
            np.concatenate(parts, 1) for parts in zip(*columns, strict=True))
        live = self.position >= 0
        self.answer, self.weight = answer[live], weight[live].astype(dtype)

    def loss(self, logits: NDArray) -> tuple[float, NDArray]:
        """Return the weighted cross-entropy and its gradient, which replaces `logits`."""
        loss, dlogits = F.cross_entropy_backward(self.weight, logits, self.answer, out=logits)
        return float(loss @ self.weight), dlogits


class BackboneTrainer:
    """AdamW on cross-entropy; a step is one batch.

    Chains of three assignments are not learned from nothing: for the first part of the steps, by
    ``config.curriculum``, they have two.

    Parameters
    ----------
    net : Transformer
        Built.
    tasks : TextTasks
    config : BackboneConfig
    rng : numpy.random.Generator
        Draws the texts.
    validation : list of Batch
        One a task; scored about twenty times.
    """

    def __init__(self, net: Transformer, tasks: TextTasks, config: BackboneConfig,
                 rng: np.random.Generator, validation: list[Batch]):
        self.net, self.tasks, self.config, self.rng = net, tasks, config, rng
        self.validation = validation
        hops = min(2, tasks.config.hops)
        self.easy = TextTasks(tasks.corpus, replace(tasks.config, hops=hops))
        self.optimiser = AdamW(net.params, net.grads, lr=config.lr, betas=(0.9, 0.98),
                               weight_decay=config.weight_decay, decay_mask=net.decay_mask())
        self.steps = 0

    def step(self) -> dict[str, Any]:
        net, config = self.net, self.config
        begins = self.steps < config.curriculum * config.steps
        batch = (self.easy if begins else self.tasks).sample(self.rng, config.batch)
        want = Targets(batch, config.layers, config.hop_weight, net.params.dtype)
        logits, saved = net.forward(batch.tokens, position=want.position, depth=want.depth)
        loss, dlogits = want.loss(logits)
        net.grads[...] = 0
        net.backward(dlogits, saved)
        self.optimiser.step(lr=config.lr * learning_rate(self.steps / config.steps), max_norm=1.0)
        self.steps += 1

        metrics = {"at": self.steps * config.batch, "loss": loss}
        if self.steps % max(1, config.steps // 20) == 0 or self.steps == config.steps:
            scores = []
            for b in self.validation:
                logits, _ = net.forward(b.tokens, position=b.query, save=False)
                scores.append(answer_scores(logits, b.query, b.answer).mean())
            names = self.tasks.names
            metrics |= {f"score/{n}": float(s) for n, s in zip(names, scores, strict=True)}
            metrics["text"] = " ".join(f"{n} {100 * s:.0f}%"
                                       for n, s in zip(names, scores, strict=True))
        return metrics

    def state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        arrays = {f"net.{k}": v for k, v in self.net.named_parameters().items()}
        optimiser = self.optimiser.state()
        arrays |= {"m": optimiser["m"], "v": optimiser["v"]}
        return arrays, {"steps": self.steps, "rng": self.rng.bit_generator.state}

    def load_state(self, arrays: dict[str, NDArray], meta: dict[str, Any]) -> None:
        self.net.load({k[4:]: v for k, v in arrays.items() if k.startswith("net.")})
        self.steps = meta["steps"]
        self.optimiser.load_state({"m": arrays["m"], "v": arrays["v"], "step": self.steps})
        self.rng.bit_generator.state = meta["rng"]
