"""The glimpse sensor against its twin, central differences, PyTorch and plain slices."""

import numpy as np
import pytest
from helpers import DTYPES, central_difference, close, same_bits, same_for_any_threads
from hypothesis import given, settings
from hypothesis import strategies as st

from gatelearn import _core
from gatelearn import functional as F
from gatelearn._reference import glimpse as ref

#        B, N, C, H, W, size, scales
SHAPES = [(2, 3, 2, 9, 12, 3, 3), (3, 1, 1, 8, 8, 4, 2), (1, 2, 3, 7, 5, 1, 4),
          (2, 2, 1, 1, 1, 2, 2), (1, 1, 1, 3, 2, 5, 2), (1, 4, 1, 1, 10, 2, 1),
          (0, 2, 1, 4, 4, 2, 2), (2, 0, 1, 4, 4, 2, 2), (2, 1, 0, 4, 4, 2, 2),
          (1, 2, 2, 0, 4, 2, 2), (2, 1, 1, 3, 0, 1, 1)]


def inputs(rng, dtype, shape):
    """Images, locations that lie inside and outside, and gradients of patches."""
    B, N, C, H, W, size, scales = shape
    return (rng.standard_normal((B, C, H, W)).astype(dtype),
            rng.uniform(-1.6, 1.6, (B, N, 2)).astype(dtype),
            rng.standard_normal((B, N, scales, C, size, size)).astype(dtype))


def at(pixel, n):
    """The coordinate of a place in pixels, the first pixel at 0, on an axis of n."""
    return (2 * np.asarray(pixel, float) + 1) / n - 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_twin(rng, dtype, shape):
    images, where, dpatches = inputs(rng, dtype, shape)
    size, scales = shape[-2:]
    got = F.glimpse(images, where, size, scales)
    assert got.dtype == dtype and got.shape == dpatches.shape
    close(got, ref.glimpse(images.astype(float), where, size, scales))
    dimages = F.glimpse_backward(dpatches, where, images.shape)
    assert dimages.dtype == dtype and dimages.shape == images.shape
    close(dimages, ref.glimpse_backward(dpatches.astype(float), where, images.shape))
    if shape[1] == 1:
        same_bits(F.glimpse(images, where[:, 0], size, scales), got[:, 0])
        same_bits(F.glimpse_backward(dpatches[:, 0], where[:, 0], images.shape), dimages)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4),
       st.floats(-3, 3), st.floats(-3, 3))
def test_any_shape_and_place(H, W, size, scales, x, y):
    rng = np.random.default_rng(0)
    images, where = rng.standard_normal((1, 1, H, W)), np.array([[[x, y]]])
    close(F.glimpse(images, where, size, scales), ref.glimpse(images, where, size, scales))
    d = rng.standard_normal((1, 1, scales, 1, size, size))
    close(F.glimpse_backward(d, where, images.shape), ref.glimpse_backward(d, where, images.shape))


@pytest.mark.parametrize("shape", SHAPES[:6])
def test_gradient_by_central_differences(rng, shape):
    images, where, dpatches = inputs(rng, np.float64, shape)
    np.testing.assert_allclose(
        F.glimpse_backward(dpatches, where, images.shape),
        central_difference(lambda v: F.glimpse(v, where, *shape[-2:]), images, dpatches), atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [s for s in SHAPES if 0 not in s])
