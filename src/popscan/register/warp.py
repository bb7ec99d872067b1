"""Transforms between pairs of images: what every registration method returns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.records import SubjectError
from popscan.register.fields import (
    compose_fields,
    field_at,
    invert_field,
    jacobian_determinant,
    warp_image,
    warp_labels,
)

Floats = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Warp:
    """One transform per pair, from points of the fixed to points of the moving image.

    ``T(p) = p + displacement_mm(p)``, points in mm from the centre of voxel 0 along the array's
    axes: it pulls the moving image onto the fixed one (`images`), and carries points that were
    marked in the fixed image to where the moving image shows them (`points`).

    Attributes
    ----------
    displacement_mm : ndarray, shape (n, x, y, 2) or (n, x, y, z, 3)
        Per pair.
    spacing_mm
        Voxel distances of the grid of both images.
    inverse_mm : ndarray like displacement_mm, optional
        The displacement back, where the method knows it; else it is computed when it is needed.
    velocity_mm : ndarray, shape (n, ..., 2 or 3), optional
        Stationary velocity on a grid as coarse as the method's, corners on corners: what is worth
        storing, as `popscan.register.velocities.integrate` makes the displacement of it.
    matrix : ndarray, shape (n, 3, 3) or (n, 4, 4), optional
        Of rigid and affine methods: mm to mm.
    sd_mm : ndarray like displacement_mm, optional
        Standard deviation of each component, where the method knows it; NaN where it does not.
    velocity_samples_mm : ndarray, shape (n, samples, ..., 2 or 3), optional
        Velocities as probable as the data and the method's model say, on the grid of
        `velocity_mm`; ``integrate`` makes transforms of them. Sample k of every pair belongs to
        the same random numbers.
    """

    displacement_mm: Floats
    spacing_mm: tuple[float, ...]
    inverse_mm: Floats | None = None
    velocity_mm: Floats | None = None
    matrix: Floats | None = None
    sd_mm: Floats | None = None
    velocity_samples_mm: Floats | None = None

    def __len__(self) -> int:
        return len(self.displacement_mm)

    def __getitem__(self, index: slice) -> Warp:
        """Return some of the pairs' transforms."""
        return replace(
            self,
            displacement_mm=self.displacement_mm[index],
            inverse_mm=_part(self.inverse_mm, index),
            velocity_mm=_part(self.velocity_mm, index),
            matrix=_part(self.matrix, index),
            sd_mm=_part(self.sd_mm, index),
            velocity_samples_mm=_part(self.velocity_samples_mm, index),
        )

    @classmethod
    def identity(cls, n: int, shape: tuple[int, ...], *, spacing_mm: tuple[float, ...]) -> Warp:
        """Return transforms that move nothing."""
        still = np.zeros((n, *shape, len(shape)), dtype=np.float32)
        return cls(displacement_mm=still, spacing_mm=spacing_mm, inverse_mm=still)

    @classmethod
    def affine(
        cls, matrix: Floats, shape: tuple[int, ...], *, spacing_mm: tuple[float, ...]
    ) -> Warp:
        """Return affine transforms, shape (n, 4, 4) (3, 3 in a plane), mm to mm."""
        return cls(
            displacement_mm=_affine_field(matrix, shape, spacing_mm),
            inverse_mm=_affine_field(np.linalg.inv(matrix), shape, spacing_mm),
            spacing_mm=spacing_mm,
            matrix=matrix,
        )

    def images(self, moving: ArrayLike, *, fill: float | None = None) -> NDArray[np.float32]:
        """Resample moving images (n, x, y[, z]) onto the fixed grid, linearly.

        `fill` is the value beyond the moving image; None continues its border.
        """
        pairs = zip(self._of_pairs(moving), self.displacement_mm, strict=True)
        return np.stack([warp_image(a, f, spacing_mm=self.spacing_mm, fill=fill) for a, f in pairs])

    def labels(self, moving: NDArray[np.integer]) -> NDArray[np.integer]:
        """Resample label arrays (n, x, y[, z]) by the nearest neighbour; 0 outside."""
        pairs = zip(self._of_pairs(moving), self.displacement_mm, strict=True)
        return np.stack([warp_labels(a, f, spacing_mm=self.spacing_mm) for a, f in pairs])

    def points(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Carry points of the fixed image (n, k, axes), in mm, to the moving one.

        Beyond the grid the displacement continues as at its border.
        """
        points = self._of_pairs(points_mm, grid=False)
        pairs = zip(points, self.displacement_mm, strict=True)
        return np.stack([p + field_at(f, p, spacing_mm=self.spacing_mm) for p, f in pairs])

    def inverse(self) -> Warp:
        """Return the transforms from the moving to the fixed images, without ``sd_mm``."""
        inverse = self.inverse_mm
        if inverse is None:
            inverse = np.stack(
                [invert_field(f, spacing_mm=self.spacing_mm) for f in self.displacement_mm]
            )
        return Warp(
            displacement_mm=inverse,
            inverse_mm=self.displacement_mm,
            spacing_mm=self.spacing_mm,
            velocity_mm=None if self.velocity_mm is None else -self.velocity_mm,
            matrix=None if self.matrix is None else np.linalg.inv(self.matrix),
            velocity_samples_mm=None
            if self.velocity_samples_mm is None
            else -self.velocity_samples_mm,
        )

    def then(self, second: Warp) -> Warp:
        """Return ``second(self(p))``: from a first image to a second, and on to a third.

        Raises
        ------
        SubjectError
            ``shape_mismatch`` where the two are not on one grid.
        """
        grids = [(w.displacement_mm.shape, w.spacing_mm) for w in (self, second)]
        if grids[0][0] != grids[1][0] or not np.allclose(grids[0][1], grids[1][1], rtol=1e-4):
            raise SubjectError(
                "shape_mismatch",
                f"transforms on grids of {grids[0]} and {grids[1]}: expected one grid",
            )
        return Warp(
            displacement_mm=self._composed(self.displacement_mm, second.displacement_mm),
            inverse_mm=None
            if self.inverse_mm is None or second.inverse_mm is None
            else self._composed(second.inverse_mm, self.inverse_mm),
            spacing_mm=self.spacing_mm,
        )

    def jacobian(self) -> NDArray[np.float64]:
        """Return the local change of volume (of area in a plane), shape (n, x, y[, z])."""
        return np.stack(
            [jacobian_determinant(f, spacing_mm=self.spacing_mm) for f in self.displacement_mm]
        )

    def _composed(self, first: Floats, second: Floats) -> Floats:
        pairs = zip(self._of_pairs(first, grid=False), second, strict=True)
        return np.stack([compose_fields(a, b, spacing_mm=self.spacing_mm) for a, b in pairs])

    def _of_pairs(self, array: ArrayLike, *, grid: bool = True) -> NDArray:
        values = np.asarray(array)
        expected = self.displacement_mm.shape[:-1]
        if values.shape != expected if grid else len(values) != len(self):
            raise SubjectError(
                "shape_mismatch",
                f"an array of shape {values.shape} goes with {len(self)} transforms on a grid of "
                f"shape {expected[1:]}",
            )
        return values


def _part(array: Floats | None, index: slice) -> Floats | None:
    return None if array is None else array[index]


def _affine_field(
    matrix: Floats, shape: tuple[int, ...], spacing_mm: tuple[float, ...]
) -> NDArray[np.float32]:
    axes = len(shape)
    points = np.moveaxis(np.indices(shape), 0, -1) * np.asarray(spacing_mm)
    linear = matrix[:, :axes, :axes] - np.eye(axes)
    moved = np.einsum("nij,...j->n...i", linear, points)
    shift = matrix[:, :axes, axes].reshape(len(matrix), *[1] * axes, axes)
    return (moved + shift).astype(np.float32)
