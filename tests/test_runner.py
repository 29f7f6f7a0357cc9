"""Steps in vector environments against loops written by hand; stop and resume; evaluation."""

import numpy as np
import pytest
from helpers import close, same_bits

from gatelearn import nn, rl

gymnasium = pytest.importorskip("gymnasium")
MODES = ("NEXT_STEP", "SAME_STEP", "DISABLED")
LIMIT = 15


def cartpole(mode="NEXT_STEP", envs=3, limit=LIMIT):
    """With a short limit, so that episodes both terminate and are truncated."""
    def make():
        return gymnasium.make("CartPole-v1", max_episode_steps=limit)
    vector = gymnasium.vector
    return vector.SyncVectorEnv([make] * envs, autoreset_mode=vector.AutoresetMode[mode])


def learner(seed=0):
    network = rl.ActorCritic(nn.Sequential(nn.Linear(4, 16), nn.Tanh()), nn.Linear(16, 2),
                             nn.Linear(16, 1)).build(seed)
    return rl.PPO(network, None, rl.Categorical(), rl.PPOConfig(minibatches=2, epochs=2))


def by_hand(runner_seed, segment, agent, steps, rng, envs=3):
    """Single environments, each begun again right after an end: transitions as they happen."""
    seeds = {}
    games = [gymnasium.make("CartPole-v1", max_episode_steps=LIMIT) for _ in range(envs)]
    rows, at = [], 0
    for t in range(steps):
        if t % segment == 0:
            k = t // segment
            seeds[k] = int(np.random.SeedSequence([runner_seed, k]).generate_state(1)[0]) >> 2
            at = np.stack([g.reset(seed=seeds[k] + i)[0] for i, g in enumerate(games)])
        actions, _, _ = agent.act(at, rng)
        rows.append([])
        for i, game in enumerate(games):
            after, reward, terminated, truncated, _ = game.step(int(actions[i]))
            rows[-1].append((at[i], actions[i], reward, terminated, truncated, after))
            at = at.copy()
            at[i] = game.reset()[0] if terminated or truncated else after
    return rows


@pytest.mark.parametrize("mode", ("SAME_STEP", "DISABLED"))
def test_transitions_are_those_of_a_loop_by_hand(mode):
    agent, steps, segment = learner(), 120, 50
    rows = by_hand(5, segment, agent, steps, np.random.default_rng(3))
    runner = rl.VectorRunner(cartpole(mode), seed=5, segment=segment)
    got = runner.collect(agent, steps, np.random.default_rng(3))
    assert got.valid is None
    returns, lengths, total = [], [], np.zeros(3)
    for t, row in enumerate(rows):
        for i, (before, action, reward, terminated, truncated, after) in enumerate(row):
            cut = (t + 1) % segment == 0
            same_bits(got.observations[t, i], before)
            assert got.actions[t, i] == action and got.rewards[t, i] == reward
            assert got.terminated[t, i] == terminated
            assert got.truncated[t, i] == (truncated or cut)
            if got.truncated[t, i] and not terminated:
                close(got.final_values[t, i], agent.values(after[None])[0])
            total[i] += reward
            if terminated or truncated:
                returns.append(total[i])
            if terminated or truncated or cut:
                total[i] = 0
    ended = runner.take_episodes()
    lengths = ended.lengths.tolist()
    assert ended.returns.tolist() == returns and lengths == returns and len(returns) > 8
    assert len(runner.take_episodes().returns) == 0
    assert got.terminated.any() and got.truncated[:segment - 1].any()


