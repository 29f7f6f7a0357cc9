"""Captions that a captioner makes up: the likeliest words, drawn ones, and beam search."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatelearn import functional as F
from gatelearn._convert import check_finite
from gatelearn.hard.regions import read

if TYPE_CHECKING:
    from gatelearn.hard.captioner import Captioner

END = 0


class Captions(NamedTuple):
    """Captions, and where attention looked before each word.

    `lengths` count the `END` that closes a caption, unless it was cut at the limit. Behind them
    `words` and `weights` are 0, `choices` -1.
    """

    words: NDArray    # (B, T)
    lengths: NDArray  # (B,)
    logp: NDArray     # (B,), log-probability of the words
    weights: NDArray  # (B, T, R), the probability of each region
    choices: NDArray  # (B, T), the region that was read, or -1 for the expectation over all

    @property
    def looked(self) -> NDArray:
        """The region that was read, or the likeliest where the expectation was: (B, T)."""
        live = np.arange(self.words.shape[1]) < self.lengths[:, None]
        return np.where(live & (self.choices < 0), self.weights.argmax(-1), self.choices)


def sentences(words: NDArray, lengths: NDArray, *, end: bool = False) -> list[list[int]]:
    """Return captions (B, T) as lists of words.

    Parameters
    ----------
    words : ndarray of int, shape (B, T)
    lengths : ndarray of int, shape (B,)
    end : bool, default False
        Whether to keep the `END` that closes a caption: a reward must see whether there is one.

    Returns
    -------
    list of list of int

    Examples
    --------
    >>> sentences(np.array([[5, 2, 0, 0], [7, 7, 7, 7]]), np.array([3, 4]))
    [[5, 2], [7, 7, 7, 7]]
    """
    rows = [row[:n].tolist() for row, n in zip(words, lengths, strict=True)]
    return rows if end else [row[:-1] if row and row[-1] == END else row for row in rows]


def _step(captioner: Captioner, regions: NDArray, keys: NDArray, state: NDArray, before: NDArray,
          rng: np.random.Generator | None) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Return log-probabilities of words (N, V), the next state, weights (N, R) and choices (N,)."""
    _, gate, scores, _ = captioner.attend(state[:, 0], keys)
    weights = F.softmax(scores)
    if captioner.attention in ("soft", "mean"):
        choices = np.full(len(regions), -1)
    elif rng is None:
        choices = scores.argmax(-1)
    else:
        choices, _ = F.categorical_sample(scores, rng.random(len(regions), scores.dtype))
    gated = gate * read(regions, weights, choices)
    embedded, _ = captioner.embedding.forward(before)
    y, saved = captioner.lstm.forward(np.concatenate((embedded, gated), -1)[:, None], state)
    logits, _ = captioner.words(y[:, 0], gated, embedded)
    return F.log_softmax(check_finite(logits, "logits")), saved.state, weights, choices


def _check(captioner: Captioner, limit: int, rng: np.random.Generator | None) -> None:
    if limit < 1:
        raise ValueError(f"limit is {limit}, expected at least 1")
    if captioner.attention == "random" and rng is None:
        raise ValueError("rng is None, expected a generator for random attention")


def _blank(B: int, limit: int, R: int, dtype: np.dtype) -> Captions:
    return Captions(np.full((B, limit), END), np.zeros(B, np.int64), np.zeros(B, dtype),
                    np.zeros((B, limit, R), dtype), np.full((B, limit), -1))


def _cut(made: Captions) -> Captions:
    """Return captions without what is behind the longest."""
    T = made.lengths.max(initial=0)
    return made._replace(words=made.words[:, :T], weights=made.weights[:, :T],
                         choices=made.choices[:, :T])


def describe(captioner: Captioner, regions: NDArray, limit: int,
             rng: np.random.Generator | None = None, *, draw: bool = False) -> Captions:
    """Return captions of regions (B, R, F), of words that are drawn or the likeliest."""
    _check(captioner, limit, rng)
    B, R, _ = regions.shape
    made = _blank(B, limit, R, regions.dtype)
    live, before = np.ones(B, bool), np.full(B, END)
    keys, state, _ = captioner.begin(regions)
    looks = rng if draw or captioner.attention == "random" else None
    for t in range(limit):
        logp, state, looked, chosen = _step(captioner, regions, keys, state, before, looks)
        if draw:
            before, _ = F.categorical_sample(logp, rng.random(B, logp.dtype))
        else:
            before = logp.argmax(-1)
        made.words[live, t], made.choices[live, t] = before[live], chosen[live]
        made.weights[live, t] = looked[live]
        made.logp[live] += logp[live, before[live]]
        made.lengths[live] += 1
        live = live & (before != END)
        if not live.any():
            break
    return _cut(made)


def beam_search(captioner: Captioner, regions: NDArray, width: int, limit: int,
                length_penalty: float = 0.0, rng: np.random.Generator | None = None) -> Captions:
    """Return the best captions of regions (B, R, F), as `Captioner.beam_search`."""
    _check(captioner, limit, rng)
    if width < 1:
        raise ValueError(f"width is {width}, expected at least 1")
    (B, R, _), W, dtype = regions.shape, width, regions.dtype
    looks = rng if captioner.attention == "random" else None
    regions = np.repeat(regions, W, 0)
    keys, state, _ = captioner.begin(regions)

    # of each image W hypotheses, the first alone to begin with; a total of -inf has none
    total = np.full((B, W), -np.inf, dtype)
    total[:, 0] = 0
    words, choices = np.full((B, W, limit), END), np.full((B, W, limit), -1)
    weights = np.zeros((B, W, limit, R), dtype)
    # and of those that are finished the best, its score, and how many there are
    made, score, finished = _blank(B, limit, R, dtype), np.full(B, -np.inf), np.zeros(B, np.int64)
    before, image = np.full(B * W, END), np.arange(B)[:, None]
    for t in range(limit):
        logp, state, looked, chosen = _step(captioner, regions, keys, state, before, looks)
        weights[:, :, t], choices[:, :, t] = looked.reshape(B, W, R), chosen.reshape(B, W)

        # the best W of all continuations, but for the places that finished hypotheses have taken
        V = logp.shape[1]
        grown = (total[..., None] + logp.reshape(B, W, V)).reshape(B, W * V)
        best = np.argsort(-grown, 1, kind="stable")[:, :W]
        total = np.take_along_axis(grown, best, 1)
        total[np.arange(W) >= W - finished[:, None]] = -np.inf
        parent, word = np.divmod(best, V)
        words, weights, choices = (a[image, parent] for a in (words, weights, choices))
        words[:, :, t] = word
        state, before = state[image * W + parent].reshape(state.shape), word.reshape(-1)

        closed = (total > -np.inf) & ((word == END) | (t == limit - 1))
        for b, w in np.argwhere(closed):
            own = total[b, w] / (t + 1) ** length_penalty
            if own > score[b]:
                score[b] = own
                made.words[b], made.lengths[b], made.logp[b] = words[b, w], t + 1, total[b, w]
                made.weights[b], made.choices[b] = weights[b, w], choices[b, w]
        finished += closed.sum(1)
        total[closed] = -np.inf
        if not (total > -np.inf).any():
            break
    return _cut(made)
