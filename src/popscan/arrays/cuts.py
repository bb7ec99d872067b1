"""Volumes in RAS orientation and the three planes in which they are cut into slices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

#: Plane -> axes of the volume along a slice's two sides, and the one that the slices follow.
PLANES: Mapping[str, tuple[int, int, int]] = {
    "axial": (0, 1, 2),
    "coronal": (0, 2, 1),
    "sagittal": (1, 2, 0),
}


def axis_codes(affine: NDArray[np.float64]) -> str:
    """Return which directions of the patient the axes are nearest to: ``RAS``, ``LPS``, ``PSR``.

    Examples
    --------
    >>> axis_codes(np.diag([-1.0, -1.0, 2.0, 1.0]))
    'LPS'
    """
    return "".join(str(code) for code in nib.orientations.aff2axcodes(affine))


def to_ras(
    array: NDArray[Any], affine: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return a volume (x, y, z, ...) with its axes towards right, front and top, and its affine.

    Axes are exchanged and turned round, nothing is resampled: an oblique volume stays oblique.
    """
    turn = nib.orientations.io_orientation(affine)
    turned = nib.orientations.apply_orientation(array, turn)
    moved = affine @ nib.orientations.inv_ornt_aff(turn, array.shape[:3])
    return np.ascontiguousarray(turned), moved
