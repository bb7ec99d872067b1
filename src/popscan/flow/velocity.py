"""From stored phase to velocity."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.records import SubjectError

#: Velocity encodings that are believed, in cm/s: veins to stenotic valves.
VENC_CM_S = (5.0, 800.0)
#: What a turn may be stored as, beside radians: milliradians, and 13 signed bits (Siemens).
_HALF_TURNS = (math.pi, 1000.0 * math.pi, 4096.0)


def phase_radians(stored: ArrayLike, *, half: float | None = None) -> NDArray[np.float64]:
    """Return phase in radians from values that span most of a turn.

    Parameters
    ----------
    stored
        Phase, scaled as the file says.
    half
        What half a turn is stored as, where the file says it; otherwise it has to be pi, 1000 pi or
        4096, and what the values can be follows from their range. Phase is signed: values from 0 up
        (a middle that was not taken off) are refused.

    Raises
    ------
    SubjectError
        ``bad_phase`` where the range fits none of them.
    """
    values = np.asarray(stored, dtype=float)
    largest = float(np.abs(values).max()) if values.size else 0.0
    signed = bool(values.size and values.min() < 0)
    for full in (half,) if half is not None else _HALF_TURNS:
        if signed and full > 0 and 0.3 * full < largest <= 1.001 * full:
            return values * (math.pi / full)
    raise SubjectError(
        "bad_phase",
        f"phase up to {largest:.4g}: not a turn in radians, milliradians or 4096ths; what half a "
        "turn is stored as has to be given",
    )


def velocity_cm_s(phase_rad: ArrayLike, *, venc_cm_s: float) -> NDArray[np.float64]:
    """Return velocity through the plane; pi is the velocity encoding.

    Raises
    ------
    SubjectError
        ``bad_venc``.
    """
    low, high = VENC_CM_S
    if not math.isfinite(venc_cm_s) or not low <= venc_cm_s <= high:
        raise SubjectError(
            "bad_venc", f"velocity encoding {venc_cm_s:g} cm/s; {low:g} to {high:g} expected"
        )
    return np.asarray(phase_rad, dtype=float) * (venc_cm_s / math.pi)
