"""What a reward is compared with before it weighs the log-probability of its action.

A baseline that does not depend on the action leaves the policy gradient unbiased and can take most
of its variance away. All have one interface, that of `Baseline`; names stand for those that have
neither parameters nor a state.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import nn
from gatelearn._convert import as_real, check_finite, check_shape
from gatelearn.functional import leave_one_out
from gatelearn.rl.learner import Learner


class Baseline:
    """No baseline, which is unbiased; also the base class of all others.

    Attributes
    ----------
    needs_greedy : bool
        Whether `advantages` needs `greedy`, at the cost of one more reward an input.
    """

    needs_greedy = False

    def advantages(self, rewards: NDArray, observations: NDArray | None = None,
                   greedy: NDArray | None = None) -> NDArray:
        """Return the rewards less the baseline; then learn from them, where there is a state.

        Parameters
        ----------
        rewards : ndarray, shape (S, B)
            Of S samples for each of B inputs.
        observations : ndarray, shape (B, ...), optional
            The inputs.
        greedy : ndarray, shape (B,), optional
            Rewards of the likeliest actions.

        Returns
        -------
        ndarray, shape (S, B)
        """
        return rewards

    def state(self) -> dict[str, Any]:
        """Return copies of all that `advantages` changes, for a checkpoint."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""


class BatchMean(Baseline):
    """The mean of all rewards of the batch. Biased, by a factor of 1 - 1 / (S * B)."""

    def advantages(self, rewards: NDArray, observations: NDArray | None = None,
                   greedy: NDArray | None = None) -> NDArray:
        return rewards - rewards.mean() if rewards.size else rewards


class LeaveOneOut(Baseline):
    """The mean reward of the other samples of the same input [1]_. Unbiased; S is at least 2.

    References
    ----------
    .. [1] W. Kool, H. van Hoof and M. Welling, "Buy 4 REINFORCE Samples, Get a Baseline for Free!",
       ICLR workshop on deep reinforcement learning meets structured prediction, 2019.
    """

    def advantages(self, rewards: NDArray, observations: NDArray | None = None,
                   greedy: NDArray | None = None) -> NDArray:
        return leave_one_out(rewards)


class SelfCritical(Baseline):
    """The reward of the likeliest action [1]_. Unbiased; costs one more reward an input.

    References
    ----------
    .. [1] S. J. Rennie et al., "Self-Critical Sequence Training for Image Captioning", CVPR 2017.
    """

    needs_greedy = True

    def advantages(self, rewards: NDArray, observations: NDArray | None = None,
                   greedy: NDArray | None = None) -> NDArray:
        if greedy is None:
            raise ValueError("greedy is None, expected the rewards of the likeliest actions")
        greedy = as_real(greedy, "greedy", dtype=rewards.dtype)
        return rewards - check_shape(greedy, "greedy", rewards.shape[1:])


