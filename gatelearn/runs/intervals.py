"""Intervals on scores: over texts by bootstrap, over seeds by Student's t."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def bootstrap_interval(
    per_text_scores: ArrayLike, level: float = 0.95, n: int = 2000, *, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean score over texts [1]_.

    Texts are drawn with replacement. What it covers is the choice of texts, not the training: for
    that, train several seeds and use `seed_interval`.

    Parameters
    ----------
    per_text_scores : array_like, shape (texts,)
        One score a text, for instance its share of right answers.
    level : float, optional
        Coverage, in (0, 1).
    n : int, optional
        Number of resamples.
    seed : int, optional
        Seed of the resampling.

    Returns
    -------
    (float, float)
        Lower and upper end.

    Raises
    ------
    ValueError
        If there are fewer than two texts, a score is not finite or `level` is out of range.

    References
    ----------
    .. [1] B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", chapter 13, 1993.

    Examples
    --------
    >>> lo, hi = bootstrap_interval([1.0, 0.0, 1.0, 1.0] * 25, seed=1)
    >>> round(lo, 2), round(hi, 2)
    (0.67, 0.83)
    """
    scores = _checked(per_text_scores, "per_text_scores", level)
    rng = np.random.default_rng(seed)
    means = np.empty(n)
    # in pieces, so that thousands of texts do not take gigabytes
    for start in range(0, n, 100):
        piece = means[start : start + 100]
        piece[:] = scores[rng.integers(scores.size, size=(piece.size, scores.size))].mean(axis=1)
    lo, hi = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(lo), float(hi)


def seed_interval(per_seed_scores: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Student's t interval of a mean score over independently trained seeds.

    Parameters
    ----------
    per_seed_scores : array_like, shape (seeds,)
        One score a seed.
    level : float, optional
        Coverage, in (0, 1).

    Returns
    -------
    (float, float)
        Lower and upper end. Not clipped to the range of the score.

    Raises
    ------
    ValueError
        If there are fewer than two seeds, a score is not finite or `level` is out of range.

    Examples
    --------
    >>> lo, hi = seed_interval([0.95, 0.97, 0.96])
    >>> round(lo, 3), round(hi, 3)
    (0.935, 0.985)
    """
    scores = _checked(per_seed_scores, "per_seed_scores", level)
    half = _t_quantile(level, scores.size - 1) * scores.std(ddof=1) / math.sqrt(scores.size)
    return float(scores.mean() - half), float(scores.mean() + half)


def score_interval(per_seed: list[NDArray]) -> tuple[float, float]:
    """Interval of a mean score in [0, 1]: over texts where there is one seed, else over seeds.

    Parameters
    ----------
    per_seed : list of ndarray, shape (texts,)
        The scores of each seed.

    Returns
    -------
    (float, float)
        Lower and upper end, within [0, 1].

    Examples
    --------
    >>> lo, hi = score_interval([np.array([1.0, 1.0]), np.array([0.9, 1.0])])
    >>> round(lo, 2), hi
    (0.66, 1.0)
    """
    if len(per_seed) == 1:
        return bootstrap_interval(per_seed[0], seed=0)
    # Student's interval knows nothing of a score's range
    low, high = np.clip(seed_interval([scores.mean() for scores in per_seed]), 0, 1)
    return float(low), float(high)


def _checked(scores: ArrayLike, name: str, level: float) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or scores.size < 2:
        raise ValueError(f"{name} has shape {scores.shape}, expected one axis of at least 2")
    if not np.isfinite(scores).all():
        raise ValueError(f"{name}[{np.flatnonzero(~np.isfinite(scores))[0]}] is not finite")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a number between 0 and 1")
    return scores


def _t_quantile(level: float, df: int) -> float:
    """Return t such that a Student variable with `df` degrees lies in [-t, t] with odds `level`."""
    # with theta = atan(t / sqrt(df)) the probability is a finite sum (Abramowitz & Stegun, 26.7.3
    # and 26.7.4) that grows with theta: halve the range until it stands still
    lo, hi = 0.0, math.pi / 2
    for _ in range(80):
        theta = (lo + hi) / 2
        term = math.cos(theta) if df % 2 else 1.0
        total = term if df > 1 else 0.0
        for k in range(df % 2 + 2, df, 2):
            term *= math.cos(theta) ** 2 * (k - 1) / k
            total += term
        inside = math.sin(theta) * total
        if df % 2:
            inside = (theta + inside) * 2 / math.pi
        lo, hi = (theta, hi) if inside < level else (lo, theta)
    return math.sqrt(df) * math.tan(lo)
