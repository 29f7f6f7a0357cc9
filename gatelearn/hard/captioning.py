"""Training a captioner: likelihood with REINFORCE for where it looks, and self-critical tuning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import functional as F
from gatelearn._convert import as_real, check_shape
from gatelearn.hard.captioner import Captioner, CaptionerSaved
from gatelearn.hard.generation import describe, sentences
from gatelearn.rl import Baseline, MovingAverage, SelfCritical
from gatelearn.rl.baselines import as_baseline
from gatelearn.rl.learner import Learner, check_state, learning_rate

OBJECTIVES = ("likelihood", "self-critical")
BASELINES = ("moving", "loo", "mean", "none")


class CaptionBatch(Protocol):
    """Images with their captions."""

    images: NDArray    # (B, C, H, W), of the type of the captioner's parameters
    captions: NDArray  # (B, T)
    lengths: NDArray   # (B,), with the END that closes a caption


@dataclass(frozen=True)
class CaptionTrainerConfig:
    """Settings of `CaptionTrainer`."""

    objective: str = "likelihood"
    """"likelihood" of given captions, or "self-critical": the reward of made-up ones."""
    batch: int = 64
    """Images an update, B."""
    samples: int = 1
    """How often attention, or a caption, is drawn for each image, S. Soft attention needs 1; hard
    attention learns most surely from several, with baseline "loo"."""
    lr: float = 2e-3
    """Learning rate."""
    anneal: int | None = None
    """Updates over which it falls on a straight line to 0. None keeps it."""
    max_grad_norm: float | None = 1.0
    """Longest gradient; None is no limit."""
    baseline: str | Baseline = "moving"
    """What is taken from the log-likelihood of words before it weighs choices: "moving", an average
    over updates; "loo", the mean of the image's other samples; "mean", that of the batch; "none",
    nothing; or an object. A self-critical reward has the greedy caption's instead."""
    reinforce: float = 1.0
    """Weight of REINFORCE for the choices; 1 is the gradient of the expected objective."""
    discount: float = 1.0
    """How much of a word's likelihood the choice for the word before it is credited with."""
    entropy: float = 0.1
    """Bonus for the entropy of attention. Too small, and drawn attention settles early on regions
    that tell little; soft attention can do without."""
    doubly_stochastic: float = 0.0
    """Weight of the sum over regions of ``(1 - sum of its weights over words)**2``."""
    limit: int = 20
    """Most words of a made-up caption."""

    def __post_init__(self):
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective is {self.objective!r}, expected one of {OBJECTIVES}")
        for name in ("batch", "samples", "limit"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        if not 0 <= self.discount <= 1:
            raise ValueError(f"discount is {self.discount}, expected 0 <= discount <= 1")
        _baseline(self.baseline)
        if self.baseline == "loo" and self.objective == "likelihood" and self.samples < 2:
            raise ValueError(f"samples is {self.samples}, expected at least 2 for baseline 'loo'")


def _baseline(baseline: str | Baseline) -> Baseline:
    if isinstance(baseline, str) and baseline not in BASELINES:
        raise ValueError(f"baseline is {baseline!r}, expected one of {tuple(BASELINES)}")
    return MovingAverage() if baseline == "moving" else as_baseline(baseline)


def choice_advantages(rewards: NDArray, live: NDArray, baseline: Baseline,
                      discount: float = 1.0) -> NDArray:
    """Return what weighs the log-probability of each choice.

    A choice has no part in the words before it. Its advantage is the discounted sum of the rewards
    of its own word and those after it, from each of which the baseline was taken.

    Parameters
    ----------
    rewards : ndarray, shape (S, B, T)
        Of each word of S samples, such as its log-likelihood.
    live : ndarray of bool, shape (B, T)
        Which words count.
    baseline : Baseline
        One that needs rewards alone.
    discount : float, default 1

    Returns
    -------
    ndarray, shape (S, B, T)
        0 where no word counts.

    Examples
    --------
    >>> from gatelearn.rl import Baseline
    >>> rewards, live = np.array([[[1.0, 2.0, 9.0]]]), np.array([[True, True, False]])
    >>> choice_advantages(rewards, live, Baseline(), discount=0.5)
    array([[[2., 2., 0.]]])
    """
    advantages = np.zeros_like(rewards)
    advantages[:, live] = baseline.advantages(rewards[:, live])
    for t in reversed(range(rewards.shape[2] - 1)):
        advantages[..., t] += discount * advantages[..., t + 1]
    return advantages


class CaptionTrainer:
    r"""Trains a captioner by Adam.

    The *likelihood* objective, for each word of a caption y and choices s of where to look, is

    .. math:: \log p(y_t \mid s) + \lambda_e H(\alpha_t), \quad \text{less} \quad
              \alpha_c \sum_r \Bigl(1 - \sum_t \alpha_{tr}\Bigr)^2

    a caption [1]_, all divided by the number of words. Of its expectation over choices this is the
    gradient: that of the words through what was read, and REINFORCE for the choices alone, with the
    log-likelihood of the words as reward. Under mixed attention the captions that read the
    expectation are differentiated through it; the baseline sees all rewards.

    The *self-critical* objective [2]_ is a reward of captions that are drawn, such as BLEU, less
    that of the greedy caption of the same image; it also weighs the choices.

    Parameters
    ----------
    captioner : Captioner
        Built; its parameters are changed in place.
    draw : callable
        ``draw(rng, n)`` returns a `CaptionBatch` of n.
    config : CaptionTrainerConfig
    rng : numpy.random.Generator
        Draws batches, choices and words.
    reward : callable, optional
        For the self-critical objective: ``reward(captions, references)`` of two lists of n lists of
        words, with the `END` that closes them, returns n numbers.

    Raises
    ------
    ValueError
        If the captioner was not built or `reward` is missing.

    References
    ----------
    .. [1] K. Xu et al., "Show, Attend and Tell: Neural Image Caption Generation with Visual
       Attention", ICML 2015.
    .. [2] S. J. Rennie et al., "Self-Critical Sequence Training for Image Captioning", CVPR 2017.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from gatelearn import nn
    >>> def draw(rng, n):
    ...     words = rng.integers(1, 3, n)
    ...     images = np.zeros((n, 1, 1, 2), np.float32)
    ...     images[np.arange(n), 0, 0, words - 1] = 1
    ...     return SimpleNamespace(images=images, captions=np.stack((words, 0 * words), 1),
    ...                            lengths=np.full(n, 2))
    >>> captioner = Captioner(nn.Conv2d(1, 4, 1), 4, 2, vocabulary=3, attention="hard", hidden=16)
    >>> trainer = CaptionTrainer(captioner.build(seed=0), draw, CaptionTrainerConfig(lr=0.01),
    ...                          np.random.default_rng(0))
    >>> for _ in range(100):
    ...     metrics = trainer.step()
    >>> bool(metrics["loss"] < 0.1)
    True
    """

    def __init__(self, captioner: Captioner,
                 draw: Callable[[np.random.Generator, int], CaptionBatch],
                 config: CaptionTrainerConfig, rng: np.random.Generator,
                 reward: Callable[[list[list[int]], list[list[int]]], ArrayLike] | None = None):
        if config.objective == "self-critical" and reward is None:
            raise ValueError("reward is None, expected a function for the self-critical objective")
        self.captioner, self.draw, self.config, self.rng = captioner, draw, config, rng
        self.reward = reward
        self.learner = Learner(captioner)
        self.baseline = _baseline(config.baseline)
        self.updates = 0

    def step(self) -> dict[str, Any]:
        """Draw a batch and take one step; return metrics.

        Returns
        -------
        dict
            ``loss``, minus the mean log-likelihood of the words; ``entropy`` of attention and
            ``peak``, the largest weight, means over words; ``advantage_std``; ``grad_norm``; and,
            where it is the objective, ``reward`` of drawn and ``greedy`` of greedy captions.
        """
        c = self.config
        batch = self.draw(self.rng, c.batch)
        self.captioner.grads[...] = 0
        update = self._likelihood if c.objective == "likelihood" else self._self_critical
        metrics = update(batch)
        lr = learning_rate(c.lr, self.updates, c.anneal)
        metrics["grad_norm"] = self.learner.optimiser.step(lr, c.max_grad_norm)
        self.updates += 1
        return metrics

    def _likelihood(self, batch: CaptionBatch) -> dict[str, Any]:
        c, model = self.config, self.captioner
        logits, saved = model.forward(batch.images, batch.captions, batch.lengths, self.rng,
                                      samples=c.samples)
        live, words = saved.live, max(1, saved.live.sum())
        targets = np.where(live, np.tile(batch.captions, (c.samples, 1)), -1)
        weight = np.full(live.shape, 1 / words, logits.dtype)
        loss, dlogits = F.cross_entropy_backward(weight, logits, targets)

        advantages = np.zeros_like(loss)
        if not model.blind and (saved.choices >= 0).any():
            by_sample = (c.samples, len(batch.images), live.shape[1])
            advantages = choice_advantages(-loss.reshape(by_sample), live.reshape(by_sample)[0],
                                           self.baseline, c.discount).reshape(loss.shape)
        # loss = mean(cross-entropy - reinforce * advantages * logp) over words, and what follows
        model.backward(dlogits, saved, -c.reinforce * advantages * weight,
                       *self._attention_gradients(saved, words))
        mean = float(loss.sum() / words)
        return {"loss": mean, **self._describe(saved, advantages),
                "text": f"{mean:.2f} nats a word"}

    def _self_critical(self, batch: CaptionBatch) -> dict[str, Any]:
        c, model, S = self.config, self.captioner, self.config.samples
        regions, encoded = model.encode(batch.images)
        greedy = describe(model, regions, c.limit, self.rng)
        tiled = np.tile(regions, (S, 1, 1))
        drawn = describe(model, tiled, c.limit, self.rng, draw=True)
        references = sentences(batch.captions, batch.lengths, end=True)
        base = self._rewards(greedy.words, greedy.lengths, references)
        rewards = self._rewards(drawn.words, drawn.lengths, references * S).reshape(S, len(base))
        advantages = SelfCritical().advantages(rewards, None, base)

        logits, saved = model.decode(tiled, drawn.words, drawn.lengths, choices=drawn.choices)
        N = max(1, len(tiled))
        weight = np.where(saved.live, advantages.reshape(-1, 1) / N, 0).astype(logits.dtype)
        # loss = -sum over words of advantage * (logp of word + logp of choice), mean over captions
        loss, dlogits = F.cross_entropy_backward(weight, logits,
                                                 np.where(saved.live, drawn.words, -1))
        words = max(1, saved.live.sum())
        dregions = model.decode_backward(dlogits, saved, -c.reinforce * weight,
                                         *self._attention_gradients(saved, words))
        model.encode_backward(dregions.reshape(S, *regions.shape).sum(0), encoded)
        reward, of_greedy = float(rewards.mean()), float(base.mean())
        return {"loss": float(loss.sum() / words), "reward": reward, "greedy": of_greedy,
                **self._describe(saved, np.broadcast_to(advantages.reshape(-1, 1), loss.shape)),
                "text": f"reward {reward:.3f}, greedy {of_greedy:.3f}"}

    def _rewards(self, words: NDArray, lengths: NDArray, references: list[list[int]]) -> NDArray:
        rewards = as_real(self.reward(sentences(words, lengths, end=True), references), "rewards")
        return check_shape(rewards, "rewards", (len(words),))

    def _attention_gradients(self, saved: CaptionerSaved,
                             words: int) -> tuple[NDArray | None, NDArray | None]:
        """Gradient of entropy bonus and regulariser, with respect to entropy and weights."""
        c, dtype = self.config, saved.logp.dtype
        dentropy = dweights = None
        if c.entropy:
            dentropy = np.full(saved.live.shape, -c.entropy / words, dtype)
        if c.doubly_stochastic:
            # loss = doubly_stochastic * sum((1 - sum_t weights)**2) / words
            missing = 1 - saved.weights.sum(1, keepdims=True)
            dweights = np.broadcast_to(-2 * c.doubly_stochastic / words * missing,
                                       saved.weights.shape)
        return dentropy, dweights

    def _describe(self, saved: CaptionerSaved, advantages: NDArray) -> dict[str, float]:
        live = saved.live
        if not live.any():
            return {"entropy": 0.0, "peak": 0.0, "advantage_std": 0.0}
        return {"entropy": float(saved.entropy[live].mean()),
                "peak": float(saved.weights.max(-1)[live].mean()),
                "advantage_std": float(advantages[live].std())}

    def _kept(self) -> dict[str, Any]:
        return {"updates": self.updates, **self.learner.state("captioner"),
                **{f"baseline.{key}": value for key, value in self.baseline.state().items()}}

    def state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Return everything that the next step depends on."""
        return ({key: np.asarray(value) for key, value in self._kept().items()},
                {"rng": self.rng.bit_generator.state})

    def load_state(self, arrays: dict[str, NDArray], meta: dict[str, Any]) -> None:
        """Continue from what `state` returned.

        Raises
        ------
        ValueError
            If an entry is missing or unknown, or a shape differs; nothing is then changed.
        """
        check_state(self._kept(), arrays)
        self.updates = int(arrays["updates"])
        self.learner.load_state("captioner", arrays)
        self.baseline.load_state({key.removeprefix("baseline."): value
                                  for key, value in arrays.items() if key.startswith("baseline.")})
        self.rng.bit_generator.state = meta["rng"]
