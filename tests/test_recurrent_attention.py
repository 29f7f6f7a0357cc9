"""The recurrent attention model: gradients, places as samples, PyTorch parity, training."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads

from gatelearn import functional as F
from gatelearn import hard, nn, rl

SMALL = dict(size=3, scales=2, glimpses=3, hidden=5, locator=4, what=4, where=3)
VARIANTS = {"rnn": {}, "lstm": dict(core="lstm"), "gru-every": dict(core="gru", classify="every"),
            "grid": dict(grid=2), "filters": dict(filters=3), "one-glimpse": dict(glimpses=1)}


def small(dtype=np.float64, **options):
    net = hard.RecurrentAttention(2, 3, **SMALL | options).build(0, dtype)
    # biases of 0 hide errors
    net.params += (0.1 * np.random.default_rng(1).standard_normal(net.params.shape)).astype(dtype)
    return net


def inputs(dtype=np.float64, T=3, B=2, M=2):
    rng = np.random.default_rng(2)
    return (rng.random((B, 2, 9, 8)).astype(dtype),
            hard.random_locations(rng, (T, B, M), dtype=dtype))


class AtPlaces(nn.Layer):
    """Logits, policy and values at fixed places as one array, so that all three are checked."""

    def __init__(self, **options):
        self.net = hard.RecurrentAttention(2, 3, **SMALL | options)
        self.images, self.locations = inputs(T=self.net.glimpses)

    def children(self):
        return {"net": self.net}

    def forward(self):
        logits, episode = self.net.forward(self.images, locations=self.locations)
        parts = logits, episode.policy, episode.values
        return np.concatenate([a.reshape(-1) for a in parts]), (episode, [a.shape for a in parts])

    def backward(self, dy, saved):
        episode, shapes = saved
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
        logits, policy, values = (d.reshape(s) for d, s in zip(np.split(dy, ends[:-1]), shapes,
                                                              strict=True))
        self.net.backward(logits, episode, policy, values)
        return ()


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_gradients_at_fixed_places(options):
    nn.check_layer(AtPlaces(detach=False, **options))


@pytest.mark.parametrize("filters", [None, 2])
def test_gradients_of_the_glimpse_network(rng, filters):
    class Eye(nn.Layer):
        def __init__(self):
            self.network = hard.GlimpseNetwork(2, 3, 2, 5, what=4, where=3, filters=filters)
            self.images, self.places = rng.random((2, 2, 9, 8)), rng.uniform(-1, 1, (2, 3, 2))

        def children(self):
            return {"network": self.network}

        def forward(self):
            return self.network.forward(self.images, self.places)

        def backward(self, dy, saved):
            assert self.network.backward(dy, saved) is None
            return ()

    nn.check_layer(Eye())


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_glimpse_network_is_its_equation(rng, dtype):
    network = hard.GlimpseNetwork(2, 3, 2, 5, what=4, where=3).build(0, dtype)
    network.params += (0.1 * rng.standard_normal(network.params.shape)).astype(dtype)
    images = rng.random((2, 2, 9, 8)).astype(dtype)
    places = rng.uniform(-1, 1, (2, 3, 2)).astype(dtype)
    p = {name: value.astype(float) for name, value in network.named_parameters().items()}

    patches = F.glimpse(images.astype(float), places.astype(float), 3, 2).reshape(2, 3, -1)
    what = np.maximum(patches @ p["what.weight"] + p["what.bias"], 0)
    where = np.maximum(places @ p["where.weight"] + p["where.bias"], 0)
    # one layer for each part, added, as the paper has it
    expected = what @ p["join.weight"][:4] + where @ p["join.weight"][4:] + p["join.bias"]
    y, _ = network.forward(images, places)
    assert y.dtype == dtype
    close(y, np.maximum(expected, 0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_float32_are_those_of_float64(dtype):
    grads = []
    for kind in (np.float64, dtype):
        net = small(kind)
        images, places = inputs(kind)
        logits, episode = net.forward(images, locations=places)
        net.backward(np.ones_like(logits), episode, np.ones_like(episode.policy),
                     np.ones_like(episode.values))
        grads.append(net.grads)
    assert grads[1].dtype == dtype
    close(grads[1], grads[0])


def gradients(net, episode, *outputs):
    """Parameters' gradients by path, of outputs with all-one gradients; None leaves one out."""
    net.grads[...] = 0
    net.backward(*outputs[:1], episode, *outputs[1:])
    at, found = 0, {}
    for path, value in net.named_parameters().items():
        found[path] = net.grads[at:at + value.size].copy()
        at += value.size
    return found


