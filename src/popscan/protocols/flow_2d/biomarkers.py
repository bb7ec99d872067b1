"""Flow, volumes and velocities of every vessel, with standard errors where they are known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.biomarkers.body import bsa_m2
from popscan.columns import Column
from popscan.protocols.flow_2d.analysis import Plane, Vessel, analyse
from popscan.protocols.flow_2d.labels import LABELS

_OWN = "own definition; see docs/flow.md"


def _of_vessel(name: str) -> dict[str, Column]:
    title = LABELS.titles[name].lower()
    return {
        f"{name}_forward_ml": Column("mL", f"Volume forward per beat, {title}", _OWN),
        f"{name}_backward_ml": Column("mL", f"Volume backward per beat, {title}", _OWN),
        f"{name}_net_ml": Column("mL", f"Forward less backward volume per beat, {title}", _OWN),
        f"{name}_net_se_ml": Column(
            "mL", f"Standard error of the net volume by noise and background, {title}; the outline "
            "of the region is not in it", _OWN,
        ),
        f"{name}_regurgitant_pct": Column("%", f"Backward of forward volume, {title}", _OWN),
        f"{name}_regurgitant_se_pct": Column(
            "%", f"Standard error of the same by noise and background, {title}", _OWN
        ),
        f"{name}_peak_cm_s": Column(
            "cm/s", f"Largest velocity forward, mean of the four fastest pixels, {title}",
            _OWN,
        ),
        f"{name}_peak_mean_cm_s": Column(
            "cm/s", f"Largest mean velocity of a frame, {title}", _OWN
        ),
        f"{name}_peak_flow_ml_s": Column("mL/s", f"Largest flow of a frame, {title}", _OWN),
        f"{name}_peak_time_ms": Column(
            "ms", f"From the first frame to that of the largest flow, {title}", _OWN
        ),
        f"{name}_area_cm2": Column("cm2", f"Mean area of the region, {title}", _OWN),
        f"{name}_area_max_cm2": Column("cm2", f"Largest area of the region, {title}", _OWN),
        f"{name}_area_min_cm2": Column("cm2", f"Smallest area of the region, {title}", _OWN),
        f"{name}_area_strain_pct": Column(
            "%", f"Largest less smallest area, of the smallest, {title}; over the pulse pressure "
            "it is the distensibility", _OWN,
        ),
        f"{name}_offset_ml": Column(
            "mL", f"What the background correction took off the net volume, {title}", _OWN
        ),
        f"{name}_curved_ml": Column(
            "mL", f"Net volume with a paraboloid as background less that with a plane, {title}",
            _OWN,
        ),
        f"{name}_aliased_pct": Column(
            "%", f"Samples of the region whose aliasing was put right, {title}", _OWN
        ),
    }  # fmt: skip


#: Columns that are of the plane or of several vessels.
_PLANE: Mapping[str, Column] = {
    "cardiac_output_l_min": Column(
        "L/min", "Net flow of the ascending aorta: net volume times heart rate", _OWN
    ),
    "cardiac_index_l_min_m2": Column(
        "L/min/m2", "The same over body surface area (Mosteller)", _OWN
    ),
    "qp_qs": Column("", "Net volume of the pulmonary trunk over that of the ascending aorta", _OWN),
    "rr_ms": Column("ms", "RR interval of the header, else length of the frames together", _OWN),
    "frame_ms": Column("ms", "Length of a frame", _OWN),
}
DICTIONARY: Mapping[str, Column] = {
    **{column: one for name in LABELS.codes for column, one in _of_vessel(name).items()}, **_PLANE
}  # fmt: skip
_MAIN = ("net_ml", "regurgitant_pct", "peak_cm_s", "forward_ml", "backward_ml", "net_se_ml")
DETAILS: Mapping[str, Column] = {
    column: one
    for column, one in DICTIONARY.items()
    if column not in _PLANE and not any(column == f"{v}_{e}" for v in LABELS.codes for e in _MAIN)
}


def measure(
    labels: ArrayLike,
    *,
    image: NDArray[Any],
    spacing_mm: Sequence[float],
    meta: Mapping[str, Any],
    frame_times_ms: NDArray[Any] | None = None,
    height_cm: float = math.nan,
    weight_kg: float = math.nan,
) -> dict[str, float]:
    """Measure every column of `DICTIONARY`.

    Parameters
    ----------
    labels, image, spacing_mm, meta, frame_times_ms
        As `popscan.protocols.flow_2d.analysis.analyse`.
    height_cm, weight_kg
        Of the person; NaN where they are not known.

    Returns
    -------
    dict
        Column -> value; NaN for vessels that are not labelled or lack a region in some frames, and
        for volumes of a series of unknown times.

    Raises
    ------
    SubjectError
        Those of `analyse`.
    """
    plane = analyse(
        image, np.asarray(labels), spacing_mm=spacing_mm, meta=meta, frame_times_ms=frame_times_ms
    )
    values = dict.fromkeys(DICTIONARY, math.nan)
    for name, vessel in plane.vessels.items():
        values |= {f"{name}_{key}": value for key, value in _numbers(vessel, plane).items()}
    beats = 60_000.0 / plane.cycle.rr_ms
    output = values["aorta_net_ml"] * beats / 1000.0
    values |= {
        "cardiac_output_l_min": output,
        "cardiac_index_l_min_m2": output / bsa_m2(height_cm, weight_kg),
        "rr_ms": plane.cycle.rr_ms,
        "frame_ms": plane.cycle.frame_ms,
    }
    if values["aorta_net_ml"] > 0:
        values["qp_qs"] = values["pulmonary_net_ml"] / values["aorta_net_ml"]
    return values


def _numbers(vessel: Vessel, plane: Plane) -> dict[str, float]:
    found = vessel.numbers
    seconds = plane.cycle.frame_ms / 1000.0
    whole_s = seconds * len(found.curve_ml_s)
    sign = -1.0 if found.turned else 1.0
    share = float(vessel.region.mean(axis=2).sum()) * plane.pixel_cm2
    return {
        "forward_ml": found.forward_ml,
        "backward_ml": found.backward_ml,
        "net_ml": found.net_ml,
        "net_se_ml": found.net_se_ml,
        "regurgitant_pct": found.backward_pct,
        "regurgitant_se_pct": _regurgitant_se(vessel, seconds),
        "peak_cm_s": found.peak_cm_s,
        "peak_mean_cm_s": found.peak_mean_cm_s,
        "peak_flow_ml_s": float(found.curve_ml_s.max()),
        "peak_time_ms": plane.cycle.frame_ms * found.peak_frame,
        "area_cm2": found.area_cm2,
        **_areas(vessel, plane),
        "offset_ml": sign * vessel.offset_cm_s * share * whole_s,
        "curved_ml": -sign * vessel.curved_cm_s * share * whole_s,
        "aliased_pct": vessel.unwrapped.aliased_pct,
    }


def _areas(vessel: Vessel, plane: Plane) -> dict[str, float]:
    """Extremes of the area over the cycle; none where one region was drawn for all frames."""
    if (vessel.region == vessel.region[..., :1]).all():
        return {}
    areas = vessel.region.sum(axis=(0, 1)) * plane.pixel_cm2
    most, least = float(areas.max()), float(areas.min())
    return {
        "area_max_cm2": most, "area_min_cm2": least,
        "area_strain_pct": 100.0 * (most - least) / least,
    }  # fmt: skip


def _regurgitant_se(vessel: Vessel, seconds: float) -> float:
    """Return the standard error of backward over forward volume, in %, to first order.

    An offset adds to the flow of every frame: forward volume gains what the backward volume
    loses, each over its own frames. Noise of the net volume is shared between both.
    """
    found = vessel.numbers
    if not found.forward_ml > 0:
        return math.nan
    backwards = int((found.curve_ml_s < 0).sum())
    forwards = len(found.curve_ml_s) - backwards
    share = found.backward_ml / found.forward_ml
    shared = vessel.offset_se_ml_s * seconds * (backwards + share * forwards)
    all_shared = vessel.offset_se_ml_s * seconds * len(found.curve_ml_s)
    noise = math.sqrt(max(found.net_se_ml**2 - all_shared**2, 0.0))
    return 100.0 * math.hypot(shared, noise * math.hypot(1.0, share)) / found.forward_ml
