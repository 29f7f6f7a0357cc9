"""Controllers: what they see, and the gates that they set.

A pass over a batch of texts is an episode: in each step the controller sees features of the text
and draws a Bernoulli action for every gate that it sets, 1 for open. The one-shot and the static
controller take one step, the per-layer controller one a layer.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatelearn.nn import Layer, Linear, Sequential, Tanh, Transformer
from gatelearn.rl import Bernoulli


class Episode(NamedTuple):
    """A gated pass over B texts, in S steps of K gates each."""

    gate: NDArray           # (B, L, H + 1), 0 or 1
    observations: NDArray   # (S, B, F)
    actions: NDArray        # (S, B, K) uint8
    logp: NDArray           # (S, B), of the actions where they were drawn
    logits: NDArray         # (N, V) of the network, a row for each position asked for


def pool(x: NDArray) -> NDArray:
    """Return mean over time, last and last but one of hidden states (B, T, C): (B, 3C).

    The mean is scaled by ``sqrt(T)``, so that one word among many still shows.
    """
    B, T, C = x.shape
    out = np.empty((B, 3, C), x.dtype)
    # as a product: several times faster than a mean over an axis in the middle
    np.matmul(np.full(T, 1 / math.sqrt(T), x.dtype), x, out=out[:, 0])
    out[:, 1] = x[:, -1]
    out[:, 2] = x[:, max(T - 2, 0)]
    return out.reshape(B, 3 * C)


class Controller(Layer):
    """Base of controllers: a policy network over standardised features.

    Attributes
    ----------
    policy : Layer
        Features (N, F) to logits (N, K).
    distribution : Bernoulli
        Of each gate; its bound keeps every probability away from 0 and 1, so that no gate ever
        stops being tried.
    """

    def __init__(self, features: int, gates: int, hidden: int | None, open_logit: float,
                 bound: float):
        self.distribution = Bernoulli(bound=bound)
        self.open_logit = open_logit
        self.features = features
        # gates start open: training gates from scratch fails, closing open ones does not
        last = Linear(hidden or features, gates, gain=0.0)
        self.policy = Sequential(Linear(features, hidden), Tanh(), last) if hidden else last
        self.last = last
        self.mean: NDArray = np.zeros(0)
        self.scale: NDArray = np.ones(0)

    def children(self) -> dict[str, Layer]:
        return {"policy": self.policy}

    def build(self, seed=0, dtype=np.float32):
        super().build(seed, dtype)
        self.last.param["bias"][...] = self.open_logit
        return self

    def work(self) -> int:
        """Return the multiply-adds of the policy for one text."""
        sizes = [math.prod(a.shape) for a in self.named_parameters().values() if a.ndim == 2]
        return sum(sizes)

    def standardise(self, net: Transformer, tokens: NDArray) -> None:
        """Fix the mean and scale of the features on sample texts, tokens (B, T).

        Without this step the largest features drown those that tell one task from another.
        """
        raise TypeError(f"{type(self).__name__} defines no standardise")

    def run(self, net: Transformer, tokens: NDArray, position: NDArray,
            rng: np.random.Generator | None = None, *, save: bool = False) -> tuple[Episode, Any]:
        """Set the gates of texts and run the network under them.

        Parameters
        ----------
        net : Transformer
        tokens : ndarray of int, shape (B, T)
        position : ndarray of int, shape (B, Q)
            Where to read logits; -1 leaves a slot out.
        rng : numpy.random.Generator, optional
            Draws the gates; without it the more probable action is taken.
        save : bool, default False
            Also return what the network's backward pass and `evidence_mass` need.

        Returns
        -------
        Episode
        saved : object or None
        """
        raise TypeError(f"{type(self).__name__} defines no run")

    def forward(self, x: NDArray) -> tuple[NDArray, Any]:
        """Return the logits (N, K) of standardised features (N, F)."""
        return self.policy.forward(x)

    def backward(self, dy: NDArray, saved: Any) -> NDArray:
        return self.policy.backward(dy, saved)

    def act(self, features: NDArray,
            rng: np.random.Generator | None) -> tuple[NDArray, NDArray | float]:
        """Return actions (B, K) and, where they are drawn, their log-probabilities (B,)."""
        logits, _ = self.forward(features)
        if rng is None:
            return self.distribution.mode(logits), 0.0
        return self.distribution.draw(logits, rng)

    def state(self) -> dict[str, NDArray]:
        """Return all arrays that a checkpoint needs."""
        return {**self.named_parameters(), "mean": self.mean, "scale": self.scale}

    def load_state(self, arrays: dict[str, NDArray]) -> None:
        """Restore what `state` returned."""
        arrays = dict(arrays)
        self.mean, self.scale = arrays.pop("mean"), arrays.pop("scale")
        self.load(arrays)


class OneShotController(Controller):
    """All gates of a text at once, from its embedded words.

    Parameters
    ----------
    net : Transformer
        Whose gates are set.
    hidden : int, default 64
        Hidden units of the policy.
    open_logit : float, default 2
        Initial logit of every gate.
    bound : float, default 0.025
        Probabilities lie in ``[bound, 1 - bound]``.
    """

    def __init__(self, net: Transformer, *, hidden: int = 64, open_logit: float = 2.0,
                 bound: float = 0.025):
        super().__init__(3 * net.width, math.prod(net.gate_shape), hidden, open_logit, bound)

    def observe(self, net: Transformer, tokens: NDArray) -> NDArray:
        """Return the raw features (B, F) of texts."""
        return pool(net.embed(tokens))

    def standardise(self, net: Transformer, tokens: NDArray) -> None:
        raw = self.observe(net, tokens)
        self.mean, self.scale = raw.mean(0), 1 / (raw.std(0) + np.float32(1e-6))

    def run(self, net, tokens, position, rng=None, *, save=False):
        features = (self.observe(net, tokens) - self.mean) * self.scale
        actions, logp = self.act(features, rng)
        gate = actions.astype(features.dtype).reshape(-1, *net.gate_shape)
        logits, saved = net.forward(tokens, gate, position=position, save=save)
        logp = np.broadcast_to(np.asarray(logp, features.dtype), (1, len(tokens)))
        return Episode(gate, features[None], actions[None], logp, logits), saved


class StaticController(OneShotController):
    """The same gates for every text: one logit a gate, trained like the others."""

    def __init__(self, net: Transformer, *, open_logit: float = 2.0, bound: float = 0.025):
        Controller.__init__(self, 1, math.prod(net.gate_shape), None, open_logit, bound)

    def observe(self, net, tokens):
        return np.ones((len(tokens), 1), net.params.dtype)

    def standardise(self, net, tokens):
        self.mean, self.scale = np.zeros(1, net.params.dtype), np.ones(1, net.params.dtype)


class PerLayerController(Controller):
    """The gates of layer l from the hidden state that enters it: an episode of L steps.

    One policy serves all layers; it sees which one it is at.

    Parameters
    ----------
    net, hidden, open_logit, bound
        As in `OneShotController`.
    """

    def __init__(self, net: Transformer, *, hidden: int = 64, open_logit: float = 2.0,
                 bound: float = 0.025):
        layers, gates = net.gate_shape
        super().__init__(3 * net.width + layers, gates, hidden, open_logit, bound)

    def work(self) -> int:
        return super().work() * len(self.mean)

    def standardise(self, net, tokens):
        means, scales, x = [], [], net.embed(tokens)
        for block in net.blocks:
            raw = pool(x)
            means.append(raw.mean(0))
            scales.append(1 / (raw.std(0) + np.float32(1e-6)))
            x, _ = block.forward(x, save=False)
        self.mean, self.scale = np.array(means), np.array(scales)

    def run(self, net, tokens, position, rng=None, *, save=False):
        layers, gates = net.gate_shape
        B = len(tokens)
        dtype = net.params.dtype
        observations = np.zeros((layers, B, self.features), dtype)
        actions = np.empty((layers, B, gates), np.uint8)
        logp = np.zeros((layers, B), dtype)
        gate = np.empty((B, layers, gates), dtype)

        def decide(i: int, x: NDArray) -> NDArray:
            observations[i, :, :3 * net.width] = (pool(x) - self.mean[i]) * self.scale[i]
            observations[i, :, 3 * net.width + i] = 1
            actions[i], logp[i] = self.act(observations[i], rng)
            gate[:, i] = actions[i]
            return gate[:, i]

        logits, saved = net.forward(tokens, decide, position=position, save=save)
        return Episode(gate, observations, actions, logp, logits), saved
