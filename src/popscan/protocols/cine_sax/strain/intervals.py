"""How far tracking may be off: estimates that share no registration, and errors on known hearts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

#: Column -> (factor of the spread of estimates, error in percentage points that is there without
#: any spread): 1.6, as for 90% of a normal distribution, and what eleven digital hearts need beside
#: it whose images the shipped network labelled (`benchmarks/strain.py`; docs/motion.md). With true
#: labels 1.4 and 2.0 would do: most of it is the network's.
CALIBRATION: Mapping[str, tuple[float, float]] = {
    "gcs_peak_pct": (1.6, 2.6),
    "grs_peak_pct": (1.6, 29.4),
}

#: Column -> factor of the standard error of `bayesian` registration for 90% intervals, from the
#: errors of the first ten digital hearts of `benchmarks/strain.py --cut --posterior`; coverage was
#: measured on the next ones (docs/motion.md). Above 1.6, errors are larger than the posterior says.
POSTERIOR: Mapping[str, float] = {"gcs_peak_pct": 0.9, "grs_peak_pct": 2.0}


def tracking_intervals(
    values: Mapping[str, float], others: Sequence[Mapping[str, float]]
) -> dict[str, float]:
    """Return both ends of the intervals of `CALIBRATION`.

    Parameters
    ----------
    values
        Estimates.
    others
        Further estimates of the same, by other means; none gives NaN.
    """
    ends: dict[str, float] = {}
    for column, (factor, least) in CALIBRATION.items():
        known = [one[column] for one in others if math.isfinite(one[column])]
        half = math.nan
        if known and math.isfinite(values[column]):
            spread = float(np.sqrt(np.mean([(one - values[column]) ** 2 for one in known])))
            half = math.hypot(factor * spread, least)
        stem = column.removesuffix("_pct")
        ends |= {
            f"{stem}_low_pct": values[column] - half,
            f"{stem}_high_pct": values[column] + half,
        }
    return ends


def posterior_intervals(
    values: Mapping[str, float], drawn: Sequence[Mapping[str, float]]
) -> dict[str, float]:
    """Return standard errors, and intervals of `POSTERIOR` where those are the wider ones.

    The posterior knows nothing of errors of the labels, which `tracking_intervals` hold.

    Parameters
    ----------
    values
        Estimates, and their intervals so far where there are any.
    drawn
        The same of probable displacements; none gives NaN.
    """
    found: dict[str, float] = {}
    for column, factor in POSTERIOR.items():
        stem = column.removesuffix("_pct")
        known = [one[column] for one in drawn if math.isfinite(one[column])]
        error = float(np.std(known, ddof=1)) if len(known) > 1 else math.nan
        found[f"{stem}_se_pct"] = error
        if len(known) > 1:
            low, high = f"{stem}_low_pct", f"{stem}_high_pct"
            found |= {
                low: float(np.fmin(values.get(low, math.nan), values[column] - factor * error)),
                high: float(np.fmax(values.get(high, math.nan), values[column] + factor * error)),
            }
    return found
