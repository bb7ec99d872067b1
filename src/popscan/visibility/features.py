"""What a classifier of attributes is shown: label map, organ crop, whole image, all coarse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.register.crops import Crop, CropGrid, block_means

#: Voxels of the crop across and along the organ's axis, and their blocks that make a feature.
INPLANE_MM, ALONG_MM = 4.0, 8.0
BLOCK = (2, 2, 2)
#: Voxels around the organ that still belong to its crop: 8 mm in-plane.
_MARGIN = np.ones((5, 5, 1), dtype=bool)
#: The whole image: side in mm, pixels and slices that it is brought to.
FIELD_MM, PIXELS, SLICES = 320.0, 32, 6


def feature_shape(grid: CropGrid) -> tuple[int, int, int]:
    """Return the shape of a feature map on a grid around the organ, (x, y, z)."""
    x, y, z = (n // b for n, b in zip(grid.shape, BLOCK, strict=True))
    return x, y, z


def label_features(crop: Crop, codes: Sequence[int]) -> NDArray[np.float32]:
    """Return the share of each structure in every block, flat: a map of `feature_shape` each.

    Parameters
    ----------
    crop
        The organ in its own pose.
    codes
        Codes of the structures, in the order of the maps.
    """
    return np.concatenate([block_means(crop.labels == code, BLOCK).ravel() for code in codes])


def organ_features(crop: Crop) -> NDArray[np.float32]:
    """Return mean intensities of the organ and 8 mm around it in every block, flat."""
    near = ndimage.binary_dilation(crop.labels > 0, structure=_MARGIN)
    return block_means(np.where(near, crop.image, 0.0), BLOCK).ravel()


def image_features(
    image: NDArray[Any], *, spacing_mm: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Return the whole image on a coarse grid about its centre, flat.

    Parameters
    ----------
    image : ndarray, shape (x, y, z)
        One frame, finite; scaled by its own 1st and 99th percentile.
    spacing_mm
        Voxel distances.

    Returns
    -------
    ndarray of float32, shape (PIXELS * PIXELS * SLICES,)
        Slices are spread from the first to the last; 0 where the image ends.
    """
    values = np.asarray(image, dtype=np.float32)
    low, high = np.percentile(values, (1, 99))
    scaled = np.clip((values - low) / (high - low), -0.5, 2.0) if high > low else values * 0.0
    pixel = FIELD_MM / PIXELS
    sigma = [0.4 * pixel / s for s in spacing_mm[:2]]
    smooth = ndimage.gaussian_filter(scaled, (*sigma, 0.0), mode="nearest")
    offsets = (np.arange(PIXELS) - (PIXELS - 1) / 2) * pixel
    x, y = (
        (n - 1) / 2 + offsets / s for n, s in zip(values.shape[:2], spacing_mm[:2], strict=True)
    )
    z = np.linspace(0, values.shape[2] - 1, SLICES)
    where = np.stack(np.meshgrid(x, y, z, indexing="ij"))
    return ndimage.map_coordinates(smooth, where, order=1, mode="constant").ravel()
