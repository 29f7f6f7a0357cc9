"""Weight Sharing Attention: the embeddings of several models, combined in one state."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_flags, as_index, as_real, out_array

NORMALISATIONS = ("softmax", "linear")


class CombinerParameters(NamedTuple):
    """Parameters of `combine`, or their gradients.

    The pairs ``norm_*`` and ``hidden_*`` may be None: adapters are then linear, and the scorer has
    no hidden layer.
    """

    weight: ArrayLike
    """(D, C): those of the adapters, one below the other."""
    bias: ArrayLike
    """(M, C)"""
    norm_weight: ArrayLike | None
    """(M, C)"""
    norm_bias: ArrayLike | None
    """(M, C)"""
    hidden_weight: ArrayLike | None
    """(2, C, S): of the context, of a model."""
    hidden_bias: ArrayLike | None
    """(S,)"""
    score_weight: ArrayLike
    """(S,), or without a hidden layer (2C,): of the context, of a model."""
    score_bias: ArrayLike
    """(1,)"""


def saved_width(models: int, parameters: CombinerParameters) -> int:
    """Return the values a sample that the backward pass needs, as csrc/core/combiner.h says."""
    C = np.shape(parameters.weight)[1]
    S = 0 if parameters.hidden_bias is None else len(np.asarray(parameters.hidden_bias))
    return models * (C + S + 1) + (0 if parameters.norm_weight is None else models * (C + 2))


def _arguments(features, widths, parameters, context, present, weigh_context, normalisation, eps):
    """Features, parameters and all arguments in the order of the core."""
    features = as_real(features, "features", ndim=2)
    if normalisation not in NORMALISATIONS:
        raise ValueError(f"normalisation is {normalisation!r}, expected 'softmax' or 'linear'")
    parameters = CombinerParameters(*(
        None if value is None else as_real(value, name, dtype=features.dtype)
        for name, value in parameters._asdict().items()))
    if parameters.weight.ndim != 2:
        raise ValueError(f"weight has {parameters.weight.ndim} dimensions, expected 2")
    widths = as_index(widths, "widths", ndim=1)
    if present is not None:
        present = as_flags(present, "present")
    return features, parameters, (features, widths, present, *parameters, int(context),
                                  bool(weigh_context), normalisation == "linear", float(eps))


def combine(features: ArrayLike, widths: ArrayLike, parameters: CombinerParameters, context: int,
            *, present: ArrayLike | None = None, weigh_context: bool = False,
            normalisation: str = "softmax", eps: float = 1e-5, return_saved: bool = False,
            out: NDArray | None = None) -> tuple[NDArray, ...]:
    r"""Weight Sharing Attention [1]_: a sum of embeddings, weighed in a context.

    .. math::

        e_i &= \mathrm{ReLU}(\mathrm{LayerNorm}(f_i W_i + b_i)) \\
        u_i &= v \cdot \mathrm{ReLU}(e_s A + e_i B + a) + c \\
        w_i &= g(u_i) / \textstyle\sum_j g(u_j) \\
        \mathrm{state} &= \textstyle\sum_i w_i e_i

    for the embeddings :math:`f_i` of several models, of which :math:`s` gives the context. One
    scorer serves all of them, so that there may be any number. Without the pair ``norm_*``,
    :math:`e_i = f_i W_i + b_i`; without ``hidden_*``, :math:`u_i = v \cdot [e_s, e_i] + c`.

    Parameters
    ----------
    features : array_like, shape (B, D)
        Embeddings of all models side by side. float32 and float64 are kept; integers become
        float64.
    widths : array_like of int, shape (M,)
        Width of each model's embedding; their sum is D.
    parameters : CombinerParameters
        Converted to the dtype of `features`.
    context : int
        Index of the model that gives the context.
    present : array_like of bool, shape (B, M), optional
        Which models a sample has; all by default. What it lacks is neither read nor computed.
    weigh_context : bool, default False
        Whether the context is one of the models that are weighed.
    normalisation : {'softmax', 'linear'}, default 'softmax'
        :math:`g` is exp or softplus.
    eps : float, default 1e-5
        Of the layer norm.
    return_saved : bool, default False
        Also return what `combine_backward` needs.
    out : ndarray, shape (B, C), optional
        Where to write the state.

    Returns
    -------
    state : ndarray, shape (B, C)
    weights : ndarray, shape (B, M)
        0 where a model is not weighed.
    saved : ndarray
        Only with `return_saved`.

    Raises
    ------
    TypeError
        If a dtype is not real, `widths` are no integers or `present` no flags.
    ValueError
        If shapes do not match, or a sample lacks the context or all that could be weighed: the
        message names the lowest such row.

    Notes
    -----
    The published :math:`g` of the linear normalisation is ReLU, without a gradient where no score
    is positive; softplus always has one. It is computed from logarithms, so that weights are exact
    for scores of any size, and equal for equal scores.

    With softmax and no hidden layer the context adds the same to all scores of a sample, which
    cancels: the weights do not depend on it.

    NaN in features reaches the state and weights of its sample and no other.

    References
    ----------
    .. [1] E. Piccoli, M. Li, G. Carfì, V. Lomonaco and D. Bacciu, "Combining Pre-Trained Models for
       Enhanced Feature Representation in Reinforcement Learning", arXiv:2507.07197, 2025.

    Examples
    --------
    Three models of widths 1, 1 and 2; the first is the context, and the scorer looks at the first
    number of an adapted embedding:

    >>> import numpy as np
    >>> p = CombinerParameters(np.eye(4)[:, :2], np.zeros((3, 2)), None, None, None, None,
    ...                        [0, 0, 1, 0], [0.0])
    >>> state, weights = combine([[5.0, 3.0, 1.0, 1.0]], [1, 1, 2], p, context=0)
    >>> weights
    array([[0. , 0.5, 0.5]])
    """
    features, parameters, arguments = _arguments(features, widths, parameters, context, present,
                                                 weigh_context, normalisation, eps)
    B, M = len(features), len(arguments[1])
    state = out_array(out, (B, parameters.weight.shape[1]), features.dtype)
    weights = np.empty((B, M), features.dtype)
    saved = np.empty((B, saved_width(M, parameters)), features.dtype)
    _core.combiner_forward(*arguments, weights, saved, state)
    return (state, weights, saved) if return_saved else (state, weights)


def combine_backward(dstate: ArrayLike, features: ArrayLike, widths: ArrayLike,
                     parameters: CombinerParameters, context: int, weights: ArrayLike,
                     saved: ArrayLike, *, present: ArrayLike | None = None,
                     weigh_context: bool = False, normalisation: str = "softmax",
                     eps: float = 1e-5, input_gradient: bool = True
                     ) -> tuple[NDArray | None, CombinerParameters]:
    """Gradients of `combine`.

    Parameters
    ----------
    dstate : array_like, shape (B, C)
        Gradient with respect to the state.
    features, widths, parameters, context
        As in the forward pass.
    weights, saved : ndarray
        What the forward pass returned.
    present, weigh_context, normalisation, eps
        As in the forward pass.
    input_gradient : bool, default True
        Whether to compute `dfeatures`: a product as large as the forward pass.

    Returns
    -------
    dfeatures : ndarray, shape (B, D), or None
        0 in the columns of models that a sample lacks.
    dparameters : CombinerParameters

    Raises
    ------
    TypeError, ValueError
        As in the forward pass.

    Examples
    --------
    >>> import numpy as np
    >>> p = CombinerParameters(np.ones((3, 1)), np.zeros((3, 1)), None, None, None, None,
    ...                        np.zeros(2), np.zeros(1))
    >>> x = np.array([[1.0, 2.0, 4.0]])
    >>> state, weights, saved = combine(x, [1, 1, 1], p, 0, return_saved=True)
    >>> dx, dp = combine_backward(np.ones((1, 1)), x, [1, 1, 1], p, 0, weights, saved)
    >>> dx
    array([[0. , 0.5, 0.5]])
    >>> dp.score_weight
    array([0., 1.])
    """
    features, parameters, arguments = _arguments(features, widths, parameters, context, present,
                                                 weigh_context, normalisation, eps)
    dstate, weights, saved = (
        as_real(a, name, dtype=features.dtype)
        for a, name in ((dstate, "dstate"), (weights, "weights"), (saved, "saved")))
    dfeatures = np.empty_like(features) if input_gradient else None
    grads = CombinerParameters(*(None if p is None else np.zeros_like(p) for p in parameters))
    _core.combiner_backward(*arguments, weights, saved, dstate, dfeatures, *grads)
    return dfeatures, grads
