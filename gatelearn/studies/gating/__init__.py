"""Learning to gate: heads and blocks that open and close by input, trained by PPO.

A transformer learns five tasks set into real text with all gates open. Controllers then learn, by
reward alone, which heads and MLPs each text needs. They are compared with the open network, static
sigmoid gates, random gates at the same cost and input-independent gates, on files held out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gatelearn.gating import (
    GateTrainer,
    GateTrainerConfig,
    OneShotController,
    PerLayerController,
    SigmoidGates,
    StaticController,
)
from gatelearn.nn import Transformer
from gatelearn.studies.backbone import (
    BackboneConfig,
    BackboneTrainer,
    draw_texts,
    load_tasks,
    make_net,
)
from gatelearn.studies.gating.config import Config, GatesConfig
from gatelearn.studies.gating.evaluate import (
    choose,
    evaluate,
    run_texts,
    task_from_gates,
)
from gatelearn.studies.gating.methods import (
    Controlled,
    Fixed,
    Shuffled,
    SigmoidTrainer,
    random_pattern,
    thresholded,
)
from gatelearn.studies.gating.report import GatingResult, Measured
from gatelearn.studies.result import Objective
from gatelearn.studies.runner import Part, Run, each_seed, seeds_of, start_run
from gatelearn.tasks import TextTasks

__all__ = ["BackboneConfig", "Config", "GatesConfig", "GatingResult", "run"]

OBJECTIVE = Objective("one-shot.score_change", "maximize")

CONTROLLERS = {"static-rl": StaticController, "one-shot": OneShotController,
               "per-layer": PerLayerController}
STAGE = {"static-sigmoid": "sigmoid"}

def run(config: Config | None = None, *, out: str | Path | None = None, resume: bool = False,
        progress: bool = True) -> GatingResult:
    """Run the study, by default with ``Config.preset("default")``; the rest is as in `start_run`.

    Raises
    ------
    UserError
        If the text or a setting cannot be used.
    """
    config = config or Config.preset("default")
    tasks = load_tasks(config)
    with start_run("gating", config, _stages(config, tasks), out=out, resume=resume,
                   progress=progress) as run:
        seeds = [_Seed(run, n, tasks).run() for n in seeds_of(config)]
        return run.finish(GatingResult(run.folder, seeds))


def _stages(config: Config, tasks: TextTasks) -> dict[str, float]:
    """Every stage with the seconds that it takes, roughly."""
    backbone, gates = config.backbone, config.gates
    text = 2 * float(make_net(tasks, backbone).work(config.length).sum()) / 5e10
    step = 3 * backbone.batch * text
    update = 0.4 * gates.texts * gates.samples * text
    texts = len(tasks.names) * config.test_texts
    stages = {"backbone": backbone.steps * step}
    for i in range(len(gates.penalties)):
        for name in CONTROLLERS:
            stages[f"{name}-{i}"] = gates.updates * update
        stages[f"sigmoid-{i}"] = gates.updates * step
    stages["evaluation"] = 6 * texts * text * (config.timing_rounds + 5)
    return each_seed(config, stages)


class _Seed(Part):
    """One seed of the study: its backbone, its gates, its measurements."""

    STREAM: ClassVar = {"backbone": 0, "static-rl": 1, "one-shot": 2, "per-layer": 3,
                        "sigmoid": 4, "random": 5, "texts": 6, "timing": 7}

    def __init__(self, run: Run, seed: int, tasks: TextTasks):
        super().__init__(run, seed)
        self.tasks = tasks
        self.mixture = TextTasks(tasks.corpus,
                                 replace(tasks.config, weights=self.config.backbone.mixture))
        self.trials, self.kept = {"vanilla": 1}, {}
        self.validation = draw_texts(tasks, "validation", self.config.validation_texts, seed)

    def run(self) -> Measured:
        net = self.backbone()
        self.price = net.work(self.config.length)
        vanilla = Fixed(net)
        score = np.mean([run_texts(vanilla, b)[0].mean() for b in self.validation])
        floor = float(score) - self.config.gates.tolerance

        methods: dict[str, Any] = {"vanilla": vanilla}
        n = len(self.config.gates.penalties)
        for name in CONTROLLERS:
            tried = [self.controller(name, i, net) for i in range(n)]
            methods[name] = self.keep(name, tried, floor)

        # the baselines that have no price of their own get the one-shot controller's shares
        like = methods["one-shot"]
        gates = np.concatenate([run_texts(like, b)[1] for b in self.validation])
        heads, mlps = float(gates[:, :, :-1].mean()), float(gates[:, :, -1].mean())
        # no score reaches this floor: at equal cost, the best score is kept
        tried = [self.sigmoid(i, net, heads, mlps) for i in range(n)]
        methods["static-sigmoid"] = self.keep("static-sigmoid", tried, floor=2)
        draw = int(self.rng("random").integers(2**31))
        tried = [Shuffled(like, draw), *(random_pattern(like, heads, mlps, draw + i)
                                         for i in range(1, n))]
        methods["random"] = self.keep("random", tried, floor=2)
        self.store("net", net.named_parameters())
        for name in CONTROLLERS:
            self.store(name, methods[name].controller.state())
        order = ("vanilla", "static-sigmoid", "random", "static-rl", "one-shot", "per-layer")
        return self.measure({name: methods[name] for name in order})

    def backbone(self) -> Transformer:
        net = make_net(self.tasks, self.config.backbone).build(self.rng("backbone"))
        trainer = BackboneTrainer(net, self.mixture, self.config.backbone, self.rng("backbone", 1),
                                  self.validation)
        self.train("backbone", trainer, self.config.backbone.steps)
        return net

    def controller(self, name: str, trial: int, net: Transformer) -> Controlled:
        settings = self.config.gates
        controller = CONTROLLERS[name](net, bound=settings.bound).build(self.rng(name, trial))
        sample = self.tasks.sample(self.rng(name, trial, 1), 512)
        controller.standardise(net, sample.tokens)
        # a logit of its own moves by the rate at most, one of a network by many times that
        lr = settings.lr * (4 if name == "static-rl" else 1)
        trainer = GateTrainer(controller, net, self.tasks.sample, GateTrainerConfig(
            texts=settings.texts, samples=settings.samples, penalty=settings.penalties[trial],
            faithfulness=settings.faithfulness, lr=lr), self.rng(name, trial, 2))
        self.train(f"{name}-{trial}", trainer, settings.updates)
        return Controlled(net, controller)

    def sigmoid(self, trial: int, net: Transformer, heads: float, mlps: float) -> Fixed:
        copy = make_net(self.tasks, self.config.backbone).build()
        copy.load(net.named_parameters())
        gates = SigmoidGates(copy).build()
        trainer = SigmoidTrainer(copy, gates, self.tasks, self.config,
                                 self.config.gates.sigmoid_penalties[trial],
                                 self.rng("sigmoid", trial))
        self.train(f"sigmoid-{trial}", trainer, self.config.gates.updates)
        return thresholded(copy, gates, heads, mlps)

    def keep(self, name: str, tried: list, floor: float) -> Any:
        """Return the trial that validation texts choose."""
        best, results = choose(tried, self.validation, floor, self.price)
        self.print_trials(name, [f"score {100 * score:.1f}%, {100 * opened:.0f}% of the work open"
                                 for score, opened in results], best)
        self.trials[name] = len(tried)
        self.kept[name] = f"seed-{self.seed}/{STAGE.get(name, name)}-{best}"
        return tried[best]

    def measure(self, methods: dict[str, Any]) -> Measured:
        rounds = self.config.timing_rounds
        arrays = self.evaluate(len(methods) + rounds + 1, lambda tick: evaluate(
            methods, self.tasks, self.test_texts(), rounds, self.seed, tick))
        fitted = {name: task_from_gates(
            np.array([run_texts(methods[name], b)[1] for b in self.validation]),
            arrays["gate"][list(methods).index(name)]) for name in CONTROLLERS}
        return Measured(list(methods), list(self.tasks.names), self.trials, self.kept, arrays,
                        fitted)

    def test_texts(self) -> list:
        return draw_texts(self.tasks, "test", self.config.test_texts, self.seed)
