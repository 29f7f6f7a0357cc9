"""Vectors of independent Bernoulli variables with bounded probabilities."""

import numpy as np


def _parts(logits, bound):
    """Probability and its log for 1, then for 0, and the slope of the former."""
    e = np.exp(-np.abs(logits))
    likely = (1 - bound + bound * e) / (1 + e), np.log1p(bound * (e - 1)) - np.log1p(e)
    rest = bound + (1 - bound) * e
    with np.errstate(divide="ignore"):
        log_rest = np.log(rest) if bound > 0 else -np.abs(logits)
    other = rest / (1 + e), log_rest - np.log1p(e)
    up = logits >= 0
    p1, log_p1 = (np.where(up, a, b) for a, b in zip(likely, other, strict=True))
    p0, log_p0 = (np.where(up, b, a) for a, b in zip(likely, other, strict=True))
    return p1, log_p1, p0, log_p0, (1 - 2 * bound) * e / (1 + e) ** 2


def _times(p, x):
    """p * x, and 0 where p is 0."""
    with np.errstate(invalid="ignore"):
        return np.where(p == 0, 0, p * x)


def bernoulli_sample(logits, uniforms, bound=0.0):
    p1, *_ = _parts(logits, bound)
    actions = (uniforms < p1).astype(np.uint8)
    return actions, bernoulli_log_prob(logits, actions, bound)


def bernoulli_log_prob(logits, actions, bound=0.0):
    _, log_p1, _, log_p0, _ = _parts(logits, bound)
    return np.where(actions, log_p1, log_p0).sum(-1)


def bernoulli_entropy(logits, bound=0.0):
    p1, log_p1, p0, log_p0, _ = _parts(logits, bound)
    return -(_times(p1, log_p1) + _times(p0, log_p0)).sum(-1)


def bernoulli_backward(logits, actions, dlogp, dentropy, bound=0.0):
    p1, log_p1, p0, log_p0, slope = _parts(logits, bound)
    if bound > 0:
        dlp = np.where(actions, slope / p1, -slope / p0)
    else:
        dlp = np.where(actions, p0, -p1)
    dh = -_times(slope, log_p1 - log_p0)
    return dlogp[..., None] * dlp + dentropy[..., None] * dh


def bernoulli_kl(logits_p, logits_q, bound=0.0):
    p1, log_p1, p0, log_p0, _ = _parts(logits_p, bound)
    _, log_q1, _, log_q0, _ = _parts(logits_q, bound)
    return (_times(p1, log_p1 - log_q1) + _times(p0, log_p0 - log_q0)).sum(-1)


def bernoulli_kl_backward(dkl, logits_p, logits_q, bound=0.0):
    p1, log_p1, p0, log_p0, slope_p = _parts(logits_p, bound)
    q1, log_q1, q0, log_q0, slope_q = _parts(logits_q, bound)
    dp = _times(slope_p, (log_p1 - log_q1) - (log_p0 - log_q0))
    dq = slope_q * (p0 / q0 - p1 / q1) if bound > 0 else p0 * q1 - p1 * q0
    return dkl[..., None] * dp, dkl[..., None] * dq
