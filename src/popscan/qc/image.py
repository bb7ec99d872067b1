"""Checks of any scan: spacing, field of view, slices.

Each function takes the `ScanContext` of a scan and returns a `Measured`; limits and units stand in
the table of a protocol's checks. The first sentence of its docstring is the check's meaning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from popscan.qc.context import ScanContext
from popscan.qc.model import Measured, Spec, not_assessed


def non_finite_pct(ctx: ScanContext) -> Measured:
    """Share of voxels that are NaN or infinite."""
    bad = np.count_nonzero(~np.isfinite(ctx.scan.array))
    return Measured(100.0 * bad / ctx.scan.array.size, f"voxels that are NaN or infinite: {bad}")


def pixel_spacing_mm(ctx: ScanContext) -> Measured:
    """Larger of the in-plane spacings."""
    return Measured(
        max(ctx.spacing_mm[:2]), f"spacing {ctx.spacing_mm[0]:g} x {ctx.spacing_mm[1]:g} mm"
    )


def pixel_aspect(ctx: ScanContext) -> Measured:
    """Ratio of the larger to the smaller in-plane spacing."""
    small, large = sorted(ctx.spacing_mm[:2])
    return Measured(large / small if small > 0 else math.nan, "in-plane spacings differ")


def slice_distance_mm(ctx: ScanContext) -> Measured:
    """Distance between slices."""
    if ctx.n_slices == 1:
        return not_assessed("one slice has no distance to another")
    return Measured(ctx.spacing_mm[2], "distance between slice centres")


def affine_mismatch_pct(ctx: ScanContext) -> Measured:
    """Largest relative difference between the spacings that one header gives.

    Of a NIfTI file sform and pixdim are compared (see `popscan.io.nifti_geometry.image_geometry`),
    and the slices' distance with that of the sidecar where it is their thickness;
    of any scan, spacing_mm and the column lengths of the affine.
    """
    conflict = ctx.scan.meta.get("spacing_conflict_pct")
    if isinstance(conflict, (int, float)) and conflict > 0:
        if "sform_spacing_mm" not in ctx.scan.meta:
            stated = ctx.scan.meta.get("stated_step_mm", math.nan)
            return Measured(
                float(conflict),
                f"slices lie {ctx.spacing_mm[2]:g} mm apart, which is their thickness; the sidecar "
                f"says {stated:g} mm from slice to slice",
            )
        sform, pixdim = (
            " x ".join(f"{value:g}" for value in ctx.scan.meta.get(f"{name}_spacing_mm", ()))
            for name in ("sform", "pixdim")
        )
        used = " x ".join(f"{value:g}" for value in ctx.spacing_mm)
        return Measured(
            float(conflict), f"sform says {sform} mm, pixdim {pixdim} mm; measured with {used} mm"
        )
    lengths = np.linalg.norm(np.asarray(ctx.scan.affine, float)[:3, :3], axis=0)
    spacing = np.asarray(ctx.spacing_mm)
    if not np.isfinite(lengths).all() or not (spacing > 0).all():
        return Measured(math.nan, "affine or spacing is not finite and positive")
    return Measured(
        100.0 * float(np.max(np.abs(lengths / spacing - 1.0))), "spacing against affine columns"
    )


def orientation_conflict_deg(ctx: ScanContext) -> Measured:
    """Angle between the axes of sform and of qform, where one of them has to be wrong.

    The sform is used. A mirror image (180 degrees) exchanges left and right.
    """
    degrees = ctx.scan.meta.get("orientation_conflict_deg", 0.0)
    known = isinstance(degrees, (int, float))
    return Measured(
        float(degrees) if known else math.nan,
        "sform and qform of the NIfTI header disagree; the sform is used" if degrees else "",
    )


def fov_mm(ctx: ScanContext) -> Measured:
    """Smaller side of the in-plane field of view."""
    dx, dy, _ = ctx.spacing_mm
    sides = [ctx.scan.array.shape[0] * dx, ctx.scan.array.shape[1] * dy]
    return Measured(min(sides), f"field of view {sides[0]:.0f} x {sides[1]:.0f} mm")


def slice_count(ctx: ScanContext) -> Measured:
    """Slices of the stack."""
    return Measured(float(ctx.n_slices), f"slices of the stack: {ctx.n_slices}")


def stack_length_mm(ctx: ScanContext) -> Measured:
    """Length of the stack along the slices: number of slices times their distance."""
    return Measured(
        ctx.n_slices * ctx.spacing_mm[2], f"{ctx.n_slices} slices, {ctx.spacing_mm[2]:g} mm apart"
    )


def blank_planes_pct(ctx: ScanContext) -> Measured:
    """Share of slices x frames that are constant, or nearly so beside the others."""
    blank = ctx.blank_planes
    slices = np.nonzero(blank.any(axis=1))[0]
    note = f"blank in slices {slices.tolist()}" if slices.size else "no blank slice"
    return Measured(100.0 * float(blank.mean()), note)


def slice_frame_change_ratio(ctx: ScanContext) -> Measured:
    """Change from slice to slice over the change from frame to frame; low: axes may be exchanged.

    Mean absolute difference of neighbours along the third and the fourth axis, grey values cut at
    their 1st and 99th percentile. Neighbouring frames of a cycle differ far less than slices
    millimetres apart, whatever is imaged; noise alone gives 1.
    """
    array = ctx.scan.array[::2, ::2]
    if array.ndim < 4 or min(array.shape[2:4]) < 3:
        return not_assessed("fewer than three slices or frames")
    low, high = np.nanpercentile(array, [1.0, 99.0])
    if not high > low:
        return not_assessed("an image without contrast")
    grey = np.clip(array, low, high).astype(np.float32)
    by_slice, by_frame = (float(np.nanmean(np.abs(np.diff(grey, axis=a)))) for a in (2, 3))
    if by_frame == 0:
        return not_assessed("all frames are equal")
    n_slices, n_frames = array.shape[2:4]
    return Measured(
        by_slice / by_frame,
        f"read as {n_slices} slices of {n_frames} frames; the file may hold the frames first",
    )


#: Checks of the header's geometry that every protocol has: what is measured in mm stands on it.
GEOMETRY: Mapping[str, Spec] = {
    "affine_mismatch_pct": Spec(
        measure=affine_mismatch_pct, kind="image", unit="%", bad="high", review=1.0, fail=5.0,
        meaning="Largest relative difference between the spacings that one header gives",
    ),
    "orientation_conflict_deg": Spec(
        measure=orientation_conflict_deg, kind="image", unit="degrees", bad="high", review=0.0,
        fail=None,
        meaning="Angle between the axes of sform and of qform, where one of them has to be wrong",
    ),
}  # fmt: skip
