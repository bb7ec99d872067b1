"""A body's own frame, and how two of them lie to each other: pure geometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.records import SubjectError


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A right- or left-handed orthonormal frame in the body, in mm of the label array.

    Attributes
    ----------
    centre_mm : ndarray, shape (3,)
        Its origin.
    axes : ndarray, shape (3, 3)
        Its axes, as columns.
    length_mm
        Extent of the organ along the third axis; NaN where that is not known.
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


def frame_to_frame(fixed: Frame, moving: Frame) -> NDArray[np.float64]:
    """Return the rigid transform, mm of `fixed` -> mm of `moving`, that aligns two subjects.

    Shape (4, 4). It mirrors only if one of the arrays is a mirror image of the other.
    """
    return moving.matrix @ np.linalg.inv(fixed.matrix)
