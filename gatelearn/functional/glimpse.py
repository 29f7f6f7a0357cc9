"""Patches of images around real-valued places: the glimpse sensor."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_real, as_reals, check_shape

LARGEST_SCALES = 16


def glimpse(images: ArrayLike, locations: ArrayLike, size: int, scales: int = 1) -> NDArray:
    """Look at images around real-valued places, finely there and coarsely further out [1]_.

    Patch s covers ``size * 2**s`` pixels each way, centred on the location. It is sampled
    bilinearly, one sample a pixel, and averaged over squares of ``2**s`` samples.

    Parameters
    ----------
    images : array_like, shape (B, C, H, W)
        float32 and float64 are kept; integers become float64.
    locations : array_like, shape (B, 2) or (B, N, 2)
        One glimpse an image, or N: x (to the right) and y (down), -1 and 1 being the outer edges of
        the image, as in PyTorch's ``grid_sample`` with ``align_corners=False``. Beyond the edges
        pixels are 0, and a patch that misses the image is all 0.
    size : int
        P, of a patch, at least 1.
    scales : int, default 1
        S, how many patches a glimpse has, 1 to 16.

    Returns
    -------
    ndarray, shape (B, S, C, P, P) or (B, N, S, C, P, P)

    Raises
    ------
    FloatingPointError
        If a location is NaN, infinite or so large that it overflows when counted in pixels; the
        message says which, counted over B and N.
    ValueError
        If shapes do not match, or `size` or `scales` is out of range.

    Notes
    -----
    Only pixels under a patch are looked at: NaN elsewhere does not matter. There is no gradient
    with respect to locations; choosing them is what REINFORCE trains, see `gatelearn.rl.Gaussian`.

    References
    ----------
    .. [1] V. Mnih, N. Heess, A. Graves and K. Kavukcuoglu, "Recurrent Models of Visual Attention",
       NIPS 2014.

    Examples
    --------
    >>> image = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> glimpse(image, [[0.0, 0.0]], size=2, scales=2)[0, :, 0]
    array([[[ 5. ,  6. ],
            [ 9. , 10. ]],
    <BLANKLINE>
           [[ 2.5,  4.5],
            [10.5, 12.5]]])
    """
    images = as_real(images, "images", ndim=4)
    images, locations = as_reals((images, "images"), (locations, "locations"))
    where = _per_image(locations, len(images))
    if size < 1:
        raise ValueError(f"size is {size}, expected at least 1")
    if not 1 <= scales <= LARGEST_SCALES:
        raise ValueError(f"scales is {scales}, expected 1 to {LARGEST_SCALES}")
    B, N, C = *where.shape[:2], images.shape[1]
    patches = np.empty((B, N, scales, C * size, size), images.dtype)
    _core.glimpse_forward(patches, images, where)
    return patches.reshape(*locations.shape[:-1], scales, C, size, size)


def glimpse_backward(dpatches: ArrayLike, locations: ArrayLike,
                     shape: tuple[int, int, int, int]) -> NDArray:
    """Gradient of `glimpse` with respect to the images.

    Parameters
    ----------
    dpatches : array_like, shape (B, S, C, P, P) or (B, N, S, C, P, P)
        Gradient with respect to the patches.
    locations : array_like, shape (B, 2) or (B, N, 2)
        As in the forward pass.
    shape : tuple of int
        (B, C, H, W), that of the images.

    Returns
    -------
    ndarray, shape (B, C, H, W)
        Summed over the patches of an image in their order, so that results are the same bits on
        any number of threads.

    Raises
    ------
    FloatingPointError
        If a location is not finite, as in `glimpse`.
    ValueError
        If shapes do not match.

    Examples
    --------
    >>> dpatches = np.array([1.0, 2.0, 4.0, 8.0]).reshape(1, 1, 1, 2, 2)
    >>> glimpse_backward(dpatches, [[1.0, 1.0]], (1, 1, 3, 3))[0, 0]
    array([[0., 0., 0.],
           [0., 0., 0.],
           [0., 0., 1.]])
    """
    dpatches, locations = as_reals((dpatches, "dpatches"), (locations, "locations"))
    if len(shape) != 4:
        raise ValueError(f"shape is {shape}, expected (B, C, H, W)")
    where = _per_image(locations, shape[0])
    if dpatches.ndim != locations.ndim + 3:
        raise ValueError(f"dpatches has {dpatches.ndim} dimensions, expected {locations.ndim + 3}")
    S, C, P = dpatches.shape[-4], shape[1], dpatches.shape[-1]
    check_shape(dpatches, "dpatches", (*locations.shape[:-1], S, C, P, P))
    dimages = np.zeros(shape, dpatches.dtype)
    _core.glimpse_backward(dimages, dpatches.reshape(*where.shape[:2], S, C * P, P), where)
    return dimages


def _per_image(locations: NDArray, B: int) -> NDArray:
    """Return the locations of B images as an array of shape (B, N, 2)."""
    if locations.ndim not in (2, 3) or (locations.shape[0], locations.shape[-1]) != (B, 2):
        raise ValueError(f"locations has shape {locations.shape}, expected ({B}, 2) or ({B}, N, 2)")
    return locations if locations.ndim == 3 else locations[:, None]
