"""Families of hidden rules: which position of a text carries the reward.

A task hides one rule and shows a new text of the corpus at each attempt; whoever looks at the
position that the rule names is rewarded. Rules are of two kinds:

======== ==================================================== =======================
kind     rule                                                 number of them
======== ==================================================== =======================
`place`  the p-th word of the text                            one a position but the first
`after`  the word after the k-th occurrence of a mark         ``marks * occurrences``
======== ==================================================== =======================

Every text holds every mark equally often, at random places, so a text says nothing of the rule. The
rules of each kind are split into those to train on, to validate and to test with: what is learned
must be how to find a rule, not the rules.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gatelearn.tasks.corpus import SPLITS, Corpus
from gatelearn.tasks.retrieval import MARKS, _gaps

KINDS = ("place", "after")
SHARES = (0.5, 0.2, 0.3)  # of the rules, in the order of SPLITS


@dataclass(frozen=True)
class FamiliesConfig:
    """Sizes of texts and tasks.

    Attributes
    ----------
    length : int
        Words of a text, T.
    marks, occurrences : int
        Different marks, and how often each stands in a text.
    attempts : int
        Texts that a task shows, one after the other, A.
    after_share : float
        Share of tasks whose rule is of the kind `after`.
    seed : int
        Of the split of the rules.
    """

    length: int = 20
    marks: int = 2
    occurrences: int = 3
    attempts: int = 12
    after_share: float = 0.5
    seed: int = 0

    def __post_init__(self):
        for name, least in (("marks", 1), ("occurrences", 1), ("attempts", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least {least}")
        if self.marks > len(MARKS) - 1:
            raise ValueError(f"marks is {self.marks}, expected at most {len(MARKS) - 1}")
        if self.marks * self.occurrences < len(SPLITS):
            raise ValueError(f"marks * occurrences is {self.marks * self.occurrences}, expected at "
                             f"least {len(SPLITS)}: one rule a split")
        # the first word, a mark and a word for each occurrence, and one word more
        least = 2 + 2*self.marks*self.occurrences
        if self.length < least:
            raise ValueError(f"length is {self.length}, expected at least {least} for "
                             f"marks * occurrences = {self.marks * self.occurrences}")
        if not 0 <= self.after_share <= 1:
            raise ValueError(f"after_share is {self.after_share}, expected 0 to 1")


@dataclass(frozen=True)
class TaskBatch:
    """Tasks with the texts of all their attempts.

    Attributes
    ----------
    tokens : ndarray of int64, shape (B, A, T)
    rule : ndarray of int64, shape (B,)
        The hidden rule, of N.
    place : ndarray of int64, shape (B, A, N)
        The position that each rule names in each text.
    """

    tokens: NDArray
    rule: NDArray
    place: NDArray

    @property
    def target(self) -> NDArray:
        """ndarray of int64, shape (B, A) : the rewarded positions."""
        return np.take_along_axis(self.place, self.rule[:, None, None], 2)[..., 0]


class PositionFamilies:
    """Draws tasks with a hidden rule over texts of a corpus.

    Parameters
    ----------
    corpus : Corpus
        Loaded with ``reserved=MARKS``.
    config : FamiliesConfig, optional

    Attributes
    ----------
    kind : ndarray of int64, shape (N,)
        Of each rule, an index of `KINDS`.
    rules : dict of str to ndarray
        The rules of each split.

    Raises
    ------
    ValueError
        If the corpus lacks the marks, or a split has too few words.

    Examples
    --------
    >>> from gatelearn.tasks import MARKS, Corpus
    >>> corpus = Corpus.load(vocab_size=512, max_tokens=50_000, reserved=MARKS)
    >>> families = PositionFamilies(corpus)
    >>> batch = families.sample(np.random.default_rng(0), 3)
    >>> batch.tokens.shape, batch.place.shape, batch.target.shape
    ((3, 12, 20), (3, 12, 25), (3, 12))
    """

    def __init__(self, corpus: Corpus, config: FamiliesConfig | None = None):
        self.corpus, self.config = corpus, config or FamiliesConfig()
        config = self.config
        reserved = corpus.vocabulary[:corpus.reserved]
        # the first of MARKS opens a text
        missing = [m for m in MARKS[:1 + config.marks] if m not in reserved]
        if missing:
            raise ValueError(f"corpus has no reserved token {missing[0]}, expected one loaded with "
                             "reserved=gatelearn.tasks.MARKS")
        for split in SPLITS:
            have = len(corpus.stream(split))
            if have < config.length:
                raise ValueError(f"corpus has {have} words in split {split}, expected at least "
                                 f"length = {config.length}")
        places, after = config.length - 1, config.marks * config.occurrences
        self.kind = np.repeat([0, 1], [places, after])
        rng = np.random.default_rng(config.seed)
        parts = [_split(rng, np.flatnonzero(self.kind == k)) for k in range(len(KINDS))]
        self.rules = {split: np.sort(np.concatenate([p[i] for p in parts]))
                      for i, split in enumerate(SPLITS)}

    def sample(self, rng: np.random.Generator, tasks: int, *, split: str = "train") -> TaskBatch:
        """Draw tasks.

        Parameters
        ----------
        rng : numpy.random.Generator
            The same state gives the same tasks.
        tasks : int
            B.
        split : {"train", "validation", "test"}, default "train"
            Of the rules, and of the text.

        Returns
        -------
        TaskBatch

        Raises
        ------
        ValueError
            If there is no such split, or `tasks` is negative.
        """
        if split not in self.rules:
            raise ValueError(f"split is {split!r}, expected one of {', '.join(SPLITS)}")
        if tasks < 0:
            raise ValueError(f"tasks is {tasks}, expected at least 0")
        config = self.config
        is_after = rng.random(tasks) < config.after_share
        own = [self.rules[split][self.kind[self.rules[split]] == k] for k in range(len(KINDS))]
        u = rng.random(tasks)
        place, after = (rules[(u * len(rules)).astype(np.int64)] for rules in own)
        tokens, marked = self._texts(rng, tasks * config.attempts, split)
        shape = tasks, config.attempts
        fixed = np.broadcast_to(np.arange(1, config.length), (len(tokens), config.length - 1))
        places = np.concatenate([fixed, marked + 1], 1)
        return TaskBatch(tokens.reshape(*shape, config.length), np.where(is_after, after, place),
                         places.reshape(*shape, len(self.kind)))

    def _texts(self, rng: np.random.Generator, n: int, split: str) -> tuple[NDArray, NDArray]:
        """Return texts (n, T), and where each mark stands (n, marks * occurrences)."""
        config, index = self.config, self.corpus.index
        count, stream = config.marks * config.occurrences, self.corpus.stream(split)
        start = rng.integers(0, len(stream) - config.length + 1, size=(n, 1))
        tokens = stream[start + np.arange(config.length)]
        tokens[:, 0] = index[MARKS[0]]
        # which mark comes when is drawn; the k-th of each is then found in order
        at = _gaps(rng, n, count, 2, config.length)
        which = rng.permuted(np.tile(np.repeat(np.arange(config.marks), config.occurrences),
                                     (n, 1)), axis=1)
        ids = np.array([index[m] for m in MARKS[1:1 + config.marks]])
        np.put_along_axis(tokens, at, ids[which], 1)
        return tokens, np.take_along_axis(at, np.argsort(which, 1, kind="stable"), 1)


def _split(rng: np.random.Generator, rules: NDArray) -> list[NDArray]:
    """Return rules in random parts, one a split, none of them empty."""
    rest = len(rules) - len(SHARES)
    sizes = 1 + np.floor(np.array(SHARES) * rest).astype(np.int64)
    sizes[0] += len(rules) - sizes.sum()
    return np.split(rng.permutation(rules), np.cumsum(sizes)[:-1])
