"""Checks of a map: did the fit hold, are the values possible, is the region large enough.

Limits are set by what the numbers mean, not on labelled faults: `fail` is left for maps that
cannot be used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.t1_map.labels import LV, MYO
from popscan.protocols.t1_map.qc_risk import error_risk
from popscan.qc import image as common
from popscan.qc.context import ScanContext
from popscan.qc.fit import label_misfit, misfit_spec
from popscan.qc.model import Measured, Spec, not_assessed
from popscan.qc.proof import UNPROVEN_LABELS
from popscan.relaxometry import RegionValue, region_value

#: Limits of the shipped model, chosen on patients that were kept out of its training for this
#: (`benchmarks/mapping_segmentation.py`): the risk finds 9 of 10 wrong results there. What the
#: draws differ by themselves asks for a review only where next to no right result does.
SAMPLE_DICE, SAMPLED_SD_PCT, RISK = 0.50, 10.0, 0.37


class MapContext(ScanContext):
    """A map in its first frame, the doubt in the others, and the regions."""

    @cached_property
    def map_ms(self) -> NDArray[np.float64]:
        """The map (x, y, z), NaN for no value."""
        values = self.image[..., 0].astype(float)
        return np.where(values > 0, values, np.nan)

    def region(self, code: int) -> NDArray[np.bool_]:
        """Where a region is."""
        if self.labels is None:
            return np.zeros(self.scan.array.shape[:3], dtype=bool)
        return np.asarray(self.labels[..., 0] == code)

    @cached_property
    def wall(self) -> RegionValue:
        """The map in the myocardium."""
        return region_value(self.map_ms, self.region(MYO), spacing_mm=self.spacing_mm)

    def frame(self, name: str) -> NDArray[np.float64] | None:
        """One of the further frames; None where the map was ready-made."""
        names = self.scan.meta.get("frame_labels") or []
        return self.image[..., names.index(name)].astype(float) if name in names else None


def wall_failed_pct(ctx: MapContext) -> Measured:
    """Voxels of the myocardium without a value."""
    return Measured(ctx.wall.failed_pct, "voxels of the myocardium without a value")


def wall_voxels(ctx: MapContext) -> Measured:
    """Voxels of the myocardium that have a value."""
    return Measured(float(ctx.wall.n_voxels), "voxels of the myocardium with a value")


def wall_border_shift_pct(ctx: MapContext) -> Measured:
    """How far border voxels move the myocardium's mean, of the mean without them."""
    if not math.isfinite(ctx.wall.border_shift):
        return not_assessed("no voxel of the myocardium is off its border")
    return Measured(
        100.0 * abs(ctx.wall.border_shift) / ctx.wall.core_mean,
        f"mean {ctx.wall.mean:.0f} ms, without border voxels {ctx.wall.core_mean:.0f} ms",
    )


def label_misfit_pct(ctx: MapContext) -> Measured:
    """How much less of the map the regions explain than they would if they were moved."""
    return label_misfit(
        ctx.map_ms, None if ctx.labels is None else ctx.labels[..., 0], ctx.spacing_mm
    )


def wall_residual_pct(ctx: MapContext) -> Measured:
    """Median residual of the fit in the myocardium, of the signal: motion, wrong model."""
    found = _residual_pct(ctx, MYO)
    return Measured(math.nan, "no value in the myocardium") if found is None else found


def blood_residual_pct(ctx: MapContext) -> Measured:
    """Median residual of the fit in the left-ventricular blood, of the signal."""
    found = _residual_pct(ctx, LV)
    return not_assessed("the left-ventricular blood has no value") if found is None else found


def _residual_pct(ctx: MapContext, code: int) -> Measured | None:
    residual = ctx.frame("residual_pct")
    inside = ctx.region(code) & np.isfinite(ctx.map_ms)
    if residual is None:
        return not_assessed("a ready-made map has no residuals")
    if not inside.any():
        return None
    return Measured(float(np.median(residual[inside])), "residual of the fit over the signal")


