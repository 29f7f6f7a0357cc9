"""Scores, cost, time and faithfulness of every method on held-out texts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn.gating import answer_scores, evidence_mass
from gatelearn.nn import Transformer
from gatelearn.tasks import Batch, TextTasks

BATCH = 64


def parts(batch: Batch) -> list[Batch]:
    """Return the batch in pieces that a pass takes at once."""
    return [Batch(**{k: v[i:i + BATCH] for k, v in vars(batch).items()})
            for i in range(0, len(batch.tokens), BATCH)]


def run_texts(method: Any, batch: Batch) -> tuple[NDArray, NDArray]:
    """Return each text's score (B,) and gates (B, L, H + 1)."""
    scores, gates = [], []
    for part in parts(batch):
        logits, gate, _ = method.run(part.tokens, part.query)
        scores.append(answer_scores(logits, part.query, part.answer))
        gates.append(gate)
    return np.concatenate(scores), np.concatenate(gates)


def open_work(gate: NDArray, price: NDArray) -> NDArray:
    """Return each text's share of gated work that is open, (B,)."""
    return ((gate != 0) * price).sum((-1, -2)) / price.sum()


def choose(trials: list, texts: list[Batch], floor: float, price: NDArray) -> tuple[int, list]:
    """Return which trial to keep, by validation texts, and each trial's (score, open work).

    The trial that opens least among those whose score is at least `floor`, or the best score
    where none is.
    """
    results = []
    for method in trials:
        runs = [run_texts(method, batch) for batch in texts]
        results.append((float(np.mean([s.mean() for s, _ in runs])),
                        float(np.mean([open_work(g, price).mean() for _, g in runs]))))
    good = [i for i, (score, _) in enumerate(results) if score >= floor]
    if good:
        return min(good, key=lambda i: results[i][1]), results
    return max(range(len(results)), key=lambda i: results[i][0]), results


def evaluate(methods: dict[str, Any], tasks: TextTasks, texts: list[Batch], rounds: int, seed: int,
             tick: Callable[[str], None]) -> dict[str, NDArray]:
    """Measure every method on the same texts.

    Returns
    -------
    dict of ndarray
        ``score``, ``open_heads``, ``open_work``, ``evidence``, ``masked`` (method, task, text);
        ``seconds`` (round, method, task) for all texts of a task; ``gate`` (method, task, text, L,
        H + 1); ``work`` (method, task), multiply-adds that a text counts on average, controller
        and reading included.
    """
    rng = np.random.default_rng([seed, 1])
    masked = [tasks.mask_evidence(batch, rng) for batch in texts]
    rows: dict[str, list] = {k: [] for k in ("score", "open_heads", "open_work", "evidence",
                                             "masked", "gate", "work")}
    for name, method in methods.items():
        tick(f"scoring {name}")
        measured = [_measure(method, batch, without) for batch, without in zip(texts, masked,
                                                                               strict=True)]
        for key, values in rows.items():
            values.append([m[key] for m in measured])
    out = {key: np.array(values) for key, values in rows.items()}
    out["seconds"] = _time(methods, texts, rounds, tick)
    return out


def _measure(method: Any, batch: Batch, without: Batch) -> dict[str, Any]:
    net: Transformer = method.net
    price = net.work(batch.tokens.shape[1])
    score, gate = run_texts(method, batch)
    evidence = []
    for part in parts(batch):
        _, _, saved = method.run(part.tokens, part.query, save=True)
        evidence.append(evidence_mass(net, saved, part.query, part.evidence))
    known = batch.evidence.any((1, 2))
    opened = open_work(gate, price)
    read = net.read_work((batch.query >= 0).sum(1).mean())
    return {
        "score": score, "gate": gate, "open_work": opened,
        "open_heads": (gate[:, :, :-1] != 0).mean((1, 2)),
        "evidence": np.concatenate(evidence),
        "masked": np.where(known, run_texts(method, without)[0], np.nan),
        "work": opened.mean() * price.sum() + read + method.work,
    }


def _time(methods: dict[str, Any], texts: list[Batch], rounds: int,
          tick: Callable[[str], None]) -> NDArray:
    """Seconds (round, method, task); in each round all methods take turns on each task."""
    pieces = [parts(batch) for batch in texts]
    seconds = np.empty((rounds, len(methods), len(texts)))
    # the first round warms up and is not kept
    for r in range(-1, rounds):
        tick(f"timing, round {r + 1} of {rounds}")
        for t, batches in enumerate(pieces):
            for m, method in enumerate(methods.values()):
                began = time.perf_counter()
                for part in batches:
                    method.run(part.tokens, part.query)
                seconds[r, m, t] = time.perf_counter() - began
    return seconds


def task_from_gates(train: NDArray, test: NDArray) -> float:
    """Return how often the task of a text is told from its gate pattern.

    A naive Bayes classifier over which gates are open, fitted on one set of texts and tested on
    another.

    Parameters
    ----------
    train, test : ndarray, shape (task, text, L, H + 1)

    Returns
    -------
    float
        Accuracy over tasks of equal size; chance is one over their number.
    """
    train = (train != 0).reshape(*train.shape[:2], -1)
    test = (test != 0).reshape(*test.shape[:2], -1)
    p = (train.sum(1) + 0.5) / (train.shape[1] + 1)
    likelihood = test @ np.log(p).T + ~test @ np.log(1 - p).T
    return float((likelihood.argmax(-1) == np.arange(len(test))[:, None]).mean())
