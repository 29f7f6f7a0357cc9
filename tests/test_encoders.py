"""Encoders: whatever made the model, checked, in batches, side by side."""

import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from helpers import same_bits

from gatelearn.errors import UserError
from gatelearn.wsa.encoders import Encoder, Encoders, FunctionEncoder, as_encoder

STACKS = np.random.default_rng(0).integers(0, 256, (7, 4, 8, 8), dtype=np.uint8)


def means(x):
    return x.mean((2, 3))


def encoder(name="means", function=means, width=4):
    return FunctionEncoder(function, name, width)


def test_embeddings_stand_side_by_side_whatever_the_batch():
    a, b = encoder(), as_encoder(lambda x: x[:, 0], name="pixels", example=STACKS)
    assert isinstance(a, Encoder) and b.width == 64
    expected = np.concatenate([means(STACKS), STACKS[:, 0].reshape(7, 64)], 1).astype(np.float32)
    for batch in (1, 3, 7, 100):
        seen = []
        counted = encoder("counted", lambda x, seen=seen: seen.append(len(x)) or means(x))
        encoders = Encoders(counted, b, batch=batch)
        same_bits(encoders.embed(STACKS), expected)
        assert max(seen) == min(batch, 7) and sum(seen) == 7
    assert encoders.names == ("counted", "pixels") and encoders.width == 68
    assert encoders.widths == {"counted": 4, "pixels": 64}
    assert encoders.embed(STACKS[:0]).shape == (0, 68)
    assert Encoders().embed(STACKS).shape == (7, 0)


def test_encoders_come_and_go():
    encoders = Encoders(encoder("a"), encoder("b"))
    encoders.add(encoder("c", lambda x: 2 * means(x)))
    removed = encoders.remove("a")
    assert removed.name == "a" and encoders.names == ("b", "c") and len(encoders) == 2
    same_bits(encoders.embed(STACKS)[:, 4:], (2 * means(STACKS)).astype(np.float32))
    with pytest.raises(KeyError, match="no encoder 'a', expected one of b, c"):
        encoders.remove("a")
    with pytest.raises(ValueError, match="there is an encoder 'b' already"):
        encoders.add(encoder("b"))
    assert encoders.names == ("b", "c")


def test_observations_may_have_parts():
    seen = {"image": STACKS, "state": np.ones((7, 3))}
    state = as_encoder(lambda o: o["state"], name="state", example=seen)
    image = as_encoder(means, name="image", example=seen, prepare=lambda o: o["image"])
    features = Encoders(state, image, batch=2).embed(seen)
    assert features.shape == (7, 7) and (features[:, :3] == 1).all()
    with pytest.raises(ValueError, match=r"observations has lengths .*'state': 2"):
        Encoders(state).embed({"image": STACKS, "state": np.ones((2, 3))})


@pytest.mark.parametrize("bad, error, message", [
    (lambda x: np.where(np.arange(len(x))[:, None] == 1, np.nan, means(x)), FloatingPointError,
     "encoder 'bad' returned nan for observation 4, expected finite numbers"),
    (lambda x: means(x) * 1e300, FloatingPointError,
     "encoder 'bad' returned inf for observation 0"),
    (lambda x: means(x)[:, :3], ValueError,
     r"encoder 'bad' returned shape \(3, 3\), expected \(3, 4\)"),
    (lambda x: means(x)[1:], ValueError, r"encoder 'bad' returned shape \(2, 4\), expected \(3, 4"),
    (lambda x: means(x)[0], ValueError, r"encoder 'bad' returned shape \(4,\), expected \(3, 4\)"),
    (lambda x: means(x) + 1j, TypeError, "encoder 'bad' returned dtype complex128, expected real"),
])
def test_what_an_encoder_returns_is_checked(bad, error, message):
    # the first batch is right: the error counts from the first observation of all
    calls = []

    def embed(x):
        calls.append(1)
        return means(x) if len(calls) == 1 and "nan" in message else bad(x)

    with pytest.raises(error, match=message):
        Encoders(encoder(), encoder("bad", embed), batch=3).embed(STACKS)


def test_an_encoder_that_changes_its_width_or_fails_is_named():
    changing = encoder("changing")
    encoders = Encoders(changing)
    changing.function, changing.width = (lambda x: x[:, 0, 0]), 8
    with pytest.raises(ValueError, match=r"encoder 'changing' returned shape \(7, 8\), expected "
                                         r"\(7, 4\)"):
        encoders.embed(STACKS)

    def fail(x):
        raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order") as caught:
        Encoders(encoder("failing", fail)).embed(STACKS)
    assert caught.value.__notes__ == ["raised by encoder 'failing'"]


