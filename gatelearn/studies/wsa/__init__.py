"""Weight Sharing Attention: frozen pre-trained models combined for an agent, on Atari games.

Four models learn from frames of a random agent and are frozen. An agent weighs their embeddings by
a scorer that all of them share; it is compared, at equal steps, with one that learns from the
pixels, with other ways to combine the models, and with chance.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from numpy.typing import NDArray

from gatelearn import rl
from gatelearn.studies import pretraining
from gatelearn.studies.agents import (
    METHODS,
    AgentTrainer,
    make_network,
    play,
    play_at_random,
)
from gatelearn.studies.result import Objective
from gatelearn.studies.runner import Part, Run, seeds_of, start_run
from gatelearn.studies.wsa.config import Config
from gatelearn.studies.wsa.report import Played, WSAResult
from gatelearn.tasks import Atari
from gatelearn.wsa import Encoders
from gatelearn.wsa.pretraining import load_encoder

__all__ = ["Config", "WSAResult", "run"]

OBJECTIVE = Objective("wsa.early", "maximize")


def run(config: Config | None = None, *, out: str | Path | None = None, resume: bool = False,
        progress: bool = True) -> WSAResult:
    """Run the study, by default with ``Config.preset("default")``; the rest is as in `start_run`.

    Raises
    ------
    UserError
        If a setting cannot be used, or there is no such game.
    MissingPackageError
        Without ale-py and Gymnasium.
    """
    config = config or Config.preset("default")
    games = {name: Atari(name) for name in config.games}
    with start_run("wsa", config, _stages(config), out=out, resume=resume,
                   progress=progress) as run:
        found = []
        for name, game in games.items():
            encoders = load_models(run, name)
            for n in seeds_of(config):
                found += _Agents(run, n, name, game, encoders).run()
        return run.finish(WSAResult(run.folder, config, found))


def _stages(config: Config) -> dict[str, float]:
    """Every stage with the seconds that it takes, roughly."""
    stages = {}
    for game in config.games:
        if config.encoders is None:
            stages |= {f"models/{game}/{model}": 60.0 if config.pretraining_steps is None
                       else 0.15 * config.pretraining_steps for model in config.models}
        for n in seeds_of(config):
            stages |= {f"seed-{n}/{game}/{method}": 2e-3 * config.agent.steps
                       for method in config.methods}
            stages[f"seed-{n}/{game}/evaluation"] = 0.4 * config.episodes * len(config.methods)
    return stages


def load_models(run: Run, game: str) -> Encoders:
    """Return the frozen models of a game: from files, or trained as stages of the run."""
    config = run.config
    if config.encoders is not None:
        folder = config.encoders / game if (config.encoders / game).is_dir() else config.encoders
        return Encoders(*(load_encoder(folder / f"{model}.safetensors")
                          for model in config.models))
    settings = pretraining.Config(game=game, models=config.models, frames=config.frames,
                                  steps=config.pretraining_steps)
    frames = pretraining.atari_frames(game, config.frames, settings.seed)
    return Encoders(*(pretraining.train_encoder(
        model, frames, settings, run.folder, f"models/{game}/{model}", run.progress,
        run.stop)[0] for model in config.models))


class _Agents(Part):
    """The agents of one game under one seed."""

    STREAM: ClassVar = {"network": 0, "agent": 1}

    def __init__(self, run: Run, seed: int, name: str, game: Atari, encoders: Encoders):
        super().__init__(run, seed, name)
        self.name, self.game, self.encoders = name, game, encoders

    def run(self) -> list[Played]:
        agents = {method: self.agent(method) for method in self.config.methods}
        found = self.evaluate(len(agents) + 1, lambda tick: self.measure(agents, tick))
        return [Played(self.name, self.seed, method, found[method],
                       agents[method].ppo.policy.network.params.size if method in agents else 0,
                       self.speed(agents[method]) if method in agents else None)
                for method in (*agents, "random")]

    def agent(self, method: str) -> AgentTrainer:
        config, m = self.config.agent, METHODS.index(method)
        network = make_network(method, self.encoders.widths, self.config.context,
                               len(self.game.actions), config).build(self.rng("network", m))
        trainer = AgentTrainer(network, self.game, config, self.rng("agent", m), self.seed,
                               self.encode(method))
        self.train(method, trainer, config.updates)
        self.store(method, network.named_parameters())
        return trainer

    def speed(self, agent: AgentTrainer) -> float:
        """Return steps a second, of all games, while the agent learned."""
        return agent.runner.steps * agent.config.envs / agent.seconds

    def encode(self, method: str) -> Callable[[NDArray], NDArray] | None:
        return None if method == "end-to-end" else self.encoders.embed

    def measure(self, agents: dict[str, AgentTrainer],
                tick: Callable[[str], None]) -> dict[str, NDArray]:
        found, episodes = {}, self.config.episodes
        for method, agent in agents.items():
            tick(method)
            network = agent.ppo.policy.network
            assert isinstance(network, rl.ActorCritic)
            found[method] = play(network, self.game, episodes, 1000 + self.seed,
                                 self.encode(method))
        tick("random")
        return found | {"random": play_at_random(self.game, episodes, 1000 + self.seed)}
