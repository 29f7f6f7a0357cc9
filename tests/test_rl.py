"""Estimators against exact gradients, and algorithms that learn, repeat and resume."""

import itertools

import numpy as np
import pytest
from helpers import close, same_bits

import gatelearn as gl
from gatelearn import nn, rl

WITH_ENTROPY = [(rl.Bernoulli(), 3), (rl.Bernoulli(bound=0.1), 3), (rl.Categorical(), 5)]
CASES = [*WITH_ENTROPY, (rl.PlackettLuce(2), 4)]


def problem(distribution, K, rows=2):
    """Logits, all actions, a reward for each action and row, their probabilities."""
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((rows, K))
    actions = distribution.enumerate(K)
    rewards = rng.standard_normal((len(actions), rows))
    p = np.exp([distribution.log_prob(logits, rows_of(a, rows)) for a in actions])
    return logits, actions, rewards, p


def rows_of(action, rows):
    return np.repeat(np.asarray(action)[None], rows, 0)


@pytest.mark.parametrize("distribution, K", CASES)
def test_exact_gradient_by_central_differences(distribution, K):
    logits, _, rewards, p = problem(distribution, K)
    close(rl.expected_reward(logits, distribution, lambda a: rewards), (p * rewards).sum(0))
    exact = rl.exact_gradient(logits, distribution, lambda a: rewards)
    for i in np.ndindex(logits.shape):
        values = []
        for step in (1e-6, -1e-6):
            moved = logits.copy()
            moved[i] += step
            values.append(rl.expected_reward(moved, distribution, lambda a: rewards)[i[0]])
        assert exact[i] == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-8)


@pytest.mark.parametrize("distribution, K", CASES)
def test_reinforce_without_baseline_is_unbiased(distribution, K):
    logits, actions, rewards, p = problem(distribution, K)
    exact = rl.exact_gradient(logits, distribution, lambda a: rewards)
    mean = sum(p[i][:, None] * rl.reinforce_gradient(
        logits, rows_of(a, 2)[None], rewards[i][None], distribution, baseline="none")[0]
        for i, a in enumerate(actions))
    np.testing.assert_allclose(mean, -exact / 2, atol=1e-9)


@pytest.mark.parametrize("distribution, K", CASES)
@pytest.mark.parametrize("baseline, share", [("loo", 1), ("mean", 0.5)])
def test_reinforce_with_baseline_is_unbiased_up_to_its_share(distribution, K, baseline, share):
    logits, actions, rewards, p = problem(distribution, K, rows=1)
    exact = rl.exact_gradient(logits, distribution, lambda a: rewards)
    mean = 0
    for i, j in itertools.product(range(len(actions)), repeat=2):
        pair = np.stack([rows_of(actions[i], 1), rows_of(actions[j], 1)])
        gradient, _ = rl.reinforce_gradient(logits, pair, rewards[[i, j]], distribution,
                                            baseline=baseline)
        mean = mean + p[i] * p[j] * gradient
    np.testing.assert_allclose(mean, -share * exact, atol=1e-9)


@pytest.mark.parametrize("distribution, K", CASES)
def test_first_gradient_of_ppo_is_unbiased(distribution, K):
    logits, actions, rewards, p = problem(distribution, K)
    exact = rl.exact_gradient(logits, distribution, lambda a: rewards)
    policy = nn.Linear(K, K).build(dtype=np.float64)
    ppo = rl.PPO(policy, None, distribution, rl.PPOConfig(normalise_advantage=False))
    mean = 0
    for i, a in enumerate(actions):
        drawn = rows_of(a, 2)
        batch = rl.Minibatch(logits, drawn, distribution.log_prob(logits, drawn), rewards[i], None,
                             None)
        mean = mean + p[i][:, None] * ppo._loss(batch, logits, None, 0.2)[1]
    np.testing.assert_allclose(mean, -exact / 2, atol=1e-9)


