"""What a captioner says of held-out images, where it looked, and how long that took."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn.hard import Captioner, Captions, sentences
from gatelearn.tasks import EmojiBatch, EmojiCaptions, bleu_counts

# images whose attention is kept for the figure
SHOWN = 4


def measure(captioner: Captioner, tasks: EmojiCaptions, batch: EmojiBatch,
            map_shape: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
    """Score greedy captions.

    Where attention looked is judged for as long as the words before were right: behind the first
    wrong one the caption may be about another cell. Attention that weighs all regions alike looks
    nowhere: NaN.

    Returns
    -------
    dict
        For each image ``counts`` for BLEU, ``exact``, ``look`` over telling words and ``look_all``
        over all words of names; ``regions`` read a word; of all images ``words``, and of the first
        few ``maps`` (T, R), up to the longest caption possible.
    """
    made = captioner.greedy(batch.images, tasks.length, rng)
    candidates = sentences(made.words, made.lengths)
    references = sentences(batch.captions, batch.lengths)
    B, T = batch.captions.shape
    words, looked = (_fit(a, T) for a in (made.words, made.looked))
    in_step = np.ones((B, T), bool)
    in_step[:, 1:] = np.logical_and.accumulate(words == batch.captions, axis=1)[:, :-1]
    right = tasks.looks_right(looked, batch, map_shape)

    def share(which: NDArray) -> NDArray:
        counts = which & in_step
        return (right & counts).sum(1) / counts.sum(1)

    nowhere = np.nan if captioner.attention == "mean" else 0.0
    live = np.arange(made.words.shape[1]) < made.lengths[:, None]
    read = np.where(made.choices < 0, captioner.regions, 1)
    return {
        "counts": bleu_counts(candidates, [[r] for r in references]),
        "exact": np.array([c == r for c, r in zip(candidates, references, strict=True)], float),
        "look": share(batch.telling) + nowhere, "look_all": share(batch.cell >= 0) + nowhere,
        "regions": read[live].mean(), "words": _fit(made.words, tasks.length),
        "maps": _fit(_maps(made)[:SHOWN], tasks.length),
    }


def _maps(made: Captions) -> NDArray:
    """Return what was read before each word: the weights, or one at the choice."""
    chosen = np.eye(made.weights.shape[2])[made.choices]
    return np.where(made.choices[..., None] < 0, made.weights, chosen)


def _fit(a: NDArray, length: int) -> NDArray:
    """Return `a` (B, T, ...) with its second axis cut or filled with zeros to `length`."""
    a = a[:, :length]
    return np.pad(a, [(0, 0), (0, length - a.shape[1]), *[(0, 0)] * (a.ndim - 2)])


def evaluate(captioners: dict[str, Captioner], tasks: EmojiCaptions, batch: EmojiBatch,
             map_shape: tuple[int, int], rounds: int, seed: int,
             tick: Callable[[str], None]) -> dict[str, NDArray]:
    """Measure every captioner on the same images.

    Returns
    -------
    dict of ndarray
        What `measure` returns, a row a captioner; ``seconds`` (round, captioner) for all images.
    """
    rows = []
    for name, captioner in captioners.items():
        tick(f"scoring {name}")
        rows.append(measure(captioner, tasks, batch, map_shape, np.random.default_rng(seed)))
    out = {key: np.array([row[key] for row in rows]) for key in rows[0]}

    out["seconds"] = np.empty((rounds, len(captioners)))
    # the first round warms up and is not kept
    for r in range(-1, rounds):
        tick(f"timing, round {r + 1} of {rounds}")
        for m, captioner in enumerate(captioners.values()):
            rng = np.random.default_rng(seed)
            began = time.perf_counter()
            captioner.greedy(batch.images, tasks.length, rng)
            out["seconds"][r, m] = time.perf_counter() - began
    return out
