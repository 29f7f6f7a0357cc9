"""From measurements to the table, the claims and the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatelearn import plots
from gatelearn.runs import RunFolder, Table, bootstrap_interval, seed_interval
from gatelearn.studies.caption.config import CRITICAL, Config
from gatelearn.studies.result import Result
from gatelearn.tasks import EmojiBatch, EmojiCaptions, bleu_of_counts

COLUMNS = ("method", "bleu1", "bleu2", "bleu3", "bleu4", "bleu4_lo", "bleu4_hi", "exact",
           "exact_lo", "exact_hi", "look", "look_lo", "look_hi", "look_all", "regions_per_word",
           "ms_per_caption", "parameters", "tuning_trials")


@dataclass
class Measured:
    """What `evaluate` measured for one seed, and what it was measured on."""

    methods: list[str]
    trials: dict[str, int]
    validation: dict[str, float]
    parameters: int
    arrays: dict[str, NDArray]
    batch: EmojiBatch


def bleu4(counts: NDArray) -> float:
    """Return BLEU-4 of captions with these counts."""
    return float(bleu_of_counts(counts.sum(0))[3])


def resampled_bleu4(counts: NDArray, n: int = 1000) -> NDArray:
    """Return BLEU-4 of `n` samples of the images, drawn with replacement.

    The same samples for every method, so that differences of methods are those of pairs.
    """
    images = len(counts)
    often = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), size=n)
    return np.array([bleu_of_counts(total)[3] for total in often @ counts])


def _interval(per_seed: list[float], resampled: NDArray | None = None,
              per_image: NDArray | None = None) -> tuple[float, float]:
    """Over seeds where there are several, else over images."""
    if np.isnan(per_seed).any():
        return float("nan"), float("nan")
    if len(per_seed) > 1:
        # Student's interval knows nothing of a score's range
        low, high = np.clip(seed_interval(per_seed), 0, 1)
    elif resampled is not None:
        low, high = np.quantile(resampled, [0.025, 0.975])
    else:
        return bootstrap_interval(per_image, seed=0)
    return float(low), float(high)


def make_table(seeds: list[Measured]) -> Table:
    """Return a row for each method."""
    table = Table(columns=list(COLUMNS))
    first = seeds[0]
    for m, method in enumerate(first.methods):
        counts = [s.arrays["counts"][m] for s in seeds]
        row = dict(zip(("bleu1", "bleu2", "bleu3", "bleu4"), (float(b) for b in np.mean(
            [bleu_of_counts(c.sum(0)) for c in counts], axis=0)), strict=True))
        row["bleu4_lo"], row["bleu4_hi"] = _interval([bleu4(c) for c in counts],
                                                     resampled_bleu4(counts[0]))
        for name in ("exact", "look"):
            images = [s.arrays[name][m] for s in seeds]
            means = [float(i.mean()) for i in images]
            row[name] = float(np.mean(means))
            row[f"{name}_lo"], row[f"{name}_hi"] = _interval(means, per_image=images[0])
        seconds = np.concatenate([s.arrays["seconds"][:, m] for s in seeds])
        table.append(
            method=method, **row,
            look_all=float(np.mean([s.arrays["look_all"][m].mean() for s in seeds])),
            regions_per_word=float(np.mean([s.arrays["regions"][m] for s in seeds])),
            ms_per_caption=1e3 * float(np.median(seconds)) / len(first.batch),
            parameters=first.parameters, tuning_trials=first.trials[method])
    return table


def make_summary(seeds: list[Measured], table: Table, main: str) -> dict[str, Any]:
    """Return the numbers behind the study's claims."""
    first = seeds[0]
    summary: dict[str, Any] = {
        "validation_bleu4": float(np.mean([s.validation[main] for s in seeds]))}
    for row in table:
        summary[row["method"]] = {k: row[k] for k in ("bleu4", "exact", "look", "look_all",
                                                      "regions_per_word", "ms_per_caption")}
    if "soft" in first.methods:
        soft = [s.arrays["counts"][first.methods.index("soft")] for s in seeds]
        for m, method in enumerate(first.methods):
            counts = [s.arrays["counts"][m] for s in seeds]
            less = [bleu4(a) - bleu4(b) for a, b in zip(counts, soft, strict=True)]
            if len(seeds) > 1:
                low, high = seed_interval(less)
            else:
                low, high = np.quantile(resampled_bleu4(counts[0]) - resampled_bleu4(soft[0]),
                                        [0.025, 0.975])
            summary[method] |= {"over_soft": float(np.mean(less)), "over_soft_lo": float(low),
                                "over_soft_hi": float(high)}
    return summary


def make_notes(summary: dict[str, Any], methods: list[str]) -> list[str]:
    """Return the claims as lines to print."""
    lines = []
    for method in methods:
        s = summary[method]
        line = (f"{method}: BLEU-4 {100 * s['bleu4']:.1f}, {100 * s['exact']:.0f}% without a fault"
                f", reads {s['regions_per_word']:.0f} of the regions a word")
        if not np.isnan(s["look"]):
            line += f", looks at the right cell {100 * s['look']:.0f}%"
        if "over_soft" in s and method != "soft":
            line += (f"; {100 * s['over_soft']:+.1f} BLEU-4 points from soft "
                     f"({100 * s['over_soft_lo']:+.1f} to {100 * s['over_soft_hi']:+.1f})")
        lines.append(line)
    return lines


class CaptionResult(Result):
    """What the study found; a row of the table is a method."""

    study = "caption"

    def __init__(self, folder: RunFolder, config: Config, tasks: EmojiCaptions,
                 seeds: list[Measured]):
        self.config, self.tasks, self.seeds = config, tasks, seeds
        table = make_table(seeds)
        summary = make_summary(seeds, table, config.main)
        super().__init__(folder.path, table, summary, make_notes(summary, seeds[0].methods))

    def plot(self) -> dict[str, Any]:
        """Return the figures by name: scores, and where each method looked."""
        figures = {"scores": plots.caption_scores(self.table)}
        for m, method in enumerate(self.seeds[0].methods):
            if method not in ("random", "mean"):
                name = "critical" if method == CRITICAL else method
                figures[f"attention_{name}"] = self._attention(m)
        return figures

    def _attention(self, m: int) -> Any:
        first = self.seeds[0]
        maps = first.arrays["maps"][m]
        captions = [self.tasks.decode(words).split() for words in first.arrays["words"][m]]
        shown = [i for i in range(len(maps)) if captions[i]]
        height, width = self.config.map_shape
        return plots.attention_maps(
            [first.batch.images[i] for i in shown], [captions[i] for i in shown],
            [maps[i, : len(captions[i])].reshape(-1, height, width) for i in shown])
