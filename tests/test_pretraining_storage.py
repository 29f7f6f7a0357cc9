"""Files of frozen encoders, and linear probes of what embeddings tell."""

import json
import struct

import numpy as np
import pytest
from helpers import same_bits
from pretraining_cases import moving_dots

from gatelearn._files import save_arrays
from gatelearn._version import __version__
from gatelearn.errors import UserError
from gatelearn.wsa import encoders
from gatelearn.wsa import pretraining as pre
from gatelearn.wsa.pretraining.probe import linear_probe

pytest.importorskip("safetensors")

SMALL = [(3, 4, 4), (2, 3, 1)]
MAKE = {
    "state": lambda: pre.StateEncoder.freeze(
        pre.AutoencoderNetwork((20, 20), 2, SMALL).build(0), moving_dots(), name="context"),
    "contrastive": lambda: pre.ContrastiveEncoder.freeze(
        pre.ContrastiveNetwork((20, 20), 1, SMALL, width=5).build(0), moving_dots(), looks=3),
}
PROVENANCE = {"game": "Pong", "frames": 120, "steps": 20, "seed": 0}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_file_gives_the_same_bits(make, tmp_path):
    encoder, path = make(), tmp_path / "e.safetensors"
    pre.save_encoder(path, encoder, PROVENANCE)
    loaded = pre.load_encoder(path)
    stacks = moving_dots().spread(9, 4)
    same_bits(loaded.embed(stacks), encoder.embed(stacks))
    assert type(loaded) is type(encoder) and loaded.name == encoder.name
    assert loaded.options == encoder.options and loaded.depth == encoder.depth
    assert loaded.provenance == {**PROVENANCE, "version": __version__}
    assert encoders.as_encoder(path).name == encoder.name
    assert encoders.as_encoder(path, name="other").width == encoder.width
    # equal encoders have equal files
    pre.save_encoder(tmp_path / "f.safetensors", loaded, PROVENANCE)
    assert path.read_bytes() == (tmp_path / "f.safetensors").read_bytes()


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / "e.safetensors"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"e\.safetensors' exists: choose another path"):
        pre.save_encoder(path, MAKE["state"](), PROVENANCE)
    with pytest.raises(UserError, match=r"has the suffix '\.bin', expected \.safetensors"):
        pre.save_encoder(tmp_path / "e.bin", MAKE["state"](), PROVENANCE)
    assert path.read_bytes() == b"mine" and len(list(tmp_path.iterdir())) == 1
    pre.save_encoder(path, MAKE["state"](), PROVENANCE, overwrite=True)
    assert pre.load_encoder(path).name == "context"


def facts(**change):
    encoder = MAKE["state"]()
    return {"model": "state", "name": "s", "scale": 1.0, "network": encoder.network.settings,
            "options": {}, "provenance": {}, **change}


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "e.safetensors"
    pre.save_encoder(path, MAKE["state"](), PROVENANCE)
    data, bad = path.read_bytes(), tmp_path / "bad.safetensors"
    with pytest.raises(FileNotFoundError):
        pre.load_encoder(tmp_path / "none.safetensors")
    flipped = bytearray(data)
    flipped[-5] ^= 1
    for content, message in (
            (b"", "is damaged or not a safetensors file"),
            (data[:50], "is damaged or not a safetensors file"), (data[:-9], "is damaged: "),
            (bytes(flipped), "is damaged: its checksum does not match"),
            (b"\x80\x04" + data, "is damaged or not a safetensors file")):
        bad.write_bytes(content)
        with pytest.raises(UserError, match=f"bad.safetensors' {message}"):
            pre.load_encoder(bad)
        assert bad.read_bytes() == content
    header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    bad.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(UserError, match="is not a gatelearn checkpoint: its metadata is not ours"):
        pre.load_encoder(bad)

    encoder = MAKE["state"]()
    arrays = {f"network.{k}": v for k, v in encoder.network.named_parameters().items()}
    arrays["centre"] = encoder.centre
    for meta, change, message in (
            ({"stage": "state"}, {}, "holds no encoder, expected a file of save_encoder"),
            ({"encoder": facts(model="stat")}, {}, "unknown model 'stat'; did you mean 'state'"),
            ({"encoder": facts(network={"sise": [20, 20]})}, {}, "does not fit this version"),
            ({"encoder": facts()}, {"network.background": np.zeros((20, 19), np.float32)},
             "does not fit this version of the library: parameter background has shape"),
            ({"encoder": facts()}, {"centre": np.zeros(3, np.float32)},
             r"does not fit .*: centre has shape \(3,\), expected \(18,\)"),
            ({"encoder": {k: v for k, v in facts().items() if k != "scale"}}, {},
             "does not fit this version of the library: 'scale'")):
        save_arrays(bad, arrays | change, meta)
        with pytest.raises(UserError, match=message):
            pre.load_encoder(bad)


def test_a_probe_finds_what_is_linear(rng):
    episode = np.arange(900) // 45
    x = rng.standard_normal((900, 12))
    clear, noisy = x @ rng.standard_normal(12), x[:, 0] + rng.standard_normal(900)
    absent = np.where(rng.random(900) < 0.5, clear, np.nan)
    targets = np.stack([3 + clear, noisy, x[:, 0] ** 2, absent, np.ones(900)], 1)
    scores = linear_probe(x + 5, targets, episode)
    assert scores[0] > 0.999 and scores[3] > 0.999
    assert 0.35 < scores[1] < 0.65 and abs(scores[2]) < 0.1 and np.isnan(scores[4])
    # more features than rows: the penalty is what makes it work
    wide = np.concatenate([x, 0.1 * rng.standard_normal((900, 400))], 1)
    assert linear_probe(wide, targets[:, :1], episode)[0] > 0.9
    # units and order of the features do not matter
    same = linear_probe(1e3 * (x + 5)[:, ::-1], targets[:, :2], episode)
    np.testing.assert_allclose(same, scores[:2], atol=1e-6)


def test_a_probe_does_not_see_the_held_out_episodes(rng):
    episode = np.arange(600) // 100
    x, y = rng.standard_normal((600, 200)), rng.standard_normal((600, 1))
    assert linear_probe(x, y, episode)[0] < 0.1


def test_a_probe_checks_its_arguments(rng):
    x, y, episode = np.ones((40, 3)), np.ones((40, 2)), np.arange(40) // 10
    with pytest.raises(ValueError, match=r"embeddings has shape \(40, 3\), targets \(40,\)"):
        linear_probe(x, y[:, 0], episode)
    with pytest.raises(ValueError, match="held_out is 0, expected a number between 0 and 1"):
        linear_probe(x, y, episode, held_out=0)
    with pytest.raises(ValueError, match="there are 2 episodes, expected at least 3"):
        linear_probe(x, y, episode // 2)
    y[:, 1] = np.nan
    with pytest.raises(ValueError, match=r"targets\[:, 1\] is NaN throughout a part of the frames"):
        linear_probe(x, y, episode)
    x[3, 1] = np.inf
    with pytest.raises(FloatingPointError, match=r"embeddings\[3, 1\] is inf"):
        linear_probe(x, y, episode)
