"""Checks of where a brain lies: in which space, which side is which, and its proportions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from popscan.qc.model import Measured, not_assessed

if TYPE_CHECKING:
    from popscan.protocols.brain_t1.qc import Context

#: First voxels (RAS mm) of the grids that images brought to an atlas have: MNI152 as FSL, SPM and
#: CAT12 have it, and its versions of 2009.
_ATLAS_ORIGINS = (
    (-90, -126, -72), (-91, -126, -72), (-96, -132, -78), (-98, -134, -72), (-78, -112, -50),
    (-78, -112, -70),
)  # fmt: skip
#: Fewer voxels have no proportions.
_LEAST = 1000
#: Ends of a brain along x, y, z that are judged.
_ENDS = (("left side", "right side"), ("back", "front"), ("", "top"))
#: Planes are blank in which this share of the voxels is not 0.
_BLANK = 0.001
#: Origins agree within this (mm).
_SAME_MM = 0.01


def orientation_unknown(ctx: Context) -> Measured:
    """Whether the header leaves open how the image lies in the patient: then sides are unknown."""
    unknown = not ctx.scan.meta.get("orientation_known", True)
    return Measured(
        float(unknown), "neither sform nor qform has a code; no side is given" if unknown else ""
    )


def standard_space(ctx: Context) -> Measured:
    """Whether the image was brought to an atlas: then its sizes may be the atlas's.

    By the code of the header's form, the name of the file, or the grid, which is an atlas's.
    """
    named = str(ctx.scan.meta.get("standard_space", ""))
    if named:
        return Measured(1.0, f"space {named}, as header or name say")
    affine = np.asarray(ctx.scan.affine, dtype=float)
    straight = np.allclose(affine[:3, :3], np.diag(ctx.spacing_mm), atol=1e-4)
    origin = affine[:3, 3]
    if straight and any(np.allclose(origin, o, atol=_SAME_MM) for o in _ATLAS_ORIGINS):
        return Measured(1.0, "the grid is that of MNI152")
    return Measured(0.0, "")


def clipped_pct(ctx: Context) -> Measured:
    """Voxels of the head that have the largest value: bright tissue was cut off."""
    value = ctx.scan.meta.get("clipped_pct")
    if not isinstance(value, (int, float)):
        return not_assessed("ingest does not say")
    return Measured(float(value), "of the head's voxels")


def _spread_mm(ctx: Context) -> tuple[float, float, float]:
    """Return how far the cerebrum spreads over its width, length and height; NaN without any.

    Standard deviations along x and along the principal axes of the sagittal plane, so that a nod
    of the head changes nothing.
    """
    points = np.argwhere(ctx.cerebrum) * np.asarray(ctx.spacing_mm)
    if len(points) < _LEAST:
        return (math.nan, math.nan, math.nan)
    spread = np.cov(points.T)
    height, length = np.sqrt(np.maximum(0.0, np.linalg.eigvalsh(spread[1:, 1:])))
    return (math.sqrt(max(0.0, float(spread[0, 0]))), float(length), float(height))


def height_width_ratio(ctx: Context) -> Measured:
    """Height of the cerebrum over its width: wrong where voxels are of another size along one axis.

    Of how its voxels spread, which single voxels do not change, across its length.
    """
    width, _, height = _spread_mm(ctx)
    return _ratio(height, width)


def length_width_ratio(ctx: Context) -> Measured:
    """Length of the cerebrum over its width, as `height_width_ratio`."""
    width, length, _ = _spread_mm(ctx)
    return _ratio(length, width)


def _ratio(one: float, other: float) -> Measured:
    if not other > 0:
        return Measured(math.nan, "too little is labelled")
    return Measured(one / other, "spread of the voxels of the cerebrum")


def cut_end_pct(ctx: Context) -> Measured:
    """Largest cross-section at an end of the brain, of its largest: a brain that was cut off.

    Whole brains taper towards top, front, back and sides; the lower end is not judged. Planes that
    are blank cut a brain off, too, and what is labelled in them does not count: networks go on.
    """
    labelled = ctx.groups > 0
    content = np.abs(ctx.volume) > 1e-6 * np.abs(ctx.volume).max()
    if np.count_nonzero(labelled) < _LEAST:
        return Measured(math.nan, "too little is labelled")
    found: dict[str, float] = {}
    for axis, (low, high) in enumerate(_ENDS):
        others = tuple(a for a in range(3) if a != axis)
        area = labelled.sum(axis=others) * (content.mean(axis=others) > _BLANK)
        hit = np.flatnonzero(area)
        if not hit.size:
            return Measured(math.nan, "labels lie where the image is blank")
        for name, at in ((low, hit[0]), (high, hit[-1])):
            if name:
                found[name] = 100.0 * float(area[at] / area.max())
    worst = max(found, key=found.__getitem__)
    return Measured(found[worst], f"at the {worst}")
