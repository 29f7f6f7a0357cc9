"""Distributions over actions, with one interface: what a policy network's logits mean.

A distribution holds no logits, so that one object serves every network and every thread. Rows are
independent; all leading axes are rows.
"""

from __future__ import annotations

import itertools
import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._convert import as_flags, as_index, as_real, as_rows, check_shape

# rankings that `PlackettLuce` enumerates: as many actions as 16 Bernoulli choices have
LARGEST_COUNT = 2**16


class Distribution(Protocol):
    """What an algorithm asks of a distribution.

    ``logits`` has shape (..., K) and dtype float32 or float64. `Bernoulli` actions have that shape,
    `Gaussian` actions that shape and dtype, `DiagonalGaussian` actions half of it, `Categorical`
    actions the shape of its rows, (...), which is also that of every result that has one number a
    row, and `PlackettLuce` actions (..., k).

    Where `has_entropy` is False, entropy and divergence have no closed form: `entropy`, `evaluate`,
    `kl` and a `dentropy` raise NotImplementedError.
    """

    has_entropy: bool = True

    def draw(self, logits: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Return actions and their log-probability, from one random number a choice."""

    def sample(self, logits: NDArray, rng: np.random.Generator) -> NDArray:
        """Return actions only."""

    def mode(self, logits: NDArray) -> NDArray:
        """Return the likeliest actions."""

    def log_prob(self, logits: NDArray, actions: NDArray) -> NDArray:
        """Return the log-probability of each row of actions."""

    def entropy(self, logits: NDArray) -> NDArray:
        """Return the entropy of each row in nats."""

    def evaluate(self, logits: NDArray, actions: NDArray) -> tuple[NDArray, NDArray]:
        """Return log-probability and entropy, in one pass."""

    def gradient(self, logits: NDArray, actions: NDArray, dlogp: NDArray | None,
                 dentropy: NDArray | None = None) -> NDArray:
        """Return the gradient of ``sum(dlogp * log_prob + dentropy * entropy)``; None is 0."""

    def kl(self, p_logits: NDArray, q_logits: NDArray) -> NDArray:
        """Return KL(p || q) of each row."""

    def kl_gradient(self, dkl: NDArray, p_logits: NDArray,
                    q_logits: NDArray) -> tuple[NDArray, NDArray]:
        """Return the gradients of ``sum(dkl * kl)`` with respect to both logits."""

    def enumerate(self, K: int) -> NDArray:
        """Return every action that K logits allow, one a row."""


class RelaxedDistribution(Distribution):
    """A distribution whose actions are zeros and ones, between which one may pass smoothly."""

    def weights(self, logits: NDArray, actions: NDArray) -> NDArray:
        """Return actions as numbers 0 and 1 of the shape and dtype of `logits`."""

    def mean(self, logits: NDArray) -> NDArray:
        """Return the mean of `weights`: the probability of each choice."""

    def mean_gradient(self, logits: NDArray, dmean: NDArray) -> NDArray:
        """Return the gradient of ``sum(dmean * mean)``."""

    def relax(self, logits: NDArray, temperature: float,
              rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Return sampled actions, and weights in [0, 1] that near theirs as temperature falls."""

    def relax_gradient(self, logits: NDArray, relaxed: NDArray, drelaxed: NDArray,
                       temperature: float) -> NDArray:
        """Return the gradient of ``sum(drelaxed * relaxed)``, the noise of `relax` held fixed."""


class Bernoulli(RelaxedDistribution):
    """A vector of independent 0-or-1 choices, such as which gates are open.

    Parameters
    ----------
    bound : float, default 0
        A choice is 1 with probability ``bound + (1 - 2 * bound) * sigmoid(logit)``: with a bound
        above 0 no choice is ever certain, and exploration does not die. In [0, 0.5).

    Raises
    ------
    ValueError
        If `bound` is out of range.

    Examples
    --------
    >>> d = Bernoulli(bound=0.05)
    >>> logits = np.array([[-20.0, 0.0, 20.0]])
    >>> np.exp(d.log_prob(logits, [[0, 1, 1]])).round(3)
    array([0.451])
    >>> d.mode(logits)
    array([[0, 1, 1]], dtype=uint8)
    >>> d.sample(logits, np.random.default_rng(0)).shape
    (1, 3)
    """

    def __init__(self, bound: float = 0.0):
        if not 0 <= bound < 0.5:
            raise ValueError(f"bound is {bound}, expected 0 <= bound < 0.5")
        self.bound = float(bound)

    def __repr__(self) -> str:
        return f"Bernoulli(bound={self.bound})"

    def draw(self, logits: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        logits = as_real(logits, "logits")
        return F.bernoulli_sample(logits, rng.random(logits.shape, logits.dtype), bound=self.bound)

    def sample(self, logits: NDArray, rng: np.random.Generator) -> NDArray:
        return self.draw(logits, rng)[0]

    def mode(self, logits: NDArray) -> NDArray:
        return (np.asarray(logits) >= 0).astype(np.uint8)

    def log_prob(self, logits: NDArray, actions: NDArray) -> NDArray:
        return F.bernoulli_log_prob(logits, actions, bound=self.bound)

    def entropy(self, logits: NDArray) -> NDArray:
        return F.bernoulli_entropy(logits, bound=self.bound)

    def evaluate(self, logits: NDArray, actions: NDArray) -> tuple[NDArray, NDArray]:
        logits = as_real(logits, "logits")
        rows = as_rows(logits, "logits")
        actions = check_shape(as_flags(actions, "actions"), "actions", logits.shape)
        logp, entropy = np.empty((2, len(rows)), rows.dtype)
        _core.bernoulli_forward(logp, entropy, rows, actions.reshape(rows.shape), self.bound)
        return logp.reshape(logits.shape[:-1]), entropy.reshape(logits.shape[:-1])

    def gradient(self, logits: NDArray, actions: NDArray, dlogp: NDArray | None,
                 dentropy: NDArray | None = None) -> NDArray:
        return F.bernoulli_backward(logits, actions, dlogp, dentropy, bound=self.bound)

    def kl(self, p_logits: NDArray, q_logits: NDArray) -> NDArray:
        return F.bernoulli_kl(p_logits, q_logits, bound=self.bound)

    def kl_gradient(self, dkl: NDArray, p_logits: NDArray,
                    q_logits: NDArray) -> tuple[NDArray, NDArray]:
        return F.bernoulli_kl_backward(dkl, p_logits, q_logits, bound=self.bound)

    def enumerate(self, K: int) -> NDArray:
        return np.array(list(itertools.product((0, 1), repeat=K)), np.uint8).reshape(2**K, K)

    def weights(self, logits: NDArray, actions: NDArray) -> NDArray:
        return np.asarray(actions, logits.dtype)

    def mean(self, logits: NDArray) -> NDArray:
        return F.sigmoid(logits) * (1 - 2 * self.bound) + self.bound

    def mean_gradient(self, logits: NDArray, dmean: NDArray) -> NDArray:
        return F.sigmoid_backward(dmean, F.sigmoid(logits)) * (1 - 2 * self.bound)

    def relax(self, logits: NDArray, temperature: float,
              rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        # an action is 1 where its log-odds exceed logistic noise; without a bound those are logits
        odds = logits
        if self.bound:
            p = self.mean(logits)
            odds = np.log(p) - np.log1p(-p)
        noisy = odds + rng.logistic(size=logits.shape).astype(logits.dtype)
        return self.mode(noisy), F.sigmoid(noisy / temperature)

    def relax_gradient(self, logits: NDArray, relaxed: NDArray, drelaxed: NDArray,
                       temperature: float) -> NDArray:
        # relaxed = sigmoid((odds(logits) + noise) / temperature)
        dodds = F.sigmoid_backward(drelaxed, relaxed) / temperature
        if not self.bound:
            return dodds
        p = self.mean(logits)
        return self.mean_gradient(logits, dodds / (p * (1 - p)))


class Categorical(RelaxedDistribution):
    """One choice of K, such as where to look next. A logit of ``-inf`` masks its choice.

    Examples
    --------
    >>> d = Categorical()
    >>> logits = np.array([[0.0, 1.0, -np.inf]])
    >>> np.exp(d.log_prob(logits, [1])).round(4)
    array([0.7311])
    >>> d.mode(logits), d.sample(logits, np.random.default_rng(0))
    (array([1]), array([1]))
    >>> d.enumerate(3)
    array([0, 1, 2])
    """

    def __repr__(self) -> str:
        return "Categorical()"

    def draw(self, logits: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        logits = as_real(logits, "logits")
        return F.categorical_sample(logits, rng.random(logits.shape[:-1], logits.dtype))

    def sample(self, logits: NDArray, rng: np.random.Generator) -> NDArray:
        return self.draw(logits, rng)[0]

    def mode(self, logits: NDArray) -> NDArray:
        return np.asarray(logits).argmax(-1)

    def log_prob(self, logits: NDArray, actions: NDArray) -> NDArray:
        return F.categorical_log_prob(logits, actions)

    def entropy(self, logits: NDArray) -> NDArray:
        return F.categorical_entropy(logits)

    def evaluate(self, logits: NDArray, actions: NDArray) -> tuple[NDArray, NDArray]:
        logits = as_real(logits, "logits")
        rows = as_rows(logits, "logits")
        actions = check_shape(as_index(actions, "actions"), "actions", logits.shape[:-1])
        logp, entropy = np.empty((2, len(rows)), rows.dtype)
        _core.categorical_forward(logp, entropy, rows, actions.reshape(-1))
        return logp.reshape(actions.shape), entropy.reshape(actions.shape)

    def gradient(self, logits: NDArray, actions: NDArray, dlogp: NDArray | None,
                 dentropy: NDArray | None = None) -> NDArray:
        return F.categorical_backward(logits, actions, dlogp, dentropy)

    def kl(self, p_logits: NDArray, q_logits: NDArray) -> NDArray:
        return F.categorical_kl(p_logits, q_logits)

    def kl_gradient(self, dkl: NDArray, p_logits: NDArray,
                    q_logits: NDArray) -> tuple[NDArray, NDArray]:
        return F.categorical_kl_backward(dkl, p_logits, q_logits)

    def enumerate(self, K: int) -> NDArray:
        return np.arange(K)

    def weights(self, logits: NDArray, actions: NDArray) -> NDArray:
        weights = np.zeros_like(logits)
        np.put_along_axis(weights, np.asarray(actions)[..., None], 1, -1)
        return weights

    def mean(self, logits: NDArray) -> NDArray:
        return F.softmax(logits)

    def mean_gradient(self, logits: NDArray, dmean: NDArray) -> NDArray:
        return F.softmax_backward(dmean, F.softmax(logits))

    def relax(self, logits: NDArray, temperature: float,
              rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        # the largest of logits plus Gumbel noise is a sample
        noisy = logits + rng.gumbel(size=logits.shape).astype(logits.dtype)
        return self.mode(noisy), F.softmax(noisy / temperature)

    def relax_gradient(self, logits: NDArray, relaxed: NDArray, drelaxed: NDArray,
                       temperature: float) -> NDArray:
        # relaxed = softmax((logits + noise) / temperature)
        return F.softmax_backward(drelaxed, relaxed) / temperature

class Gaussian(Distribution):
    """A vector of independent real numbers, such as the coordinates of a glimpse.

    The logits are their means; the deviation is fixed [1]_, so that the entropy is a constant and
    has no gradient. What `log_prob` gives is the logarithm of a density. A deviation
    that is learned: `DiagonalGaussian`.

    Parameters
    ----------
    std : float
        Deviation of every number, above 0.

    Raises
    ------
    ValueError
        If `std` is not above 0 and finite.

    References
    ----------
    .. [1] V. Mnih, N. Heess, A. Graves and K. Kavukcuoglu, "Recurrent Models of Visual Attention",
       NIPS 2014.

    Examples
    --------
    >>> d = Gaussian(std=0.5)
    >>> means = np.array([[0.0, 1.0]])
    >>> d.log_prob(means, [[0.0, 1.0]]).round(3), d.log_prob(means, [[0.5, 1.0]]).round(3)
    (array([-0.452]), array([-0.952]))
    >>> d.gradient(means, [[0.5, 1.0]], [1.0])
    array([[2., 0.]])
    >>> d.sample(means, np.random.default_rng(0)).shape
    (1, 2)
    """

    def __init__(self, std: float):
        if not 0 < std < math.inf:
            raise ValueError(f"std is {std}, expected above 0 and finite")
        self.std = std

    def __repr__(self) -> str:
        return f"Gaussian(std={self.std})"

    def draw(self, logits: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        logits = as_real(logits, "logits")
        return F.gaussian_sample(logits, rng.standard_normal(logits.shape, logits.dtype), self.std)

    def sample(self, logits: NDArray, rng: np.random.Generator) -> NDArray:
        return self.draw(logits, rng)[0]

    def mode(self, logits: NDArray) -> NDArray:
        return np.array(logits)

    def log_prob(self, logits: NDArray, actions: NDArray) -> NDArray:
        return F.gaussian_log_prob(logits, actions, self.std)

    def entropy(self, logits: NDArray) -> NDArray:
        return F.gaussian_entropy(logits, self.std)

    def evaluate(self, logits: NDArray, actions: NDArray) -> tuple[NDArray, NDArray]:
        return self.log_prob(logits, actions), self.entropy(logits)

    def gradient(self, logits: NDArray, actions: NDArray, dlogp: NDArray | None,
                 dentropy: NDArray | None = None) -> NDArray:
        if dlogp is None:
            return np.zeros_like(as_real(logits, "logits"))
        return F.gaussian_backward(logits, actions, dlogp, self.std)

    def kl(self, p_logits: NDArray, q_logits: NDArray) -> NDArray:
        return F.gaussian_kl(p_logits, q_logits, self.std)

    def kl_gradient(self, dkl: NDArray, p_logits: NDArray,
                    q_logits: NDArray) -> tuple[NDArray, NDArray]:
        return F.gaussian_kl_backward(dkl, p_logits, q_logits, self.std)

    def enumerate(self, K: int) -> NDArray:
        raise TypeError("Gaussian has no finite list of actions, expected Bernoulli or Categorical "
                        "where all are enumerated")


class PlackettLuce(Distribution):
    """A ranking of k out of K choices without replacement, such as which memories to keep.

    Each place goes to one of the choices that are left, with the softmax of their logits. A logit
    of ``-inf`` masks its choice. Actions have shape (..., k), best first. Entropy and divergence
    have no closed form, so learners report none, and an entropy bonus is refused.

    Parameters
    ----------
    k : int
        How many are ranked, at least 1.

    Raises
    ------
    ValueError
        If `k` is out of range; where logits are given, also if it exceeds K.

    Examples
    --------
    >>> d = PlackettLuce(2)
    >>> logits = np.array([[0.0, 2.0, 1.0]])
    >>> d.mode(logits)
    array([[1, 2]])
    >>> np.exp(d.log_prob(logits, [[1, 2]])).round(4)
    array([0.4863])
    >>> d.enumerate(3).tolist()
    [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]
    """

    has_entropy = False

    def __init__(self, k: int):
        if k < 1:
            raise ValueError(f"k is {k}, expected at least 1")
        self.k = k

    def __repr__(self) -> str:
        return f"PlackettLuce({self.k})"

    def draw(self, logits: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        logits = as_real(logits, "logits")
        return F.plackett_luce_sample(logits, rng.random(logits.shape, logits.dtype), self.k)

    def sample(self, logits: NDArray, rng: np.random.Generator) -> NDArray:
        return self.draw(logits, rng)[0]

    def mode(self, logits: NDArray) -> NDArray:
        logits = as_real(logits, "logits")
        self._check_enough(as_rows(logits, "logits").shape[1])
        return np.argsort(-logits, -1, kind="stable")[..., :self.k]

    def log_prob(self, logits: NDArray, actions: NDArray) -> NDArray:
        return F.plackett_luce_log_prob(logits, self._rankings(logits, actions))

    def entropy(self, logits: NDArray) -> NDArray:
        raise self._unknown("entropy")

    def evaluate(self, logits: NDArray, actions: NDArray) -> tuple[NDArray, NDArray]:
        raise self._unknown("entropy")

    def gradient(self, logits: NDArray, actions: NDArray, dlogp: NDArray | None,
                 dentropy: NDArray | None = None) -> NDArray:
        if dentropy is not None:
            raise self._unknown("entropy")
        if dlogp is None:
            return np.zeros_like(as_real(logits, "logits"))
        return F.plackett_luce_backward(logits, self._rankings(logits, actions), dlogp)

    def kl(self, p_logits: NDArray, q_logits: NDArray) -> NDArray:
        raise self._unknown("divergence")

    def kl_gradient(self, dkl: NDArray, p_logits: NDArray,
                    q_logits: NDArray) -> tuple[NDArray, NDArray]:
        raise self._unknown("divergence")

    def enumerate(self, K: int) -> NDArray:
        self._check_enough(K)
        count = math.perm(K, self.k)
        if count > LARGEST_COUNT:
            raise ValueError(f"{K} choices have {count} rankings of {self.k}, expected at most "
                             f"{LARGEST_COUNT}")
        return np.array(list(itertools.permutations(range(K), self.k)), np.int64)

    def _check_enough(self, K: int) -> None:
        if K < self.k:
            raise ValueError(f"K is {K}, expected at least k = {self.k}")

    def _rankings(self, logits: NDArray, actions: NDArray) -> NDArray:
        return check_shape(as_index(actions, "actions"), "actions",
                           (*np.shape(logits)[:-1], self.k))

    def _unknown(self, what: str) -> NotImplementedError:
        return NotImplementedError(f"the {what} of {self} has no closed form")
