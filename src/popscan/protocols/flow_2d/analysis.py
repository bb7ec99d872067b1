"""Flow of every vessel of a plane: background taken off, aliasing put right, volumes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.flow import (
    Background,
    FlowNumbers,
    Unwrapped,
    correct_background,
    measure_flow,
    unwrap_velocity,
)
from popscan.protocols.flow_2d.cycle import Cycle, cycle_of
from popscan.protocols.flow_2d.labels import LABELS
from popscan.records import SubjectError

Floats = NDArray[np.float64]

MAGNITUDE, VELOCITY = 0, 1
#: Voxels so near to a vessel are not taken as still.
_NEAR_VESSEL = 3
#: Pixels that share a side with one, within a frame.
_NEXT_TO = ndimage.generate_binary_structure(2, 1)[..., np.newaxis]


@dataclass(frozen=True, kw_only=True)
class Vessel:
    """One vessel of a plane.

    Attributes
    ----------
    numbers
        Flow, forward positive.
    unwrapped
        Its velocities as the images have them, aliasing put right.
    region : ndarray of bool, shape (x, y, t)
        Where it is.
    offset_cm_s
        Mean of the background that was taken off, over region and frames.
    curved_cm_s
        Mean over the region of what a paraboloid takes off more than the plane does: how far the
        offset depends on which surface the background is taken for.
    beside_pct
        Flow over the cycle in the pixels around the region that are no other vessel's, in the
        vessel's direction, of its own: a region that is too narrow leaves some there.
    offset_se_ml_s
        Standard error of the flow's offset, which is the same in every frame.
    """

    numbers: FlowNumbers
    unwrapped: Unwrapped
    region: NDArray[np.bool_]
    offset_cm_s: float
    curved_cm_s: float
    beside_pct: float
    offset_se_ml_s: float


@dataclass(frozen=True, kw_only=True)
class Plane:
    """A plane and its vessels.

    Attributes
    ----------
    vessels
        Name -> vessel, of those that are labelled in every frame.
    incomplete
        Name -> number of frames without a region, of the others.
    background, cycle
        Of the plane.
    pixel_cm2, venc_cm_s
        Of the images.
    """

    vessels: Mapping[str, Vessel]
    incomplete: Mapping[str, int]
    background: Background
    cycle: Cycle
    pixel_cm2: float
    venc_cm_s: float


def analyse(
    array: NDArray[Any],
    labels: NDArray[Any],
    *,
    spacing_mm: Sequence[float],
    meta: Mapping[str, Any],
    frame_times_ms: NDArray[Any] | None,
) -> Plane:
    """Measure the flow of every labelled vessel.

    Parameters
    ----------
    array : ndarray, shape (x, y, 2, t)
        Magnitude, and velocity in cm/s as it was acquired.
    labels : ndarray, shape (x, y, 2, t)
        Codes of `LABELS`, the same for both.
    spacing_mm
        Distance of voxel centres.
    meta, frame_times_ms
        Of the scan; ``meta["flow"]["venc_cm_s"]`` is needed.

    Raises
    ------
    SubjectError
        ``bad_sidecar`` where the scan is not packed like this, and those of `popscan.flow`.
    """
    facts = meta.get("flow")
    if not isinstance(facts, Mapping) or "venc_cm_s" not in facts or array.shape[2] != 2:
        raise SubjectError("bad_sidecar", "no image of magnitude and velocity with its encoding")
    venc = float(facts["venc_cm_s"])
    light = np.asarray(array[:, :, MAGNITUDE], dtype=float)
    drawn = np.asarray(labels[:, :, VELOCITY])
    any_vessel = (drawn > 0).any(axis=2)
    near = ndimage.binary_dilation(any_vessel, iterations=_NEAR_VESSEL) if any_vessel.any() else (
        any_vessel
    )  # fmt: skip
    background = correct_background(array[:, :, VELOCITY], light, without=near)
    curved = correct_background(array[:, :, VELOCITY], light, without=near, order=2)
    cycle = cycle_of(array.shape[3], meta=meta, frame_times_ms=frame_times_ms)
    pixel_cm2 = float(spacing_mm[0]) * float(spacing_mm[1]) / 100.0
    noise = _noise(np.asarray(array[:, :, VELOCITY], dtype=float), light, background)
    vessels: dict[str, Vessel] = {}
    incomplete: dict[str, int] = {}
    for code, name in LABELS.names.items():
        region = drawn == code
        lost = int((~region.any(axis=(0, 1))).sum())
        if 0 < lost < region.shape[2]:
            incomplete[name] = lost
        if lost:
            continue
        unwrapped = unwrap_velocity(background.velocity, region, venc_cm_s=venc)
        dark = noise / float(light[region].mean()) if light[region].mean() > 0 else math.nan
        numbers = measure_flow(
            unwrapped.velocity, region, pixel_cm2=pixel_cm2,
            cycle_s=cycle.frame_ms * region.shape[2] / 1000.0, offset_se=background.se,
            noise_cm_s=dark,
        )  # fmt: skip
        share = region.mean(axis=2)
        vessels[name] = Vessel(
            numbers=numbers, unwrapped=unwrapped, region=region,
            offset_cm_s=float((background.offset * share).sum() / share.sum()),
            curved_cm_s=float(((curved.offset - background.offset) * share).sum() / share.sum()),
            beside_pct=_beside_pct(background.velocity, region, drawn > 0, numbers, pixel_cm2),
            offset_se_ml_s=float((background.se * share).sum()) * pixel_cm2,
        )  # fmt: skip
    return Plane(
        vessels=vessels, incomplete=incomplete, background=background, cycle=cycle,
        pixel_cm2=pixel_cm2, venc_cm_s=venc,
    )  # fmt: skip


def _beside_pct(
    velocity: Floats,
    region: NDArray[np.bool_],
    drawn: NDArray[np.bool_],
    numbers: FlowNumbers,
    pixel_cm2: float,
) -> float:
    """Flow in the pixels around a region, of the flow within; NaN for nothing net within."""
    around = ndimage.binary_dilation(region, structure=_NEXT_TO) & ~drawn
    beside = float(velocity[around].sum()) * pixel_cm2 * (-1.0 if numbers.turned else 1.0)
    within = float(numbers.curve_ml_s.sum())
    return 100.0 * beside / within if within > 0 else math.nan


def _noise(velocity: Floats, light: Floats, background: Background) -> float:
    """Noise of velocity times magnitude, which is the same everywhere; NaN if nothing is still."""
    if not background.corrected:
        return math.nan
    still = background.still
    spread = velocity[still].std(axis=1, ddof=1) * light[still].mean(axis=1)
    return float(np.median(spread))
