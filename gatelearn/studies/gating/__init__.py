"""Learning to gate: heads and blocks that open and close by input, trained by PPO.

A transformer learns five tasks set into real text with all gates open. Controllers then learn, by
reward alone, which heads and MLPs each text needs. They are compared with the open network, static
sigmoid gates, random gates at the same cost and input-independent gates, on files held out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

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
from gatelearn.runs import (
    Progress,
    RunFolder,
    StopFlag,
    measure_stage,
    next_folder,
    stop_on_signal,
    train_stage,
)
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
from gatelearn.tasks import TextTasks

__all__ = ["BackboneConfig", "Config", "GatesConfig", "GatingResult", "run"]

OBJECTIVE = Objective("one-shot.score_change", "maximize")

CONTROLLERS = {"static-rl": StaticController, "one-shot": OneShotController,
               "per-layer": PerLayerController}
STAGE = {"static-sigmoid": "sigmoid"}
# what a stage's generator is seeded with beside the run's seed: stages never share draws
STREAM = {"backbone": 0, "static-rl": 1, "one-shot": 2, "per-layer": 3, "sigmoid": 4, "random": 5,
          "texts": 6, "timing": 7}


def run(config: Config | None = None, *, out: str | Path | None = None, resume: bool = False,
        progress: bool = True) -> GatingResult:
    """Run the study.

    Parameters
    ----------
    config : Config, optional
        ``Config.preset("default")`` by default.
    out : path, optional
        New folder for the run; the next of ``runs/gating-1``, ``runs/gating-2`` ... by default.
    resume : bool, default False
        Continue the run in `out`.
    progress : bool, default True
        Show progress on standard error.

    Returns
    -------
    GatingResult
        Its `table` and `summary`; ``plot()`` draws the figures.

    Raises
    ------
    UserError
        If the text or a setting cannot be used, or the folder holds another run.
    KeyboardInterrupt
        After Ctrl-C, when the checkpoint is written.
    """
    config = config or Config.preset("default")
    tasks = load_tasks(config)
    with (RunFolder.create(out or next_folder("gating"), config, study="gating", resume=resume)
          as folder, stop_on_signal() as stop):
        with Progress(_stages(config, tasks), quiet=not progress) as shown:
            seeds, arrays = [], {}
            for n in range(config.seed, config.seed + config.seeds):
                seed = _Seed(config, n, tasks, folder, shown, stop)
                seeds.append(seed.run())
                arrays |= seed.arrays
        folder.save_checkpoint(arrays, {"stage": "finished"})
        return GatingResult(folder, seeds).write(folder)


def _stages(config: Config, tasks: TextTasks) -> dict[str, float]:
    """Every stage with the seconds that it takes, roughly."""
    backbone, gates = config.backbone, config.gates
    text = 2 * float(make_net(tasks, backbone).work(config.length).sum()) / 5e10
    step = 3 * backbone.batch * text
    update = 0.4 * gates.texts * gates.samples * text
    texts = len(tasks.names) * config.test_texts
    stages = {}
    for n in range(config.seed, config.seed + config.seeds):
        stages[f"seed-{n}/backbone"] = backbone.steps * step
        for i in range(len(gates.penalties)):
            for name in CONTROLLERS:
                stages[f"seed-{n}/{name}-{i}"] = gates.updates * update
            stages[f"seed-{n}/sigmoid-{i}"] = gates.updates * step
        stages[f"seed-{n}/evaluation"] = 6 * texts * text * (config.timing_rounds + 5)
    return stages


class _Seed:
    """One seed of the study: its backbone, its gates, its measurements."""

    def __init__(self, config: Config, seed: int, tasks: TextTasks, folder: RunFolder,
                 progress: Progress, stop: StopFlag):
        self.config, self.seed, self.tasks = config, seed, tasks
        self.folder, self.progress, self.stop = folder, progress, stop
        self.arrays: dict[str, np.ndarray] = {}  # network and controllers, for the last checkpoint
        self.mixture = TextTasks(tasks.corpus,
                                 replace(tasks.config, weights=config.backbone.mixture))
        self.trials, self.kept = {"vanilla": 1}, {}
        self.validation = draw_texts(tasks, "validation", config.validation_texts, seed)

    def rng(self, stream: str, *more: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, STREAM[stream], *more])

    def train(self, name: str, trainer: Any, steps: int) -> None:
        train_stage(self.folder, f"seed-{self.seed}/{name}", trainer, steps,
                    progress=self.progress, stop=self.stop)

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
        self.arrays = {f"seed-{self.seed}/net.{k}": v for k, v in net.named_parameters().items()}
        for name in CONTROLLERS:
            self.arrays |= {f"seed-{self.seed}/{name}.{k}": v
                            for k, v in methods[name].controller.state().items()}
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
        for i, (score, opened) in enumerate(results):
            mark = ", kept" if i == best else ""
            self.progress.print(f"{name}, trial {i}: validation score {100 * score:.1f}%, "
                                f"{100 * opened:.0f}% of the work open{mark}")
        self.trials[name] = len(tried)
        self.kept[name] = f"seed-{self.seed}/{STAGE.get(name, name)}-{best}"
        return tried[best]

    def measure(self, methods: dict[str, Any]) -> Measured:
        rounds = self.config.timing_rounds
        arrays = measure_stage(
            self.folder, f"seed-{self.seed}/evaluation", len(methods) + rounds + 1,
            lambda tick: evaluate(methods, self.tasks, self.test_texts(), rounds, self.seed, tick),
            progress=self.progress, stop=self.stop)
        fitted = {name: task_from_gates(
            np.array([run_texts(methods[name], b)[1] for b in self.validation]),
            arrays["gate"][list(methods).index(name)]) for name in CONTROLLERS}
        return Measured(list(methods), list(self.tasks.names), self.trials, self.kept, arrays,
                        fitted)

    def test_texts(self) -> list:
        return draw_texts(self.tasks, "test", self.config.test_texts, self.seed)
