"""Checks of a plane of flow: frames and cycle, encoding, background, regions, direction.

Limits are set by what the numbers mean and on simulated vessels, not on labelled faults of
patients: `fail` is left for planes whose volumes cannot be used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from popscan.protocols.flow_2d.context import FlowContext
from popscan.protocols.flow_2d.qc_regions import (
    against_direction,
    area_jump_pct,
    at_border_voxels,
    flow_beside_pct,
    frames_without_region,
    label_frames_off_pct,
    region_jump_mm,
    region_pieces,
    region_voxels,
    regions_alike,
)
from popscan.qc import image as common
from popscan.qc.fit import frames_off_spec
from popscan.qc.model import Measured, Spec, not_assessed

_GATEHOUSE = "Gatehouse et al. 2010, doi:10.1186/1532-429X-12-5: 0.6 cm/s is 5 % of an output"


def frame_count(ctx: FlowContext) -> Measured:
    """Frames of the cycle: with few, peaks are cut off."""
    return Measured(float(ctx.n_frames), "frames of the cycle")


def rr_ms(ctx: FlowContext) -> Measured:
    """Length of the cycle: whether it can be, and is known."""
    cycle = ctx.plane.cycle
    note = f"by {cycle.by}" if cycle.by else "neither frame times nor RR interval are known"
    return Measured(cycle.rr_ms, note)


def covered_pct(ctx: FlowContext) -> Measured:
    """Share of the header's RR interval that the frames cover."""
    found = ctx.plane.cycle.covered_pct
    if not math.isfinite(found):
        return not_assessed("RR interval or frame times are not known")
    return Measured(found, "length of all frames over the RR interval")


def frames_uneven_pct(ctx: FlowContext) -> Measured:
    """Largest deviation of a distance of frames from the median one: a frame may be lost."""
    found = ctx.plane.cycle.uneven_pct
    if not math.isfinite(found):
        return not_assessed("frame times are not known")
    return Measured(found, "of the median distance of frames")


def peak_of_venc_pct(ctx: FlowContext) -> Measured:
    """Fastest velocity of a vessel, aliasing put right, over the encoding."""
    return ctx.worst(
        lambda vessel: 100.0 * vessel.numbers.peak_cm_s / ctx.plane.venc_cm_s,
        f"peak over the encoding of {ctx.plane.venc_cm_s:g} cm/s",
    )


def aliased_pct(ctx: FlowContext) -> Measured:
    """Return the samples of a vessel whose aliasing was put right."""
    return ctx.worst(lambda vessel: vessel.unwrapped.aliased_pct, "samples moved by a turn")


def torn_pct(ctx: FlowContext) -> Measured:
    """Neighbouring samples of a vessel that differ by more than the encoding."""
    return ctx.worst(lambda vessel: vessel.unwrapped.torn_pct, "neighbours apart after unwrapping")


def still_voxels(ctx: FlowContext) -> Measured:
    """Voxels of still tissue that the background was fitted to; 0 without a correction."""
    return Measured(float(ctx.plane.background.still.sum()), "voxels of still tissue")


def background_cm_s(ctx: FlowContext) -> Measured:
    """Offset that was taken off in a vessel."""
    if not ctx.plane.background.corrected:
        return not_assessed("too little still tissue: nothing was taken off")
    return ctx.worst(lambda vessel: abs(vessel.offset_cm_s), "mean offset within the region")


def background_curved_cm_s(ctx: FlowContext) -> Measured:
    """By how much a paraboloid takes off another offset in a vessel than the plane."""
    if not ctx.plane.background.corrected:
        return not_assessed("too little still tissue: nothing was taken off")
    return ctx.worst(lambda vessel: abs(vessel.curved_cm_s), "paraboloid less plane")


def net_se_pct(ctx: FlowContext) -> Measured:
    """Return the standard error of a vessel's net volume, of the volume forward."""
    if not ctx.plane.background.corrected:
        return not_assessed("too little still tissue: the error is not known")
    if not math.isfinite(ctx.plane.cycle.frame_ms):
        return not_assessed("the frames' times are not known")
    return ctx.worst(
        lambda vessel: 100.0 * vessel.numbers.net_se_ml / max(vessel.numbers.forward_ml, 1e-9),
        "standard error over volume forward",
    )


def net_ml(ctx: FlowContext) -> Measured:
    """Smallest net volume of a vessel: whether it can be."""
    if not math.isfinite(ctx.plane.cycle.frame_ms):
        return Measured(math.nan, "the frames' times are not known")
    return ctx.worst(lambda vessel: vessel.numbers.net_ml, "net volume", low=True)


def largest_net_ml(ctx: FlowContext) -> Measured:
    """Largest net volume of a vessel: whether it can be."""
    if not math.isfinite(ctx.plane.cycle.frame_ms):
        return Measured(math.nan, "the frames' times are not known")
    return ctx.worst(lambda vessel: vessel.numbers.net_ml, "net volume")


def regurgitant_pct(ctx: FlowContext) -> Measured:
    """Largest share of a vessel's forward volume that flows back."""
    return ctx.worst(lambda vessel: vessel.numbers.backward_pct, "backward over forward")


