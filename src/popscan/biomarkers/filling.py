"""How a chamber empties and fills over one period of its volume, or area, curve.

Written for any curve that empties once and fills in one or two waves: volumes of chambers and
bladders, areas of an ultrasound view. Positions are shares of the period, rates are per period.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from popscan.biomarkers.periodic import PeriodicCurve

Floats = NDArray[np.float64]

#: Positions at which curves are looked at: 0.25% of the period apart.
GRID = 400
#: A chamber is full, and empty, in the middle of the time in which its volume is this near to the
#: extreme, as a share of the emptied volume: where it rests, the extreme itself is chance.
FLAT_SHARE = 0.02
#: A second wave of filling counts where the rate before it falls this far below its height.
_MIN_PROMINENCE = 0.3
#: Of the filling time, in which the early wave is looked for.
_EARLY_SHARE = 0.6
#: Rest between the waves: rate below this share of the early peak.
REST_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class Filling:
    """Emptying and filling of one curve; NaN where there is no such event.

    Attributes
    ----------
    full_at, empty_at
        Positions of largest and smallest volume (`FLAT_SHARE`).
    full, empty
        These volumes.
    emptying_rate, emptying_at
        Largest rate of emptying (positive), and its distance from `full_at`.
    early_rate, early_at, late_rate, late_at
        Peaks of the filling waves, and their distances from `empty_at`.
    rest_at, rest
        Slowest filling between the waves (distance from `empty_at`), and the volume there.
    rest_share
        Time between the peaks in which filling is slower than `REST_SHARE` of the early peak.
    early_share, third_share
        Share of the emptied volume that is back at `rest_at`, and after a third of the filling
        time.
    recovery_share
        Share of the filling time after which 80% of the emptied volume is back.
    """

    full_at: float
    empty_at: float
    full: float
    empty: float
    emptying_rate: float
    emptying_at: float
    early_rate: float
    early_at: float
    late_rate: float
    late_at: float
    rest_at: float
    rest: float
    rest_share: float
    early_share: float
    third_share: float
    recovery_share: float


def measure_filling(curve: PeriodicCurve) -> Filling:
    """Find the events of one curve.

    One wave of filling (waves that are fused at a high rate, or no late wave) has its peak as
    `early_rate`; what stands on two waves is NaN then.

    Examples
    --------
    >>> from popscan.biomarkers.periodic import fit_periodic
    >>> at = np.arange(40) / 40
    >>> curve = fit_periodic(100 + 30 * np.cos(2 * np.pi * at), at=at)
    >>> found = measure_filling(curve)
    >>> round(found.emptying_rate / (60 * np.pi), 2), round(found.emptying_at, 2)
    (1.0, 0.25)
    >>> found.late_rate
    nan
    """
    return _measure(curve(np.arange(GRID) / GRID), curve(np.arange(GRID) / GRID, derivative=1))


def measure_exact(volumes: Floats, rates: Floats) -> Filling:
    """Find the events of a curve that is known at `GRID` equal steps, with its derivative."""
    return _measure(volumes, rates)


def _measure(volumes: Floats, rates: Floats) -> Filling:
    swing = float(np.ptp(volumes))
    full_at = _middle(volumes > volumes.max() - FLAT_SHARE * swing, int(np.argmax(volumes)))
    empty_at = _middle(volumes < volumes.min() + FLAT_SHARE * swing, int(np.argmin(volumes)))
    emptying = -_from(rates, full_at, empty_at)
    filling, back = _from(rates, empty_at, full_at), _from(volumes, empty_at, full_at)
    empty, full = float(volumes.min()), float(volumes.max())
    share = (back - empty) / (full - empty)
    early, late, rest = _waves(filling)
    fast = filling < REST_SHARE * filling[early]
    two = late is not None
    end, lowest = (late, rest) if late is not None else (early, early)
    return Filling(
        full_at=full_at / GRID,
        empty_at=empty_at / GRID,
        full=full,
        empty=empty,
        emptying_rate=float(emptying.max()),
        emptying_at=int(emptying.argmax()) / GRID,
        early_rate=float(filling[early]),
        early_at=early / GRID,
        late_rate=float(filling[end]) if two else math.nan,
        late_at=end / GRID if two else math.nan,
        rest_at=lowest / GRID if two else math.nan,
        rest=float(back[lowest]) if two else math.nan,
        rest_share=float(fast[early:end].sum()) / GRID if two else math.nan,
        early_share=float(share[lowest]) if two else math.nan,
        third_share=float(np.interp((len(share) - 1) / 3, np.arange(len(share)), share)),
        recovery_share=float(np.argmax(share >= 0.8)) / (len(share) - 1),
    )


def _middle(near: NDArray[np.bool_], extreme: int) -> int:
    """Middle of the run of true values around an index, cyclic."""
    around = np.roll(near, GRID // 2 - extreme)
    far = np.flatnonzero(~around)
    low = far[far < GRID // 2].max(initial=-1) + 1
    high = far[far > GRID // 2].min(initial=GRID) - 1
    return int(extreme - GRID // 2 + (low + high) // 2) % GRID


def _from(values: Floats, start: int, stop: int) -> Floats:
    """Part of a cyclic array from one index to another, both included."""
    length = (stop - start) % GRID + 1
    part: Floats = values[(start + np.arange(length)) % GRID]
    return part


def _waves(filling: Floats) -> tuple[int, int | None, int]:
    """Return where the early wave has its peak, the late one (None without), and the lowest."""
    first = filling[: max(2, int(_EARLY_SHARE * len(filling)))]
    early = int(first.argmax())
    peaks, found = find_peaks(np.append(filling[early:], -np.inf), prominence=0.0)
    rise = _MIN_PROMINENCE * filling[early + peaks]
    late = [int(early + p) for p in peaks[(found["prominences"] >= rise) & (rise > 0)] if p > 0]
    if not late:
        return early, None, early
    end = max(late, key=lambda i: filling[i])
    return early, end, early + int(filling[early:end].argmin())


def draws_of(curves: PeriodicCurve, estimate: Filling) -> dict[str, Floats]:
    """Measure curves that were drawn around an estimate, in the estimate's windows.

    Parameters
    ----------
    curves
        As `PeriodicCurve.redrawn` returns them.
    estimate
        Of the curve that they were drawn from: early and late peaks are looked for before and
        after its `rest_at`.

    Returns
    -------
    dict
        ``emptying_rate, early_rate, late_rate, early_share, third_share, rate_ratio``, shape
        (draws,) each; NaN where the estimate is.
    """
    grid = np.arange(GRID) / GRID
    rates, volumes = curves(grid, derivative=1).T, curves(grid).T
    full, empty = round(estimate.full_at * GRID), round(estimate.empty_at * GRID)
    emptying = -np.array([_from(r, full, empty) for r in rates])
    filling = np.array([_from(r, empty, full) for r in rates])
    back = np.array([_from(v, empty, full) for v in volumes])
    swing = volumes.max(axis=1) - volumes.min(axis=1)
    two = math.isfinite(estimate.rest_at)
    lowest = round(estimate.rest_at * GRID) if two else filling.shape[1] - 1
    early = filling[:, : lowest + 1].max(axis=1)
    nothing = np.full(len(rates), np.nan)
    early_share = nothing
    if two:
        first, last = round(estimate.early_at * GRID), round(estimate.late_at * GRID)
        slowest = first + filling[:, first:last].argmin(axis=1)
        early_share = (back[np.arange(len(back)), slowest] - volumes.min(axis=1)) / swing
    late = filling[:, lowest:].max(axis=1) if two else nothing
    return {
        "emptying_rate": emptying.max(axis=1),
        "early_rate": early,
        "late_rate": late,
        "rate_ratio": np.divide(early, late, out=nothing.copy(), where=late > 0),
        "early_share": early_share,
        "third_share": (back[:, round((back.shape[1] - 1) / 3)] - volumes.min(axis=1)) / swing,
    }
