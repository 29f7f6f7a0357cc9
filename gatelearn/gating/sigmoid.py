"""The baseline that learns gates by gradient descent: sigmoids after the weighted sum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gatelearn.nn import Layer, Transformer


class SigmoidGates(Layer):
    """One sigmoid a head and MLP, trained with the network and thresholded afterwards.

    The gates stand where the controllers' do, after the attention's weighted sum [1]_, and are the
    same for every text: ``sigmoid(logit)`` with a logit for each.

    Parameters
    ----------
    net : Transformer
        Whose gates are set.
    open_logit : float, default 2
        Initial logit of every gate.

    References
    ----------
    .. [1] Z. Qiu et al., "Gated Attention for Large Language Models", NeurIPS 2025.

    Examples
    --------
    >>> from gatelearn import nn
    >>> net = nn.Transformer(10, width=16, layers=2, heads=2).build(seed=0)
    >>> gates = SigmoidGates(net, open_logit=0.0).build()
    >>> gates.forward(2)[0].shape
    (2, 2, 3)
    """

    def __init__(self, net: Transformer, *, open_logit: float = 2.0):
        self.gate_shape, self.open_logit = net.gate_shape, open_logit

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"logit": self.gate_shape}

    def initialise(self, rng: np.random.Generator) -> None:
        self.param["logit"][...] = self.open_logit

    def forward(self, batch: int) -> tuple[NDArray, NDArray]:
        """Return the gates (B, L, H + 1), in (0, 1), of `batch` texts."""
        gate = 1 / (1 + np.exp(-self.param["logit"]))
        return np.broadcast_to(gate, (batch, *gate.shape)), gate

    def backward(self, dgate: NDArray, saved: NDArray) -> None:
        """Add the gradient of the logits."""
        # forward: gate = sigmoid(logit)
        self.grad["logit"] += dgate.sum(0) * saved * (1 - saved)


def close_to_share(gate: NDArray, share: float) -> NDArray:
    """Close the smallest gates until a share is open.

    Parameters
    ----------
    gate : ndarray
        Values of sigmoid gates, of any shape.
    share : float
        In [0, 1]; the nearest number of gates stays open.

    Returns
    -------
    ndarray
        `gate`, with 0 where it is closed.

    Examples
    --------
    >>> close_to_share(np.array([[0.9, 0.1], [0.5, 0.2]]), 0.5)
    array([[0.9, 0. ],
           [0.5, 0. ]])
    """
    closed = gate.copy()
    order = np.argsort(-gate, axis=None, kind="stable")
    closed.reshape(-1)[order[round(share * gate.size):]] = 0
    return closed
