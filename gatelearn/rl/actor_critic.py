"""A policy and a value function that share most of their network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn import nn


class ActorCritic(nn.Layer):
    """A trunk that reads the observation, and two heads on what it returns.

    Parameters
    ----------
    trunk : nn.Layer
        Observations (B, ...), and whatever else `forward` is given, to a state (B, R).
    actor : nn.Layer
        State to logits (B, K).
    critic : nn.Layer
        State to values (B, 1).

    Examples
    --------
    >>> network = ActorCritic(nn.Sequential(nn.Linear(4, 8), nn.Tanh()),
    ...                       nn.Linear(8, 2), nn.Linear(8, 1)).build(seed=0)
    >>> (logits, values), saved = network.forward(np.ones((3, 4), np.float32))
    >>> logits.shape, values.shape
    ((3, 2), (3,))
    >>> network.backward((logits, values), saved).shape
    (3, 4)
    """

    def __init__(self, trunk: nn.Layer, actor: nn.Layer, critic: nn.Layer):
        self.trunk, self.actor, self.critic = trunk, actor, critic

    def children(self) -> dict[str, nn.Layer]:
        return {"trunk": self.trunk, "actor": self.actor, "critic": self.critic}

    def forward(self, x: NDArray, *more: Any) -> tuple[tuple[NDArray, NDArray], Any]:
        """Return logits (B, K) and values (B,), and what `backward` needs."""
        state, trunk = self.trunk.forward(x, *more)
        logits, actor = self.actor.forward(state)
        values, critic = self.critic.forward(state)
        if values.shape != (len(state), 1):
            raise ValueError(f"critic returned shape {values.shape}, expected ({len(state)}, 1)")
        return (logits, values[:, 0]), (trunk, actor, critic)

    def backward(self, dy: tuple[NDArray, NDArray], saved: Any) -> Any:
        """Return what the trunk's `backward` does, from gradients of logits and of values."""
        dlogits, dvalues = dy
        trunk, actor, critic = saved
        dstate = self.actor.backward(dlogits, actor)
        dstate = dstate + self.critic.backward(np.ascontiguousarray(dvalues)[:, None], critic)
        return self.trunk.backward(dstate, trunk)
