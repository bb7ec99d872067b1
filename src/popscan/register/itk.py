"""Between arrays and SimpleITK images, and checks of what comes in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from popscan.records import PopscanError

Spacing = Sequence[float]


@contextmanager
def one_thread() -> Iterator[None]:
    """Run filters, and the filters that they run inside, on one thread.

    The setting is the process's, so it is put back afterwards. A filter's own setting is not
    enough: demons warp and compose with filters that ask the process.
    """
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def to_image(array: ArrayLike, spacing_mm: Spacing) -> sitk.Image:
    """Return a scalar array (x, y, z), or (x, y), as a float32 image with its origin at voxel 0."""
    values = np.ascontiguousarray(np.asarray(array, dtype=np.float32).T)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing([float(s) for s in spacing_mm])
    return image


def to_field(field: ArrayLike, spacing_mm: Spacing) -> sitk.Image:
    """Return a displacement field (x, y, z, 3), or (x, y, 2), in mm as a float64 vector image."""
    values = np.ascontiguousarray(_reversed(np.asarray(field, dtype=np.float64)))
    image = sitk.GetImageFromArray(values, isVector=True)
    image.SetSpacing([float(s) for s in spacing_mm])
    return image


def from_field(image: sitk.Image) -> NDArray[np.float64]:
    """Return a vector image as a displacement field (x, y, z, 3), or (x, y, 2), in mm."""
    return np.ascontiguousarray(_reversed(sitk.GetArrayFromImage(image)))


def _reversed(field: NDArray) -> NDArray:
    """Reverse the order of all axes but the last."""
    axes = range(field.ndim - 1)
    return field.transpose(*reversed(axes), field.ndim - 1)


def check_pair(fixed: ArrayLike, moving: ArrayLike, *, same_grid: bool) -> None:
    """Refuse arrays that cannot be registered.

    Raises
    ------
    PopscanError
        If an array is not three-dimensional or not finite, or the grids must agree and do not.
    """
    fixed, moving = np.asarray(fixed), np.asarray(moving)
    for name, array in (("fixed", fixed), ("moving", moving)):
        if array.ndim != 3 or 0 in array.shape:
            raise PopscanError(
                f"{name} image of shape {array.shape} cannot be registered: expected (x, y, z)"
            )
        if not np.isfinite(array).all():
            raise PopscanError(f"{name} image holds NaN or infinite values")
    if same_grid and fixed.shape != moving.shape:
        raise PopscanError(
            f"fixed image of shape {fixed.shape} and moving image of shape {moving.shape} must "
            "share one grid"
        )
