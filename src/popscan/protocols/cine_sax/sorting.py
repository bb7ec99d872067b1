"""Short-axis cines and late enhancement among the series of an unknown visit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from popscan.protocols.cine_sax.orientation import TYPICAL_AXIS, axis_of, is_short_axis
from popscan.protocols.cine_sax.planes import angle_between_planes_deg
from popscan.sorting.facts import Facts, Floats, Named

#: A cine: frames, slice thickness or distance, pixels, smaller side of the field of view.
MIN_FRAMES, SLICE_MM, PIXEL_MM, FOV_MM = 8, (4.0, 20.0), (0.6, 3.6), (160.0, 520.0)
#: What moves: share of the intensity, how much of it in one place, how far the cycle may stay open.
_LEAST_CHANGE, _LEAST_FOCUS, _MOST_OPEN = 0.05, 0.4, 2.0
#: Frames that span more are not those of a cycle: contrast that passes is looked at for a minute.
_MOST_MS = 5000.0
#: What is taken off for times that are not known.
UNTIMED = 0.1
#: Stacks have at least so many slices; parallel within this angle.
MIN_SLICES, PARALLEL_DEG = 3, 5.0
#: Planes so near to the typical axis need no further evidence.
_NEAR_DEG = 30.0
#: How far the left ventricle's axis lies to the left of the centre of change.
_LEFT_MM = 12.0
#: Inversion times that null the muscle after contrast.
_NULLING_MS = (120.0, 500.0)
#: So many inversion times of one plane are not late enhancement.
_MANY_TIMES = 3


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
        and facts.closing <= _MOST_OPEN
        and not facts.span_ms > _MOST_MS
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
    """Return axis and centre (LPS) of the left ventricle by the short-axis cine of a visit.

    What changes most lies between the ventricles, to the right of the left one's axis. None without
    a short-axis cine.
    """
    cines = [f for f in series if beats(f) and is_short_axis(f.normal)]
    stacks = [f for f in cines if _n_parallel(f, cines) >= MIN_SLICES]
    if not stacks:
        return None
    main = max(stacks, key=lambda f: (_n_parallel(f, cines), f.n_frames))
    centres = [f.change_mm for f in stacks if _parallel(f, main)]
    axis = axis_of(main.normal)
    left = np.array([1.0, 0.0, 0.0])
    left = left - (left @ axis) * axis
    left = left / np.linalg.norm(left)
    return axis, np.asarray(np.mean(centres, axis=0) + _LEFT_MM * left)


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
    if not is_short_axis(facts.normal):
        return []
    others = [f for f in series if beats(f) and is_short_axis(f.normal)]
    n = _n_parallel(facts, others)
    if not beats(facts):
        return _end(facts, others) if n >= MIN_SLICES else []
    off = angle_between_planes_deg(facts.normal, TYPICAL_AXIS)
    less = UNTIMED if math.isnan(facts.span_ms) else 0.0
    if n >= MIN_SLICES:
        sure = (0.9 if off <= _NEAR_DEG else 0.8) - less
        return [Named(name="sax_cine", sure=sure, by=f"{n} beating slices across the axis")]
    sure = (0.7 if off <= _NEAR_DEG else 0.4) - less
    return [Named(name="sax_cine", sure=sure, by="a beating slice across the usual axis")]


def _end(facts: Facts, beating: Sequence[Facts]) -> list[Named]:
    """Slices of a stack beyond base and apex hardly beat: they go on in the steps of the others."""
    in_line = [
        f
        for f in beating
        if _parallel(f, facts)
        and (f.matrix, f.n_frames, f.n_slices) == (facts.matrix, facts.n_frames, 1)
        and np.allclose(f.spacing_mm, facts.spacing_mm, rtol=1e-3)
    ]
    if facts.n_slices != 1 or len(in_line) < MIN_SLICES or facts.signed or facts.prepared:
        return []
    along = sorted(float(f.centre_mm @ facts.normal) for f in in_line)
    step = float(np.median(np.diff(along)))
    at = float(facts.centre_mm @ facts.normal)
    if not along[0] - 3.5 * step <= at <= along[-1] + 3.5 * step:
        return []
    return [Named(name="sax_cine", sure=0.75, by=f"continues {len(in_line)} beating slices")]


def _late(facts: Facts, series: Sequence[Facts]) -> list[Named]:
    """Single inversion time that nulls muscle, one frame, in the planes of the short axis."""
    low, high = _NULLING_MS
    times = facts.inversion_ms
    nulled = bool(times) and low <= times[0] and times[-1] <= high and times[-1] < 1.5 * times[0]
    if not (nulled and facts.n_frames <= 2 and is_slice_image(facts)):
        return []
    # More times of one plane are those of a scout or of a map, whatever folders they lie in.
    single = [f for f in series if f.n_frames <= 2 and f.same_plane(facts)]
    if len({time for f in single for time in f.inversion_ms} | set(times)) >= _MANY_TIMES:
        return []
    if not is_short_axis(facts.normal):
        return []
    frame = short_axis_of(series)
    if frame is not None and angle_between_planes_deg(facts.normal, frame[0]) <= 15.0:
        return [Named(name="sax_lge", sure=0.9, by="inversion time, planes of the cine")]
    if facts.n_slices >= MIN_SLICES:
        return [Named(name="sax_lge", sure=0.7, by="inversion time, planes across the axis")]
    return []
