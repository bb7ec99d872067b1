"""Sums over subjects that add up to the same bytes in any order and over any split.

Floating-point addition depends on its order. Here every summand is first rounded to a multiple of
2^-20 (a millionth of the intensity range, or a nanometre of displacement): double precision adds
such numbers exactly up to 2^33, so partial sums of any shards give the same atlas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.atlas.cycle import CycleSums, sums_from_arrays, sums_to_arrays
from popscan.atlas.differences import Differences
from popscan.atlas.grid import AtlasGrid
from popscan.records import PopscanError

Floats = NDArray[np.float64]

#: Name of the group of all subjects; its template is what the next round registers to.
ALL = "all"
#: What is measured of each subject behind the Dice of every region, in this order.
_MEASURES = ("mean_displacement_mm", "rms_intensity", "min_jacobian")
_STEPS_PER_UNIT = 2.0**20


def measures(regions: Sequence[str]) -> tuple[str, ...]:
    """Return what is measured of each subject, in order.

    Examples
    --------
    >>> measures(["white"])
    ('dice_white', 'mean_displacement_mm', 'rms_intensity', 'min_jacobian')
    """
    return (*(f"dice_{name}" for name in regions), *_MEASURES)


def exact(values: ArrayLike) -> Floats:
    """Round to multiples of 2^-20, so that sums do not depend on their order."""
    return np.round(np.asarray(values, dtype=np.float64) * _STEPS_PER_UNIT) / _STEPS_PER_UNIT


@dataclass(frozen=True, kw_only=True)
class GroupSums:
    """Sums over the subjects of one group, on the atlas grid.

    Attributes
    ----------
    n_subjects
        How many.
    weight : ndarray, shape (x, y, z)
        How many of them cover each voxel.
    image, image_squared : ndarray, shape (x, y, z)
        Sums of intensities and of their squares, where covered.
    labels : ndarray, shape (regions, x, y, z)
        Sums of memberships.
    displacement_mm : ndarray, shape (x, y, z, 3)
        Sums of the displacements from the template to the subjects.
    """

    n_subjects: int
    weight: Floats
    image: Floats
    image_squared: Floats
    labels: Floats
    displacement_mm: Floats

    @classmethod
    def empty(cls, grid: AtlasGrid, n_regions: int) -> GroupSums:
        """Return sums over no subject."""
        return cls(
            n_subjects=0,
            weight=np.zeros(grid.shape),
            image=np.zeros(grid.shape),
            image_squared=np.zeros(grid.shape),
            labels=np.zeros((n_regions, *grid.shape)),
            displacement_mm=np.zeros((*grid.shape, 3)),
        )

    def __add__(self, other: GroupSums) -> GroupSums:
        return GroupSums(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )


@dataclass(frozen=True, kw_only=True)
class Partial:
    """What one shard contributes to the atlas.

    Attributes
    ----------
    grid
        The grid of all sums.
    groups
        Group -> its sums; groups without a subject in the shard are absent.
    units : tuple of str
        The subjects, sorted.
    values : ndarray, shape (n_subjects, regions + 3)
        Per subject, as `measures`: Dice of its warped regions with the template's (membership above
        one half), mean displacement within the template's regions, root mean square intensity
        difference there, smallest Jacobian of the displacement (0 or less: it folds). NaN in the
        first round.
    differences
        Of the same subjects from the template; None in the first round, and of several shards
        together: sums are all that is added up.
    cycles
        Group -> sums over the cycle, of those of its subjects that have one.
    """

    grid: AtlasGrid
    groups: Mapping[str, GroupSums]
    units: tuple[str, ...]
    values: Floats
    differences: Differences | None = None
    cycles: Mapping[str, CycleSums] = field(default_factory=dict)

    def rows(self, regions: Sequence[str]) -> list[dict[str, Any]]:
        """Return one row per subject: ``unit`` and the `measures` of these regions."""
        names = measures(regions)
        return [
            {"unit": unit, **dict(zip(names, map(float, row), strict=True))}
            for unit, row in zip(self.units, self.values, strict=True)
        ]

    def __add__(self, other: Partial) -> Partial:
        return merge([self, other])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays for an ``.npz`` without pickle."""
        names = sorted(self.groups)
        sums = {
            f"sum_{f.name}": _stacked([getattr(self.groups[g], f.name) for g in names])
            for f in fields(GroupSums)
        }
        return {
            **self.grid.to_arrays(),
            "groups": np.array(names, dtype=np.str_),
            "units": np.array(self.units, dtype=np.str_),
            "values": self.values,
            **sums,
            **(self.differences.to_arrays() if self.differences else {}),
            **sums_to_arrays(self.cycles),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Partial:
        """Return what `to_arrays` described."""
        names = [str(name) for name in arrays["groups"]]
        # Read each array once: in an .npz every access decompresses it again.
        stacks = {f.name: arrays[f"sum_{f.name}"] for f in fields(GroupSums)}
        groups = {}
        for index, name in enumerate(names):
            of_group: dict[str, Any] = {key: stack[index] for key, stack in stacks.items()}
            of_group["n_subjects"] = int(of_group["n_subjects"])
            groups[name] = GroupSums(**of_group)
        return cls(
            grid=AtlasGrid.from_arrays(arrays),
            groups=groups,
            units=tuple(str(unit) for unit in arrays["units"]),
            values=np.asarray(arrays["values"], dtype=np.float64),
            differences=Differences.from_arrays(arrays),
            cycles=sums_from_arrays(arrays),
        )


def _stacked(values: Sequence[Any]) -> NDArray[Any]:
    return np.stack([np.asarray(value) for value in values]) if values else np.zeros(0)


def merge(partials: Iterable[Partial]) -> Partial:
    """Add up partials; one is held at a time, so an iterator that loads them keeps memory flat.

    Parameters
    ----------
    partials
        Of disjoint shards on one grid; in any order, at least one.

    Returns
    -------
    Partial
        The same bytes whatever the split and the order.

    Raises
    ------
    PopscanError
        If there is none, the grids differ, or a subject comes twice.
    """
    grid: AtlasGrid | None = None
    groups: dict[str, GroupSums] = {}
    cycles: dict[str, CycleSums] = {}
    values: dict[str, Floats] = {}
    width = 0
    for partial in partials:
        grid = grid or partial.grid
        if partial.grid != grid:
            raise PopscanError(f"atlas partials on different grids: {grid} and {partial.grid}")
        width = partial.values.shape[1]
        twice = sorted(unit for unit in partial.units if unit in values)
        if twice:
            raise PopscanError(f"subjects counted twice in the atlas: {', '.join(twice)}")
        values.update(zip(partial.units, partial.values, strict=True))
        for name, sums in partial.groups.items():
            groups[name] = groups[name] + sums if name in groups else sums
        for name, cycle in partial.cycles.items():
            cycles[name] = cycles[name] + cycle if name in cycles else cycle
    if grid is None:
        raise PopscanError("an atlas needs at least one partial, found none")
    units = tuple(sorted(values))
    table = np.array([values[unit] for unit in units], dtype=np.float64)
    return Partial(
        grid=grid,
        groups=dict(sorted(groups.items())),
        units=units,
        values=table.reshape(-1, width),
        cycles=dict(sorted(cycles.items())),
    )


def group_counts(partials: Iterable[Partial]) -> dict[str, int]:
    """Return how many subjects each group has over all partials, to say which are too few."""
    counts: dict[str, int] = {}
    for partial in partials:
        for name, sums in partial.groups.items():
            counts[name] = counts.get(name, 0) + sums.n_subjects
    return dict(sorted(counts.items()))
