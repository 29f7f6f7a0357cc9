"""The transformer step by step against its full pass; its cache; what it generates."""

import numpy as np
import pytest
from gated_cases import built, near
from helpers import DTYPES, same_bits, same_for_any_threads

import gatelearn as gl
from gatelearn import nn

V, C, L, H, F = 13, 16, 3, 4, 18


def network(dtype=np.float64, seed=0):
    return built(nn.Transformer(V, width=C, layers=L, heads=H, hidden=F), dtype, seed)


def batch(B, T, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, V, (B, T))
    return tokens, rng.choice([0, 0, 0.5, 1, 1], (B, L, H + 1)).astype(dtype)


def full(net, tokens, gate):
    """Logits (B, T, V) of the ordinary pass at every position."""
    B, T = tokens.shape
    logits, _ = net.forward(tokens, gate, position=np.tile(np.arange(T), (B, 1)), save=False)
    return logits.reshape(B, T, V)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("B", [1, 4])
@pytest.mark.parametrize("gates", ["mixed", "open", "closed"])
def test_steps_equal_the_full_pass_at_every_position(dtype, B, gates):
    net, (tokens, gate) = network(dtype), batch(B, 20, dtype)
    gate = gate if gates == "mixed" else np.full_like(gate, gates == "open")
    expected = full(net, tokens, gate)
    cache = net.cache(gate, 3)
    for t in range(20):
        near(net.decode(tokens[:, t], cache), expected[:, t])
    assert (cache.lengths == 20).all() and cache.capacity == 24


@pytest.mark.parametrize("dtype", DTYPES)
def test_steps_after_ragged_prompts_equal_the_full_pass(dtype):
    net, (tokens, gate) = network(dtype), batch(4, 30, dtype)
    expected, lengths = full(net, tokens, gate), np.array([12, 1, 7, 3])
    sample = np.arange(4)
    logits, cache = net.prefill(np.where(np.arange(12) < lengths[:, None], tokens[:, :12], 0), gate,
                                lengths, capacity=13)
    near(logits, expected[sample, lengths - 1])
    for n in (1, 1, 3, 1, 5, 2):
        at = cache.lengths[:, None] + np.arange(n)
        near(net.decode(tokens[sample[:, None], at], cache), expected[sample, at[:, -1]])
    assert (cache.lengths == lengths + 13).all() and (lengths == [12, 1, 7, 3]).all()


def test_long_caches_equal_the_full_pass():
    """Over several blocks of keys and several runs of positions."""
    net, (tokens, gate) = network(), batch(2, 700)
    expected = full(net, tokens, gate)
    cache = net.cache(gate, 700, grow=False)
    at = 0
    for n in (1, 250, 5, 1, 1, 300, 142):
        at += n
        near(net.decode(tokens[:, at - n:at], cache), expected[:, at - 1])
    assert at == 700


def test_gates_may_be_asked_for_layer_by_layer():
    net, (tokens, gate) = network(), batch(3, 9)
    states = []

    def ask(layer, x):
        states.append(x.copy())
        return gate[:, layer]

    logits, cache = net.prefill(tokens, ask)
    expected, other = net.prefill(tokens, gate)
    same_bits(logits, expected)
    same_bits(net.decode(tokens[:, 0], cache), net.decode(tokens[:, 0], other))
    same_bits(states[0], net.param["embedding"][tokens])
    assert len(states) == L  # and the later step has not asked again


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("junk", [np.nan, np.inf, 1e30])
def test_weights_of_closed_heads_are_not_touched(dtype, junk):
    net, (tokens, gate) = network(dtype), batch(4, 12, dtype)
    gate[:, 0, 1] = gate[:, 2, [0, 3]] = gate[:, 1, -1] = 0
    gate[1:, 0, 0] = 1

    def run():
        first, cache = net.prefill(tokens[:, :8], gate)
        return [first] + [net.decode(tokens[:, t], cache) for t in range(8, 12)]

    clean = run()
    for layer, closed in ((0, [1]), (2, [0, 3])):
        param = net.blocks[layer].heads.param
        param["wqkv"][:, :, closed] = param["wo"][closed] = junk
    for name in ("norm_weight", "w1", "w2"):
        net.blocks[1].mlp.param[name][...] = junk
    for got, expected in zip(run(), clean, strict=True):
        assert np.isfinite(expected).all()
        same_bits(got, expected)


def test_without_an_open_gate_a_step_reads_the_embedding():
    net, (tokens, gate) = network(), batch(3, 2)
    for block in net.blocks:
        for param in (block.heads.param, block.mlp.param):
            for value in param.values():
                value[...] = np.nan
    cache = net.cache(np.zeros_like(gate), 4)
    assert cache.nbytes == 0
    logits = net.decode(tokens, cache)
    near(logits, net.read(net.param["embedding"][tokens[:, 1]])[0])


