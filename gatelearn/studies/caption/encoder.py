"""The encoder of images, and its training on single emoji before there are captions.

Show, Attend and Tell took an encoder that had learned to classify photographs; this one has learned
to tell emoji, one at a time. All captioners of a seed start from it.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn import functional as F
from gatelearn.nn import AdamW, Conv2d, Linear, ReLU, Sequential
from gatelearn.studies.caption.config import Config
from gatelearn.tasks import EmojiCaptions


def make_encoder(config: Config) -> Sequential:
    """Return unbuilt convolutions from images (B, 3, H, W) to (B, features, H / 8, W / 8)."""
    channels, layers = (3, config.channels, 2 * config.channels, config.features), []
    for before, after in itertools.pairwise(channels):
        layers += [Conv2d(before, after, 4, stride=2, padding=1), ReLU()]
    return Sequential(*layers)


class EncoderTrainer:
    """AdamW on the cross-entropy of which emoji an image of a single one shows.

    Every region is asked: one glance is to be enough. At the end the features are scaled to a mean
    square of 1, which a layer of rectifiers allows; larger ones saturate the decoder.

    Parameters
    ----------
    encoder : Sequential
        Of `make_encoder`.
    tasks : EmojiCaptions
        Of single emoji.
    config : Config
    rng : numpy.random.Generator
        Draws parameters and images.
    """

    def __init__(self, encoder: Sequential, tasks: EmojiCaptions, config: Config,
                 rng: np.random.Generator):
        self.tasks, self.config, self.rng = tasks, config, rng
        self.encoder, self.head = encoder, Linear(config.features, len(tasks.names))
        self.net = Sequential(self.encoder, self.head).build(rng)
        self.optimiser = AdamW(self.net.params, self.net.grads)
        self.steps = 0

    def step(self) -> dict[str, Any]:
        config = self.config
        batch = self.tasks.sample(self.rng, 128)
        features, saved_encoder = self.encoder.forward(batch.images)
        logits, saved_head = self.head.forward(features.transpose(0, 2, 3, 1))
        labels = np.broadcast_to(batch.emoji[:, :, None], logits.shape[:-1])
        weight = np.full(labels.shape, 1 / labels.size, logits.dtype)
        loss, dlogits = F.cross_entropy_backward(weight, logits, labels)

        self.net.grads[...] = 0
        dfeatures = self.head.backward(dlogits, saved_head).transpose(0, 3, 1, 2)
        self.encoder.backward(dfeatures, saved_encoder)
        left = 1 - self.steps / config.encoder_updates
        self.optimiser.step(lr=config.encoder_lr * min(1.0, 2 * left), max_norm=1.0)
        self.steps += 1
        if self.steps == config.encoder_updates:
            rms = np.sqrt(np.mean(features**2))
            for value in self.encoder.layers[-2].param.values():
                value /= rms
        accuracy = float((logits.argmax(-1) == labels).mean())
        return {"loss": float(loss.mean()), "accuracy": accuracy, "text": f"{accuracy:.0%} right"}

    def state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        optimiser = self.optimiser.state()
        return ({"params": self.net.params, "m": optimiser["m"], "v": optimiser["v"]},
                {"steps": self.steps, "rng": self.rng.bit_generator.state})

    def load_state(self, arrays: dict[str, NDArray], meta: dict[str, Any]) -> None:
        self.net.params[...] = arrays["params"]
        self.steps = meta["steps"]
        self.optimiser.load_state({"m": arrays["m"], "v": arrays["v"], "step": self.steps})
        self.rng.bit_generator.state = meta["rng"]
