"""A network and its optimiser."""

from __future__ import annotations

from typing import Any

import numpy as np

from gatelearn import nn


class Learner:
    """A network that descends along gradients of its output.

    Parameters
    ----------
    network : nn.Layer
        Built; its parameters are changed in place.
    eps : float
        Of Adam, as the papers of policy optimisation set it: 1e-5.
    """

    def __init__(self, network: nn.Layer, eps: float = 1e-5):
        if not hasattr(network, "params"):
            raise ValueError(f"{type(network).__name__} has no parameters, expected a layer that "
                             "was built")
        self.network = network
        self.optimiser = nn.AdamW(network.params, network.grads, eps=eps)

    def descend(self, dy: Any, saved: Any, lr: float, max_norm: float | None) -> float:
        """Take one step against the gradient `dy` of the output; return the gradient's norm."""
        self.network.grads[...] = 0
        self.network.backward(dy, saved)
        return self.optimiser.step(lr, max_norm)

    def state(self, name: str) -> dict[str, Any]:
        """Return copies of parameters and moments, each key preceded by `name` and a dot."""
        own = {"params": self.network.params.copy(), **self.optimiser.state()}
        return {f"{name}.{key}": value for key, value in own.items()}

    def load_state(self, name: str, state: dict[str, Any]) -> None:
        """Continue from what `state` returned; `check_state` comes first."""
        self.network.params[...] = state[f"{name}.params"]
        self.optimiser.load_state({key: state[f"{name}.{key}"] for key in ("m", "v", "step")})


def check_state(own: dict[str, Any], state: dict[str, Any]) -> None:
    """Raise ValueError unless `state` has the keys and shapes of `own`."""
    for key in sorted(own.keys() ^ state.keys()):
        raise ValueError(f"state entry {key} is {'missing' if key in own else 'unknown'}")
    for key, value in own.items():
        if np.shape(state[key]) != np.shape(value):
            raise ValueError(f"state entry {key} has shape {np.shape(state[key])}, expected "
                             f"{np.shape(value)}")


def learning_rate(lr: float, updates: int, anneal: int | None) -> float:
    """Return `lr`, or what is left of it on a straight line to 0 after `anneal` updates."""
    return lr if anneal is None else lr * max(0.0, 1 - updates / anneal)
