"""Combinations of models in agents of Stable-Baselines3."""

import functools

import numpy as np
import pytest
from helpers import same_bits

from gatelearn import wsa
from gatelearn.wsa.encoders import Encoders, as_encoder

sb3 = pytest.importorskip("stable_baselines3")
torch = pytest.importorskip("torch")
gymnasium = pytest.importorskip("gymnasium")

from gatelearn.interop.sb3 import EncodedVecEnv, WSAExtractor  # noqa: E402

ROW = np.zeros((1, 4), np.float32)


def encoders(**changes):
    def pole(x):
        return np.tanh(x[:, 2:])
    return [as_encoder(lambda x: x[:, :2], name="cart", example=ROW),
            as_encoder(changes.get("pole", pole), name="pole", example=ROW),
            as_encoder(lambda x: x[:, ::3] ** 2, name="ends", example=ROW)]


def agent(env="CartPole-v1", *, algorithm=None, settings=None, **options):
    settings = settings or dict(n_steps=32, batch_size=32, n_epochs=2)
    options = dict(width=16) | options
    return (algorithm or sb3.PPO)(
        "MlpPolicy" if "Dict" not in str(getattr(env, "observation_space", "")) else
        "MultiInputPolicy", env, device="cpu", seed=1, **settings,
        policy_kwargs=dict(features_extractor_class=WSAExtractor,
                           features_extractor_kwargs=options))


