"""Real-valued actions whose deviation is learned, as for continuous control."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gatelearn import nn
from gatelearn._convert import as_real, check_shape
from gatelearn.rl.distributions import Distribution


class DiagonalGaussian(Distribution):
    """A vector of K independent real numbers, with means and deviations from the logits.

    The first K of 2 K logits are the means, the others the logarithms of the deviations. Where
    these are to be learned but not to depend on the state, as [1]_ has them, the policy network
    ends with `LogStd`. For a deviation that is fixed see `Gaussian`.

    References
    ----------
    .. [1] J. Schulman et al., "Proximal Policy Optimization Algorithms", arXiv 1707.06347, 2017.

    Examples
    --------
    >>> d = DiagonalGaussian()
    >>> logits = np.array([[0.0, 1.0, np.log(0.5), 0.0]])
    >>> d.log_prob(logits, np.array([[0.5, 1.0]])).round(3), d.entropy(logits).round(3)
    (array([-1.645]), array([2.145]))
    >>> d.gradient(logits, np.array([[0.5, 1.0]]), np.array([1.0]))
    array([[ 2.,  0.,  0., -1.]])
    """

    def __repr__(self) -> str:
        return "DiagonalGaussian()"

    def draw(self, logits: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        actions = self.sample(logits, rng)
        return actions, self.log_prob(logits, actions)

    def sample(self, logits: NDArray, rng: np.random.Generator) -> NDArray:
        mean, log_std = self._split(logits)
        return mean + np.exp(log_std) * rng.standard_normal(mean.shape, mean.dtype)

    def mode(self, logits: NDArray) -> NDArray:
        return self._split(logits)[0].copy()

    def log_prob(self, logits: NDArray, actions: NDArray) -> NDArray:
        z, log_std = self._standard(logits, actions)
        return -(z * z / 2 + log_std + math.log(2 * math.pi) / 2).sum(-1)

    def entropy(self, logits: NDArray) -> NDArray:
        return (self._split(logits)[1] + (math.log(2 * math.pi) + 1) / 2).sum(-1)

    def evaluate(self, logits: NDArray, actions: NDArray) -> tuple[NDArray, NDArray]:
        return self.log_prob(logits, actions), self.entropy(logits)

    def gradient(self, logits: NDArray, actions: NDArray, dlogp: NDArray | None,
                 dentropy: NDArray | None = None) -> NDArray:
        mean, log_std = self._split(logits)
        dmean, dlog_std = np.zeros_like(mean), np.zeros_like(mean)
        if dlogp is not None:
            # log_prob = -z^2 / 2 - log_std - constant, with z = (action - mean) / std
            z, _ = self._standard(logits, actions)
            weight = self._weight(dlogp, "dlogp", mean)
            dmean += weight * z * np.exp(-log_std)
            dlog_std += weight * (z * z - 1)
        if dentropy is not None:
            dlog_std += self._weight(dentropy, "dentropy", mean)
        return np.concatenate([dmean, dlog_std], -1)

    def kl(self, p_logits: NDArray, q_logits: NDArray) -> NDArray:
        step, log_ratio, _ = self._compare(p_logits, q_logits)
        # of the variances r: (r - 1 - log r) / 2, by expm1 since r is near 1 where it matters
        return ((np.expm1(2 * log_ratio) - 2 * log_ratio + step * step) / 2).sum(-1)

    def kl_gradient(self, dkl: NDArray, p_logits: NDArray,
                    q_logits: NDArray) -> tuple[NDArray, NDArray]:
        step, log_ratio, q_std = self._compare(p_logits, q_logits)
        weight = self._weight(dkl, "dkl", step)
        # kl = (expm1(2 l) - 2 l + step^2) / 2, with l = log p_std - log q_std
        dmean, dlog_std = weight * step / q_std, weight * np.expm1(2 * log_ratio)
        return (np.concatenate([dmean, dlog_std], -1),
                np.concatenate([-dmean, -dlog_std - weight * step * step], -1))

    def enumerate(self, K: int) -> NDArray:
        raise TypeError("DiagonalGaussian has no finite list of actions, expected Bernoulli or "
                        "Categorical where all are enumerated")

    def _split(self, logits: NDArray, name: str = "logits") -> tuple[NDArray, NDArray]:
        """Return means and logarithms of deviations."""
        logits = as_real(logits, name)
        if logits.ndim == 0 or logits.shape[-1] % 2:
            raise ValueError(f"{name} has shape {logits.shape}, expected (..., 2 K): means, then "
                             "logarithms of deviations")
        K = logits.shape[-1] // 2
        return logits[..., :K], logits[..., K:]

    def _standard(self, logits: NDArray, actions: NDArray) -> tuple[NDArray, NDArray]:
        """Return actions in deviations from their means, and logarithms of deviations."""
        mean, log_std = self._split(logits)
        actions = check_shape(as_real(actions, "actions", dtype=mean.dtype), "actions", mean.shape)
        return (actions - mean) * np.exp(-log_std), log_std

    def _compare(self, p_logits: NDArray, q_logits: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Return what both divergences are made of: in units of q, and q's deviation."""
        p_mean, p_log_std = self._split(p_logits, "p_logits")
        q_mean, q_log_std = self._split(q_logits, "q_logits")
        check_shape(q_mean, "half of q_logits", p_mean.shape)
        q_std = np.exp(q_log_std)
        return (p_mean - q_mean) / q_std, p_log_std - q_log_std, q_std

    def _weight(self, weight: NDArray, name: str, rows: NDArray) -> NDArray:
        weight = as_real(weight, name, dtype=rows.dtype)
        return check_shape(weight, name, rows.shape[:-1])[..., None]


class LogStd(nn.Layer):
    """Appends learned numbers, the same for every row: the log-deviations of `DiagonalGaussian`.

    Parameters
    ----------
    width : int
        K, of the input (B, K) and of what is appended.
    initial : float, default 0
        Logarithm of every deviation at first.

    Examples
    --------
    >>> policy = nn.Sequential(nn.Linear(3, 2), LogStd(2, initial=-1)).build(seed=0)
    >>> y, saved = policy.forward(np.ones((5, 3), np.float32))
    >>> y.shape, y[0, 2:], policy.backward(y, saved).shape
    ((5, 4), array([-1., -1.], dtype=float32), (5, 3))
    """

    def __init__(self, width: int, initial: float = 0.0):
        self.width, self.initial = width, initial

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"log_std": (self.width,)}

    def initialise(self, rng: np.random.Generator) -> None:
        self.param["log_std"][...] = self.initial

    def forward(self, x: NDArray) -> tuple[NDArray, None]:
        check_shape(x, "x", (len(x), self.width))
        log_std = np.broadcast_to(self.param["log_std"], x.shape)
        return np.concatenate([x, log_std], 1), None

    def backward(self, dy: NDArray, saved: None) -> NDArray:
        self.grad["log_std"][...] += dy[:, self.width:].sum(0)
        return dy[:, :self.width].copy()
