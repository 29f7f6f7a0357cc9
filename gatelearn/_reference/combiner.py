"""Weight Sharing Attention, sample by sample: what a sample lacks is never looked at.

`param` holds the arrays of `gatelearn.functional.combine` by name.
"""

import numpy as np

from gatelearn._reference.norm import layer_norm, layer_norm_backward


def combine(features, widths, param, context, *, present=None, weigh_context=False,
            normalisation="softmax", eps=1e-5):
    """Return state (B, C) and weights (B, M)."""
    _, weights, state = run(features, widths, param, context, present, weigh_context,
                            normalisation, eps)
    return state, weights


def combine_backward(dstate, features, widths, param, context, *, present=None,
                     weigh_context=False, normalisation="softmax", eps=1e-5):
    """Return dfeatures and a dict with the gradient of each parameter."""
    e, weights, _ = run(features, widths, param, context, present, weigh_context, normalisation,
                        eps)
    de, dfeatures = np.zeros_like(e), np.zeros_like(features)
    grad = {name: np.zeros_like(value) for name, value in param.items()}
    for b in range(len(features)):
        s, weighed = e[b, context], np.flatnonzero(weights[b] > 0)

        # forward: state = sum_i w_i e_i, w = softmax(u) or that of log(softplus(u))
        dw = e[b] @ dstate[b]
        for i in weighed:
            de[b, i] += weights[b, i] * dstate[b]
            du = weights[b, i] * (dw[i] - weights[b] @ dw)
            if normalisation == "linear":
                du *= log_softplus_derivative(score(s, e[b, i], param))

            # forward: u = v . relu(s A + e B + a) + c, or v . [s, e] + c
            grad["score_bias"] += du
            if "hidden_weight" in param:
                A, B = param["hidden_weight"]
                h = hidden(s, e[b, i], param)
                grad["score_weight"] += du * h
                dh = np.where(h > 0, du * param["score_weight"], 0)
                grad["hidden_bias"] += dh
                grad["hidden_weight"] += np.outer(s, dh), np.outer(e[b, i], dh)
                de[b, context] += A @ dh
                de[b, i] += B @ dh
            else:
                grad["score_weight"] += du * np.concatenate([s, e[b, i]])
                ds, dscored = np.split(du * param["score_weight"], 2)
                de[b, context] += ds
                de[b, i] += dscored

    # forward: e = relu(layer_norm(f W + b)), or f W + b
    for i, columns in enumerate(slices(widths)):
        rows = slice(None) if present is None else np.flatnonzero(present[:, i])
        f, dz = features[rows, columns], de[rows, i]
        if "norm_weight" in param:
            z = f @ param["weight"][columns] + param["bias"][i]
            dz, grad["norm_weight"][i], grad["norm_bias"][i] = layer_norm_backward(
                np.where(e[rows, i] > 0, dz, 0), z, param["norm_weight"][i], eps)
        grad["weight"][columns], grad["bias"][i] = f.T @ dz, dz.sum(0)
        dfeatures[rows, columns] = dz @ param["weight"][columns].T
    return dfeatures, grad


def run(features, widths, param, context, present, weigh_context, normalisation, eps):
    """Return adapted embeddings (B, M, C), weights and state."""
    B, M, C = len(features), len(widths), param["weight"].shape[1]
    e, weights, state = np.zeros((B, M, C)), np.zeros((B, M)), np.zeros((B, C))
    for b in range(B):
        models = np.arange(M) if present is None else np.flatnonzero(present[b])
        for i in models:
            columns = slices(widths)[i]
            e[b, i] = features[b, columns] @ param["weight"][columns] + param["bias"][i]
            if "norm_weight" in param:
                e[b, i] = np.maximum(layer_norm(e[b, i], param["norm_weight"][i],
                                                param["norm_bias"][i], eps), 0)
        weighed = [i for i in models if weigh_context or i != context]
        u = np.array([score(e[b, context], e[b, i], param) for i in weighed])
        if normalisation == "linear":
            u = log_softplus(u)
        share = np.exp(u - u.max())
        weights[b, weighed] = share / share.sum()
        state[b] = weights[b] @ e[b]
    return e, weights, state


def slices(widths):
    """Return where the embedding of each model stands in a row of features."""
    ends = np.cumsum(widths)
    return [slice(end - width, end) for width, end in zip(widths, ends, strict=True)]


def score(s, e, param):
    if "hidden_weight" in param:
        inputs = hidden(s, e, param)
    else:
        inputs = np.concatenate([s, e])
    return inputs @ param["score_weight"] + param["score_bias"][0]


def hidden(s, e, param):
    A, B = param["hidden_weight"]
    return np.maximum(s @ A + e @ B + param["hidden_bias"], 0)


def log_softplus(u):
    # far below 0, softplus(u) is exp(u), which may be 0
    with np.errstate(divide="ignore"):
        return np.where(u < -30, u, np.log(np.logaddexp(0, u)))


def log_softplus_derivative(u):
    return 1.0 if u < -30 else 1 / (1 + np.exp(-u)) / np.logaddexp(0, u)
