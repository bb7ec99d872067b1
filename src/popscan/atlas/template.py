"""The average of a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.atlas.cycle import CycleTemplate
from popscan.atlas.grid import AtlasGrid


@dataclass(frozen=True, kw_only=True)
class Template:
    """The average of a group, in the common frame.

    Attributes
    ----------
    group
        Whose average it is.
    grid
        Where the arrays live.
    n_subjects
        How many were averaged.
    round
        0 for the rigid average, then one more per round of registration.
    image : ndarray of float32, shape (x, y, z)
        Mean intensity (0 and 1 are the 1st and 99th percentile around each organ); NaN where
        fewer than half of the subjects were imaged.
    image_sd : ndarray of float32, shape (x, y, z)
        Standard deviation of the registered intensities; NaN as for `image`.
    probabilities : ndarray of float32, shape (regions, x, y, z)
        Probability of each region.
    mean_displacement_mm : ndarray of float32, shape (x, y, z, 3)
        Mean displacement from the template registered to (of all subjects) to this group's
        subjects: how the group's shape differs. 0 in round 0.
    cycle
        The average over the cycle; None where too few subjects have one, and before the last round.
    n_cycle
        How many have a cycle; None where none was asked for.
    """

    group: str
    grid: AtlasGrid
    n_subjects: int
    round: int
    image: NDArray[np.float32]
    image_sd: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    mean_displacement_mm: NDArray[np.float32]
    cycle: CycleTemplate | None = None
    n_cycle: int | None = None

    def volumes_ml(self, regions: Sequence[str]) -> dict[str, float]:
        """Return the expected volume of each region: the sum of its probabilities."""
        voxel_ml = self.grid.spacing_mm**3 / 1000.0
        totals = self.probabilities.sum(axis=(1, 2, 3), dtype=np.float64) * voxel_ml
        return dict(zip(regions, map(float, totals), strict=True))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays for an ``.npz`` without pickle."""
        return {
            **self.grid.to_arrays(),
            "group": np.array(self.group),
            "n_subjects": np.array(self.n_subjects),
            "round": np.array(self.round),
            "image": self.image,
            "image_sd": self.image_sd,
            "probabilities": self.probabilities,
            "mean_displacement_mm": self.mean_displacement_mm,
            **(self.cycle.to_arrays() if self.cycle else {}),
            **({} if self.n_cycle is None else {"n_cycle": np.array(self.n_cycle)}),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Template:
        """Return what `to_arrays` described."""
        return cls(
            group=str(arrays["group"]),
            grid=AtlasGrid.from_arrays(arrays),
            n_subjects=int(arrays["n_subjects"]),
            round=int(arrays["round"]),
            image=arrays["image"],
            image_sd=arrays["image_sd"],
            probabilities=arrays["probabilities"],
            mean_displacement_mm=arrays["mean_displacement_mm"],
            cycle=CycleTemplate.from_arrays(arrays),
            n_cycle=int(arrays["n_cycle"]) if "n_cycle" in arrays else None,
        )
