"""The heart as a whole moves within its slices: that much is taken out before registration.

Labels say where the left ventricle is in every frame. A registration that starts there has the
deformation left to find; one that has to find the shift, too, calls what is left of it strain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from popscan.motion import Track
from popscan.protocols.cine_sax.labels import Label

Shifts = NDArray[np.int64]


def heart_shifts(labels: NDArray[np.uint8], slices: Sequence[int]) -> Shifts:
    """Return by how many voxels the left ventricle lies off its place in the first frame.

    Parameters
    ----------
    labels : ndarray of uint8, shape (x, y, z, t)
        `Label` values.
    slices
        Those that are tracked.

    Returns
    -------
    ndarray of int, shape (t, slices, 2)
        Whole voxels along x and y, of the middle of wall and cavity; the median of the other
        slices where one has neither in a frame.
    """
    left = (labels[:, :, list(slices)] == Label.LV) | (labels[:, :, list(slices)] == Label.MYO)
    counts = left.sum(axis=(0, 1)).astype(np.float64)
    middles = np.full((2, *counts.shape), np.nan)
    for axis, others in ((0, 1), (1, 0)):
        profile = left.sum(axis=others)
        total = np.einsum("i,izt->zt", np.arange(len(profile)), profile)
        np.divide(total, counts, out=middles[axis], where=counts > 0)
    moved = np.moveaxis(middles - middles[:, :, :1], (0, 1, 2), (2, 1, 0))
    usual = np.nanmedian(moved, axis=1, keepdims=True)
    return np.rint(np.where(np.isfinite(moved), moved, usual)).astype(np.int64)


def held_in_place(images: NDArray[np.float32], shifts: Shifts) -> NDArray[np.float32]:
    """Move every slice of images (x, y, z, t) back by its shift; the border is continued."""
    out = np.empty_like(images)
    rows, columns = (np.arange(n) for n in images.shape[:2])
    for t, z in np.ndindex(*shifts.shape[:2]):
        i = np.clip(rows + shifts[t, z, 0], 0, len(rows) - 1)
        j = np.clip(columns + shifts[t, z, 1], 0, len(columns) - 1)
        out[:, :, z, t] = images[np.ix_(i, j, [z], [t])][:, :, 0, 0]
    return out


def shifted_mm(shifts: Shifts, spacing_mm: Sequence[float]) -> NDArray[np.float32]:
    """Return shifts as displacements in mm, shape (t, slices, 1, 1, 2)."""
    by_mm = (shifts * np.asarray(spacing_mm))[:, :, np.newaxis, np.newaxis]
    return by_mm.astype(np.float32)


def put_back(track: Track, shifts: Shifts) -> Track:
    """Add the shifts to displacements of images that were held in place."""
    moved = shifted_mm(shifts, track.spacing_mm)
    return replace(track, direct_mm=track.direct_mm + moved, chained_mm=track.chained_mm + moved)
