"""Models weighed by dot-product attention."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import functional as F
from gatelearn.wsa.adapters import Embedded
from gatelearn.wsa.base import Combined, check_context, check_removal


class DotProductAttention(Embedded):
    """The adapted context asks, the adapted models are keys and values: *DPA* of [1]_.

    With adapted embeddings e_i and s that of the context,
    ``w = softmax_i(s . e_i / sqrt(R))`` and ``state = sum_i w_i e_i``. All parameters are in the
    adapters.

    Parameters
    ----------
    widths : mapping of str to int
        Width of each model's embedding by its name.
    width : int, default 512
        R, of the adapters and of the state.
    context : str
        The model that gives the context. A sample cannot lack it.
    weigh_context : bool, default False
        Whether the context is one of the models that are weighed. Its weight is 0 otherwise.
    adapter : {'norm', 'linear'}, default 'norm'
        ``ReLU(LayerNorm(f @ W + b))`` as published, or ``f @ W + b``.
    input_gradient : bool, default False
        Whether `backward` returns the gradient of the features.

    References
    ----------
    .. [1] E. Piccoli, M. Li, G. Carfì, V. Lomonaco and D. Bacciu, "Combining Pre-Trained Models for
       Enhanced Feature Representation in Reinforcement Learning", arXiv:2507.07197, 2025.

    Examples
    --------
    >>> layer = DotProductAttention({"state": 3, "objects": 2, "motion": 2}, 4, context="state")
    >>> features = np.ones((2, 7), np.float32)
    >>> state, saved = layer.build(seed=0).forward(features, present=[[1, 1, 1], [1, 0, 1]])
    >>> saved.weights.round(2)
    array([[0.  , 0.29, 0.71],
           [0.  , 0.  , 1.  ]], dtype=float32)
    """

    def __init__(self, widths: Mapping[str, int], width: int = 512, *, context: str,
                 weigh_context: bool = False, adapter: str = "norm",
                 input_gradient: bool = False):
        super().__init__(widths, width, adapter=adapter, input_gradient=input_gradient)
        check_context(self.widths, context, weigh_context)
        self.context, self.weigh_context = context, weigh_context

    def remove(self, name: str) -> None:
        check_removal(self.widths, name, self.context, self.weigh_context)
        super().remove(name)

    def forward(self, features: NDArray,
                present: ArrayLike | None = None) -> tuple[NDArray, Combined]:
        features, present = self.check(features, present)
        weighed = self._weighed(len(features), present)
        embedded, adapted = self.embed(features, present)
        keys = embedded[:, None]                            # one head, as many keys as models
        query = embedded[:, None, [self._index()]]
        state, lse = F.attention(query, keys, keys, mask=weighed, return_lse=True)
        weights = F.attention_weights(query, keys, mask=weighed)[:, 0, 0]
        return state[:, 0, 0], Combined(weights, (adapted, query, keys, weighed, state, lse))

    def backward(self, dstate: NDArray, saved: Combined) -> NDArray | None:
        adapted, query, keys, weighed, state, lse = saved.rest
        dquery, dkeys, dvalues, *_ = F.attention_backward(dstate[:, None, None], query, keys, keys,
                                                          state, lse, mask=weighed)
        dembedded = (dkeys + dvalues)[:, 0]
        dembedded[:, self._index()] += dquery[:, 0, 0]
        return self.embed_backward(dembedded, adapted)

    def _index(self) -> int:
        return list(self.widths).index(self.context)

    def _weighed(self, batch: int, present: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Return which models each sample weighs, (B, 1, 1, M)."""
        weighed = np.ones((batch, len(self.widths)), bool) if present is None else present.copy()
        lacking = np.flatnonzero(~weighed[:, self._index()])
        if lacking.size:
            raise ValueError(f"present[{lacking[0]}] lacks the context, '{self.context}'")
        weighed[:, self._index()] = self.weigh_context
        alone = np.flatnonzero(~weighed.any(1))
        if alone.size:
            raise ValueError(f"present[{alone[0]}] has no model beside the context, expected at "
                             "least one")
        return weighed[:, None, None]
