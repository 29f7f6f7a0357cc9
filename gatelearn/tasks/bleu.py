"""BLEU: how much of a caption stands in the captions that people gave."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

Words = Sequence[Hashable]


def _counts(candidate: Words, references: Sequence[Words], n: int) -> tuple[int, int]:
    """Return how many n-grams of a candidate stand in a reference, and how many there are.

    Each counts at most as often as it stands in one of the references.
    """
    def grams(words: Words) -> Counter:
        return Counter(zip(*(words[i:] for i in range(n)), strict=False))

    found, allowed = grams(candidate), Counter()
    for reference in references:
        allowed |= grams(reference)
    return (found & allowed).total(), found.total()


def _closest(candidate: Words, references: Sequence[Words]) -> int:
    """Return the length of the reference nearest in length, the shorter of two."""
    return min((abs(len(r) - len(candidate)), len(r)) for r in references)[1]


def _brevity(length: int, reference: int) -> float:
    return 1.0 if length >= reference else math.exp(1 - reference / length) if length else 0.0


def corpus_bleu(candidates: Sequence[Words], references: Sequence[Sequence[Words]],
                order: int = 4) -> NDArray[np.float64]:
    """BLEU of all captions together [1]_, for n-grams up to each order.

    The geometric mean of the shares of n-grams that stand in a reference of their caption, times
    ``exp(1 - r / c)`` where the captions, of c words, are shorter than their references, of r.

    Parameters
    ----------
    candidates : sequence of sequences of words
        Words may be of any type, such as strings or numbers, the mark that ends a caption left out.
    references : sequence of sequences of sequences of words
        At least one for each candidate. The one nearest in length counts towards r.
    order : int, default 4

    Returns
    -------
    ndarray, shape (order,)
        BLEU-1 to BLEU-`order`, in [0, 1]. Where no n-gram is found, or there is none, it is 0.

    Raises
    ------
    ValueError
        If the numbers of candidates and references differ, a candidate has no reference, or `order`
        is below 1.

    References
    ----------
    .. [1] K. Papineni, S. Roukos, T. Ward and W.-J. Zhu, "BLEU: a Method for Automatic Evaluation
       of Machine Translation", ACL 2002.

    Examples
    --------
    >>> corpus_bleu(["a red apple".split()], [["a green apple".split()]], order=2).round(3)
    array([0.667, 0.   ])
    """
    _check(candidates, references, order)
    pairs = list(zip(candidates, references, strict=True))
    counts = np.zeros((order, 2))
    for candidate, given in pairs:
        counts += [_counts(candidate, given, n) for n in range(1, order + 1)]
    brevity = _brevity(sum(map(len, candidates)), sum(_closest(c, r) for c, r in pairs))
    found, total = counts.T
    precision = np.divide(found, total, out=np.zeros(order), where=total > 0)
    with np.errstate(divide="ignore"):
        log_mean = np.cumsum(np.log(precision)) / np.arange(1, order + 1)
    return brevity * np.exp(log_mean)


def sentence_bleu(candidate: Words, references: Sequence[Words], order: int = 4) -> float:
    """BLEU of one caption, smoothed so that it tells bad captions from worse ones.

    One is added to the counts of n-grams found and there, for n of 2 and more [1]_.

    Parameters
    ----------
    candidate : sequence of words
    references : sequence of sequences of words
        At least one.
    order : int, default 4

    Returns
    -------
    float
        In [0, 1]; 1 for a caption that is one of the references, 0 for one without a right word.

    Raises
    ------
    ValueError
        If there is no reference, or `order` is below 1.

    References
    ----------
    .. [1] C.-Y. Lin and F. J. Och, "ORANGE: a Method for Evaluating Automatic Evaluation Metrics
       for Machine Translation", COLING 2004.

    Examples
    --------
    >>> round(sentence_bleu("a red apple".split(), ["a green apple".split()], order=2), 3)
    0.471
    """
    _check([candidate], [references], order)
    mean = 0.0
    for n in range(1, order + 1):
        found, total = _counts(candidate, references, n)
        if found == 0 and n == 1:
            return 0.0
        more = n > 1
        mean += math.log((found + more) / (total + more)) / order
    return _brevity(len(candidate), _closest(candidate, references)) * math.exp(mean)


def _check(candidates: Sequence[Words], references: Sequence[Sequence[Words]], order: int) -> None:
    if order < 1:
        raise ValueError(f"order is {order}, expected at least 1")
    if len(candidates) != len(references):
        raise ValueError(f"references are {len(references)}, expected one list for each of "
                         f"{len(candidates)} candidates")
    for i, given in enumerate(references):
        if len(given) == 0:
            raise ValueError(f"references[{i}] is empty, expected at least one reference")