def test_arguments_are_checked(tmp_path):
    with pytest.raises(TypeError, match="encoder is function, expected name, width and embed"):
        Encoders(means)
    with pytest.raises(ValueError, match="batch is 0, expected at least 1"):
        Encoders(batch=0)
    with pytest.raises(ValueError, match="encoder 'none' has width 0, expected at least 1"):
        Encoders(encoder("none", width=0))
    with pytest.raises(ValueError, match=r"name is 'a\.b', expected letters"):
        Encoders(encoder("a.b"))
    with pytest.raises(ValueError, match="name is '<lambda>', expected letters"):
        as_encoder(lambda x: x, example=STACKS)
    with pytest.raises(ValueError, match=r"example is None, expected observations: .* of 'means'"):
        as_encoder(means)
    with pytest.raises(ValueError, match="example holds no observation"):
        as_encoder(means, example=STACKS[:0])
    with pytest.raises(TypeError, match="model is int, expected an encoder, a callable"):
        as_encoder(3)
    with pytest.raises(FileNotFoundError, match=r"no-such\.onnx' is no file, expected a pre"):
        as_encoder(tmp_path / "no-such.onnx")
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(UserError, match=r"has the suffix '\.pt', expected \.onnx or \.safetensors"):
        as_encoder(tmp_path / "model.pt")


def test_an_encoder_is_taken_as_it_is_or_renamed():
    a = encoder()
    assert as_encoder(a) is a and as_encoder(a, name="means") is a
    other = as_encoder(a, name="newest", prepare=lambda x: x[:, ::-1])
    assert other.name == "newest" and a.name == "means"
    same_bits(other.embed(STACKS), means(STACKS[:, ::-1]))


# PyTorch

class TestTorch:
    @pytest.fixture
    def module(self):
        torch = pytest.importorskip("torch")
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Conv2d(4, 3, 3), torch.nn.BatchNorm2d(3),
                                   torch.nn.Dropout(0.5))

    def test_a_module_is_frozen(self, module):
        torch = pytest.importorskip("torch")
        x = STACKS.astype(np.float32) / 255
        mine = as_encoder(module, name="conv", example=STACKS,
                          prepare=lambda x: x / np.float32(255))
        assert mine.width == 3 * 6 * 6 and module.training
        first = mine.embed(STACKS)
        with torch.no_grad():
            expected = module.eval()(torch.from_numpy(x)).numpy().reshape(7, -1)
            module.train()[0].weight += 1
        same_bits(first, expected)
        # neither training nor calls change it
        module(torch.from_numpy(x))
        same_bits(mine.embed(STACKS), expected)
        assert first.dtype == np.float32 and not any(
            p.requires_grad for p in mine.module.parameters())
        read_only = STACKS.copy()
        read_only.setflags(write=False)
        same_bits(mine.embed(read_only), expected)

    def test_threads_and_pickle(self, module):
        mine = as_encoder(module, example=STACKS.astype(np.float32))
        assert mine.name == "Sequential"
        x = [np.float32(STACKS + i) for i in range(4)]
        expected, found = [mine.embed(a) for a in x], [None] * 4

        def work(i):
            for _ in range(20):
                found[i] = mine.embed(x[i])

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for a, b in zip(expected, found, strict=True):
            same_bits(a, b)
        same_bits(pickle.loads(pickle.dumps(mine)).embed(x[0]), expected[0])

    def test_errors(self, module):
        torch = pytest.importorskip("torch")
        with pytest.raises(RuntimeError) as caught:
            as_encoder(module, name="bytes", example=STACKS)
        assert caught.value.__notes__ == ["raised by encoder 'bytes'"]

        class Pair(torch.nn.Module):
            def forward(self, x):
                return x, x

        with pytest.raises(TypeError, match="encoder 'Pair' returned tuple, expected a tensor"):
            as_encoder(Pair(), example=STACKS)
        with pytest.raises(TypeError, match="encoder 'Pair': observations is dict, expected an"):
            as_encoder(Pair(), example={"image": STACKS})


# ONNX Runtime

