"""Checks of the regions of vessels: in every frame, whole, in one place, and along the flow."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.flow_2d.analysis import MAGNITUDE
from popscan.protocols.flow_2d.context import NO_VESSEL, FlowContext
from popscan.protocols.flow_2d.direction import against, positive_sign
from popscan.protocols.flow_2d.labels import LABELS
from popscan.qc.fit import label_frames_off
from popscan.qc.model import Measured, not_assessed


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
    return Measured(most, of) if of else not_assessed(NO_VESSEL)


def _centres(region: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    step = np.asarray(spacing_mm[:2])
    return np.stack([np.argwhere(region[..., t]).mean(axis=0) * step
                     for t in range(region.shape[2])])  # fmt: skip


def _areas(region: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    counts = region.sum(axis=(0, 1)).astype(float)
    return 100.0 * counts[:, np.newaxis] / counts.mean()


def label_frames_off_pct(ctx: FlowContext) -> Measured:
    """How far in the cycle regions lie from the magnitude images that they fit best."""
    return label_frames_off(ctx.image[:, :, MAGNITUDE : MAGNITUDE + 1], ctx.coded[:, :, np.newaxis])


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
        return not_assessed(NO_VESSEL)
    if towards != "auto" and not sign:
        return not_assessed(f"the plane does not lie across the direction to the {towards}")
    if towards == "auto" and len(flows) < 2:
        return not_assessed("one vessel, and source.flow.positive is not set")
    found = against(flows, sign)
    return Measured(float(len(found)), ", ".join(LABELS.words[n] for n in found) or "none")
