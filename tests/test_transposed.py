"""Transposed convolution: PyTorch's, the adjoint of convolution, threads, messages."""

import numpy as np
import pytest
from helpers import DTYPES, close, same_for_any_threads

from gatelearn import functional as F
from gatelearn import nn

CASES = [dict(kernel_size=3), dict(kernel_size=8, stride=4),
         dict(kernel_size=4, stride=2, padding=1),
         dict(kernel_size=(2, 5), stride=(3, 2), padding=(1, 2), output_padding=(2, 1)),
         dict(kernel_size=1, stride=3, output_padding=2, bias=False)]


def made(case, dtype, rng):
    layer = nn.ConvTranspose2d(3, 2, **case).build(0, dtype)
    layer.params += rng.standard_normal(layer.params.shape).astype(dtype)
    return layer, rng.standard_normal((2, 3, 4, 5)).astype(dtype)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_same_as_pytorch(case, dtype, rng):
    torch = pytest.importorskip("torch")
    layer, x = made(case, dtype, rng)
    twin = torch.nn.ConvTranspose2d(3, 2, **case, dtype=getattr(torch, np.dtype(dtype).name))
    for name, value in layer.param.items():
        getattr(twin, name).data = torch.from_numpy(value.copy())
    tx = torch.from_numpy(x).requires_grad_()
    ty = twin(tx)
    y, saved = layer.forward(x)
    close(y, ty.detach().numpy())
    dy = rng.standard_normal(y.shape).astype(dtype)
    ty.backward(torch.from_numpy(dy))
    close(layer.backward(dy, saved), tx.grad.numpy())
    for name, grad in layer.grad.items():
        close(grad, getattr(twin, name).grad.numpy())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_the_adjoint_of_convolution(case, rng):
    layer, x = made({**case, "bias": False}, np.float64, rng)
    y, _ = layer.forward(x)
    z = rng.standard_normal(y.shape)
    back = F.conv2d(z, layer.param["weight"], stride=layer.stride, padding=layer.padding)
    assert np.sum(y * z) == pytest.approx(np.sum(x * back), rel=1e-12)


def test_no_images_and_one_pixel(rng):
    layer = nn.ConvTranspose2d(3, 2, 4, stride=2).build(0, np.float64)
    y, saved = layer.forward(np.zeros((0, 3, 5, 5)))
    assert y.shape == (0, 2, 12, 12) and layer.backward(y, saved).shape == (0, 3, 5, 5)
    x = rng.standard_normal((1, 3, 1, 1))
    expected = np.einsum("nchw,cokl->nokl", x, layer.param["weight"])
    close(layer.forward(x)[0], expected)


def test_same_bits_on_any_number_of_threads(rng):
    x = rng.standard_normal((9, 8, 11, 10)).astype(np.float32)

    def f():
        layer = nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1).build(0)
        y, saved = layer.forward(x)
        return y, layer.backward(y, saved), layer.grads

    same_for_any_threads(f)


def test_initial_scale(rng):
    layer = nn.ConvTranspose2d(64, 32, 8, stride=4, gain=1).build(0)
    y, _ = layer.forward(rng.standard_normal((2, 64, 20, 20)).astype(np.float32))
    assert y[..., 8:-8, 8:-8].std() == pytest.approx(1, rel=0.1) and not layer.param["bias"].any()


def test_errors_name_argument_has_and_expected():
    layer = nn.ConvTranspose2d(3, 4, 3, padding=3).build()
    x = np.zeros((2, 3, 8, 8), np.float32)
    for bad in (x[:, :2], x[0], x[:, :, :0]):
        with pytest.raises(ValueError, match=r"x has shape .*, expected \(N, 3, H, W\)"):
            layer.forward(bad)
    with pytest.raises(TypeError, match="x has dtype float64, expected float32 as the parameters"):
        layer.forward(x.astype(np.float64))
    with pytest.raises(ValueError, match=r"padding is \(3, 3\), which leaves nothing of x"):
        layer.forward(x[:, :, :2])
    y, saved = layer.forward(x)
    with pytest.raises(ValueError, match=r"conv2d_forward: .*shape"):
        layer.backward(y[..., :3], saved)
    with pytest.raises(ValueError, match=r"output_padding is \(2, 2\), expected below stride"):
        nn.ConvTranspose2d(1, 1, 3, stride=2, output_padding=2)
    with pytest.raises(ValueError, match="kernel_size is 0, expected at least 1"):
        nn.ConvTranspose2d(1, 1, 0)