def test_next_step_marks_what_must_not_train():
    """The step after an end is not valid, the final observation has its value, and nothing else."""
    agent = learner()
    runner = rl.VectorRunner(cartpole(), seed=5, segment=50)
    got = runner.collect(agent, 120, np.random.default_rng(3))
    ended = got.terminated | got.truncated
    expected = np.ones_like(ended)
    expected[1:] = ~ended[:-1]
    expected[[50, 100]] = True
    assert np.array_equal(got.valid, expected) and not got.valid.all()
    # a game by hand, driven by the same actions, env by env
    for i in range(3):
        game, after = gymnasium.make("CartPole-v1", max_episode_steps=LIMIT), None
        for t in range(120):
            if t % 50 == 0:
                seed = int(np.random.SeedSequence([5, t // 50]).generate_state(1)[0]) >> 2
                at = game.reset(seed=seed + i)[0]
            elif not got.valid[t, i]:
                same_bits(got.observations[t, i], after)
                assert got.rewards[t, i] == 0 and not ended[t, i]
                at = game.reset()[0]
                continue
            same_bits(got.observations[t, i], at)
            after, reward, terminated, _, _ = game.step(int(got.actions[t, i]))
            assert (reward, terminated) == (got.rewards[t, i], got.terminated[t, i])
            if got.truncated[t, i] and not terminated:
                close(got.final_values[t, i], agent.values(after[None])[0])
            at = after
    # the advantages of valid steps do not depend on what stands in the others
    got.estimate(0.99, 0.95)
    kept = got.advantages[got.valid]
    got.rewards[~got.valid] = 1e6
    got.estimate(0.99, 0.95)
    same_bits(got.advantages[got.valid], kept)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stop", (0, 1, 17, 49, 50, 73))
def test_stops_and_resumes_to_the_same_bits(mode, stop):
    def run(runner, agent, rng, steps):
        rollout = runner.collect(agent, steps, rng) if steps else None
        return [] if rollout is None else [a for a in (
            rollout.observations, rollout.actions, rollout.logp, rollout.rewards, rollout.values,
            rollout.terminated, rollout.truncated, rollout.final_values)]

    rng, agent = np.random.default_rng(0), learner()
    whole = rl.VectorRunner(cartpole(mode), seed=1, segment=50)
    first = run(whole, agent, rng, stop)
    state, kept = whole.state(), rng.bit_generator.state
    rest = run(whole, agent, rng, 130 - stop)

    again = rl.VectorRunner(cartpole(mode), seed=1, segment=50)
    again.load_state(state)
    assert again.steps == stop and len(state["actions"]) == stop % 50
    rng.bit_generator.state = kept
    for a, b in zip(run(again, agent, rng, 130 - stop), rest, strict=True):
        same_bits(a, b)
    for a, b in zip(again.take_episodes(), whole.take_episodes(), strict=True):
        same_bits(a, b)
    assert state["actions"].dtype == np.uint8
    assert not first or len(first[0]) == stop


def test_encodes_each_observation_once():
    seen = []

    def encode(x):
        seen.append(len(x))
        return np.float32(x) * 2

    runner = rl.VectorRunner(cartpole("SAME_STEP"), seed=0, encode=encode, segment=1000)
    got = runner.collect(learner(), 60, np.random.default_rng(0))
    truncated = int((got.truncated & ~got.terminated).sum())
    assert truncated > 0 and sum(seen) == 3 * 61 + truncated


class Lives:
    """Two games of three lives, one lost each second step; rewards are 5 and -3 in turn."""

    def __init__(self):
        self.metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP}

    def reset(self, *, seed=None, options=None):
        self.t = np.zeros(2, int)
        return self.t[:, None].astype(np.float32), {"lives": np.array([3, 3])}

    def step(self, actions):
        over = self.t == 6
        self.t = np.where(over, 0, self.t + 1)
        reward = np.where(over, 0, np.where(self.t % 2, 5, -3))
        return (self.t[:, None].astype(np.float32), reward, self.t == 6, np.zeros(2, bool),
                {"lives": 3 - self.t // 2})


def test_lost_lives_and_clipped_rewards_are_for_learning_only():
    ppo = rl.PPO(nn.Linear(1, 2).build(), nn.Linear(1, 1).build(), rl.Categorical())
    runner = rl.VectorRunner(Lives(), seed=0, clip_reward=True, life_loss=True)
    got = runner.collect(ppo, 14, np.random.default_rng(0))
    assert got.rewards[:, 0].tolist() == [1, -1, 1, -1, 1, -1, 0] * 2
    assert got.terminated[:, 0].tolist() == [False, True] * 3 + [False] + [False, True] * 3 + [
        False]
    assert got.valid[:, 0].tolist() == ([True] * 6 + [False]) * 2
    ended = runner.take_episodes()
    assert ended.returns.tolist() == [6.0] * 4 and ended.lengths.tolist() == [6] * 4
    plain = rl.VectorRunner(Lives(), seed=0).collect(ppo, 14, np.random.default_rng(0))
    assert plain.rewards[:3, 0].tolist() == [5, -3, 5] and plain.terminated.sum() == 4


def test_actions_are_clipped_on_their_way_only():
    given = []

    class Reacher(Lives):
        single_action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

        def step(self, actions):
            given.append(actions)
            return super().step(actions)

    ppo = rl.PPO(nn.Linear(1, 2).build(), None, rl.Gaussian(3.0))
    got = rl.VectorRunner(Reacher(), seed=0).collect(ppo, 5, np.random.default_rng(0))
    assert np.abs(got.actions).max() > 1 and got.values is None
    same_bits(np.stack(given), np.clip(got.actions, -1, 1))


@pytest.mark.parametrize("mode", MODES)
def test_evaluation_counts_the_same_number_everywhere(mode):
    def act(x):
        return (x[:, 2] + x[:, 3] > 0).astype(int)

    calls = []
    returns = rl.evaluate(cartpole(mode, limit=60), act, 4, seed=3,
                          progress=lambda done, total: calls.append((done, total)))
    assert returns.shape == (3, 4) and calls[-1] == (12, 12)
    seed = int(np.random.SeedSequence([3, 0]).generate_state(1)[0]) >> 2
    for i in range(3):
        game = gymnasium.make("CartPole-v1", max_episode_steps=60)
        x, _ = game.reset(seed=seed + i)
        for e in range(4):
            total, over = 0.0, False
            while not over:
                x, reward, terminated, truncated, _ = game.step(int(act(x[None])[0]))
                total, over = total + reward, terminated or truncated
            assert returns[i, e] == total
            x, _ = game.reset()


def test_errors_name_argument_has_and_expected():
    env = cartpole()
    with pytest.raises(ValueError, match="segment is 0, expected at least 1"):
        rl.VectorRunner(env, seed=0, segment=0)
    with pytest.raises(ValueError, match="episodes is 0, expected at least 1"):
        rl.evaluate(env, len, 0)
    runner = rl.VectorRunner(env, seed=0)
    with pytest.raises(ValueError, match="state entry at is missing"):
        runner.load_state({k: v for k, v in runner.state().items() if k != "at"})
    with pytest.raises(ValueError, match=r"actions has shape \(2, 4\), expected it to begin with"):
        runner.load_state(runner.state() | {"actions": np.zeros((2, 4), np.uint8), "at": 2})
    env.metadata = {}
    with pytest.raises(ValueError, match=r"metadata\['autoreset_mode'\] of the environment is N"):
        rl.VectorRunner(env, seed=0)


def test_ppo_learns_to_balance_the_pole():
    """Random actions return about 22; both heads learn through the shared trunk."""
    network = rl.ActorCritic(nn.Sequential(nn.Linear(4, 64), nn.Tanh()), nn.Linear(64, 2),
                             nn.Linear(64, 1)).build(0)
    ppo, rng = rl.PPO(network, None, rl.Categorical(), rl.PPOConfig(
        lr=2e-3, epochs=10, value_coefficient=0.01)), np.random.default_rng(0)
    runner = rl.VectorRunner(cartpole(envs=8, limit=500), seed=0)
    for _ in range(25):
        metrics = ppo.update(runner.collect(ppo, 128, rng), rng)
    returns = rl.evaluate(cartpole(limit=500), lambda x: network.forward(x)[0][0].argmax(1), 3)
    assert returns.mean() > 150, returns
    assert metrics["explained_variance"] > 0.3
