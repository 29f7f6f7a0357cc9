"""Meta-learned attention: a policy that finds out within a task where to look.

Each task hides a rule that says which position of a text is rewarded, and shows a new text at each
attempt. A recurrent policy learns over many tasks, by REINFORCE, how to search and to stick to what
it found. On rules that training never hid it is compared with the same policy without memory,
bandits over positions, chance, a search that knows all rules, and an oracle. The policy and the
search are told which position each rule names in a text; the bandits know positions only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np

from gatelearn.errors import UserError
from gatelearn.hard import MetaAttention, MetaTrainer, MetaTrainerConfig
from gatelearn.studies.meta_attention import methods
from gatelearn.studies.meta_attention.config import Config
from gatelearn.studies.meta_attention.report import MetaAttentionResult
from gatelearn.studies.result import Objective
from gatelearn.studies.runner import Part, Run, each_seed, seeds_of, start_run
from gatelearn.tasks import MARKS, Corpus, FamiliesConfig, PositionFamilies

__all__ = ["Config", "MetaAttentionResult", "run"]

OBJECTIVE = Objective("meta.reward", "maximize")

METHODS = ("meta", "memoryless", "ucb", "thompson", "random", "elimination", "oracle")

def run(config: Config | None = None, *, out: str | Path | None = None, resume: bool = False,
        progress: bool = True) -> MetaAttentionResult:
    """Run the study, by default with ``Config.preset("default")``; the rest is as in `start_run`.

    Raises
    ------
    UserError
        If the text or a setting cannot be used.
    """
    config = config or Config.preset("default")
    families = load_families(config)
    with start_run("meta-attention", config, _stages(config), out=out, resume=resume,
                   progress=progress) as run:
        parts = [_Seed(run, n, families) for n in seeds_of(config)]
        seeds = [part.run() for part in parts]
        return run.finish(MetaAttentionResult(run.folder, list(METHODS), parts[0].trials, seeds))


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
    training = config.updates * config.tasks * config.samples * config.attempts * attempt
    stages = {f"{name}-{i}": training for name in ("meta", "memoryless")
              for i in range(len(config.lrs))}
    stages["evaluation"] = 2 * config.test_tasks * config.attempts * attempt
    return each_seed(config, stages)


class _Seed(Part):
    """One seed of the study: its policies and its measurements."""

    STREAM: ClassVar = {"meta": 0, "memoryless": 1, "validation": 2, "test": 3, "play": 4}

    def __init__(self, run: Run, seed: int, families: PositionFamilies):
        super().__init__(run, seed)
        self.families = families
        self.trials = dict.fromkeys(METHODS, 1)
        self.validation = families.sample(self.rng("validation"), self.config.validation_tasks,
                                          split="validation")

    def run(self) -> dict[str, np.ndarray]:
        config, families = self.config, self.families
        chosen: dict[str, methods.Method] = {}
        for name in ("meta", "memoryless"):
            tried = [self.policy(name, i) for i in range(len(config.lrs))]
            best = self.keep(name, [methods.policy(p) for p in tried])
            chosen[name] = methods.policy(tried[best])
            self.store(name, tried[best].named_parameters())
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
        self.train(f"{name}-{trial}", trainer, config.updates)
        return policy

    def keep(self, name: str, tried: list[methods.Method]) -> int:
        """Return the trial with the largest reward on the validation tasks."""
        rewards = [float(play(self.validation, self.rng("play")).mean()) for play in tried]
        best = int(np.argmax(rewards))
        self.print_trials(name, [f"reward {reward:.3f}" for reward in rewards], best)
        self.trials[name] = len(tried)
        return best

    def measure(self, chosen: dict[str, methods.Method]) -> dict[str, np.ndarray]:
        """Return ``rewards`` (method, task, attempt), ``seconds`` (method,), ``kind`` (task,)."""
        def measured(tick: Callable[[str], None]) -> dict[str, np.ndarray]:
            tasks = self.families.sample(self.rng("test"), self.config.test_tasks, split="test")
            rewards, seconds = [], []
            for name in METHODS:
                tick(name)
                began = time.perf_counter()
                rewards.append(chosen[name](tasks, self.rng("play", 1)))
                seconds.append(time.perf_counter() - began)
            return {"rewards": np.array(rewards), "seconds": np.array(seconds),
                    "kind": self.families.kind[tasks.rule]}

        return self.evaluate(len(METHODS), measured)
