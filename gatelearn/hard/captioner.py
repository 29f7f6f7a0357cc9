"""The captioner of Show, Attend and Tell: before each word it looks at the regions of an image."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import functional as F
from gatelearn._convert import as_index, check_shape
from gatelearn.hard import generation
from gatelearn.hard.generation import END, Captions
from gatelearn.hard.regions import AdditiveScore, DotScore, read, read_weights
from gatelearn.nn import LSTM, Embedding, Layer, LearnedPositions, Linear, Sequential, Tanh

ATTENTION = ("soft", "hard", "mixed", "random", "mean")
SCORES = {"multiplicative": DotScore, "additive": AdditiveScore}


class CaptionerSaved(NamedTuple):
    """What `Captioner.backward` needs; the first five tell where attention looked.

    N = S * B captions. What lies behind a caption's end is 0, and -1 in `choices`.
    """

    weights: NDArray   # (N, T, R), the probability of each region
    choices: NDArray   # (N, T), the region that was read, or -1 for the expectation over all
    logp: NDArray      # (N, T), log-probability of each choice, 0 for an expectation
    entropy: NDArray   # (N, T), of the weights
    live: NDArray      # (N, T), whether a word counts
    samples: int
    regions: NDArray   # (N, R, F)
    keys: NDArray      # (N, R, D)
    scores: NDArray    # (T, N, R), as all that follow: steps first
    context: NDArray   # (T, N, F), before its gate
    query: NDArray     # (T, N, D)
    gate: NDArray      # (T, N, 1)
    layers: dict[str, Any]  # what each layer saved, those of the loop one a step


class Captioner(Layer):
    r"""Describes an image word by word, looking at one region or at all of them before each [1]_.

    An encoder turns the image into R regions :math:`a_r` of F features. From the state
    :math:`h_{t-1}` of an LSTM come weights of the regions and, through a gate, the context

    .. math:: \alpha_t = \mathrm{softmax}_r\, e(h_{t-1}, a_r + \text{place}_r), \qquad
              \hat z_t = \sigma(f_\beta(h_{t-1})) \sum_r w_{tr} a_r

    where *soft* attention reads the expectation, :math:`w_t = \alpha_t`, and *hard* attention one
    region drawn from :math:`\alpha_t`. Then :math:`h_t = \mathrm{LSTM}(E y_{t-1}, \hat z_t)` and
    the word's logits are :math:`L_o \tanh(E y_{t-1} + L [h_t, \hat z_t])`.

    Word `END`, 0, closes each caption and stands before its first word.

    Parameters
    ----------
    encoder : Layer
        Images (B, C, H, W) to features (B, F, h, w), such as convolutions.
    features, regions : int
        F, and R = h * w.
    vocabulary : int
        V, number of words, with `END`.
    width : int, default 64
        Of the words' embedding and the layer before the logits, M.
    hidden : int, default 128
        Of the LSTM.
    key_width : int, default 64
        Of queries and keys, D.
    score : {'multiplicative', 'additive'}, default 'multiplicative'
        ``query . key / sqrt(D)`` or ``weight . tanh(query + key)``.
    attention : {'soft', 'hard', 'mixed', 'random', 'mean'}, default 'soft'
        'soft' reads the expectation, 'hard' a region drawn for each word. 'mixed' tosses a coin for
        each caption that it is taught, and is hard when it describes. Two baselines leave the
        scores aside: 'random' reads a region drawn evenly, 'mean' the mean of all. The attribute
        may be set, so that what was trained one way looks another.
    soft_share : float, default 0.5
        Share of captions that are soft where `attention` is 'mixed'.
    glance : bool, default True
        Whether the first state comes from the mean region, as in [1]_. That alone tells much of a
        small image; without it, all that is known of an image comes through attention.

    Notes
    -----
    ``place``, a learned vector a region, is added to the keys: features that a small encoder makes
    do not tell where they come from. A choice is a number without a gradient: `backward` gives the
    region that was read the context's gradient, and the scores that of `logp` and `entropy`, which
    the caller passes (REINFORCE), and nothing else.

    Raises
    ------
    ValueError
        If `score` or `attention` is unknown or `soft_share` out of [0, 1].

    References
    ----------
    .. [1] K. Xu et al., "Show, Attend and Tell: Neural Image Caption Generation with Visual
       Attention", ICML 2015.

    Examples
    --------
    >>> from gatelearn import nn
    >>> encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4))
    >>> captioner = Captioner(encoder, 8, 4, vocabulary=5, attention="hard").build(seed=0)
    >>> rng = np.random.default_rng(0)
    >>> images = rng.random((2, 3, 8, 8), np.float32)
    >>> logits, saved = captioner.forward(images, [[3, 1, 0], [2, 0, 0]], [3, 2], rng)
    >>> logits.shape, saved.weights.shape, saved.choices.shape
    ((2, 3, 5), (2, 3, 4), (2, 3))
    >>> captioner.backward(np.ones_like(logits), saved, dlogp=np.ones_like(saved.logp)).shape
    (2, 3, 8, 8)
    >>> captioner.greedy(images, limit=6).words.shape[0]
    2
    """

    def __init__(self, encoder: Layer, features: int, regions: int, vocabulary: int, *,
                 width: int = 64, hidden: int = 128, key_width: int = 64,
                 score: str = "multiplicative", attention: str = "soft", soft_share: float = 0.5,
                 glance: bool = True):
        if score not in SCORES:
            raise ValueError(f"score is {score!r}, expected one of {tuple(SCORES)}")
        if attention not in ATTENTION:
            raise ValueError(f"attention is {attention!r}, expected one of {ATTENTION}")
        if not 0 <= soft_share <= 1:
            raise ValueError(f"soft_share is {soft_share}, expected 0 <= soft_share <= 1")
        self.features, self.regions, self.vocabulary = features, regions, vocabulary
        self.width, self.hidden, self.key_width = width, hidden, key_width
        self.attention, self.soft_share, self.glance = attention, soft_share, glance
        self.encoder = encoder
        self.start = Sequential(Linear(features, 2 * hidden), Tanh())
        self.embedding = Embedding(vocabulary, width, std=0.5)
        self.key = Sequential(Linear(features, key_width, bias=False),
                              LearnedPositions(regions, key_width, std=1.0))
        # queries, and one more column for the gate
        self.look = Linear(hidden, key_width + 1)
        self.score: DotScore | AdditiveScore = SCORES[score](key_width)
        self.lstm = LSTM(width + features, hidden)
        self.deep = Linear(hidden + features, width)
        self.tanh = Tanh()
        self.output = Linear(width, vocabulary)

    @property
    def blind(self) -> bool:
        """Whether scores are left aside."""
        return self.attention in ("random", "mean")

    def children(self) -> dict[str, Layer]:
        return {name: getattr(self, name) for name in (
            "encoder", "start", "embedding", "key", "look", "score", "lstm", "deep", "output")}

    def encode(self, images: NDArray) -> tuple[NDArray, tuple[Any, tuple[int, ...]]]:
        """Return regions (B, R, F) of images (B, C, H, W), and what `encode_backward` needs.

        Raises
        ------
        ValueError
            If the encoder gives other than F features of R regions.
        """
        features, saved = self.encoder.forward(images)
        B = len(images)
        if features.ndim != 4 or features.shape[1] != self.features or (
                features.shape[2] * features.shape[3] != self.regions):
            raise ValueError(f"the encoder gives shape {features.shape}, expected "
                             f"({B}, {self.features}, h, w) with h * w = {self.regions}")
        regions = features.reshape(B, self.features, self.regions).swapaxes(1, 2)
        return np.ascontiguousarray(regions), (saved, features.shape)

    def encode_backward(self, dregions: NDArray, saved: tuple[Any, tuple[int, ...]]) -> NDArray:
        """Return the gradient of `encode`'s images."""
        dfeatures = np.ascontiguousarray(dregions.swapaxes(1, 2)).reshape(saved[1])
        return self.encoder.backward(dfeatures, saved[0])

    def forward(self, images: NDArray, captions: ArrayLike, lengths: ArrayLike,
                rng: np.random.Generator | None = None, choices: ArrayLike | None = None, *,
                samples: int = 1) -> tuple[NDArray, CaptionerSaved]:
        """Return the logits of each word of given captions, each word after those before it.

        Parameters
        ----------
        images : ndarray, shape (B, C, H, W)
            Of the type of the parameters.
        captions : array_like of int, shape (B, T)
            Words in [0, V). Those behind a caption's length may be anything.
        lengths : array_like of int, shape (B,)
            Words of each caption, with the `END` that closes it, at most T.
        rng : numpy.random.Generator, optional
            Draws regions, and the coins of mixed attention. Soft attention needs none.
        choices : array_like of int, shape (S * B, T), optional
            Regions to read instead of drawing them; -1 reads the expectation. For every attention.
        samples : int, default 1
            S, how often attention is drawn for each image. The encoder runs once.

        Returns
        -------
        logits : ndarray, shape (S * B, T, V)
            Row ``s * B + b`` is of sample s of image b; 0 behind a caption's length.
        saved : CaptionerSaved
            With ``weights``, ``choices``, ``logp`` and ``entropy``.

        Raises
        ------
        IndexError
            If a word is out of range.
        ValueError
            If shapes do not match, a length or choice is out of range, or `rng` is missing.
        """
        regions, encoded = self.encode(images)
        logits, saved = self.decode(regions, captions, lengths, rng, choices, samples=samples)
        saved.layers["encoder"] = encoded
        return logits, saved

    def backward(self, dy: NDArray, saved: CaptionerSaved, dlogp: NDArray | None = None,
                 dentropy: NDArray | None = None, dweights: NDArray | None = None) -> NDArray:
        """Return the gradient of the images; add those of the parameters.

        Parameters
        ----------
        dy : ndarray, shape (S * B, T, V)
            Gradient with respect to the logits. What is behind a caption's length is ignored, here
            as below.
        saved : CaptionerSaved
            Of the forward pass.
        dlogp, dentropy : ndarray, shape (S * B, T), optional
            Gradient with respect to ``saved.logp`` (of choices, which are constants; an
            expectation has none) and ``saved.entropy``; 0 by default.
        dweights : ndarray, shape (S * B, T, R), optional
            Gradient with respect to ``saved.weights``, such as that of a regulariser.

        Returns
        -------
        ndarray, shape (B, C, H, W)
        """
        dregions = self.decode_backward(dy, saved, dlogp, dentropy, dweights)
        return self.encode_backward(dregions, saved.layers["encoder"])

    def begin(self, regions: NDArray) -> tuple[NDArray, NDArray, dict[str, Any]]:
        """Return keys (B, R, D) and the first state (B, 2, H), and what their backward needs."""
        keys, saved_key = self.key.forward(regions)
        mean = regions.mean(1) if self.glance else np.zeros_like(regions[:, 0])
        state, saved_start = self.start.forward(mean)
        return (keys, state.reshape(len(regions), 2, self.hidden),
                {"key": saved_key, "start": saved_start})

    def attend(self, hidden: NDArray,
               keys: NDArray) -> tuple[NDArray, NDArray, NDArray, Any]:
        """Return query, gate and scores of one step, and what the backward pass needs."""
        looked, saved = self.look.forward(hidden)
        query, gate = looked[:, :-1], F.sigmoid(looked[:, -1:])
        if self.blind:
            return query, gate, np.zeros(keys.shape[:2], keys.dtype), saved
        return query, gate, self.score.forward(query, keys), saved

    def words(self, hidden: NDArray, gated: NDArray,
              embedded: NDArray) -> tuple[NDArray, dict[str, Any]]:
        """Return logits (..., V) from the state, the gated context and the word before."""
        deep, saved_deep = self.deep.forward(np.concatenate((hidden, gated), -1))
        deep, saved_tanh = self.tanh.forward(deep + embedded)
        logits, saved_output = self.output.forward(deep)
        return logits, {"deep": saved_deep, "tanh": saved_tanh, "output": saved_output}

    def decode(self, regions: NDArray, captions: ArrayLike, lengths: ArrayLike,
               rng: np.random.Generator | None = None, choices: ArrayLike | None = None, *,
               samples: int = 1) -> tuple[NDArray, CaptionerSaved]:
        """As `forward`, from regions (B, R, F) that `encode` returned."""
        captions, live = self._taught(captions, lengths, len(regions), samples)
        regions = np.tile(regions, (samples, 1, 1))
        (N, T), (_, R, width), M, dtype = captions.shape, regions.shape, self.width, regions.dtype
        chosen, uniforms = self._plan(choices, rng, N, T)

        # what no step waits for: keys, the first state, the words before
        keys, state, layers = self.begin(regions)
        before = np.full((T, N), END)
        before[1:] = np.where(live.T[1:], captions.T[:-1], END)
        embedded, layers["embedding"] = self.embedding.forward(before)

        x = np.empty((T, N, M + width), dtype)
        x[..., :M] = embedded
        query, scores, weights, gate, context, hidden = (
            np.empty((T, N, n), dtype) for n in (self.key_width, R, R, 1, width, self.hidden))
        layers["look"], layers["lstm"] = [], []
        for t in range(T):
            query[t], gate[t], scores[t], saved = self.attend(state[:, 0], keys)
            layers["look"].append(saved)
            F.softmax(scores[t], out=weights[t])
            if uniforms is not None:
                drawn, _ = F.categorical_sample(scores[t], uniforms[t])
                chosen[t] = np.where(chosen[t] < 0, -1, drawn)
            context[t] = read(regions, weights[t], chosen[t])
            np.multiply(gate[t], context[t], out=x[t, :, M:])
            y, saved = self.lstm.forward(x[t][:, None], state)
            layers["lstm"].append(saved)
            hidden[t], state = y[:, 0], saved.state

        # the words of all steps at once
        logits, saved = self.words(*(a.swapaxes(0, 1) for a in (hidden, x[..., M:], embedded)))
        layers |= saved
        logits[~live] = 0

        weights[~live.T] = 0
        chosen[~live.T] = -1
        logp = F.categorical_log_prob(scores, np.maximum(chosen, 0))
        logp[chosen < 0] = 0
        entropy = F.categorical_entropy(scores)
        entropy[~live.T] = 0
        return logits, CaptionerSaved(weights.swapaxes(0, 1), chosen.T, logp.T, entropy.T, live,
                                      samples, regions, keys, scores, context, query, gate, layers)

    def _taught(self, captions: ArrayLike, lengths: ArrayLike, B: int,
                samples: int) -> tuple[NDArray, NDArray]:
        """Return captions and which of their words count, each of shape (samples * B, T)."""
        captions, lengths = as_index(captions, "captions", ndim=2), as_index(lengths, "lengths")
        T = captions.shape[1]
        check_shape(captions, "captions", (B, T))
        check_shape(lengths, "lengths", (B,))
        if B and not (lengths.min() >= 0 and lengths.max() <= T):
            raise ValueError(f"lengths holds values from {lengths.min()} to {lengths.max()}, "
                             f"expected 0 to T = {T}")
        if samples < 1:
            raise ValueError(f"samples is {samples}, expected at least 1")
        live = np.arange(T) < lengths[:, None]
        words = captions[live]
        if words.size and not (words.min() >= 0 and words.max() < self.vocabulary):
            raise IndexError(f"captions holds words from {words.min()} to {words.max()}, "
                             f"expected 0 to {self.vocabulary - 1}")
        return np.tile(captions, (samples, 1)), np.tile(live, (samples, 1))

    def _plan(self, choices: ArrayLike | None, rng: np.random.Generator | None, N: int,
              T: int) -> tuple[NDArray, NDArray | None]:
        """Return choices (T, N), -1 for expectations, and numbers that draw the others, or None."""
        if choices is not None:
            choices = check_shape(as_index(choices, "choices"), "choices", (N, T))
            if choices.size and not (choices.min() >= -1 and choices.max() < self.regions):
                raise ValueError(f"choices holds values from {choices.min()} to {choices.max()}, "
                                 f"expected -1 to {self.regions - 1}")
            return choices.T.copy(), None
        chosen = np.full((T, N), -1)
        if self.attention in ("soft", "mean"):
            return chosen, None
        if rng is None:
            raise ValueError(f"rng is None, expected a generator for {self.attention} attention")
        soft = np.zeros(N, bool)
        if self.attention == "mixed":
            soft = rng.random(N) < self.soft_share
        chosen[:, ~soft] = 0
        return chosen, rng.random((T, N), self.output.param["weight"].dtype)

    def decode_backward(self, dy: NDArray, saved: CaptionerSaved, dlogp: NDArray | None = None,
                        dentropy: NDArray | None = None,
                        dweights: NDArray | None = None) -> NDArray:
        """As `backward`, to the gradient of the regions, (B, R, F)."""
        s, layers, M, H = saved, saved.layers, self.width, self.hidden
        T, N, R = s.scores.shape
        weights, chosen, live = s.weights.swapaxes(0, 1), s.choices.T, s.live[..., None]
        dtype = s.scores.dtype

        # logits = output(tanh(deep([hidden, gated]) + embedded))
        ddeep = self.output.backward(np.where(live, np.asarray(dy, dtype), 0), layers["output"])
        ddeep = self.tanh.backward(ddeep, layers["tanh"])
        dembedded = ddeep.swapaxes(0, 1).copy()
        dboth = self.deep.backward(ddeep, layers["deep"]).swapaxes(0, 1)
        dhidden, dgated = dboth[..., :H], dboth[..., H:].copy()

        # what reaches the scores from elsewhere than the context
        dscores = np.zeros_like(s.scores)
        if dlogp is not None or dentropy is not None:
            dlogp, dentropy = (
                None if d is None else np.where(where, np.asarray(d, dtype).T, 0)
                for d, where in ((dlogp, chosen >= 0), (dentropy, s.live.T)))
            dscores += F.categorical_backward(s.scores, np.maximum(chosen, 0), dlogp, dentropy)
        if dweights is not None:
            dweights = np.where(live, np.asarray(dweights, dtype), 0)
            dscores += F.softmax_backward(dweights.swapaxes(0, 1), weights)

        dcontext, dstate = np.empty_like(s.context), np.zeros((N, 2, H), dtype)
        for t in reversed(range(T)):
            # y, state = lstm([embedded, gated], state)
            dx, dstate = self.lstm.backward(dhidden[t][:, None], layers["lstm"][t], dstate)
            dembedded[t] += dx[:, 0, :M]
            dgated[t] += dx[:, 0, M:]

            # gated = gate * context
            dcontext[t] = dgated[t] * s.gate[t]
            dgate = (dgated[t] * s.context[t]).sum(-1, keepdims=True)

            # context = softmax(scores) @ regions, or one region, which has no gradient to scores
            soft = (chosen[t] < 0) & s.live[:, t]
            if soft.any():
                dread = (s.regions @ dcontext[t][..., None])[..., 0]
                dread[~soft] = 0
                dscores[t] += F.softmax_backward(dread, weights[t])
            if self.blind:
                dscores[t] = 0

            # query, gate = look(h); scores = score(query, keys)
            dquery = self.score.dquery(dscores[t], s.query[t], s.keys)
            dlooked = np.concatenate((dquery, F.sigmoid_backward(dgate, s.gate[t])), -1)
            dstate[:, 0] += self.look.backward(dlooked, layers["look"][t])

        # what no step waited for; what is behind a caption's end was read with a weight of 0
        self.embedding.backward(dembedded, layers["embedding"])
        dregions = read_weights(weights, chosen).transpose(1, 2, 0) @ dcontext.swapaxes(0, 1)
        dregions += self.key.backward(self.score.dkey(dscores, s.query, s.keys), layers["key"])
        # state = start(mean(regions)), or start(0)
        dmean = self.start.backward(dstate.reshape(N, 2 * H), layers["start"])
        if self.glance:
            dregions += dmean[:, None] / R
        return dregions.reshape(s.samples, N // s.samples, R, self.features).sum(0)

    def greedy(self, images: NDArray, limit: int = 20,
               rng: np.random.Generator | None = None) -> Captions:
        """Describe images by the likeliest word at each step.

        Hard and mixed attention read the likeliest region.

        Parameters
        ----------
        images : ndarray, shape (B, C, H, W)
        limit : int, default 20
            Most words of a caption, with `END`.
        rng : numpy.random.Generator, optional
            Draws the regions of 'random' attention.

        Returns
        -------
        Captions

        Raises
        ------
        FloatingPointError
            If a logit or score is not finite, as in `sample` and `beam_search`.
        ValueError
            If `limit` is below 1, or `rng` is missing.
        """
        return generation.describe(self, self.encode(images)[0], limit, rng)

    def sample(self, images: NDArray, rng: np.random.Generator, limit: int = 20) -> Captions:
        """Describe images by words and, but for soft attention, regions that are drawn.

        Parameters
        ----------
        images : ndarray, shape (B, C, H, W)
        rng : numpy.random.Generator
        limit : int, default 20
            Most words of a caption, with `END`.

        Returns
        -------
        Captions
        """
        return generation.describe(self, self.encode(images)[0], limit, rng, draw=True)

    def beam_search(self, images: NDArray, width: int = 5, limit: int = 20, *,
                    length_penalty: float = 0.0,
                    rng: np.random.Generator | None = None) -> Captions:
        """Describe images by the best caption that a search of some breadth finds.

        At each step the `width` best continuations of all hypotheses are kept. One that `END`
        closes is set aside and takes its place of the `width` along; the search ends when none is
        left, or at `limit`. Of those set aside the one with the largest
        ``logp / length ** length_penalty`` is returned. Width 1 is `greedy`. Regions are read as in
        `greedy`.

        Parameters
        ----------
        images : ndarray, shape (B, C, H, W)
        width : int, default 5
        limit : int, default 20
            Most words of a caption, with `END`.
        length_penalty : float, default 0
            0 compares log-probabilities, which favours short captions; 1 their mean over words.
        rng : numpy.random.Generator, optional
            Draws the regions of 'random' attention.

        Returns
        -------
        Captions
        """
        return generation.beam_search(self, self.encode(images)[0], width, limit, length_penalty,
                                      rng)
