"""From curves over the cycle to peaks, times and rates."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from popscan.motion.cycle import rates
from popscan.protocols.cine_sax.aha import SEGMENTS
from popscan.protocols.cine_sax.strain.deform import Curves

Floats = NDArray[np.float64]

#: Early filling is looked for within this share of the cycle after the peak.
EARLY_SHARE = 0.35
#: Points per frame at which smooth curves are read.
_FINE = 8


def finer(curve: Floats) -> Floats:
    """Read a periodic curve (t,) at more points, through its own: every eighth is a frame's."""
    spectrum = np.fft.rfft(curve)
    if len(curve) % 2 == 0:
        spectrum[-1] /= 2  # the highest frequency stands for itself and its mirror image
    return np.fft.irfft(spectrum, n=_FINE * len(curve)) * _FINE


def peak(curve: Floats, *, sign: float, period_ms: float) -> dict[str, float]:
    """Return a curve's peak (in its unit), when it is, and the fastest changes before and after.

    Parameters
    ----------
    curve : ndarray, shape (t,)
        Periodic, from end-diastole on.
    sign
        -1 for a curve that falls to its peak, 1 for one that rises.
    period_ms
        Length of the cycle.
    """
    if not np.isfinite(curve).all():
        return dict.fromkeys(("peak", "time_ms", "systolic", "diastolic"), math.nan)
    fine = finer(curve)
    at = int(np.argmax(sign * fine))
    change = sign * rates(fine, period_s=period_ms / 1000.0)
    after = change[at : at + max(1, round(EARLY_SHARE * len(fine)))]
    return {
        "peak": float(fine[at]),
        "time_ms": at / len(fine) * period_ms,
        "systolic": float(sign * change[: at + 1].max()),
        "diastolic": float(sign * after.min()),
    }


def global_numbers(curves: Curves, *, period_ms: float) -> dict[str, float]:
    """Return the columns of global strain and displacement."""
    values: dict[str, float] = {}
    for short, curve, sign in (
        ("gcs", curves.circumferential[:, 0], -1.0),
        ("grs", curves.radial[:, 0], 1.0),
    ):
        found = peak(curve, sign=sign, period_ms=period_ms)
        values |= {
            f"{short}_peak_pct": 100 * found["peak"],
            f"{short}_peak_time_ms": found["time_ms"],
            f"{short}_systolic_rate_per_s": found["systolic"],
            f"{short}_diastolic_rate_per_s": found["diastolic"],
        }
    values["radial_displacement_peak_mm"] = float(finer(curves.inward_mm).max())
    return values


def segment_rows(curves: Curves, *, period_ms: float) -> tuple[dict[str, float | str], ...]:
    """Return peaks and their times of segments 1 to 16; NaN for a segment without wall."""
    rows: list[dict[str, float | str]] = []
    for number in range(1, 17):
        around = peak(curves.circumferential[:, number], sign=-1.0, period_ms=period_ms)
        across = peak(curves.radial[:, number], sign=1.0, period_ms=period_ms)
        rows.append(
            {
                "segment": float(number),
                "name": SEGMENTS[number],
                "circumferential_peak_pct": 100 * around["peak"],
                "circumferential_peak_time_ms": around["time_ms"],
                "radial_peak_pct": 100 * across["peak"],
                "radial_peak_time_ms": across["time_ms"],
            }
        )
    return tuple(rows)


def segment_numbers(rows: tuple[Mapping[str, float | str], ...]) -> dict[str, float]:
    """Return the same peaks as columns of one row per subject."""
    return {
        f"{short}_aha{int(float(row['segment'])):02d}_peak_pct": float(row[f"{name}_peak_pct"])
        for short, name in (("ecc", "circumferential"), ("err", "radial"))
        for row in rows
    }