def test_locator_and_baseline_leave_the_core_alone():
    images, places = inputs()
    own = ("locator.", "baseline.")
    found = {}
    for detach in (True, False):
        net = small(detach=detach)
        logits, e = net.forward(images, locations=places)
        found[detach] = gradients(net, e, np.zeros_like(logits), np.ones_like(e.policy),
                                  np.ones_like(e.values))
    for path, grad in found[True].items():
        if path.startswith(own):
            assert grad.any()
            same_bits(grad, found[False][path])
        else:
            assert not grad.any(), path
    assert any(found[False][path].any() for path in found[False] if path.startswith("core."))


@pytest.mark.parametrize("options", [{}, dict(grid=3)], ids=["gaussian", "grid"])
def test_no_gradient_passes_a_sample(options):
    """The gradient is that with the places held fixed, although they depend on the parameters."""
    net = small(**options)
    images, _ = inputs()
    logits, episode = net.forward(images, np.random.default_rng(0), samples=2)
    dy = np.random.default_rng(3).standard_normal(logits.shape)
    drawn = gradients(net, episode, dy)
    again, fixed = net.forward(images, locations=episode.locations)
    same_bits(again, logits)
    for path, grad in gradients(net, fixed, dy).items():
        same_bits(grad, drawn[path])
        # the locator acts through the places alone: cross-entropy does not move it
        if path.startswith(("locator.", "baseline.")):
            assert not grad.any(), path

    # with the noise held fixed the logits do depend on it, where places are smooth in their means
    if not options:
        weight = net.locator.layers[2].param["weight"]
        weight += 1e-3
        moved, _ = net.forward(images, np.random.default_rng(0), samples=2)
        assert np.abs(moved - logits).max() > 1e-6


@pytest.mark.parametrize("options", [{}, dict(grid=2)], ids=["gaussian", "grid"])
def test_policy_and_actions_of_an_episode(options):
    net = small(std=0.3, **options)
    images, _ = inputs(B=2)
    _, e = net.forward(images, np.random.default_rng(0), samples=400)
    places = net.places(e.actions) if options else e.actions
    same_bits(e.locations[1:], places)
    assert not e.locations[0].any()
    assert e.values.shape == (2, 2, 400)
    if options:
        share = np.mean(e.actions[0][..., None] == np.arange(4), 1)
        np.testing.assert_allclose(share, F.softmax(e.policy[0, :, 0]), atol=0.12)
        assert set(np.unique(e.locations[1:])) == {-0.5, 0.5}
    else:
        assert np.abs(e.policy).max() < 1
        np.testing.assert_allclose((e.actions - e.policy).std(), 0.3, rtol=0.05)


@pytest.mark.parametrize("options", [{}, dict(grid=2)], ids=["gaussian", "grid"])
def test_without_a_generator_the_likeliest_places_are_taken(options):
    net = small(first="random", **options)
    images, _ = inputs()
    _, e = net.forward(images)
    assert not e.locations[0].any()
    same_bits(e.actions, e.policy if not options else e.policy.argmax(-1))
    _, random = net.forward(images, np.random.default_rng(0), samples=50)
    first = random.locations[0]
    assert -1 <= first.min() < -0.8 and 0.8 < first.max() < 1


def test_cells_are_counted_row_by_row():
    net = small(grid=3)
    third = 2 / 3
    np.testing.assert_allclose(net.places([0, 1, 3, 8]), [[-third, -third], [0, -third],
                                                          [-third, 0], [third, third]])
    images, places = inputs()
    places[1:] = net.places(np.arange(8).reshape(2, 2, 2)) + 0.3
    _, e = net.forward(images, locations=places)
    np.testing.assert_array_equal(e.actions, np.arange(8).reshape(2, 2, 2))
    # beyond the edges, the outer cells
    places[1:] = [-1.0, 7.0]
    _, e = net.forward(images, locations=places)
    assert (e.actions == 6).all()


