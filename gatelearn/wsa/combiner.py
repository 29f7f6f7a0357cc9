"""The method: models weighed by one scorer that all of them share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn.functional.combiner import NORMALISATIONS, CombinerParams
from gatelearn.nn import orthogonal
from gatelearn.wsa.base import Combination, Combined

EPS = 1e-5


class Combiner(Combination):
    """Weight Sharing Attention [1]_: a shared scorer decides which models to trust now.

    Each model's embedding f_i is brought to one width by an adapter of its own. One model gives the
    context. One small network, shared by all models, scores each embedding in that context; the
    scores, normalised, weigh the embeddings::

        e_i   = ReLU(LayerNorm(f_i @ W_i + b_i))
        u_i   = v . ReLU(e_context @ A + e_i @ B + b) + c
        w     = softmax(u)
        state = sum_i w_i e_i

    The scorer does not know how many models there are: `add` and `remove` change that while the
    agent trains. Forward and backward are a call of the core each; a model that no sample has costs
    nothing.

    Parameters
    ----------
    widths : mapping of str to int
        Width of each model's embedding by its name, in the order of the features' columns.
    width : int, default 512
        C, of the adapters and of the state.
    context : str
        The model that gives the context.
    weigh_context : bool, default False
        Whether the context is one of the models that are weighed. Its weight is 0 otherwise.
    hidden : int, default 64
        S, hidden units of the scorer. 0 makes it linear, ``u_i = [e_context, e_i] @ v + c``, as
        published; with softmax the context then changes nothing, as it adds the same to all scores.
    normalisation : {'softmax', 'linear'}, default 'softmax'
        ``'linear'`` divides ``softplus(u)`` by its sum. The published one divides ``ReLU(u)``, and
        is dead, with no state and no gradient, where no score is above 0; this never is.
    adapter : {'norm', 'linear'}, default 'norm'
        As above, as published, or ``f_i @ W_i + b_i``.
    input_gradient : bool, default False
        Whether `backward` returns the gradient of the features.

    Raises
    ------
    ValueError
        If there is no such model or option, or nothing to weigh.

    References
    ----------
    .. [1] E. Piccoli, M. Li, G. Carfì, V. Lomonaco and D. Bacciu, "Combining Pre-Trained Models for
       Enhanced Feature Representation in Reinforcement Learning", arXiv:2507.07197, 2025.

    Examples
    --------
    >>> combiner = Combiner({"state": 6, "objects": 4, "motion": 3}, 8, context="state")
    >>> features = np.ones((2, 13), np.float32)
    >>> state, saved = combiner.build(seed=0).forward(features, present=[[1, 1, 1], [1, 0, 1]])
    >>> state.shape, saved.weights.round(2)
    ((2, 8), array([[0.  , 0.53, 0.47],
           [0.  , 0.  , 1.  ]], dtype=float32))
    """

    def __init__(self, widths: Mapping[str, int], width: int = 512, *, context: str,
                 weigh_context: bool = False, hidden: int = 64, normalisation: str = "softmax",
                 adapter: str = "norm", input_gradient: bool = False):
        super().__init__(widths, width, input_gradient=input_gradient)
        if context not in self.widths:
            raise ValueError(f"context is {context!r}, expected one of {', '.join(self.widths)}")
        if not weigh_context and len(self.widths) == 1:
            raise ValueError(f"'{context}' is the context and the only model, expected one to "
                             "weigh")
        if hidden < 0:
            raise ValueError(f"hidden is {hidden}, expected at least 0")
        if normalisation not in NORMALISATIONS:
            raise ValueError(f"normalisation is {normalisation!r}, expected 'softmax' or 'linear'")
        if adapter not in ("norm", "linear"):
            raise ValueError(f"adapter is {adapter!r}, expected 'norm' or 'linear'")
        self.context, self.weigh_context, self.hidden = context, weigh_context, hidden
        self.normalisation, self.normalised = normalisation, adapter == "norm"
        self._blocks: tuple = (None, None, None, None)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        # each kind for all models: the core takes it as one array
        C, S = self.width, max(self.hidden, 1)
        shapes: dict[str, tuple[int, ...]] = {
            f"{name}.weight": (width, C) for name, width in self.widths.items()}
        for kind in ("bias", *(("norm_weight", "norm_bias") if self.normalised else ())):
            shapes |= {f"{name}.{kind}": (C,) for name in self.widths}
        shapes |= {"scorer.context_weight": (C, S), "scorer.model_weight": (C, S)}
        if self.hidden:
            shapes |= {"scorer.hidden_bias": (S,), "scorer.score_weight": (S,)}
        return shapes | {"scorer.score_bias": (1,)}

    def initialise(self, rng: np.random.Generator) -> None:
        C = self.width
        gain = math.sqrt(2) if self.normalised else 1.0
        for name, width in self.widths.items():
            self.param[f"{name}.weight"][...] = gain * orthogonal(rng, width, C)
            self.param[f"{name}.bias"][...] = 0
            if self.normalised:
                self.param[f"{name}.norm_weight"][...] = 1
                self.param[f"{name}.norm_bias"][...] = 0
        # scores begin close to each other, and so do weights
        scorer = orthogonal(rng, 2 * C, max(self.hidden, 1))
        scorer *= math.sqrt(2) if self.hidden else 0.1
        self.param["scorer.context_weight"][...] = scorer[:C]
        self.param["scorer.model_weight"][...] = scorer[C:]
        if self.hidden:
            self.param["scorer.hidden_bias"][...] = 0
            self.param["scorer.score_weight"][...] = (
                0.1 * rng.standard_normal(self.hidden) / math.sqrt(self.hidden))
        self.param["scorer.score_bias"][...] = 0

    def remove(self, name: str) -> None:
        if name == self.context:
            raise ValueError(f"'{name}' is the context, expected another model")
        if name in self.widths and not self.weigh_context and len(self.widths) == 2:
            raise ValueError(f"'{name}' is the last model beside the context, expected one that "
                             "stays")
        super().remove(name)

    def forward(self, features: NDArray,
                present: ArrayLike | None = None) -> tuple[NDArray, Combined]:
        columns, p, _ = self._arrays()
        features, present = self.check(features, present)
        if features.dtype != p.weight.dtype:
            raise TypeError(f"features has dtype {features.dtype}, expected {p.weight.dtype} as "
                            "the parameters")
        features = np.ascontiguousarray(features)
        B, M, C, dtype = len(features), len(self.widths), self.width, features.dtype
        weights, scores, state = (np.empty(s, dtype) for s in ((B, M), (B, M), (B, C)))
        e, hidden = np.empty((M, B, C), dtype), np.empty((M, B, max(self.hidden, 1)), dtype)
        before = mean = rstd = None
        if self.normalised:
            before, mean, rstd = np.empty_like(e), *np.empty((2, M, B), dtype)
        trace = (weights, scores, e, before, mean, rstd, hidden)
        rest = (columns, present, list(self.widths).index(self.context), self.weigh_context,
                self.normalisation == "linear", EPS, p.weight, p.norm_weight, p.context_weight,
                p.model_weight, p.score_weight, features, *trace)
        _core.combine_forward(*rest, p.bias, p.norm_bias, p.hidden_bias, p.score_bias, state)
        return state, Combined(weights, rest)

    def backward(self, dstate: NDArray, saved: Combined,
                 dweights: NDArray | None = None) -> NDArray | None:
        """Add the gradients of the parameters; return that of the features, or None.

        Parameters
        ----------
        dstate : ndarray, shape (B, C)
        saved : Combined
        dweights : ndarray, shape (B, M), optional
            Gradient with respect to ``saved.weights``, of a bonus for their entropy, say.

        Returns
        -------
        ndarray, shape (B, D), or None
        """
        _, _, g = self._arrays()
        features = saved.rest[11]
        dfeatures = np.empty_like(features) if self.input_gradient else None
        _core.combine_backward(*saved.rest, np.ascontiguousarray(dstate), dweights, dfeatures,
                               g.weight, g.bias, g.norm_weight, g.norm_bias, g.context_weight,
                               g.model_weight, g.hidden_bias, g.score_weight, g.score_bias)
        return dfeatures

    def _arrays(self) -> tuple[NDArray, CombinerParams, CombinerParams]:
        """Where columns begin, parameters and gradients, as the core takes them."""
        known, *arrays = self._blocks
        if known is not self.param:
            columns = np.cumsum([0, *self.widths.values()])
            self._blocks = (self.param, columns, self._joined(self.param),
                            self._joined(self.grad))
            known, *arrays = self._blocks
        return tuple(arrays)

    def _joined(self, views: dict[str, NDArray]) -> CombinerParams:
        def block(kind: str) -> Any:
            # those of all models stand side by side in the flat buffer
            first = views.get(f"{next(iter(self.widths))}.{kind}")
            if first is None:
                return views.get(f"scorer.{kind}")
            rows = sum(self.widths.values()) if kind == "weight" else len(self.widths)
            step = first.strides[-1]
            return np.lib.stride_tricks.as_strided(first, (rows, self.width),
                                                   (self.width * step, step))

        return CombinerParams(*map(block, CombinerParams._fields))
