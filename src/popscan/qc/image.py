"""Checks of the image: field of view, coverage, noise, contrast, intensity, frames.

Each function takes the `Context` of a scan and returns a `Measured`; limits and units stand in
`popscan.qc.table`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.qc.context import Context
from popscan.qc.model import Measured, not_assessed
from popscan.records import Label

NO_LABELS = "there are no labels"
#: A slice whose LV area is at least this share of the largest is full of ventricle.
FILLED_PCT = 80.0


def non_finite_pct(ctx: Context) -> Measured:
    """Share of voxels that are NaN or infinite."""
    bad = np.count_nonzero(~np.isfinite(ctx.scan.array))
    return Measured(100.0 * bad / ctx.scan.array.size, f"{bad} voxels are NaN or infinite")


def pixel_spacing_mm(ctx: Context) -> Measured:
    """Larger of the in-plane spacings."""
    return Measured(
        max(ctx.spacing_mm[:2]), f"spacing {ctx.spacing_mm[0]:g} x {ctx.spacing_mm[1]:g} mm"
    )


def pixel_aspect(ctx: Context) -> Measured:
    """Ratio of the larger to the smaller in-plane spacing."""
    small, large = sorted(ctx.spacing_mm[:2])
    return Measured(large / small if small > 0 else math.nan, "in-plane spacings differ")


def slice_distance_mm(ctx: Context) -> Measured:
    """Distance between slices."""
    if ctx.n_slices == 1:
        return not_assessed("one slice has no distance to another")
    return Measured(ctx.spacing_mm[2], "distance between slice centres")


def affine_mismatch_pct(ctx: Context) -> Measured:
    """Largest relative difference between spacing_mm and the column lengths of the affine."""
    lengths = np.linalg.norm(np.asarray(ctx.scan.affine, float)[:3, :3], axis=0)
    spacing = np.asarray(ctx.spacing_mm)
    if not np.isfinite(lengths).all() or not (spacing > 0).all():
        return Measured(math.nan, "affine or spacing is not finite and positive")
    return Measured(
        100.0 * float(np.max(np.abs(lengths / spacing - 1.0))), "spacing against affine columns"
    )


def fov_mm(ctx: Context) -> Measured:
    """Smaller side of the in-plane field of view."""
    dx, dy, _ = ctx.spacing_mm
    sides = [ctx.scan.array.shape[0] * dx, ctx.scan.array.shape[1] * dy]
    return Measured(min(sides), f"field of view {sides[0]:.0f} x {sides[1]:.0f} mm")


def fov_margin_mm(ctx: Context) -> Measured:
    """Smallest in-plane distance of a labelled voxel's edge from the border of the image."""
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    lit = np.nonzero((ctx.labels > 0).any(axis=(2, 3)))
    if lit[0].size == 0:
        return Measured(math.nan, "nothing is labelled")
    margins = [
        min(index.min(), size - 1 - index.max()) * step
        for index, size, step in zip(lit, ctx.labels.shape[:2], ctx.spacing_mm[:2], strict=True)
    ]
    return Measured(float(min(margins)), "distance of the labelled heart from the image border")


def slice_count(ctx: Context) -> Measured:
    """Slices of the stack."""
    return Measured(float(ctx.n_slices), f"the stack has {ctx.n_slices} slices")


def stack_length_mm(ctx: Context) -> Measured:
    """Length of the stack along the slices: number of slices times their distance."""
    return Measured(
        ctx.n_slices * ctx.spacing_mm[2], f"{ctx.n_slices} slices, {ctx.spacing_mm[2]:g} mm apart"
    )


def _end_share_pct(ctx: Context, *, frame: int, end: int) -> Measured:
    area = ctx.base_to_apex(ctx.counts[Label.LV][:, frame]).astype(float)
    if not area.any():
        return Measured(math.nan, "no LV is labelled")
    where = "basal" if end == 0 else "apical"
    return Measured(
        100.0 * float(area[end] / area.max()),
        f"LV area in the stack's most {where} slice, of the largest slice (frame {frame})",
    )


