"""Volumes, mass and ejection fractions as intervals.

A bundle that was calibrated holds, per quantity, the errors of its estimates on patients with
expert labels that it was not trained on, and how far the samples (members, mirrorings, dropout)
were spread for each of them. The interval of a new subject follows from these and from its own
spread (`popscan.arrays.intervals`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.intervals import Method, half_width
from popscan.columns import Column
from popscan.protocols.cine_sax.biomarkers.dictionary import DICTIONARY
from popscan.protocols.cine_sax.biomarkers.doubt import DOUBT_DICTIONARY
from popscan.protocols.cine_sax.biomarkers.sax import MYOCARDIAL_DENSITY_G_ML

Floats = NDArray[np.float64]

#: Quantities with intervals -> whether their errors are taken relative to the estimate: those of
#: volumes and masses grow with the heart, those of fractions do not.
QUANTITIES: Mapping[str, bool] = {
    "lvedv_ml": True,
    "lvesv_ml": True,
    "lvsv_ml": True,
    "lvef_pct": False,
    "lvm_g": True,
    "rvedv_ml": True,
    "rvesv_ml": True,
    "rvsv_ml": True,
    "rvef_pct": False,
}


def bounds(column: str) -> tuple[str, str]:
    """Return the columns of an interval's ends.

    Examples
    --------
    >>> bounds("lvef_pct")
    ('lvef_low_pct', 'lvef_high_pct')
    """
    stem, unit = column.rsplit("_", 1)
    return f"{stem}_low_{unit}", f"{stem}_high_{unit}"


_SOURCE = (
    "errors on the bundle's validation patients, scaled by the spread of members, mirrorings and "
    "dropout; level: biomarkers.interval_level; Lei et al., JASA 2018, "
    "doi:10.1080/01621459.2017.1307116"
)
#: Columns that `intervals` returns, in its order.
INTERVAL_DICTIONARY: Mapping[str, Column] = {
    **{
        name: Column(DICTIONARY[column].unit, f"{end} end of the interval of {column}", _SOURCE)
        for column in QUANTITIES
        for name, end in zip(bounds(column), ("lower", "upper"), strict=True)
    },
    "interval_level_pct": Column(
        "%",
        "share of new subjects whose expert value the interval is meant to hold; empty where the "
        "model bundle was not calibrated",
        "config: biomarkers.interval_level",
    ),
    "interval_widening": Column(
        "",
        "factor by which the intervals were widened since the scan is unlike the training scans "
        "(`ood_score`); 1 for scans that are not",
        "fitted on corrupted scans of the bundle's validation patients",
    ),
    **DOUBT_DICTIONARY,
}


def sample_values(
    volumes_ml: Mapping[str, Floats], *, ed: int | None, es: int | None
) -> dict[str, Floats]:
    """Return each quantity of `QUANTITIES` as every sample has it.

    Parameters
    ----------
    volumes_ml
        ``rv``, ``myo``, ``lv`` -> volumes of each sample in each frame, shape (sample, t).
    ed, es
        Frames of end-diastole and end-systole, the same for all samples; None gives NaN.

    Returns
    -------
    dict
        Column -> shape (sample,).
    """

    def at(name: str, frame: int | None) -> Floats:
        curve = np.asarray(volumes_ml[name], dtype=float)
        return np.full(curve.shape[0], np.nan) if frame is None else curve[:, frame]

    values: dict[str, Floats] = {}
    for side in ("lv", "rv"):
        edv, esv = at(side, ed), at(side, es)
        fraction = np.divide(edv - esv, edv, out=np.full_like(edv, np.nan), where=edv > 0)
        values |= {
            f"{side}edv_ml": edv,
            f"{side}esv_ml": esv,
            f"{side}sv_ml": edv - esv,
            f"{side}ef_pct": 100.0 * fraction,
        }
    values["lvm_g"] = MYOCARDIAL_DENSITY_G_ML * at("myo", ed)
    return {name: values[name] for name in QUANTITIES}


def spreads(
    values: Mapping[str, float],
    volumes_ml: Mapping[str, Floats],
    *,
    ed: int | None,
    es: int | None,
) -> dict[str, float]:
    """Return how far the samples of each quantity are spread, relative where `QUANTITIES` says so.

    Standard deviation over the samples (n - 1); NaN for fewer than two, or where the estimate in
    `values` is not positive and the spread is relative.
    """
    found = {}
    for name, samples in sample_values(volumes_ml, ed=ed, es=es).items():
        sd = float(np.std(samples, ddof=1)) if samples.size > 1 else math.nan
        found[name] = sd / _unit(name, values[name])
    return found


def _unit(name: str, value: float) -> float:
    """Return what errors of a quantity are divided by; NaN where that is not positive."""
    if not QUANTITIES[name]:
        return 1.0
    return value if value > 0 else math.nan


def errors(values: Mapping[str, float], truth: Mapping[str, float]) -> dict[str, float]:
    """Return estimate less truth of each quantity, relative where `QUANTITIES` says so."""
    return {name: (values[name] - truth[name]) / _unit(name, values[name]) for name in QUANTITIES}


def intervals(
    values: Mapping[str, float],
    spread: Mapping[str, float],
    calibration: Mapping[str, Any],
    *,
    level: float,
    method: Method = "student",
    shifts: Mapping[str, tuple[float, float]] | None = None,
    widening: float = 1.0,
) -> dict[str, float]:
    """Return the ends of every interval: `INTERVAL_DICTIONARY` without its doubtful amounts.

    Parameters
    ----------
    values
        Estimates, as from `popscan.biomarkers.measure`.
    spread
        As from `spreads`; NaN, or a missing key, means that there were no samples: the interval is
        then as wide for this subject as for any.
    calibration
        Column -> ``errors`` and ``spreads``, lists of one number per calibration subject. Empty
        where the bundle was not calibrated.
    level, method
        As in `popscan.arrays.intervals.factor`.
    shifts
        Quantity -> how far it may fall and rise as doubtful slices are counted or not; the
        interval reaches as much further.
    widening
        Factor of the half-widths, for a scan unlike those of the training.

    Returns
    -------
    dict
        NaN where the estimate or the calibration is missing. Volumes end at 0, fractions at 100.
    """
    found: dict[str, float] = {}
    for name in QUANTITIES:
        low = high = math.nan
        if name in calibration and math.isfinite(values[name]):
            own = calibration[name]
            half = half_width(
                float(spread.get(name, math.nan)),
                errors=own["errors"],
                spreads=own["spreads"],
                level=level,
                method=method,
            ) * (_unit(name, values[name]) * widening)
            down, up = (shifts or {}).get(name, (0.0, 0.0))
            low, high = values[name] - half + down, values[name] + half + up
            if name.endswith("_pct"):
                high = min(high, 100.0) if math.isfinite(high) else high
            else:
                low = max(low, 0.0) if math.isfinite(low) else low
        found |= dict(zip(bounds(name), (low, high), strict=True))
    found["interval_level_pct"] = 100.0 * level if calibration else math.nan
    found["interval_widening"] = widening if calibration else math.nan
    return found