class Pictures(gymnasium.Env):
    """Random pictures, beside a number or alone; an episode has five."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, beside=False):
        image = gymnasium.spaces.Box(0, 255, (1, 36, 36), np.uint8)
        number = gymnasium.spaces.Box(-9, 9, (2,), np.float32)
        self.beside = beside
        self.observation_space = gymnasium.spaces.Dict(
            image=image, number=number) if beside else image

    def draw(self):
        image = self.np_random.integers(0, 256, (1, 36, 36), np.uint8)
        if not self.beside:
            return image
        return dict(image=image, number=self.np_random.normal(size=2).astype(np.float32))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.draw(), {}

    def step(self, action):
        self.steps += 1
        return self.draw(), float(action), self.steps == 5, False, {}


def test_the_combination_trains_in_an_agent():
    model = agent(encoders=encoders())
    extractor = model.policy.features_extractor
    assert extractor.features_dim == 16 and isinstance(extractor.layer, wsa.Combiner)
    assert extractor.layer.context == "cart"
    before = extractor.params.detach().clone()
    model.learn(64)
    assert (extractor.params != before).any() and extractor.params.grad.any()
    assert extractor.params in set(model.policy.parameters())

    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    state = extractor(torch.from_numpy(x))
    expected, saved = extractor.layer.forward(Encoders(*encoders()).embed(x))
    same_bits(state.detach().numpy(), expected)
    same_bits(extractor.weights.numpy(), saved.weights)


def test_other_algorithms():
    settings = dict(learning_starts=8, train_freq=4, batch_size=8, target_update_interval=16)
    model = agent(algorithm=sb3.DQN, settings=settings, encoders=encoders())
    online, target = (net.features_extractor for net in (model.q_net, model.q_net_target))
    assert online.layer is not target.layer
    model.learn(31)
    # the target follows at step 16, the other goes on
    assert (online.params != target.params).any()
    model = agent(algorithm=sb3.A2C, settings=dict(n_steps=8), encoders=encoders())
    before = model.policy.features_extractor.params.detach().clone()
    model.learn(16)
    assert (model.policy.features_extractor.params != before).any()


def test_an_agent_is_saved_and_loaded(tmp_path):
    model = agent(encoders=encoders()).learn(64)
    model.save(tmp_path / "model.zip")
    loaded = sb3.PPO.load(tmp_path / "model.zip", env=model.get_env(), device="cpu")
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    same_bits(loaded.policy.features_extractor.params.detach().numpy(),
              model.policy.features_extractor.params.detach().numpy())
    states = [m.policy.features_extractor(torch.from_numpy(x)) for m in (model, loaded)]
    same_bits(*(s.detach().numpy() for s in states))
    assert (loaded.predict(x, deterministic=True)[0] == model.predict(x, deterministic=True)[0]
            ).all()
    before = states[1].detach().clone()
    loaded.learn(64)
    after = loaded.policy.features_extractor(torch.from_numpy(x))
    assert (after != before).any()
    # it goes on from Adam's moments
    optimiser = loaded.policy.optimizer
    assert optimiser.state[loaded.policy.features_extractor.params]["step"] == 2 * 2 * 2


@pytest.mark.parametrize("normalize_images", [True, False])
def test_encoders_see_images_in_bytes(normalize_images):
    seen = []

    def corner(x):
        seen.append(x.copy())
        return x[:, 0, :4, 0]

    example = np.zeros((1, 1, 36, 36), np.uint8)
    model = sb3.PPO(
        "CnnPolicy", Pictures(), n_steps=8, batch_size=8, device="cpu", seed=0, policy_kwargs=dict(
            normalize_images=normalize_images, features_extractor_class=WSAExtractor,
            features_extractor_kwargs=dict(
                encoders=[as_encoder(corner, example=example)], width=8, combination=wsa.Mean,
                normalize_images=normalize_images)))
    seen.clear()
    model.learn(8)
    given = model.rollout_buffer.observations.reshape(-1, 1, 36, 36)
    assert all(x.dtype == np.uint8 for x in seen)
    same_bits(np.concatenate(seen[:8]), given.astype(np.uint8))
    # all 256 values come back as they were
    extractor = model.policy.features_extractor
    every = torch.arange(36 * 36).remainder(256).reshape(1, 1, 36, 36)
    extractor(every / (255 if normalize_images else 1))
    same_bits(seen[-1], every.numpy().astype(np.uint8))
    with pytest.raises(ValueError, match="an image has the value .*, expected at most "
                                         f"{1 if normalize_images else 255}: normalize_images is "
                                         f"{normalize_images} here and not in the policy"):
        extractor(every.float() if normalize_images else every * 255.0)


def test_observations_of_parts():
    env = Pictures(beside=True)
    example = {key: value[None] for key, value in env.observation_space.sample().items()}
    models = [as_encoder(lambda x: x["image"][:, 0, 0, :3], name="row", example=example),
              as_encoder(lambda x: x["number"], name="number", example=example)]
    model = agent(env, encoders=models, combination=wsa.Concatenation)
    x, _ = env.reset(seed=3)
    state = model.policy.extract_features(
        model.policy.obs_to_tensor(x)[0], model.policy.features_extractor)
    features = np.concatenate([x["image"][0, 0, :3], x["number"]]).astype(np.float32)[None]
    same_bits(state.detach().numpy(), model.policy.features_extractor.layer.forward(features)[0])
    model.learn(32)


def test_environments_that_encode_once():
    counts = [0]

    def pole(x):
        counts[0] += len(x)
        return np.tanh(x[:, 2:])

    models = Encoders(*encoders(pole=pole))
    make = functools.partial(sb3.common.env_util.make_vec_env, "CartPole-v1", 3, seed=5)
    env = EncodedVecEnv(make(), models)
    assert env.observation_space.shape == (6,)
    settings = dict(n_steps=32, batch_size=32, n_epochs=4)
    once = agent(env, widths=models.widths, settings=settings)
    counts[0] = 0
    once.learn(96)
    ended = int(once.rollout_buffer.episode_starts.sum()) - 3 + int(once._last_episode_starts.sum())
    assert ended > 0 and counts[0] == 3 * (1 + 32) + ended
    # what is learned is the same as where each update encodes again
    counts[0] = 0
    again = agent(make(), encoders=models, settings=settings).learn(96)
    assert counts[0] > 3 * 32 * 4
    same_bits(*(m.policy.features_extractor.params.detach().numpy() for m in (once, again)))


def test_the_last_observation_of_an_episode_is_encoded():
    for beside in (False, True):
        env = sb3.common.vec_env.DummyVecEnv([functools.partial(Pictures, beside)] * 2)
        example = env.reset()
        models = Encoders(as_encoder(
            lambda x: (x["image"] if isinstance(x, dict) else x)[:, 0, 0, :5],
            name="row", example=example))
        wrapped = EncodedVecEnv(env, models)
        wrapped.seed(3)
        assert wrapped.reset().shape == (2, 5)
        for _ in range(5):
            features, _, dones, infos = wrapped.step(np.zeros(2, int))
        assert dones.all() and features.shape == (2, 5)
        # the same episode without the wrapper
        plain = sb3.common.vec_env.DummyVecEnv([functools.partial(Pictures, beside)] * 2)
        plain.seed(3)
        plain.reset()
        for _ in range(5):
            _, _, _, expected = plain.step(np.zeros(2, int))
        for info, e in zip(infos, expected, strict=True):
            last = e["terminal_observation"]
            last = last["image"] if beside else last
            same_bits(info["terminal_observation"], last[0, 0, :5].astype(np.float32))


def test_messages():
    space = gymnasium.spaces.Box(-1, 1, (4,), np.float32)
    with pytest.raises(ValueError, match="encoders and widths are both None, expected one of them"):
        WSAExtractor(space)
    with pytest.raises(ValueError, match="encoders and widths are given, expected one of them"):
        WSAExtractor(space, encoders(), widths={"a": 4})
    with pytest.raises(ValueError, match=r"observations have shape \(4,\), expected \(5,\), the "
                                         "sum of widths"):
        WSAExtractor(space, widths={"a": 2, "b": 3}, combination=wsa.Mean)
    with pytest.raises(TypeError, match="encoder is function, expected name, width and embed"):
        WSAExtractor(space, [lambda x: x], combination=wsa.Mean)
    bad = WSAExtractor(space, [
        as_encoder(lambda x: np.log(x), name="log", example=np.ones((1, 4)))],
        combination=wsa.Mean)
    with pytest.raises(FloatingPointError, match="encoder 'log' returned -inf for observation 1"):
        with np.errstate(divide="ignore"):
            bad(torch.tensor([[1.0, 1, 1, 1], [1, 0, 1, 1]]))
