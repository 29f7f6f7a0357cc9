"""Weight Sharing Attention: several models' embeddings, weighed in a context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_flags, as_real, as_reals, check_shape

NORMALISATIONS = ("softmax", "linear")


class CombinerParams(NamedTuple):
    """Parameters of `combine`, or their gradients; M models, D columns in all."""

    weight: NDArray
    """(D, C), of the adapters: the rows of each model's columns."""
    bias: NDArray
    """(M, C)."""
    norm_weight: NDArray | None
    """(M, C), of the adapters' layer norms; None where adapters are linear."""
    norm_bias: NDArray | None
    """(M, C)."""
    context_weight: NDArray
    """(C, S), what the scorer sees the context by."""
    model_weight: NDArray
    """(C, S), what it sees each model by."""
    hidden_bias: NDArray | None
    """(S,); None where the scorer is linear, S then is 1."""
    score_weight: NDArray | None
    """(S,); None as `hidden_bias`."""
    score_bias: NDArray
    """(1,)."""


class CombinerTrace(NamedTuple):
    """What `combine_backward` needs of the forward pass."""

    weights: NDArray
    """(B, M), the share of each model in the state."""
    scores: NDArray
    embeddings: NDArray
    before: NDArray | None
    mean: NDArray | None
    rstd: NDArray | None
    hidden: NDArray


def combine(features: ArrayLike, widths: Sequence[int], params: CombinerParams, *,
            context: int = 0, weigh_context: bool = False, normalisation: str = "softmax",
            present: ArrayLike | None = None, eps: float = 1e-5) -> tuple[NDArray, CombinerTrace]:
    """Weigh the embeddings of several models by a scorer that all of them share [1]_.

    With f_i what stands in the columns of model i and s that of the context,

    - ``e_i = ReLU(LayerNorm(f_i @ W_i + b_i))``, or ``f_i @ W_i + b_i`` without norm;
    - ``u_i = v . ReLU(e_s @ A + e_i @ B + b) + c``, or ``e_s @ a + e_i @ b + c`` where the scorer
      is linear;
    - ``w = softmax(u)``, or ``softplus(u)`` over its sum;
    - ``state = sum_i w_i e_i``.

    The context's share of the scorer is computed once a sample, and nothing is for a model that a
    sample does not have.

    Parameters
    ----------
    features : array_like, shape (B, D)
        Embeddings side by side. float32 and float64 are kept; integers become float64.
    widths : sequence of int
        How many columns each of the M models has.
    params : CombinerParams
        Of the dtype of `features`.
    context : int, default 0
        The model that gives the context. Where a sample does not have it, e_s is 0.
    weigh_context : bool, default False
        Whether the context is weighed as the other models are.
    normalisation : {'softmax', 'linear'}, default 'softmax'
        ``'linear'`` is ``softplus(u)`` over its sum. [1]_ has a rectifier in the place of softplus,
        which leaves no weights and no gradient where all scores are below 0. This is taken in
        logarithms: it has weights, equal ones for equal scores, and a gradient, for all scores.
    present : array_like of bool, shape (B, M), optional
        Which models a sample has. The columns of others are not read, and their weights are 0.
    eps : float, default 1e-5
        Of the layer norms.

    Returns
    -------
    state : ndarray, shape (B, C)
    trace : CombinerTrace
        ``trace.weights`` are the weights (B, M); `combine_backward` needs all of it.

    Raises
    ------
    TypeError
        If a dtype is not real, or `present` not of booleans.
    ValueError
        If a shape does not fit, `context` or `normalisation` is none, or a sample has no model to
        weigh. NaN in features is not an error: it makes a sample's state NaN.

    Notes
    -----
    Where the scorer is linear and the normalisation softmax, the context adds the same number to
    all scores of a sample and so changes nothing.

    References
    ----------
    .. [1] E. Piccoli, M. Li, G. Carfì, V. Lomonaco and D. Bacciu, "Combining Pre-Trained Models for
       Enhanced Feature Representation in Reinforcement Learning", arXiv:2507.07197, 2025.

    Examples
    --------
    Two models with linear adapters; the scorer prefers large embeddings:

    >>> one = np.ones((1, 1))
    >>> params = CombinerParams(np.ones((3, 1)), np.zeros((3, 1)), None, None, 0 * one, one, None,
    ...                         None, np.zeros(1))
    >>> state, trace = combine([[0.0, 2.0, 3.0]], [1, 1, 1], params)
    >>> trace.weights.round(3), state.round(3)
    (array([[0.   , 0.269, 0.731]]), array([[2.731]]))
    """
    features, columns, params, present = _checked(features, widths, params, context, present)
    _check_normalisation(normalisation)
    B, M, C = len(features), len(columns) - 1, params.weight.shape[1]
    S, dtype = params.model_weight.shape[1], features.dtype
    norm = params.norm_weight is not None
    trace = CombinerTrace(
        np.empty((B, M), dtype), np.empty((B, M), dtype), np.empty((M, B, C), dtype),
        np.empty((M, B, C), dtype) if norm else None, np.empty((M, B), dtype) if norm else None,
        np.empty((M, B), dtype) if norm else None, np.empty((M, B, S), dtype))
    state = np.empty((B, C), dtype)
    p = params
    _core.combine_forward(columns, present, context, weigh_context, normalisation == "linear", eps,
                          p.weight, p.norm_weight, p.context_weight, p.model_weight,
                          p.score_weight, features, *trace, p.bias, p.norm_bias, p.hidden_bias,
                          p.score_bias, state)
    return state, trace


