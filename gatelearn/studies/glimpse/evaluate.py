"""Errors, places and time of every method on held-out images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn.tasks import DigitBatch, Digits

BATCH = 128
SHOWN = 8  # images whose paths are drawn


def draw_images(task: Digits, split: str, renderings: int, seed: int) -> DigitBatch:
    """Return so many images of each digit of a split, one after another; the same for a seed."""
    rng = np.random.default_rng([seed, *split.encode()])
    return task.render(rng, np.repeat(task.splits[split], renderings), split=split)


def run_images(method: Any, images: NDArray) -> tuple[NDArray, NDArray | None]:
    """Return the classes named (N, T) and places (N, T, 2); a rule's draws are always the same."""
    rng = np.random.default_rng(0)
    runs = [method.run(part, rng) for part in _parts(images)]
    named, places = zip(*runs, strict=True)
    return np.concatenate(named), None if places[0] is None else np.concatenate(places)


def choose(trials: list, images: DigitBatch) -> tuple[int, list[float]]:
    """Return which trial has the smallest error, and the error of each in per cent."""
    errors = [100 * float((run_images(method, images.images)[0][:, -1] != images.labels).mean())
              for method in trials]
    return int(np.argmin(errors)), errors


def evaluate(methods: dict[str, Any], images: DigitBatch, renderings: int, rounds: int,
             tick: Callable[[str], None]) -> dict[str, NDArray]:
    """Measure every method on the same images.

    Returns
    -------
    dict of ndarray
        For each method ``NAME.wrong`` (digit, rendering, T), behind each glimpse or with T = 1;
        ``NAME.off`` (T,), mean distance of the places from the digit's middle, in pixels;
        ``NAME.named`` and ``NAME.places`` of the first few digits. ``shown`` and
        ``shown.labels``, their images. ``seconds`` (round, method) for an image.
    """
    out = {"shown": images.images[::renderings][:SHOWN],
           "shown.labels": images.labels[::renderings][:SHOWN]}
    side = images.images.shape[-1]
    for name, method in methods.items():
        tick(f"scoring {name}")
        named, places = run_images(method, images.images)
        wrong = named != images.labels[:, None]
        out[f"{name}.wrong"] = wrong.reshape(-1, renderings, wrong.shape[1])
        out[f"{name}.named"] = named[::renderings][:SHOWN]
        if places is not None:
            away = np.hypot(*np.moveaxis(places - images.centre[:, None], -1, 0)) * side / 2
            out[f"{name}.off"] = away.mean(0)
            out[f"{name}.places"] = places[::renderings][:SHOWN]
    out["seconds"] = _time(methods, images.images[:BATCH], rounds, tick)
    return out


def _parts(images: NDArray) -> Iterator[NDArray]:
    return (images[i:i + BATCH] for i in range(0, len(images), BATCH))


def _time(methods: dict[str, Any], images: NDArray, rounds: int,
          tick: Callable[[str], None]) -> NDArray:
    """Seconds an image (round, method); in each round all methods take turns."""
    seconds, rng = np.empty((rounds, len(methods))), np.random.default_rng(0)
    # the first round warms up and is not kept
    for r in range(-1, rounds):
        tick(f"timing, round {r + 1} of {rounds}")
        for m, method in enumerate(methods.values()):
            began = time.perf_counter()
            method.run(images, rng)
            seconds[r, m] = (time.perf_counter() - began) / len(images)
    return seconds
