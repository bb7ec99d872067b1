"""Crops of brains in their own pose, size kept: on them reference cases judge a segmentation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.brain_t1.frame import brain_axes
from popscan.register.crops import CropGrid
from popscan.register.frames import Frame
from popscan.register.itk import Spacing

#: Box around the brain, right to left, back to front, bottom to top.
_EXTENT_MM = (160.0, 196.0, 156.0)


def covering_brain(*, inplane_mm: float = 3.0, along_mm: float = 3.0) -> CropGrid:
    """Return a grid of 160 x 196 x 156 mm around the brain.

    Parameters
    ----------
    inplane_mm, along_mm
        Voxel size within axial slices, and across them.
    """
    spacing = (inplane_mm, inplane_mm, along_mm)
    nx, ny, nz = (
        max(round(e / s), 1) for e, s in zip(_EXTENT_MM, spacing, strict=True)
    )  # fmt: skip
    return CropGrid(shape=(nx, ny, nz), spacing_mm=spacing, centre_mm=(0.0, 0.0, 0.0))


def brain_pose(labels: NDArray[np.uint8], *, spacing_mm: Spacing) -> Frame:
    """Return where the brain is and how it is turned, from its labels.

    Raises
    ------
    SubjectError
        As `popscan.protocols.brain_t1.frame.brain_axes`.
    """
    dx, dy, dz = spacing_mm
    axes, centre, size = brain_axes(labels, spacing_mm=(dx, dy, dz))
    return Frame(centre_mm=centre, axes=axes, length_mm=float(size[1]))


def fallback_pose(labels: NDArray[np.uint8], *, spacing_mm: Spacing, like: Frame) -> Frame:
    """Return a pose where labels are too poor for one: their centre, another brain's axes."""
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    points = np.argwhere(labels > 0)
    middle = points.mean(axis=0) if len(points) else (np.asarray(labels.shape) - 1) / 2
    return Frame(centre_mm=middle * spacing, axes=like.axes, length_mm=float("nan"))
