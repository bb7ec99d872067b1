"""How much of a gap hangs on those who have no value."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from popscan.stats.means import Floats

#: Share of either group without a value, or difference of the shares, from which a gap's sign is
#: held to be open where the worst case turns it.
MUCH, APART = 0.20, 0.05


def missing_columns(
    group: Floats, reference: Floats, *, extremes: Floats, bounds: Floats
) -> dict[str, Any]:
    """Return the shares without a value, and the gap's bounds over all that these could be.

    The bounds are those of Horowitz and Manski (2000, J. Am. Stat. Assoc. 95, 77-84): nothing is
    assumed of why values are missing. Missing values of one group are set to the lowest and those
    of the other to the highest that the outcome can have, and the reverse; where nothing bounds an
    outcome, the lowest and highest that occur in the study stand for that.

    The worst case turns the sign of most gaps even when few values are missing, so that it alone
    says little. The sign is held to be open where it does *and* a fifth of either group has no
    value, or the shares differ by 5 percentage points, or by a Fisher test at 5%.

    Parameters
    ----------
    group, reference : ndarray
        Values of all units of either side, NaN where missing.
    extremes : ndarray, shape (2,)
        Lowest and highest value of all units of the study; NaN without any.
    bounds : ndarray, shape (2,)
        Smallest and largest possible value.
    """
    lost = [np.isnan(side) for side in (group, reference)]
    shares = [float(side.mean()) if len(side) else float("nan") for side in lost]
    row: dict[str, Any] = {
        "missing_pct": 100 * shares[0], "missing_reference_pct": 100 * shares[1],
        "bound_low": float("nan"), "bound_high": float("nan"), "sign_open": False,
    }  # fmt: skip
    if np.isnan(extremes[0]) or any(side.all() for side in lost):
        return row
    low = float(bounds[0] if np.isfinite(bounds[0]) else extremes[0])
    high = float(bounds[1] if np.isfinite(bounds[1]) else extremes[1])
    means = [float(side[~gone].mean()) for side, gone in zip((group, reference), lost, strict=True)]
    least, most = (
        [(1 - s) * mean + s * value for s, mean in zip(shares, means, strict=True)]
        for value in (low, high)
    )
    row["bound_low"], row["bound_high"] = least[0] - most[1], most[0] - least[1]
    gap = means[0] - means[1]
    turns = row["bound_low"] < 0 if gap > 0 else row["bound_high"] > 0 if gap < 0 else False
    row["sign_open"] = bool(turns and _uneven(lost[0], lost[1]))
    return row


def _uneven(lost: np.ndarray, lost_reference: np.ndarray) -> bool:
    """Whether so many values are missing, or so unevenly, that they matter."""
    share, share_reference = float(lost.mean()), float(lost_reference.mean())
    if max(share, share_reference) >= MUCH or abs(share - share_reference) >= APART:
        return True
    counts = [[int(side.sum()), int((~side).sum())] for side in (lost, lost_reference)]
    return bool(stats.fisher_exact(counts).pvalue <= 0.05)
