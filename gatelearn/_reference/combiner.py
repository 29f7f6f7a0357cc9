"""Weight Sharing Attention: the embeddings of several models, weighed in a context."""

import numpy as np


def combine(features, widths, params, *, context=0, weigh_context=False, linear=False,
            present=None, eps=1e-5):
    """Return the state (B, C) and the weights (B, M)."""
    B, M = len(features), len(widths)
    present = np.ones((B, M), bool) if present is None else np.asarray(present, bool)
    ends = np.cumsum([0, *widths])
    e = []
    for i in range(M):
        has = present[:, i, None]
        x = np.where(has, features[:, ends[i]:ends[i + 1]], 0)
        z = x @ params.weight[ends[i]:ends[i + 1]] + params.bias[i]
        if params.norm_weight is not None:
            z = (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + eps)
            z = np.maximum(z * params.norm_weight[i] + params.norm_bias[i], 0)
        e.append(np.where(has, z, 0))

    u = np.full((B, M), -np.inf)
    for i in range(M):
        h = e[context] @ params.context_weight + e[i] @ params.model_weight
        if params.score_weight is None:
            score = h[:, 0] + params.score_bias
        else:
            score = np.maximum(h + params.hidden_bias, 0) @ params.score_weight + params.score_bias
        # softmax of the logarithm of softplus: softplus / sum of softplus
        if linear:
            score = np.log(np.logaddexp(0, score))
        if i != context or weigh_context:
            u[:, i] = np.where(present[:, i], score, -np.inf)
    w = np.exp(u - u.max(1, keepdims=True))
    w /= w.sum(1, keepdims=True)
    return sum(w[:, i, None] * e[i] for i in range(M)), w
