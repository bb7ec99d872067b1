"""The heart's own frame, from its labels alone: pure geometry, no optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.morphology import base_is_first, check_labels
from popscan.records import STRUCTURES, Label, SubjectError
from popscan.register.itk import Spacing


@dataclass(frozen=True, kw_only=True)
class HeartFrame:
    """A right- or left-handed orthonormal frame in the heart, in mm of the label array.

    Attributes
    ----------
    centre_mm : ndarray, shape (3,)
        Centre of mass of the LV cavity.
    axes : ndarray, shape (3, 3)
        Columns: from the RV to the LV, at right angles to both others (towards increasing array
        axis 1 where the first points along axis 0: posterior), and from base to apex along the
        LV's long axis.
    length_mm
        Extent of LV cavity and myocardium along the long axis, half a slice included at each end.
    """

    centre_mm: NDArray[np.float64]
    axes: NDArray[np.float64]
    length_mm: float

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Frame coordinates in mm -> array coordinates in mm, shape (4, 4)."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.axes
        matrix[:3, 3] = self.centre_mm
        return matrix


def check_frame(image: NDArray[np.float32], labels: NDArray[Any]) -> None:
    """Check that image and labels are one frame (x, y, z) on one grid, and the image finite.

    Raises
    ------
    SubjectError
        ``shape_mismatch`` or ``non_finite_image``.
    """
    if image.ndim != 3 or image.shape != labels.shape:
        raise SubjectError(
            "shape_mismatch",
            f"image of shape {image.shape} and labels of shape {labels.shape}: expected one "
            "frame, (x, y, z), on one grid",
        )
    if not np.isfinite(image).all():
        raise SubjectError("non_finite_image", "the image holds NaN or infinite values")


def heart_frame(labels: NDArray[np.uint8], *, spacing_mm: Spacing) -> HeartFrame:
    """Find the LV's centre and long axis, and the direction of the RV.

    Parameters
    ----------
    labels : ndarray of uint8, shape (x, y, z)
        One frame of a short-axis stack, `Label` values. Which end of axis 2 is the base is read
        from the labels; axes 0 and 1 point to the patient's left and to posterior, as in `Scan`,
        so that hearts are never mirrored into each other.
    spacing_mm
        Voxel distances.

    Returns
    -------
    HeartFrame
        In mm from the centre of voxel 0.

    Raises
    ------
    SubjectError
        ``missing_structure`` if RV, MYO or LV has no voxel; ``undefined_heart_frame`` if the RV
        has no direction from the LV.
    """
    labels = check_labels(np.asarray(labels)[..., np.newaxis])[..., 0]
    absent = [name for label, name in STRUCTURES.items() if not (labels == label).any()]
    if absent:
        raise SubjectError(
            "missing_structure",
            f"the labels have no {' and no '.join(absent)}: expected RV, MYO and LV",
        )
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    centre = _centre_mm(labels == Label.LV, spacing)
    long_axis = _long_axis(labels == Label.LV, spacing)
    if not base_is_first(labels):
        long_axis = -long_axis
    from_rv = centre - _centre_mm(labels == Label.RV, spacing)
    from_rv = from_rv - long_axis * (long_axis @ from_rv)
    if np.linalg.norm(from_rv) < 1.0:
        raise SubjectError(
            "undefined_heart_frame",
            "the centres of RV and LV lie less than 1 mm apart across the long axis",
        )
    from_rv = from_rv / np.linalg.norm(from_rv)
    across = np.cross(long_axis, from_rv)
    if np.linalg.det(np.column_stack([from_rv, across])[:2]) < 0:
        across = -across
    wall = np.argwhere((labels == Label.LV) | (labels == Label.MYO)) * spacing
    along = wall @ long_axis
    return HeartFrame(
        centre_mm=centre,
        axes=np.column_stack([from_rv, across, long_axis]),
        length_mm=float(np.ptp(along) + abs(long_axis[2]) * spacing[2]),
    )


def heart_to_heart(fixed: HeartFrame, moving: HeartFrame) -> NDArray[np.float64]:
    """Return the rigid transform, mm of `fixed` -> mm of `moving`, that aligns two hearts.

    Shape (4, 4). It mirrors only if one of the arrays is a mirror image of the other.
    """
    return moving.matrix @ np.linalg.inv(fixed.matrix)


def _centre_mm(mask: NDArray[np.bool_], spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.argwhere(mask).mean(axis=0) * spacing


def _long_axis(cavity: NDArray[np.bool_], spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Direction of increasing axis 2 along the line of the cavity's slice centres."""
    areas = cavity.sum(axis=(0, 1))
    held = np.flatnonzero(areas)
    if held.size < 3:
        # Two points make a line of any tilt; the stack's own normal is safer.
        return np.array([0.0, 0.0, 1.0])
    points = np.array([_centre_mm(cavity[:, :, [z]], spacing) for z in held])
    points[:, 2] = held * spacing[2]
    weights = areas[held] / areas[held].sum()
    offsets = points - weights @ points
    slope = (weights * offsets[:, 2]) @ offsets / ((weights * offsets[:, 2]) @ offsets[:, 2])
    return slope / np.linalg.norm(slope)
