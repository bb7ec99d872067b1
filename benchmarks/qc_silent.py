"""True failures for `qc_truth.py`: wrong, passed by every check, and outside of their interval.

A result may measure well, be flagged, or say with its interval that it may be off. What is left
misleads a reader: a quantity that is off by more than its limit, whose 90% interval excludes the
truth, in a result that passes. The intervals are those that the table `biomarkers` would show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.arrays.widening import stored_widening
from popscan.protocols.cine_sax.biomarkers.intervals import bounds
from popscan.protocols.cine_sax.biomarkers.samples import interval_values
from popscan.protocols.cine_sax.labels import STRUCTURES
from popscan.stages.segment.uncertainty import matching
from popscan.stats.intervals import wilson

LEVEL = 0.9
#: Error of `qc_cases.errors` -> the quantity whose interval should hold the truth.
INTERVALS = {
    "lvef_points": "lvef_pct",
    **{
        f"{side}{phase}_pct": f"{side}{phase}_ml"
        for side in ("lv", "rv")
        for phase in ("edv", "esv")
    },
}
DRAWS = 2000


def outside(
    own: Mapping[str, float],
    truth: Mapping[str, float],
    record: Mapping[str, Any],
    about: Mapping[str, Any],
) -> dict[str, bool]:
    """Return of which errors the quantity's interval excludes the truth; NaN excludes nothing.

    Parameters
    ----------
    own, truth
        Biomarkers of the result's labels and of the true ones.
    record
        What segmentation says of itself: `ood_score`, and `base` in mL.
    about
        The bundle's `model.yaml`.
    """
    samples = {
        "volumes_ml": {name: np.zeros((1, 2)) for name in STRUCTURES.values()},
        "calibration": matching(about.get("intervals", ()), flips=False, dropout_samples=0),
        "base": record["base"],
        "widening": stored_widening(about.get("widening"), float(record["ood_score"])),
    }
    ends = interval_values(own, samples=samples, level=LEVEL, method="auto")
    found = {}
    for error, name in INTERVALS.items():
        low, high = (ends[end] for end in bounds(name))
        found[error] = bool(truth[name] < low or truth[name] > high)
    return found


def silent(rows: pd.DataFrame, flagged: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which results pass though a wrong quantity lies outside of its interval."""
    hidden = np.zeros(len(rows), dtype=bool)
    for error in INTERVALS:
        if f"misled {error}" in rows:
            hidden |= rows[f"misled {error}"].to_numpy() == True  # noqa: E712  (missing is not)
    return hidden & ~flagged


def share_by_patient(rows: pd.DataFrame, hit: NDArray[np.bool_]) -> str:
    """Return a share of results; the 95% interval draws patients, since theirs hang together."""
    if not len(rows):
        return "none"
    counts = pd.DataFrame({"unit": rows["unit"].to_numpy(), "n": 1, "k": hit}).groupby("unit").sum()
    n, k = (counts[name].to_numpy(dtype=float) for name in ("n", "k"))
    if k.any():
        drawn = np.random.default_rng(0).integers(len(n), size=(DRAWS, len(n)))
        low, high = np.quantile(k[drawn].sum(axis=1) / n[drawn].sum(axis=1), (0.025, 0.975))
    else:
        low, high = wilson(0, len(n), alpha=0.05)
    of = f"{int(k.sum())} of {int(n.sum())}"
    return f"{of} ({100 * k.sum() / n.sum():.1f}%, {100 * low:.1f} to {100 * high:.1f})"
