"""The captioner: gradients, PyTorch, masks, choices that leak nothing, captions it makes up."""

import itertools

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads

from gatelearn import functional as F
from gatelearn import nn
from gatelearn.hard import END, Captioner, sentences
from gatelearn.hard.captioner import ATTENTION, SCORES

CAPTIONS, LENGTHS = np.array([[3, 1, 4, 0], [2, 0, 0, 0], [1, 1, 2, 3]]), np.array([4, 2, 3])
CHOICES = np.array([[1, 0, 3, 2], [3, 3, 0, 0], [0, 2, 2, 1]])
MIXED = np.where([[True], [False], [True]], CHOICES, -1)
# what chooses for itself is given choices, so that each forward pass reads the same
CASES = {"soft": None, "hard": CHOICES, "mixed": MIXED, "random": CHOICES, "mean": None}


def make(attention="soft", score="multiplicative", **options):
    options = dict(vocabulary=5, width=4, hidden=3, key_width=2) | options
    encoder = nn.Sequential(nn.Conv2d(2, 3, 2, stride=2), nn.Tanh())
    return Captioner(encoder, 3, 4, score=score, attention=attention, **options)


def built(*args, dtype=np.float32, seed=0, scale=1, **options):
    """A captioner with biases; the larger its parameters, the more its captions differ."""
    captioner = make(*args, **options).build(seed, dtype)
    captioner.params += (0.3 * np.random.default_rng(1).standard_normal(
        captioner.params.shape)).astype(dtype)
    captioner.params *= scale
    return captioner


def pictures(count=3, dtype=np.float64, seed=2):
    return np.random.default_rng(seed).standard_normal((count, 2, 4, 4)).astype(dtype)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("attention", ATTENTION)
def test_words_gradient(attention, score):
    nn.check_layer(make(attention, score), pictures(), CAPTIONS, LENGTHS, None, CASES[attention])


def test_words_gradient_without_a_glance():
    nn.check_layer(make("hard", glance=False), pictures(), CAPTIONS, LENGTHS, None, CHOICES)


class Looks(nn.Layer):
    """A captioner as a layer whose output is where it looks."""

    def __init__(self, captioner):
        self.captioner = captioner

    def children(self):
        return {"captioner": self.captioner}

    def forward(self, images, *args):
        logits, saved = self.captioner.forward(images, *args)
        parts = saved.logp[..., None], saved.entropy[..., None], saved.weights
        return np.concatenate(parts, -1), (np.zeros_like(logits), saved)

    def backward(self, dy, saved):
        return self.captioner.backward(*saved, dy[..., 0], dy[..., 1], dy[..., 2:])


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("attention", ["soft", "hard", "mixed"])
def test_gradient_of_where_it_looks(attention, score):
    nn.check_layer(Looks(make(attention, score)), pictures(), CAPTIONS, LENGTHS, None,
                   CASES[attention])


def test_samples_leak_no_gradient():
    captioner = built("hard", dtype=np.float64)
    logits, saved = captioner.forward(pictures(), CAPTIONS, LENGTHS, np.random.default_rng(0))
    captioner.backward(np.ones_like(logits), saved)
    key, place = (captioner.key.layers[i].grad for i in (0, 1))
    query = captioner.look.grad["weight"][:, :-1], captioner.look.grad["bias"][:-1]
    assert not any(g.any() for g in (key["weight"], place["table"], *query))
    assert captioner.look.grad["weight"][:, -1].any()  # the gate is no sample

    # the log-probability of choices is what reaches them
    captioner.backward(np.zeros_like(logits), saved, np.ones_like(saved.logp))
    assert all(g.any() for g in (key["weight"], place["table"], *query))


def test_hard_attention_reads_the_chosen_regions_alone():
    captioner = built("hard", dtype=np.float64, glance=False)
    regions, _ = captioner.encode(pictures())
    choices = np.minimum(CHOICES, 2)
    logits, saved = captioner.decode(regions, CAPTIONS, LENGTHS, None, choices)
    chosen = np.zeros(regions.shape[:2], bool)
    for b, looks in enumerate(saved.choices):
        chosen[b, looks[looks >= 0]] = True
    assert not chosen.all(1).any()
    dregions = captioner.decode_backward(np.ones_like(logits), saved)
    assert (dregions.any(-1) == chosen).all()
    regions[~chosen] = 1e3
    same_bits(logits, captioner.decode(regions, CAPTIONS, LENGTHS, None, choices)[0])


