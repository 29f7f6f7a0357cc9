"""Transposed convolution against its twin, central differences, PyTorch and convolution."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_for_any_threads

from gatelearn import _core, nn
from gatelearn import functional as F
from gatelearn._reference import conv as ref

# N, C, P, Q, O, K, L, stride, padding, output_padding
CASES = [
    (2, 3, 4, 5, 2, 3, 2, (1, 1), (0, 0), (0, 0)),
    (2, 3, 4, 5, 2, 4, 3, (2, 3), (1, 0), (1, 2)),
    (3, 2, 1, 1, 4, 5, 4, (3, 2), (0, 1), (2, 0)),
    (2, 2, 3, 3, 3, 1, 1, (1, 1), (0, 0), (0, 0)),
    (1, 4, 6, 2, 3, 2, 2, (4, 4), (0, 0), (3, 1)),  # gaps between kernels
    (40, 2, 5, 5, 3, 4, 4, (2, 2), (1, 1), (0, 0)),
    (0, 3, 4, 5, 2, 3, 2, (1, 1), (0, 0), (0, 0)),
]


def inputs(rng, dtype, N, C, P, Q, outputs, K, L, stride, padding, output_padding):
    how = dict(stride=stride, padding=padding, output_padding=output_padding)
    arrays = [rng.standard_normal(s).astype(dtype) for s in (
        (N, C, P, Q), (C, outputs, K, L), (outputs,))]
    dout = rng.standard_normal(F.conv_transpose2d(*arrays, **how).shape).astype(dtype)
    return *arrays, dout, how


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_twin(rng, dtype, case):
    x, weight, bias, _, how = inputs(rng, dtype, *case)
    wide = [a.astype(float) for a in (x, weight, bias)]
    close(F.conv_transpose2d(x, weight, bias, **how), ref.conv_transpose2d(*wide, **how))
    close(F.conv_transpose2d(x, weight, **how), ref.conv_transpose2d(*wide[:2], **how))


@pytest.mark.parametrize("case", CASES[:5])
def test_gradients_by_central_differences(rng, case):
    x, weight, bias, dout, how = inputs(rng, np.float64, *case)
    grads = F.conv_transpose2d_backward(dout, x, weight, **how)
    for i, grad in enumerate(grads):
        def loss(a, i=i):
            given = [x, weight, bias]
            given[i] = a
            return F.conv_transpose2d(*given, **how)

        expected = central_difference(loss, (x, weight, bias)[i], dout)
        np.testing.assert_allclose(grad, expected, atol=1e-7)


def test_is_the_gradient_of_convolution(rng):
    x, weight = rng.standard_normal((3, 2, 9, 8)), rng.standard_normal((4, 2, 3, 2))
    how = dict(stride=(2, 3), padding=(1, 0))
    dy = rng.standard_normal(F.conv2d(x, weight, **how).shape)
    dx = F.conv2d_backward(dy, x, weight, **how)[0]
    close(F.conv_transpose2d(dy, weight, output_padding=(0, 0), **how), dx)


@pytest.mark.parametrize("case", CASES[:6])
def test_agrees_with_torch(rng, case):
    torch = pytest.importorskip("torch")
    x, weight, bias, dout, how = inputs(rng, np.float64, *case)
    if min(how["stride"]) < 1:
        return
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    y = torch.nn.functional.conv_transpose2d(*tensors, **how)
    close(F.conv_transpose2d(x, weight, bias, **how), y.detach().numpy())
    y.backward(torch.tensor(dout))
    for ours, t in zip(F.conv_transpose2d_backward(dout, x, weight, **how), tensors, strict=True):
        close(ours, t.grad.numpy())


def test_any_number_of_threads_gives_the_same_bits(rng):
    x, weight, bias, dout, how = inputs(rng, np.float32, 70, 8, 9, 9, 6, 4, 4, (2, 2), (1, 1),
                                        (0, 0))

    def run():
        return [F.conv_transpose2d(x, weight, bias, **how),
                *F.conv_transpose2d_backward(dout, x, weight, **how)]

    same_for_any_threads(run)


@pytest.mark.parametrize("init", ["uniform", "orthogonal"])
def test_initial_values_keep_the_scale(rng, init):
    layer = nn.ConvTranspose2d(64, 64, 4, stride=2, init=init).build(0)
    x = rng.standard_normal((4, 64, 12, 12)).astype(np.float32)
    y = layer.forward(x)[0][:, :, 4:-4, 4:-4]
    expected = np.sqrt(2) if init == "uniform" else np.sqrt(2) / 2
    assert y.std() == pytest.approx(expected, rel=0.1)
    assert "bias" not in nn.ConvTranspose2d(1, 1, 1, bias=False).shapes()


@pytest.mark.parametrize("changes, error, message", [
    (dict(stride=0), ValueError, "stride is 0, expected at least 1"),
    (dict(output_padding=2), ValueError, r"output_padding is \(2, 2\), expected less than stride"),
    (dict(padding=4), ValueError, r"padding is \(4, 4\), expected less: it leaves an image of"),
    (dict(padding=-1), ValueError, "padding is -1, expected at least 0"),
    (dict(stride=1.5), TypeError, "stride is 1.5, expected an integer or a pair"),
    (dict(x=np.ones((1, 3, 2, 2))), ValueError, r"x has shape \(1, 3, 2, 2\), expected \(N, 2,"),
    (dict(x=np.ones((1, 2, 0, 2))), ValueError, r"x has images of \(0, 2\), expected at least"),
    (dict(bias=np.ones(3)), ValueError, r"bias has shape \(3,\), expected \(4,\)"),
])
def test_errors_name_argument_has_and_expected(changes, error, message):
    given = dict(x=np.ones((1, 2, 3, 3)), weight=np.ones((2, 4, 3, 3)), bias=np.ones(4), stride=2)
    with pytest.raises(error, match=message):
        F.conv_transpose2d(**(given | changes))


def test_the_core_wants_images_unless_only_their_gradient_is_asked_for():
    weight, dy = np.ones((2, 1, 2, 2)), np.ones((1, 2, 2, 2))
    dx = np.empty((1, 1, 3, 3))
    _core.conv2d_backward(None, weight, 1, 1, 0, 0, dy, dx, None, None)
    for rest in ((dx, np.ones_like(weight), None), (None, None, np.zeros(2))):
        with pytest.raises(ValueError, match="x is None, expected a NumPy array unless dx alone"):
            _core.conv2d_backward(None, weight, 1, 1, 0, 0, dy, *rest)
