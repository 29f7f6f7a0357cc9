"""One choice of K a row; a logit of -inf masks its choice."""

import numpy as np


def _log_softmax(logits):
    x = logits - logits.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def _times(p, x):
    """p * x, and 0 where p is 0."""
    return np.where(p == 0, 0, p * np.where(p == 0, 0, x))


def _log_ratio(logp, logq):
    """log(p / q), and 0 where p is 0."""
    return np.subtract(logp, logq, out=np.zeros_like(logp), where=np.exp(logp) > 0)


def categorical_sample(logits, uniforms):
    p = np.exp(_log_softmax(logits))
    below = np.cumsum(p, -1)
    actions = (uniforms[..., None] * below[..., -1:] >= below).sum(-1)
    return actions, categorical_log_prob(logits, actions)


def categorical_log_prob(logits, actions):
    return np.take_along_axis(_log_softmax(logits), actions[..., None], -1)[..., 0]


def categorical_entropy(logits):
    logp = _log_softmax(logits)
    return -_times(np.exp(logp), logp).sum(-1)


def categorical_backward(logits, actions, dlogp, dentropy):
    logp = _log_softmax(logits)
    p = np.exp(logp)
    chosen = np.arange(logits.shape[-1]) == actions[..., None]
    dh = -_times(p, logp + categorical_entropy(logits)[..., None])
    return dlogp[..., None] * (chosen - p) + dentropy[..., None] * dh


def categorical_kl(logits_p, logits_q):
    logp, logq = _log_softmax(logits_p), _log_softmax(logits_q)
    return _times(np.exp(logp), _log_ratio(logp, logq)).sum(-1)


def categorical_kl_backward(dkl, logits_p, logits_q):
    logp, logq = _log_softmax(logits_p), _log_softmax(logits_q)
    p, q = np.exp(logp), np.exp(logq)
    dp = _times(p, _log_ratio(logp, logq) - categorical_kl(logits_p, logits_q)[..., None])
    return dkl[..., None] * dp, dkl[..., None] * (q - p)
