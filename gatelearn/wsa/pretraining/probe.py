"""Linear probes: what of a game's state can be read off an embedding."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn._convert import as_index, check_finite

# times the mean square of a feature and the number of rows: from almost nothing to almost all
_PENALTIES = 10.0 ** np.arange(-6, 1)


def linear_probe(embeddings: ArrayLike, targets: ArrayLike, episode: ArrayLike, *,
                 held_out: float = 0.3) -> NDArray[np.float64]:
    """Return how well targets are predicted by a linear function of embeddings, R squared [1]_.

    The last episodes are held out; ridge regression is fitted to the others. Its penalty, for each
    target one of seven, is the one that does best on the last third of these.

    Parameters
    ----------
    embeddings : array_like, shape (F, D)
        Of the same frames as the others, episode by episode.
    targets : array_like, shape (F, K)
        Such as positions. NaN where there is nothing to predict: those frames are left out.
    episode : array_like of int, shape (F,)
    held_out : float, default 0.3
        About what share of the frames is held out.

    Returns
    -------
    ndarray, shape (K,)
        1 is perfect; 0 is no better than the mean of the held-out targets, and less is worse. NaN
        where those do not vary.

    Raises
    ------
    ValueError
        If shapes do not match, `held_out` is not in (0, 1), there are fewer than three episodes, or
        a part has no frames with a target.
    FloatingPointError
        If an embedding is not finite.

    References
    ----------
    .. [1] G. Alain and Y. Bengio, "Understanding intermediate layers using linear classifier
       probes", ICLR workshop, 2017.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((300, 4))
    >>> targets = np.stack([x @ [1.0, 2.0, 0.0, 1.0], rng.standard_normal(300)], 1)
    >>> linear_probe(x, targets, np.arange(300) // 20).round(1) + 0
    array([1., 0.])
    """
    x = check_finite(np.asarray(embeddings, np.float64), "embeddings")
    y, episode = np.asarray(targets, np.float64), as_index(episode, "episode", ndim=1)
    if x.ndim != 2 or y.ndim != 2 or not len(x) == len(y) == len(episode):
        raise ValueError(f"embeddings has shape {x.shape}, targets {y.shape} and episode "
                         f"{episode.shape}, expected (F, D), (F, K) and (F,)")
    if not 0 < held_out < 1:
        raise ValueError(f"held_out is {held_out}, expected a number between 0 and 1")
    cuts = 1 + np.flatnonzero(np.diff(episode))
    if len(cuts) < 2:
        raise ValueError(f"there are {len(cuts) + 1} episodes, expected at least 3")
    test = _nearest(cuts[1:], (1 - held_out) * len(x))
    choice = _nearest(cuts[cuts < test], test * 2 / 3)
    fit, choose, fit_all, last = (slice(0, choice), slice(choice, test), slice(0, test),
                                  slice(test, None))
    scores = np.empty(y.shape[1])
    for k, target in enumerate(y.T):
        known = np.isfinite(target)
        for part in (fit, choose, last):
            if not known[part].any():
                raise ValueError(f"targets[:, {k}] is NaN throughout a part of the frames, "
                                 "expected some to fit, to choose and to test")
        tried = _ridge(x[fit][known[fit]], target[fit][known[fit]])
        wrong = [np.square(x[choose][known[choose]] @ w + b - target[choose][known[choose]]).sum()
                 for w, b in tried]
        w, b = _ridge(x[fit_all][known[fit_all]],
                      target[fit_all][known[fit_all]])[int(np.argmin(wrong))]
        truth = target[last][known[last]]
        spread = np.square(truth - truth.mean()).sum()
        error = np.square(x[last][known[last]] @ w + b - truth).sum()
        scores[k] = 1 - error / spread if spread > 0 else np.nan
    return scores


def _nearest(cuts: NDArray, wanted: float) -> int:
    return int(cuts[np.abs(cuts - wanted).argmin()])


def _ridge(x: NDArray, y: NDArray) -> list[tuple[NDArray, float]]:
    """Return weights and offset for each penalty, by one decomposition."""
    centre, mean = x.mean(0), y.mean()
    x = x - centre
    size, vectors = np.linalg.eigh(x.T @ x)
    projected = vectors.T @ (x.T @ (y - mean))
    mean_size = max(size.mean(), np.finfo(float).tiny)
    weights = [vectors @ (projected / (np.maximum(size, 0) + p * mean_size)) for p in _PENALTIES]
    return [(w, mean - centre @ w) for w in weights]
