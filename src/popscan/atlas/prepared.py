"""One subject in the common frame, on the atlas grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.atlas.cycle import Cycle
from popscan.atlas.grid import AtlasGrid


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """One subject in the common frame.

    Attributes
    ----------
    grid
        Where the arrays live.
    image : ndarray of float32, shape (x, y, z)
        Intensities, 0 and 1 at the 1st and 99th percentile around the organ; 0 outside the scan.
    inside : ndarray of bool, shape (x, y, z)
        Which voxels the scan covers.
    labels : ndarray of float32, shape (regions, x, y, z)
        Membership from 0 to 1 in each region; they add up to 1 at most.
    to_world : ndarray, shape (4, 4)
        Voxel of the grid -> RAS millimetres of the scan.
    coverage
        Share of the labelled voxels that lie on the grid.
    cycle
        The same over a cycle, where the atlas has one and the subject, too.
    """

    grid: AtlasGrid
    image: NDArray[np.float32]
    inside: NDArray[np.bool_]
    labels: NDArray[np.float32]
    to_world: NDArray[np.float64]
    coverage: float
    cycle: Cycle | None = None

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays for an ``.npz`` without pickle."""
        return {
            **self.grid.to_arrays(),
            "image": self.image,
            "inside": self.inside,
            "labels": self.labels,
            "to_world": self.to_world,
            "coverage": np.array(self.coverage),
            **(self.cycle.to_arrays() if self.cycle else {}),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Prepared:
        """Return what `to_arrays` described."""
        return cls(
            grid=AtlasGrid.from_arrays(arrays),
            image=arrays["image"],
            inside=arrays["inside"],
            labels=arrays["labels"],
            to_world=arrays["to_world"],
            coverage=float(arrays["coverage"]),
            cycle=Cycle.from_arrays(arrays),
        )
