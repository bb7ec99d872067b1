"""Checks of intensities: noise, contrast, sharpness, saturation, steadiness.

Each function takes the `Context` of a scan and returns a `Measured`; limits and units stand in
`popscan.protocols.cine_sax.qc.table`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.qc.context import Context
from popscan.protocols.cine_sax.qc.image import NO_LABELS
from popscan.qc.model import Measured, not_assessed


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
