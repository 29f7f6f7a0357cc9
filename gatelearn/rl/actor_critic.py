"""A policy and a value of one network."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from gatelearn import nn


class ActorCritic(nn.Layer):
    """A trunk that policy and value share.

    Parameters
    ----------
    trunk : nn.Layer
        Observations (B, ...) to states (B, R).
    actor : nn.Layer
        States to logits (B, K) of the policy.
    critic : nn.Layer
        States to values (B, 1) or (B,).

    Examples
    --------
    >>> from gatelearn import nn
    >>> trunk = nn.Sequential(nn.Linear(3, 8), nn.Tanh())
    >>> network = ActorCritic(trunk, nn.Linear(8, 2), nn.Linear(8, 1)).build(seed=0)
    >>> (logits, values), saved = network.forward(np.ones((5, 3), np.float32))
    >>> logits.shape, values.shape, network.backward((logits, values), saved).shape
    ((5, 2), (5,), (5, 3))
    """

    def __init__(self, trunk: nn.Layer, actor: nn.Layer, critic: nn.Layer):
        self.trunk, self.actor, self.critic = trunk, actor, critic

    def children(self) -> dict[str, nn.Layer]:
        return {"trunk": self.trunk, "actor": self.actor, "critic": self.critic}

    def forward(self, x: NDArray, *more: Any) -> tuple[tuple[NDArray, NDArray], Any]:
        """Return logits and values, and what `backward` needs; `more` is the trunk's."""
        state, trunk = self.trunk.forward(x, *more)
        logits, actor = self.actor.forward(state)
        values, critic = self.critic.forward(state)
        return (logits, values.reshape(len(values))), (trunk, actor, critic, values.shape)

    def backward(self, dy: tuple[NDArray, NDArray], saved: Any) -> Any:
        """Return what the trunk's backward pass returns; `dy` is of logits and of values."""
        trunk, actor, critic, shape = saved
        dstate = self.actor.backward(dy[0], actor)
        dstate = dstate + self.critic.backward(dy[1].reshape(shape), critic)
        return self.trunk.backward(dstate, trunk)
