"""Long-axis planes beside the short-axis stack of the same visit."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from popscan.columns import Column
from popscan.protocol import Visit
from popscan.protocols.cine_lax.curves import view_of
from popscan.protocols.cine_lax.planes import planes_of
from popscan.protocols.cine_lax.valve_plane import MOST_SLICES, ended_at_valve, valve_plane
from popscan.protocols.cine_sax.labels import Label
from popscan.records import SubjectError

_PLANE = "docs/long_axis.md: the plane through the ends of the mitral valve in both views"
_PHASES = {"ed": "end-diastole", "es": "end-systole"}


def _dictionary() -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for key, phase in _PHASES.items():
        columns |= {
            f"sax_beyond_base_{key}_ml": Column(
                "mL", f"Short-axis LV labelled beyond the mitral valve's plane at {phase}", _PLANE
            ),
            f"sax_short_of_base_{key}_ml": Column(
                "mL", "LV between the highest labelled short-axis slice and the mitral valve's "
                f"plane at {phase}", _PLANE,
            ),
            f"lv{key}v_to_valve_ml": Column(
                "mL", f"Short-axis LV volume at {phase}, ended at the mitral valve's plane", _PLANE
            ),
            f"valve_misfit_{key}_mm": Column(
                "mm", "Root mean square distance of the valve's ends from their plane at "
                f"{phase}", _PLANE,
            ),
        }  # fmt: skip
    columns["lvef_to_valve_pct"] = Column(
        "%", "LV ejection fraction of the volumes that end at the mitral valve's plane", _PLANE
    )
    return columns


DICTIONARY: Mapping[str, Column] = _dictionary()


def measure(own: Visit, other: Visit) -> dict[str, float]:
    """Hold the short-axis LV against the mitral valve's plane.

    Parameters
    ----------
    own
        The long-axis visit; its ``ed_frame`` and ``es_frame`` are the frames of the plane.
    other
        The short-axis visit, at its own frames.

    Returns
    -------
    dict
        The columns of `DICTIONARY`; NaN where a phase is not known in both, fewer than two views
        show the valve, or the stack does not reach it.

    Raises
    ------
    SubjectError
        ``bad_sidecar`` where the long axis does not say where its planes lie; ``no_such_frame``
        where a phase's frame is none of the labels' frames; ``stack_beyond_valve`` where the stack
        ends farther beyond the valve's plane than one slice too many explains.
    """
    codes = np.asarray(own.labels.array, dtype=np.uint8)
    planes = planes_of(own.meta, codes.shape)
    values = dict.fromkeys(DICTIONARY, math.nan)
    for key in _PHASES:
        frames = [visit.values.get(f"{key}_frame", math.nan) for visit in (own, other)]
        if not np.isfinite(frames).all():
            continue
        here, there = (
            _frame(visit, frame) for visit, frame in zip((own, other), frames, strict=True)
        )
        seen = [view_of(codes[..., here : here + 1], plane).lv[0] for plane in planes]
        plane = valve_plane([one for one in seen if one is not None])
        if plane is None:
            continue
        values[f"valve_misfit_{key}_mm"] = plane.misfit_mm
        mask = np.asarray(other.labels.array[..., there] == Label.LV)
        ended = ended_at_valve(mask, other.affine, plane)
        if ended.slices_beyond > MOST_SLICES:
            raise SubjectError(
                "stack_beyond_valve",
                f"{_PHASES[key]}: the highest labelled short-axis slice lies "
                f"{ended.slices_beyond:.1f} slice distances beyond the mitral valve's plane",
            )
        values |= {
            f"sax_beyond_base_{key}_ml": ended.beyond_ml,
            f"sax_short_of_base_{key}_ml": ended.short_ml,
            f"lv{key}v_to_valve_ml": ended.to_valve_ml,
        }
    whole, rest = values["lvedv_to_valve_ml"], values["lvesv_to_valve_ml"]
    if whole > 0:
        values["lvef_to_valve_pct"] = 100.0 * (whole - rest) / whole
    return values


def _frame(visit: Visit, frame: float) -> int:
    """Return a phase's frame, as an index of the labels."""
    n = visit.labels.array.shape[3]
    if not (frame == int(frame) and 0 <= frame < n):
        raise SubjectError("no_such_frame", f"frame {frame:g} of labels with {n} frames")
    return int(frame)
