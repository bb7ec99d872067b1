"""The audit's summary: one row per attribute and outcome."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.fairness import measures
from popscan.fairness.design import AuditDesign
from popscan.fairness.groups import Grouping, OutcomeMatrix
from popscan.fairness.sample import Sample
from popscan.stats import intervals, several
from popscan.stats.means import Floats


def summarise(
    matrix: OutcomeMatrix, grouping: Grouping, sample: Sample, *, design: AuditDesign
) -> list[dict[str, Any]]:
    """Summarise one attribute on every outcome.

    Parameters
    ----------
    matrix, grouping, sample
        Outcomes, groups, and their draws.
    design
        Level, and the size below which groups do not enter.

    Returns
    -------
    list of dict
        Rows with the columns of `popscan.fairness.dictionary.SUMMARY` but ``p_adj``.
    """
    rows = []
    for k, key in enumerate(matrix.records()):
        values = matrix.by_outcome[k]
        known = np.isfinite(values)
        sizes = np.bincount(grouping.codes[known], minlength=len(grouping.names))
        codes = [c for c in range(len(sizes)) if sample.moments[c].n_rows[k] >= design.min_group]
        row: dict[str, Any] = {
            "attribute": grouping.attribute,
            **key,
            "n_groups": len(codes),
            "n_too_few": len(sizes) - len(codes),
            "n": int(known.sum()),
            "overall": float(values[known].mean()) if known.any() else float("nan"),
        }
        if len(codes) > 1:
            row |= _spread(
                grouping, sample, codes, k, better_is=key["better_is"], alpha=design.alpha
            )
            if known.any() and values[known].min() >= 0 and values[known].max() <= 1:
                row |= _bounded(
                    sample, codes, k, better_is=key["better_is"], sizes=sizes, alpha=design.alpha
                )
            row |= _omnibus(matrix, k, grouping, codes, sample.clustered)
        rows.append(row)
    return rows


def _spread(
    grouping: Grouping, sample: Sample, codes: list[int], k: int, *, better_is: str, alpha: float
) -> dict[str, Any]:
    """Worst, best, and distances, beside what chance alone makes of them."""
    means = np.array([sample.moments[c].mean[k] for c in codes])
    draws = _draws(sample, codes, k)
    null = draws - means  # every group with the same true mean, its own noise
    worst, best = measures.worst_and_best(means, better_is=better_is)
    low, high = _limits(measures.spread(draws), alpha)
    return {
        "worst_group": grouping.names[codes[worst]],
        "worst": float(means[worst]),
        "best_group": grouping.names[codes[best]],
        "best": float(means[best]),
        "max_gap": float(measures.spread(means)),
        "max_gap_ci_low": low,
        "max_gap_ci_high": high,
        "max_gap_by_chance": float(np.nanmean(measures.spread(null))),
        "sd_groups": float(measures.sd_groups(means)),
        "sd_groups_by_chance": float(np.nanmean(measures.sd_groups(null))),
    }


def _bounded(
    sample: Sample,
    codes: list[int],
    k: int,
    *,
    better_is: str,
    sizes: NDArray[np.intp],
    alpha: float,
) -> dict[str, Any]:
    """Measures for scores in 0..1."""
    if better_is == "neither":
        return {}
    means = np.array([sample.moments[c].mean[k] for c in codes])
    draws = _draws(sample, codes, k)
    low, high = _limits(measures.skewed_error_ratio(draws, better_is=better_is), alpha)
    row = {
        "ser": float(measures.skewed_error_ratio(means, better_is=better_is)),
        "ser_ci_low": low,
        "ser_ci_high": high,
    }
    if better_is == "higher":
        share = sizes[codes] / sizes[codes].sum()
        low, high = _limits(measures.equity_scaled(draws, draws @ share), alpha)
        row |= {
            "equity_scaled": float(measures.equity_scaled(means, means @ share)),
            "equity_scaled_ci_low": low,
            "equity_scaled_ci_high": high,
        }
    return row


def _draws(sample: Sample, codes: list[int], k: int) -> Floats:
    """Draws of the groups' means, shape (draws, groups)."""
    return np.stack([sample.draws[c].mean[:, k] for c in codes], axis=1)


def _limits(draws: Floats, alpha: float) -> tuple[float, float]:
    """Percentile interval of one number; infinite draws count as very large."""
    large = np.finfo(np.float64).max  # what nan_to_num makes of infinity
    limits = intervals.percentile(np.nan_to_num(draws, nan=np.nan)[:, None], alpha=alpha)
    low, high = (float(limit[0]) if limit[0] < large / 2 else float("inf") for limit in limits)
    return low, high


def _omnibus(
    matrix: OutcomeMatrix, k: int, grouping: Grouping, codes: list[int], clustered: bool
) -> dict[str, Any]:
    """Test that all groups are alike; none where subjects repeat, as it would count them twice."""
    if clustered:
        return {"test": "none: subjects repeat"}
    members = [grouping.members[c] for c in codes]
    if matrix.keys["kind"].iloc[k] == "binary":
        of_groups = [matrix.by_outcome[k][places] for places in members]
        parts = [part[np.isfinite(part)] for part in of_groups]
        outcome = several.homogeneity([int(p.sum()) for p in parts], [len(p) for p in parts])
    else:
        outcome = several.kruskal_of(*matrix.ranks(k, members))
    return {"test": outcome.name, "p": outcome.p}
