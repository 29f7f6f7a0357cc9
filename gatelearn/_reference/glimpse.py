"""Patches of images around real-valued places, fine in the middle and coarser with each scale."""

import math
from itertools import product

import numpy as np


def _corners(y, x, H, W):
    """Pixels and weights of a bilinear sample at (y, x), without those outside or of weight 0."""
    i, j = math.floor(y), math.floor(x)
    for (di, wy), (dj, wx) in product(((0, i + 1 - y), (1, y - i)), ((0, j + 1 - x), (1, x - j))):
        if 0 <= i + di < H and 0 <= j + dj < W and wy * wx > 0:
            yield i + di, j + dj, wy * wx


def _terms(shape, locations, size, scales):
    """Every (patch pixel, image pixel, weight) of all glimpses; locations (B, N, 2)."""
    B, _, H, W = shape
    for b, n, s in product(range(B), range(locations.shape[1]), range(scales)):
        x, y = (float(u) for u in locations[b, n])
        row, col, f = (y * H + H - 1) / 2, (x * W + W - 1) / 2, 2**s

        # a sample at every pixel's distance, size * f each way, averaged over squares of f * f
        for k, m in product(range(size * f), repeat=2):
            middle = (size * f - 1) / 2
            for i, j, weight in _corners(row + k - middle, col + m - middle, H, W):
                yield (b, n, s, slice(None), k // f, m // f), (b, slice(None), i, j), weight / f**2


def glimpse(images, locations, size, scales=1):
    B, C, *_ = images.shape
    patches = np.zeros((B, locations.shape[1], scales, C, size, size))
    for at, pixel, weight in _terms(images.shape, locations, size, scales):
        patches[at] += weight * images[pixel]
    return patches


def glimpse_backward(dpatches, locations, shape):
    dimages = np.zeros(shape)
    for at, pixel, weight in _terms(shape, locations, dpatches.shape[-1], dpatches.shape[2]):
        dimages[pixel] += weight * dpatches[at]
    return dimages
