"""The heart's own frame, from its labels alone: pure geometry, no optimisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.morphology import check_labels
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.records import SubjectError
from popscan.register.frames import Frame
from popscan.register.itk import Spacing


def base_is_first(labels: NDArray[np.uint8]) -> bool:
    """Return whether the base of the heart lies at the low end of axis 2.

    The RV reaches further towards the base than towards the apex, and so does the larger half of
    the LV: compared are the mean slice of the RV and of the LV cavity, each against the middle of
    the slices that hold any structure. Ties count as base first, the convention of `Scan`.

    Parameters
    ----------
    labels : ndarray of uint8, shape (x, y, z) or (x, y, z, t)
    """
    extra = tuple(axis for axis in range(labels.ndim) if axis != 2)
    profile = {
        label: np.count_nonzero(labels == label, axis=extra).astype(float) for label in STRUCTURES
    }
    held = np.nonzero(np.sum(list(profile.values()), axis=0))[0]
    if held.size == 0:
        return True
    middle = (held[0] + held[-1]) / 2.0
    slices = np.arange(labels.shape[2])
    votes = [
        float((slices * area).sum() / area.sum() - middle)
        for label, area in profile.items()
        if label != Label.MYO and area.sum() > 0
    ]
    return sum(votes) <= 0


def heart_frame(labels: NDArray[np.uint8], *, spacing_mm: Spacing) -> Frame:
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
    Frame
        In mm from the centre of voxel 0. Its centre is the LV cavity's; its axes point from the RV
        to the LV, at right angles to both others (towards increasing array axis 1 where the first
        points along axis 0: posterior), and from base to apex along the LV's long axis; its length
        is that of LV cavity and myocardium along it, half a slice included at each end.

    Raises
    ------
    SubjectError
        ``missing_structure`` if RV, MYO or LV has no voxel; ``undefined_heart_frame`` if the RV
        has no direction from the LV.
    """
    labels = check_labels(np.asarray(labels)[..., np.newaxis], largest=max(Label))[..., 0]
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
    return Frame(
        centre_mm=centre,
        axes=np.column_stack([from_rv, across, long_axis]),
        length_mm=float(np.ptp(along) + abs(long_axis[2]) * spacing[2]),
    )


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