@pytest.mark.parametrize("core", ["rnn", "lstm", "gru"])
def test_samples_are_passes_of_their_own(core):
    """M passes at once are M passes one by one."""
    net = small(core=core)
    images, _ = inputs(B=3)
    logits, e = net.forward(images, np.random.default_rng(0), samples=4)
    for m in range(4):
        one, _ = net.forward(images, locations=e.locations[:, :, m:m + 1])
        close(one[:, 0], logits[:, m])


@pytest.mark.parametrize("B, samples", [(0, 1), (1, 1), (0, 3)])
def test_no_image_and_one(B, samples):
    net = small(np.float32)
    images = np.ones((B, 2, 1, 1), np.float32)
    logits, e = net.forward(images, np.random.default_rng(0), samples=samples)
    assert logits.shape == (B, samples, 3) and np.isfinite(logits).all()
    net.backward(logits, e, e.policy, e.values)
    assert np.isfinite(net.grads).all() and net.grads.any() == (B > 0)


def test_strided_images():
    net = small()
    images, places = inputs()
    wide = np.zeros((2, 2, 9, 16))
    wide[..., ::2] = images
    same_bits(net.forward(wide[..., ::2], locations=places)[0],
              net.forward(images, locations=places)[0])


def test_nan_is_not_repaired():
    net = small()
    images, places = inputs()
    images[0, 0, 4, 4] = np.nan
    places[:, 0] = 0
    logits, _ = net.forward(images, locations=places)
    assert np.isnan(logits[0]).all() and np.isfinite(logits[1]).all()
    # its state says nothing of where to look next
    with pytest.raises(FloatingPointError, match="mean"):
        net.forward(images, np.random.default_rng(0))


def test_same_bits_on_any_number_of_threads():
    for options in ({}, dict(core="gru", filters=4), dict(grid=4)):
        net = hard.RecurrentAttention(1, 10, scales=3, hidden=96, **options).build(seed=0)
        images = np.random.default_rng(0).random((20, 1, 40, 40), np.float32)

        def run(net=net, images=images):
            logits, e = net.forward(images, np.random.default_rng(1), samples=3)
            net.grads[...] = 0
            net.backward(logits, e, np.ones_like(e.policy), np.ones_like(e.values))
            return logits, e.locations, e.policy, e.values, net.grads.copy()

        same_for_any_threads(run)


