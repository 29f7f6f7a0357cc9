"""Attention weight prediction: positions predicted to matter become a bias of attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gatelearn import functional as F
from gatelearn.nn import Layer, Linear, Sequential, Tanh, Transformer
from gatelearn.rl import Bernoulli, Distribution, PlackettLuce, reinforce_gradient
from gatelearn.rl.learner import Learner, check_state, learning_rate


class Texts(Protocol):
    """A batch of texts with questions; `gatelearn.tasks.Batch` is one."""

    tokens: NDArray  # (B, T)
    query: NDArray   # (B, Q), -1 where unused
    answer: NDArray  # (B, Q)


class Seen(NamedTuple):
    """What a predictor sees of texts."""

    features: NDArray  # (B, T, F)
    fixed: NDArray     # (B, T) bool: attended to whatever is chosen


class BiasPredictor(Layer):
    """Predicts for each position of a text how much it matters to the text's queries.

    A small network reads, at each position, the embedded word and its two neighbours, the mean
    embedded query and the word before it, and how closely the three words resemble a query. Its
    logits are a policy over positions, or a bias that is learned by gradient. The first position
    and those of the queries are always attended to, so that no softmax is left without a key.

    Parameters
    ----------
    width : int
        Channels C of the embedding.
    hidden : int, default 64
        Hidden units.
    k : int, optional
        Choose this many positions as a ranking (Plackett-Luce). By default each position is a
        choice of its own (Bernoulli), and their number is free.
    strength : float, default 1e4
        What the scores of a position that is left out lose. The default leaves it no weight at all;
        one of the size of the scores leaves it some.
    open_logit : float, default 1
        Initial logit: most positions are attended to.
    bound : float, default 0.01
        Probabilities of the Bernoulli choices stay in ``[bound, 1 - bound]``.

    Examples
    --------
    >>> from gatelearn import nn
    >>> net = nn.Transformer(10, width=16, layers=2, heads=2).build(seed=0)
    >>> predictor = BiasPredictor(16).build(seed=0)
    >>> tokens, query = np.array([[1, 2, 3, 4]]), np.array([[3]])
    >>> seen = predictor.observe(net, tokens, query)
    >>> logits, _ = predictor.forward(*seen)
    >>> keep = predictor.keep(predictor.distribution.mode(logits), seen.fixed)
    >>> out, _ = net.forward(tokens, position=query, bias=predictor.hard_bias(keep))
    >>> keep.shape, out.shape
    ((1, 4), (1, 10))
    """

    def __init__(self, width: int, *, hidden: int = 64, k: int | None = None,
                 strength: float = 1e4, open_logit: float = 1.0, bound: float = 0.01):
        if not 0 < strength < np.inf:
            raise ValueError(f"strength is {strength}, expected above 0 and finite")
        self.width, self.strength, self.open_logit = width, strength, open_logit
        self.distribution: Distribution = Bernoulli(bound) if k is None else PlackettLuce(k)
        self.last = Linear(hidden, 1, gain=0.0)
        self.policy = Sequential(Linear(5*width + 3, hidden), Tanh(), self.last)

    def children(self) -> dict[str, Layer]:
        return {"policy": self.policy}

    def build(self, seed=0, dtype=np.float32):
        super().build(seed, dtype)
        self.last.param["bias"][...] = self.open_logit
        return self

    def observe(self, net: Transformer, tokens: NDArray, query: NDArray) -> Seen:
        """Return what `forward` reads of texts.

        Parameters
        ----------
        net : Transformer
            Whose embedding is read; no gradient goes into it.
        tokens : ndarray of int, shape (B, T)
        query : ndarray of int, shape (B, Q)
            Where answers are read; -1 leaves a slot out.

        Returns
        -------
        Seen
        """
        x = net.embed(tokens)
        x /= np.sqrt(np.mean(x*x, -1, keepdims=True)) + x.dtype.type(1e-6)
        B, T, C = x.shape
        sample, slot = np.nonzero(query >= 0)
        at = query[sample, slot]
        fixed = fixed_positions(T, query)

        # cosine with the nearest query; its own position does not count
        asked = np.zeros((*query.shape, C), x.dtype)
        asked[sample, slot] = x[sample, at]
        likeness = x @ asked.swapaxes(1, 2) / C
        likeness[sample, at, slot] = 0
        match = likeness.max(-1, initial=0)[..., None]

        count = np.maximum((query >= 0).sum(1), 1)[:, None].astype(x.dtype)
        before = np.zeros_like(asked)
        before[sample, slot] = x[sample, np.maximum(at - 1, 0)]
        task = np.concatenate([asked.sum(1) / count, before.sum(1) / count], 1)
        words = np.concatenate([x, match], 2)
        features = np.concatenate([_shifted(words, 1), words, _shifted(words, -1),
                                   np.broadcast_to(task[:, None], (B, T, 2*C))], 2)
        return Seen(features, fixed)

    def forward(self, features: NDArray, fixed: NDArray) -> tuple[NDArray, Any]:
        """Return the logits (B, T) of positions; those that are fixed have a constant."""
        y, saved = self.policy.forward(features)
        ranked = isinstance(self.distribution, PlackettLuce)
        return np.where(fixed, y.dtype.type(-np.inf if ranked else 0), y[..., 0]), (saved, fixed)

    def backward(self, dy: NDArray, saved: Any) -> tuple[NDArray, None]:
        """Return the gradient of `features`."""
        inner, fixed = saved
        return self.policy.backward(np.where(fixed, 0, dy)[..., None], inner), None

    def keep(self, actions: NDArray, fixed: NDArray) -> NDArray:
        """Return which positions are attended to, bool (..., B, T), under actions."""
        if isinstance(self.distribution, PlackettLuce):
            chosen = np.zeros((*actions.shape[:-1], fixed.shape[-1]), bool)
            np.put_along_axis(chosen, actions, True, -1)
        else:
            chosen = actions != 0
        return chosen | fixed

    def hard_bias(self, keep: NDArray) -> NDArray:
        """Return the bias of a choice: 0 where it attends, ``-strength`` elsewhere."""
        return np.where(keep, 0, -self.strength).astype(self.params.dtype)

    def soft_bias(self, logits: NDArray, fixed: NDArray) -> tuple[NDArray, NDArray]:
        """Return ``log(sigmoid(logits))``, which multiplies attention by the probability.

        Parameters
        ----------
        logits : ndarray, shape (B, T)
        fixed : ndarray of bool, shape (B, T)
            Their bias is 0.

        Returns
        -------
        bias : ndarray, shape (B, T)
        slope : ndarray, shape (B, T)
            Derivative of each bias by its logit.
        """
        bias = np.minimum(logits, 0) - np.log1p(np.exp(-abs(logits)))
        return np.where(fixed, 0, bias), np.where(fixed, 0, 1 - np.exp(bias))


def fixed_positions(T: int, query: NDArray) -> NDArray:
    """Return the positions (B, T) of texts that are always attended to.

    The first one, and those of the queries (B, Q), of which -1 is left out.
    """
    fixed = np.zeros((len(query), T), bool)
    fixed[:, :1] = True
    sample, slot = np.nonzero(query >= 0)
    fixed[sample, query[sample, slot]] = True
    return fixed


def _shifted(x: NDArray, by: int) -> NDArray:
    """Return x (B, T, C) a step later (1) or earlier (-1), with zeros where nothing comes in."""
    out = np.zeros_like(x)
    if by > 0:
        out[:, 1:] = x[:, :-1]
    else:
        out[:, :-1] = x[:, 1:]
    return out


def answer_loss(logits: NDArray, query: NDArray, answer: NDArray) -> tuple[float, NDArray]:
    """Return the mean cross-entropy of answers, each text weighing the same, and its gradient."""
    asked = query >= 0
    share = asked / np.maximum(asked.sum(1, keepdims=True), 1) / max(len(query), 1)
    weight = share[asked].astype(logits.dtype)
    loss, dlogits = F.cross_entropy_backward(weight, logits, answer[asked])
    return float(loss @ weight), dlogits


@dataclass(frozen=True)
class BiasTrainerConfig:
    """Settings of `BiasByReward` and `BiasByGradient`."""

    texts: int = 32
    """Texts an update, B."""
    samples: int = 8
    """Choices drawn for each text, S; by gradient there is one pass a text."""
    penalty: float = 0.3
    """Price of attending to all positions, in points of score, or nats of loss by gradient."""
    lr: float = 3e-3
    """Learning rate of the predictor."""
    anneal: int | None = None
    """Number of updates over which it falls on a straight line to 0; None keeps it."""
    joint: bool = False
    """Train the network along, by cross-entropy under the same bias."""
    net_lr: float = 3e-4
    """Its learning rate."""


class _BiasTrainer:
    """What both trainers share: the learners and their state."""

    def __init__(self, predictor: BiasPredictor, net: Transformer,
                 draw: Callable[[np.random.Generator, int], Texts], config: BiasTrainerConfig,
                 rng: np.random.Generator):
        self.predictor, self.net, self.draw = predictor, net, draw
        self.config, self.rng = config, rng
        self.learner = Learner(predictor)
        self.net_learner = Learner(net) if config.joint else None

    def descend(self, dlogits: NDArray, saved: Any) -> None:
        """Let the predictor take a step."""
        c, steps = self.config, self.learner.optimiser.steps
        self.learner.descend(dlogits, saved, learning_rate(c.lr, steps, c.anneal), 1.0)

    def price(self, logits: NDArray, fixed: NDArray) -> tuple[NDArray, NDArray]:
        """Return each text's expected share of positions (B,), and the gradient of the price."""
        p = F.sigmoid(logits)
        bound = getattr(self.distribution, "bound", 0)
        mean = np.where(fixed, 1, bound + (1 - 2*bound) * p)
        slope = np.where(fixed, 0, (1 - 2*bound) * p * (1 - p))
        return mean.mean(1), self.config.penalty * slope / fixed.size

    @property
    def distribution(self) -> Distribution:
        return self.predictor.distribution

    def state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Return everything that the next step depends on."""
        return self._arrays(), {"rng": self.rng.bit_generator.state}

    def _arrays(self) -> dict[str, NDArray]:
        state = self.learner.state("predictor")
        if self.net_learner is not None:
            state |= self.net_learner.state("net")
        return {k: np.asarray(v) for k, v in state.items()}

    def load_state(self, arrays: dict[str, NDArray], meta: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        check_state(self._arrays(), arrays)
        self.learner.load_state("predictor", arrays)
        if self.net_learner is not None:
            self.net_learner.load_state("net", arrays)
        self.rng.bit_generator.state = meta["rng"]


class BiasByReward(_BiasTrainer):
    """Trains a predictor's hard choices by REINFORCE [1]_: score - penalty * share attended.

    The score is sampled, with the other choices of the same text as baseline; the price of a choice
    is known in expectation, and its gradient is exact.

    Parameters
    ----------
    predictor : BiasPredictor
        Built.
    net : Transformer
        Changed only where `config.joint` says so.
    draw : callable
        ``draw(rng, n)`` returns n texts to train on.
    score : callable
        ``score(logits, query, answer)`` returns each text's reward (B,).
    config : BiasTrainerConfig
    rng : numpy.random.Generator
        Draws texts and choices.

    References
    ----------
    .. [1] R. J. Williams, "Simple statistical gradient-following algorithms for connectionist
       reinforcement learning", Machine Learning 8, 1992.
    """

    def __init__(self, predictor: BiasPredictor, net: Transformer,
                 draw: Callable[[np.random.Generator, int], Texts],
                 score: Callable[[NDArray, NDArray, NDArray], NDArray], config: BiasTrainerConfig,
                 rng: np.random.Generator):
        super().__init__(predictor, net, draw, config, rng)
        self.score = score

    def step(self) -> dict[str, Any]:
        """Draw texts and choices, score them, update the predictor; return metrics."""
        texts, S = self.draw(self.rng, self.config.texts), self.config.samples
        seen = self.predictor.observe(self.net, texts.tokens, texts.query)
        logits, saved = self.predictor.forward(*seen)
        tiled = np.broadcast_to(logits, (S, *logits.shape))
        actions, _ = self.distribution.draw(tiled, self.rng)
        keep = self.predictor.keep(actions, seen.fixed)

        tokens, query, answer = (np.tile(a, (S, 1))
                                 for a in (texts.tokens, texts.query, texts.answer))
        bias = self.predictor.hard_bias(keep.reshape(tokens.shape))
        out, net_saved = self.net.forward(tokens, position=query, bias=bias,
                                          save=self.config.joint)
        score = self.score(out, query, answer).reshape(S, -1)

        dlogits, metrics = reinforce_gradient(logits, actions, score, self.distribution)
        if not isinstance(self.distribution, PlackettLuce):
            dlogits += self.price(logits, seen.fixed)[1]
        self.descend(dlogits, saved)
        if self.net_learner is not None:
            _, danswers = answer_loss(out, query, answer)
            self.net_learner.descend(danswers, net_saved, self.config.net_lr, 1.0)
        share = float(keep.mean())
        return {"reward": float(score.mean()) - self.config.penalty * share,
                "score": float(score.mean()), "open": share,
                "advantage_std": metrics["advantage_std"],
                "text": f"score {100 * score.mean():.0f}%, {100 * share:.0f}% attended"}


class BiasByGradient(_BiasTrainer):
    """Trains a predictor through the gradient of its soft bias: cross-entropy + penalty * share.

    Parameters
    ----------
    predictor : BiasPredictor
        Built, without `k`: a ranking has no soft bias.
    net : Transformer
        Changed only where `config.joint` says so.
    draw : callable
        ``draw(rng, n)`` returns n texts to train on.
    config : BiasTrainerConfig
    rng : numpy.random.Generator
        Draws texts.

    Raises
    ------
    ValueError
        If the predictor ranks positions.
    """

    def __init__(self, predictor: BiasPredictor, net: Transformer,
                 draw: Callable[[np.random.Generator, int], Texts], config: BiasTrainerConfig,
                 rng: np.random.Generator):
        if isinstance(predictor.distribution, PlackettLuce):
            raise ValueError(f"predictor has {predictor.distribution}, expected Bernoulli choices")
        super().__init__(predictor, net, draw, config, rng)

    def step(self) -> dict[str, Any]:
        """Draw texts, follow the gradient; return metrics."""
        net, texts = self.net, self.draw(self.rng, self.config.texts)
        seen = self.predictor.observe(net, texts.tokens, texts.query)
        logits, saved = self.predictor.forward(*seen)
        bias, slope = self.predictor.soft_bias(logits, seen.fixed)
        out, net_saved = net.forward(texts.tokens, position=texts.query, bias=bias)
        loss, danswers = answer_loss(out, texts.query, texts.answer)

        # forward: bias = log(sigmoid(logits))
        net.grads[...] = 0
        _, dbias = net.backward(danswers, net_saved)
        share, dprice = self.price(logits, seen.fixed)
        self.descend(dbias * slope + dprice, saved)
        if self.net_learner is not None:
            self.net_learner.optimiser.step(self.config.net_lr, 1.0)
        return {"loss": loss, "open": float(share.mean()),
                "text": f"loss {loss:.2f}, {100 * share.mean():.0f}% attended"}