def logits_of(net, tokens, gate, cuts):
    """Logits after each run of positions that ends at a cut."""
    cache = net.cache(gate, 4)
    return [net.decode(tokens[:, a:b], cache) for a, b in zip([0, *cuts], cuts, strict=False)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_do_not_depend_on_the_number_of_threads(dtype):
    net, (tokens, gate) = network(dtype), batch(5, 300, dtype)

    def run():
        logits, cache = net.prefill(tokens, gate)
        return [logits, net.decode(tokens[:, :2], cache), *logits_of(net, tokens, gate, [299, 300])]

    same_for_any_threads(run)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sample_has_the_same_bits_alone_and_in_a_batch(dtype):
    """Of 1 to 17 samples, so that products have tiles of every height; also after a prompt."""
    net, (tokens, gate) = network(dtype), batch(17, 12, dtype)
    lengths = np.random.default_rng(1).integers(1, 9, 17)

    def run(some):
        logits, cache = net.prefill(tokens[some, :8], gate[some], lengths[some])
        return np.stack([logits] + [net.decode(tokens[some, t], cache) for t in range(8, 12)], 1)

    every = run(np.arange(17))
    for n in (1, 2, 3, 5, 13):
        for first in (0, 17 - n):
            some = np.arange(first, first + n)
            same_bits(run(some), every[some])


@pytest.mark.parametrize("dtype", DTYPES)
def test_positions_one_by_one_have_the_bits_of_runs(dtype):
    net, (tokens, gate) = network(dtype), batch(3, 300, dtype)
    by_one = logits_of(net, tokens, gate, list(range(1, 301)))
    for cuts in ([300], [1, 33, 34, 255, 257, 300], [32, 64, 299, 300]):
        for cut, got in zip(cuts, logits_of(net, tokens, gate, cuts), strict=True):
            same_bits(got, by_one[cut - 1])


def test_memory_is_proportional_to_the_open_share():
    net, B = network(np.float32), 6
    dense = net.cache(np.ones((B, L, H + 1)), 50).nbytes
    assert dense == 4 * 2 * B * L * H * 50 * (C // H)
    for closed in range(0, B * L * H + 1, 7):
        gate = np.ones(B * L * H)
        gate[:closed] = 0
        gate = np.random.default_rng(closed).permutation(gate).reshape(B, L, H)
        gate = np.concatenate([gate, np.zeros((B, L, 1))], 2)
        cache = net.cache(gate, 50)
        assert cache.nbytes * B * L * H == dense * (B * L * H - closed)
        assert cache.nbytes == sum(heads.kv.nbytes for heads in cache.heads)


def test_a_full_cache_grows_or_refuses():
    net, (tokens, gate) = network(), batch(2, 12)
    fixed = net.cache(gate, 5, grow=False)
    roomy = net.cache(gate, 100)
    for t in range(5):
        same_bits(net.decode(tokens[:, t], fixed), net.decode(tokens[:, t], roomy))
    message = "the cache has room for 5 positions, expected 6: it is full, and was made not to grow"
    with pytest.raises(ValueError, match=message):
        net.decode(tokens[:, 5], fixed)
    fixed.grow = True
    same_bits(net.decode(tokens[:, 5], fixed), net.decode(tokens[:, 5], roomy))
    assert fixed.capacity == 10
    same_bits(net.decode(tokens, fixed), net.decode(tokens, roomy))
    assert fixed.capacity == 20 and roomy.capacity == 100
    same_bits(net.decode(np.tile(tokens, 4), fixed), net.decode(np.tile(tokens, 4), roomy))
    assert fixed.capacity == 18 + 48 and fixed.nbytes * 100 == roomy.nbytes * 66
    with pytest.raises(ValueError, match="the cache has room for 11 positions, expected 12"):
        net.prefill(tokens, gate, capacity=11, grow=False)


def test_a_step_that_fails_leaves_the_cache_as_it_was(monkeypatch):
    net, (tokens, gate) = network(), batch(2, 12)
    _, cache = net.prefill(tokens, gate)
    _, other = net.prefill(tokens, gate)
    with pytest.raises(IndexError, match="idx is out of range at row 1"):
        net.decode([0, V], cache)

    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(net.blocks[-1].mlp, "decode", interrupted)
        net.decode([3, 4], cache)
    same_bits(net.decode([5, 6], cache), net.decode([5, 6], other))


PROMPT = dict(tokens=[[1, 2, 3], [4, 5, 6]])
ERRORS = [
    (dict(lengths=[3]), ValueError, r"lengths is \[3\], expected 2 numbers from 1 to 3"),
    (dict(lengths=[3, 0]), ValueError, r"lengths is \[3, 0\], expected 2 numbers from 1 to 3"),
    (dict(lengths=[4, 1]), ValueError, r"lengths is \[4, 1\], expected 2 numbers from 1 to 3"),
    (dict(lengths=[1.0, 2.0]), TypeError, "lengths has dtype float64, expected integers"),
    (dict(gate=np.ones((2, L, H))), ValueError,
     r"gate has shape \(2, 3, 4\), expected \(2, 3, 5\)"),
    (dict(gate=lambda layer, x: np.ones((2, H))), ValueError,
     r"gate has shape \(2, 4\), expected \(2, 5\)"),
    (dict(capacity=0), ValueError, "capacity is 0, expected at least 1"),
    (dict(tokens=[[1, V, 3], [4, 5, 6]]), IndexError, "idx is out of range at row 1"),
    (dict(tokens=[1, 2]), ValueError, "tokens has 1 dimensions, expected 2"),
]


@pytest.mark.parametrize("change, kind, message", ERRORS)
def test_errors_of_prompts(change, kind, message):
    with pytest.raises(kind, match=message):
        network().prefill(**{**PROMPT, **change})


@pytest.mark.parametrize("tokens, kind, message", [
    ([1, 2, 3], ValueError, r"tokens has shape \(3,\), expected \(2,\) or \(2, N\), N >= 1"),
    ([[1, 2], [3, 4], [5, 6]], ValueError, r"tokens has shape \(3, 2\), expected \(2,\) or"),
    (1, ValueError, r"tokens has shape \(\), expected \(2,\)"),
    (np.empty((2, 0), int), ValueError, r"tokens has shape \(2, 0\), expected \(2,\)"),
    ([1.0, 2.0], TypeError, "tokens has dtype float64, expected integers"),
    ([-1, 2], IndexError, "idx is out of range at row 0, expected 0 <= idx < V"),
])
def test_errors_of_steps(tokens, kind, message):
    net = network()
    _, cache = net.prefill(**PROMPT)
    with pytest.raises(kind, match=message):
        net.decode(tokens, cache)
    assert (cache.lengths == 3).all()


def test_the_cache_of_another_network_is_refused():
    other = nn.Transformer(V, width=2 * C, layers=L, heads=H).build(0, np.float64)
    _, cache = other.prefill(**PROMPT)
    with pytest.raises(ValueError, match=r"decode_heads: .* is 32, expected C = 16"):
        network().decode([1, 2], cache)
    with pytest.raises(ValueError, match=r"gate has shape \(2, 3\), expected \(2, 3, 5\)"):
        network().cache(np.ones((2, 3)), 5)


def greedy(net, tokens, gate, count):
    """By the full pass, from scratch for each token."""
    for _ in range(count):
        tokens = np.column_stack([tokens, full(net, tokens, gate)[:, -1].argmax(1)])
    return tokens[:, -count:]


def test_generation_takes_the_most_likely_token():
    net, (tokens, gate) = network(), batch(4, 5)
    expected = greedy(net, tokens, gate, 12)
    got = net.generate(tokens, 12, gate)
    assert got.dtype == np.int64 and (got == expected).all()
    assert net.generate(tokens, 0, gate).shape == (4, 0)
    assert len(net.generate(tokens[:0], 3)) == 0
    assert (net.generate(tokens, 3) == greedy(net, tokens, np.ones_like(gate), 3)).all()
    lengths = np.array([5, 2, 4, 1])
    for b, n in enumerate(lengths):
        alone = net.generate(tokens[b:b + 1, :n], 6, gate[b:b + 1])
        assert (net.generate(tokens, 6, gate, lengths)[b] == alone[0]).all()


def test_generation_stops_at_the_end():
    net, (tokens, gate) = network(), batch(4, 5)
    free = net.generate(tokens, 12, gate)
    end = int(free[0, 2])
    got = net.generate(tokens, 12, gate, end=end)
    ends = [[*row, end].index(end) for row in free]
    assert ends[0] <= 2 and got.shape[1] == min(12, max(ends) + 1)
    for row, want, n in zip(got, free, ends, strict=True):
        assert (row[:n] == want[:n]).all() and (row[n:] == end).all()
    alone = net.generate(tokens[:1], 12, gate[:1], end=end)
    assert alone.shape == (1, ends[0] + 1) and alone[0, -1] == end


def test_samples_follow_the_softmax():
    net, (tokens, gate) = network(), batch(1, 5)
    n = 4000
    tiled, gates = np.repeat(tokens, n, 0), np.repeat(gate, n, 0)
    for temperature in (1.0, 3.0):
        logits, _ = net.prefill(tokens, gate)
        p = gl.functional.softmax(logits[0] / temperature)
        drawn = net.generate(tiled, 1, gates, rng=np.random.default_rng(0), temperature=temperature)
        share = np.bincount(drawn[:, 0], minlength=V) / n
        assert np.abs(share - p).max() < 5 * np.sqrt(0.25 / n)
    one, two = (net.generate(tokens, 9, gate, rng=np.random.default_rng(3)) for _ in range(2))
    assert (one == two).all()


def test_errors_of_generation():
    net = network()
    with pytest.raises(ValueError, match="temperature is 0, expected a positive number"):
        net.generate([[1, 2]], 3, temperature=0)
    net.param["norm_bias"][0] = np.nan
    for rng in (None, np.random.default_rng(0)):
        with pytest.raises(FloatingPointError, match="not finite"):
            net.generate([[1, 2]], 3, rng=rng)