def wall_outlier_shift_pct(ctx: MapContext) -> Measured:
    """How far voxels beyond twice or below half the median move the myocardium's mean."""
    values = ctx.map_ms[ctx.region(MYO) & np.isfinite(ctx.map_ms)]
    if not values.size:
        return Measured(math.nan, "no value in the myocardium")
    middle = float(np.median(values))
    believed = values[(values >= 0.5 * middle) & (values <= 2.0 * middle)]
    return Measured(
        100.0 * abs(float(values.mean() / believed.mean()) - 1.0),
        f"{values.size - believed.size} of {values.size} voxels beyond twice or below half the "
        f"median, {middle:.0f} ms",
    )


def seconds_guessed(ctx: MapContext) -> Measured:
    """Whether seconds are a guess from the values: a map of rates, in 1/s, has the same range."""
    return Measured(
        float(bool(ctx.scan.meta.get("seconds_guessed"))),
        "neither sidecar nor config gives the unit; source.mapping.unit does",
    )


def other_series(ctx: MapContext) -> Measured:
    """Further series at the same place, of which the last was taken."""
    n = float(ctx.scan.meta.get("other_series", 0))
    return Measured(n, "series at the same place that were not taken: of before or after contrast?")


def image_shift_mm(ctx: MapContext) -> Measured:
    """How far one image lies from where the others are: breathing between the images."""
    shift = ctx.scan.meta.get("image_shift_mm")
    if not isinstance(shift, int | float) or not math.isfinite(shift):
        return not_assessed("a ready-made map, or too few images")
    return Measured(float(shift), "largest shift in the plane of one image against the others")


def wall_se_pct(ctx: MapContext) -> Measured:
    """Median standard error of a voxel of the myocardium, of its value."""
    se = ctx.frame("se_ms")
    inside = ctx.region(MYO) & np.isfinite(ctx.map_ms)
    if se is None:
        return not_assessed("a ready-made map has no standard errors")
    if not inside.any():
        return Measured(math.nan, "no value in the myocardium")
    return Measured(
        100.0 * float(np.median(se[inside] / ctx.map_ms[inside])), "standard error over value"
    )


def wall_ms(ctx: MapContext) -> Measured:
    """Mean of the myocardium: whether it can be."""
    return Measured(ctx.wall.mean, "mean of the myocardium")


def blood_wall_ratio(ctx: MapContext) -> Measured:
    """Blood of the left ventricle over myocardium: above 1 without contrast agent."""
    blood = region_value(ctx.map_ms, ctx.region(LV), spacing_mm=ctx.spacing_mm)
    if not blood.n_voxels:
        return not_assessed("the left-ventricular blood is not labelled")
    return Measured(blood.core_mean / ctx.wall.core_mean, "without border voxels")


def wall_sample_dice(ctx: MapContext) -> Measured:
    """How much drawn segmentations of the myocardium overlap."""
    return _of_draws(ctx, "sample_dice_wall", "mean Dice of all pairs of drawn segmentations")


def wall_sampled_sd_pct(ctx: MapContext) -> Measured:
    """How much the mean of the myocardium differs between drawn segmentations."""
    return _of_draws(ctx, "sampled_sd_wall_pct", "spread of the mean over drawn segmentations")


def _of_draws(ctx: MapContext, name: str, words: str) -> Measured:
    found = ctx.from_segmentation.get(name)
    if "sample_dice_wall" not in ctx.from_segmentation:
        return not_assessed("the labels were given; nothing was drawn")
    if not isinstance(found, int | float) or not math.isfinite(found):
        return Measured(math.nan, "no myocardium in the drawn segmentations")
    return Measured(float(found), words)


