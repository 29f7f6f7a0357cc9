"""``gatelearn pretrain``: what it writes, resuming, mistakes."""

import subprocess
import sys

import numpy as np
import pytest
from helpers import same_bits
from pretraining_cases import moving_dots

from gatelearn import plots
from gatelearn.cli import main
from gatelearn.errors import UserError
from gatelearn.runs import RunFolder, Table
from gatelearn.studies import pretraining
from gatelearn.wsa.pretraining import load_encoder

for module in ("tyro", "matplotlib", "safetensors", "tensorboard"):
    pytest.importorskip(module)

FRAMES = moving_dots(240, (36, 36), episodes=6)
SMALL = ["--models", "state,contrastive", "--steps", "6", "--frames", "240", "--quiet"]


@pytest.fixture(autouse=True)
def frames(monkeypatch):
    asked = []

    def draw(game, count, seed):
        asked.append((game, count, seed))
        return FRAMES

    monkeypatch.setattr(pretraining, "atari_frames", draw)
    return asked


def test_it_writes_encoders_table_and_figures(frames, tmp_path, capsys):
    out = tmp_path / "pong"
    argv = ["pretrain", "atari", "--game", "Breakout", "--seed", "3", "--out", str(out), *SMALL]
    assert main(argv) == 0
    assert frames == [("Breakout", 240, 3)]
    printed = capsys.readouterr().out
    assert f"encoders: {out / 'encoders'}" in printed and "reconstructions" not in printed
    table = Table.from_csv(out / "table.csv")
    assert table["model"] == ["state", "contrastive"] and table["steps"] == [6, 6]
    assert table["width"] == [16, 1024] and all(x > 0 for x in table["loss"])
    assert table[0]["loss"] < table[0]["loss_before"]
    for name in ("loss", "state"):
        assert (out / "figures" / f"{name}.png").stat().st_size > 1000
    stacks = FRAMES.spread(3, 4)
    for model in ("state", "contrastive"):
        encoder = load_encoder(out / "encoders" / f"{model}.safetensors")
        assert encoder.name == model and encoder.embed(stacks).shape == (3, encoder.width)
        own = {k: v for k, v in encoder.provenance.items() if k != "version"}
        assert own == {"game": "Breakout", "frames": 240, "steps": 6, "seed": 3}
    # what stands there is left alone
    before = (out / "table.csv").read_bytes()
    assert main(argv) == 2
    assert "is not empty: resume the run in it or choose another" in capsys.readouterr().err
    assert (out / "table.csv").read_bytes() == before


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr(pretraining.PretrainingResult, "plot", lambda self: {})


@pytest.mark.usefixtures("no_figures")
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(monkeypatch, tmp_path, capsys):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert main(["pretrain", "atari", "--out", str(whole), *SMALL]) == 0
    trainer = pretraining.MODELS["contrastive"].trainer
    step, left = trainer.step, [3]

    def interrupted(self):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return step(self)

    monkeypatch.setattr(trainer, "step", interrupted)
    assert main(["pretrain", "atari", "--out", str(stopped), *SMALL]) == 130
    assert f"gatelearn pretrain atari --resume {stopped}" in capsys.readouterr().err
    monkeypatch.setattr(trainer, "step", step)
    assert main(["pretrain", "atari", "--resume", str(stopped), "--quiet"]) == 0
    for model in ("state", "contrastive"):
        a, b = (load_encoder(path / "encoders" / f"{model}.safetensors")
                for path in (whole, stopped))
        same_bits(a.network.params, b.network.params)
    assert (whole / "table.csv").read_bytes() == (stopped / "table.csv").read_bytes()


@pytest.mark.usefixtures("no_figures")
def test_a_model_does_not_depend_on_the_others(tmp_path):
    config = pretraining.Config(models=("contrastive",), steps=3, frames=240)
    alone = pretraining.run(config, frames=FRAMES, out=tmp_path / "a", progress=False)
    both = pretraining.run(pretraining.Config(models=("state,contrastive",), steps=3, frames=240),
                           frames=FRAMES, out=tmp_path / "b", progress=False)
    same_bits(alone.encoders["contrastive"].network.params,
              both.encoders["contrastive"].network.params)
    assert list(both.encoders) == ["state", "contrastive"]
    assert RunFolder.open(tmp_path / "b").metrics("state")[-1]["step"] == 3
    assert np.isfinite(both.table["loss"]).all()


@pytest.mark.parametrize("argv, message", [
    (["atry"], "unknown source of frames 'atry'; did you mean 'atari'?"),
    (["atari", "--models", "sate"], "models has 'sate'; did you mean 'state'?"),
    (["atari", "--models", "state,state"], "models has 'state' twice"),
    (["atari", "--steps", "0"], "steps is 0, expected at least 1"),
    (["atari", "--frames", "5"], "frames is 5, expected at least 100"),
    (["atari", "--threads", "0"], "--threads is 0, expected at least 1"),
])
def test_mistakes_are_named(argv, message, tmp_path, capsys):
    assert main(["pretrain", *argv, "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_usage(capsys):
    assert main(["pretrain"]) == 2
    assert "gatelearn pretrain atari" in capsys.readouterr().err
    assert main(["pretrain", "--help"]) == 0
    assert "gatelearn pretrain atari" in capsys.readouterr().out
    assert main(["pretrain", "atari", "--help"]) == 0
    assert "--models" in capsys.readouterr().out


def test_a_config_of_models_that_do_not_exist():
    with pytest.raises(UserError, match="models is empty, expected one of state, contrastive"):
        pretraining.Config(models=())


def test_without_ale_py(tmp_path):
    code = ("import sys\n"
            "class Gone:\n"
            "    def find_spec(self, name, *args):\n"
            "        if name.partition('.')[0] == 'ale_py':\n"
            "            raise ModuleNotFoundError('gone', name='ale_py')\n"
            "sys.meta_path.insert(0, Gone())\n"
            "from gatelearn.cli import main\n"
            f"sys.exit(main(['pretrain', 'atari', '--quiet', '--out', {str(tmp_path / 'r')!r}]))")
    # elsewhere: a checkout's sources may stand without their core
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=tmp_path, timeout=60)
    assert done.returncode == 2
    assert "ale_py is not installed: pip install 'gatelearn[atari]'" in done.stderr


def test_figures_check_what_they_are_given():
    frames = np.zeros((2, 8, 8))
    with pytest.raises(ValueError, match=r"reconstructed \(2, 8, 7\), expected \(N, H, W\)"):
        plots.reconstructions(frames, frames[..., :7], frames[0])
    with pytest.raises(ValueError, match=r"background has shape \(8,\), expected \(8, 8\)"):
        plots.reconstructions(frames, frames, frames[0, 0])
    with pytest.raises(ValueError, match="rows hold no loss to draw"):
        plots.pretraining_curves([])
    with pytest.raises(ValueError, match="loss is 0 at step 1 of state, expected above 0"):
        plots.pretraining_curves([{"stage": "state", "step": 1, "loss": 0}])
