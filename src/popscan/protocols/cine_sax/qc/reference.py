"""Checks of reference labels: whether they belong to this image at all.

Experts' contours get lost between programs: shifted, of another slice order, of another patient.
Scores against them then blame the model. Each check takes the `Context` of the scan with the
reference as its labels; limits were set on 70 patients with expert labels, none of whom fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays import morphology
from popscan.arrays.metrics import mask_dice
from popscan.protocols.cine_sax.label_codes import codes_by_overlap, coding_text, own_codes_fit
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.qc import intensity, segmentation
from popscan.protocols.cine_sax.qc.context import Context
from popscan.qc.fit import label_frames_off
from popscan.qc.model import Check, Measured, Spec, not_assessed, with_thresholds
from popscan.qc.runner import outcome
from popscan.records import LabelMap, Scan

#: Why a check of the wall says nothing.
_NO_WALL = "the reference has no slice with both LV cavity and wall"
_NO_SEGMENTATION = "there is no segmentation to compare with"


def wall_off_centre_mm(ctx: Context) -> Measured:
    """Distance of the cavity's centre from the centre of cavity and wall, median over slices.

    Both outlines of a ventricle are about the same point; an outer contour from elsewhere is not.
    """
    assert ctx.labels is not None
    both = [
        morphology.slice_centres_mm(mask, spacing_mm=ctx.spacing_mm)
        for mask in (ctx.heart == Label.LV, np.isin(ctx.heart, (Label.LV, Label.MYO)))
    ]
    walled = (ctx.counts[Label.LV] > 0) & (ctx.counts[Label.MYO] > 0)
    away = np.linalg.norm(both[0] - both[1], axis=-1)[walled]
    if not away.size:
        return not_assessed(_NO_WALL)
    return Measured(float(np.median(away)), f"median over {away.size} slices")


def lv_open_pct(ctx: Context) -> Measured:
    """Share of the reference LV cavity's boundary that does not touch its wall, worst frame."""
    if not ctx.counts[Label.MYO].any():
        return not_assessed(_NO_WALL)
    found = segmentation.lv_open_pct(ctx)
    return found if math.isfinite(found.value) else not_assessed(found.note)


def wall_spread_pct(ctx: Context) -> Measured:
    """Spread of the image within the reference wall, relative to the contrast of blood and wall.

    Muscle is even; a contour from elsewhere mixes blood, lung and fat.
    """
    found = intensity.wall_spread_pct(ctx)
    return found if math.isfinite(found.value) else not_assessed(_NO_WALL)


def contrast_pct(ctx: Context) -> Measured:
    """Contrast of blood and wall as the reference has them, relative to blood."""
    found = intensity.contrast_pct(ctx)
    return found if math.isfinite(found.value) else not_assessed(_NO_WALL)


_LIMITS: Mapping[str, tuple[Callable[[Context], Measured], str, str, Any, Any]] = {
    "reference_wall_off_centre_mm": (wall_off_centre_mm, "mm", "high", 5.0, 9.0),
    "reference_lv_open_pct": (lv_open_pct, "%", "high", 10.0, 40.0),
    "reference_wall_spread_pct": (wall_spread_pct, "%", "high", 45.0, None),
    "reference_contrast_pct": (contrast_pct, "%", "low", 15.0, 0.0),
}


def _against(ctx: Context, label: Label, found: NDArray[np.uint8] | None) -> Measured:
    if found is None:
        return not_assessed(_NO_SEGMENTATION)
    assert ctx.labels is not None
    truth = ctx.labels == label
    planes = truth.any(axis=(0, 1))
    if not planes.any():
        return not_assessed(f"the reference has no {STRUCTURES[label].upper()}")
    value = mask_dice((found == label)[:, :, planes], truth[:, :, planes])
    return Measured(value, "Dice with the segmentation, on the planes that have the structure")


