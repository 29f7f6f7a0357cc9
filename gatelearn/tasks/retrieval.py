"""Retrieval tasks set into real text.

A text is a window of a corpus with a few words put in. It opens with the mark ``<text>`` and has
one task, so that a controller of gates can adapt to it, with several queries:

========= ====================================== ============================== ================
task      put in                                 asked                          answer
========= ====================================== ============================== ================
`needle`  ``key value <;>``, several times       ``<needle?> key`` at the end   ``value``
`last`    ``word <last?>``, several times        at ``<last?>``                 ``word``
`mark`    ``<mark> word``, once                  at each ``<mark?>`` after it   ``word``
`chain`   ``a b <;>``, ``b c <;>``, several      ``<chain?> a`` at the end      ``c``
`next`    nothing                                at the words of the second     the next word
                                                 half
========= ====================================== ============================== ================

Words put in are drawn uniformly from the rarer names of the vocabulary, all different, and none
of them stands in the window: no answer can be told from frequency or place, and no word of the
text collides with a key. The statements of all chains are shuffled together, so a chain must be
followed in whatever order its statements come.
"""

from __future__ import annotations

import keyword
from dataclasses import dataclass, replace

import numpy as np

NAMES = ("needle", "last", "mark", "chain", "next")
MARKS = ("<text>", "<;>", "<mark>", *(f"<{name}?>" for name in NAMES[:4]))


