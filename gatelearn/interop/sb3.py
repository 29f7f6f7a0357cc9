"""Frozen pre-trained models, combined, for agents of Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn.errors import require
from gatelearn.interop.torch import combination as combine
from gatelearn.interop.torch import torch
from gatelearn.wsa import Combination, Combiner
from gatelearn.wsa.encoders import Encoder, Encoders

sb3 = require("stable_baselines3", install="stable-baselines3").common
spaces = require("gymnasium", install="stable-baselines3").spaces

__all__ = ["EncodedVecEnv", "WSAExtractor"]


class WSAExtractor(sb3.torch_layers.BaseFeaturesExtractor):
    """Weight Sharing Attention, or another combination, as a features extractor.

    Parameters
    ----------
    observation_space : gymnasium.Space
        Given by the agent. Where observations are dictionaries, so are those of the encoders.
    encoders : Encoders, or iterable of Encoder, optional
        The frozen models. They see images as the environment gives them, in bytes, with the
        channels first; other observations as the agent preprocesses them.
    width : int, default 512
        Of the state, that is of the features that the agent sees.
    widths : mapping of str to int, optional
        Instead of `encoders`, where observations are the embeddings already: see `EncodedVecEnv`.
    combination : callable, default gatelearn.wsa.Combiner
        Makes the combination of ``(widths, width)``: a class, or a function where there is more to
        say. By default the first model is the context.
    normalize_images : bool, default True
        What the policy is told by the same name.
    seed : int, default 0
        Of the initial parameters.

    Attributes
    ----------
    params : torch.nn.Parameter, shape (P,)
        All parameters of the combination. The encoders have none.
    weights : Tensor, shape (B, M), or None
        Share of each model in the state of the last forward pass.

    Raises
    ------
    ValueError
        If `encoders` and `widths` are both given or both missing, the observations do not fit to
        `widths`, or images are not scaled as `normalize_images` says.

    Notes
    -----
    A model that is saved holds its encoders, by pickle. An agent that learns from an observation
    several times encodes it as often; `EncodedVecEnv` encodes it once.

    Examples
    --------
    >>> from stable_baselines3 import PPO
    >>> from gatelearn.wsa.encoders import as_encoder
    >>> x = np.zeros((1, 4), np.float32)
    >>> encoders = [as_encoder(lambda x: x[:, :2], name="cart", example=x),
    ...             as_encoder(lambda x: x[:, 2:], name="pole", example=x)]
    >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, device="cpu", policy_kwargs=dict(
    ...     features_extractor_class=WSAExtractor,
    ...     features_extractor_kwargs=dict(encoders=encoders, width=32)))
    >>> model.learn(64).policy.features_extractor.weights[0]
    tensor([0., 1.])
    """

    def __init__(self, observation_space: spaces.Space,
                 encoders: Encoders | Iterable[Encoder] | None = None, width: int = 512, *,
                 widths: Mapping[str, int] | None = None,
                 combination: Callable[[Mapping[str, int], int], Combination] | None = None,
                 normalize_images: bool = True, seed: int = 0):
        if (encoders is None) == (widths is None):
            raise ValueError(f"encoders and widths are {'both None' if widths is None else 'given'}"
                             ", expected one of them")
        if encoders is not None:
            encoders = encoders if isinstance(encoders, Encoders) else Encoders(*encoders)
            widths = encoders.widths
        elif observation_space.shape != (sum(widths.values()),):
            raise ValueError(f"observations have shape {observation_space.shape}, expected "
                             f"({sum(widths.values())},), the sum of widths")
        layer = (combination or _first_is_context)(widths, width).build(seed)
        super().__init__(observation_space, layer.width)
        self.encoders, self.layer, self.normalize_images = encoders, layer, normalize_images
        self.params = torch.nn.Parameter(torch.from_numpy(layer.params))
        self.weights: torch.Tensor | None = None

    def forward(self, observations: Any) -> torch.Tensor:
        if self.encoders is None:
            features = observations
        else:
            features = torch.from_numpy(self.encoders.embed(
                self._given(observations, self._observation_space)))
        state, self.weights = combine(self.layer, features, self.params, return_weights=True)
        return state

    def _given(self, x: Any, space: spaces.Space) -> Any:
        """Return observations as the environment gave them, where the agent scaled images."""
        if isinstance(x, Mapping):
            return {key: self._given(part, space[key]) for key, part in x.items()}
        x = x.numpy()
        if not sb3.preprocessing.is_image_space(space):
            return x
        scale = 255 if self.normalize_images else 1
        if x.size and x.max() * scale > 255:
            raise ValueError(f"an image has the value {x.max()}, expected at most {255 // scale}: "
                             f"normalize_images is {self.normalize_images} here and not in the "
                             "policy")
        return np.rint(x * np.float32(scale)).astype(np.uint8)


class EncodedVecEnv(sb3.vec_env.VecEnvWrapper):
    """Environments whose observations are embeddings: each observation is encoded once.

    Parameters
    ----------
    venv : VecEnv
        Environments of Stable-Baselines3.
    encoders : Encoders
        They see observations as `venv` gives them.

    Examples
    --------
    >>> from stable_baselines3 import PPO
    >>> from stable_baselines3.common.env_util import make_vec_env
    >>> from gatelearn.wsa import Mean
    >>> from gatelearn.wsa.encoders import Encoders, as_encoder
    >>> x = np.zeros((1, 4), np.float32)
    >>> encoders = Encoders(as_encoder(lambda x: x[:, :2], name="cart", example=x),
    ...                     as_encoder(lambda x: x[:, 2:], name="pole", example=x))
    >>> env = EncodedVecEnv(make_vec_env("CartPole-v1", 4), encoders)
    >>> model = PPO("MlpPolicy", env, n_steps=16, device="cpu", policy_kwargs=dict(
    ...     features_extractor_class=WSAExtractor,
    ...     features_extractor_kwargs=dict(widths=encoders.widths, width=32, combination=Mean)))
    >>> model.learn(64).num_timesteps
    64
    """

    def __init__(self, venv: sb3.vec_env.VecEnv, encoders: Encoders):
        super().__init__(venv, spaces.Box(-np.inf, np.inf, (encoders.width,), np.float32))
        self.encoders = encoders

    def reset(self) -> NDArray[np.float32]:
        return self.encoders.embed(self.venv.reset())

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray, NDArray, list[dict[str, Any]]]:
        observations, rewards, dones, infos = self.venv.step_wait()
        # the last observation of an episode is there only beside the first of the next
        last = [i for i in np.flatnonzero(dones) if "terminal_observation" in infos[i]]
        if last:
            found = [infos[i]["terminal_observation"] for i in last]
            embedded = self.encoders.embed(
                {key: np.stack([x[key] for x in found]) for key in found[0]}
                if isinstance(found[0], Mapping) else np.stack(found))
            for i, features in zip(last, embedded, strict=True):
                infos[i]["terminal_observation"] = features
        return self.encoders.embed(observations), rewards, dones, infos


def _first_is_context(widths: Mapping[str, int], width: int) -> Combination:
    return Combiner(widths, width, context=next(iter(widths)))
