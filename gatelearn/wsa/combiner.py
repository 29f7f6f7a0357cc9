"""Weight Sharing Attention: models weighed by one scorer that all of them share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn.functional.combiner import NORMALISATIONS, CombinerParameters, saved_width
from gatelearn.nn import orthogonal
from gatelearn.wsa.base import Combination, Combined, check_context, check_removal


class _Views(NamedTuple):
    """The parameters as the core takes them, for as long as the layer is bound to them."""

    of: NDArray
    models: tuple[str, ...]
    widths: NDArray[np.int64]
    param: CombinerParameters
    grad: CombinerParameters
    saved_width: int


class Combiner(Combination):
    """Weight Sharing Attention [1]_: models weighed in a context by one scorer that all share.

    Frozen models look at one observation; an adapter of its own brings the embedding of each to
    the width of the state, ``e = ReLU(LayerNorm(f @ W + b))``. One of them, the context, tells the
    scorer what matters now: it scores each embedding beside that of the context,
    ``u = ReLU(e_context @ A + e @ B + a) @ v + c``. The state is the sum of the embeddings, weighed
    by their normalised scores. The scorer's parameters do not depend on how many models there are:
    they come and go while the agent learns. The weights say which model the agent relies on, and
    when.

    Parameters
    ----------
    widths : mapping of str to int
        Width of each model's embedding by its name.
    width : int, default 512
        C, of the adapters and of the state.
    context : str
        The model that gives the context. A sample cannot lack it.
    weigh_context : bool, default False
        Whether the context is one of the models that are weighed. Its weight is 0 otherwise.
    hidden : int, default 64
        S, of the scorer's hidden layer. 0 for none, as published: ``u = [e_context, e] @ v + c``.
    normalisation : {'softmax', 'linear'}, default 'softmax'
        Weights in proportion to exp or to softplus of the scores.
    adapter : {'norm', 'linear'}, default 'norm'
        As above, or ``e = f @ W + b``.
    input_gradient : bool, default False
        Whether `backward` returns the gradient of the features.
    eps : float, default 1e-5
        Of the layer norm.

    Notes
    -----
    With ``hidden=0`` and softmax the context adds the same to all scores, and cancels.

    The published linear normalisation takes ReLU of the scores, which leaves no gradient where none
    is positive; softplus always has one.

    Weights begin nearly equal, since the scorer's last layer begins small.

    References
    ----------
    .. [1] E. Piccoli, M. Li, G. Carfì, V. Lomonaco and D. Bacciu, "Combining Pre-Trained Models for
       Enhanced Feature Representation in Reinforcement Learning", arXiv:2507.07197, 2025.

    Examples
    --------
    Three models look at two observations; the state encoder gives the context:

    >>> from gatelearn import nn, wsa
    >>> combiner = wsa.Combiner({"state": 6, "keypoints": 4, "objects": 3}, 8, context="state")
    >>> policy = nn.Sequential(combiner, nn.Linear(8, 2)).build(seed=0)
    >>> features = np.random.default_rng(0).standard_normal((2, 13), np.float32)
    >>> state, saved = combiner.forward(features)
    >>> saved.weights.round(1)
    array([[0. , 0.5, 0.5],
           [0. , 0.5, 0.5]], dtype=float32)

    One more, in the midst of training; all others keep what they have learned:

    >>> adam = nn.AdamW(policy.params, policy.grads)
    >>> combiner.add("motion", 5)
    >>> wsa.rebuild(policy, adam, np.random.default_rng(1))[0]
    '0.adapter.motion.weight'
    >>> features = np.random.default_rng(0).standard_normal((2, 18), np.float32)
    >>> combiner.forward(features, present=[[1, 1, 1, 1], [1, 1, 0, 1]])[1].weights.round(2)
    array([[0.  , 0.33, 0.33, 0.33],
           [0.  , 0.5 , 0.  , 0.5 ]], dtype=float32)
    """

    def __init__(self, widths: Mapping[str, int], width: int = 512, *, context: str,
                 weigh_context: bool = False, hidden: int = 64, normalisation: str = "softmax",
                 adapter: str = "norm", input_gradient: bool = False, eps: float = 1e-5):
        if hidden < 0:
            raise ValueError(f"hidden is {hidden}, expected at least 0")
        if normalisation not in NORMALISATIONS:
            raise ValueError(f"normalisation is {normalisation!r}, expected 'softmax' or 'linear'")
        if adapter not in ("norm", "linear"):
            raise ValueError(f"adapter is {adapter!r}, expected 'norm' or 'linear'")
        self.context, self.weigh_context, self.hidden = context, weigh_context, hidden
        self.normalisation, self.eps, self.normalised = normalisation, eps, adapter == "norm"
        self._views: _Views | None = None
        super().__init__(widths, width, input_gradient=input_gradient)
        check_context(self.widths, context, weigh_context)

    def remove(self, name: str) -> None:
        check_removal(self.widths, name, self.context, self.weigh_context)
        super().remove(name)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        C, S = self.width, self.hidden
        # one kind after the other: the core takes those of all models as one array
        shapes: dict[str, tuple[int, ...]] = {
            f"adapter.{name}.weight": (width, C) for name, width in self.widths.items()}
        for kind in ("bias", "norm_weight", "norm_bias")[:3 if self.normalised else 1]:
            shapes |= {f"adapter.{name}.{kind}": (C,) for name in self.widths}
        if S:
            shapes |= {"scorer.hidden_weight": (2, C, S), "scorer.hidden_bias": (S,)}
        return shapes | {"scorer.weight": (S or 2 * C, 1), "scorer.bias": (1,)}

    def initialise(self, rng: np.random.Generator) -> None:
        C, S, p = self.width, self.hidden, self.param
        gain = math.sqrt(2) if self.normalised else 1.0
        for name, width in self.widths.items():
            p[f"adapter.{name}.weight"][...] = gain * orthogonal(rng, width, C)
            if self.normalised:
                p[f"adapter.{name}.norm_weight"][...] = 1
        if S:
            p["scorer.hidden_weight"][...] = math.sqrt(2) * orthogonal(rng, 2*C, S).reshape(2, C, S)
        p["scorer.weight"][...] = 0.01 * orthogonal(rng, *p["scorer.weight"].shape)
        for name, value in p.items():
            if name.endswith("bias"):
                value[...] = 0

    def forward(self, features: NDArray,
                present: ArrayLike | None = None) -> tuple[NDArray, Combined]:
        features, present = self.check(features, present)
        views = self._bound()
        B, dtype = len(features), views.of.dtype
        if features.dtype != dtype:
            raise TypeError(f"features has dtype {features.dtype}, expected {dtype} as the "
                            "parameters")
        features = np.ascontiguousarray(features)
        if present is not None:
            self._check_weighed(present)
        state = np.empty((B, self.width), dtype)
        weights = np.empty((B, len(self.widths)), dtype)
        saved = np.empty((B, views.saved_width), dtype)
        arguments = (features, views.widths, present, *views.param,
                     views.models.index(self.context), self.weigh_context,
                     self.normalisation == "linear", self.eps, weights, saved)
        _core.combiner_forward(*arguments, state)
        return state, Combined(weights, arguments)

    def backward(self, dstate: NDArray, saved: Combined) -> NDArray | None:
        dfeatures = np.empty_like(saved.rest[0]) if self.input_gradient else None
        _core.combiner_backward(*saved.rest, np.ascontiguousarray(dstate), dfeatures,
                                *self._bound().grad)
        return dfeatures

    def _check_weighed(self, present: NDArray[np.bool_]) -> None:
        """Raise unless each sample has the context and a model to weigh."""
        context = list(self.widths).index(self.context)
        lacking = np.flatnonzero(~present[:, context])
        if lacking.size:
            raise ValueError(f"present[{lacking[0]}] lacks the context, '{self.context}'")
        alone = np.flatnonzero(present.sum(1) + self.weigh_context < 2)
        if alone.size:
            raise ValueError(f"present[{alone[0]}] has no model beside the context, expected at "
                             "least one")

    def _bound(self) -> _Views:
        """Return views of the parameters that the layer is bound to now."""
        models = tuple(self.widths)
        first = self.param.get(f"adapter.{models[0]}.weight")
        if self._views is None or self._views.of is not first or self._views.models != models:
            self._views = self._view(models)
        return self._views

    def _view(self, models: tuple[str, ...]) -> _Views:
        if any(self.param[name].shape != shape if name in self.param else True
               for name, shape in self.shapes().items()) or not self._in_one_piece():
            raise ValueError("the models changed after the combiner was built, expected "
                             "wsa.rebuild of the network")
        param, grad = (self._arrays(views, models) for views in (self.param, self.grad))
        return _Views(self.param[f"adapter.{models[0]}.weight"], models,
                      np.array(list(self.widths.values()), np.int64), param, grad,
                      saved_width(len(models), param))

    def _in_one_piece(self) -> bool:
        """Do the parameters follow one another in memory? Those of before a removal do not."""
        arrays = [self.param[name] for name in self.shapes()]
        starts = [a.__array_interface__["data"][0] for a in arrays]
        return all(start + a.nbytes == after
                   for start, a, after in zip(starts, arrays, starts[1:], strict=False))

    def _arrays(self, views: Mapping[str, NDArray], models: tuple[str, ...]) -> CombinerParameters:
        """Join those of all models, which lie side by side in the flat buffer."""
        M, C = len(models), self.width

        def joined(kind: str, rows: int) -> Any:
            first = views.get(f"adapter.{models[0]}.{kind}")
            return None if first is None else as_strided(first, (rows, C),
                                                         (C * first.itemsize, first.itemsize))

        return CombinerParameters(
            joined("weight", sum(self.widths.values())), joined("bias", M),
            joined("norm_weight", M), joined("norm_bias", M), views.get("scorer.hidden_weight"),
            views.get("scorer.hidden_bias"), views["scorer.weight"].reshape(-1),
            views["scorer.bias"])