def test_agrees_with_pytorch(rng, dtype, shape):
    torch = pytest.importorskip("torch")
    N, (H, W, size, scales) = shape[1], shape[3:]
    images, where, dpatches = inputs(rng, dtype, shape)
    t = torch.tensor(images, requires_grad=True)
    got, total = F.glimpse(images, where, size, scales), 0
    for n in range(N):
        for s in range(scales):
            steps = np.arange(size * 2**s) - (size * 2**s - 1) / 2
            x, y = where[:, n, :1] + 2 * steps / W, where[:, n, 1:] + 2 * steps / H
            grid = np.stack(np.broadcast_arrays(x[:, None, :], y[:, :, None]), -1).astype(dtype)
            sampled = torch.nn.functional.grid_sample(t, torch.tensor(grid), mode="bilinear",
                                                      padding_mode="zeros", align_corners=False)
            pooled = torch.nn.functional.avg_pool2d(sampled, 2**s)
            close(got[:, n, s], pooled.detach().numpy())
            total = total + (pooled * torch.tensor(dpatches[:, n, s])).sum()
    total.backward()
    close(F.glimpse_backward(dpatches, where, images.shape), t.grad.numpy())


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_patch_round_a_whole_place_is_a_slice(rng, size):
    """An odd patch has a pixel in its middle, an even one the corner of four."""
    image = rng.standard_normal((9, 11))
    i, j = (4, 5) if size % 2 else (4.5, 5.5)
    first = round(i - (size - 1) / 2), round(j - (size - 1) / 2)
    got = F.glimpse(image[None, None], [[at(j, 11), at(i, 9)]], size)[0, 0, 0]
    close(got, image[first[0]:first[0] + size, first[1]:first[1] + size])


def test_half_a_pixel_is_the_mean_of_two_and_scales_are_means_of_squares(rng):
    image = rng.standard_normal((12, 16))
    got = F.glimpse(image[None, None], [[at(6.5, 16), at(5, 12)]], 3)[0, 0, 0]
    close(got, (image[4:7, 5:8] + image[4:7, 6:9]) / 2)
    whole = F.glimpse(image[None, None], [[0.0, 0.0]], 2, 3)[0, :, 0]
    close(whole[1], image[4:8, 6:10].reshape(2, 2, 2, 2).mean((1, 3)))
    close(whole[2], image[2:10, 4:12].reshape(2, 4, 2, 4).mean((1, 3)))


