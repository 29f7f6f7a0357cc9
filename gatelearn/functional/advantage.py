"""What an action was worth compared with a baseline."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_flags, as_real, check_shape, out_array


def gae(rewards: ArrayLike, values: ArrayLike, last: ArrayLike | None = None, *,
        terminated: ArrayLike | None = None, truncated: ArrayLike | None = None,
        final: ArrayLike | None = None, gamma: float = 0.99,
        lam: float = 0.95) -> tuple[NDArray, NDArray]:
    """Generalised advantage estimates and the returns that they imply [1]_.

    From the last step to the first, ``adv[t] = delta[t] + gamma * lam * adv[t + 1]`` with
    ``delta[t] = rewards[t] + gamma * next[t] - values[t]``. ``next[t]`` is the value of what
    follows: ``values[t + 1]``, or `last` after the final step. An episode ends at t where
    ``terminated[t]`` or ``truncated[t]``, and nothing is carried over that border. A terminated
    episode is worth 0 afterwards. A truncated one was only stopped, so ``next[t]`` is the value of
    its final observation: ``final[t]``, or without `final` still ``values[t + 1]``, which is right
    for environments that show the final observation at step t + 1 (Gymnasium's ``NEXT_STEP``
    autoreset) and wrong for those that already show the first one of the next episode.

    Parameters
    ----------
    rewards : array_like, shape (T, N)
        Of N environments; or shape (T,) for one.
    values : array_like, shape (T, N) or (T + 1, N)
        Of the observation before each step; with T + 1 rows the last one is `last`.
    last : array_like, shape (N,), optional
        Value of the observation after the last step. Needed if and only if `values` has T rows.
    terminated, truncated : array_like of bool, shape (T, N), optional
        Where an episode ended by itself, and where it was stopped. Where both, it has terminated.
    final : array_like, shape (T, N), optional
        Value of the final observation; read only where truncated, elsewhere it may be anything.
    gamma : float, default 0.99
        Discount.
    lam : float, default 0.95
        0 is the temporal difference of one step, 1 the return less the value.

    Returns
    -------
    advantages, returns : ndarray, shape (T, N)
        ``returns`` is ``advantages + values``, the target of the value function.

    Raises
    ------
    ValueError
        If shapes do not match, or `last` is missing or given twice.

    References
    ----------
    .. [1] J. Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage
       Estimation", arXiv 1506.02438, 2015.

    Examples
    --------
    >>> adv, returns = gae([1.0, 1.0], [0.0, 0.0], 0.0, terminated=[False, True], gamma=0.5, lam=1)
    >>> adv, returns
    (array([1.5, 1. ]), array([1.5, 1. ]))
    """
    rewards = as_real(rewards, "rewards")
    values = as_real(values, "values", dtype=rewards.dtype)
    shape = rewards.shape
    if rewards.ndim not in (1, 2):
        raise ValueError(f"rewards has {rewards.ndim} dimensions, expected 1 or 2")
    if last is None:
        if values.shape != (shape[0] + 1, *shape[1:]):
            raise ValueError(f"values has shape {values.shape}, expected "
                             f"{(shape[0] + 1, *shape[1:])}, or {shape} with last")
        values, last = values[:-1], values[-1]
    check_shape(values, "values", shape)
    last = check_shape(as_real(last, "last", dtype=rewards.dtype), "last", shape[1:])
    if final is not None:
        final = check_shape(as_real(final, "final", dtype=rewards.dtype), "final", shape)
    flags = [x if x is None else check_shape(as_flags(x, name), name, shape)
             for x, name in ((terminated, "terminated"), (truncated, "truncated"))]

    grid = shape if rewards.ndim == 2 else (*shape, 1)
    advantages, returns = np.empty(grid, rewards.dtype), np.empty(grid, rewards.dtype)
    optional = [x if x is None else x.reshape(grid) for x in (final, *flags)]
    _core.gae(advantages, returns, rewards.reshape(grid), values.reshape(grid), last.reshape(-1),
              *optional, gamma, lam)
    return advantages.reshape(shape), returns.reshape(shape)


def leave_one_out(rewards: ArrayLike, *, out: NDArray | None = None) -> NDArray:
    """Each of S rewards less the mean of the others [1]_.

    Each sample's baseline is independent of its own action, so that the policy gradient stays
    unbiased. Where all rewards of a column are equal the advantages are exactly 0.

    Parameters
    ----------
    rewards : array_like, shape (S, ...)
        Of S >= 2 samples for each input.
    out : ndarray, shape (S, ...), optional
        Where to write. May be `rewards` itself.

    Returns
    -------
    ndarray, shape (S, ...)
        `out`, or a new array.

    Raises
    ------
    ValueError
        If S is less than 2.

    References
    ----------
    .. [1] W. Kool, H. van Hoof and M. Welling, "Buy 4 REINFORCE Samples, Get a Baseline for
       Free!", ICLR workshop, 2019.

    Examples
    --------
    >>> leave_one_out([[1.0, 2.0], [3.0, 2.0]])
    array([[-2.,  0.],
           [ 2.,  0.]])
    """
    rewards = as_real(rewards, "rewards")
    if rewards.ndim == 0 or len(rewards) < 2:
        raise ValueError(f"rewards has shape {rewards.shape}, expected at least 2 samples on its "
                         "first axis")
    out = out_array(out, rewards.shape, rewards.dtype)
    grid = (len(rewards), rewards.size // len(rewards))
    _core.leave_one_out(out.reshape(grid), rewards.reshape(grid))
    return out
