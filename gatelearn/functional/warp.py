"""Images sampled where a flow says."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelearn import _core
from gatelearn._convert import as_reals, check_shape


def warp(image: ArrayLike, flow: ArrayLike) -> NDArray:
    """Sample each pixel of an image bilinearly at a place that a flow gives [1]_.

    Parameters
    ----------
    image : array_like, shape (B, C, H, W)
        float32 and float64 are kept; integers become float64.
    flow : array_like, shape (B, 2, H, W)
        How many pixels to the right, and how many down, the place lies. Beyond an edge of the image
        its pixels go on.

    Returns
    -------
    ndarray, shape (B, C, H, W)

    Raises
    ------
    FloatingPointError
        If `flow` holds NaN or infinity; the message says in which image.
    ValueError
        If shapes do not match, or an image has no pixels.

    References
    ----------
    .. [1] M. Jaderberg, K. Simonyan, A. Zisserman and K. Kavukcuoglu, "Spatial Transformer
       Networks", NIPS 2015.

    Examples
    --------
    >>> flow = np.zeros((1, 2, 1, 4))
    >>> flow[0, 0] = 0.5                                     # half a pixel from the right
    >>> warp([[[[0.0, 1.0, 2.0, 4.0]]]], flow)
    array([[[[0.5, 1.5, 3. , 4. ]]]])
    """
    image, flow = _checked(image, flow)
    y = np.empty_like(image)
    _core.warp_forward(y, image, flow)
    return y


def warp_backward(dy: ArrayLike, image: ArrayLike, flow: ArrayLike) -> tuple[NDArray, NDArray]:
    """Gradients of `warp`.

    Parameters
    ----------
    dy : array_like, shape (B, C, H, W)
    image : array_like, shape (B, C, H, W)
    flow : array_like, shape (B, 2, H, W)
        As in the forward pass.

    Returns
    -------
    dimage : ndarray, shape (B, C, H, W)
        Summed in the order of the pixels of `dy`: the same bits on any number of threads.
    dflow : ndarray, shape (B, 2, H, W)
        0 along an axis on which the place is beyond an edge. On a pixel the samples have a kink:
        there the slope to the next pixel counts.

    Raises
    ------
    FloatingPointError, ValueError
        As in `warp`.

    Examples
    --------
    >>> dimage, dflow = warp_backward(np.ones((1, 1, 1, 2)), [[[[1.0, 3.0]]]],
    ...                               np.full((1, 2, 1, 2), 0.25))
    >>> dimage, dflow[0, 0]
    (array([[[[0.75, 1.25]]]]), array([[2., 0.]]))
    """
    image, flow = _checked(image, flow)
    dy, image, flow = as_reals((dy, "dy"), (image, "image"), (flow, "flow"), ndim=4)
    check_shape(dy, "dy", image.shape)
    dimage, dflow = np.empty_like(image), np.empty_like(flow)
    _core.warp_backward(dimage, dflow, dy, image, flow)
    return dimage, dflow


def _checked(image: ArrayLike, flow: ArrayLike) -> list[NDArray]:
    image, flow = as_reals((image, "image"), (flow, "flow"), ndim=4)
    check_shape(flow, "flow", (image.shape[0], 2, *image.shape[2:]))
    if 0 in image.shape[2:]:
        raise ValueError(f"image has shape {image.shape}, expected at least one pixel")
    return [image, flow]