def test_agrees_with_pytorch(rng):
    torch = pytest.importorskip("torch")
    B, M, T = 3, 2, 4
    net = hard.RecurrentAttention(2, 5, size=4, scales=3, glimpses=T, hidden=12, locator=6,
                                  what=8, where=7, std=0.2).build(0, np.float64)
    net.params += 0.1 * rng.standard_normal(net.params.shape)
    images, targets = rng.random((B, 2, 20, 23)), rng.integers(0, 5, (B, M))
    advantage, dvalues = rng.standard_normal((2, T - 1, B, M))
    logits, e = net.forward(images, np.random.default_rng(0), samples=M)
    _, dlogits = F.cross_entropy_backward(np.full((B, M), 1 / (B * M)), logits, targets)
    net.backward(dlogits, e, net.distribution.gradient(e.policy, e.actions, advantage), dvalues)

    p = {name: torch.tensor(value, requires_grad=True)
         for name, value in net.named_parameters().items()}

    def linear(x, name):
        return x @ p[f"{name}.weight"] + p[f"{name}.bias"]

    def sensor(x, place):
        patches = []
        for s in range(3):
            offset = torch.arange(4.0 * 2**s, dtype=torch.float64) - (4 * 2**s - 1) / 2
            x_, y_ = place[:, :1] + 2 / 23 * offset, place[:, 1:] + 2 / 20 * offset
            shape = -1, len(offset), len(offset)
            grid = torch.stack((x_[:, None].expand(shape), y_[:, :, None].expand(shape)), -1)
            patch = torch.nn.functional.grid_sample(x, grid, align_corners=False)
            patches.append(torch.nn.functional.avg_pool2d(patch, 2**s))
        return torch.stack(patches, 1).flatten(1)

    x = torch.tensor(np.repeat(images, M, 0))
    places = torch.tensor(e.locations.reshape(T, B * M, 2))
    h = torch.zeros(B * M, 12, dtype=torch.float64)
    policy, values = [], []
    for t in range(T):
        what = linear(sensor(x, places[t]), "glimpse.what").relu()
        joined = torch.cat((what, linear(places[t], "glimpse.where").relu()), 1)
        g = linear(joined, "glimpse.join").relu()
        h = (g @ p["core.wx"] + h @ p["core.wh"] + p["core.bias"]).relu()
        if t < T - 1:
            state = h.detach()
            policy.append(linear(linear(state, "locator.0").relu(), "locator.2").tanh())
            values.append(linear(state, "baseline")[:, 0])
    out = linear(h, "classifier")
    logp = torch.distributions.Normal(torch.stack(policy), 0.2).log_prob(places[1:]).sum(-1)
    loss = (torch.nn.functional.cross_entropy(out, torch.tensor(targets.reshape(-1)))
            + (torch.tensor(advantage.reshape(T - 1, -1)) * logp).sum()
            + (torch.tensor(dvalues.reshape(T - 1, -1)) * torch.stack(values)).sum())
    loss.backward()

    close(logits.reshape(B * M, 5), out.detach().numpy())
    close(e.policy.reshape(T - 1, B * M, 2), torch.stack(policy).detach().numpy())
    close(e.values.reshape(T - 1, B * M), torch.stack(values).detach().numpy())
    at = 0
    for value in p.values():
        n = value.numel()
        close(net.grads[at:at + n], value.grad.numpy().reshape(-1))
        at += n


class OfWeights(nn.Layer):
    """Logits where glimpses but the first are means over all cells, by weights (T - 1, N, K)."""

    def __init__(self, net, images):
        self.net, self.images, K = net, images, net.choices
        self.places = net.places(np.arange(K))
        self.cells = F.glimpse(images, np.tile(self.places, (len(images), 1, 1)), 3, 2)

    def logits(self, weights):
        g, B = self.net.glimpse, len(self.images)
        centre = F.glimpse(self.images, np.zeros((B, 2)), 3, 2).reshape(B, -1)
        state = None
        for t in range(self.net.glimpses):
            patches, place = centre, np.zeros((B, 2))
            if t > 0:
                patches = np.einsum("bk,bkd->bd", weights[t - 1], self.cells.reshape(B, 4, -1))
                place = weights[t - 1] @ self.places
            joined = np.concatenate((g.what.forward(g._front(patches)[0])[0],
                                     g.where.forward(place)[0]), -1)
            y = np.maximum(g.join.forward(np.maximum(joined, 0))[0], 0)
            h, saved = self.net.core.forward(y[:, None], state)
            state = saved.state
        return self.net.classifier.forward(h[:, 0])[0]


@pytest.mark.parametrize("filters", [None, 3])
def test_straight_through_is_the_gradient_of_weighted_cells(filters):
    net = small(grid=2, filters=filters, core="gru")
    images, _ = inputs()
    logits, e = net.forward(images, np.random.default_rng(0), temperature=0.7)
    weights = np.eye(4)[e.actions[:, :, 0]]
    of = OfWeights(net, images)
    close(of.logits(weights), logits[:, 0])

    dy = np.random.default_rng(3).standard_normal(logits.shape)
    dweights = central_difference(of.logits, weights, dy[:, 0])
    soft = e.relaxed[:, :, 0]
    dpolicy = soft * (dweights - (dweights * soft).sum(-1, keepdims=True)) / 0.7
    found = gradients(net, e, dy)
    _, plain = net.forward(images, locations=e.locations)
    for path, grad in gradients(net, plain, dy, dpolicy[:, :, None]).items():
        np.testing.assert_allclose(found[path], grad, rtol=1e-5, atol=1e-8, err_msg=path)
        assert grad.any() != path.startswith("baseline."), path


