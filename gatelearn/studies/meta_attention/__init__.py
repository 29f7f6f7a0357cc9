"""Meta-learned attention: a policy that finds out within a task where to look.

Each task hides a rule that says which position of a text is rewarded, and shows a new text at each
attempt. A recurrent policy learns over many tasks, by REINFORCE, how to search and to stick to what
it found. On rules that training never hid it is compared with the same policy without memory,
bandits over positions, chance, a search that knows all rules, and an oracle. The policy and the
search are told which position each rule names in a text; the bandits know positions only.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from gatelearn.errors import UserError
from gatelearn.hard import MetaAttention, MetaTrainer, MetaTrainerConfig
from gatelearn.runs import Progress, RunFolder, StopFlag, next_folder, stop_on_signal, train_stage
from gatelearn.studies.meta_attention import methods
from gatelearn.studies.meta_attention.config import Config
from gatelearn.studies.meta_attention.report import MetaAttentionResult
from gatelearn.studies.result import Objective
from gatelearn.tasks import MARKS, Corpus, FamiliesConfig, PositionFamilies

__all__ = ["Config", "MetaAttentionResult", "run"]

OBJECTIVE = Objective("meta.reward", "maximize")

METHODS = ("meta", "memoryless", "ucb", "thompson", "random", "elimination", "oracle")
# what a stage's generator is seeded with beside the run's seed: stages never share draws
STREAM = {"meta": 0, "memoryless": 1, "validation": 2, "test": 3, "play": 4}


def run(config: Config | None = None, *, out: str | Path | None = None, resume: bool = False,
        progress: bool = True) -> MetaAttentionResult:
    """Run the study.

    Parameters
    ----------
    config : Config, optional
        ``Config.preset("default")`` by default.
    out : path, optional
        New folder for the run; the next of ``runs/meta-attention-1`` ... by default.
    resume : bool, default False
        Continue the run in `out`.
    progress : bool, default True
        Show progress on standard error.

    Returns
    -------
    MetaAttentionResult
        Its `table` and `summary`; ``plot()`` draws the figures.

    Raises
    ------
    UserError
        If the text or a setting cannot be used, or the folder holds another run.
    KeyboardInterrupt
        After Ctrl-C, when the checkpoint is written.
    """
    config = config or Config.preset("default")
    families = load_families(config)
    with (RunFolder.create(out or next_folder("meta-attention"), config, study="meta-attention",
                           resume=resume) as folder, stop_on_signal() as stop):
        with Progress(_stages(config), quiet=not progress) as shown:
            seeds, arrays = [], {}
            for n in range(config.seed, config.seed + config.seeds):
                seed = _Seed(config, n, families, folder, shown, stop)
                seeds.append(seed.run())
                arrays |= seed.arrays
        folder.save_checkpoint(arrays, {"stage": "finished"})
        return MetaAttentionResult(folder, list(METHODS), seed.trials, seeds).write(folder)


def load_families(config: Config) -> PositionFamilies:
    """Return the families of tasks over the text of a config.

    Raises
    ------
    UserError
        If the text is missing, not text, or too little, or sizes do not fit.
    """
    try:
        corpus = Corpus.load(config.text, vocab_size=config.vocabulary, reserved=MARKS)
        return PositionFamilies(corpus, FamiliesConfig(
            length=config.length, marks=config.marks, occurrences=config.occurrences,
            attempts=config.attempts))
    except ValueError as error:
        raise UserError(f"text '{config.text}': {error}" if config.text else str(error)) from None


def _stages(config: Config) -> dict[str, float]:
    """Every stage with the seconds that it takes, roughly."""
    rules = config.length - 1 + config.marks * config.occurrences
    attempt = 2e-6 * rules * config.hidden / 24
    stages = {}
    for n in range(config.seed, config.seed + config.seeds):
        for name in ("meta", "memoryless"):
            for i in range(len(config.lrs)):
                stages[f"seed-{n}/{name}-{i}"] = (config.updates * config.tasks * config.samples
                                                  * config.attempts * attempt)
        stages[f"seed-{n}/evaluation"] = 2 * config.test_tasks * config.attempts * attempt
    return stages


class _Seed:
    """One seed of the study: its policies and its measurements."""

    def __init__(self, config: Config, seed: int, families: PositionFamilies, folder: RunFolder,
                 progress: Progress, stop: StopFlag):
        self.config, self.seed, self.families = config, seed, families
        self.folder, self.progress, self.stop = folder, progress, stop
        self.trials = dict.fromkeys(METHODS, 1)
        self.arrays: dict[str, np.ndarray] = {}  # the policies, for the last checkpoint
        self.validation = families.sample(self.rng("validation"), config.validation_tasks,
                                          split="validation")

    def rng(self, stream: str, *more: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, STREAM[stream], *more])

    def run(self) -> dict[str, np.ndarray]:
        config, families = self.config, self.families
        chosen: dict[str, methods.Method] = {}
        for name in ("meta", "memoryless"):
            tried = [self.policy(name, i) for i in range(len(config.lrs))]
            best = self.keep(name, [methods.policy(p) for p in tried])
            chosen[name] = methods.policy(tried[best])
            self.arrays |= {f"seed-{self.seed}/{name}.{k}": v
                            for k, v in tried[best].named_parameters().items()}
        for name, make, values in (("ucb", methods.ucb, config.ucb_widths),
                                   ("thompson", methods.thompson, config.thompson_strengths)):
            tried = [make(value) for value in values]
            chosen[name] = tried[self.keep(name, tried)]
        chosen |= {"random": methods.random, "oracle": methods.oracle, "elimination":
                   methods.elimination(families.kind, families.config.after_share)}
        return self.measure(chosen)

    def policy(self, name: str, trial: int) -> MetaAttention:
        config = self.config
        policy = MetaAttention(self.families.kind, hidden=config.hidden, memory=name == "meta")
        policy.build(self.rng(name, trial))
        trainer = MetaTrainer(policy, self.families.sample, MetaTrainerConfig(
            tasks=config.tasks, samples=config.samples, lr=config.lrs[trial], gamma=config.gamma,
            entropy=config.entropy), self.rng(name, trial, 1))
        train_stage(self.folder, f"seed-{self.seed}/{name}-{trial}", trainer, config.updates,
                    progress=self.progress, stop=self.stop)
        return policy

    def keep(self, name: str, tried: list[methods.Method]) -> int:
        """Return the trial with the largest reward on the validation tasks."""
        rewards = [float(play(self.validation, self.rng("play")).mean()) for play in tried]
        best = int(np.argmax(rewards))
        for i, reward in enumerate(rewards):
            mark = ", kept" if i == best else ""
            self.progress.print(f"{name}, trial {i}: validation reward {reward:.3f}{mark}")
        self.trials[name] = len(tried)
        return best

    def measure(self, chosen: dict[str, Any]) -> dict[str, np.ndarray]:
        """Return ``rewards`` (method, task, attempt), ``seconds`` (method,), ``kind`` (task,)."""
        stage = f"seed-{self.seed}/evaluation"
        done = self.folder.load_stage(stage)
        if done is not None:
            self.progress.skip(stage)
            return done.arrays
        tasks = self.families.sample(self.rng("test"), self.config.test_tasks, split="test")
        rewards, seconds = [], []
        with self.progress.stage(stage, len(METHODS)) as bar:
            for i, name in enumerate(METHODS):
                if self.stop:
                    raise KeyboardInterrupt
                began = time.perf_counter()
                rewards.append(chosen[name](tasks, self.rng("play", 1)))
                seconds.append(time.perf_counter() - began)
                bar.update(i + 1, name)
        arrays = {"rewards": np.array(rewards), "seconds": np.array(seconds),
                  "kind": self.families.kind[tasks.rule]}
        self.folder.save_stage(stage, arrays, {})
        return arrays
