"""What each estimator is worth on a problem: bias, variance and cost against the exact gradient."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn.rl.baselines import MovingAverage
from gatelearn.rl.distributions import Distribution
from gatelearn.rl.estimators.base import Estimator, as_logits
from gatelearn.rl.estimators.enumeration import Exact
from gatelearn.rl.estimators.gumbel_softmax import GumbelSoftmax
from gatelearn.rl.estimators.half_soft import HalfSoft
from gatelearn.rl.estimators.rewards import Reward
from gatelearn.rl.estimators.score_function import ScoreFunction
from gatelearn.rl.estimators.straight_through import StraightThrough

WARM_UP = 50


@dataclass(frozen=True)
class EstimatorReport:
    """What `estimator_report` measured.

    Attributes
    ----------
    rows : list of dict
        One an estimator, in the order given. With g an estimate of all rows together and G the
        exact gradient: 'estimator', its name; 'bias', ``|mean(g) - G| / |G|``, and the interval in
        which its limit over repeats lies, 'bias_lo' to 'bias_hi' (at least 99.9%; a lower end
        above 0 shows a bias); 'variance', the trace of g's covariance; 'mse', the mean of
        ``|g - G|**2``; 'cosine', the mean cosine between g and G, where a g of 0 counts 0;
        'evaluations', rewards asked for, an input; 'ms', the median time of an estimate.
    samples, repeats : int
    """

    rows: list[dict[str, Any]]
    samples: int
    repeats: int

    @property
    def table(self) -> Any:
        """`gatelearn.runs.Table` : the rows."""
        # here, not above: tables and figures come after `rl` in the order of imports
        from gatelearn.runs import Table
        return Table(self.rows)

    def plot(self) -> Any:
        """Draw variance against cost; see `gatelearn.plots.estimators`."""
        from gatelearn import plots
        return plots.estimators(self)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __str__(self) -> str:
        return str(self.table)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def estimator_report(logits: ArrayLike, reward: Reward, distribution: Distribution, *,
                     estimators: Mapping[str, Estimator] | None = None, samples: int = 4,
                     repeats: int = 1000, seed: int = 0,
                     observations: NDArray | None = None) -> EstimatorReport:
    """Compare estimators of a policy gradient with the exact one.

    Each estimator is called 50 times before it is measured, so that moving averages have settled.
    All start from the same seed: those that draw alike see the same samples.

    Parameters
    ----------
    logits : array_like, shape (B, K)
        Small enough for `Exact`.
    reward : Reward
        Estimators that differentiate it are among the default ones if it has ``relaxed``, as a
        `RelaxedReward` has.
    distribution : Distribution
    estimators : dict of str to Estimator, optional
        By the names that table and figure show. Baselines with a state learn on. By default all
        that fit.
    samples : int, default 4
        S, for each row.
    repeats : int, default 1000
        Estimates measured, at least 2.
    seed : int, default 0
    observations : ndarray, shape (B, ...), optional
        For a `LearnedBaseline`.

    Returns
    -------
    EstimatorReport

    Raises
    ------
    ValueError
        If `repeats` is less than 2, the exact gradient is 0 but for rounding, or the
        problem too large for `Exact`.

    Examples
    --------
    >>> from gatelearn.rl import Bernoulli
    >>> rng = np.random.default_rng(0)
    >>> report = estimator_report(rng.standard_normal((2, 3)), lambda a: 3 + a.prod(-1),
    ...                           Bernoulli(), repeats=100)
    >>> report.table["estimator"][:2]
    ['no baseline', 'moving average']
    >>> cost = dict(zip(report.table["estimator"], report.table["evaluations"]))
    >>> cost["leave-one-out"], cost["self-critical"], cost["exact"]
    (4.0, 5.0, 8.0)
    """
    if repeats < 2:
        raise ValueError(f"repeats is {repeats}, expected at least 2")
    logits = as_logits(logits)
    exact = Exact().gradient(logits.astype(np.float64), distribution, reward, None, 1).ravel()
    norm = np.linalg.norm(exact)
    if norm < 1e-12:
        raise ValueError(f"the exact gradient has norm {norm:.2g}, which is rounding: nothing to "
                         "compare with")
    if estimators is None:
        estimators = _fitting(reward, samples, len(logits))

    rows = []
    for name, estimator in estimators.items():
        counted, rng = _Counted(reward, len(logits)), np.random.default_rng(seed)
        estimate = partial(estimator.gradient, logits, distribution, counted, rng, samples,
                           observations=observations)
        for _ in range(WARM_UP):
            estimate()
        counted.evaluations = 0.0
        estimates, seconds = np.empty((repeats, logits.size)), np.empty(repeats)
        for i in range(repeats):
            start = time.perf_counter()
            gradient = estimate()
            seconds[i] = time.perf_counter() - start
            estimates[i] = gradient.ravel()
        rows.append({"estimator": name,
                     **_statistics(estimates, exact, float(np.finfo(logits.dtype).eps)),
                     "evaluations": counted.evaluations / repeats,
                     "ms": 1e3 * float(np.median(seconds))})
    return EstimatorReport(rows, samples, repeats)


def _fitting(reward: Reward, samples: int, B: int) -> dict[str, Estimator]:
    """Return fresh estimators of all kinds that the reward and the number of samples allow."""
    estimators: dict[str, Estimator] = {
        "no baseline": ScoreFunction("none"),
        "moving average": ScoreFunction(MovingAverage()),
        "moving average by row": ScoreFunction(MovingAverage(rows=B)),
        "self-critical": ScoreFunction("self-critical"),
    }
    if samples > 1:
        estimators["leave-one-out"] = ScoreFunction("loo")
    if hasattr(reward, "relaxed"):
        estimators |= {
            "half soft": HalfSoft(),
            "straight-through": StraightThrough(),
            "Gumbel-softmax": GumbelSoftmax(),
            "hard Gumbel-softmax": GumbelSoftmax(hard=True),
        }
    return estimators | {"exact": Exact()}


class _Counted:
    """A reward that counts what is asked of it, for each of B inputs."""

    def __init__(self, reward: Any, B: int):
        self.reward, self.B, self.evaluations = reward, B, 0.0
        if hasattr(reward, "relaxed"):
            self.relaxed = self._relaxed

    def __call__(self, actions: NDArray) -> ArrayLike:
        rewards = self.reward(actions)
        self.evaluations += np.size(rewards) / self.B
        return rewards

    def _relaxed(self, weights: NDArray) -> tuple[ArrayLike, ArrayLike]:
        rewards, dweights = self.reward.relaxed(weights)
        self.evaluations += np.size(rewards) / self.B
        return rewards, dweights


def _statistics(estimates: NDArray, exact: NDArray, eps: float) -> dict[str, float]:
    """Return bias, variance, error and direction of estimates (R, N) of the gradient (N,)."""
    R, N = estimates.shape
    norm = float(np.linalg.norm(exact))
    # from the first one, so that equal estimates have exactly no variance
    centred = estimates - estimates[0]
    shift = centred.mean(0)
    mean, centred = estimates[0] + shift, centred - shift
    variance = float(np.square(centred).sum()) / (R - 1)
    # the trace of the squared covariance; of X'X and XX', which have the same, the smaller
    gram = centred.T @ centred if N < R else centred @ centred.T
    squared = float(np.square(gram / (R - 1)).sum())

    # |mean - its expectation|**2 is a weighted sum of chi-squares: its mean and seven deviations
    # hold 99.9%; what rounding does is no bias
    radius = math.sqrt((variance + 7 * math.sqrt(2 * squared)) / R) + 16 * eps * norm
    bias = float(np.linalg.norm(mean - exact))
    norms = np.linalg.norm(estimates, axis=1)
    cosines = np.divide(estimates @ exact, norms * norm, out=np.zeros(R), where=norms > 0)
    return {"bias": bias / norm, "bias_lo": max(bias - radius, 0.0) / norm,
            "bias_hi": (bias + radius) / norm, "variance": variance,
            "mse": float(np.square(estimates - exact).sum(1).mean()),
            "cosine": float(cosines.mean())}