def _coding_gain(ctx: Context, found: NDArray[np.uint8] | None) -> Measured:
    """Return how much better the reference fits the segmentation where its codes are exchanged.

    Not where the wall encloses the cavity as it should: then the codes are right, and it is the
    segmentation that has exchanged the structures.
    """
    if found is None:
        return not_assessed(_NO_SEGMENTATION)
    assert ctx.labels is not None
    if own_codes_fit(ctx.labels):
        return Measured(0.0, "the wall encloses what is coded as the LV cavity")
    if not ctx.labels.any():
        return not_assessed("the reference has no label")
    codes, best, own = codes_by_overlap(ctx.labels, found)
    note = f"mean Dice with the segmentation {own:.2f}"
    if best > own:
        note += f", {best:.2f} with source.label_codes: {coding_text(codes)}"
    return Measured(best - own, note)


def _frames_off(ctx: Context, whole: tuple[Scan, LabelMap] | None) -> Measured:
    """Hold labelled frames against all of the cycle, not only against those with a wall."""
    if whole is None:
        return not_assessed("there is no image to compare with")
    scan, reference = whole
    return label_frames_off(scan.array, reference.array, frames=reference.frames)


def reference_checks(
    found: NDArray[np.uint8] | None = None, whole: tuple[Scan, LabelMap] | None = None
) -> dict[str, Spec]:
    """Return the definitions of the checks.

    Parameters
    ----------
    found
        The segmentation, if there is one, on the frames of the reference.
    whole
        The scan with all of its frames, and the reference on them.
    """
    specs = {
        name: Spec(
            measure=measure,
            kind="reference",
            unit=unit,
            bad="high" if bad == "high" else "low",
            review=review,
            fail=fail,
            meaning=(measure.__doc__ or "").split("\n\n")[0].strip().rstrip("."),
        )
        for name, (measure, unit, bad, review, fail) in _LIMITS.items()
    }
    for label, name in STRUCTURES.items():
        specs[f"reference_dice_{name}"] = Spec(
            measure=partial(_against, label=label, found=found),
            kind="reference",
            unit="Dice",
            bad="low",
            review=0.6,
            # This does not show which of the two is wrong.
            fail=None,
            meaning=f"Agreement of the reference's {name.upper()} with the segmentation's, on the "
            "planes where the reference has it",
        )
    specs["reference_coding_gain"] = Spec(
        measure=partial(_coding_gain, found=found),
        kind="reference",
        unit="Dice",
        bad="high",
        review=0.2,
        fail=0.4,
        meaning="By how much the mean Dice with the segmentation rises where the reference's codes "
        "are exchanged; the message names the coding that fits best",
    )
    specs["reference_frames_off_pct"] = Spec(
        measure=partial(_frames_off, whole=whole),
        kind="reference",
        unit="% of the cycle",
        bad="high",
        review=10.0,
        fail=None,
        meaning="How far the reference's labels lie from the frames whose images they fit best: "
        "late, backwards, or end-diastole and end-systole exchanged",
        source="own definition; limits set on 70 patients of ACDC",
    )
    return specs


def check_reference(
    scan: Scan,
    reference: LabelMap,
    labels: NDArray[np.uint8] | None = None,
    *,
    thresholds: Mapping[str, Any] | None = None,
) -> list[Check]:
    """Hold reference labels against their image and against the segmentation.

    Parameters
    ----------
    scan
        Short-axis scan, array (x, y, z, t).
    reference
        Labels on its grid; only its frames are looked at, and of these, where any has a wall, only
        those that have one (contours of end-systole often are of the cavity alone).
    labels : ndarray of uint8, shape of the scan, or None
        The segmentation.
    thresholds
        Check name -> ``{"review": .., "fail": ..}`` in place of the defaults.

    Returns
    -------
    list of Check
        One per definition of `reference_checks`, always. Those that do not apply (an LV without
        wall, no segmentation) are `Verdict.NOT_ASSESSED`.

    Raises
    ------
    SubjectError
        If reference and scan differ in shape.
    """
    frames: Sequence[int] = reference.frames
    walled = [t for t in frames if (reference.array[..., t] == Label.MYO).any()]
    frames = walled or list(frames)
    part = replace(scan, array=scan.array[..., frames], frame_times_ms=None, meta={})
    found = None if labels is None else labels[..., frames]
    specs = with_thresholds(reference_checks(found, (scan, reference)), thresholds or {})
    context = Context(part, reference.array[..., frames])
    return [outcome(name, spec, spec.measure(context)) for name, spec in specs.items()]
