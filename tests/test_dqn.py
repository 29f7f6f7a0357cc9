"""Deep Q-learning against gradients by hand; the replay buffer against a plain list; CartPole."""

import numpy as np
import pytest
from helpers import same_bits

from gatelearn import nn, rl

gymnasium = pytest.importorskip("gymnasium")


def cartpole(mode="SAME_STEP", envs=4, limit=500):
    vector = gymnasium.vector
    return vector.SyncVectorEnv(
        [lambda: gymnasium.make("CartPole-v1", max_episode_steps=limit)] * envs,
        autoreset_mode=vector.AutoresetMode[mode])


def network(dtype=np.float32, seed=0):
    return nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(),
                         nn.Linear(32, 2)).build(seed, dtype)


def transitions(rng, B=16, dtype=np.float64):
    return rl.Transitions(rng.standard_normal((B, 4)).astype(dtype), rng.integers(0, 2, B),
                          3 * rng.standard_normal(B).astype(dtype), rng.random(B) < 0.3,
                          rng.standard_normal((B, 4)).astype(dtype))


@pytest.mark.parametrize("double", (True, False))
def test_update_is_the_gradient_of_hubers_loss(rng, double):
    dqn = rl.DQN(network(np.float64), rl.DQNConfig(double=double, lr=1e-3, max_grad_norm=None))
    dqn.target.params += 0.1 * rng.standard_normal(dqn.target.params.shape)
    batch, rows = transitions(rng), np.arange(16)
    following = dqn.target.forward(batch.next_observations)[0]
    chooser = dqn.network.forward(batch.next_observations)[0] if double else following
    best = following[rows, chooser.argmax(1)]
    goal = [r + (0 if t else 0.99 * b)
            for r, t, b in zip(batch.rewards, batch.terminated, best, strict=True)]

    def loss(params):
        net = network(np.float64)
        net.params[...] = params
        error = np.abs(net.forward(batch.observations)[0][rows, batch.actions] - goal)
        return np.mean(np.where(error < 1, error**2 / 2, error - 0.5))

    before = dqn.network.params.copy()
    metrics = dqn.update(batch)
    assert metrics["loss"] == pytest.approx(loss(before))
    grads = dqn.network.grads.copy()
    some = rng.choice(len(before), 60, replace=False)
    for i in some:
        e = np.zeros_like(before)
        e[i] = 1e-6
        assert grads[i] == pytest.approx((loss(before + e) - loss(before - e)) / 2e-6, abs=1e-7)
    assert metrics["grad_norm"] == pytest.approx(np.linalg.norm(grads))


def test_target_is_copied_when_it_is_due(rng):
    dqn = rl.DQN(network(), rl.DQNConfig(target_every=3))
    first = dqn.target.params.copy()
    for i in range(1, 7):
        dqn.update(transitions(rng, dtype=np.float32))
        same = np.array_equal(dqn.target.params, dqn.network.params)
        assert same == (i % 3 == 0)
        assert np.array_equal(dqn.target.params, first) == (i < 3)


def test_epsilon_falls_on_a_line_and_is_the_share_of_random_actions(rng):
    dqn = rl.DQN(network(), rl.DQNConfig(epsilon=(0.8, 0.2), epsilon_steps=100))
    assert dqn.epsilon == 0.8
    dqn.steps = 50
    assert dqn.epsilon == pytest.approx(0.5)
    dqn.steps = 10**6
    assert dqn.epsilon == pytest.approx(0.2)
    x = np.tile(np.float32([[1, 2, 3, 4]]), (20000, 1))
    actions, best = dqn.act(x, rng), dqn.network.forward(x[:1])[0].argmax()
    assert abs(np.mean(actions != best) - 0.1) < 5 * np.sqrt(0.09 / len(x))


@pytest.mark.parametrize("mode", ("NEXT_STEP", "SAME_STEP", "DISABLED"))
@pytest.mark.parametrize("capacity", (90, 4000))
def test_buffer_draws_what_happened(mode, capacity):
    """Every step drawn is one that a single game made; over the edge of the ring, too."""
    runner = rl.VectorRunner(cartpole(mode, 3, limit=12), seed=1, segment=70)
    buffer, rng, happened = rl.ReplayBuffer(capacity), np.random.default_rng(0), {}
    for _ in range(200):
        x, first, actions = runner.observations, runner.first, rng.integers(0, 2, 3)
        step = runner.step(actions)
        buffer.add_step(x, actions, first, step)
        for i in range(3):
            after = runner.observations[i] if step.followed[i] else None
            if step.valid[i] and (step.terminated[i] or after is not None):
                happened[x[i].tobytes()] = (actions[i], step.rewards[i], step.terminated[i], after)
    batch = buffer.sample(3000, rng)
    drawn = set()
    for x, action, reward, terminated, after in zip(*batch, strict=True):
        expected = happened[x.tobytes()]
        assert (action, reward, terminated) == expected[:3]
        if not terminated:
            same_bits(after, expected[3])
        drawn.add(x.tobytes())
    stored = len(happened) if capacity > 1000 else 90
    assert 0.8 * stored < len(drawn) <= stored
    assert batch.terminated.any() and len(buffer) == min(600, capacity)


