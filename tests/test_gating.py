"""Controllers, their training against the exact gradient, the sigmoid baseline, faithfulness."""

import itertools

import numpy as np
import pytest
from helpers import same_bits

import gatelearn as gl
from gatelearn import nn, rl
from gatelearn.gating import (
    GateTrainer,
    GateTrainerConfig,
    OneShotController,
    PerLayerController,
    SigmoidGates,
    StaticController,
    close_to_share,
    evidence_mass,
)
from gatelearn.gating.training import answer_scores
from gatelearn.tasks import Batch

KINDS = (OneShotController, PerLayerController, StaticController)


def tiny_net(layers=1, heads=2, dtype=np.float64):
    return nn.Transformer(12, width=8, layers=layers, heads=heads).build(0, dtype)


def texts(rng, n, T=6, Q=2):
    """Texts whose answers are words that stand in them."""
    tokens = rng.integers(0, 12, (n, T))
    query = np.tile([T - 2, T - 1], (n, 1))[:, :Q]
    evidence = np.zeros((n, Q, T), bool)
    evidence[:, :, 1] = True
    return Batch(tokens, np.zeros(n, np.int64), query, tokens[:, 1:1 + Q].copy(), evidence,
                 np.full((n, Q, 1), -1))


def build(kind, net, rng):
    controller = kind(net, open_logit=0.3, bound=0.05).build(1, net.params.dtype)
    controller.standardise(net, texts(rng, 32).tokens)
    controller.params += 0.3 * rng.standard_normal(controller.params.shape)
    return controller


@pytest.mark.parametrize("kind", KINDS)
def test_gates_of_an_episode_are_its_actions(rng, kind):
    net = tiny_net(layers=2)
    controller, batch = build(kind, net, rng), texts(rng, 5)
    episode, saved = controller.run(net, batch.tokens, batch.query, np.random.default_rng(0))
    assert saved is None
    assert episode.gate.shape == (5, 2, 3) and set(np.unique(episode.gate)) <= {0.0, 1.0}
    steps, B, K = episode.actions.shape
    assert (steps, K) == ((2, 3) if kind is PerLayerController else (1, 6))
    same_bits(episode.gate.reshape(B, -1),
              np.moveaxis(episode.actions, 0, 1).reshape(B, -1).astype(net.params.dtype))

    # the network under these gates says the same, and the policy gives the actions their logp
    logits, _ = net.forward(batch.tokens, episode.gate, position=batch.query, save=False)
    same_bits(logits, episode.logits)
    for s in range(steps):
        z, _ = controller.forward(episode.observations[s])
        np.testing.assert_allclose(episode.logp[s],
                                   controller.distribution.log_prob(z, episode.actions[s]))


@pytest.mark.parametrize("kind", KINDS)
def test_new_controllers_open_everything(rng, kind):
    net = tiny_net(layers=2)
    controller = kind(net).build(0, net.params.dtype)
    controller.standardise(net, texts(rng, 8).tokens)
    batch = texts(rng, 3)
    assert controller.run(net, batch.tokens, batch.query)[0].gate.all()


def test_static_controller_sets_the_same_gates_for_all(rng):
    net = tiny_net(layers=2)
    batch = texts(rng, 7)
    gate = build(StaticController, net, rng).run(net, batch.tokens, batch.query)[0].gate
    assert (gate == gate[0]).all()


def forced(trainer, monkeypatch, actions):
    """Let the controller take given actions, (steps, B, K), and return the loss's gradient."""
    controller, step = trainer.controller, itertools.count()

    def act(features, rng):
        a = np.ascontiguousarray(actions[next(step)])
        return a, controller.distribution.log_prob(controller.forward(features)[0], a)

    monkeypatch.setattr(controller, "act", act)
    trainer.step()
    return controller.grads.copy()