def test_gumbel_noise_draws_what_the_policy_says():
    net = small(grid=2, glimpses=2)
    net.locator.layers[2].param["bias"][...] = [0, 1, -1, 0.5]
    images, _ = inputs()
    _, e = net.forward(images, np.random.default_rng(0), samples=2000, temperature=0.5)
    share = np.mean(e.actions[0][..., None] == np.arange(4), 1)
    np.testing.assert_allclose(share, F.softmax(e.policy[0, :, 0]), atol=0.04)
    np.testing.assert_array_equal(e.relaxed.argmax(-1), e.actions)
    np.testing.assert_allclose(e.relaxed.sum(-1), 1)


def test_errors(rng):
    net = small(np.float32)
    images = np.zeros((2, 2, 9, 8), np.float32)
    for options, message in [
            (dict(core="tanh"), r"core is 'tanh', expected one of \('rnn', 'lstm', 'gru'\)"),
            (dict(first="left"), r"first is 'left', expected one of \('centre', 'random'\)"),
            (dict(classify="first"), r"classify is 'first', expected one of \('last', 'every'\)"),
            (dict(glimpses=0), "glimpses is 0, expected at least 1"),
            (dict(grid=0), "grid is 0, expected at least 1"),
            (dict(std=0), "std is 0, expected above 0 and finite"),
            (dict(size=0), "size is 0, expected at least 1"),
            (dict(scales=17), "scales is 17, expected 1 to 16")]:
        with pytest.raises(ValueError, match=message):
            hard.RecurrentAttention(1, 2, **options)
    with pytest.raises(TypeError, match="images has dtype float64, expected float32 as the param"):
        net.forward(images.astype(float))
    with pytest.raises(ValueError, match=r"images has shape \(2, 1, 9, 8\), expected \(B, 2, H, W"):
        net.forward(images[:, :1])
    with pytest.raises(ValueError, match="samples is 0, expected at least 1"):
        net.forward(images, samples=0)
    with pytest.raises(ValueError, match="locations has 3 dimensions, expected 4"):
        net.forward(images, locations=np.zeros((3, 2, 2)))
    with pytest.raises(ValueError, match=r"locations has shape \(4, 2, 1, 2\), expected \(3, 2, 1"):
        net.forward(images, locations=np.zeros((4, 2, 1, 2)))
    bad = np.zeros((3, 2, 1, 2))
    bad[2, 1, 0, 1] = np.inf
    with pytest.raises(FloatingPointError, match=r"locations\[2, 1, 0, 1\] is inf, expected a fin"):
        net.forward(images, locations=bad)
    logits, e = net.forward(images)
    with pytest.raises(ValueError, match=r"dy has shape \(2, 3\), expected \(2, 1, 3\)"):
        net.backward(logits[:, 0], e)
    with pytest.raises(ValueError, match=r"dpolicy has shape \(2, 2, 1\), expected \(2, 2, 1, 2\)"):
        net.backward(logits, e, e.values)
    with pytest.raises(ValueError, match=r"dvalues has shape \(2, 2\), expected \(2, 2, 1\)"):
        net.backward(logits, e, None, e.values[..., 0])
    with pytest.raises(ValueError, match="locations has 2 dimensions, expected 3"):
        net.glimpse.forward(images, np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match=r"locations has shape \(3, 1, 2\), expected \(2, 1, 2\)"):
        net.glimpse.forward(images, np.zeros((3, 1, 2), np.float32))
    with pytest.raises(TypeError, match=r"distribution is Categorical\(\), expected a Gaussian"):
        net.forward(images, distribution=rl.Categorical())
    for message, other, options in [
            ("temperature is 0, expected above 0 and finite", {}, dict(temperature=0)),
            ("temperature is given, expected it with a grid", {}, dict(temperature=1)),
            ("temperature is given", dict(grid=2, detach=False), dict(temperature=1)),
            ("temperature is given", dict(grid=2),
             dict(temperature=1, locations=np.zeros((3, 2, 1, 2))))]:
        with pytest.raises(ValueError, match=message):
            small(np.float32, **other).forward(images, rng, **options)
    with pytest.raises(ValueError, match="temperature is given"):
        small(np.float32, grid=2).forward(images, temperature=1)
