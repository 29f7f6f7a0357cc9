"""Attention weight prediction: positions that matter, predicted and learned by reward.

A transformer learns five tasks set into real text. A predictor then learns, by reward alone or
through the gradient of a soft bias, which positions each text's queries need; all others are biased
away. It is compared with full attention and, at the same number of positions of each text, with
those that the gradient ranks first, random and the most recent ones, on files held out.

A bias hides positions and skips no work: the study shows which ones matter, not a gain in time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gatelearn.errors import UserError
from gatelearn.gating import answer_scores
from gatelearn.hard import BiasByGradient, BiasByReward, BiasPredictor, BiasTrainerConfig
from gatelearn.nn import Transformer
from gatelearn.studies.attention_bias.config import Config
from gatelearn.studies.attention_bias.methods import (
    Full,
    Predicted,
    Random,
    Ranked,
    Recent,
    Soft,
)
from gatelearn.studies.attention_bias.report import AttentionBiasResult, evaluate, measure
from gatelearn.studies.backbone import BackboneTrainer, draw_texts, load_tasks, make_net
from gatelearn.studies.result import Objective
from gatelearn.studies.runner import Part, Run, each_seed, seeds_of, start_run
from gatelearn.tasks import TextTasks

__all__ = ["AttentionBiasResult", "Config", "run"]

OBJECTIVE = Objective("rl-bias.score_change", "maximize")


def run(config: Config | None = None, *, out: str | Path | None = None, resume: bool = False,
        progress: bool = True) -> AttentionBiasResult:
    """Run the study, by default with ``Config.preset("default")``; the rest is as in `start_run`.

    Raises
    ------
    UserError
        If the text or a setting cannot be used.
    """
    config = config or Config.preset("default")
    many = load_tasks(config)
    try:
        few = TextTasks(many.corpus, replace(many.config, needle_queries=config.needle_queries,
                                             chain_queries=config.chain_queries))
    except ValueError as error:
        raise UserError(str(error)) from None
    with start_run("attention-bias", config, _stages(config, many), out=out, resume=resume,
                   progress=progress) as run:
        parts = [_Seed(run, n, many, few) for n in seeds_of(config)]
        seeds = [part.run() for part in parts]
        return run.finish(AttentionBiasResult(run.folder, parts[0].methods, list(few.names),
                                              parts[0].trials, seeds))


def _stages(config: Config, tasks: TextTasks) -> dict[str, float]:
    """Every stage with the seconds that it takes, roughly."""
    text = 2 * float(make_net(tasks, config.backbone).work(config.length).sum()) / 5e10
    stages = {"backbone": 3 * config.backbone.steps * config.backbone.batch * text}
    for i in range(len(config.penalties)):
        step = config.updates * config.texts * text
        stages[f"rl-bias-{i}"] = config.samples * step
        if not config.top_k:
            stages[f"gradient-bias-{i}"] = 3 * step
    stages["evaluation"] = 30 * config.test_texts * text * config.timing_rounds
    return each_seed(config, stages)


class _Seed(Part):
    """One seed of the study: its backbone, its predictors, its measurements."""

    STREAM: ClassVar = {"backbone": 0, "reward": 1, "gradient": 2, "random": 3}

    def __init__(self, run: Run, seed: int, many: TextTasks, few: TextTasks):
        super().__init__(run, seed)
        self.many, self.tasks = many, few
        self.trials: dict[str, int] = {"full": 1}
        self.methods: list[str] = []
        self.validation = draw_texts(few, "validation", self.config.validation_texts, seed)

    def run(self) -> dict[str, np.ndarray]:
        config, n = self.config, len(self.config.penalties)
        net = self.backbone()
        full = Full(net)
        floor = self.scores(full)[0] - config.tolerance
        rl = self.keep("rl-bias", [self.rewarded(i, net) for i in range(n)], floor)
        methods: dict[str, Any] = {"full": full, "rl-bias": rl}
        # all others get as many of each text; no score reaches this floor, so the best one is kept
        if not config.top_k:
            tried = [Ranked(rl, self.by_gradient(i, net)) for i in range(n)]
            methods["gradient-bias"] = ranked = self.keep("gradient-bias", tried, floor=2)
            methods["gradient-soft"] = Soft(ranked.net, ranked.by.predictor)
            self.trials["gradient-soft"] = n
        draw = int(self.rng("random").integers(2**31))
        methods["random"] = self.keep("random", [Random(rl, draw + i) for i in range(n)], floor=2)
        methods["recent"] = self.keep("recent", [Recent(rl, 2*i) for i in range(n)], floor=2)
        self.methods = list(methods)
        for name in ("rl-bias", "gradient-soft"):
            if name in methods:
                self.store(f"{name}.net", methods[name].net.named_parameters())
                self.store(f"{name}.predictor", methods[name].predictor.named_parameters())
        return self.measure(methods)

    def backbone(self) -> Transformer:
        settings = self.config.backbone
        mixture = TextTasks(self.many.corpus, replace(self.many.config, weights=settings.mixture))
        net = make_net(self.many, settings).build(self.rng("backbone"))
        trainer = BackboneTrainer(net, mixture, settings, self.rng("backbone", 1), self.validation)
        self.train("backbone", trainer, settings.steps)
        return net

    def parts(self, stream: str, trial: int, net: Transformer,
              penalty: float) -> tuple[BiasPredictor, Transformer, BiasTrainerConfig]:
        """Return a predictor, the network it works on and the settings of its training."""
        config = self.config
        predictor = BiasPredictor(net.width, hidden=config.hidden, k=config.top_k or None)
        predictor.build(self.rng(stream, trial))
        if config.joint:
            copy = make_net(self.many, config.backbone).build()
            copy.load(net.named_parameters())
            net = copy
        return predictor, net, BiasTrainerConfig(
            texts=config.texts, samples=config.samples, penalty=penalty, lr=config.lr,
            anneal=config.updates, joint=config.joint)

    def rewarded(self, trial: int, net: Transformer) -> Predicted:
        predictor, net, settings = self.parts("reward", trial, net, self.config.penalties[trial])
        trainer = BiasByReward(predictor, net, self.tasks.sample, answer_scores, settings,
                               self.rng("reward", trial, 1))
        self.train(f"rl-bias-{trial}", trainer, self.config.updates)
        return Predicted(net, predictor)

    def by_gradient(self, trial: int, net: Transformer) -> Predicted:
        predictor, net, settings = self.parts("gradient", trial, net,
                                              self.config.gradient_penalties[trial])
        trainer = BiasByGradient(predictor, net, self.tasks.sample, settings,
                                 self.rng("gradient", trial, 1))
        self.train(f"gradient-bias-{trial}", trainer, self.config.updates)
        return Predicted(net, predictor)

    def scores(self, method: Any) -> tuple[float, float]:
        """Return score and share attended on the validation texts."""
        runs = [measure(method, batch) for batch in self.validation]
        return tuple(float(np.mean([r[k] for r in runs])) for k in ("score", "attended"))

    def keep(self, name: str, tried: list, floor: float) -> Any:
        """Return the trial that attends to least among those above the floor, or the best one."""
        results = [self.scores(method) for method in tried]
        good = [i for i, (score, _) in enumerate(results) if score >= floor]
        best = (min(good, key=lambda i: results[i][1]) if good
                else max(range(len(tried)), key=lambda i: results[i][0]))
        self.print_trials(name, [f"score {100 * score:.1f}%, {100 * share:.0f}% of the positions "
                                 "attended" for score, share in results], best)
        self.trials[name] = len(tried)
        return tried[best]

    def measure(self, methods: dict[str, Any]) -> dict[str, np.ndarray]:
        rounds = self.config.timing_rounds

        def measured(tick: Callable[[str], None]) -> dict[str, np.ndarray]:
            texts = draw_texts(self.tasks, "test", self.config.test_texts, self.seed)
            return evaluate(methods, texts, rounds, tick)

        return self.evaluate(len(methods) + rounds, measured)
