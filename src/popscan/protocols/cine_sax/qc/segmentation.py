"""Checks of the labels: presence, topology, contacts, course from base to apex.

Each function takes the `Context` of a scan and returns a `Measured`; limits and units stand in
the table. Shares are of the worst frame, since one bad frame spoils a volume curve.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from popscan.arrays import morphology
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.qc.context import Context
from popscan.protocols.cine_sax.qc.image import NO_LABELS
from popscan.qc.model import Measured, not_assessed

#: Pieces within a slice of less than this area are specks, counted by `stray_pct` alone.
MIN_PIECE_MM2 = 25.0


def _worst(values: NDArray, frames: tuple[int, ...]) -> tuple[float, int]:
    """Largest finite value over the labelled frames, and its frame; NaN and -1 if there is none."""
    kept = np.array([values[t] for t in frames], dtype=float)
    if not np.isfinite(kept).any():
        return math.nan, -1
    at = int(np.nanargmax(kept))
    return float(kept[at]), frames[at]


def missing_frames_pct(ctx: Context, label: Label) -> Measured:
    """Share of the frames in which a structure is not labelled at all."""
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    if not ctx.frames:
        return Measured(math.nan, "no frame is labelled")
    absent = [t for t in ctx.frames if ctx.counts[label][:, t].sum() == 0]
    name = STRUCTURES[label].upper()
    note = f"{name} absent in frames {absent}" if absent else f"{name} in every labelled frame"
    return Measured(100.0 * len(absent) / len(ctx.frames), note)


def _structure(ctx: Context, label: Label) -> Measured | None:
    """Say why a structure cannot be looked at; None when it can."""
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    if ctx.counts[label][:, list(ctx.frames)].sum() == 0:
        return Measured(math.nan, f"{STRUCTURES[label].upper()} is not labelled")
    return None


def components_3d(ctx: Context, label: Label) -> Measured:
    """Count the connected components of a structure (26 neighbours), in the worst frame."""
    if (unusable := _structure(ctx, label)) is not None:
        return unusable
    value, frame = _worst(ctx.components_3d(label).count, ctx.frames)
    return Measured(value, f"components in frame {frame}")


def stray_pct(ctx: Context, label: Label) -> Measured:
    """Share of a structure that lies outside its largest component, in the worst frame."""
    if (unusable := _structure(ctx, label)) is not None:
        return unusable
    total = ctx.counts[label].sum(axis=0).astype(float)
    stray = ctx.components_3d(label).stray
    share = np.divide(stray, total, out=np.full(total.shape, np.nan), where=total > 0)
    value, frame = _worst(share, ctx.frames)
    return Measured(100.0 * value, f"outside the largest component in frame {frame}")


def split_slices_pct(ctx: Context, label: Label) -> Measured:
    """Share of a structure's slices in which it falls into pieces, in the worst frame.

    Pieces under `MIN_PIECE_MM2` do not count.
    """
    if (unusable := _structure(ctx, label)) is not None:
        return unusable
    pixel = ctx.spacing_mm[0] * ctx.spacing_mm[1]
    pieces = morphology.components(
        ctx.heart == label, in_plane=True, min_voxels=max(int(np.ceil(MIN_PIECE_MM2 / pixel)), 1)
    ).count
    held = (ctx.counts[label] > 0).sum(axis=0).astype(float)
    split = (pieces > 1).sum(axis=0)
    share = np.divide(split, held, out=np.full(held.shape, np.nan), where=held > 0)
    value, frame = _worst(share, ctx.frames)
    return Measured(100.0 * value, f"slices in pieces in frame {frame}")


def heart_holes_pct(ctx: Context) -> Measured:
    """Unlabelled voxels enclosed within LV cavity and wall, of their area, in the worst frame."""
    return _holes_pct(ctx, (Label.LV, Label.MYO))


def rv_holes_pct(ctx: Context) -> Measured:
    """Voxels enclosed within the RV that are not RV, of its area, in the worst frame."""
    return _holes_pct(ctx, (Label.RV,))


def _holes_pct(ctx: Context, structures: tuple[Label, ...]) -> Measured:
    if (unusable := _structure(ctx, structures[0])) is not None:
        return unusable
    mask = np.isin(ctx.heart, structures)
    total = mask.sum(axis=(0, 1, 2)).astype(float)
    holes = morphology.hole_voxels(mask).sum(axis=0)
    share = np.divide(holes, total, out=np.full(total.shape, np.nan), where=total > 0)
    value, frame = _worst(share, ctx.frames)
    return Measured(100.0 * value, f"holes in frame {frame}")


def lv_open_pct(ctx: Context) -> Measured:
    """Share of the LV cavity's in-plane boundary that does not touch wall, in the worst frame.

    The two most basal slices with LV are left out of each frame: at the outflow tract the wall is
    open in truth.
    """
    if (unusable := _structure(ctx, Label.LV)) is not None:
        return unusable
    edges, beyond = ctx.lv_contacts
    edges, touching = ctx.base_to_apex(edges), ctx.base_to_apex(beyond[Label.MYO])
    rank = np.cumsum(edges > 0, axis=0)
    used = rank > 2
    total = np.where(used, edges, 0).sum(axis=0).astype(float)
    closed = np.where(used, touching, 0).sum(axis=0)
    share = np.divide(total - closed, total, out=np.full(total.shape, np.nan), where=total > 0)
    value, frame = _worst(share, ctx.frames)
    if frame < 0:
        return Measured(math.nan, "fewer than three slices with LV")
    return Measured(100.0 * value, f"LV boundary without wall in frame {frame}")


def lv_rv_contact_pct(ctx: Context) -> Measured:
    """Share of the LV cavity's boundary that touches the RV cavity (no septum), worst frame."""
    if (unusable := _structure(ctx, Label.LV)) is not None:
        return unusable
    edges, beyond = ctx.lv_contacts
    total = edges.sum(axis=0).astype(float)
    touch = beyond[Label.RV].sum(axis=0)
    share = np.divide(touch, total, out=np.full(total.shape, np.nan), where=total > 0)
    value, frame = _worst(share, ctx.frames)
    return Measured(100.0 * value, f"LV boundary at the RV in frame {frame}")