@pytest.mark.parametrize("distribution, K", CASES)
def test_sampled_gradient_lies_in_its_interval(distribution, K):
    logits, actions, rewards, _ = problem(distribution, K, rows=1)
    exact = rl.exact_gradient(logits, distribution, lambda a: rewards)[0]
    S = 20000
    many = np.repeat(logits, S, 0)
    drawn, logp = distribution.draw(many, np.random.default_rng(0))
    close(logp, distribution.log_prob(many, drawn))
    same = drawn[:, None] == actions
    index = (same if same.ndim == 2 else same.all(-1)).argmax(1)
    each = distribution.gradient(many, drawn, rewards[index, 0])
    error = each.std(0) / np.sqrt(S)
    assert np.all(np.abs(each.mean(0) - exact) < 5 * error)

    whole, _ = rl.reinforce_gradient(logits, drawn[:, None], rewards[index], distribution)
    np.testing.assert_allclose(whole[0], -exact, atol=5 * error.max())


@pytest.mark.parametrize("distribution, K", WITH_ENTROPY)
def test_entropy_bonus_is_the_gradient_of_entropy(distribution, K):
    logits, actions, _, _ = problem(distribution, K)
    drawn = rows_of(actions[1], 2)[None]
    zero = np.zeros((1, 2))
    gradient, metrics = rl.reinforce_gradient(logits, drawn, zero, distribution, baseline="none",
                                              entropy_coefficient=0.3)
    close(gradient, distribution.gradient(logits, drawn[0], None, np.full(2, -0.15)))
    assert metrics["loss"] == pytest.approx(-0.3 * distribution.entropy(logits).mean())


@pytest.mark.parametrize("distribution, K", WITH_ENTROPY)
def test_interface_of_distributions(distribution, K):
    logits, actions, _, p = problem(distribution, K, rows=1)
    assert p.sum() == pytest.approx(1)
    best = distribution.mode(logits)
    assert distribution.log_prob(logits, best)[0] == pytest.approx(np.log(p.max()))
    drawn = distribution.sample(logits, np.random.default_rng(3))
    same_bits(drawn, distribution.draw(logits, np.random.default_rng(3))[0])
    logp, entropy = distribution.evaluate(logits, drawn)
    same_bits(logp, distribution.log_prob(logits, drawn))
    same_bits(entropy, distribution.entropy(logits))
    assert distribution.kl(logits, logits)[0] == pytest.approx(0, abs=1e-12)
    other = logits + 0.5 * np.arange(K)
    q = np.exp([distribution.log_prob(other, rows_of(a, 1)) for a in actions])
    assert distribution.kl(logits, other)[0] == pytest.approx((p * np.log(p / q)).sum())
    dp, dq = distribution.kl_gradient(np.ones(1), logits, other)
    assert dp.shape == dq.shape == logits.shape


def test_interface_of_rankings():
    distribution = rl.PlackettLuce(2)
    logits, actions, _, p = problem(distribution, 4, rows=1)
    assert p.sum() == pytest.approx(1) and len(actions) == 12
    assert repr(distribution) == "PlackettLuce(2)"
    best = distribution.mode(logits)
    assert distribution.log_prob(logits, best)[0] == pytest.approx(np.log(p.max()))
    assert distribution.mode([[0, 1, -np.inf, 1]]).tolist() == [[1, 3]]
    drawn = distribution.sample(logits, np.random.default_rng(3))
    same_bits(drawn, distribution.draw(logits, np.random.default_rng(3))[0])
    assert drawn.shape == (1, 2) and not distribution.gradient(logits, drawn, None).any()
    for call in (lambda: distribution.entropy(logits), lambda: distribution.evaluate(logits, drawn),
                 lambda: distribution.gradient(logits, drawn, None, np.ones(1))):
        with pytest.raises(NotImplementedError, match=r"the entropy of PlackettLuce\(2\) has no c"):
            call()
    for call in (lambda: distribution.kl(logits, logits),
                 lambda: distribution.kl_gradient(np.ones(1), logits, logits)):
        with pytest.raises(NotImplementedError, match=r"the divergence of PlackettLuce\(2\) has"):
            call()


# each bit says whether a random linear function of the observation is positive
RULE = np.random.default_rng(7).standard_normal((6, 4)).astype(np.float32)


def bandit(rng, n):
    x = rng.standard_normal((n, 6)).astype(np.float32)
    return x, x @ RULE > 0


def network(outputs, seed=0):
    return nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, outputs)).build(seed=seed)


def make_reinforce():
    return rl.Reinforce(network(4), rl.Bernoulli(bound=0.02), rl.ReinforceConfig(
        lr=1e-2, entropy_coefficient=1e-3, anneal=200))