@pytest.mark.parametrize("attention", ["random", "mean"])
def test_blind_attention_is_even_and_has_no_gradient(attention, rng):
    captioner = built(attention)
    logits, saved = captioner.forward(pictures(dtype=np.float32), CAPTIONS, LENGTHS, rng)
    captioner.backward(np.ones_like(logits), saved, np.ones_like(saved.logp),
                       np.ones_like(saved.logp), saved.weights)
    assert (saved.weights[saved.live] == 0.25).all()
    assert not captioner.key.layers[0].grad["weight"].any()
    assert ((saved.choices >= 0) == (saved.live & (attention == "random"))).all()


def test_attention_may_be_set():
    captioner, images = built("mixed"), pictures(dtype=np.float32)
    for attention in ATTENTION:
        captioner.attention = attention
        made = [c.greedy(images, 5, np.random.default_rng(0))
                for c in (captioner, built(attention))]
        for a, b in zip(*made, strict=True):
            same_bits(a, b)


def torch_captioner(torch, captioner, images, choices):
    """The same network step by step in PyTorch: logits, log-probabilities, named parameters."""
    p = {name: torch.tensor(value, requires_grad=True)
         for name, value in captioner.named_parameters().items()}

    def linear(name, x):
        y = x @ p[f"{name}.weight"]
        return y + p[f"{name}.bias"] if f"{name}.bias" in p else y

    features = torch.tanh(torch.nn.functional.conv2d(
        images, p["encoder.0.weight"], p["encoder.0.bias"], stride=2))
    regions = features.flatten(2).transpose(1, 2)
    keys = linear("key.0", regions) + p["key.1.table"]
    h, c = torch.tanh(linear("start.0", regions.mean(1))).chunk(2, -1)
    before, row = torch.full((len(images),), END), torch.arange(len(images))
    logits, logp = [], []
    for t in range(CAPTIONS.shape[1]):
        looked = linear("look", h)
        query = looked[:, None, :-1]
        if captioner.score.__class__.__name__ == "DotScore":
            scores = (query * keys).sum(-1) / keys.shape[-1]**0.5
        else:
            scores = torch.tanh(query + keys) @ p["score.weight"]
        if choices is None:
            context = (scores.softmax(-1)[..., None] * regions).sum(1)
        else:
            choice = torch.tensor(choices[:, t])
            context = regions[row, choice]
            logp.append(scores.log_softmax(-1)[row, choice])
        gated = torch.sigmoid(looked[:, -1:]) * context
        embedded = p["embedding.table"][before]
        i, f, g, o = (torch.cat((embedded, gated), -1) @ p["lstm.wx"] + h @ p["lstm.wh"]
                      + p["lstm.bias"]).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        deep = torch.tanh(linear("deep", torch.cat((h, gated), -1)) + embedded)
        logits.append(linear("output", deep))
        before = torch.tensor(CAPTIONS[:, t])
    return torch.stack(logits, 1), torch.stack(logp, 1) if logp else None, p


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("attention", ["soft", "hard"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_pytorch(attention, score, dtype, rng):
    torch = pytest.importorskip("torch")
    captioner = built(attention, score, dtype=dtype)
    images, choices = pictures(dtype=dtype), CASES[attention]
    logits, saved = captioner.forward(images, CAPTIONS, LENGTHS, None, choices)
    live = saved.live
    dy = rng.standard_normal(logits.shape).astype(dtype)
    dlogp = rng.standard_normal(live.shape).astype(dtype)
    dimages = captioner.backward(dy, saved, dlogp)

    inputs = torch.tensor(images, requires_grad=True)
    expected, logp, p = torch_captioner(torch, captioner, inputs, choices)
    close(logits[live], expected.detach().numpy()[live])
    loss = (expected * torch.tensor(dy))[torch.tensor(live)].sum()
    if logp is not None:
        close(saved.logp[live], logp.detach().numpy()[live])
        loss = loss + (logp * torch.tensor(dlogp))[torch.tensor(live)].sum()
    loss.backward()
    close(dimages, inputs.grad.numpy())
    close(captioner.grads, np.concatenate([
        np.zeros(v.numel()) if v.grad is None else v.grad.numpy().ravel() for v in p.values()]))


@pytest.mark.parametrize("attention", ATTENTION)
def test_what_is_behind_a_caption_changes_nothing(attention):
    captioner, images = built(attention), pictures(dtype=np.float32)
    results = []
    for rest in (0, 4):
        captions, choices = CAPTIONS.copy(), CASES[attention]
        captions[np.arange(4) >= LENGTHS[:, None]] = rest - 7  # not even words
        logits, saved = captioner.forward(images, captions, LENGTHS, None, choices)
        live, behind = saved.live, np.full(saved.logp.shape, np.nan, np.float32)
        behind[live] = 1
        captioner.grads[...] = 0
        dy, dweights = (np.where(live[..., None], 1, np.nan).astype(np.float32)
                        * np.ones((1, 1, n), np.float32) for n in (5, 4))
        dimages = captioner.backward(dy, saved, behind, behind, dweights)
        assert not logits[~live].any() and not saved.weights[~live].any()
        assert not saved.logp[~live].any() and not saved.entropy[~live].any()
        assert (saved.choices[~live] == -1).all()
        results.append((logits, dimages, captioner.grads.copy()))
        assert np.isfinite(captioner.grads).all()
    for a, b in zip(*results, strict=True):
        same_bits(a, b)


@pytest.mark.parametrize("attention", ATTENTION)
def test_same_bits_on_any_number_of_threads(attention):
    encoder = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4))
    captioner = Captioner(encoder, 32, 16, 40, attention=attention).build(0)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((24, 3, 16, 16), np.float32)
    captions, lengths = rng.integers(1, 40, (24, 7)), rng.integers(1, 8, 24)

    def run():
        rng = np.random.default_rng(1)
        logits, saved = captioner.forward(images, captions, lengths, rng)
        captioner.grads[...] = 0
        dimages = captioner.backward(logits, saved, saved.logp, saved.entropy, saved.weights)
        made = captioner.sample(images, rng, 6)
        best = captioner.beam_search(images, 3, 6, rng=np.random.default_rng(2))
        return (logits, dimages, captioner.grads.copy(), saved.weights, *made, *best)

    same_for_any_threads(run)