def basal_coverage_pct(ctx: Context) -> Measured:
    """End-systolic LV area in the stack's most basal slice, of the largest slice's area.

    The base descends by a centimetre in systole: a stack that covers the ventricle at end-diastole
    has, at end-systole, atrium or nothing in its most basal slice. Much ventricle there means that
    the end-diastolic base lies outside the stack.
    """
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    if ctx.phases[1] is None:
        return not_assessed("end-systole is unknown")
    return _end_share_pct(ctx, frame=ctx.es, end=0)


def base_cut_ratio(ctx: Context) -> Measured:
    """Length over width of the LV where it fills the stack's most basal slice even in systole.

    That slice alone proves nothing (see `basal_coverage_pct`; many stacks start right at the
    base), and neither does a short ventricle: both together mean that basal slices are missing.
    """
    filled = basal_coverage_pct(ctx)
    if not filled.assessed or math.isnan(filled.value):
        return filled
    if filled.value < FILLED_PCT:
        return not_assessed("the stack reaches the base at end-systole")
    length, diameter = ctx.lv_size_mm
    return Measured(
        length / diameter if diameter > 0 else math.nan,
        f"LV in the most basal slice at ES; length {length:.0f} mm, diameter {diameter:.0f} mm",
    )


def apical_coverage_pct(ctx: Context) -> Measured:
    """End-diastolic LV area in the stack's most apical slice, of the largest slice's area."""
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    return _end_share_pct(ctx, frame=ctx.ed, end=-1)


