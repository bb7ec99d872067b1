"""Heart-centred crops: where they lie, and where the heart is when its labels are too poor."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.protocols.cine_sax.frame import heart_frame
from popscan.protocols.cine_sax.labels import Label
from popscan.register.crops import Crop, CropGrid, crop
from popscan.register.frames import Frame
from popscan.register.itk import Spacing

#: Centre of the grid from the centre of the LV cavity: between the ventricles.
_CENTRE_MM = (-18.0, 0.0, 0.0)


def covering_heart(*, inplane_mm: float = 4.0, along_mm: float = 8.0) -> CropGrid:
    """Return a grid of 144 x 144 x 128 mm: the heart, and a margin of two centimetres.

    Parameters
    ----------
    inplane_mm, along_mm
        Voxel size across and along the long axis.
    """
    across, along = max(round(144 / inplane_mm), 1), max(round(128 / along_mm), 1)
    return CropGrid(
        shape=(across, across, along),
        spacing_mm=(inplane_mm, inplane_mm, along_mm),
        centre_mm=_CENTRE_MM,
    )


def heart_crop(
    image: ArrayLike,
    labels: NDArray[np.uint8],
    *,
    spacing_mm: Spacing,
    grid: CropGrid | None = None,
    frame: Frame | None = None,
) -> Crop:
    """Resample one frame into the heart's frame, as `popscan.register.crops.crop`.

    Parameters
    ----------
    grid
        By default `covering_heart`.
    frame
        Where the heart is; by default `heart_frame` of the labels.

    Raises
    ------
    SubjectError
        ``shape_mismatch``, ``non_finite_image``, and as `heart_frame`.
    """
    return crop(
        image,
        labels,
        spacing_mm=spacing_mm,
        grid=grid or covering_heart(),
        frame=frame or heart_frame(labels, spacing_mm=spacing_mm),
        codes=[int(label) for label in Label],
    )


def fallback_frame(labels: NDArray[np.uint8], *, spacing_mm: Spacing, like: Frame) -> Frame:
    """Return the heart's frame where labels are too poor for one: some centre, another's pose.

    Parameters
    ----------
    labels : ndarray of uint8, shape (x, y, z)
        `Label` values; the centre is that of the LV cavity, else of whatever is labelled, else of
        the array.
    spacing_mm
        Voxel distances.
    like
        The heart whose axes are taken.
    """
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    for mask in (labels == Label.LV, labels > 0):
        if mask.any():
            centre = np.argwhere(mask).mean(axis=0) * spacing
            break
    else:
        centre = (np.asarray(labels.shape) - 1) / 2 * spacing
    return Frame(centre_mm=centre, axes=like.axes, length_mm=float("nan"))
