"""Structural similarity of images, over square windows that weigh alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# (0.01 L)**2 and (0.03 L)**2 of the authors, for pixels from 0 to L = 1
_C1, _C2 = 1e-4, 9e-4


def ssim(x: NDArray, y: NDArray, size: int = 7) -> tuple[NDArray, tuple]:
    """Structural similarity of each window [1]_.

    Parameters
    ----------
    x, y : ndarray, shape (..., H, W)
        Pixels from 0 to 1.
    size : int, default 7
        Height and width of a window, at most those of the images.

    Returns
    -------
    similarity : ndarray, shape (..., H - size + 1, W - size + 1)
        1 where both windows are the same.
    saved : tuple
        What `ssim_backward` needs.

    References
    ----------
    .. [1] Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image Quality Assessment: From
       Error Visibility to Structural Similarity", IEEE Transactions on Image Processing 13, 2004.

    Examples
    --------
    >>> x = np.arange(81.0).reshape(9, 9) / 81
    >>> similarity, saved = ssim(x, x[::-1])
    >>> similarity.shape, bool(ssim(x, x)[0].min() == 1), bool(similarity[1, 1] < 0)
    ((3, 3), True, True)
    """
    mean_x, mean_y = window_means(x, size), window_means(y, size)
    spread = window_means(x * x + y * y, size) - mean_x**2 - mean_y**2
    shared = window_means(x * y, size) - mean_x * mean_y
    means, level = 2 * mean_x * mean_y + _C1, mean_x**2 + mean_y**2 + _C1
    pattern, contrast = 2 * shared + _C2, spread + _C2
    similarity = (means * pattern) / (level * contrast)
    return similarity, (x, y, mean_x, mean_y, means, level, pattern, contrast, similarity, size)


def ssim_backward(dsimilarity: NDArray, saved: tuple) -> NDArray:
    """Gradient of `ssim` with respect to `x`.

    Parameters
    ----------
    dsimilarity : ndarray, shape (..., H - size + 1, W - size + 1)
    saved : tuple
        What `ssim` returned.

    Returns
    -------
    ndarray, shape (..., H, W)
    """
    x, y, mean_x, mean_y, means, level, pattern, contrast, similarity, size = saved
    # forward: similarity = means * pattern / (level * contrast)
    dmeans, dpattern = (dsimilarity * part / (level * contrast) for part in (pattern, means))
    dlevel, dcontrast = (-dsimilarity * similarity / part for part in (level, contrast))
    # forward: pattern and contrast less the products of the means
    dmean = (2 * mean_y * (dmeans - dpattern) + 2 * mean_x * (dlevel - dcontrast))
    return (_spread(dmean, size, x.shape) + 2 * y * _spread(dpattern, size, x.shape)
            + 2 * x * _spread(dcontrast, size, x.shape))


def window_means(x: NDArray, size: int) -> NDArray:
    """Return the mean of each window of `size` by `size` pixels inside images (..., H, W).

    Summed pixel by pixel: running totals would lose digits of float32.
    """
    height, width = (n - size + 1 for n in x.shape[-2:])
    rows = x[..., :height, :].copy()
    for i in range(1, size):
        rows += x[..., i:i + height, :]
    sums = rows[..., :width].copy()
    for i in range(1, size):
        sums += rows[..., i:i + width]
    sums *= x.dtype.type(1 / size**2)
    return sums


def blur(x: NDArray, size: int) -> NDArray:
    """Return each pixel's mean over the window round it; beyond images (..., H, W) all is 0.

    With an odd `size` it is its own adjoint: the gradient is blurred in the same way.
    """
    if size == 1:
        return x
    edge = size // 2
    return window_means(np.pad(x, [(0, 0)] * (x.ndim - 2) + [(edge, edge)] * 2), size)


def _spread(dmeans: NDArray, size: int, shape: tuple[int, ...]) -> NDArray:
    """Return the gradient of `window_means` of images of this shape."""
    height, width = dmeans.shape[-2:]
    drows = np.zeros((*shape[:-2], height, shape[-1]), dmeans.dtype)
    for i in range(size):
        drows[..., i:i + width] += dmeans
    dx = np.zeros(shape, dmeans.dtype)
    for i in range(size):
        dx[..., i:i + height, :] += drows
    dx *= dmeans.dtype.type(1 / size**2)
    return dx