def test_corners_are_the_outer_edges():
    image = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    corners = F.glimpse(np.tile(image, (4, 1, 1, 1)), [[-1, -1], [1, -1], [-1, 1], [1, 1]], 2)
    np.testing.assert_array_equal(corners[:, 0, 0], [[[0, 0], [0, 1]], [[0, 0], [3, 0]],
                                                     [[0, 7], [0, 0]], [[9, 0], [0, 0]]])
    # a single sample on the corner has a quarter of the pixel
    np.testing.assert_array_equal(F.glimpse(image, [[1, 1]], 1)[0, 0, 0], [[9 / 4]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_far_places_give_zeros(dtype):
    image = np.full((1, 1, 5, 6), np.nan, dtype)
    beyond = [[x, y] for x in (0, 3.1, -3.1, 1e6, -1e9, 1e30, -1e30) for y in (3.5, -1e18, 1e30)]
    beyond += [[y, x] for x, y in beyond]
    where = np.array(beyond, dtype)[None]
    assert not F.glimpse(image, where, 3, 2).any()
    d = np.ones((1, len(beyond), 2, 1, 3, 3), dtype)
    assert not F.glimpse_backward(d, where, image.shape).any()
    if dtype == np.float64:
        assert not F.glimpse(image, [[1e300, -1e300]], 3, 16).any()


def test_the_largest_scale_sees_the_whole_image(rng):
    image = rng.standard_normal((1, 1, 5, 6))
    got = F.glimpse(image, [[0.2, -0.1]], 1, 16)[0, :, 0, 0, 0]
    close(got[3:], image.sum() / 4.0 ** np.arange(3, 16))


@pytest.mark.parametrize("scales", [1, 3])
def test_only_pixels_under_the_patch_matter(rng, scales):
    image = rng.standard_normal((1, 1, 16, 32))
    for x, y in ((11.5, 9.5), (11.25, 9.75), (3.3, 12.0), (0.5, 14.5), (-1.5, 15.0)):
        where = [[at(x, 32), at(y, 16)]]
        reach = 2 * 2 ** (scales - 1) / 2  # of a patch of 2 x 2
        rows, cols = np.arange(16)[:, None], np.arange(32)
        outside = (np.abs(rows - y) >= reach + 0.5) | (np.abs(cols - x) >= reach + 0.5)
        clean = F.glimpse(image, where, 2, scales)
        spoilt = np.where(outside, np.nan, image[0, 0])[None, None]
        same_bits(F.glimpse(spoilt, where, 2, scales), clean)
        seen = F.glimpse_backward(np.ones((1, scales, 1, 2, 2)), where, image.shape)[0, 0] != 0
        np.testing.assert_array_equal(seen, ~outside)


def test_nan_and_huge_pixels_stay_in_their_outputs(rng):
    image = rng.standard_normal((1, 1, 8, 8))
    image[0, 0, 3, 3] = np.nan
    assert np.isnan(F.glimpse(image, [[0, 0]], 4, 2)[0, :, 0]).nonzero()[0].tolist() == [0, 1]
    # so little left of a whole place that the pixel there rounds to weight 0
    image = np.array([[np.nan, 5], [np.nan, 6]])[None, None]
    np.testing.assert_array_equal(F.glimpse(image, [[-2.0**-54, 0]], 2)[0, 0, 0], image[0, 0])
    big = np.full((1, 1, 8, 8), 3e38, np.float32)
    close(F.glimpse(big, [[0, 0]], 1, 3)[0, :, 0, 0, 0] / np.float32(3e38), [1, 1, 1])
    d = np.zeros((1, 1, 1, 2, 2))
    d[..., 0, 1] = np.nan
    seen = np.isnan(F.glimpse_backward(d, [[0, 0]], (1, 1, 8, 8))[0, 0])
    assert np.argwhere(seen).tolist() == [[3, 4]]


def test_gradient_of_several_glimpses_adds_up(rng):
    images, where, dpatches = inputs(rng, np.float64, (2, 3, 2, 9, 12, 3, 3))
    each = [F.glimpse_backward(dpatches[:, n], where[:, n], images.shape) for n in range(3)]
    close(F.glimpse_backward(dpatches, where, images.shape), sum(each))
    dimages = np.ones(images.shape)
    _core.glimpse_backward(dimages, dpatches.reshape(2, 3, 3, 6, 3), where)
    close(dimages, 1 + sum(each))


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_number_of_threads_gives_the_same_bits(rng, dtype):
    images, where, dpatches = inputs(rng, dtype, (37, 5, 2, 20, 23, 7, 3))
    same_for_any_threads(lambda: (F.glimpse(images, where, 7, 3),
                                  F.glimpse_backward(dpatches, where, images.shape)))


def test_strided_and_other_types_are_converted(rng):
    images, where, dpatches = inputs(rng, np.float64, (2, 3, 2, 9, 12, 3, 2))
    expected = F.glimpse(images, where, 3, 2)
    wide = np.zeros((2, 9, 24, 2))
    wide[:, :, ::2] = images.transpose(0, 2, 3, 1)
    strided = wide[:, :, ::2].transpose(0, 3, 1, 2)
    same_bits(F.glimpse(strided, where[..., ::-1].copy()[..., ::-1], 3, 2), expected)
    same_bits(F.glimpse_backward(dpatches[::-1, :, ::-1], where, images.shape),
              F.glimpse_backward(dpatches[::-1, :, ::-1].copy(), where, images.shape))
    whole = rng.integers(0, 255, (2, 2, 9, 12))
    got = F.glimpse(whole.astype(np.uint8), where, 3)
    assert got.dtype == np.float64
    same_bits(got, F.glimpse(whole.astype(float), where, 3))
    assert F.glimpse(images.astype(np.float32), where.astype(np.float32), 3).dtype == np.float32
    assert F.glimpse(images.astype(np.float32), where, 3).dtype == np.float64


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308])
def test_location_error_names_lowest_row_and_writes_nothing(bad):
    images, where = np.zeros((40, 1, 6, 6)), np.zeros((40, 3, 2))
    where[[20, 39], 1, [0, 1]] = bad
    patches, dimages = np.full((40, 3, 1, 2, 2), 7.0), np.full(images.shape, 7.0)
    with pytest.raises(FloatingPointError, match="glimpse_forward: locations is not finite at row "
                                                 "61, expected finite numbers, also in pixels"):
        _core.glimpse_forward(patches, images, where)
    with pytest.raises(FloatingPointError, match="glimpse_backward: locations is not finite at row "
                                                 "61, expected finite numbers, also in pixels"):
        _core.glimpse_backward(dimages, patches, where)
    assert (patches == 7).all() and (dimages == 7).all()
    with pytest.raises(FloatingPointError, match="at row 20, expected"):
        F.glimpse(images, where[:, 1], 2)
    with pytest.raises(FloatingPointError, match="at row 20, expected"):
        F.glimpse_backward(np.zeros((40, 1, 1, 2, 2)), where[:, 1], images.shape)


