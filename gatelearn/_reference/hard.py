"""Hard attention: each query draws one position and takes its value."""

import numpy as np

from gatelearn._reference import attention as soft
from gatelearn._reference import categorical


def _scores(query, key, scale, **options):
    """Scores (B, H, Tq, Tk), -inf where hidden, and the scale."""
    B, H, Tq, D = query.shape
    scale = 1 / np.sqrt(D) if scale is None else scale
    score = scale * (query @ key.swapaxes(-1, -2))
    return np.where(soft.visible(Tq, key.shape[2], B, H, **options), score, -np.inf), scale


def hard_attention_log_prob(query, key, actions, *, scale=None, **options):
    """Return log-probability, entropy and log-sum-exp."""
    score, _ = _scores(query, key, scale, **options)
    top = score.max(-1)
    lse = top + np.log(np.exp(score - top[..., None]).sum(-1))
    return (categorical.categorical_log_prob(score, actions),
            categorical.categorical_entropy(score), lse)


def hard_attention(query, key, value, uniforms, *, scale=None, **options):
    """Return output, actions, log-probability, entropy and log-sum-exp."""
    score, _ = _scores(query, key, scale, **options)
    actions, _ = categorical.categorical_sample(score, uniforms)
    out = np.take_along_axis(value, actions[..., None], 2)
    return out, actions, *hard_attention_log_prob(query, key, actions, scale=scale, **options)


def hard_attention_backward(dout, dlogp, dentropy, query, key, value, actions, *, scale=None,
                            **options):
    score, scale = _scores(query, key, scale, **options)
    ds = scale * categorical.categorical_backward(score, actions, dlogp, dentropy)
    dvalue = np.zeros_like(value)
    b, h, _ = np.indices(actions.shape)
    np.add.at(dvalue, (b, h, actions), dout)
    return ds @ key, ds.swapaxes(-1, -2) @ query, dvalue