def _heart_mask(ctx: Context, frame: int) -> NDArray[np.bool_]:
    """Voxels of the heart in one frame: labelled ones, or the central quarter without labels."""
    if ctx.labels is not None and (ctx.labels[..., frame] > 0).any():
        return ctx.labels[..., frame] > 0
    mask = np.zeros(ctx.scan.array.shape[:3], dtype=bool)
    nx, ny = ctx.scan.array.shape[:2]
    mask[nx // 4 : nx - nx // 4, ny // 4 : ny - ny // 4] = True
    return mask


def snr(ctx: Context) -> Measured:
    """Signal of the heart over noise.

    Signal is the median intensity of the labelled heart (the central quarter of the image without
    labels). Noise is the scaled median absolute value of the diagonal Haar details,
    ``(a - b - c + d) / 2`` over 2 x 2 voxels (Donoho and Johnstone, Biometrika 1994,
    doi:10.1093/biomet/81.3.425), over tissue only (voxels above half the mean of the slice), since
    air shows Rician noise or was set to 0. Edges are sparse in diagonal details, so the estimate is
    little raised by anatomy; interpolated or filtered images have correlated noise and read too
    good.
    """
    image = ctx.image[..., ctx.ed]
    detail = (image[1:, 1:] - image[1:, :-1] - image[:-1, 1:] + image[:-1, :-1]) / 2.0
    tissue = image > 0.5 * image.mean(axis=(0, 1))
    inside = tissue[1:, 1:] & tissue[1:, :-1] & tissue[:-1, 1:] & tissue[:-1, :-1]
    values = np.abs(detail[inside])
    signal = image[_heart_mask(ctx, ctx.ed)]
    if values.size == 0 or signal.size == 0:
        return Measured(math.nan, "the image is constant")
    sigma = 1.4826 * float(np.median(values))
    if sigma <= 0:
        return Measured(math.nan, "noise cannot be estimated: neighbouring voxels are equal")
    return Measured(float(np.median(signal)) / sigma, "median heart signal over noise")


def contrast_pct(ctx: Context) -> Measured:
    """End-diastolic contrast of LV blood to myocardium, of the dynamic range around the heart."""
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    image = ctx.image[..., ctx.ed][ctx.box]
    labels = ctx.heart[..., ctx.ed]
    blood, wall = image[labels == Label.LV], image[labels == Label.MYO]
    if blood.size == 0 or wall.size == 0:
        return Measured(math.nan, "LV or myocardium is not labelled")
    low, high = np.percentile(image, [1.0, 99.0])
    if high <= low:
        return Measured(math.nan, "the image is constant around the heart")
    difference = float(np.median(blood) - np.median(wall))
    return Measured(100.0 * difference / float(high - low), "LV blood minus myocardium")


def edge_width_mm(ctx: Context) -> Measured:
    """Width of the blood-to-wall edge at end-diastole: contrast over slope at the boundary.

    The slope is the median, over neighbouring pairs of LV and wall voxels, of the intensity step
    per mm; the contrast is that of the medians of the two. Blur by motion widens the edge, and so
    do labels that miss it. At least one voxel by construction, if labels follow the edge.
    """
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    image = ctx.image[..., ctx.ed][ctx.box]
    labels = ctx.heart[..., ctx.ed]
    blood, wall = labels == Label.LV, labels == Label.MYO
    slopes = []
    for axis in (0, 1):
        step = np.diff(image, axis=axis) / ctx.spacing_mm[axis]
        size = image.shape[axis] - 1
        before, after = (
            [mask.take(range(first, first + size), axis=axis) for mask in (blood, wall)]
            for first in (0, 1)
        )
        slopes += [-step[before[0] & after[1]], step[before[1] & after[0]]]
    slope = np.concatenate(slopes)
    if slope.size == 0:
        return Measured(math.nan, "LV and wall do not touch")
    contrast = float(np.median(image[blood]) - np.median(image[wall]))
    steepness = float(np.median(slope))
    if contrast <= 0 or steepness <= 0:
        return Measured(math.nan, "LV blood is not brighter than the wall at its edge")
    return Measured(contrast / steepness, "contrast over slope at the edge of the LV cavity")


def wall_spread_pct(ctx: Context) -> Measured:
    """Interquartile range of the wall's intensity at end-diastole, of the blood-to-wall contrast.

    Muscle is uniform in a cine; ghosts and blur by motion lay blood and fat over it. Voxels at the
    wall's rim (4 neighbours in plane) are left out, unless the wall has no others.
    """
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    image = ctx.image[..., ctx.ed][ctx.box]
    labels = ctx.heart[..., ctx.ed]
    wall = labels == Label.MYO
    cross = ndimage.generate_binary_structure(2, 1)[..., None]
    core = ndimage.binary_erosion(wall, cross)
    inside = image[core] if np.count_nonzero(core) >= 50 else image[wall]
    blood = image[labels == Label.LV]
    if inside.size == 0 or blood.size == 0:
        return Measured(math.nan, "LV or myocardium is not labelled")
    contrast = float(np.median(blood) - np.median(inside))
    if contrast <= 0:
        return Measured(math.nan, "LV blood is not brighter than the wall")
    low, high = np.percentile(inside, [25.0, 75.0])
    return Measured(100.0 * float(high - low) / contrast, "spread of intensities within the wall")


def saturation_pct(ctx: Context) -> Measured:
    """Share of the heart's voxels that have the largest intensity of the whole scan."""
    image = ctx.image[..., ctx.ed]
    inside = image[_heart_mask(ctx, ctx.ed)]
    top = float(ctx.image.max())
    share = 100.0 * float(np.mean(inside == top)) if inside.size else math.nan
    return Measured(share, f"voxels at the largest intensity {top:g}")


def blank_planes_pct(ctx: Context) -> Measured:
    """Share of slices x frames that are constant, or nearly so beside the others."""
    blank = ctx.blank_planes
    slices = np.nonzero(blank.any(axis=1))[0]
    note = f"blank in slices {slices.tolist()}" if slices.size else "no blank slice"
    return Measured(100.0 * float(blank.mean()), note)


def missing_frames(ctx: Context) -> Measured:
    """Frames that are blank, exact copies of the frame before, or absent by the frame times."""
    blank = int(ctx.blank_planes.all(axis=0).sum())
    image = ctx.image
    same = [
        t
        for t in range(1, ctx.n_frames)
        if np.array_equal(image[::4, ::4, :, t], image[::4, ::4, :, t - 1])
        and np.array_equal(image[..., t], image[..., t - 1])
    ]
    gaps = 0
    times = ctx.scan.frame_times_ms
    if times is not None and len(times) == ctx.n_frames >= 3 and np.isfinite(times).all():
        steps = np.diff(np.asarray(times, float))
        usual = float(np.median(steps))
        if usual > 0:
            gaps = int(np.maximum(np.round(steps / usual) - 1, 0).sum())
    return Measured(
        float(blank + len(same) + gaps),
        f"{blank} blank, {len(same)} copies of the frame before, {gaps} missing by frame times",
    )


def frame_count(ctx: Context) -> Measured:
    """Frames over the heart cycle."""
    if ctx.only_named_frames:
        return not_assessed("the source holds named frames (ED, ES) only")
    return Measured(float(ctx.n_frames), f"the scan has {ctx.n_frames} frames")


def cycle_coverage_pct(ctx: Context) -> Measured:
    """Share of the RR interval that the frames cover.

    Prospectively triggered cines end at 80 to 90%; much less leaves out filling, or systole.
    """
    times, rr_ms = ctx.scan.frame_times_ms, ctx.scan.meta.get("rr_ms")
    if ctx.only_named_frames or ctx.n_frames < 3 or times is None:
        return not_assessed("there are no times of a series of frames")
    if not isinstance(rr_ms, (int, float)) or not rr_ms > 0:
        return not_assessed("the source gives no RR interval")
    span = float(np.max(times) - np.min(times) + np.median(np.diff(np.asarray(times, float))))
    return Measured(100.0 * span / float(rr_ms), f"frames cover {span:.0f} of {rr_ms:.0f} ms")


def frame_times_pct(ctx: Context) -> Measured:
    """Largest deviation of a time step from the median step; 100 and more: times stand still."""
    times = ctx.scan.frame_times_ms
    if ctx.only_named_frames or ctx.n_frames < 3:
        return not_assessed("too few frames for a regular spacing in time")
    if times is None:
        return not_assessed("the source gives no frame times")
    steps = np.diff(np.asarray(times, float))
    if len(times) != ctx.n_frames or not np.isfinite(steps).all() or np.median(steps) <= 0:
        return Measured(math.nan, "frame times are not finite, increasing and one per frame")
    usual = float(np.median(steps))
    return Measured(
        100.0 * float(np.max(np.abs(steps / usual - 1.0))), f"median step {usual:.1f} ms"
    )


def slice_intensity_pct(ctx: Context) -> Measured:
    """Largest change of tissue intensity from one slice to the next, relative to the smaller."""
    level = np.median(ctx.tissue_level, axis=1)
    if ctx.n_slices < 2:
        return not_assessed("one slice has no neighbour")
    if not np.isfinite(level).all() or (level <= 0).any():
        return Measured(math.nan, "a slice has no tissue signal")
    steps = np.abs(np.diff(np.log(level)))
    worst = int(np.argmax(steps))
    return Measured(
        100.0 * math.expm1(float(steps[worst])), f"between slices {worst} and {worst + 1}"
    )


def frame_intensity_pct(ctx: Context) -> Measured:
    """Largest deviation of a frame's tissue intensity from the median of the frames."""
    if ctx.n_frames < 3:
        return not_assessed("too few frames for a drift in time")
    level = ctx.tissue_level.mean(axis=0)
    usual = float(np.median(level))
    if not np.isfinite(level).all() or usual <= 0:
        return Measured(math.nan, "a frame has no tissue signal")
    worst = int(np.argmax(np.abs(level - usual)))
    return Measured(100.0 * abs(float(level[worst]) / usual - 1.0), f"worst in frame {worst}")
