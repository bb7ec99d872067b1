"""Where the slices lie: the grid of a scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_sax.simulate.subject import Anatomy
from popscan.records import PopscanError


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Voxels of a stack and the finer points at which it is sampled.

    Attributes
    ----------
    affine : ndarray, shape (4, 4)
        Voxel index to RAS millimetres.
    shape
        Voxels along x, y, z.
    thickness_share
        Slice thickness over slice distance.
    fine
        Points per voxel along x and y (the same), and through the slice.
    shifts_mm : ndarray, shape (z, 3)
        Displacement of the patient in each slice's breath-hold (RAS).
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    thickness_share: float
    fine: tuple[int, int]
    shifts_mm: NDArray[np.float64]

    def points_mm(self) -> NDArray[np.float32]:
        """Return patient coordinates of all fine points: shape (3, z, through, x, y)."""
        per, through = self.fine
        nx, ny, nz = self.shape
        x = (np.arange(nx * per) + 0.5) / per - 0.5
        y = (np.arange(ny * per) + 0.5) / per - 0.5
        inner = ((np.arange(through) + 0.5) / through - 0.5) * self.thickness_share
        z = np.arange(nz)[:, None] + inner
        a = self.affine
        out = np.empty((3, nz, through, x.size, y.size), np.float32)
        for axis in range(3):
            stack = a[axis, 2] * z + a[axis, 3] - self.shifts_mm[:, axis, None]
            plane = a[axis, 0] * x[:, None] + a[axis, 1] * y
            out[axis] = stack[:, :, None, None] + plane
        return out

    def centres_mm(self) -> NDArray[np.float32]:
        """Return patient coordinates of the voxel centres: shape (z, x, y, 3)."""
        nx, ny, nz = self.shape
        z, x, y = np.meshgrid(np.arange(nz), np.arange(nx), np.arange(ny), indexing="ij")
        index = np.stack([x, y, z], axis=-1).astype(np.float32)
        return index @ self.affine[:3, :3].T.astype(np.float32) + self.affine[:3, 3].astype("f4")


def plan_stack(
    anatomy: Anatomy,
    *,
    matrix: tuple[int, int],
    spacing_mm: tuple[float, float],
    slices: int | None,
    slices_above: int,
    slice_distance_mm: float,
    slice_thickness_mm: float,
    breath_hold_sd_mm: float,
    tilt_sd_deg: float,
    fine: tuple[int, int],
    beside: bool,
    rng: np.random.Generator,
) -> Grid:
    """Place a stack nearly along the heart's short axis, from above the base past the apex.

    Parameters
    ----------
    anatomy
        Whose heart.
    matrix, spacing_mm, slices, slices_above, slice_distance_mm, slice_thickness_mm
        Voxels, as in `popscan.protocols.cine_sax.simulate.scan.simulate_subject`.
    breath_hold_sd_mm, tilt_sd_deg, fine
        As there.
    beside
        Whether the field of view misses half the heart (fault ``truncated``).
    rng
        Source of the operator's imprecision.

    Raises
    ------
    PopscanError
        If there are no voxels to speak of.
    """
    if min(matrix) < 16 or min(*spacing_mm, slice_distance_mm, slice_thickness_mm) <= 0:
        raise PopscanError("a simulated scan needs at least 16 x 16 voxels of positive size")
    tilt = np.deg2rad(rng.normal(0, tilt_sd_deg, 2))
    w = anatomy.axes @ np.array([np.tan(tilt[0]), np.tan(tilt[1]), 1.0])
    axes = _nearest_frame(anatomy.axes, w)
    heart = anatomy.heart
    top = -slice_distance_mm * (0.5 + rng.random() + slices_above)
    bottom = heart.length_mm + heart.apex_wall_mm
    count = slices or int(np.ceil((bottom - top) / slice_distance_mm)) + 1
    # The heart seldom lies in the very middle of the field of view; the right ventricle and the
    # chest wall in front of it want room.
    off = rng.normal(0, 7, 2) + (-12.0, 0.0)
    if beside:
        off = off + (0.5 * matrix[0] * spacing_mm[0], 0.0)
    corner = [off[k] - spacing_mm[k] * (matrix[k] - 1) / 2 for k in range(2)]
    affine = np.eye(4)
    affine[:3, :3] = axes * (*spacing_mm, slice_distance_mm)
    affine[:3, 3] = anatomy.base_mm + axes @ (*corner, top)
    return Grid(
        affine=affine,
        shape=(*matrix, count),
        thickness_share=slice_thickness_mm / slice_distance_mm,
        fine=fine,
        shifts_mm=rng.normal(0, breath_hold_sd_mm, (count, 3)) * (0.4, 0.6, 1.0),
    )


def _nearest_frame(axes: NDArray[np.float64], w: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn the axes so that the third is along `w`, keeping the first two as near as can be."""
    w = w / np.linalg.norm(w)
    u = axes[:, 0] - (axes[:, 0] @ w) * w
    u /= np.linalg.norm(u)
    return np.stack([u, np.cross(u, w), w], axis=1)