@pytest.fixture
def graph(tmp_path):
    """Make a file with a graph, ``y = 2 * flatten(x)`` and ``z = x``, of the axes asked for."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT

    def make(batch="B", width=3, kind=floats, inputs=1, name="g.onnx"):
        xs = [helper.make_tensor_value_info(f"x{i}", kind, [batch, 2, width])
              for i in range(inputs)]
        nodes = [helper.make_node("Flatten", ["x0"], ["f"]),
                 helper.make_node("Add", ["f", "f"], ["y"]),
                 helper.make_node("Identity", ["x0"], ["z"])]
        flat = 2 * width if isinstance(width, int) else None
        ys = [helper.make_tensor_value_info("y", kind, [batch, flat]),
              helper.make_tensor_value_info("z", kind, [batch, 2, width])]
        model = helper.make_model(helper.make_graph(nodes, "g", xs, ys), ir_version=10,
                                  opset_imports=[helper.make_opsetid("", 17)])
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    return make


class TestOnnx:
    x = np.random.default_rng(1).standard_normal((5, 2, 3)).astype(np.float32)

    def test_a_file_is_an_encoder(self, graph):
        mine = as_encoder(graph())
        assert (mine.name, mine.width) == ("g", 6)
        same_bits(Encoders(mine, batch=2).embed(self.x), 2 * self.x.reshape(5, 6))
        same_bits(pickle.loads(pickle.dumps(mine)).embed(self.x), mine.embed(self.x))
        # an axis of any length: the example settles it
        path = graph(width="W", name="any.onnx")
        with pytest.raises(ValueError, match="example is None, expected observations"):
            as_encoder(path)
        assert as_encoder(path, example=self.x[..., :2]).width == 4

    def test_a_fixed_batch_and_another_output(self, graph):
        from gatelearn.interop.onnx import OnnxEncoder

        path = graph(batch=2)
        same_bits(as_encoder(str(path)).embed(self.x), 2 * self.x.reshape(5, 6))
        other = OnnxEncoder(path, name="other", output="z")
        assert other.width == 6
        same_bits(other.embed(self.x), self.x.reshape(5, 6))
        assert other.embed(self.x[:0]).shape == (0, 6)

    def test_observations_are_prepared(self, graph):
        stacks = np.full((2, 2, 3), 51, np.uint8)
        mine = as_encoder(graph(), prepare=lambda x: x / np.float32(255))
        np.testing.assert_allclose(mine.embed(stacks), 0.4, rtol=1e-6)
        with pytest.raises(TypeError, match="encoder 'g': observations has dtype uint8, expected "
                                            "float32 as the graph's input 'x0'; prepare can"):
            as_encoder(graph()).embed(stacks)

    def test_errors(self, graph, tmp_path):
        from gatelearn.interop.onnx import OnnxEncoder

        onnx = pytest.importorskip("onnx")
        mine = as_encoder(graph())
        for bad in (self.x[..., :2], self.x[0]):
            with pytest.raises(ValueError, match=r"expected \(B, 2, 3\) as the graph's input 'x0'"):
                mine.embed(bad)
        with pytest.raises(UserError, match=r"has the inputs \['x0', 'x1'\], expected one"):
            as_encoder(graph(inputs=2))
        with pytest.raises(UserError, match=r"has no output 'q', expected one of \['y', 'z'\]"):
            OnnxEncoder(graph(), name="g", output="q")
        with pytest.raises(UserError, match=r"has an input of type tensor\(uint64\), expected one"):
            as_encoder(graph(kind=onnx.TensorProto.UINT64))
        (tmp_path / "broken.onnx").write_bytes(graph().read_bytes()[:40])
        with pytest.raises(UserError, match=r"broken\.onnx' cannot be read by ONNX Runtime: "):
            as_encoder(tmp_path / "broken.onnx")
        with pytest.raises(ValueError, match="name is '1st', expected letters"):
            as_encoder(graph(name="1st.onnx"))


def test_a_missing_onnx_runtime_is_named(tmp_path):
    (tmp_path / "g.onnx").write_bytes(b"")
    code = ("import sys; sys.modules['onnxruntime'] = None\n"
            "from gatelearn.wsa.encoders import as_encoder\n"
            f"as_encoder({str(tmp_path / 'g.onnx')!r})")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == ("gatelearn.errors.MissingPackageError: onnxruntime is "
                                            "not installed: pip install 'gatelearn[onnx]'")
