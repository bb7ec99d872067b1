"""Quality of an image without a reference: noise and sharpness."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: Kernel whose response to any smooth image is that to its fourth derivative (Immerkaer 1996).
_KERNEL = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])
#: Standard deviation of the response to unit white noise, and of a normal over its MAD.
_GAIN, _MAD = 6.0, 1.4826
#: Widest Gaussian in pixels: its time grows with its width, and no body has pixels that small.
_WIDEST_PX = 32.0


def width_px(width_mm: float, spacing_mm: float) -> float:
    """Return the width of a Gaussian in pixels, 32 at most.

    Examples
    --------
    >>> width_px(1.5, 0.75), width_px(1.5, 1e-6)
    (2.0, 32.0)
    """
    return min(width_mm / spacing_mm, _WIDEST_PX)


def noise_level(image: NDArray[np.floating]) -> float:
    """Noise over the range of an image, by the median response to a Laplacian of Laplacians.

    Parameters
    ----------
    image : ndarray, shape (x, y)
        NaN for an image without range.

    References
    ----------
    Immerkaer, Fast noise variance estimation, Computer Vision and Image Understanding 1996.
    """
    low, high = np.percentile(image, (1, 99))
    if min(image.shape) < 8 or not high > low:
        return math.nan
    response = ndimage.convolve(image.astype(float), _KERNEL)[1:-1, 1:-1]
    return float(_MAD * np.median(np.abs(response)) / _GAIN / (high - low))


def sharpness(image: NDArray[np.floating], *, spacing_mm: tuple[float, float]) -> float:
    """Steepest edges of an image, in shares of its range per mm: 99th percentile of the gradient.

    Noise is damped by a Gaussian of 1.5 mm before.

    Parameters
    ----------
    image : ndarray, shape (x, y)
        NaN for an image without range.
    spacing_mm
        Along both axes.
    """
    low, high = np.percentile(image, (1, 99))
    if min(image.shape) < 8 or not high > low:
        return math.nan
    smooth = ndimage.gaussian_filter(image.astype(float), [width_px(1.5, s) for s in spacing_mm])
    gradient = np.hypot(*np.gradient(smooth, *spacing_mm))
    return float(np.percentile(gradient, 99) / (high - low))
