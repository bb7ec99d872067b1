"""Checks of long-axis planes: are both there, do they lie as they should, do they fit each other.

Limits are set by what the numbers mean and on digital hearts, not on labelled faults of patients:
`fail` is left for planes that cannot be measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_lax.biomarkers import leading, measure, planes_angle_deg
from popscan.protocols.cine_lax.curves import View, curves_of, end_frames, view_of
from popscan.protocols.cine_lax.geometry import Ventricle
from popscan.protocols.cine_lax.labels import LA
from popscan.protocols.cine_lax.planes import PLANE_VIEWS, Plane, planes_of
from popscan.protocols.cine_lax.qc_labels import (
    label_frames_off_pct,
    label_misfit_pct,
    label_share_pct,
    right_heart_2ch_pct,
    views_cycle_pct,
    views_late_pct,
)
from popscan.qc import image as common
from popscan.qc.context import ScanContext
from popscan.qc.fit import frames_off_spec, misfit_spec, share_spec
from popscan.qc.model import Measured, Spec, not_assessed
from popscan.qc.proof import UNPROVEN_LABELS

_ONE_VIEW = "one view only"
#: With fewer, a normal curve bends at single frames, too.
_LEAST_FRAMES = 10


class PlanesContext(ScanContext):
    """The planes of a visit and what is measured in them."""

    @cached_property
    def planes(self) -> list[Plane]:
        """The planes."""
        return planes_of(self.scan.meta, self.scan.array.shape)

    @cached_property
    def coded(self) -> NDArray[np.uint8]:
        """Labels (x, y, plane, t); none is background everywhere."""
        if self.labels is None:
            return np.zeros(self.scan.array.shape, dtype=np.uint8)
        return self.labels

    @cached_property
    def views(self) -> dict[str, View]:
        """What each plane shows."""
        return {plane.view: view_of(self.coded, plane) for plane in self.planes}

    @cached_property
    def lv_curve(self) -> NDArray[np.float64]:
        """LV volume over the cycle, that ED and ES are taken from."""
        return leading(curves_of({name: view.lv for name, view in self.views.items()}))

    def at_diastole(self) -> tuple[Ventricle, Ventricle] | None:
        """Return the LV at ED in both planes; None where one does not show it."""
        ends = end_frames(self.lv_curve)
        if ends is None or len(self.views) < len(PLANE_VIEWS):
            return None
        first, second = (self.views[view].lv[ends[0]] for view in PLANE_VIEWS)
        return None if first is None or second is None else (first, second)


def views_there(ctx: PlanesContext) -> Measured:
    """Count the views of the visit."""
    names = [plane.view for plane in ctx.planes]
    return Measured(float(len(names)), f"there: {' and '.join(names)}")


def views_angle_deg(ctx: PlanesContext) -> Measured:
    """Angle between both planes."""
    if len(ctx.planes) < len(PLANE_VIEWS):
        return not_assessed(_ONE_VIEW)
    if not ctx.scan.meta.get("orientation_known", True):
        return not_assessed("the header does not say how the planes lie")
    return Measured(planes_angle_deg(ctx.planes[0].normal, ctx.planes[1].normal), "2ch to 4ch")


def at_border_voxels(ctx: PlanesContext) -> Measured:
    """Labelled pixels at the border of a plane: apex or atria out of the image."""
    counts = []
    for plane in ctx.planes:
        own = ctx.coded[: plane.shape[0], : plane.shape[1], plane.index] > 0
        edge = np.ones(plane.shape, dtype=bool)
        edge[1:-1, 1:-1] = False
        counts.append(int((own & edge[..., None]).any(axis=-1).sum()))
    return Measured(float(sum(counts)), "labelled pixels at the border of an image")


def views_with_lv(ctx: PlanesContext) -> Measured:
    """Count the views in which the LV and its base were measured at two frames or more."""
    enough = [
        name for name, view in ctx.views.items() if sum(one is not None for one in view.lv) >= 2
    ]
    return Measured(float(len(enough)), f"LV measured in {' and '.join(enough) or 'no view'}")


def length_difference_pct(ctx: PlanesContext) -> Measured:
    """Difference of the LV's lengths at ED, of the longer one: one plane is foreshortened."""
    both = ctx.at_diastole()
    if both is None:
        return not_assessed(_ONE_VIEW)
    lengths = [one.length_mm for one in both]
    return Measured(
        100.0 * (max(lengths) - min(lengths)) / max(lengths),
        f"2ch {lengths[0]:.0f} mm, 4ch {lengths[1]:.0f} mm",
    )


def base_distance_mm(ctx: PlanesContext) -> Measured:
    """Distance of the valve's middle between both planes at ED, in the patient."""
    both = ctx.at_diastole()
    if both is None or not ctx.scan.meta.get("orientation_known", True):
        return not_assessed(_ONE_VIEW if both is None else "the orientation is not known")
    return Measured(float(np.linalg.norm(both[0].base_mm - both[1].base_mm)), "2ch to 4ch")


def apex_distance_mm(ctx: PlanesContext) -> Measured:
    """Distance of the apex between both planes at ED, in the patient."""
    both = ctx.at_diastole()
    if both is None or not ctx.scan.meta.get("orientation_known", True):
        return not_assessed(_ONE_VIEW if both is None else "the orientation is not known")
    return Measured(float(np.linalg.norm(both[0].apex_mm - both[1].apex_mm)), "2ch to 4ch")


def la_frames_missing_pct(ctx: PlanesContext) -> Measured:
    """Frames with an LV whose left atrium is missing, of those with an LV."""
    pairs = [
        (lv is not None, la is not None)
        for view in ctx.views.values()
        for lv, la in zip(view.lv, view.la, strict=True)
    ]
    with_lv = [la for lv, la in pairs if lv]
    if not with_lv or not (ctx.coded == LA).any():
        return not_assessed("the left atrium is not labelled")
    return Measured(100.0 * (1.0 - float(np.mean(with_lv))), "frames of all views")


