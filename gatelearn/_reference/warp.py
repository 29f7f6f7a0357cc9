"""Images sampled where a flow says."""

import math
from itertools import product

import numpy as np


def _axis(at, n):
    """Both pixels of a bilinear sample with their weights, and how these change with `at`."""
    held = min(max(at, 0), n - 1)
    low, slope = math.floor(held), float(0 <= at < n - 1)
    return [(low, 1 - (held - low), -slope), (min(low + 1, n - 1), held - low, slope)]


def _terms(flow):
    """Every (output, image pixel, weight, slope along x, slope along y)."""
    B, _, H, W = flow.shape
    for b, h, w in product(range(B), range(H), range(W)):
        x, y = w + flow[b, 0, h, w], h + flow[b, 1, h, w]
        for (i, wy, sy), (j, wx, sx) in product(_axis(y, H), _axis(x, W)):
            yield (b, slice(None), h, w), (b, slice(None), i, j), wy * wx, wy * sx, sy * wx


def warp(image, flow):
    y = np.zeros(image.shape)
    for out, pixel, weight, _, _ in _terms(flow):
        y[out] += weight * image[pixel]
    return y


def warp_backward(dy, image, flow):
    dimage, dflow = np.zeros(image.shape), np.zeros(flow.shape)
    for out, pixel, weight, *slopes in _terms(flow):
        dimage[pixel] += weight * dy[out]
        dflow[out] += np.array(slopes) * np.dot(dy[out], image[pixel])
    return dimage, dflow
