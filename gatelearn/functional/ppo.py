"""The clipped loss of proximal policy optimisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_real, as_reals, check_shape

STATS = ("loss", "policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")


def ppo_loss(logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, entropy: ArrayLike,
             value: ArrayLike | None = None, returns: ArrayLike | None = None,
             value_old: ArrayLike | None = None, *, clip: float = 0.2, value_clip: float = 0.2,
             value_coefficient: float = 0.5, entropy_coefficient: float = 0.0,
             ) -> tuple[dict[str, float], NDArray, NDArray | None, NDArray]:
    """Loss of a minibatch and its gradient, in one pass [1]_.

    ``loss = policy_loss + value_coefficient * value_loss - entropy_coefficient * entropy``.

    Parameters
    ----------
    logp, logp_old : array_like, shape (B,)
        Log-probability of the actions, now and when they were drawn.
    advantage : array_like, shape (B,)
        Held constant.
    entropy : array_like, shape (B,)
        Of the policy now.
    value, returns : array_like, shape (B,), optional
        The value function now, and its target. Without them there is no value loss.
    value_old : array_like, shape (B,), optional
        The value function when the actions were drawn. With it the value is clipped, too.
    clip : float, default 0.2
        How far the ratio of probabilities may leave 1 and still be rewarded.
    value_clip : float, default 0.2
        How far the value may leave `value_old`.
    value_coefficient : float, default 0.5
    entropy_coefficient : float, default 0

    Returns
    -------
    stats : dict of str to float
        Means over the batch. ``loss``; ``policy_loss``; ``value_loss``, half the squared error;
        ``entropy``; ``approx_kl``, the mean of ``(r - 1) - log r``, which estimates the divergence
        of the new policy from the old and is never negative; ``clip_fraction``, the share of rows
        with ``abs(r - 1) > clip``.
    dlogp : ndarray, shape (B,)
        Gradient of the loss with respect to `logp`.
    dvalue : ndarray, shape (B,), or None
        With respect to `value`.
    dentropy : ndarray, shape (B,)
        With respect to `entropy`.

    Raises
    ------
    TypeError
        If only one of `value` and `returns` is given, or `value_old` without them.
    ValueError
        If shapes differ.

    References
    ----------
    .. [1] J. Schulman et al., "Proximal Policy Optimization Algorithms", arXiv 1707.06347, 2017.

    Examples
    --------
    >>> stats, dlogp, _, _ = ppo_loss([0.0, 0.5], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0])
    >>> stats["policy_loss"], stats["clip_fraction"]
    (-1.1, 0.5)
    >>> dlogp
    array([-0.5,  0. ])
    """
    names = ("logp", "logp_old", "advantage", "entropy", "value", "returns", "value_old")
    given = (logp, logp_old, advantage, entropy, value, returns, value_old)
    logp, logp_old, advantage, entropy = as_reals(*zip(given[:4], names[:4], strict=True), ndim=1)
    value, returns, value_old = (
        x if x is None else check_shape(as_real(x, name, dtype=logp.dtype), name, logp.shape)
        for x, name in zip(given[4:], names[4:], strict=True))
    stats = np.empty(len(STATS), logp.dtype)
    dlogp, dentropy = np.empty_like(logp), np.empty_like(logp)
    dvalue = None if value is None else np.empty_like(logp)
    _core.ppo(stats, dlogp, dvalue, dentropy, logp, logp_old, advantage, value, value_old, returns,
              entropy, clip, value_clip, value_coefficient, entropy_coefficient)
    return dict(zip(STATS, stats.tolist(), strict=True)), dlogp, dvalue, dentropy