def curve_jump_pct(ctx: PlanesContext) -> Measured:
    """Largest bend of the LV's volume curve at one frame, of the stroke volume."""
    curve = ctx.lv_curve
    if np.isfinite(curve).sum() < max(_LEAST_FRAMES, curve.size) or not np.ptp(curve) > 0:
        return not_assessed(f"fewer than {_LEAST_FRAMES} frames, or not all of them measured")
    beside = 0.5 * (np.roll(curve, 1) + np.roll(curve, -1))
    return Measured(
        100.0 * float(np.abs(curve - beside).max() / np.ptp(curve)),
        f"at frame {int(np.abs(curve - beside).argmax())}",
    )


def lvef_pct(ctx: PlanesContext) -> Measured:
    """LV ejection fraction: whether it can be."""
    ends = end_frames(ctx.lv_curve)
    if ends is None:
        return Measured(math.nan, "no LV volume at two frames")
    whole, rest = ctx.lv_curve[list(ends)]
    return Measured(float(100.0 * (whole - rest) / whole), "of the planes that there are")


def mapse_mm(ctx: PlanesContext) -> Measured:
    """Excursion of the mitral annulus: whether it can be."""
    if end_frames(ctx.lv_curve) is None:
        return not_assessed("no LV volume at two frames")
    return Measured(measure(ctx.coded, meta=ctx.scan.meta)["mapse_mm"], "mean of the sites")


CHECKS: Mapping[str, Spec] = {
    "pixel_spacing_mm": Spec(
        measure=common.pixel_spacing_mm, kind="image", unit="mm",
        meaning="Larger of the in-plane spacings", bad="high", review=2.5, fail=5.0,
    ),
    **common.GEOMETRY,
    "views_there": Spec(
        measure=views_there, kind="image", unit="views", bad="low", review=2.0, fail=1.0,
        meaning="Long-axis views of the visit; with one there are no biplane numbers",
    ),
    "unproven_labels": UNPROVEN_LABELS,
    "views_angle_deg": Spec(
        measure=views_angle_deg, kind="image", unit="deg", bad="low", review=40.0, fail=20.0,
        meaning="Angle between the 2ch and the 4ch plane; biplane volumes take it for 90",
    ),
    "views_cycle_pct": Spec(
        measure=views_cycle_pct, kind="image", unit="%", bad="high", review=25.0, fail=None,
        meaning="Difference of the heart cycles of both views, of the shorter one: are they of "
        "one visit",
    ),
    "label_misfit_pct": misfit_spec(label_misfit_pct),
    "label_share_pct": share_spec(label_share_pct),
    "label_frames_off_pct": frames_off_spec(label_frames_off_pct),
    "right_heart_2ch_pct": Spec(
        measure=right_heart_2ch_pct, kind="segmentation", unit="%", bad="high", review=15.0,
        fail=None, meaning="Right ventricle and atrium among the labels of the 2ch plane, which "
        "shows neither: exchanged views or codes",
    ),
    "views_late_pct": Spec(
        measure=views_late_pct, kind="segmentation", unit="% of the cycle", bad="high",
        review=12.5, fail=None, meaning="By how much one view's LV volume curve is later than the "
        "other's: biplane volumes take both at one frame",
    ),
    "views_with_lv": Spec(
        measure=views_with_lv, kind="segmentation", unit="views", bad="low", review=2.0, fail=1.0,
        meaning="Views in which the LV and its base were measured at two frames or more",
    ),
    "at_border_voxels": Spec(
        measure=at_border_voxels, kind="segmentation", unit="voxels", bad="high", review=0.0,
        fail=40.0, meaning="Labelled pixels at the border of a plane: apex or atria are cut off",
    ),
    "length_difference_pct": Spec(
        measure=length_difference_pct, kind="segmentation", unit="%", bad="high", review=10.0,
        fail=30.0, meaning="Difference of the LV lengths of both planes at ED, of the longer one",
        source="Lang et al., JASE 2015, doi:10.1016/j.echo.2014.10.003: within 10%",
    ),
    "base_distance_mm": Spec(
        measure=base_distance_mm, kind="segmentation", unit="mm", bad="high", review=12.0,
        fail=30.0, meaning="Distance of the middle of the mitral valve between both planes at ED",
    ),
    "apex_distance_mm": Spec(
        measure=apex_distance_mm, kind="segmentation", unit="mm", bad="high", review=15.0,
        fail=30.0, meaning="Distance of the endocardial apex between both planes at ED",
    ),
    "la_frames_missing_pct": Spec(
        measure=la_frames_missing_pct, kind="segmentation", unit="%", bad="high", review=10.0,
        fail=None, meaning="Frames with an LV but no left atrium",
    ),
    "curve_jump_pct": Spec(
        measure=curve_jump_pct, kind="segmentation", unit="%", bad="high", review=30.0, fail=80.0,
        meaning="How far one frame's LV volume lies off its neighbours', of the stroke volume",
    ),
    "lvef_pct": Spec(
        measure=lvef_pct, kind="segmentation", unit="%", bad="outside", review=(20.0, 80.0),
        fail=(5.0, 95.0), meaning="LV ejection fraction by long-axis planes",
    ),
    "mapse_mm": Spec(
        measure=mapse_mm, kind="segmentation", unit="mm", bad="outside", review=(4.0, 25.0),
        fail=None, meaning="Excursion of the mitral annulus, mean of the sites",
    ),
}  # fmt: skip