def rv_apart_pct(ctx: Context) -> Measured:
    """Share of the slices with RV and wall in which the two do not touch, in the worst frame."""
    if (unusable := _structure(ctx, Label.RV)) is not None:
        return unusable
    touching = morphology.boundary_contacts(ctx.heart, Label.RV, others=Label)[1][Label.MYO] > 0
    both = (ctx.counts[Label.RV] > 0) & (ctx.counts[Label.MYO] > 0)
    total = both.sum(axis=0).astype(float)
    apart = (both & ~touching).sum(axis=0)
    share = np.divide(apart, total, out=np.full(total.shape, np.nan), where=total > 0)
    value, frame = _worst(share, ctx.frames)
    if frame < 0:
        return Measured(math.nan, "RV and wall share no slice")
    return Measured(100.0 * value, f"RV apart from the wall in frame {frame}")


def slice_gaps(ctx: Context, label: Label) -> Measured:
    """Slices without a structure between slices with it, in the worst frame."""
    if (unusable := _structure(ctx, label)) is not None:
        return unusable
    held = ctx.counts[label] > 0
    before = np.maximum.accumulate(held, axis=0)
    after = np.maximum.accumulate(held[::-1], axis=0)[::-1]
    value, frame = _worst((before & after & ~held).sum(axis=0), ctx.frames)
    return Measured(value, f"empty slices inside in frame {frame}")


def labelled_slices(ctx: Context) -> Measured:
    """Slices with LV cavity at end-diastole."""
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    return Measured(float((ctx.counts[Label.LV][:, ctx.ed] > 0).sum()), "slices with LV cavity")


def lv_length_ratio(ctx: Context) -> Measured:
    """Labelled length of the LV cavity over the largest outer diameter of the LV, at ED.

    A ventricle is longer than wide; one that is cut short lacks slices at base or apex (or has a
    wrong slice distance). The diameter is that of the circle of the largest area of cavity + wall.
    """
    if (unusable := _structure(ctx, Label.LV)) is not None:
        return unusable
    length, diameter = ctx.lv_size_mm
    if length == 0:
        return Measured(math.nan, "no LV at end-diastole")
    return Measured(length / diameter, f"length {length:.0f} mm, diameter {diameter:.0f} mm")


def area_profile_pct(ctx: Context) -> Measured:
    """Largest rise of the end-diastolic LV area towards the apex, of the largest area.

    From the middle of the ventricle on, the cavity narrows towards the apex; rises there are
    slices out of order, slipped, or mislabelled.
    """
    if (unusable := _structure(ctx, Label.LV)) is not None:
        return unusable
    area = ctx.base_to_apex(ctx.counts[Label.LV][:, ctx.ed]).astype(float)
    held = np.nonzero(area)[0]
    if held.size < 4:
        return Measured(math.nan, "fewer than four slices with LV")
    inside = area[held[0] : held[-1] + 1]
    distal = inside[len(inside) // 3 :]
    lowest = np.minimum.accumulate(distal)
    return Measured(100.0 * float(np.max(distal - lowest)) / float(area.max()), "rise towards apex")


def rv_side(ctx: Context) -> Measured:
    """Cosine of the angle between LV-to-RV and the patient's right and front.

    The RV lies to the right and in front of the LV; a negative value means that labels or
    orientation are mirrored. Only for scans whose orientation is known.
    """
    if not ctx.scan.meta.get("orientation_known", False):
        return not_assessed("the scan's orientation is not known")
    for label in (Label.LV, Label.RV):
        if (unusable := _structure(ctx, label)) is not None:
            return unusable
    assert ctx.labels is not None
    frame = ctx.labels[..., ctx.ed]
    centres = [np.argwhere(frame == label).mean(axis=0) for label in (Label.LV, Label.RV)]
    arrow = np.asarray(ctx.scan.affine, float)[:3, :3] @ (centres[1] - centres[0])
    expected = np.array([1.0, 1.0, 0.0]) / math.sqrt(2.0)
    length = float(np.linalg.norm(arrow))
    if length == 0:
        return Measured(math.nan, "LV and RV have the same centre")
    return Measured(float(arrow @ expected) / length, "direction from LV to RV")


def ood(ctx: Context) -> Measured:
    """Distance of the scan from the model's training scans, 1 for the farthest of them."""
    score = ctx.from_segmentation.get("ood_score")
    if score is None or not math.isfinite(score):
        return not_assessed("the model bundle has no detector")
    slices = ctx.from_segmentation.get("ood_slices")
    note = f"slices unlike the training slices: {slices:.0f}" if slices else "in all slices"
    return Measured(float(score), note)


def expected_dice(ctx: Context) -> Measured:
    """Dice to expect of the worst structure in its worst frame, as the model predicts it."""
    expected = {
        name: ctx.from_segmentation.get(f"expected_dice_{name}_lowest")
        for name in STRUCTURES.values()
    }
    known = {
        name: float(value)
        for name, value in expected.items()
        if value is not None and math.isfinite(value)
    }
    if not known:
        return not_assessed("the model bundle is not calibrated for it")
    worst = min(known, key=known.__getitem__)
    return Measured(known[worst], f"expected of the {worst.upper()} in its worst frame")
