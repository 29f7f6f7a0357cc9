"""One network of two heads: its gradients, and PPO over it."""

import numpy as np
import pytest
from helpers import close, same_bits, same_for_any_threads

from gatelearn import nn, rl


def network(dtype=np.float32, seed=0):
    return rl.ActorCritic(nn.Sequential(nn.Linear(6, 8), nn.Tanh()), nn.Linear(8, 3),
                          nn.Linear(8, 1)).build(seed, dtype)


class Joined(nn.Layer):
    """Both outputs as columns, so that `nn.check_layer` can read them."""

    def __init__(self):
        self.both = network()

    def children(self):
        return {"both": self.both}

    def forward(self, x):
        (logits, values), saved = self.both.forward(x)
        return np.concatenate([logits, values[:, None]], 1), saved

    def backward(self, dy, saved):
        return self.both.backward((dy[:, :3].copy(), dy[:, 3]), saved)


def rollout(ppo, rng, steps=32, valid=None):
    x = rng.standard_normal((steps, 4, 6)).astype(ppo.policy.network.params.dtype)
    actions, logp, values = (a.reshape(steps, 4) for a in ppo.act(x.reshape(-1, 6), rng))
    return rl.Rollout(x, actions, logp, rng.standard_normal((steps, 4)).astype(logp.dtype), values,
                      last_values=values[0], valid=valid)


def test_gradients_of_both_heads(rng):
    nn.check_layer(Joined(), rng.standard_normal((5, 6)))


def test_ratio_is_one_on_the_first_minibatch(rng):
    ppo = rl.PPO(network(), None, rl.Categorical(), rl.PPOConfig(epochs=1, minibatches=1))
    metrics = ppo.update(rollout(ppo, rng), rng)
    assert metrics["approx_kl"] < 1e-12 and metrics["clip_fraction"] == 0
    assert metrics["steps"] == 1 and np.isfinite(metrics["explained_variance"])


def test_step_is_that_of_one_loss_and_one_norm(rng):
    """The gradient of policy and value loss together, clipped as one, then one step of Adam."""
    config = rl.PPOConfig(epochs=1, minibatches=1, normalise_advantage=False, max_grad_norm=0.1,
                          entropy_coefficient=0.01, lr=1e-3)
    ppo = rl.PPO(network(np.float64), None, rl.Categorical(), config)
    data = rollout(ppo, rng)
    data.estimate(config.gamma, config.lam)
    x, actions, advantages, returns = (a.reshape(-1, *a.shape[2:]) for a in (
        data.observations, data.actions, data.advantages, data.returns))

    def loss(params):
        net = network(np.float64)
        net.params[...] = params
        logits, values = net.forward(x)[0]
        logp, entropy = rl.Categorical().evaluate(logits, actions)
        return np.mean(-np.exp(logp - data.logp.ravel()) * advantages - 0.01 * entropy
                       + 0.25 * (values - returns) ** 2)

    before = ppo.policy.network.params.copy()
    eps = 1e-6
    grad = np.array([loss(before + eps * e) - loss(before - eps * e)
                     for e in np.eye(len(before))]) / (2 * eps)
    metrics = ppo.update(data, rng)
    assert metrics["policy_grad_norm"] == pytest.approx(np.linalg.norm(grad), rel=1e-6)
    assert "value_grad_norm" not in metrics
    clipped = grad * min(1, 0.1 / np.linalg.norm(grad))
    close(ppo.policy.network.params, before - 1e-3 * clipped / (np.abs(clipped) + 1e-5))


def test_steps_that_are_not_valid_change_nothing(rng):
    valid = rng.random((32, 4)) < 0.7
    states = []
    for spoiled in (False, True):
        ppo = rl.PPO(network(), None, rl.Categorical(), rl.PPOConfig(minibatches=3))
        data = rollout(ppo, np.random.default_rng(1), valid=valid)
        data.estimate(0.99, 0.95)
        if spoiled:
            for a in (data.observations, data.logp, data.advantages, data.values, data.returns):
                a[~valid] = np.nan
        metrics = ppo.update(data, np.random.default_rng(2))
        states.append([ppo.policy.network.params, np.array(list(metrics.values()))])
    for a, b in zip(*states, strict=True):
        same_bits(a, b)
    sizes = [len(b.logp) for b in data.minibatches(3, rng)]
    assert sum(sizes) == valid.sum() and max(sizes) - min(sizes) <= 1


def test_published_settings_fall_to_nothing(rng):
    config = rl.PPOConfig.atari(4, epochs=1)
    assert (config.clip, config.lr, config.entropy_coefficient) == (0.1, 2.5e-4, 0.01)
    assert (config.gamma, config.lam, config.value_coefficient, config.max_grad_norm,
            config.minibatches, rl.PPOConfig.atari(4).epochs) == (0.99, 0.95, 0.5, 0.5, 4, 4)
    ppo = rl.PPO(network(), None, rl.Categorical(), config)
    assert ppo.policy.optimiser.eps == 1e-5
    rates = []
    for _ in range(5):
        metrics = ppo.update(rollout(ppo, rng), rng)
        rates.append((metrics["clip"], metrics["learning_rate"]))
    close(np.array(rates), np.outer([1, 0.75, 0.5, 0.25, 0], [0.1, 2.5e-4]))


def test_resumes_and_repeats_to_the_same_bits():
    def trained(break_after=None):
        ppo, rng = rl.PPO(network(), None, rl.Categorical()), np.random.default_rng(0)
        for i in range(4):
            if i == break_after:
                state = ppo.state()
                ppo = rl.PPO(network(seed=9), None, rl.Categorical())
                ppo.load_state(state)
            ppo.update(rollout(ppo, rng), rng)
        return [ppo.policy.network.params.copy()]
    same_for_any_threads(trained)
    same_bits(trained()[0], trained(break_after=2)[0])


def test_errors_name_argument_has_and_expected(rng):
    with pytest.raises(ValueError, match="value is Linear, expected None beside an ActorCritic"):
        rl.PPO(network(), nn.Linear(6, 1).build(), rl.Categorical())
    with pytest.raises(ValueError, match=r"value_lr is 0\.1, expected None with an ActorCritic"):
        rl.PPO(network(), None, rl.Categorical(), rl.PPOConfig(value_lr=0.1))
    with pytest.raises(ValueError, match=r"critic returned shape \(2, 3\), expected \(2, 1\)"):
        rl.ActorCritic(nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 3)).build().forward(
            np.ones((2, 6), np.float32))
    with pytest.raises(ValueError, match=r"valid has shape \(3, 4\), expected it to begin with"):
        ppo = rl.PPO(network(), None, rl.Categorical())
        rollout(ppo, rng, valid=np.ones((3, 4), bool))
