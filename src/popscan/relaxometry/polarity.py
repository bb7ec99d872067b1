"""Signs of inversion-recovery samples from their phase images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.records import SubjectError


def signs_from_phase(phase_rad: ArrayLike, times_ms: ArrayLike) -> NDArray[np.float64]:
    """Return 1 or -1 for every sample: whether its phase is that of the latest sample.

    The magnetisation has recovered furthest at the longest inversion time; what is still inverted
    has the opposite phase (phase-sensitive inversion recovery, Kellman et al. 2002,
    doi:10.1002/mrm.10051).

    Parameters
    ----------
    phase_rad : array_like, shape (n, ...)
        Phase, in radians.
    times_ms
        Inversion times.

    Raises
    ------
    SubjectError
        ``shape_mismatch`` where there is not one image per time, ``bad_phase`` where phases span
        more than a turn: they are in another unit.
    """
    phase = np.asarray(phase_rad, dtype=float)
    if phase.shape[0] != np.size(times_ms):
        raise SubjectError(
            "shape_mismatch",
            f"{phase.shape[0]} phase images for {np.size(times_ms)} inversion times",
        )
    low, high = float(np.nanmin(phase)), float(np.nanmax(phase))
    if high - low > 2.02 * np.pi:
        raise SubjectError(
            "bad_phase", f"phase from {low:.4g} to {high:.4g}; radians of one turn expected"
        )
    latest = phase[int(np.argmax(np.asarray(times_ms)))]
    return np.where(np.cos(phase - latest) < 0, -1.0, 1.0)