def reinforce_step(learner, rng):
    x, target = bandit(rng, 32)
    actions, _ = learner.act(x, rng, samples=4)
    rewards = (actions == target).mean(-1, dtype=np.float32)
    return learner.update(x, actions, rewards)


def make_ppo():
    return rl.PPO(network(4), network(1, seed=1), rl.Bernoulli(), rl.PPOConfig(
        lr=1e-2, entropy_coefficient=1e-3, anneal=100))


def ppo_step(learner, rng):
    x, target = bandit(rng, 128)
    actions, logp, values = learner.act(x, rng)
    rewards = (actions == target).mean(-1, dtype=np.float32)
    ended = np.ones((1, len(x)), bool)
    return learner.update(rl.Rollout(x[None], actions[None], logp[None], rewards[None],
                                     values[None], terminated=ended), rng)


def greedy_reward(learner):
    x, target = bandit(np.random.default_rng(99), 2000)
    return (learner.distribution.mode(learner.policy.network.forward(x)[0]) == target).mean()


ALGORITHMS = [(make_reinforce, reinforce_step), (make_ppo, ppo_step)]


@pytest.mark.parametrize("make, step", ALGORITHMS)
def test_learns_a_contextual_bandit(make, step):
    learner, rng = make(), np.random.default_rng(0)
    assert greedy_reward(learner) < 0.65
    for _ in range(100):
        metrics = step(learner, rng)
        assert all(np.isfinite(v) for v in metrics.values())
    assert greedy_reward(learner) > 0.9


@pytest.mark.parametrize("make, step", ALGORITHMS)
def test_same_bits_twice_and_on_any_number_of_threads(make, step):
    results = []
    for threads in (1, 1, 2):
        with gl.num_threads(threads):
            learner, rng = make(), np.random.default_rng(0)
            for _ in range(5):
                step(learner, rng)
            results.append(learner.policy.network.params.copy())
    same_bits(results[0], results[1])
    same_bits(results[0], results[2])


@pytest.mark.parametrize("make, step", ALGORITHMS)
def test_resumes_to_the_same_bits(make, step):
    whole, rng = make(), np.random.default_rng(0)
    for _ in range(3):
        step(whole, rng)
    state, random_state = whole.state(), rng.bit_generator.state
    for _ in range(3):
        step(whole, rng)

    resumed, rng = make(), np.random.default_rng(5)
    step(resumed, rng)
    resumed.load_state(state)
    rng.bit_generator.state = random_state
    for _ in range(3):
        step(resumed, rng)
    same_bits(whole.policy.network.params, resumed.policy.network.params)
    assert whole.updates == resumed.updates == 6

    for bad, message in ((state | {"extra": 1}, "state entry extra is unknown"),
                         ({k: v for k, v in state.items() if k != "policy.m"},
                          "state entry policy.m is missing"),
                         (state | {"policy.v": np.zeros(3)}, r"policy.v has shape \(3,\), expect")):
        with pytest.raises(ValueError, match=message):
            resumed.load_state(bad)
    same_bits(whole.policy.network.params, resumed.policy.network.params)


# the two largest of five random linear functions of the observation, in order
SCORES = np.random.default_rng(8).standard_normal((6, 5)).astype(np.float32)


def ranking_step(learner, rng):
    x = rng.standard_normal((32, 6)).astype(np.float32)
    best = np.argsort(-(x @ SCORES), 1)[:, :2]
    if isinstance(learner, rl.Reinforce):
        actions, _ = learner.act(x, rng, samples=4)
        rewards = (actions == best).mean(-1, dtype=np.float32)
        return rewards.mean(), learner.update(x, actions, rewards)
    actions, logp, _ = learner.act(x, rng)
    rewards = (actions == best).mean(-1, dtype=np.float32)
    rollout = rl.Rollout(x, actions, logp, advantages=rewards - rewards.mean())
    return rewards.mean(), learner.update(rollout, rng)


@pytest.mark.parametrize("make", [
    lambda: rl.Reinforce(network(5), rl.PlackettLuce(2), rl.ReinforceConfig(lr=1e-2)),
    lambda: rl.PPO(network(5), None, rl.PlackettLuce(2), rl.PPOConfig(lr=1e-2))])
