"""From stored phase to velocity."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.arrays.phase import MILLIRADIANS, RADIANS, half_turn
from popscan.flow.checks import require_venc
from popscan.records import SubjectError

#: What half a turn may be stored as: radians, milliradians, and 13 signed bits (Siemens).
_HALF_TURNS = (RADIANS, MILLIRADIANS, 4096.0)


def phase_radians(stored: ArrayLike, *, half: float | None = None) -> NDArray[np.float64]:
    """Return phase in radians from stored values.

    Parameters
    ----------
    stored
        Phase, scaled as the file says.
    half
        What half a turn is stored as, where the file says it; otherwise it has to be pi, 1000 pi or
        4096, and follows from the range where one of them alone can be: values up to 1500 could be
        milliradians or 4096ths, unless noise in the air fills the turn. Phase is signed: values
        from 0 up (a middle that was not taken off) are refused.

    Raises
    ------
    SubjectError
        ``bad_phase`` where the range fits none of them, or several.
    """
    values = np.asarray(stored, dtype=float)
    found = half_turn(values, _HALF_TURNS if half is None else (half,))
    if found is not None and values.min() < 0:
        return values * (math.pi / found)
    raise SubjectError(
        "bad_phase",
        f"phase from {values.min(initial=0.0):.4g} to {values.max(initial=0.0):.4g}: not a turn in "
        "radians, milliradians or 4096ths alone; what half a turn is stored as has to be given",
    )


def velocity_cm_s(phase_rad: ArrayLike, *, venc_cm_s: float) -> NDArray[np.float64]:
    """Return velocity through the plane; pi is the velocity encoding.

    Raises
    ------
    SubjectError
        ``bad_venc``.
    """
    require_venc(venc_cm_s)
    return np.asarray(phase_rad, dtype=float) * (venc_cm_s / math.pi)
