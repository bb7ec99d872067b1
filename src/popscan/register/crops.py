"""Crops: image and labels of one frame on a small grid in the organ's own frame.

Every organ lies in the same place and pose of the grid, so crops of several subjects can be
registered, averaged, or be the features of a model, voxel by voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from popscan.register.frames import Frame, check_frame
from popscan.register.itk import Spacing


@dataclass(frozen=True, kw_only=True)
class CropGrid:
    """A grid around the organ.

    Attributes
    ----------
    shape, spacing_mm
        Voxels and their distances along the frame's axes.
    centre_mm
        Centre of the grid in the frame.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    centre_mm: tuple[float, float, float]

    def points_mm(self) -> NDArray[np.float64]:
        """Return the voxels' centres in the organ's frame, shape (3, x, y, z), mm."""
        axes = [
            centre + spacing * (np.arange(n) - (n - 1) / 2)
            for n, spacing, centre in zip(self.shape, self.spacing_mm, self.centre_mm, strict=True)
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"))


@dataclass(frozen=True, kw_only=True)
class Crop:
    """One frame of one subject on a `CropGrid`.

    Attributes
    ----------
    image : ndarray of float32, shape (x, y, z)
        0 and 1 at the 1st and 99th percentile of the crop, from -0.5 to 2; 0 outside the scan.
    labels : ndarray of uint8, shape (x, y, z)
        Codes of the structures.
    inside : ndarray of bool, shape (x, y, z)
        Which voxels the scan covers; a slice reaches half-way to the next.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    inside: NDArray[np.bool_]


def crop(
    image: ArrayLike,
    labels: NDArray[np.uint8],
    *,
    spacing_mm: Spacing,
    grid: CropGrid,
    frame: Frame,
    codes: Sequence[int],
) -> Crop:
    """Resample one frame into the organ's own.

    Parameters
    ----------
    image : array_like, shape (x, y, z)
        Finite intensities.
    labels : ndarray of uint8, shape (x, y, z)
        Codes on the same grid; they may be empty.
    spacing_mm
        Voxel distances.
    grid
        Where to.
    frame
        Where the organ is.
    codes
        Codes that labels may hold, background included.

    Returns
    -------
    Crop
        A constant image is 0 everywhere.

    Raises
    ------
    SubjectError
        ``shape_mismatch``, ``non_finite_image``.
    """
    image, labels = np.asarray(image, dtype=np.float32), np.asarray(labels)
    check_frame(image, labels)
    voxels, inside = _positions(image.shape, spacing_mm, grid, frame)
    values = ndimage.map_coordinates(image, voxels, order=1, mode="nearest")
    return Crop(
        image=np.where(inside, _scaled(values, inside), np.float32(0)),
        labels=np.where(inside, _labels_at(labels, voxels, codes), np.uint8(0)),
        inside=inside,
    )


def crop_values(
    array: ArrayLike, *, spacing_mm: Spacing, grid: CropGrid, frame: Frame
) -> NDArray[np.float32]:
    """Resample any array (x, y, z) of a scan's grid into the organ's frame, as it is; 0 outside."""
    values = np.asarray(array, dtype=np.float32)
    voxels, inside = _positions(values.shape, spacing_mm, grid, frame)
    found = ndimage.map_coordinates(values, voxels, order=1, mode="nearest")
    return np.where(inside, found, np.float32(0))


def block_means(array: ArrayLike, block: tuple[int, int, int]) -> NDArray[np.float32]:
    """Average (x, y, z) over blocks of voxels; what does not fill a last block is left out."""
    values = np.asarray(array, dtype=np.float32)
    n = [size // b for size, b in zip(values.shape, block, strict=True)]
    cut = values[tuple(slice(0, k * b) for k, b in zip(n, block, strict=True))]
    shaped = cut.reshape(n[0], block[0], n[1], block[1], n[2], block[2])
    return shaped.mean(axis=(1, 3, 5))


def _positions(
    shape: tuple[int, ...], spacing_mm: Spacing, grid: CropGrid, frame: Frame
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Where the grid's voxels lie in an array, (3, x, y, z), and which of them it covers."""
    points = np.einsum("ij,jxyz->ixyz", frame.axes, grid.points_mm())
    points += frame.centre_mm.reshape(3, 1, 1, 1)
    voxels = points / np.reshape(spacing_mm, (3, 1, 1, 1))
    last = np.reshape(shape, (3, 1, 1, 1))
    return voxels, ((voxels >= -0.5) & (voxels <= last - 0.5)).all(axis=0)


def _labels_at(
    labels: NDArray[np.uint8], voxels: NDArray[np.float64], codes: Sequence[int]
) -> NDArray[np.uint8]:
    """Most likely label at each point, by linear interpolation of memberships."""
    members = np.stack(
        [
            ndimage.map_coordinates(
                (labels == code).astype(np.float32), voxels, order=1, mode="nearest"
            )
            for code in codes
        ]
    )
    return np.array(codes, dtype=np.uint8)[members.argmax(axis=0)]


def _scaled(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    held = values[inside]
    if held.size == 0:
        return np.zeros_like(values)
    low, high = np.percentile(held, (1, 99))
    if not high > low:
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), -0.5, 2.0).astype(np.float32)