def combine_backward(dstate: ArrayLike, features: ArrayLike, widths: Sequence[int],
                     params: CombinerParams, trace: CombinerTrace, *,
                     dweights: ArrayLike | None = None, context: int = 0,
                     weigh_context: bool = False, normalisation: str = "softmax",
                     present: ArrayLike | None = None, eps: float = 1e-5
                     ) -> tuple[NDArray, CombinerParams]:
    """Gradients of `combine`.

    Parameters
    ----------
    dstate : array_like, shape (B, C)
        Gradient with respect to the state.
    features, widths, params
        As in the forward pass.
    trace : CombinerTrace
        What the forward pass returned.
    dweights : array_like, shape (B, M), optional
        Gradient with respect to the weights, of an entropy bonus, say.
    context, weigh_context, normalisation, present, eps
        As in the forward pass.

    Returns
    -------
    dfeatures : ndarray, shape (B, D)
        0 in the columns of models that a sample does not have.
    dparams : CombinerParams

    Raises
    ------
    TypeError, ValueError
        As `combine`.

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> params = CombinerParams(np.ones((3, 1)), np.zeros((3, 1)), None, None, 0 * one, one, None,
    ...                         None, np.zeros(1))
    >>> features = [[0.0, 2.0, 2.0]]
    >>> state, trace = combine(features, [1, 1, 1], params)
    >>> combine_backward([[1.0]], features, [1, 1, 1], params, trace)[0]
    array([[0. , 0.5, 0.5]])
    """
    features, columns, p, present = _checked(features, widths, params, context, present)
    _check_normalisation(normalisation)
    dstate = check_shape(as_real(dstate, "dstate", dtype=features.dtype), "dstate",
                         (len(features), p.weight.shape[1]))
    if dweights is not None:
        dweights = check_shape(as_real(dweights, "dweights", dtype=features.dtype), "dweights",
                               (len(features), len(columns) - 1))
    dfeatures = np.empty_like(features)
    d = CombinerParams(*(None if a is None else np.zeros_like(a) for a in p))
    _core.combine_backward(columns, present, context, weigh_context, normalisation == "linear",
                           eps, p.weight, p.norm_weight, p.context_weight, p.model_weight,
                           p.score_weight, features, *trace, dstate, dweights, dfeatures, d.weight,
                           d.bias, d.norm_weight, d.norm_bias, d.context_weight, d.model_weight,
                           d.hidden_bias, d.score_weight, d.score_bias)
    return dfeatures, d


def _checked(features, widths, params, context, present):
    """Both arrays and the parameters, of one dtype; where the columns of each model begin."""
    given = [(a, name) for a, name in zip(params, params._fields, strict=True) if a is not None]
    features, *arrays = as_reals((features, "features"), *given)
    arrays = iter(arrays)
    params = CombinerParams(*(None if a is None else next(arrays) for a in params))
    if features.ndim != 2 or features.shape[1] != sum(widths):
        raise ValueError(f"features has shape {features.shape}, expected (B, {sum(widths)})")
    if not 0 <= context < len(widths):
        raise ValueError(f"context is {context}, expected 0 <= context < {len(widths)}")
    if present is not None:
        present = check_shape(as_flags(present, "present"), "present",
                              (len(features), len(widths)))
    return features, np.cumsum([0, *widths]), params, present


def _check_normalisation(normalisation):
    if normalisation not in NORMALISATIONS:
        raise ValueError(f"normalisation is {normalisation!r}, expected 'softmax' or 'linear'")
