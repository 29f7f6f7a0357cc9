"""A PPO update of a controller: 10 epochs of minibatches of 256 decisions over 2,048 of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from timing import OURS, Case, optional

from gatelearn import nn, rl

STEPS, BATCH, WIDTH, GATES = 2048, 256, 64, 36


def cases(quick: bool) -> Iterator[Case]:
    epochs = 1 if quick else 10
    yield Case("PPO update", f"MLP 64-64, batch {BATCH}, {epochs * STEPS // BATCH} minibatches",
               lambda skipped: setup(skipped, epochs))


def setup(skipped, epochs: int):
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((STEPS, 1, WIDTH)).astype(np.float32)

    def network(outputs):
        return nn.Sequential(nn.Linear(WIDTH, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(),
                             nn.Linear(64, outputs)).build(seed=0)

    ppo = rl.PPO(network(GATES), network(1), rl.Bernoulli(),
                 rl.PPOConfig(epochs=epochs, minibatches=STEPS // BATCH))
    actions, logp, values = ppo.act(observations[:, 0], rng)
    rewards = rng.standard_normal((STEPS, 1)).astype(np.float32)
    rollout = rl.Rollout(observations, actions[:, None], logp[:, None], rewards=rewards,
                         values=values[:, None], last_values=np.zeros(1, np.float32))
    rollout.estimate(0.99, 0.95)

    def update():
        ppo.update(rollout, rng)

    functions = {OURS: update}
    if optional("stable_baselines3", skipped, "stable-baselines3"):
        functions["stable-baselines3"] = baselines(rollout, epochs)
    return functions


def baselines(rollout: rl.Rollout, epochs: int):
    """The same update by Stable-Baselines3, from the same rollout."""
    import gymnasium
    import stable_baselines3
    import torch
    from stable_baselines3.common.logger import configure

    class Env(gymnasium.Env):
        """Only its spaces are of use."""

        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (WIDTH,))
        action_space = gymnasium.spaces.MultiBinary(GATES)

    model = stable_baselines3.PPO("MlpPolicy", Env(), n_steps=STEPS, batch_size=BATCH,
                                  n_epochs=epochs, device="cpu", seed=0)
    model.set_logger(configure(None, []))
    buffer = model.rollout_buffer
    for t in range(STEPS):
        buffer.add(rollout.observations[t], rollout.actions[t], rollout.rewards[t], np.zeros(1),
                   *(torch.from_numpy(a[t]) for a in (rollout.values, rollout.logp)))
    buffer.compute_returns_and_advantage(torch.zeros(1), np.zeros(1))
    return model.train