CHECKS: Mapping[str, Spec] = {
    "pixel_spacing_mm": Spec(
        measure=common.pixel_spacing_mm, kind="image", unit="mm",
        meaning="Larger of the in-plane spacings", bad="high", review=2.5, fail=5.0,
    ),
    **common.GEOMETRY,
    "frame_count": Spec(
        measure=frame_count, kind="image", unit="frames", bad="low", review=20.0, fail=5.0,
        meaning="Frames of the cycle; with few, peaks are cut off",
    ),
    "rr_ms": Spec(
        measure=rr_ms, kind="image", unit="ms", bad="outside", review=(500.0, 1500.0), fail=None,
        meaning="RR interval of the header, else the length of the frames; without either no "
        "volume has a value",
    ),
    "covered_pct": Spec(
        measure=covered_pct, kind="image", unit="%", bad="outside", review=(85.0, 115.0),
        fail=None, meaning="Share of the header's RR interval that the frames cover",
    ),
    "frames_uneven_pct": Spec(
        measure=frames_uneven_pct, kind="image", unit="%", bad="high", review=20.0, fail=None,
        meaning="Largest deviation of a distance of frames from the median one: a frame may be "
        "lost, and volumes count all frames as equally long",
    ),
    "peak_of_venc_pct": Spec(
        measure=peak_of_venc_pct, kind="image", unit="%", bad="outside", review=(32.0, 150.0),
        fail=(2.0, 300.0), meaning="Fastest velocity of a vessel over the encoding: far below it "
        "noise is large, or half turns were taken for radians (a peak of at most 32%), far above "
        "aliasing is not put right, or the encoding is another",
    ),
    "aliased_pct": Spec(
        measure=aliased_pct, kind="image", unit="%", bad="high", review=0.5, fail=45.0,
        meaning="Samples of a vessel whose aliasing was put right; above one half it cannot be",
    ),
    "torn_pct": Spec(
        measure=torn_pct, kind="image", unit="%", bad="high", review=0.5, fail=10.0,
        meaning="Neighbouring samples of a vessel that differ by more than the encoding after "
        "unwrapping: it did not hold",
    ),
    "still_voxels": Spec(
        measure=still_voxels, kind="image", unit="voxels", bad="low", review=200.0, fail=None,
        meaning="Voxels of still tissue that the background was fitted to; 0: nothing was taken "
        "off",
    ),
    "background_cm_s": Spec(
        measure=background_cm_s, kind="image", unit="cm/s", bad="high", review=2.0, fail=None,
        meaning="Mean offset that was taken off within a vessel", source=_GATEHOUSE,
    ),
    "background_curved_cm_s": Spec(
        measure=background_curved_cm_s, kind="image", unit="cm/s", bad="high", review=0.2,
        fail=None, meaning="By how much a paraboloid takes off another offset within a vessel than "
        "the plane: the background is no plane", source=_GATEHOUSE,
    ),
    "net_se_pct": Spec(
        measure=net_se_pct, kind="image", unit="%", bad="high", review=5.0, fail=None,
        meaning="Standard error of a vessel's net volume by noise and background, of its volume "
        "forward",
    ),
    "frames_without_region": Spec(
        measure=frames_without_region, kind="segmentation", unit="frames", bad="high", review=0.0,
        fail=0.0, meaning="Frames in which a labelled vessel has no region",
    ),
    "region_voxels": Spec(
        measure=region_voxels, kind="segmentation", unit="voxels", bad="low", review=30.0, fail=6.0,
        meaning="Smallest region of a vessel in any frame",
    ),
    "region_pieces": Spec(
        measure=region_pieces, kind="segmentation", unit="pieces", bad="high", review=1.0,
        fail=None, meaning="Most pieces of a vessel's region in a frame",
    ),
    "at_border_voxels": Spec(
        measure=at_border_voxels, kind="segmentation", unit="voxels", bad="high", review=0.0,
        fail=40.0, meaning="Labelled pixels at the border of the image: the vessel is cut off",
    ),
    "flow_beside_pct": Spec(
        measure=flow_beside_pct, kind="segmentation", unit="%", bad="high", review=3.0, fail=None,
        meaning="Flow of the cycle in the pixels around a region, of the flow within: the region "
        "is too narrow, or another vessel lies beside it",
    ),
    "region_jump_mm": Spec(
        measure=region_jump_mm, kind="segmentation", unit="mm", bad="high", review=3.0, fail=15.0,
        meaning="How far a region's centre lies off the middle of those of the frames beside it",
    ),
    "area_jump_pct": Spec(
        measure=area_jump_pct, kind="segmentation", unit="%", bad="high", review=30.0, fail=None,
        meaning="How far a region's area lies off the mean of the frames beside it, of its mean",
    ),
    "regions_alike": Spec(
        measure=regions_alike, kind="segmentation", unit="vessels", bad="high", review=0.0,
        fail=None, meaning="Vessels whose region is the same in every frame, though vessels move",
    ),
    "label_frames_off_pct": frames_off_spec(label_frames_off_pct),
    "against_direction": Spec(
        measure=against_direction, kind="segmentation", unit="vessels", bad="high", review=0.0,
        fail=None, meaning="Vessels whose largest flow is against where their blood flows to "
        "(source.flow.positive), or that contradict each other",
    ),
    "net_ml": Spec(
        measure=net_ml, kind="segmentation", unit="mL", bad="low", review=20.0, fail=0.0,
        meaning="Smallest net volume of a vessel per beat",
    ),
    "largest_net_ml": Spec(
        measure=largest_net_ml, kind="segmentation", unit="mL", bad="high", review=160.0,
        fail=400.0, meaning="Largest net volume of a vessel per beat",
    ),
    "regurgitant_pct": Spec(
        measure=regurgitant_pct, kind="segmentation", unit="%", bad="high", review=40.0, fail=None,
        meaning="Largest share of a vessel's forward volume that flows back",
    ),
}  # fmt: skip
