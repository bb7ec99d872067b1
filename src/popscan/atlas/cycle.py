"""The average over a cycle: every phase of a subject, brought to the template by one field.

A subject's field from the template at the atlas's own phase carries all its phases, so what is left
of the motion is the subject's, in the template's shape. Phases count from that phase on; where
between, the protocol says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.register import warp_image, warper

Floats = NDArray[np.float64]

#: Memberships are kept in so many steps; intensities in steps of a hundredth from -0.5 on.
_MEMBERSHIP, _GREY, _DARKEST = 250.0, 100.0, -0.5
#: Sums are of multiples of this: single precision holds those of a thousand subjects exactly.
_STEPS_PER_UNIT = 2.0**14
#: Voxels around the labels of all phases that are kept.
_MARGIN = 4


@dataclass(frozen=True, kw_only=True)
class Cycle:
    """One subject over a cycle, in a box of the atlas grid.

    Attributes
    ----------
    labels : ndarray of uint8, shape (phases, regions, i, j, k)
        Membership in steps of 1/250.
    image : ndarray of uint8, shape (phases, i, j, k)
        Intensity in steps of 1/100 from -0.5 on.
    corner : ndarray of int, shape (3,)
        First voxel of the box.
    """

    labels: NDArray[np.uint8]
    image: NDArray[np.uint8]
    corner: NDArray[np.int64]

    @classmethod
    def of_maps(cls, labels: NDArray[Any], image: NDArray[Any]) -> Cycle:
        """Return memberships (phases, regions, x, y, z) and intensities (phases, x, y, z), cut.

        Without any label the box is empty.
        """
        held: NDArray[np.bool_] = np.asarray((labels > 0).any(axis=(0, 1)), dtype=np.bool_)
        box = []
        for axis in range(3):
            there = np.flatnonzero(held.any(axis=tuple(a for a in range(3) if a != axis)))
            low, high = (int(there[0]), int(there[-1]) + 1) if there.size else (0, 0)
            box.append(slice(max(low - _MARGIN, 0), min(high + _MARGIN, held.shape[axis])))
            if not there.size:
                box[-1] = slice(0, 0)
        inner: Any = (..., *box)
        return cls(
            labels=np.rint(np.clip(labels[inner], 0, 1) * _MEMBERSHIP).astype(np.uint8),
            image=np.rint((np.clip(image[inner], _DARKEST, 2.0) - _DARKEST) * _GREY).astype(
                np.uint8
            ),
            corner=np.array([one.start for one in box]),
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays, keys starting with ``cycle_``."""
        return {f"cycle_{f.name}": getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Cycle | None:
        """Return what `to_arrays` described; None where there is nothing of it."""
        if "cycle_labels" not in arrays:
            return None
        return cls(**{f.name: arrays[f"cycle_{f.name}"] for f in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class CycleSums:
    """Sums over the subjects of one group that have a cycle.

    Attributes
    ----------
    n_subjects
        How many.
    weight : ndarray, shape (x, y, z)
        How many have intensities in each voxel.
    labels : ndarray, shape (phases, regions, x, y, z)
        Sums of memberships.
    image : ndarray, shape (phases, x, y, z)
        Sums of intensities.
    """

    n_subjects: int
    weight: Floats
    labels: Floats
    image: Floats

    @classmethod
    def of(cls, cycle: Cycle, field_mm: NDArray[Any], *, spacing_mm: Sequence[float]) -> CycleSums:
        """Bring one subject to the template by its field (x, y, z, 3)."""
        shape = field_mm.shape[:3]
        box = tuple(
            slice(int(c), int(c) + n)
            for c, n in zip(cycle.corner, cycle.image.shape[1:], strict=True)
        )

        warp = warper(field_mm, spacing_mm=spacing_mm)

        def warped(part: NDArray[np.float32]) -> Floats:
            whole = np.zeros((*part.shape[:-3], *shape), np.float32)
            inner: Any = (..., *box)
            whole[inner] = part
            moved = warp(whole)
            steps: Floats = np.round(moved.astype(np.float64) * _STEPS_PER_UNIT) / _STEPS_PER_UNIT
            return steps

        weight = (warped(np.ones(cycle.image.shape[1:], np.float32)) > 0.5).astype(np.float64)
        grey = cycle.image.astype(np.float32) / np.float32(_GREY) + np.float32(_DARKEST)
        chance = cycle.labels.astype(np.float32) / np.float32(_MEMBERSHIP)
        return cls(
            n_subjects=1,
            weight=weight,
            labels=np.stack([warped(phase) for phase in chance]),
            image=np.stack([warped(phase) * weight for phase in grey]),
        )

    def __add__(self, other: CycleSums) -> CycleSums:
        return CycleSums(**{f.name: getattr(self, f.name) + getattr(other, f.name)
                            for f in fields(self)})  # fmt: skip


def sums_to_arrays(sums: Mapping[str, CycleSums]) -> dict[str, NDArray[Any]]:
    """Return sums by group as plain arrays, keys starting with ``cycles_``; nothing of none."""
    if not sums:
        return {}
    names = sorted(sums)
    stacks = {
        f"cycles_{f.name}": np.stack([np.asarray(getattr(sums[name], f.name)) for name in names])
        for f in fields(CycleSums)
    }
    half = {key: array.astype(np.float32) if array.dtype == np.float64 else array
            for key, array in stacks.items()}  # fmt: skip
    return {"cycles_groups": np.array(names, dtype=np.str_), **half}


def sums_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, CycleSums]:
    """Return what `sums_to_arrays` described; empty where there is nothing of it."""
    if "cycles_groups" not in arrays:
        return {}
    stacks = {f.name: arrays[f"cycles_{f.name}"] for f in fields(CycleSums)}
    found = {}
    for row, name in enumerate(arrays["cycles_groups"]):
        counted = {key: stack[row] for key, stack in stacks.items()}
        n_subjects = int(counted.pop("n_subjects"))
        found[str(name)] = CycleSums(
            n_subjects=n_subjects,
            **{key: array.astype(np.float64) for key, array in counted.items()},
        )
    return found


@dataclass(frozen=True, kw_only=True)
class CycleTemplate:
    """The average of a group over the cycle.

    Attributes
    ----------
    n_subjects
        How many have a cycle.
    probabilities : ndarray of float32, shape (phases, regions, x, y, z)
        Probability of each region.
    image : ndarray of float32, shape (phases, x, y, z)
        Mean intensity; NaN where fewer than half of the subjects were imaged.
    """

    n_subjects: int
    probabilities: NDArray[np.float32]
    image: NDArray[np.float32]

    @classmethod
    def of(
        cls, sums: CycleSums, inverse_mm: NDArray[Any] | None, *, spacing_mm: Sequence[float]
    ) -> CycleTemplate:
        """Average, and move by the inverse (x, y, z, 3) of the mean displacement if given."""

        def moved(array: Floats) -> NDArray[np.float32]:
            if inverse_mm is None:
                return array.astype(np.float32)
            return warp_image(array, inverse_mm, spacing_mm=spacing_mm, fill=None)

        seen = moved(sums.weight / sums.n_subjects) >= 0.5
        mean = sums.image / np.maximum(sums.weight, 1.0)
        return cls(
            n_subjects=sums.n_subjects,
            probabilities=np.stack(
                [np.stack([moved(one) for one in phase]) for phase in sums.labels / sums.n_subjects]
            ),
            image=np.stack([np.where(seen, moved(one), np.float32(np.nan)) for one in mean]),
        )

    def volumes_ml(self, regions: Sequence[str], *, voxel_ml: float) -> dict[str, list[float]]:
        """Return the expected volume of each region in every phase."""
        totals = self.probabilities.sum(axis=(2, 3, 4), dtype=np.float64) * voxel_ml
        return {name: [float(v) for v in totals[:, row]] for row, name in enumerate(regions)}

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays, keys starting with ``cycle_``."""
        return {
            "cycle_n": np.array(self.n_subjects),
            "cycle_probabilities": self.probabilities,
            "cycle_image": self.image,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> CycleTemplate | None:
        """Return what `to_arrays` described; None where there is nothing of it."""
        if "cycle_n" not in arrays:
            return None
        return cls(
            n_subjects=int(arrays["cycle_n"]),
            probabilities=arrays["cycle_probabilities"],
            image=arrays["cycle_image"],
        )