def test_samples_share_the_encoder(rng):
    captioner, images = built("hard", dtype=np.float64), pictures()
    logits, saved = captioner.forward(images, CAPTIONS, LENGTHS, rng, samples=3)
    dy = rng.standard_normal(logits.shape)
    dimages = captioner.backward(dy, saved)
    grads = captioner.grads.copy()

    captioner.grads[...] = 0
    thrice = [np.concatenate([a] * 3) for a in (images, CAPTIONS, LENGTHS)]
    expected, tiled = captioner.forward(*thrice, None, saved.choices)
    close(logits, expected)
    close(dimages, captioner.backward(dy, tiled).reshape(3, *images.shape).sum(0))
    close(grads, captioner.grads)
    assert (saved.choices[:3] != saved.choices[3:6]).any()


def test_choices_are_drawn_from_the_weights(rng):
    captioner = built("hard")
    images = np.repeat(pictures(1, np.float32), 4000, 0)
    _, saved = captioner.forward(images, np.ones((4000, 1), int), np.ones(4000, int), rng)
    share = np.bincount(saved.choices[:, 0], minlength=4) / 4000
    np.testing.assert_allclose(share, saved.weights[0, 0], atol=0.03)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_mixed_attention_tosses_a_coin_a_caption(share, rng):
    captioner = built("mixed", soft_share=share)
    images = np.repeat(pictures(1, np.float32), 2000, 0)
    _, saved = captioner.forward(images, np.ones((2000, 3), int), np.full(2000, 3), rng)
    soft = saved.choices == -1
    assert (soft == soft[:, :1]).all()
    assert abs(soft.mean() - share) <= (0.04 if 0 < share < 1 else 0)


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("make_up", ["greedy", "sample", "beam_search"])
def test_captions_agree_with_teaching(attention, make_up):
    # given the words and choices back, forward gives their log-probability and the same weights
    captioner, images = built(attention, dtype=np.float64, seed=3, scale=3), pictures(20)
    rng = np.random.default_rng(0)
    made = getattr(captioner, make_up)(images, rng=rng, limit=5)
    logits, saved = captioner.forward(images, made.words, made.lengths, None, made.choices)
    logp = -F.cross_entropy(logits, np.where(saved.live, made.words, -1)).sum(1)
    close(made.logp, logp)
    close(made.weights, saved.weights)
    ended = np.array([END in row[:n] for row, n in zip(made.words, made.lengths, strict=True)])
    assert (ended | (made.lengths == 5)).all() and 0 < made.lengths.mean() < 5
    assert (made.words[~saved.live] == END).all()
    if make_up == "greedy":
        assert (logits.argmax(-1)[saved.live] == made.words[saved.live]).all()
    if attention in ("hard", "mixed") and make_up != "sample":
        assert (made.choices == np.where(saved.live, made.weights.argmax(-1), -1)).all()
    assert (made.choices[saved.live] >= 0).all() == (attention not in ("soft", "mean"))
    assert (made.looked[saved.live] >= 0).all() and (made.looked[~saved.live] == -1).all()