def test_learns_rankings_and_reports_no_entropy(make):
    learner, rng = make(), np.random.default_rng(0)
    rewards = []
    for _ in range(150):
        reward, metrics = ranking_step(learner, rng)
        rewards.append(reward)
        assert "entropy" not in metrics and all(np.isfinite(v) for v in metrics.values())
    assert np.mean(rewards[:10]) < 0.4 and np.mean(rewards[-10:]) > 0.7


@pytest.mark.parametrize("make", [
    lambda: rl.Reinforce(network(5), rl.PlackettLuce(2),
                         rl.ReinforceConfig(entropy_coefficient=0.1)),
    lambda: rl.PPO(network(5), None, rl.PlackettLuce(2), rl.PPOConfig(entropy_coefficient=0.1))])
def test_an_entropy_bonus_of_rankings_is_refused(make):
    with pytest.raises(NotImplementedError, match="the entropy of PlackettLuce"):
        ranking_step(make(), np.random.default_rng(0))


def test_ratio_is_one_on_the_first_minibatch():
    rng = np.random.default_rng(0)
    policy = network(4)
    ppo = rl.PPO(policy, None, rl.Bernoulli(), rl.PPOConfig(epochs=1, minibatches=1, lr=1.0))
    x, _ = bandit(rng, 64)
    actions, logp, values = ppo.act(x, rng)
    assert values is None
    rollout = rl.Rollout(x, actions, logp, advantages=rng.standard_normal(64).astype(np.float32))
    metrics = ppo.update(rollout, rng)
    assert metrics["approx_kl"] < 1e-12 and metrics["clip_fraction"] == 0
    assert metrics["policy_loss"] == pytest.approx(0, abs=1e-6)
    assert ppo.update(rollout, rng)["clip_fraction"] > 0


def test_target_kl_ends_an_update():
    rng = np.random.default_rng(0)
    ppo = rl.PPO(network(4), None, rl.Bernoulli(), rl.PPOConfig(lr=1.0, target_kl=0.01))
    x, _ = bandit(rng, 64)
    actions, logp, _ = ppo.act(x, rng)
    rollout = rl.Rollout(x, actions, logp, advantages=rng.standard_normal(64).astype(np.float32))
    metrics = ppo.update(rollout, rng)
    assert metrics["steps"] == 1 and metrics["approx_kl"] < 0.01
    assert metrics.keys() >= {"loss", "policy_loss", "value_loss", "entropy", "approx_kl",
                              "clip_fraction", "policy_grad_norm", "learning_rate"}


def test_ppo_learns_steps_that_are_rewarded_at_the_end():
    """One network decides three times an episode; only the last step is rewarded."""
    rng = np.random.default_rng(0)
    T, N = 3, 64
    policy = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 3)).build(seed=0)
    value = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1)).build(seed=1)
    ppo = rl.PPO(policy, value, rl.Categorical(), rl.PPOConfig(
        lr=5e-3, value_clip=0.2, gamma=1.0, entropy_coefficient=0.01))
    for _ in range(60):
        observations = np.zeros((T, N, 4), np.float32)
        observations[..., 0] = rng.integers(0, 2, N) * 2 - 1
        observations[np.arange(T), :, np.arange(T) + 1] = 1
        actions, logp, values = zip(*(ppo.act(x, rng) for x in observations), strict=True)
        actions = np.stack(actions)
        right = actions == np.minimum(np.arange(T)[:, None] + (observations[..., 0] > 0), 2)
        rewards, ended = np.zeros((T, N), np.float32), np.zeros((T, N), bool)
        rewards[-1], ended[-1] = right.mean(0), True
        rollout = rl.Rollout(observations, actions, np.stack(logp), rewards, np.stack(values),
                             terminated=ended)
        metrics = ppo.update(rollout, rng)
    assert rewards[-1].mean() > 0.9
    assert metrics["explained_variance"] <= 1


def test_minibatches_hold_every_step_once():
    rng = np.random.default_rng(0)
    steps = np.arange(15.0).reshape(5, 3)
    rollout = rl.Rollout(np.repeat(steps[..., None], 2, -1), steps.astype(int), steps,
                         advantages=steps)
    batches = list(rollout.minibatches(4, rng))
    assert [len(b.logp) for b in batches] == [3, 4, 4, 4]
    assert sorted(np.concatenate([b.logp for b in batches])) == list(range(15))
    for b in batches:
        np.testing.assert_array_equal(b.observations[:, 1], b.logp)
        np.testing.assert_array_equal(b.actions, b.logp)
        assert b.values is None and b.returns is None
    assert len(list(rollout.minibatches(20, rng))) == 15