def test_errors_name_argument_has_and_expected():
    images, where, d = np.zeros((2, 3, 5, 6)), np.zeros((2, 2)), np.zeros((2, 1, 3, 4, 4))
    with pytest.raises(ValueError, match="images has 3 dimensions, expected 4"):
        F.glimpse(images[0], where, 4)
    for bad in (where[:1], where[:, :1], where[0], where[None, None]):
        with pytest.raises(ValueError, match=r"locations has shape .*, expected \(2, 2\) or \("):
            F.glimpse(images, bad, 4)
        with pytest.raises(ValueError, match=r"locations has shape .*, expected \(2, 2\) or \("):
            F.glimpse_backward(d, bad, images.shape)
    with pytest.raises(ValueError, match="size is 0, expected at least 1"):
        F.glimpse(images, where, 0)
    for bad in (0, 17):
        with pytest.raises(ValueError, match=f"scales is {bad}, expected 1 to 16"):
            F.glimpse(images, where, 4, bad)
    with pytest.raises(TypeError, match="images has dtype complex128, expected float32 or float64"):
        F.glimpse(images + 0j, where, 4)
    with pytest.raises(ValueError, match=r"shape is \(3, 5, 6\), expected \(B, C, H, W\)"):
        F.glimpse_backward(d, where, images.shape[1:])
    with pytest.raises(ValueError, match="dpatches has 4 dimensions, expected 5"):
        F.glimpse_backward(d[0], where, images.shape)
    with pytest.raises(ValueError, match=r"dpatches has shape \(2, 1, 2, 4, 4\), expected \(2, 1"):
        F.glimpse_backward(d[:, :, :2], where, images.shape)
    with pytest.raises(ValueError, match=r"dpatches has shape .*, expected \(2, 1, 3, 3, 3\)"):
        F.glimpse_backward(d[..., :3], where, images.shape)

    patches, where = np.zeros((2, 1, 1, 12, 4)), where[:, None]
    with pytest.raises(ValueError, match=r"locations.shape\[2\] is 1, expected 2"):
        _core.glimpse_forward(patches, images, where[..., :1].copy())
    with pytest.raises(ValueError, match=r"patches.shape\[3\] is 11, expected C times P = 12"):
        _core.glimpse_forward(patches[:, :, :, :11].copy(), images, where)
    with pytest.raises(ValueError, match=r"dpatches.shape\[2\] is 17, expected at most S = 16"):
        _core.glimpse_backward(images, np.zeros((2, 1, 17, 12, 4)), where)
    with pytest.raises(ValueError, match="patches overlaps images, expected separate memory"):
        _core.glimpse_forward(images.reshape(-1)[:96].reshape(2, 1, 1, 12, 4), images, where)
