"""Warping against its twin, central differences and PyTorch."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads
from hypothesis import given, settings
from hypothesis import strategies as st

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import warp as ref

SHAPES = [(2, 3, 5, 7), (1, 1, 1, 1), (3, 1, 4, 1), (1, 2, 1, 6), (0, 2, 3, 3), (2, 0, 3, 3)]


def inputs(rng, dtype, shape):
    """Image, a flow that leads inside and outside of it, and a gradient of the output."""
    B, _, H, W = shape
    arrays = (rng.standard_normal(shape), rng.uniform(-4, 4, (B, 2, H, W)),
              rng.standard_normal(shape))
    return tuple(a.astype(dtype) for a in arrays)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_twin(rng, dtype, shape):
    image, flow, dy = inputs(rng, dtype, shape)
    y = F.warp(image, flow)
    assert y.dtype == dtype and y.shape == shape
    close(y, ref.warp(image.astype(float), flow.astype(float)))
    got = F.warp_backward(dy, image, flow)
    for g, e in zip(got, ref.warp_backward(dy.astype(float), image.astype(float),
                                           flow.astype(float)), strict=True):
        assert g.dtype == dtype
        close(g, e)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 3),
       st.sampled_from([0.0, 0.5, 1.0, 3.0, 1e6, 1e300]))
def test_any_shape_and_distance(H, W, C, distance):
    rng = np.random.default_rng(0)
    image, dy = rng.standard_normal((2, 1, C, H, W))
    flow = distance * rng.uniform(-1, 1, (1, 2, H, W))
    close(F.warp(image, flow), ref.warp(image, flow))
    for g, e in zip(F.warp_backward(dy, image, flow), ref.warp_backward(dy, image, flow),
                    strict=True):
        close(g, e)


@pytest.mark.parametrize("shape", SHAPES[:4])
def test_gradients_by_central_differences(rng, shape):
    image, flow, dy = inputs(rng, np.float64, shape)
    dimage, dflow = F.warp_backward(dy, image, flow)
    np.testing.assert_allclose(dimage, central_difference(lambda v: F.warp(v, flow), image, dy),
                               atol=1e-8)
    np.testing.assert_allclose(dflow, central_difference(lambda v: F.warp(image, v), flow, dy),
                               atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_pytorch(rng, dtype):
    torch = pytest.importorskip("torch")
    image, flow, dy = inputs(rng, dtype, SHAPES[0])
    H, W = image.shape[2:]
    t, f = (torch.tensor(a, requires_grad=True) for a in (image, flow))
    x = torch.arange(W) + f[:, 0]
    y = torch.arange(H)[:, None] + f[:, 1]
    grid = torch.stack([2 * x / (W - 1) - 1, 2 * y / (H - 1) - 1], -1)
    out = torch.nn.functional.grid_sample(t, grid, padding_mode="border", align_corners=True)
    out.backward(torch.tensor(dy))
    tolerance = dict(rtol=1e-3, atol=1e-4)  # its coordinates go through -1 .. 1
    np.testing.assert_allclose(F.warp(image, flow), out.detach().numpy(), **tolerance)
    for g, e in zip(F.warp_backward(dy, image, flow), (t.grad, f.grad), strict=True):
        np.testing.assert_allclose(g, e.numpy(), **tolerance)


def test_whole_pixels_are_a_shift_and_edges_go_on(rng):
    image = rng.standard_normal((2, 3, 6, 8))
    flow = np.zeros((2, 2, 6, 8))
    same_bits(F.warp(image, flow), image)
    flow[:, 0], flow[:, 1] = 2, -1
    y = F.warp(image, flow)
    same_bits(y[:, :, 1:, :6], image[:, :, :5, 2:])
    same_bits(y[:, :, 0], y[:, :, 1])
    same_bits(y[..., 6:], np.repeat(y[..., 5:6], 2, -1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_on_any_number_of_threads(rng, dtype):
    image, flow, dy = inputs(rng, dtype, (9, 3, 20, 30))
    same_for_any_threads(lambda: (F.warp(image, flow), *F.warp_backward(dy, image, flow)))


def test_gradients_that_are_not_asked_for(rng):
    image, flow, dy = inputs(rng, np.float64, SHAPES[0])
    dimage, dflow = np.empty_like(image), np.empty_like(flow)
    _core.warp_backward(dimage, None, dy, image, flow)
    _core.warp_backward(None, dflow, dy, image, flow)
    for g, e in zip((dimage, dflow), F.warp_backward(dy, image, flow), strict=True):
        same_bits(g, e)


def test_strided_and_mixed_arguments(rng):
    image, flow, _ = inputs(rng, np.float64, (2, 3, 5, 5))
    y = F.warp(image.transpose(0, 1, 3, 2), flow.transpose(0, 1, 3, 2))
    close(y, ref.warp(image.transpose(0, 1, 3, 2), flow.transpose(0, 1, 3, 2)))
    assert F.warp(image.astype(np.float32), flow).dtype == np.float64
    assert F.warp(np.ones((1, 1, 2, 2), int), np.zeros((1, 2, 2, 2), int)).dtype == np.float64


def test_errors(rng):
    image, flow, dy = inputs(rng, np.float64, (3, 1, 4, 5))
    with pytest.raises(ValueError, match=r"flow has shape \(3, 1, 4, 5\), expected \(3, 2, 4, 5\)"):
        F.warp(image, flow[:, :1])
    with pytest.raises(ValueError, match="image has 3 dimensions, expected 4"):
        F.warp(image[0], flow)
    with pytest.raises(ValueError, match=r"dy has shape \(3, 1, 4, 4\), expected \(3, 1, 4, 5\)"):
        F.warp_backward(dy[..., :4], image, flow)
    with pytest.raises(ValueError, match=r"\(1, 1, 0, 2\), expected at least one pixel"):
        F.warp(np.zeros((1, 1, 0, 2)), np.zeros((1, 2, 0, 2)))
    with pytest.raises(ValueError, match=r"flow.shape\[1\] is 3, expected 2"):
        _core.warp_forward(dy, image, np.zeros((3, 3, 4, 5)))
    for bad in (np.nan, np.inf, -np.inf):
        spoilt = flow.copy()
        spoilt[1, 1, 3, 4] = spoilt[2, 0, 0, 0] = bad
        for call in (lambda f: F.warp(image, f), lambda f: F.warp_backward(dy, image, f)):
            with pytest.raises(FloatingPointError, match=r"flow.* 1.*finite numbers"):
                call(spoilt)
    with pytest.raises(ValueError, match="overlap"):
        _core.warp_forward(image, image, flow)


def test_nan_of_an_image_stays_where_it_is_sampled(rng):
    image, flow, _ = inputs(rng, np.float64, (1, 1, 4, 5))
    flow[...] = 0.5
    image[0, 0, 2, 2] = np.nan
    seen = np.isnan(F.warp(image, flow)[0, 0])
    assert seen.sum() == 4 and seen[1:3, 1:3].all()
