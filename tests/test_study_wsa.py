"""The study of Weight Sharing Attention: what it writes, that it repeats, resumes and refuses."""

from dataclasses import replace

import numpy as np
import pytest
from study_runs import results

import gatelearn as gl
from gatelearn import plots, rl, wsa
from gatelearn.errors import UserError
from gatelearn.runs import Table
from gatelearn.studies.agents import METHODS, AgentConfig, AgentTrainer, make_network
from gatelearn.studies.wsa import Config
from gatelearn.studies.wsa.report import early_return

pytest.importorskip("safetensors")
pytest.importorskip("matplotlib")
pytest.importorskip("ale_py")
pytest.importorskip("gymnasium")

WIDTHS = {"state": 5, "contrastive": 4}


def tiny(**changes):
    return replace(Config(models=("state", "keypoints"), frames=400, pretraining_steps=2,
                          episodes=2,
                          agent=AgentConfig(steps=256, envs=2, rollout=32, width=16, epochs=1)),
                   **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "run"
    with gl.num_threads(2):
        return path, gl.studies.wsa.run(tiny(), out=path, progress=False)


def test_what_a_run_writes(finished):
    path, result = finished
    table = Table.from_csv(path / "table.csv")
    assert table["method"] == ["wsa", "end-to-end", "random"]
    for row in table:
        assert -21 <= row["final_lo"] <= row["final"] <= row["final_hi"] <= 21
        assert (row["parameters"] is None) == (row["method"] == "random")
    assert {p.stem for p in (path / "figures").glob("*.png")} >= {"weights"}
    weights = [row for row in result.metrics if "weight/keypoints" in row]
    assert weights and all(row["weight/keypoints"] == 1 for row in weights)
    assert result.summary["wsa"]["final"] == table.where(method="wsa")[0]["final"]
    assert any("wsa returns" in note for note in result.notes)


def test_same_seed_same_bits_on_other_threads(finished, tmp_path):
    with gl.num_threads(1):
        gl.studies.wsa.run(tiny(), out=tmp_path / "run", progress=False)
    ours, expected = results(tmp_path / "run"), results(finished[0])
    assert ours[0].keys() == expected[0].keys()
    assert {k for k in ours[0] if ours[0][k] != expected[0][k]} == set()


@pytest.mark.parametrize("method", [m for m in METHODS if m != "end-to-end"])
def test_an_agent_continues_to_the_same_bits(method):
    game, config = gl.tasks.Atari("Pong"), AgentConfig(steps=128, envs=2, rollout=8, width=12)
    rng = np.random.default_rng(3)
    projection = rng.standard_normal((84 * 84, 9)).astype(np.float32) / 84

    def trainer():
        network = make_network(method, WIDTHS, "state", 6, config).build(1)
        return AgentTrainer(network, game, config, np.random.default_rng(2), 5,
                            lambda x: x[:, -1].reshape(len(x), -1) / np.float32(255) @ projection)

    one, other = trainer(), trainer()
    one.step()
    other.load_state(*one.state())
    for _ in range(2):
        a, b = one.step(), other.step()
        assert {k: v for k, v in a.items() if k != "text"} == {
            k: v for k, v in b.items() if k != "text"}
    assert one.ppo.policy.network.params.tobytes() == other.ppo.policy.network.params.tobytes()
    trunk = one.ppo.policy.network.trunk
    assert isinstance(trunk, wsa.Combination)
    weighed = trunk.forward(one.runner.observations)[1].weights is not None
    assert weighed == ("weight/state" in a)


def test_the_end_to_end_agent_learns_from_frames():
    config = AgentConfig(steps=64, envs=2, rollout=8, epochs=1)
    network = make_network("end-to-end", WIDTHS, "state", 6, config).build(1)
    trainer = AgentTrainer(network, gl.tasks.Atari("Pong"), config, np.random.default_rng(2), 5)
    before = {name: value.copy() for name, value in network.named_parameters().items()}
    metrics = trainer.step()
    assert metrics["at"] == 16 and np.isfinite(metrics["loss"])
    assert all((value != before[name]).any()
               for name, value in network.named_parameters().items())
    assert trainer.runner.observations.dtype == np.uint8


def test_early_return_is_the_mean_of_what_was_seen_until_then():
    rows = [{"stage": "seed-0/Pong/wsa", "step": 10 * i, "return": float(i)} for i in range(5)]
    rows += [{"stage": "seed-0/Pong/mean", "step": 1, "return": 99.0},
             {"stage": "seed-0/Pong/wsa", "step": 5}]
    assert early_return(rows, "seed-0/Pong/wsa", 20) == 1
    assert early_return(rows, "seed-1/Pong/wsa", 20) is None


def test_figures_of_several_games_and_seeds():
    rows = [{"stage": f"seed-{n}/{game}/{method}", "step": 2_000 * i, "return": i + n,
             "weight/state": 0.25, "weight/keypoints": 0.75}
            for n in range(2) for game in ("Pong", "Breakout", "MsPacman", "Qbert")
            for method in ("wsa", "end-to-end") for i in range(40)]
    figure = plots.return_curves(rows, levels={"Pong": {"random": -1.0}})
    assert [axes.get_title() for axes in figure.axes] == ["Pong", "Breakout", "MsPacman", "Qbert"]
    assert figure.axes[0].xaxis.get_major_formatter()(40_000, 0) == "40k"
    (axes, *_) = plots.model_weights(rows).axes
    assert axes.get_ylim()[0] == 0
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["state", "keypoints"]
    with pytest.raises(ValueError, match="rows hold no return to draw"):
        plots.return_curves([{"stage": "Pong/wsa", "step": 1}])
    with pytest.raises(ValueError, match="rows hold no weights of mean to draw"):
        plots.model_weights(rows, "mean")


@pytest.mark.parametrize("change, message", [
    (dict(methods=("wsa", "wsaa")), "methods has 'wsaa'; did you mean 'wsa'"),
    (dict(methods=()), r"methods is \(\), expected at least one, each once"),
    (dict(models=("state",)), r"models is \('state',\), expected one beside the context"),
    (dict(context="keypoints", models=("state", "contrastive")), "context is 'keypoints'"),
    (dict(games=("Pong", "Pong")), "games is .*, each once"),
    (dict(episodes=1), "episodes is 1, expected at least 2"),
    (dict(early=0.0), r"early is 0\.0, expected above 0"),
])
def test_wrong_settings_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        tiny(**change)


@pytest.mark.parametrize("change, message", [
    (dict(steps=0), "steps is 0, expected at least 1"), (dict(gamma=2.0), "gamma is 2.0"),
    (dict(lr=0.0), r"lr is 0\.0, expected a number above 0")])
def test_wrong_settings_of_agents_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        AgentConfig(**change)
    assert AgentConfig(steps=1025).updates == 2
    assert isinstance(AgentConfig().ppo(), rl.PPOConfig)


def test_a_game_that_does_not_exist_leaves_no_folder(tmp_path):
    with pytest.raises(UserError, match="game 'Pongg' is unknown"):
        gl.studies.wsa.run(tiny(games=("Pongg",)), out=tmp_path / "run")
    with pytest.raises(UserError, match="preset is 'huge'"):
        Config.preset("huge")
    assert not (tmp_path / "run").exists()
