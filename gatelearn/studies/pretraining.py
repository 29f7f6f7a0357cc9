"""Pre-training of encoders on frames of a random agent: what the studies of WSA begin with.

``gatelearn pretrain atari`` runs it by itself; a study trains the encoders it needs, within its own
run folder, by `train_encoder`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gatelearn import get_num_threads, plots
from gatelearn.errors import UserError, suggest
from gatelearn.runs import (
    Progress,
    RunFolder,
    StopFlag,
    Table,
    next_folder,
    stop_on_signal,
    train_stage,
)
from gatelearn.studies.result import Result
from gatelearn.wsa.pretraining import (
    MODELS,
    AutoencoderNetwork,
    Frames,
    FrozenEncoder,
    KeypointsNetwork,
    PretrainingNetwork,
    SegmentationNetwork,
    save_encoder,
)

# each model draws from a stream of its own, so that it does not depend on which others there are
STREAM = {"state": 0, "contrastive": 1, "keypoints": 2, "segmentation": 3}


@dataclass(frozen=True)
class Config:
    """What is trained on which frames."""

    game: str = "Pong"
    """Atari game."""
    models: tuple[str, ...] = tuple(MODELS)
    """Which models, with spaces or commas between them."""
    frames: int = 20_000
    """Frames of a random agent; every tenth is held out."""
    steps: int | None = None
    """Updates of each model. Default: its own, for about a minute."""
    seed: int = 0
    """Of frames, initial parameters and batches."""

    def __post_init__(self):
        models = tuple(m for word in self.models for m in word.split(",") if m)
        object.__setattr__(self, "models", models)
        if not models:
            raise UserError(f"models is empty, expected one of {', '.join(MODELS)}")
        for i, model in enumerate(models):
            if model not in MODELS:
                raise UserError(f"models has '{model}'{suggest(model, MODELS)}")
            if model in models[:i]:
                raise UserError(f"models has '{model}' twice")
        if self.frames < 100:
            raise UserError(f"frames is {self.frames}, expected at least 100")
        if self.steps is not None and self.steps < 1:
            raise UserError(f"steps is {self.steps}, expected at least 1")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}, expected at least 0")


def run(config: Config | None = None, *, frames: Frames | None = None,
        out: str | Path | None = None, resume: bool = False,
        progress: bool = True) -> PretrainingResult:
    """Train the models, freeze them, and write them to ``encoders/NAME.safetensors``.

    Parameters
    ----------
    config : Config, optional
    frames : Frames, optional
        To train on instead of those of the game; a run that is resumed needs the same ones.
    out : path, optional
        The run folder. Default: the next of runs/pretrain-1, runs/pretrain-2 and so on.
    resume : bool, default False
        Continue what is there.
    progress : bool, default True

    Returns
    -------
    PretrainingResult

    Raises
    ------
    UserError
        If a setting cannot be used, or the folder holds another run.
    MissingPackageError
        Without ale-py, where frames of a game are needed.
    KeyboardInterrupt
        After Ctrl-C, when the checkpoint is written.
    """
    config = config or Config()
    with (RunFolder.create(out or next_folder("pretrain"), config, study="pretrain", resume=resume)
          as folder, stop_on_signal() as stop):
        stages = {"frames": config.frames / 4000}
        stages |= {model: 60.0 * _steps(config, model) / MODELS[model].config().steps
                   for model in config.models}
        with Progress(stages, quiet=not progress) as shown:
            with shown.stage("frames", 1):
                if frames is None:
                    frames = atari_frames(config.game, config.frames, config.seed)
            trained = {model: train_encoder(model, frames, config, folder, model, shown, stop)
                       for model in config.models}
        (folder.path / "encoders").mkdir(exist_ok=True)
        for model, (encoder, _) in trained.items():
            save_encoder(folder.path / "encoders" / f"{model}.safetensors", encoder,
                         provenance(config, model), overwrite=True)
        return PretrainingResult(folder, config, frames, trained).write(folder)


def atari_frames(game: str, count: int, seed: int) -> Frames:
    """Return frames of a random agent: the same ones each time.

    Raises
    ------
    UserError
        If there is no such game.
    MissingPackageError
        Without ale-py.
    """
    from gatelearn.tasks import atari

    return Frames(*atari.random_frames(game, count, seed, threads=get_num_threads()))


def train_encoder(model: str, frames: Frames, config: Config, folder: RunFolder, stage: str,
                  progress: Progress, stop: StopFlag) -> tuple[FrozenEncoder, dict[str, float]]:
    """Train a model as a stage of a run, and freeze it.

    Parameters
    ----------
    model : str
        Its name in `gatelearn.wsa.pretraining.MODELS`.
    frames : Frames
    config : Config
        Of which `steps` and `seed` count.
    folder, stage, progress, stop
        As `gatelearn.runs.train_stage` has them.

    Returns
    -------
    encoder : FrozenEncoder
    metrics : dict of str to float
        On frames that were held out; ``loss_before`` is the loss before training.

    Raises
    ------
    KeyboardInterrupt
        After `stop` was set.
    """
    kinds, train, test = MODELS[model], *frames.split()
    rng = np.random.default_rng([config.seed, STREAM[model]])
    network = kinds.network(size=frames.size)
    network.build(rng)
    settings = replace(kinds.config(), steps=_steps(config, model))
    trainer = kinds.trainer(network, train, settings, rng)
    before = trainer.evaluate(test)["loss"]
    train_stage(folder, stage, trainer, settings.steps, progress=progress, stop=stop)
    encoder = kinds.encoder.freeze(network, train)
    return encoder, {"loss_before": before, **trainer.evaluate(test)}


def provenance(config: Config, model: str) -> dict[str, Any]:
    """Return what a file says of where its encoder comes from."""
    return {"game": config.game, "frames": config.frames, "steps": _steps(config, model),
            "seed": config.seed}


def _steps(config: Config, model: str) -> int:
    return MODELS[model].config().steps if config.steps is None else config.steps


class PretrainingResult(Result):
    """Encoders, with a row of held-out metrics for each.

    Attributes
    ----------
    encoders : dict of str to FrozenEncoder
    """

    study = "pretrain"

    def __init__(self, folder: RunFolder, config: Config, frames: Frames,
                 trained: dict[str, tuple[FrozenEncoder, dict[str, float]]]):
        rows = [{"model": model, "width": encoder.width, "steps": _steps(config, model), **metrics}
                for model, (encoder, metrics) in trained.items()]
        notes = [f"encoders: {folder.path / 'encoders'}"]
        super().__init__(folder.path, Table(rows), {row["model"]: row for row in rows}, notes)
        self.encoders = {model: encoder for model, (encoder, _) in trained.items()}
        self._curves, self._test = folder.metrics(), frames.split()[1]

    def plot(self) -> dict[str, Any]:
        """Return the figures by name: loss curves, and what the models see in held-out frames."""
        figures = {"loss": plots.pretraining_curves(self._curves)}
        for model, draw in _FIGURES.items():
            if model in self.encoders:
                figures[model] = draw(self.encoders[model].network, self._test)
        return figures


def _draw_reconstructions(network: PretrainingNetwork, frames: Frames) -> Any:
    assert isinstance(network, AutoencoderNetwork)
    stacks = frames.spread(6, network.depth)
    newest = stacks[:, -1] / np.float32(255)
    return plots.reconstructions(newest, network.forward(stacks)[0][:, -1],
                                          network.param["background"])


def _draw_keypoints(network: PretrainingNetwork, frames: Frames) -> Any:
    assert isinstance(network, KeypointsNetwork)
    stacks = frames.spread(8, network.depth)
    return plots.keypoints_over_frames(stacks[:, -1], network.see(stacks).points)


def _draw_masks(network: PretrainingNetwork, frames: Frames) -> Any:
    assert isinstance(network, SegmentationNetwork)
    stacks = frames.spread(6, network.depth)
    motion = network.find(stacks)
    return plots.masks_over_frames(stacks[:, -1], motion.masks, motion.moves)


# what a model sees in a few frames; ST-DIM shows nothing
_FIGURES: dict[str, Callable[[PretrainingNetwork, Frames], Any]] = {
    "state": _draw_reconstructions, "keypoints": _draw_keypoints, "segmentation": _draw_masks}
