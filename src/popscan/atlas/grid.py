"""The grid that all subjects of an atlas share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.records import PopscanError


@dataclass(frozen=True, kw_only=True)
class AtlasGrid:
    """Isotropic grid in the organ's frame, whose axes the protocol chooses.

    Attributes
    ----------
    shape
        Voxels along each axis.
    spacing_mm
        Distance between voxels, the same along each axis.
    centre_mm
        Position of the frame's origin, from the centre of voxel 0.
    """

    shape: tuple[int, int, int]
    spacing_mm: float
    centre_mm: tuple[float, float, float]

    @classmethod
    def covering(
        cls,
        extent_mm: tuple[float, float, float],
        *,
        spacing_mm: float,
        centre_mm: tuple[float, float, float] | None = None,
    ) -> AtlasGrid:
        """Return a grid over a box.

        Parameters
        ----------
        extent_mm
            Size of the box.
        spacing_mm
            Voxel size.
        centre_mm
            Where in it the frame's origin lies; by default in its middle.

        Raises
        ------
        PopscanError
            If the spacing is not within 1 to 10 mm: finer does not fit a map job's memory,
            coarser holds no wall.
        """
        if not 1.0 <= spacing_mm <= 10.0:
            raise PopscanError(f"atlas spacing of {spacing_mm} mm: expected 1 to 10 mm")
        step = float(spacing_mm)
        nx, ny, nz = (round(extent / step) for extent in extent_mm)
        if centre_mm is None:
            centre_mm = ((nx - 1) * step / 2, (ny - 1) * step / 2, (nz - 1) * step / 2)
        return cls(shape=(nx, ny, nz), spacing_mm=step, centre_mm=centre_mm)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The spacing once per axis."""
        return (self.spacing_mm,) * 3

    @property
    def to_frame(self) -> NDArray[np.float64]:
        """Millimetres from voxel 0 -> the organ's frame (its origin at 0), shape (4, 4)."""
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
