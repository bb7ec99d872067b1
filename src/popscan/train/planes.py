"""Volumes as stacks of slices in each of three planes: what a 2.5D network is trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.cuts import PLANES
from popscan.records import LabelMap, PopscanError
from popscan.train.packs import Case, Pack, build_pack
from popscan.train.recipe import Recipe

#: Slices without any label that are trained on, on each side of those with one.
_BEYOND = 10
#: Pixels of a pack beyond the patch, so that patches can be shifted and turned.
_SPARE = 32
#: Largest relative difference of a spacing from the recipe's.
_TOLERANCE = 0.05


def mirrored(case: Case) -> Case:
    """Return a volume with its mirror image (left for right) as a second frame.

    For networks that know no sides: twice the anatomy for nothing.
    """
    images, labels = case.scan.array[..., :1], case.labels.array[..., :1]
    both = np.concatenate([images, images[::-1]], axis=3)
    truth = np.concatenate([labels, labels[::-1]], axis=3)
    scan = replace(case.scan, array=both, meta={})
    return replace(case, scan=scan, labels=LabelMap(array=truth, frames=(0, 1)))


def _near_labels(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which slices of which frames (z, t) are near one with a label."""
    usable = np.zeros(labels.shape[2:], dtype=bool)
    for frame in range(labels.shape[3]):
        inside = np.flatnonzero((labels[..., frame] != 0).any(axis=(0, 1)))
        if inside.size:
            usable[max(0, inside[0] - _BEYOND) : inside[-1] + 1 + _BEYOND, frame] = True
    return usable


def stacks_of(cases: Iterable[Case], *, plane: str, spacing_mm: float) -> Iterator[Case]:
    """Yield volumes with their slices in one plane.

    Parameters
    ----------
    cases
        Volumes in RAS orientation, of one frame or more.
    plane
        A key of `PLANES`.
    spacing_mm
        What all three spacings are.

    Raises
    ------
    PopscanError
        If a volume has other spacings.
    """
    axes = PLANES[plane]
    for case in cases:
        if any(abs(s / spacing_mm - 1) > _TOLERANCE for s in case.scan.spacing_mm):
            raise PopscanError(
                f"{case.unit}: voxels of {case.scan.spacing_mm} mm; {spacing_mm:g} mm along every "
                "axis expected: resample volumes first"
            )
        scan, labels = case.scan, case.labels.array.transpose(*axes, 3)
        spacing = tuple(scan.spacing_mm[axis] for axis in axes)
        stack = replace(
            scan,
            array=scan.array.transpose(*axes, 3),
            affine=scan.affine[:, [*axes, 3]],
            spacing_mm=(spacing[0], spacing[1], spacing[2]),
        )
        yield replace(
            case,
            scan=stack,
            labels=LabelMap(array=labels, frames=case.labels.frames),
            usable=_near_labels(labels),
        )


def plane_packs(recipe: Recipe, cases: Sequence[Case]) -> dict[str, Pack]:
    """Return the packs of a recipe with `planes`: one for each, of all cases."""
    whole = [mirrored(case) for case in cases] if recipe.mirror else list(cases)
    return {
        plane: build_pack(
            stacks_of(whole, plane=plane, spacing_mm=recipe.spacing_mm),
            spacing_mm=recipe.spacing_mm,
            size=recipe.patch + _SPARE,
            n_labels=recipe.n_labels,
        )
        for plane in recipe.planes
    }
