"""Checks whether labels belong to the long-axis images, and the views to one visit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_lax.curves import curves_of
from popscan.protocols.cine_lax.labels import RA, RV
from popscan.protocols.cine_lax.planes import PLANE_VIEWS, Plane
from popscan.qc.fit import label_frames_off, label_misfit, label_share
from popscan.qc.model import Measured, not_assessed

if TYPE_CHECKING:
    from popscan.protocols.cine_lax.qc import PlanesContext

#: Labels are held against the images of so many frames over the cycle.
_FRAMES = 4
_ONE_VIEW = "one view only"


def _own(ctx: PlanesContext, plane: Plane) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return a plane's images and labels without what packing added, (x, y, 1, t)."""
    nx, ny = plane.shape
    part = (slice(nx), slice(ny), slice(plane.index, plane.index + 1))
    return ctx.image[part], ctx.coded[part]


def _worst(
    ctx: PlanesContext, measure: Callable[[Plane], Measured], *, low: bool = False
) -> Measured:
    """Return the largest (or smallest) number over the views, and of which it is."""
    found = {plane.view: measure(plane) for plane in ctx.planes}
    found = {view: one for view, one in found.items() if one.assessed}
    if not found:
        return not_assessed("too little is labelled")
    view = (min if low else max)(found, key=lambda name: found[name].value)
    return Measured(found[view].value, f"{view}: {found[view].note}")


def _over_frames(
    ctx: PlanesContext, plane: Plane, measure: Callable[..., Measured]
) -> Measured:  # fmt: skip
    """Measure labels of some frames together, as if they were slices."""
    image, codes = _own(ctx, plane)
    drawn = np.flatnonzero(codes.any(axis=(0, 1, 2)))
    if not drawn.size:
        return not_assessed("nothing is labelled")
    at = drawn[np.unique(np.linspace(0, drawn.size - 1, _FRAMES).astype(int))]
    steps = np.linalg.norm(plane.steps_mm, axis=0)
    return measure(image[:, :, 0, at], codes[:, :, 0, at], (float(steps[0]), float(steps[1])))


def label_misfit_pct(ctx: PlanesContext) -> Measured:
    """How much less of the images labels explain than they would if they were moved."""
    return _worst(ctx, lambda plane: _over_frames(ctx, plane, label_misfit))


def label_share_pct(ctx: PlanesContext) -> Measured:
    """How much of the images' variance lies between labels."""
    return _worst(ctx, lambda plane: _over_frames(ctx, plane, label_share), low=True)


def label_frames_off_pct(ctx: PlanesContext) -> Measured:
    """How far in the cycle labels lie from the frames that they fit best."""
    return _worst(ctx, lambda plane: label_frames_off(*_own(ctx, plane)))


def right_heart_2ch_pct(ctx: PlanesContext) -> Measured:
    """Right ventricle and atrium among the labels of the 2ch plane, which shows neither."""
    plane = next((one for one in ctx.planes if one.view == PLANE_VIEWS[0]), None)
    codes = None if plane is None else _own(ctx, plane)[1]
    if codes is None or not codes.any():
        return not_assessed("no labels of a 2ch plane")
    return Measured(
        100.0 * float(np.isin(codes, (RV, RA)).sum() / (codes > 0).sum()),
        "of the labelled pixels of the 2ch plane: are the views exchanged?",
    )


def views_cycle_pct(ctx: PlanesContext) -> Measured:
    """Difference of the views' heart cycles, of the shorter one: are they of one visit."""
    lengths = [plane.cycle_ms for plane in ctx.planes]
    if len(lengths) < len(PLANE_VIEWS) or not all(map(math.isfinite, lengths)):
        return not_assessed("the cycles of both views are not known")
    return Measured(
        100.0 * (max(lengths) / min(lengths) - 1.0),
        ", ".join(f"{plane.view} {plane.cycle_ms:.0f} ms" for plane in ctx.planes),
    )


def views_late_pct(ctx: PlanesContext) -> Measured:
    """By how much of the cycle one view's LV volume curve is later than the other's."""
    if len(ctx.views) < len(PLANE_VIEWS):
        return not_assessed(_ONE_VIEW)
    curves = curves_of({name: view.lv for name, view in ctx.views.items()}).discs
    first, second = (curves[view] for view in PLANE_VIEWS)
    both = np.isfinite(first) & np.isfinite(second)
    n = first.size
    if both.all() and min(np.ptp(first), np.ptp(second)) > 0:
        like = [float(np.corrcoef(np.roll(first, k), second)[0, 1]) for k in range(n)]
        late = int(np.argmax(like))
    elif both.sum() >= 2 and min(np.ptp(first[both]), np.ptp(second[both])) > 0:
        at = np.flatnonzero(both)
        late = int(at[second[both].argmax()] - at[first[both].argmax()]) % n
    else:
        return not_assessed("LV volumes of both views at two frames are needed")
    return Measured(100.0 * min(late, n - late) / n, "LV volume curves of the views")