@pytest.mark.parametrize("kind", KINDS)
def test_expected_gradient_is_exact_by_enumeration(rng, monkeypatch, kind):
    # two patterns a text, leave one out: over all pairs of patterns, weighted by their probability,
    # the gradient of PPO's first step is that of the expected reward
    net = tiny_net()
    controller, batch = build(kind, net, rng), texts(rng, 1)
    config = GateTrainerConfig(texts=1, samples=2, penalty=0.4, lr=0.0, epochs=1, normalise=False)
    patterns = rl.Bernoulli().enumerate(3)
    features = controller.run(net, batch.tokens, batch.query)[0].observations[0]
    logits, saved = controller.forward(features)
    price = net.work(6) / net.work(6).sum()

    rewards = []
    for pattern in patterns:
        gate = pattern.reshape(1, 1, 3).astype(float)
        out, _ = net.forward(batch.tokens, gate, position=batch.query)
        rewards.append(answer_scores(out, batch.query, batch.answer)[0]
                       - 0.4 * float((gate * price).sum()))
    assert np.std(rewards) > 0.05
    dlogits = rl.exact_gradient(logits, controller.distribution, lambda actions: rewards)
    controller.grads[...] = 0
    controller.backward(-dlogits, saved)
    exact = controller.grads.copy()

    p = np.exp([controller.distribution.log_prob(logits, a[None])[0] for a in patterns])
    mean = 0
    for i, j in itertools.product(range(len(patterns)), repeat=2):
        trainer = GateTrainer(controller, net, lambda r, n: batch, config, np.random.default_rng(0))
        mean = mean + p[i] * p[j] * forced(trainer, monkeypatch, patterns[[i, j]][None])
    np.testing.assert_allclose(mean, exact, atol=1e-9)


def test_exact_gradient_of_per_layer_decisions(rng, monkeypatch):
    # two steps: the second sees what the first did; 4 patterns a layer, all pairs of episodes
    net = nn.Transformer(12, width=8, layers=2, heads=1).build(0, np.float64)
    controller, batch = build(PerLayerController, net, rng), texts(rng, 1)
    config = GateTrainerConfig(texts=1, samples=2, penalty=0.4, lr=0.0, epochs=1, normalise=False)
    patterns = rl.Bernoulli().enumerate(2)
    episodes = list(itertools.product(range(4), repeat=2))
    price = net.work(6) / net.work(6).sum()

    def expected_reward():
        total, ps = 0.0, []
        for a, b in episodes:
            gate = patterns[[a, b]][None].astype(float)
            logp = 0.0

            def decide(i, x, a=a, b=b):
                nonlocal logp
                feature = np.zeros((1, controller.features))
                from gatelearn.gating.controllers import pool
                feature[:, :24] = (pool(x) - controller.mean[i]) * controller.scale[i]
                feature[:, 24 + i] = 1
                z, _ = controller.forward(feature)
                act = patterns[[(a, b)[i]]]
                logp += controller.distribution.log_prob(z, act)[0]
                return act.astype(float)

            out, _ = net.forward(batch.tokens, decide, position=batch.query)
            reward = answer_scores(out, batch.query, batch.answer)[0] - 0.4 * (gate * price).sum()
            ps.append(np.exp(logp))
            total += ps[-1] * float(reward)
        assert sum(ps) == pytest.approx(1)
        return total, ps

    _, p = expected_reward()
    mean = 0
    for i, j in itertools.product(range(len(episodes)), repeat=2):
        trainer = GateTrainer(controller, net, lambda r, n: batch, config, np.random.default_rng(0))
        actions = np.stack([patterns[list(episodes[i])], patterns[list(episodes[j])]], 1)
        mean = mean + p[i] * p[j] * forced(trainer, monkeypatch, actions)
    # the loss is a mean over steps, the reward a sum over them
    mean = mean * 2
    largest = np.argsort(-np.abs(mean))[:6]
    assert np.abs(mean[largest]).max() > 1e-4
    for i in largest:
        kept = controller.params[i]
        controller.params[i] = kept + 1e-6
        above, _ = expected_reward()
        controller.params[i] = kept - 1e-6
        below, _ = expected_reward()
        controller.params[i] = kept
        assert -mean[i] == pytest.approx((above - below) / 2e-6, abs=1e-7)


