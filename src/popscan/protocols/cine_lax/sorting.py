"""Long-axis cines among the series of an unknown visit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from popscan.protocols.cine_sax.orientation import (
    LONG_AXIS_ANGLES_DEG,
    TYPICAL_AXIS,
    is_short_axis,
    name_plane,
)
from popscan.protocols.cine_sax.planes import angle_about_axis_deg, circular_distance_deg
from popscan.protocols.cine_sax.sorting import UNTIMED, beats, short_axis_of
from popscan.sorting.facts import Facts, Floats, Named

#: A plane within this angle of a textbook view is one; neighbours stand about 60 degrees apart.
_NEAR_DEG, _NEAR_TYPICAL_DEG = 22.0, 15.0


def find(series: Sequence[Facts]) -> list[list[Named]]:
    """Name the series of one visit: by its short axis, or by the usual one where it has none."""
    frame = short_axis_of(series)
    return [_named(facts, frame) for facts in series]


def _named(facts: Facts, frame: tuple[Floats, Floats] | None) -> list[Named]:
    if not beats(facts) or is_short_axis(facts.normal) or facts.n_slices > 3:
        return []
    axis, centre = frame if frame is not None else (np.asarray(TYPICAL_AXIS), None)
    view = name_plane(facts.normal, facts.centre_mm, axis=axis, centre=centre).view
    less = UNTIMED if math.isnan(facts.span_ms) else 0.0
    if view == "rvot":
        sure = (0.8 if frame is not None else 0.5) - less
        return [Named(name="rvot_cine", sure=sure, by="sagittal, right of the heart's centre")]
    if view not in LONG_AXIS_ANGLES_DEG:
        return []
    angle = angle_about_axis_deg(facts.normal, axis)
    off = circular_distance_deg(angle, LONG_AXIS_ANGLES_DEG[view])
    name = f"{view}_cine"
    if frame is not None:
        sure = (0.9 if off <= _NEAR_DEG else 0.5) - less
        return [Named(name=name, sure=sure, by="angle about the short-axis stack's normal")]
    sure = (0.7 if off <= _NEAR_TYPICAL_DEG else 0.4) - less
    return [Named(name=name, sure=sure, by="angle about the usual axis")]