def test_words_are_drawn_from_the_logits(rng):
    captioner = built("soft")
    images = np.repeat(pictures(1, np.float32), 4000, 0)
    logits, _ = captioner.forward(images[:1], [[1]], [1])
    words = captioner.sample(images, rng, 1).words[:, 0]
    np.testing.assert_allclose(np.bincount(words, minlength=5) / 4000, F.softmax(logits[0, 0]),
                               atol=0.03)


@pytest.mark.parametrize("attention", ["soft", "hard", "mixed", "mean"])
def test_a_beam_of_one_is_greedy(attention):
    captioner, images = built(attention, seed=3, scale=3), pictures(20, np.float32)
    for a, b in zip(captioner.greedy(images, 6), captioner.beam_search(images, 1, 6),
                    strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def scores_of_captions(captioner, image, every, length_penalty):
    """What beam search ranks by, of each caption, reading the likeliest region as it does."""
    scores = {}
    for caption in every:
        n = len(caption)
        choices = np.full((1, n), -1)
        for t in range(n if captioner.attention == "hard" else 0):
            _, saved = captioner.forward(image, [caption], [n], None, np.maximum(choices, 0))
            choices[0, t] = saved.weights[0, t].argmax()
        logits, _ = captioner.forward(image, [caption], [n], None, choices)
        scores[caption] = -F.cross_entropy(logits, [caption]).sum() / n**length_penalty
    return scores


@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("attention", ["soft", "hard"])
def test_a_full_beam_finds_the_best_caption(attention, length_penalty):
    limit, V = 3, 3
    # every caption: words without END, then END or the limit
    every = [(*words, END) for n in range(limit) for words in itertools.product((1, 2), repeat=n)]
    every += list(itertools.product((1, 2), repeat=limit))
    lengths, greedy_falls_short = set(), 0
    for seed in range(32):
        captioner = built(attention, dtype=np.float64, seed=seed, scale=2, vocabulary=V)
        image = pictures(1, seed=seed)
        scores = scores_of_captions(captioner, image, every, length_penalty)
        best, narrow = (captioner.beam_search(image, width, limit, length_penalty=length_penalty)
                        for width in (V**limit, 2))
        found, short, greedy = (tuple(c.words[0, :c.lengths[0]].tolist())
                                for c in (best, narrow, captioner.greedy(image, limit)))
        assert found == max(scores, key=scores.get)
        close(best.logp[0] / best.lengths[0]**length_penalty, scores[found])
        close(narrow.logp[0] / narrow.lengths[0]**length_penalty, scores[short])
        greedy_falls_short += scores[greedy] < scores[found]
        lengths.add(len(found))
    assert len(lengths) > 1 and greedy_falls_short


def test_sizes_zero_and_one():
    captioner = built("hard")
    none = pictures(0, np.float32)
    logits, saved = captioner.forward(none, np.zeros((0, 3), int), np.zeros(0, int),
                                      np.random.default_rng(0))
    assert logits.shape == (0, 3, 5) and captioner.backward(logits, saved).shape == none.shape
    assert captioner.greedy(none).words.shape == (0, 0)
    assert captioner.beam_search(none).words.shape == (0, 0)
    image = pictures(1, np.float32)
    for captions, lengths in ((np.zeros((1, 0), int), [0]), ([[1, 2]], [0])):
        logits, saved = captioner.forward(image, captions, lengths, np.random.default_rng(0))
        captioner.grads[...] = 0
        assert not captioner.backward(np.ones_like(logits), saved).any()
        assert not captioner.grads.any() and not logits.any()
    assert sentences(np.zeros((1, 0), int), np.zeros(1, int)) == [[]]
    assert sentences(np.array([[0]]), np.array([1])) == [[]]
    assert sentences(np.array([[4, 0]]), np.array([2]), end=True) == [[4, 0]]


def test_nan_is_not_hidden():
    images = pictures(dtype=np.float32)
    images[1] = np.nan
    soft, hard = built("soft"), built("hard")
    logits, _ = soft.forward(images, CAPTIONS, LENGTHS)
    assert np.isnan(logits[1, 0]).all() and np.isfinite(logits[[0, 2]]).all()
    for call in (lambda: hard.forward(images, CAPTIONS, LENGTHS, np.random.default_rng(0)),
                 lambda: hard.greedy(images), lambda: soft.greedy(images),
                 lambda: soft.beam_search(images)):
        with pytest.raises(FloatingPointError):
            call()


def test_huge_values_saturate(rng):
    captioner = built("hard")
    captioner.key.layers[1].param["table"][...] *= 1e30
    logits, saved = captioner.forward(1e4 * pictures(dtype=np.float32), CAPTIONS, LENGTHS, rng)
    assert np.isfinite(logits).all() and (saved.weights.max(-1)[saved.live] == 1).all()
    assert np.isfinite(captioner.backward(logits, saved, saved.live.astype(np.float32))).all()


@pytest.mark.parametrize("options, message", [
    (dict(score="cosine"), "score is 'cosine', expected one of ('multiplicative', 'additive')"),
    (dict(attention="none"), "attention is 'none', expected one of ('soft', 'hard', 'mixed', "
                             "'random', 'mean')"),
    (dict(soft_share=1.5), "soft_share is 1.5, expected 0 <= soft_share <= 1")])
def test_messages_of_the_constructor(options, message):
    with pytest.raises(ValueError) as error:
        make(**options)
    assert str(error.value) == message


@pytest.mark.parametrize("changes, error, message", [
    (dict(captions=CAPTIONS[:2]), ValueError, "captions has shape (2, 4), expected (3, 4)"),
    (dict(captions=CAPTIONS[0]), ValueError, "captions has 1 dimensions, expected 2"),
    (dict(captions=0.5 * CAPTIONS), TypeError, "captions has dtype float64, expected integers"),
    (dict(captions=CAPTIONS + 2), IndexError, "captions holds words from 2 to 6, expected 0 to 4"),
    (dict(lengths=[1, 2]), ValueError, "lengths has shape (2,), expected (3,)"),
    (dict(lengths=[1, 5, 2]), ValueError, "lengths holds values from 1 to 5, expected 0 to T = 4"),
    (dict(rng=None), ValueError, "rng is None, expected a generator for hard attention"),
    (dict(choices=CHOICES[:2]), ValueError, "choices has shape (2, 4), expected (3, 4)"),
    (dict(choices=CHOICES + 1), ValueError, "choices holds values from 1 to 4, expected -1 to 3"),
    (dict(samples=0), ValueError, "samples is 0, expected at least 1"),
    (dict(images=pictures()[:, :, :2].astype(np.float32)), ValueError,
     "the encoder gives shape (3, 3, 1, 2), expected (3, 3, h, w) with h * w = 4"),
    (dict(images=pictures()), TypeError, "x has dtype float64, expected float32 as the parameters"),
])
def test_messages_of_forward(changes, error, message):
    arguments = dict(images=pictures(dtype=np.float32), captions=CAPTIONS, lengths=LENGTHS,
                     rng=np.random.default_rng(0)) | changes
    with pytest.raises(error) as raised:
        built("hard").forward(**arguments)
    assert str(raised.value) == message


def test_messages_of_made_up_captions():
    images = pictures(dtype=np.float32)
    for call, message in (
            (lambda: built().greedy(images, 0), "limit is 0, expected at least 1"),
            (lambda: built().beam_search(images, 0), "width is 0, expected at least 1"),
            (lambda: built("random").greedy(images),
             "rng is None, expected a generator for random attention")):
        with pytest.raises(ValueError) as error:
            call()
        assert str(error.value) == message


def test_central_differences_of_a_sum_of_log_probabilities():
    # of what REINFORCE uses, not through check_layer: d sum(logp) / d images, choices held
    captioner, images = built("hard", dtype=np.float64), pictures()

    def logp(x):
        return captioner.forward(x, CAPTIONS, LENGTHS, None, CHOICES)[1].logp

    logits, saved = captioner.forward(images, CAPTIONS, LENGTHS, None, CHOICES)
    got = captioner.backward(np.zeros_like(logits), saved, np.ones_like(saved.logp))
    np.testing.assert_allclose(got, central_difference(logp, images, 1.0), atol=1e-8)
