"""Does the network look at what the answer rests on?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gatelearn.nn import Transformer
from gatelearn.nn.transformer import TransformerSaved


def evidence_mass(net: Transformer, saved: TransformerSaved, position: NDArray,
                  evidence: NDArray) -> NDArray:
    """Return the attention that queries pay to their evidence, over all heads of all layers.

    A closed head counts 0, so closing heads cannot flatter the measure.

    Parameters
    ----------
    net : Transformer
    saved : TransformerSaved
        Of a forward pass over B texts of T words.
    position : ndarray of int, shape (B, Q)
        Where the answers were read; -1 marks an unused slot.
    evidence : ndarray of bool, shape (B, Q, T)
        What each query rests on.

    Returns
    -------
    ndarray, shape (B,)
        Mean over queries, layers and heads of the attention mass on the evidence. NaN for texts
        without evidence.
    """
    sample, slot = np.nonzero((position >= 0) & evidence.any(-1))
    at = position[sample, slot]
    seen = evidence[sample, slot]
    mass = np.zeros(len(sample))
    for block, (heads, _) in zip(net.blocks, saved.blocks, strict=True):
        weights = block.heads.weights(heads, sample, at)
        mass += np.einsum("nht,nt->nh", weights, seen, optimize=True).mean(1)
    count = np.bincount(sample, minlength=len(position))
    total = np.bincount(sample, mass / len(net.blocks), minlength=len(position))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, total / count, np.nan)
