"""Baselines with a state: what they learn, and that REINFORCE keeps it."""

import numpy as np
import pytest
from helpers import same_bits

from gatelearn import nn, rl


@pytest.mark.parametrize("baseline", ["moving", "rows", "learned"])
def test_reinforce_keeps_its_baseline_and_resumes_to_the_same_bits(baseline):
    def make():
        made = {"moving": rl.MovingAverage, "rows": lambda: rl.MovingAverage(rows=8),
                "learned": lambda: rl.LearnedBaseline(nn.Linear(3, 1).build(seed=1))}[baseline]()
        return rl.Reinforce(nn.Linear(3, 3).build(seed=0), rl.Bernoulli(),
                            rl.ReinforceConfig(baseline=made, lr=0.05))

    def step(learner, rng):
        x = rng.choice(np.float32([-1, 1]), (8, 3))
        actions, _ = learner.act(x, rng, samples=1)
        return learner.update(x, actions, (actions == (x > 0)).mean(-1, dtype=np.float32))

    whole, rng = make(), np.random.default_rng(0)
    for _ in range(3):
        step(whole, rng)
    state, random_state = whole.state(), rng.bit_generator.state
    for _ in range(150):
        metrics = step(whole, rng)
    assert metrics["reward"] > 0.9

    resumed, rng = make(), np.random.default_rng(5)
    resumed.load_state(state)
    rng.bit_generator.state = random_state
    for _ in range(150):
        step(resumed, rng)
    same_bits(whole.policy.network.params, resumed.policy.network.params)
    for key, value in whole.state().items():
        same_bits(value, resumed.state()[key])


def test_reinforce_is_self_critical():
    learner = rl.Reinforce(nn.Linear(3, 3).build(seed=0), rl.Bernoulli(),
                           rl.ReinforceConfig(baseline="self-critical", lr=0.05))
    rng = np.random.default_rng(0)
    for _ in range(150):
        x = rng.choice(np.float32([-1, 1]), (8, 3))
        actions, _ = learner.act(x, rng, samples=1)
        best = learner.distribution.mode(learner.policy.network.forward(x)[0])
        rewards = [(a == (x > 0)).mean(-1, dtype=np.float32) for a in (actions, best)]
        learner.update(x, actions, rewards[0], greedy=rewards[1])
    assert rewards[1].mean() == 1
    with pytest.raises(ValueError, match="greedy is None, expected the rewards of the likeliest"):
        learner.update(x, actions, rewards[0])
    with pytest.raises(ValueError, match=r"greedy has shape \(1, 8\), expected \(8,\)"):
        learner.update(x, actions, rewards[0], greedy=rewards[1][None])


def test_moving_average_by_row():
    baseline = rl.MovingAverage(decay=0.5, rows=2)
    np.testing.assert_array_equal(baseline.advantages([[1.0, 5.0], [3.0, 5.0]]), [[-1, 0], [1, 0]])
    np.testing.assert_array_equal(baseline.advantages([[4.0, 5.0]]), [[2, 0]])
    np.testing.assert_array_equal(baseline.value, [3, 5])
    with pytest.raises(ValueError, match=r"rewards has shape \(1, 3\), expected \(1, 2\)"):
        baseline.advantages(np.zeros((1, 3)))
    with pytest.raises(FloatingPointError, match=r"rewards\[0, 1\] is nan, expected a finite num"):
        baseline.advantages([[4.0, np.nan]])
    np.testing.assert_array_equal(baseline.value, [3, 5])


def test_learned_baseline_learns_rewards():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 3))
    baseline = rl.LearnedBaseline(nn.Linear(3, 1).build(seed=3, dtype=np.float64), lr=0.05)
    rewards = np.stack([x @ [1.0, -2.0, 0.5] + 3] * 2)
    first = np.abs(baseline.advantages(rewards, x)).max()
    for _ in range(500):
        advantages = baseline.advantages(rewards, x)
    assert np.abs(advantages).max() < 0.01 * first
    with pytest.raises(ValueError, match="observations is None, expected what the baseline's net"):
        baseline.advantages(rewards)
    with pytest.raises(ValueError, match="Linear has no parameters, expected a layer that was bui"):
        rl.LearnedBaseline(nn.Linear(2, 1))
