"""The networks that see the whole image, and their training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn import functional as F
from gatelearn import nn
from gatelearn.tasks import Digits

CLASSES = 10


def dense(side: int, hidden: int) -> nn.Sequential:
    """Return an unbuilt network of two hidden layers."""
    return nn.Sequential(nn.Flatten(), nn.Linear(side * side, hidden, gain=math.sqrt(2)), nn.ReLU(),
                         nn.Linear(hidden, hidden, gain=math.sqrt(2)), nn.ReLU(),
                         nn.Linear(hidden, CLASSES))


def convolutional(side: int, hidden: int) -> nn.Sequential:
    """Return an unbuilt network of two pooled convolutions and a hidden layer.

    In images of more than 16 pixels a side the first has a larger kernel and steps of two.
    """
    first = (nn.Conv2d(1, 16, 5, stride=2, padding=2) if side > 16 else
             nn.Conv2d(1, 16, 3, padding=1))
    side = ((side + 1) // 2 if side > 16 else side) // 4
    return nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(32 * side * side, hidden, gain=math.sqrt(2)), nn.ReLU(),
                         nn.Linear(hidden, CLASSES))


def strided(side: int, hidden: int) -> nn.Sequential:
    """Return an unbuilt network of one convolution with long steps and a hidden layer, as [1]_ had.

    Its kernel is 10 by 10 and steps by 5; 4 and 2 in images of up to 16 pixels a side.

    References
    ----------
    .. [1] V. Mnih, N. Heess, A. Graves and K. Kavukcuoglu, "Recurrent Models of Visual Attention",
       NIPS 2014.
    """
    kernel = 10 if side > 16 else 4
    side = (side - kernel) // (kernel // 2) + 1
    return nn.Sequential(nn.Conv2d(1, 16, kernel, stride=kernel // 2), nn.ReLU(), nn.Flatten(),
                         nn.Linear(16 * side * side, hidden, gain=math.sqrt(2)), nn.ReLU(),
                         nn.Linear(hidden, CLASSES))


def parameters(net: nn.Layer) -> int:
    """Return how many parameters a network has, built or not."""
    return sum(math.prod(shape) for *_, shape in net.layout())


def of_size(make: Callable[[int], nn.Layer], target: int) -> nn.Layer:
    """Return the network `make(hidden)` whose number of parameters is nearest to `target`.

    Examples
    --------
    >>> net = of_size(lambda hidden: nn.Linear(10, hidden), 100)
    >>> parameters(net)
    99
    """
    hidden = 1
    while parameters(make(hidden)) < target:
        hidden *= 2
    low = hidden // 2
    while hidden - low > 1:
        middle = (low + hidden) // 2
        low, hidden = (middle, hidden) if parameters(make(middle)) < target else (low, middle)
    return min((make(max(1, low)), make(hidden)), key=lambda net: abs(parameters(net) - target))


class ClassifierTrainer:
    """AdamW on cross-entropy; a step is one batch of new images, the rate falls by half a cosine.

    Parameters
    ----------
    net : nn.Layer
        Built; from images to scores of classes.
    task : Digits
    steps, batch : int
    lr : float
        Peak rate, after a warm-up over 2% of the steps.
    weight_decay : float
        Of the matrices.
    rng : numpy.random.Generator
        Draws the images.
    """

    def __init__(self, net: nn.Layer, task: Digits, steps: int, batch: int, lr: float,
                 weight_decay: float, rng: np.random.Generator):
        self.net, self.task, self.rng = net, task, rng
        self.total, self.batch, self.lr = steps, batch, lr
        self.optimiser = nn.AdamW(net.params, net.grads, weight_decay=weight_decay,
                                  decay_mask=nn.matrices_only(net))

    def step(self) -> dict[str, Any]:
        batch = self.task.sample(self.rng, self.batch)
        logits, saved = self.net.forward(batch.images)
        error = float((logits.argmax(1) != batch.labels).mean())
        weight = np.full(self.batch, 1 / self.batch, logits.dtype)
        loss, dlogits = F.cross_entropy_backward(weight, logits, batch.labels)
        self.net.grads[...] = 0
        self.net.backward(dlogits, saved)
        lr = nn.cosine_schedule(self.optimiser.steps + 1, self.total, self.total // 50,
                                peak=self.lr)
        self.optimiser.step(lr=lr, max_norm=1.0)
        return {"loss": float(loss @ weight), "error": 100 * error,
                "text": f"loss {loss @ weight:.2f}, error {100 * error:.0f}%"}

    def state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        optimiser = self.optimiser.state()
        arrays = {"params": self.net.params.copy(), "m": optimiser["m"], "v": optimiser["v"]}
        return arrays, {"steps": optimiser["step"], "rng": self.rng.bit_generator.state}

    def load_state(self, arrays: dict[str, NDArray], meta: dict[str, Any]) -> None:
        self.net.params[...] = arrays["params"]
        self.optimiser.load_state({"m": arrays["m"], "v": arrays["v"], "step": meta["steps"]})
        self.rng.bit_generator.state = meta["rng"]
