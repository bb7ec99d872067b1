"""Checks of a plane of flow: frames and cycle, encoding, background, regions, direction.

Limits are set by what the numbers mean and on simulated vessels, not on labelled faults of
patients: `fail` is left for planes whose volumes cannot be used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.flow_2d.analysis import VELOCITY, Plane, Vessel, analyse
from popscan.protocols.flow_2d.direction import against, positive_sign
from popscan.protocols.flow_2d.labels import LABELS
from popscan.qc import image as common
from popscan.qc.context import ScanContext
from popscan.qc.model import Measured, Spec, not_assessed

_GATEHOUSE = "Gatehouse et al. 2010, doi:10.1186/1532-429X-12-5: 0.6 cm/s is 5 % of an output"
_NONE = "no vessel has a region in every frame"


class FlowContext(ScanContext):
    """A plane, its vessels, and their flow."""

    @cached_property
    def coded(self) -> NDArray[np.uint8]:
        """Vessels (x, y, t)."""
        if self.labels is None:
            shape = self.scan.array.shape
            return np.zeros((*shape[:2], shape[3]), dtype=np.uint8)
        return self.labels[:, :, VELOCITY]

    @cached_property
    def plane(self) -> Plane:
        """Flow of the vessels."""
        return analyse(
            self.image,
            np.repeat(self.coded[:, :, np.newaxis], 2, axis=2),
            spacing_mm=self.spacing_mm,
            meta=self.scan.meta,
            frame_times_ms=self.scan.frame_times_ms,
        )

    @cached_property
    def drawn(self) -> dict[str, NDArray[np.bool_]]:
        """Region (x, y, t) of every vessel that has one in any frame."""
        regions = {name: self.coded == code for code, name in LABELS.names.items()}
        return {name: region for name, region in regions.items() if region.any()}

    def worst(
        self, measure: Callable[[Vessel], float], note: str, *, low: bool = False
    ) -> Measured:
        """Return the largest (or smallest) number over the vessels, and of which it is."""
        found = {name: measure(vessel) for name, vessel in self.plane.vessels.items()}
        if not found:
            return not_assessed(_NONE)
        unknown = [name for name, value in found.items() if math.isnan(value)]
        name = unknown[0] if unknown else (min if low else max)(found, key=lambda key: found[key])
        return Measured(found[name], f"{LABELS.words[name]}: {note}")


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


def frames_without_region(ctx: FlowContext) -> Measured:
    """Frames in which a vessel that others show has no region."""
    lost = {name: ctx.n_frames - int(r.any(axis=(0, 1)).sum()) for name, r in ctx.drawn.items()}
    if not lost:
        return Measured(float(ctx.n_frames), "no vessel is labelled")
    name = max(lost, key=lambda key: lost[key])
    return Measured(float(lost[name]), f"{LABELS.words[name]}")


def region_voxels(ctx: FlowContext) -> Measured:
    """Smallest region of a vessel in any frame, in pixels."""
    found = {name: r.sum(axis=(0, 1)) for name, r in ctx.drawn.items()}
    least = {name: int(n[n > 0].min()) for name, n in found.items()}
    if not least:
        return not_assessed("no vessel is labelled")
    name = min(least, key=lambda key: least[key])
    return Measured(float(least[name]), f"{LABELS.words[name]}, smallest frame")


def region_pieces(ctx: FlowContext) -> Measured:
    """Pieces of a vessel's region in a frame: one expected."""
    most, of = 0, ""
    for name, region in ctx.drawn.items():
        for t in range(region.shape[2]):
            pieces = int(ndimage.label(region[..., t], structure=np.ones((3, 3)))[1])
            if pieces > most:
                most, of = pieces, f"{LABELS.words[name]}, frame {t + 1}"
    return Measured(float(most), of) if most else not_assessed("no vessel is labelled")


def at_border_voxels(ctx: FlowContext) -> Measured:
    """Labelled pixels at the border of the image: the vessel is cut off."""
    edge = np.ones(ctx.coded.shape[:2], dtype=bool)
    edge[1:-1, 1:-1] = False
    return Measured(
        float((ctx.coded.astype(bool) & edge[..., np.newaxis]).any(axis=2).sum()),
        "labelled pixels at the border of the image, in any frame",
    )


def flow_beside_pct(ctx: FlowContext) -> Measured:
    """Flow in the pixels around a region, of the flow within."""
    return ctx.worst(lambda vessel: vessel.beside_pct, "flow in the pixels around the region")


def region_jump_mm(ctx: FlowContext) -> Measured:
    """How far a region's centre lies off the middle of those of the frames beside it."""
    return _jump(ctx, _centres, "frame {} against those beside it")


def area_jump_pct(ctx: FlowContext) -> Measured:
    """How far a region's area lies off the mean of the frames beside it."""
    return _jump(ctx, _areas, "area of frame {} against those beside it")


def _jump(ctx: FlowContext, measure: Callable[..., NDArray[np.float64]], note: str) -> Measured:
    most, of = math.nan, ""
    for name, region in ctx.drawn.items():
        if region.shape[2] < 4 or not region.any(axis=(0, 1)).all():
            continue
        points = measure(region, ctx.spacing_mm)
        beside = 0.5 * (np.roll(points, 1, axis=0) + np.roll(points, -1, axis=0))
        apart = np.linalg.norm(points - beside, axis=1)
        if not apart.max() <= most:
            most = float(apart.max())
            of = f"{LABELS.words[name]}, {note.format(int(apart.argmax()) + 1)}"
    return Measured(most, of) if of else not_assessed(_NONE)


def _centres(region: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    step = np.asarray(spacing_mm[:2])
    return np.stack([np.argwhere(region[..., t]).mean(axis=0) * step
                     for t in range(region.shape[2])])  # fmt: skip


def _areas(region: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    counts = region.sum(axis=(0, 1)).astype(float)
    return 100.0 * counts[:, np.newaxis] / counts.mean()


def regions_alike(ctx: FlowContext) -> Measured:
    """Vessels whose region is the same in every frame: drawn once, though vessels move."""
    if not ctx.drawn:
        return not_assessed("no vessel is labelled")
    same = [name for name, r in ctx.drawn.items() if (r == r[..., :1]).all()]
    return Measured(float(len(same)), ", ".join(LABELS.words[name] for name in same) or "none")


def against_direction(ctx: FlowContext) -> Measured:
    """Vessels whose net flow is against where their blood flows to, or against each other."""
    towards = str(ctx.scan.meta.get("flow", {}).get("positive", "auto"))
    sign = positive_sign(towards, ctx.scan.affine) if ctx.scan.meta.get(
        "orientation_known", True) else 0  # fmt: skip
    flows = {
        name: -1.0 if vessel.numbers.turned else 1.0 for name, vessel in ctx.plane.vessels.items()
    }
    if not flows:
        return not_assessed(_NONE)
    if towards != "auto" and not sign:
        return not_assessed(f"the plane does not lie across the direction to the {towards}")
    if towards == "auto" and len(flows) < 2:
        return not_assessed("one vessel, and source.flow.positive is not set")
    found = against(flows, sign)
    return Measured(float(len(found)), ", ".join(LABELS.words[n] for n in found) or "none")


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
        measure=peak_of_venc_pct, kind="image", unit="%", bad="outside", review=(20.0, 150.0),
        fail=(2.0, 300.0), meaning="Fastest velocity of a vessel over the encoding: far below it "
        "noise is large, far above aliasing is not put right, or the encoding is another",
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
