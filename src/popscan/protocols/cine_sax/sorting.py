"""Short-axis cines and late enhancement among the series of an unknown visit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from popscan.protocols.cine_sax.orientation import TYPICAL_AXIS, axis_of, is_short_axis
from popscan.protocols.cine_sax.planes import angle_between_planes_deg
from popscan.sorting.facts import Facts, Floats, Named

#: A cine: frames, slice thickness or distance, pixels, smaller side of the field of view.
MIN_FRAMES, SLICE_MM, PIXEL_MM, FOV_MM = 8, (4.0, 20.0), (0.6, 3.6), (160.0, 520.0)
#: What moves: share of the intensity, how much of it in one place, how well the cycle closes.
_LEAST_CHANGE, _LEAST_FOCUS, _LEAST_PERIODIC = 0.05, 0.4, 0.1
#: Stacks have at least so many slices; parallel within this angle.
MIN_SLICES, PARALLEL_DEG = 3, 5.0
#: Planes so near to the typical axis need no further evidence.
_NEAR_DEG = 30.0
#: Inversion times that null the muscle after contrast.
_NULLING_MS = (120.0, 500.0)


def find(series: Sequence[Facts]) -> list[list[Named]]:
    """Name the series of one visit."""
    return [_cine(facts, series) + _late(facts, series) for facts in series]


def beats(facts: Facts) -> bool:
    """Whether this is a cine of something that beats in one place."""
    return (
        is_slice_image(facts)
        and facts.n_frames >= MIN_FRAMES
        and not facts.prepared
        and facts.change >= _LEAST_CHANGE
        and facts.focus >= _LEAST_FOCUS
        and facts.periodic >= _LEAST_PERIODIC
    )


def is_slice_image(facts: Facts) -> bool:
    """Whether planes, pixels and field of view are those of slices through a chest."""
    return (
        facts.oriented
        and not facts.signed
        and not facts.venc
        and facts.n_directions == 1
        and SLICE_MM[0] <= facts.slice_mm <= SLICE_MM[1]
        and PIXEL_MM[0] <= max(facts.spacing_mm) <= PIXEL_MM[1]
        and FOV_MM[0] <= min(facts.fov_mm) <= FOV_MM[1]
    )


def short_axis_of(series: Sequence[Facts]) -> tuple[Floats, Floats] | None:
    """Return axis and centre (LPS) of the short-axis cine of a visit; None without one."""
    cines = [f for f in series if beats(f) and is_short_axis(f.normal)]
    stacks = [f for f in cines if _n_parallel(f, cines) >= MIN_SLICES]
    if not stacks:
        return None
    main = max(stacks, key=lambda f: (_n_parallel(f, cines), f.n_frames))
    centres = [f.change_mm for f in stacks if _parallel(f, main)]
    return axis_of(main.normal), np.asarray(np.mean(centres, axis=0))


def _parallel(one: Facts, other: Facts) -> bool:
    return angle_between_planes_deg(one.normal, other.normal) <= PARALLEL_DEG


def _n_parallel(facts: Facts, others: Sequence[Facts]) -> int:
    """Slices that this series and those parallel to it show."""
    places = {
        (round(float(f.centre_mm @ facts.normal)), k)
        for f in others
        if _parallel(f, facts) and f.n_slices == facts.n_slices
        for k in range(f.n_slices)
    }
    return len(places)


def _cine(facts: Facts, series: Sequence[Facts]) -> list[Named]:
    if not (beats(facts) and is_short_axis(facts.normal)):
        return []
    others = [f for f in series if beats(f) and is_short_axis(f.normal)]
    n = _n_parallel(facts, others)
    off = angle_between_planes_deg(facts.normal, TYPICAL_AXIS)
    if n >= MIN_SLICES:
        sure = 0.9 if off <= _NEAR_DEG else 0.8
        return [Named(name="sax_cine", sure=sure, by=f"{n} beating slices across the axis")]
    sure = 0.65 if off <= _NEAR_DEG else 0.4
    return [Named(name="sax_cine", sure=sure, by="a beating slice across the usual axis")]


def _late(facts: Facts, series: Sequence[Facts]) -> list[Named]:
    """Single inversion time that nulls muscle, one frame, in the planes of the short axis."""
    low, high = _NULLING_MS
    times = facts.inversion_ms
    nulled = bool(times) and low <= times[0] and times[-1] <= high and times[-1] < 1.5 * times[0]
    if not (nulled and facts.n_frames <= 2 and is_slice_image(facts)):
        return []
    if not is_short_axis(facts.normal):
        return []
    frame = short_axis_of(series)
    if frame is not None and angle_between_planes_deg(facts.normal, frame[0]) <= 15.0:
        return [Named(name="sax_lge", sure=0.9, by="inversion time, planes of the cine")]
    if facts.n_slices >= MIN_SLICES:
        return [Named(name="sax_lge", sure=0.7, by="inversion time, planes across the axis")]
    return []
