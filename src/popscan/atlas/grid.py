"""The grid that all hearts of an atlas share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.records import PopscanError

#: Size of the box around the heart, and where in it the centre of the LV cavity lies: the RV
#: needs more room than the lateral wall.
_EXTENT_MM = (168.0, 144.0, 132.0)
_CENTRE_MM = (100.0, 72.0, 64.0)


@dataclass(frozen=True, kw_only=True)
class AtlasGrid:
    """Isotropic grid in the heart's frame.

    Axis 0 points from the RV to the LV, axis 1 across both (posterior), axis 2 from base to apex.

    Attributes
    ----------
    shape
        Voxels along each axis.
    spacing_mm
        Distance between voxels, the same along each axis.
    centre_mm
        Position of the centre of the LV cavity, from the centre of voxel 0.
    """

    shape: tuple[int, int, int]
    spacing_mm: float
    centre_mm: tuple[float, float, float] = _CENTRE_MM

    @classmethod
    def covering_heart(cls, *, spacing_mm: float = 3.0) -> AtlasGrid:
        """Return a grid of 168 x 144 x 132 mm, enough for a dilated heart.

        Raises
        ------
        PopscanError
            If the spacing is not within 1 to 10 mm: finer does not fit a map job's memory,
            coarser holds no wall.
        """
        if not 1.0 <= spacing_mm <= 10.0:
            raise PopscanError(f"atlas spacing of {spacing_mm} mm: expected 1 to 10 mm")
        nx, ny, nz = (round(extent / spacing_mm) for extent in _EXTENT_MM)
        return cls(shape=(nx, ny, nz), spacing_mm=float(spacing_mm))

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The spacing once per axis."""
        return (self.spacing_mm,) * 3

    @property
    def to_heart(self) -> NDArray[np.float64]:
        """Millimetres from voxel 0 -> heart frame (LV centre at 0), shape (4, 4)."""
        matrix = np.eye(4)
        matrix[:3, 3] = -np.asarray(self.centre_mm)
        return matrix

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the grid as plain arrays, keys starting with ``grid_``."""
        return {
            "grid_shape": np.array(self.shape, dtype=np.int64),
            "grid_spacing_mm": np.array(self.spacing_mm),
            "grid_centre_mm": np.array(self.centre_mm),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> AtlasGrid:
        """Return the grid that `to_arrays` described; further keys are ignored."""
        nx, ny, nz = (int(n) for n in arrays["grid_shape"])
        x, y, z = (float(v) for v in arrays["grid_centre_mm"])
        return cls(
            shape=(nx, ny, nz), spacing_mm=float(arrays["grid_spacing_mm"]), centre_mm=(x, y, z)
        )