@pytest.mark.parametrize("capacity", (60, 1000))
def test_stacks_are_rebuilt_from_single_frames(rng, capacity):
    buffer, happened, waiting = rl.ReplayBuffer(capacity, stack=4), {}, [None, None]
    stacks = np.zeros((2, 4, 3, 3), np.uint8)
    first = np.array([True, True])
    for t in range(150):
        frames = rng.integers(0, 256, (2, 3, 3), np.uint8)
        for i in range(2):
            # an episode begins with frames of its own, repeated
            stacks[i] = frames[i] if first[i] else np.concatenate([stacks[i, 1:], frames[i, None]])
            if waiting[i] is not None:
                happened[waiting[i]] = stacks[i].copy()
            waiting[i] = None if t % (7 + i) == 6 else stacks[i].tobytes()
        over = np.array([t % (7 + i) == 6 for i in range(2)])
        buffer.add(stacks.copy(), np.array([t % 5, t % 3]), np.float32([t, -t]), terminated=over,
                   usable=[True, True], first=first)
        if over.any():
            for i in np.flatnonzero(over):
                happened[stacks[i].tobytes()] = None
        first = over
    batch = buffer.sample(2000, rng)
    assert batch.observations.shape == (2000, 4, 3, 3) and batch.observations.dtype == np.uint8
    for x, terminated, after in zip(batch.observations, batch.terminated, batch.next_observations,
                                    strict=True):
        expected = happened[x.tobytes()]
        assert terminated == (expected is None)
        if expected is not None:
            same_bits(after, expected)
    assert 9 * capacity <= buffer.nbytes <= 9 * capacity + 16 * capacity


def trainer(seed=0):
    dqn = rl.DQN(network(seed=seed), rl.DQNConfig(
        lr=5e-4, batch=64, target_every=500, learn_from=500, train_every=2, epsilon=(1.0, 0.05),
        epsilon_steps=8_000))
    runner = rl.VectorRunner(cartpole(), seed=seed, segment=2000)
    return rl.DQNTrainer(dqn, runner, rl.ReplayBuffer(20_000), np.random.default_rng(seed))


def test_stops_and_resumes_to_the_same_bits():
    whole = trainer()
    for _ in range(150):
        whole.step()
    arrays, meta = whole.state()
    expected = [whole.step() for _ in range(30)]
    again = trainer(seed=7)
    again.runner.seed = 0
    again.load_state(arrays, meta)
    assert [again.step() for _ in range(30)] == expected and "loss" in expected[-1]
    same_bits(again.dqn.network.params, whole.dqn.network.params)
    for key, value in whole.state()[0].items():
        same_bits(again.state()[0][key], value)


def test_learns_to_balance_the_pole():
    """Random actions return about 22."""
    learner = trainer()
    for _ in range(3000):
        learner.step()
    dqn = learner.dqn
    returns = rl.evaluate(cartpole(), lambda x: dqn.network.forward(x)[0].argmax(1), 2, seed=50)
    assert returns.mean() > 120, returns


def test_errors_name_argument_has_and_expected(rng):
    for name, call in (("capacity", lambda: rl.ReplayBuffer(0)),
                       ("stack", lambda: rl.ReplayBuffer(9, stack=0)),
                       ("batch", lambda: rl.DQNConfig(batch=0))):
        with pytest.raises(ValueError, match=f"{name} is 0, expected at least 1"):
            call()
    zeros = dict(terminated=np.zeros(2, bool), usable=np.zeros(2, bool), first=np.ones(2, bool))
    x, a, r = np.zeros((2, 4), np.float32), np.zeros(2, int), np.zeros(2)
    with pytest.raises(ValueError, match="capacity is 3, expected at least 4 for 2 environments"):
        rl.ReplayBuffer(3).add(x, a, r, **zeros)
    with pytest.raises(ValueError, match=r"observations has shape \(2, 4\), expected \(N, 3"):
        rl.ReplayBuffer(30, stack=3).add(x, a, r, **zeros)
    buffer = rl.ReplayBuffer(30)
    with pytest.raises(ValueError, match="the buffer has no step to draw among 0 entries"):
        buffer.sample(1, rng)
    for _ in range(4):
        buffer.add(x, a, r, **zeros)
    with pytest.raises(ValueError, match="the buffer has no step to draw among 8 entries"):
        buffer.sample(1, rng)
    with pytest.raises(ValueError, match=r"observations has shape \(2, 5\), expected \(2, 4\)"):
        buffer.add(np.zeros((2, 5), np.float32), a, r, **zeros)
    state = buffer.state()
    with pytest.raises(ValueError, match="state entry frames is missing"):
        rl.ReplayBuffer(30).load_state({k: v for k, v in state.items() if k != "frames"})
    with pytest.raises(ValueError, match="expected it to begin with"):
        rl.ReplayBuffer(6).load_state(state)