def trained(kind, steps, threads=2, resume_at=None, **config):
    """A controller after some updates, perhaps by way of a checkpoint."""
    net = tiny_net(layers=2, dtype=np.float32)

    def start():
        rng = np.random.default_rng(3)
        controller = build(kind, net, rng)
        return GateTrainer(controller, net, texts, GateTrainerConfig(texts=8, **config), rng)

    with gl.num_threads(threads):
        trainer = start()
        for step in range(steps):
            if step == resume_at:
                arrays, meta = trainer.state()
                trainer = start()
                trainer.load_state(arrays, meta)
            trainer.step()
    return trainer.controller.params


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_bits_on_any_threads_resumed_or_not(kind):
    expected = trained(kind, 5)
    same_bits(trained(kind, 5), expected)
    same_bits(trained(kind, 5, threads=1), expected)
    same_bits(trained(kind, 5, threads=5), expected)
    same_bits(trained(kind, 5, resume_at=3), expected)
    assert not np.array_equal(trained(kind, 4), expected)


def test_a_price_alone_closes_everything(rng):
    # answers that no text holds: only the price is left, so all gates should close
    net = tiny_net(dtype=np.float32)

    def draw(rng, n):
        batch = texts(rng, n)
        batch.answer[...] = -5
        return batch

    controller = StaticController(net).build()
    controller.standardise(net, texts(rng, 4).tokens)
    trainer = GateTrainer(controller, net, draw, GateTrainerConfig(texts=16, lr=0.1), rng)
    for _ in range(80):
        metrics = trainer.step()
    assert metrics["open"] < 0.15
    batch = texts(rng, 2)
    assert not controller.run(net, batch.tokens, batch.query)[0].gate.any()


def test_faithfulness_is_rewarded(rng):
    net = tiny_net(dtype=np.float32)
    plain = trained(StaticController, 1)
    assert not np.array_equal(trained(StaticController, 1, faithfulness=1.0), plain)
    batch = texts(rng, 4)
    _, saved = net.forward(batch.tokens, position=batch.query)
    mass = evidence_mass(net, saved, batch.query, batch.evidence)
    assert ((mass > 0) & (mass < 1)).all()


def test_evidence_mass_by_hand(rng):
    net = tiny_net(layers=2)
    batch = texts(rng, 3)
    gate = rng.integers(0, 2, (3, 2, 3)).astype(float)
    gate[1] = 0
    batch.evidence[2] = False
    _, saved = net.forward(batch.tokens, gate, position=batch.query)
    mass = evidence_mass(net, saved, batch.query, batch.evidence)
    assert mass[1] == 0 and np.isnan(mass[2])

    # all positions are evidence: every open head gives its whole mass, a closed one none
    everything = np.ones_like(batch.evidence)
    full = evidence_mass(net, saved, batch.query, everything)
    np.testing.assert_allclose(full, gate[:, :, :2].mean((1, 2)))


def test_sigmoid_gates_backward_by_central_differences(rng):
    net = tiny_net(layers=2)
    gates = SigmoidGates(net).build(0, np.float64)
    gates.params += rng.standard_normal(gates.params.shape)
    dgate = rng.standard_normal((3, 2, 3))
    _, saved = gates.forward(3)
    gates.backward(dgate, saved)
    for i in range(gates.params.size):
        values = []
        for step in (1e-6, -1e-6):
            gates.params[i] += step
            values.append((gates.forward(3)[0] * dgate).sum())
            gates.params[i] -= step
        assert gates.grads[i] == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-7)


def test_close_to_share_keeps_the_largest():
    value = np.array([[0.9, 0.2], [0.4, 0.6]])
    same_bits(close_to_share(value, 1.0), value)
    assert not close_to_share(value, 0.0).any()
    same_bits(close_to_share(value, 0.5), np.array([[0.9, 0.0], [0.0, 0.6]]))
