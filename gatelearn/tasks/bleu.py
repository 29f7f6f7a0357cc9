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
    return bleu_of_counts(bleu_counts(candidates, references, order).sum(0))


def bleu_counts(candidates: Sequence[Words], references: Sequence[Sequence[Words]],
                order: int = 4) -> NDArray[np.int64]:
    """What each caption adds to corpus BLEU; a bootstrap over captions draws from these rows.

    Parameters
    ----------
    candidates, references, order
        As of `corpus_bleu`.

    Returns
    -------
    ndarray, shape (captions, 2 * order + 2)
        For n-grams of each order how many were found and how many there are, then the lengths of
        the caption and of the reference nearest in length.

    Raises
    ------
    ValueError
        As `corpus_bleu`.

    Examples
    --------
    >>> bleu_counts(["a red apple".split()], [["a green apple".split()]], order=2)
    array([[2, 3, 0, 2, 3, 3]])
    """
    _check(candidates, references, order)
    rows = [[*(k for n in range(1, order + 1) for k in _counts(candidate, given, n)),
             len(candidate), _closest(candidate, given)]
            for candidate, given in zip(candidates, references, strict=True)]
    return np.array(rows, np.int64).reshape(-1, 2 * order + 2)


def bleu_of_counts(counts: NDArray) -> NDArray[np.float64]:
    """Return BLEU-1 to BLEU-`order` of a sum of rows of `bleu_counts`.

    Examples
    --------
    >>> bleu_of_counts(np.array([2, 3, 0, 2, 3, 3])).round(3)
    array([0.667, 0.   ])
    """
    *grams, length, reference = counts
    found, total = np.reshape(grams, (-1, 2)).T
    precision = np.divide(found, total, out=np.zeros(len(found)), where=total > 0)
    with np.errstate(divide="ignore"):
        log_mean = np.cumsum(np.log(precision)) / np.arange(1, len(found) + 1)
    return _brevity(length, reference) * np.exp(log_mean)


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