def test_moving_average_follows_rewards():
    baseline = rl.MovingAverage(decay=0.9)
    np.testing.assert_array_equal(baseline.advantages([2.0, 2.0]), 0)
    np.testing.assert_array_equal(baseline.advantages([4.0]), 2)
    assert baseline.value == pytest.approx(2.2)
    assert baseline.advantages(np.ones(2, np.float32)).dtype == np.float32
    a = rl.normalise(np.array([[1, 2], [3, 6]], np.float32))
    assert a.dtype == np.float32
    close(np.array([a.mean(), a.std()]), [0, 1])
    assert not rl.normalise(np.full(3, 0.1, np.float32)).any() and rl.normalise([]).size == 0


def test_errors_name_argument_has_and_expected():
    rng = np.random.default_rng(0)
    zeros = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"rewards has shape \(2, 2\), expected it to begin with "):
        rl.Rollout(zeros, zeros, zeros, zeros[:2])
    with pytest.raises(ValueError, match="rewards or values is None"):
        rl.Rollout(zeros, zeros, zeros).estimate(1.0, 1.0)
    with pytest.raises(ValueError, match="last_values is None, expected it where episodes go on"):
        rl.Rollout(zeros, zeros, zeros, zeros, zeros).estimate(1.0, 1.0)
    with pytest.raises(ValueError, match="Linear has no parameters, expected a layer that was bui"):
        rl.PPO(nn.Linear(2, 2), None, rl.Bernoulli())
    with pytest.raises(ValueError, match="returns is None, expected it where"):
        x, _ = bandit(rng, 4)
        ppo = make_ppo()
        ppo.update(rl.Rollout(x, *ppo.act(x, rng)[:2], advantages=np.zeros(4, np.float32)), rng)
    with pytest.raises(ValueError, match="baseline is 'best', expected one of"):
        rl.ReinforceConfig(baseline="best")
    with pytest.raises(ValueError, match="baseline is 'best', expected one of"):
        rl.reinforce_gradient(zeros, zeros[None].astype(int), zeros[:1, :1].repeat(3, 1),
                              rl.Bernoulli(), baseline="best")
    with pytest.raises(ValueError, match="at least 2 samples"):
        rl.reinforce_gradient(zeros, zeros[None].astype(int), np.zeros((1, 3)), rl.Bernoulli())
    with pytest.raises(ValueError, match=r"logits has shape \(3, 2\), expected \(4, 2\)"):
        rl.reinforce_gradient(zeros, zeros[None].astype(int), np.zeros((2, 4)), rl.Bernoulli())
    with pytest.raises(ValueError, match=r"bound is 0\.5, expected 0 <= bound < 0\.5"):
        rl.Bernoulli(bound=0.5)
    with pytest.raises(ValueError, match="k is 0, expected at least 1"):
        rl.PlackettLuce(0)
    for call in (lambda: rl.PlackettLuce(3).mode(zeros), lambda: rl.PlackettLuce(3).enumerate(2)):
        with pytest.raises(ValueError, match="K is 2, expected at least k = 3"):
            call()
    with pytest.raises(ValueError, match="k is 3, expected at least 1 and at most K = 2"):
        rl.PlackettLuce(3).sample(zeros, rng)
    with pytest.raises(ValueError, match=r"actions has shape \(3, 1\), expected \(3, 2\)"):
        rl.PlackettLuce(2).log_prob(zeros, np.zeros((3, 1), int))
    with pytest.raises(ValueError, match="16 choices have 524160 rankings of 5, expected at mos"):
        rl.exact_gradient(np.zeros((1, 16)), rl.PlackettLuce(5), lambda a: a[:, 0])
    with pytest.raises(ValueError, match="decay is 1, expected 0 <= decay < 1"):
        rl.MovingAverage(decay=1)
    with pytest.raises(ValueError, match=r"logits.shape\[1\] is 17, expected at most 16"):
        rl.exact_gradient(np.zeros((1, 17)), rl.Bernoulli(), lambda a: a[:, 0])
    with pytest.raises(ValueError, match=r"rewards has shape \(2,\), expected \(4,\) or \(4, 1\)"):
        rl.exact_gradient(np.zeros((1, 2)), rl.Bernoulli(), lambda a: np.zeros(2))
