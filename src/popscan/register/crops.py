"""Heart-centred crops: image and labels of one frame on a small grid in the heart's own frame.

Every heart lies in the same place and pose of the grid, so crops of several subjects can be
registered, averaged, or be the features of a model, voxel by voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from popscan.records import Label
from popscan.register.itk import Spacing
from popscan.register.landmarks import HeartFrame, check_frame, heart_frame


@dataclass(frozen=True, kw_only=True)
class CropGrid:
    """A grid around the heart.

    Attributes
    ----------
    shape, spacing_mm
        Voxels and their distances along the heart's axes: from RV to LV, across, base to apex.
    centre_mm
        Centre of the grid from the centre of the LV cavity: by default between the ventricles.
    """

    shape: tuple[int, int, int] = (36, 36, 16)
    spacing_mm: tuple[float, float, float] = (4.0, 4.0, 8.0)
    centre_mm: tuple[float, float, float] = (-18.0, 0.0, 0.0)

    @classmethod
    def covering_heart(cls, *, inplane_mm: float = 4.0, along_mm: float = 8.0) -> CropGrid:
        """Return a grid of 144 x 144 x 128 mm: the heart, and a margin of two centimetres.

        Parameters
        ----------
        inplane_mm, along_mm
            Voxel size across and along the long axis.
        """
        across, along = max(round(144 / inplane_mm), 1), max(round(128 / along_mm), 1)
        return cls(shape=(across, across, along), spacing_mm=(inplane_mm, inplane_mm, along_mm))

    def points_mm(self) -> NDArray[np.float64]:
        """Return the voxels' centres in the heart's frame, shape (3, x, y, z), mm."""
        axes = [
            centre + spacing * (np.arange(n) - (n - 1) / 2)
            for n, spacing, centre in zip(self.shape, self.spacing_mm, self.centre_mm, strict=True)
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"))


@dataclass(frozen=True, kw_only=True)
class HeartCrop:
    """One frame of one subject on a `CropGrid`.

    Attributes
    ----------
    image : ndarray of float32, shape (x, y, z)
        0 and 1 at the 1st and 99th percentile of the crop, from -0.5 to 2; 0 outside the scan.
    labels : ndarray of uint8, shape (x, y, z)
        `Label` values.
    inside : ndarray of bool, shape (x, y, z)
        Which voxels the scan covers; a slice reaches half-way to the next.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    inside: NDArray[np.bool_]


def heart_crop(
    image: ArrayLike,
    labels: NDArray[np.uint8],
    *,
    spacing_mm: Spacing,
    grid: CropGrid | None = None,
    frame: HeartFrame | None = None,
) -> HeartCrop:
    """Resample one frame into the heart's frame.

    Parameters
    ----------
    image : array_like, shape (x, y, z)
        Finite intensities.
    labels : ndarray of uint8, shape (x, y, z)
        `Label` values on the same grid; they may be empty where `frame` is given.
    spacing_mm
        Voxel distances.
    grid
        By default `CropGrid.covering_heart`.
    frame
        Where the heart is; by default `heart_frame` of the labels.

    Returns
    -------
    HeartCrop
        A constant image is 0 everywhere.

    Raises
    ------
    SubjectError
        ``shape_mismatch``, ``non_finite_image``, and as `heart_frame`.
    """
    grid = grid or CropGrid.covering_heart()
    image, labels = np.asarray(image, dtype=np.float32), np.asarray(labels)
    check_frame(image, labels)
    frame = frame or heart_frame(labels, spacing_mm=spacing_mm)
    voxels, inside = _positions(image.shape, spacing_mm, grid, frame)
    values = ndimage.map_coordinates(image, voxels, order=1, mode="nearest")
    return HeartCrop(
        image=np.where(inside, _scaled(values, inside), np.float32(0)),
        labels=np.where(inside, _labels_at(labels, voxels), np.uint8(0)),
        inside=inside,
    )


def crop_values(
    array: ArrayLike, *, spacing_mm: Spacing, grid: CropGrid, frame: HeartFrame
) -> NDArray[np.float32]:
    """Resample any array (x, y, z) of a scan's grid into the heart's frame, as it is; 0 outside."""
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
    shape: tuple[int, ...], spacing_mm: Spacing, grid: CropGrid, frame: HeartFrame
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Where the grid's voxels lie in an array, (3, x, y, z), and which of them it covers."""
    points = np.einsum("ij,jxyz->ixyz", frame.axes, grid.points_mm())
    points += frame.centre_mm.reshape(3, 1, 1, 1)
    voxels = points / np.reshape(spacing_mm, (3, 1, 1, 1))
    last = np.reshape(shape, (3, 1, 1, 1))
    return voxels, ((voxels >= -0.5) & (voxels <= last - 0.5)).all(axis=0)


def fallback_frame(
    labels: NDArray[np.uint8], *, spacing_mm: Spacing, like: HeartFrame
) -> HeartFrame:
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
    return HeartFrame(centre_mm=centre, axes=like.axes, length_mm=float("nan"))


def _labels_at(labels: NDArray[np.uint8], voxels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Most likely label at each point, by linear interpolation of memberships."""
    members = np.stack(
        [
            ndimage.map_coordinates(
                (labels == label).astype(np.float32), voxels, order=1, mode="nearest"
            )
            for label in Label
        ]
    )
    return np.array([int(label) for label in Label], dtype=np.uint8)[members.argmax(axis=0)]


def _scaled(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    held = values[inside]
    if held.size == 0:
        return np.zeros_like(values)
    low, high = np.percentile(held, (1, 99))
    if not high > low:
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), -0.5, 2.0).astype(np.float32)