def checks(review_ms: tuple[float, float], fail_ms: tuple[float, float]) -> Mapping[str, Spec]:
    """Return the checks of a map, by between which values its myocardium passes and can be used."""
    return {
        "pixel_spacing_mm": Spec(
            measure=common.pixel_spacing_mm, kind="image", unit="mm",
            meaning="Larger of the in-plane spacings", bad="high", review=2.5, fail=5.0,
        ),
        **common.GEOMETRY,
        "wall_voxels": Spec(
            measure=wall_voxels, kind="segmentation", unit="voxels",
            meaning="Voxels of the myocardium with a value", bad="low", review=60.0, fail=10.0,
        ),
        "unproven_labels": UNPROVEN_LABELS,
        "label_misfit_pct": misfit_spec(label_misfit_pct),
        "wall_failed_pct": Spec(
            measure=wall_failed_pct, kind="segmentation", unit="%",
            meaning="Voxels of the myocardium without a value", bad="high", review=2.0, fail=30.0,
        ),
        "wall_residual_pct": Spec(
            measure=wall_residual_pct, kind="image", unit="%",
            meaning="Median residual of the fit in the myocardium, of the signal", bad="high",
            review=6.0, fail=25.0,
        ),
        "blood_residual_pct": Spec(
            measure=blood_residual_pct, kind="image", unit="%",
            meaning="Median residual of the fit in the left-ventricular blood, of the signal",
            bad="high", review=6.0, fail=None,
        ),
        "wall_outlier_shift_pct": Spec(
            measure=wall_outlier_shift_pct, kind="image", unit="%",
            meaning="How far voxels beyond twice or below half the median move the mean of the "
            "myocardium (what a map holds where its fit failed)",
            bad="high", review=1.0, fail=15.0,
        ),
        "seconds_guessed": Spec(
            measure=seconds_guessed, kind="image", unit="maps",
            meaning="A map in s by its values alone, which could be one of rates in 1/s",
            bad="high", review=0.0, fail=None,
        ),
        "other_series": Spec(
            measure=other_series, kind="image", unit="series",
            meaning="Further series of DICOM at the same place, of which the last was taken; "
            "source.mapping.name chooses",
            bad="high", review=0.0, fail=None,
        ),
        "image_shift_mm": Spec(
            measure=image_shift_mm, kind="image", unit="mm",
            meaning="How far the edges of one raw image lie from those of the others (breathing)",
            bad="high", review=3.0, fail=None,
        ),
        "wall_se_pct": Spec(
            measure=wall_se_pct, kind="image", unit="%",
            meaning="Median standard error of a voxel of the myocardium, of its value", bad="high",
            review=10.0, fail=40.0,
        ),
        "wall_border_shift_pct": Spec(
            measure=wall_border_shift_pct, kind="segmentation", unit="%",
            meaning="How far border voxels move the mean of the myocardium (partial volume)",
            bad="high", review=3.0, fail=15.0,
        ),
        "wall_ms": Spec(
            measure=wall_ms, kind="segmentation", unit="ms",
            meaning="Mean of the myocardium, before contrast agent",
            bad="outside", review=review_ms, fail=fail_ms,
        ),
        "wall_sample_dice": Spec(
            measure=wall_sample_dice, kind="segmentation", unit="",
            meaning="Mean Dice of all pairs of drawn segmentations of the myocardium", bad="low",
            review=SAMPLE_DICE, fail=None,
        ),
        "wall_sampled_sd_pct": Spec(
            measure=wall_sampled_sd_pct, kind="segmentation", unit="%",
            meaning="Spread over drawn segmentations of the mean of the myocardium, of its value",
            bad="high", review=SAMPLED_SD_PCT, fail=None,
        ),
        "error_risk": Spec(
            measure=error_risk, kind="segmentation", unit="probability",
            meaning="Probability that the mean of the myocardium is off by over 5% or its Dice "
            "below 0.7, from all signs of drawn segmentations (simulated maps)",
            bad="high", review=RISK, fail=None,
        ),
        "blood_wall_ratio": Spec(
            measure=blood_wall_ratio, kind="segmentation", unit="ratio",
            meaning="Left-ventricular blood over myocardium; below 1 after contrast agent, or "
            "where labels are exchanged",
            bad="low", review=1.0, fail=None,
        ),
    }  # fmt: skip


#: Native values, from iron overload at 1.5 T to oedema at 3 T. What is below is a map after
#: contrast agent, in another unit, or of something else; a study of such maps sets its own limits.
CHECKS: Mapping[str, Spec] = checks((650.0, 1600.0), (125.0, 2400.0))
