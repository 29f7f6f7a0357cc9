"""Rankings of k out of K choices a row, drawn without replacement; -inf masks a choice."""

import numpy as np


def _places(logits, rankings):
    """For each place, first to last: what is ranked there, and log-probabilities of all choices."""
    left = logits.copy()
    for i in range(rankings.shape[-1]):
        ranked = rankings[..., i:i + 1]
        top = np.maximum(left.max(-1, keepdims=True), np.finfo(left.dtype).min)
        with np.errstate(divide="ignore", invalid="ignore"):
            logp = left - top - np.log(np.exp(left - top).sum(-1, keepdims=True))
        yield ranked, np.where(left == -np.inf, -np.inf, logp)
        np.put_along_axis(left, ranked, -np.inf, -1)


def plackett_luce_sample(logits, uniforms, k):
    gumbel = -np.log(-np.log(np.maximum(uniforms, np.finfo(uniforms.dtype).tiny)))
    scores = logits - logits.max(-1, keepdims=True) + gumbel
    rankings = np.argsort(-scores, -1, kind="stable")[..., :k]
    return rankings, plackett_luce_log_prob(logits, rankings)


def plackett_luce_log_prob(logits, rankings):
    return sum(np.take_along_axis(logp, ranked, -1)[..., 0]
               for ranked, logp in _places(logits, rankings))


def plackett_luce_backward(logits, rankings, dlogp):
    choices = np.arange(logits.shape[-1])
    return dlogp[..., None] * sum((choices == ranked) - np.exp(logp)
                                  for ranked, logp in _places(logits, rankings))