class MovingAverage(Baseline):
    """A baseline that follows the mean reward: ``value += (1 - decay) * (mean - value)``.

    The first batch sets the average, so that no early advantage is judged against 0. Later ones
    are judged before the average moves, so that their own actions do not enter their baseline:
    from the second batch on it is unbiased.

    Parameters
    ----------
    decay : float, default 0.9
        In [0, 1).
    rows : int, optional
        With it, one average is kept for each of so many inputs, which every batch then holds in the
        same order. By default one average serves all.

    Attributes
    ----------
    value : float or ndarray, shape (rows,)
        The average; NaN before the first batch.

    Raises
    ------
    ValueError
        If `decay` is out of range.

    Examples
    --------
    >>> baseline = MovingAverage(decay=0.5)
    >>> baseline.advantages([1.0, 3.0])
    array([-1.,  1.])
    >>> baseline.advantages([4.0, 4.0]), baseline.value
    (array([2., 2.]), 3.0)
    """

    def __init__(self, decay: float = 0.9, rows: int | None = None):
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}, expected 0 <= decay < 1")
        self.decay, self.rows = decay, rows
        self.value: Any = float("nan") if rows is None else np.full(rows, np.nan)

    def advantages(self, rewards: ArrayLike, observations: NDArray | None = None,
                   greedy: NDArray | None = None) -> NDArray:
        """Return the rewards less the average, then move the average.

        Parameters
        ----------
        rewards : array_like
            Of any shape, or (S, rows).
        observations, greedy : ignored

        Returns
        -------
        ndarray

        Raises
        ------
        FloatingPointError
            If a reward is NaN or infinite; the average then stays.
        """
        r = check_finite(as_real(rewards, "rewards"), "rewards")
        if r.size == 0:
            return r
        if self.rows is None:
            mean = float(r.mean(dtype=np.float64))
        else:
            check_shape(r, "rewards", (len(r), self.rows))
            mean = r.mean(0, dtype=np.float64)
        if np.isnan(self.value).any():
            self.value = mean
        advantages = r - np.asarray(self.value, r.dtype)
        self.value = self.value + (1 - self.decay) * (mean - self.value)
        return advantages

    def state(self) -> dict[str, Any]:
        return {"value": np.array(self.value)}

    def load_state(self, state: dict[str, Any]) -> None:
        value = state["value"]
        self.value = float(value) if self.rows is None else np.array(value)


class LearnedBaseline(Baseline):
    """A network that predicts the reward from the observation, as [1]_ proposes.

    It learns by Adam on the mean squared error. A batch is judged before the network moves, so that
    its own actions do not enter its baseline: unbiased.

    Parameters
    ----------
    network : nn.Layer
        Observations (B, ...) to values (B, 1) or (B,), such as ``nn.Linear(inputs, 1)``. Built; its
        parameters are changed in place.
    lr : float, default 1e-2
    max_grad_norm : float, optional
        Longest gradient; None, the default, is no limit.

    Raises
    ------
    ValueError
        If the network was not built.

    References
    ----------
    .. [1] R. S. Sutton et al., "Policy Gradient Methods for Reinforcement Learning with Function
       Approximation", NIPS 1999.

    Examples
    --------
    >>> baseline = LearnedBaseline(nn.Linear(1, 1).build(seed=0), lr=0.1)
    >>> x = np.float32([[-1], [1]])
    >>> for _ in range(200):
    ...     advantages = baseline.advantages(np.float32([[3, 5]]), x)
    >>> bool(abs(advantages).max() < 0.01)
    True
    """

    def __init__(self, network: nn.Layer, lr: float = 1e-2, max_grad_norm: float | None = None):
        self.value = Learner(network)
        self.lr, self.max_grad_norm = lr, max_grad_norm

    def advantages(self, rewards: NDArray, observations: NDArray | None = None,
                   greedy: NDArray | None = None) -> NDArray:
        if observations is None:
            raise ValueError("observations is None, expected what the baseline's network reads")
        y, saved = self.value.network.forward(observations)
        advantages = rewards - y.reshape(rewards.shape[1:]).astype(rewards.dtype)
        # loss = mean((rewards - values)**2) / 2
        dvalue = -advantages.mean(0) / len(y)
        self.value.descend(dvalue.reshape(y.shape).astype(y.dtype), saved, self.lr,
                           self.max_grad_norm)
        return advantages

    def state(self) -> dict[str, Any]:
        return self.value.state("value")

    def load_state(self, state: dict[str, Any]) -> None:
        self.value.load_state("value", state)


BASELINES: dict[str, type[Baseline]] = {"none": Baseline, "mean": BatchMean, "loo": LeaveOneOut,
                                        "self-critical": SelfCritical}


def as_baseline(baseline: str | Baseline) -> Baseline:
    """Return the baseline that a name stands for, or the given one.

    Raises
    ------
    ValueError
        If there is no such name.
    """
    if not isinstance(baseline, str):
        return baseline
    if baseline not in BASELINES:
        raise ValueError(f"baseline is {baseline!r}, expected one of {tuple(BASELINES)}")
    return BASELINES[baseline]()