@dataclass(frozen=True)
class TextTasksConfig:
    """Sizes of the texts and shares of the tasks.

    Attributes
    ----------
    length : int
        Words of a text, T.
    needles, needle_queries : int
        Statements of a `needle` text, and how many of them are asked for.
    lasts : int
        Queries of a `last` text.
    marks : int
        Queries of a `mark` text; there is one marked word.
    chains, hops, chain_queries : int
        Chains of a `chain` text, statements of a chain, and how many chains are asked for.
    variables : int
        How many of the vocabulary's rarest names serve as keys and values. At least `length`,
        so that enough are left that do not stand in the window.
    weights : tuple of float
        Share of each task in a sample, in the order of `TextTasks.names`.
    """

    length: int = 64
    needles: int = 8
    needle_queries: int = 8
    lasts: int = 8
    marks: int = 8
    chains: int = 4
    hops: int = 2
    chain_queries: int = 4
    variables: int = 128
    weights: tuple[float, float, float, float, float] = (0.2, 0.15, 0.15, 0.3, 0.2)

    @property
    def queries(self):
        """int : slots for queries in a text, Q."""
        second_half = self.length - 1 - self.length // 2
        return max(self.needle_queries, self.lasts, self.marks, self.chain_queries, second_half)

    def __post_init__(self):
        for name in ("needles", "lasts", "marks", "chains", "hops"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name, limit in (("needle_queries", "needles"), ("chain_queries", "chains")):
            if not 1 <= getattr(self, name) <= getattr(self, limit):
                raise ValueError(
                    f"{name} is {getattr(self, name)}, expected 1 to {limit} = "
                    f"{getattr(self, limit)}"
                )
        widths = {
            "needles": 3 * self.needles + 2 * self.needle_queries,
            "lasts": 2 * self.lasts,
            "marks": 2 + self.marks,
            "chains": 3 * self.chains * self.hops + 2 * self.chain_queries,
        }
        widest = max(widths, key=widths.get)
        if self.length < widths[widest] + 2:
            raise ValueError(
                f"length is {self.length}, expected at least {widths[widest] + 2} for {widest} "
                f"= {getattr(self, widest)}"
            )
        if self.variables < self.length:
            raise ValueError(
                f"variables is {self.variables}, expected at least length = {self.length}"
            )
        weights = np.asarray(self.weights, dtype=float)
        fits = weights.shape == (len(NAMES),) and (weights >= 0).all()
        if not fits or not 0 < weights.sum() < np.inf:
            raise ValueError(
                f"weights is {self.weights}, expected {len(NAMES)} numbers, none negative, "
                "not all zero"
            )


@dataclass(frozen=True)
class Batch:
    """Texts with their queries and answers.

    Attributes
    ----------
    tokens : ndarray of int64, shape (B, T)
    task : ndarray of int64, shape (B,)
        Index in `TextTasks.names`.
    query : ndarray of int64, shape (B, Q)
        Position at whose output the answer is predicted; -1 marks an unused slot, in all arrays.
    answer : ndarray of int64, shape (B, Q)
    evidence : ndarray of bool, shape (B, Q, T)
        Positions that a perfect reader must look at: both words of each statement on the way,
        the word repeated, the mark and its word. All False in a `next` text, whose evidence
        is not known.
    hop_answer : ndarray of int64, shape (B, Q, K)
        Word found after each hop; the last one used is `answer`. Unused in a `next` text.
    """

    tokens: np.ndarray
    task: np.ndarray
    query: np.ndarray
    answer: np.ndarray
    evidence: np.ndarray
    hop_answer: np.ndarray


class TextTasks:
    """Draws texts with tasks from a corpus.

    Parameters
    ----------
    corpus : Corpus
        Loaded with ``reserved=MARKS``.
    config : TextTasksConfig, optional

    Attributes
    ----------
    names : tuple of str
        The tasks.
    variables : ndarray of int64, shape (N,)
        Words that serve as keys and values.

    Raises
    ------
    ValueError
        If the corpus lacks the marks, has too few names, or a split too few words.

    Examples
    --------
    >>> import numpy as np
    >>> from gatelearn.tasks import MARKS, Corpus, TextTasks, TextTasksConfig
    >>> corpus = Corpus.load(vocab_size=512, max_tokens=50_000, reserved=MARKS)
    >>> tasks = TextTasks(corpus, TextTasksConfig(length=64))
    >>> batch = tasks.sample(np.random.default_rng(0), 32)
    >>> batch.tokens.shape, batch.query.shape
    ((32, 64), (32, 31))
    >>> text = tasks.sample(np.random.default_rng(0), 1, task="last")
    >>> position = text.query[0, 0]
    >>> bool(text.tokens[0, position - 1] == text.answer[0, 0])
    True
    """

    names = NAMES

    def __init__(self, corpus, config=None):
        self.corpus = corpus
        self.config = config = TextTasksConfig() if config is None else config
        reserved = corpus.vocabulary[: corpus.reserved]
        missing = [mark for mark in MARKS if mark not in reserved]
        if missing:
            raise ValueError(
                f"corpus has no reserved token {missing[0]}, expected one loaded with "
                "reserved=gatelearn.tasks.MARKS"
            )
        words = corpus.vocabulary[corpus.reserved :]
        names = [w for w in words if w.isidentifier() and not keyword.iskeyword(w) and len(w) > 1]
        if len(names) < config.variables:
            raise ValueError(
                f"corpus has {len(names)} names in its vocabulary, expected at least "
                f"config.variables = {config.variables}"
            )
        for split in ("train", "validation", "test"):
            have = len(corpus.stream(split))
            if have < config.length:
                raise ValueError(
                    f"corpus has {have} words in split {split}, expected at least "
                    f"config.length = {config.length}"
                )
        self.variables = np.array([corpus.index[w] for w in names[-config.variables :]])
        self._id = {mark: corpus.index[mark] for mark in MARKS}
        weights = np.asarray(config.weights, dtype=float)
        self._weights = weights / weights.sum()

    def sample(self, rng, batch, *, task=None, split="train"):
        """Draw texts.

        Parameters
        ----------
        rng : numpy.random.Generator
            The same state gives the same texts.
        batch : int
            Number of texts, B.
        task : str, optional
            Draw this task only; by default each text has a task drawn by `config.weights`.
        split : {"train", "validation", "test"}, default "train"

        Returns
        -------
        Batch

        Raises
        ------
        ValueError
            If there is no such task or split, or `batch` is negative.
        """
        if task is not None and task not in NAMES:
            raise ValueError(f"task is {task!r}, expected one of {', '.join(NAMES)}")
        if batch < 0:
            raise ValueError(f"batch is {batch}, expected at least 0")
        stream = self.corpus.stream(split)
        config = self.config
        if task is None:
            which = rng.choice(len(NAMES), size=batch, p=self._weights)
        else:
            which = np.full(batch, NAMES.index(task))
        shape = (batch, config.queries)
        out = Batch(
            tokens=np.zeros((batch, config.length), np.int64),
            task=which.astype(np.int64),
            query=np.full(shape, -1),
            answer=np.full(shape, -1),
            evidence=np.zeros((*shape, config.length), bool),
            hop_answer=np.full((*shape, config.hops), -1),
        )
        for k, name in enumerate(NAMES):
            rows = np.flatnonzero(which == k)
            if rows.size:
                getattr(self, f"_{name}")(rng, stream, rows, out)
        return out

    def mask_evidence(self, batch, rng):
        """Replace the evidence of every query by other words of the same text.

        A faithful model cannot answer any more. Queries are left as they are.

        Parameters
        ----------
        batch : Batch
        rng : numpy.random.Generator

        Returns
        -------
        Batch
            Shares all arrays but `tokens` with `batch`.
        """
        tokens = batch.tokens
        gone = batch.evidence.any(axis=1)
        asked = np.zeros_like(gone)
        rows, slots = np.nonzero(batch.query >= 0)
        asked[rows, batch.query[rows, slots]] = True
        marks = (tokens > 0) & (tokens < self.corpus.reserved)
        source = ~(gone | asked | marks)

        # the r-th word that may be copied, r uniform, for each position
        order = np.argsort(~source, axis=1, kind="stable")
        r = (rng.random(tokens.shape) * source.sum(axis=1, keepdims=True)).astype(np.int64)
        words = np.take_along_axis(tokens, np.take_along_axis(order, r, axis=1), axis=1)
        return replace(batch, tokens=np.where(gone, words, tokens))

    def _needle(self, rng, stream, rows, out):
        config = self.config
        sizes = config.needles, 1, config.needle_queries
        self._statements(rng, stream, rows, out, "needle", *sizes)

    def _chain(self, rng, stream, rows, out):
        config = self.config
        sizes = config.chains, config.hops, config.chain_queries
        self._statements(rng, stream, rows, out, "chain", *sizes)

    def _statements(self, rng, stream, rows, out, name, chains, hops, queries):
        length, n = self.config.length, len(rows)
        body = length - 2 * queries
        count = chains * hops
        words, window = self._draw(rng, stream, n, body - 1 - 3 * count, count + chains)
        words = words.reshape(n, chains, hops + 1)

        # statement s is hop s % hops of chain s // hops; place says where it comes
        place = rng.permuted(np.tile(np.arange(count), (n, 1)), axis=1)
        start = np.take_along_axis(_gaps(rng, n, count, 3, body), place, axis=1)
        tokens = np.full((n, length), -1)
        end = np.full((n, chains, hops), self._id["<;>"])
        statement = np.stack([words[:, :, :-1], words[:, :, 1:], end], axis=-1)
        at = start[:, :, None] + np.arange(3)
        np.put_along_axis(tokens, at.reshape(n, -1), statement.reshape(n, -1), axis=1)

        # chains are drawn at random, so asking the first few, in order, tells nothing
        where = body + 1 + 2 * np.arange(queries)
        tokens[:, where - 1] = self._id[f"<{name}?>"]
        tokens[:, where] = words[:, :queries, 0]
        out.tokens[rows] = self._fill(tokens, window)
        evidence = at[:, :, :2].reshape(n, chains, 2 * hops)[:, :queries]
        _answer(out, rows, np.tile(where, (n, 1)), words[:, :queries, 1:], evidence)

    def _last(self, rng, stream, rows, out):
        n, lasts, length = len(rows), self.config.lasts, self.config.length
        words, window = self._draw(rng, stream, n, length - 1 - 2 * lasts, lasts)
        start = _gaps(rng, n, lasts, 2, length)
        tokens = np.full((n, length), -1)
        np.put_along_axis(tokens, start, words, axis=1)
        np.put_along_axis(tokens, start + 1, self._id["<last?>"], axis=1)
        out.tokens[rows] = self._fill(tokens, window)
        _answer(out, rows, start + 1, words[:, :, None], start[:, :, None])

    def _mark(self, rng, stream, rows, out):
        n, marks, length = len(rows), self.config.marks, self.config.length
        filler = length - 3 - marks
        words, window = self._draw(rng, stream, n, filler, 1)

        # the mark comes in the first half, the queries anywhere after it
        gap = rng.integers(0, filler // 2 + 1, size=(n, 1))
        later = gap + np.floor(rng.random((n, marks)) * (filler + 1 - gap)).astype(np.int64)
        start = np.sort(later, axis=1) + 3 + np.arange(marks)
        mark = np.concatenate([gap + 1, gap + 2], axis=1)
        tokens = np.full((n, length), -1)
        np.put_along_axis(tokens, mark[:, :1], self._id["<mark>"], axis=1)
        np.put_along_axis(tokens, mark[:, 1:], words, axis=1)
        np.put_along_axis(tokens, start, self._id["<mark?>"], axis=1)
        out.tokens[rows] = self._fill(tokens, window)
        _answer(out, rows, start, np.repeat(words, marks, axis=1)[:, :, None], mark[:, None])

    def _next(self, rng, stream, rows, out):
        n, length = len(rows), self.config.length
        start = rng.integers(0, len(stream) - length + 1, size=(n, 1))
        window = stream[start + np.arange(length)]
        tokens = window.copy()
        tokens[:, 0] = self._id["<text>"]
        where = np.arange(length // 2, length - 1)
        answer = window[:, where + 1]
        known = answer > 0
        known[:, -1] |= ~known.any(axis=1)
        out.tokens[rows] = tokens
        out.query[rows, : where.size] = np.where(known, where, -1)
        out.answer[rows, : where.size] = np.where(known, answer, -1)

    def _draw(self, rng, stream, n, filler, count):
        # windows of the stream, and for each `count` different names that are not in it
        start = rng.integers(0, len(stream) - filler + 1, size=(n, 1))
        window = stream[start + np.arange(filler)]
        present = np.zeros((n, len(self.corpus.vocabulary)), bool)
        np.put_along_axis(present, window, True, axis=1)
        score = rng.random((n, self.variables.size)) + present[:, self.variables]
        best = np.argpartition(score, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(score, best, axis=1), axis=1)
        return self.variables[np.take_along_axis(best, order, axis=1)], window

    def _fill(self, tokens, window):
        # the window goes, in order, where nothing was put in
        tokens[:, 0] = self._id["<text>"]
        tokens[tokens < 0] = window.ravel()
        return tokens


def answer_accuracy(predictions, batch):
    """Share of each text's queries that were answered right.

    Parameters
    ----------
    predictions : array_like, shape (B, Q) of int, or (B, Q, V) of float
        Predicted words, or a score for each word of the vocabulary.
    batch : Batch

    Returns
    -------
    ndarray of float64, shape (B,)

    Raises
    ------
    ValueError
        If the shape of `predictions` does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from gatelearn.tasks import MARKS, Corpus, TextTasks
    >>> tasks = TextTasks(Corpus.load(max_tokens=50_000, reserved=MARKS))
    >>> batch = tasks.sample(np.random.default_rng(0), 3)
    >>> answer_accuracy(batch.answer, batch)
    array([1., 1., 1.])
    """
    predictions = np.asarray(predictions)
    if predictions.ndim == 3 and predictions.shape[:2] == batch.answer.shape:
        predictions = predictions.argmax(axis=-1)
    if predictions.shape != batch.answer.shape:
        raise ValueError(
            f"predictions has shape {predictions.shape}, expected {batch.answer.shape}, "
            "or one more axis with a score for each word"
        )
    used = batch.query >= 0
    right = used & (predictions == batch.answer)
    return right.sum(axis=1) / np.maximum(used.sum(axis=1), 1)


def _gaps(rng, n, count, width, body):
    """First positions of `count` insertions of `width` words among the words before `body`."""
    filler = body - 1 - count * width
    gap = np.sort(rng.integers(0, filler + 1, size=(n, count)), axis=1)
    return gap + 1 + width * np.arange(count)


def _answer(out, rows, query, hop_answer, evidence):
    # hop_answer has shape (n, queries, hops), evidence (n, 1 or queries, positions)
    n, queries, hops = hop_answer.shape
    out.query[rows, :queries] = query
    out.answer[rows, :queries] = hop_answer[:, :, -1]
    out.hop_answer[rows, :queries, :hops] = hop_answer
    r, q, _ = np.ogrid[:n, :queries, :1]
    out.evidence[rows[r], q, evidence] = True
