"""The audit's table of groups: how each fares."""

from __future__ import annotations

from typing import Any

import numpy as np

from popscan.fairness.design import AuditDesign
from popscan.fairness.groups import Grouping, OutcomeMatrix
from popscan.fairness.ranges import ranges_of, within
from popscan.fairness.sample import Sample
from popscan.stats import intervals
from popscan.stats.means import Floats, Moments
from popscan.stats.resample import Draws

#: How the interval is made of a share without events, or without non-events, of several visits.
OF_SUBJECTS = "wilson of subjects"


def describe_groups(
    matrix: OutcomeMatrix,
    grouping: Grouping,
    sample: Sample,
    *,
    reference: int,
    design: AuditDesign,
) -> list[dict[str, Any]]:
    """Describe every group of one attribute on every outcome.

    Parameters
    ----------
    matrix, grouping, sample
        Outcomes, groups, and their draws.
    reference
        Code of the reference group.
    design
        Level, kind of interval, and the size below which groups get counts only.

    Returns
    -------
    list of dict
        Rows with the columns of `popscan.fairness.dictionary.GROUPS`.
    """
    rows = []
    bounds = ranges_of(matrix.records(), matrix.values)
    for code in np.argsort(grouping.names):
        members = grouping.members[code]
        low, high, method = mean_interval(
            sample.draws[int(code)], sample.moments[int(code)], design
        )
        low, high = within(low, high, bounds)
        for k, key in enumerate(matrix.records()):
            values = matrix.by_outcome[k][members]
            known = np.sort(values[np.isfinite(values)])
            concerned = int(matrix.concerned[k][members].sum())
            row: dict[str, Any] = {
                "attribute": grouping.attribute,
                **key,
                "group": grouping.names[code],
                "n_units": concerned,
                "n": len(known),
                "n_missing": concerned - len(known),
                **_subjects(sample, int(code), k, binary=key["kind"] == "binary"),
                "is_reference": bool(code == reference),
                "too_few": bool(sample.moments[int(code)].n_rows[k] < design.min_group),
            }
            if not row["too_few"]:
                row |= _numbers(known)
                row |= {"ci_low": low[k], "ci_high": high[k], "ci_method": method}
                if key["kind"] == "binary" and not sample.clustered:
                    limits = intervals.wilson(int(known.sum()), len(known), alpha=design.alpha)
                    row |= {"ci_low": limits[0], "ci_high": limits[1], "ci_method": "wilson"}
                if key["kind"] == "binary" and sample.clustered and row["mean"] in (0.0, 1.0):
                    # No draw differs; and visits of a subject are not independent.
                    row |= _of_subjects(row["mean"], row["n_subjects"], design.alpha)
                if not sample.clustered:
                    limits = intervals.median(known, alpha=design.alpha)
                    row |= {"median_ci_low": limits[0], "median_ci_high": limits[1]}
            rows.append(row)
    return rows


def _subjects(sample: Sample, code: int, k: int, *, binary: bool) -> dict[str, float]:
    """Count the subjects behind the numbers of a group."""
    rows = sample.column(code, k)
    found = {"n_subjects": float(len(rows.counts))}
    if binary:
        found["n_subjects_with"] = float((rows.totals > 0).sum())
        found["n_subjects_without"] = float((rows.totals < rows.counts).sum())
    return found


def _of_subjects(share: float, subjects: float, alpha: float) -> dict[str, Any]:
    """Return the interval of a share that all subjects have, or none."""
    low, high = intervals.wilson(int(share * subjects), int(subjects), alpha=alpha)
    return {"ci_low": low, "ci_high": high, "ci_method": OF_SUBJECTS}


def _numbers(known: Floats) -> dict[str, float]:
    """Location and spread of sorted values."""
    q05, q25, q50, q75, q95 = np.quantile(known, [0.05, 0.25, 0.5, 0.75, 0.95])
    return {
        "mean": float(known.mean()),
        "sd": float(known.std(ddof=1)) if len(known) > 1 else float("nan"),
        "median": float(q50),
        "q05": float(q05),
        "q25": float(q25),
        "q75": float(q75),
        "q95": float(q95),
    }


def mean_interval(draws: Draws, moment: Moments, design: AuditDesign) -> tuple[Floats, Floats, str]:
    """Interval of one group's means.

    Parameters
    ----------
    draws, moment
        Of the group.
    design
        ``interval`` ``auto`` studentises where draws have standard errors, else BCa.

    Returns
    -------
    low, high : ndarray, shape (K,)
        Limits.
    method : str
        What was done.
    """
    alpha = design.alpha
    if draws.se is not None and design.interval in ("auto", "studentised"):
        limits = intervals.studentised(
            draws.mean, draws.se, moment.mean, moment.se, alpha=alpha, freedom=moment.n_rows - 1
        )
        return *limits, "bootstrap studentised"
    if design.interval == "percentile":
        return *intervals.percentile(draws.mean, alpha=alpha), "bootstrap percentile"
    with np.errstate(invalid="ignore", divide="ignore"):
        acceleration = moment.third / (6 * moment.second**1.5)
    limits = intervals.bca(draws.mean, moment.mean, acceleration, alpha=alpha)
    return *limits, "bootstrap bca"
