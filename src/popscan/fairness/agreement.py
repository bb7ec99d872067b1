"""Agreement of biomarkers with their reference, by group (Bland and Altman, Lancet 1986)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from popscan.columns import Column, flag, text
from popscan.fairness.groups import Grouping, make_groupings, reference_code
from popscan.fairness.roles import families
from popscan.records import PopscanError
from popscan.stats import multiplicity
from popscan.stats.linear import LeastSquares
from popscan.stats.means import Floats
from popscan.stats.problem import adjusted

#: What proportional bias can be measured along.
AGAINST = ("mean", "reference")
#: Column -> what it means of the table that `bland_altman` returns.
DICTIONARY: dict[str, Column] = {
    "attribute": text("attribute or intersection by which units are grouped"),
    "biomarker": text("what is measured"),
    "group": text("group"),
    "reference": text("group it is compared with"),
    "n": Column("units", "units with a measured and a reference value"),
    "bias": Column("biomarker", "mean of measured minus reference value"),
    "bias_ci_low": Column("biomarker", "lower limit of its t interval"),
    "bias_ci_high": Column("biomarker", "upper limit of its t interval"),
    "sd": Column("biomarker", "standard deviation of the differences"),
    "loa_low": Column("biomarker", "lower limit of agreement, bias - 1.96 SD"),
    "loa_low_ci_low": Column("biomarker", "lower limit of its interval"),
    "loa_low_ci_high": Column("biomarker", "upper limit of its interval"),
    "loa_high": Column("biomarker", "upper limit of agreement, bias + 1.96 SD"),
    "loa_high_ci_low": Column("biomarker", "lower limit of its interval"),
    "loa_high_ci_high": Column("biomarker", "upper limit of its interval"),
    "slope": Column(
        "1",
        "change of the difference per unit of what slope_against names: proportional bias",
    ),
    "slope_against": text(
        "reference (where it is the truth, as in a simulated study) or mean (of "
        "measured and reference value, where both have errors, as expert labels)",
    ),
    "slope_ci_low": Column("1", "lower limit of its robust interval"),
    "slope_ci_high": Column("1", "upper limit of its robust interval"),
    "p_slope": Column("", "p value that there is no proportional bias"),
    "bias_gap": Column("biomarker", "bias of the group minus bias of the reference group"),
    "bias_gap_ci_low": Column("biomarker", "lower limit of its Welch interval"),
    "bias_gap_ci_high": Column("biomarker", "upper limit of its Welch interval"),
    "p_bias_gap": Column("", "p value (Welch) that both have the same bias"),
    "p_bias_gap_adj": Column("", "the same, corrected over the table"),
    "sd_ratio": Column("", "SD of the differences over that of the reference group"),
    "p_sd_ratio": Column("", "p value (Brown-Forsythe) that both have the same variance"),
    "too_few": flag("fewer pairs than the minimum: counted, not described"),
}


def bland_altman(
    measured: pd.DataFrame,
    truth: pd.DataFrame,
    attributes: pd.DataFrame,
    *,
    biomarkers: Sequence[str],
    attributes_to_test: Sequence[str],
    intersections: Sequence[Sequence[str]] = (),
    against: str = "mean",
    reference: Mapping[str, str] | None = None,
    min_group: int = 10,
    alpha: float = 0.05,
    correction: str = "holm",
    family: str = "all",
    roles: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Describe bias, limits of agreement and proportional bias in each group.

    Parameters
    ----------
    measured, truth : DataFrame
        ``unit`` and biomarkers; of the truth, columns may be prefixed ``truth_``.
    attributes : DataFrame
        Indexed by unit.
    biomarkers : sequence of str
        Columns of both tables; those absent from either are left out.
    against : str
        What proportional bias is measured along: ``mean`` of both values, or ``reference`` where
        that is free of error. Errors of the measured value alone make differences grow with the
        mean of both, though there is no proportional bias.
    attributes_to_test, intersections, reference, min_group, alpha, correction, family, roles
        As in `popscan.fairness.audit.audit`.

    Returns
    -------
    DataFrame
        One row per attribute, biomarker and group; columns as in `DICTIONARY`.

    Raises
    ------
    PopscanError
        If `against` is neither.
    """
    if against not in AGAINST:
        raise PopscanError(f"against is {against!r}: use one of {', '.join(AGAINST)}")
    people = attributes.sort_index()
    values = measured.set_index("unit").reindex(people.index)
    known = truth.set_index("unit").reindex(people.index)
    known.columns = pd.Index([str(c).removeprefix("truth_") for c in known.columns])
    rows: list[dict[str, Any]] = []
    for grouping in make_groupings(
        people, attributes_to_test=attributes_to_test, intersections=intersections
    ):
        base = reference_code(grouping, reference)
        for biomarker in biomarkers:
            if biomarker in values and biomarker in known:
                pair = np.column_stack([values[biomarker], known[biomarker]]).astype(float)
                rows += _groups(
                    grouping,
                    pair,
                    base=base,
                    biomarker=biomarker,
                    against=against,
                    min_group=min_group,
                    alpha=alpha,
                )
    table = pd.DataFrame(rows, columns=list(DICTIONARY))
    table["p_bias_gap_adj"] = multiplicity.adjust(
        table["p_bias_gap"].astype(float),
        method=correction,
        family=families(table, family, roles) if len(table) else None,
    )
    return table


def _groups(
    grouping: Grouping,
    pair: Floats,
    *,
    base: int,
    biomarker: str,
    against: str,
    min_group: int,
    alpha: float,
) -> list[dict[str, Any]]:
    """Rows of one attribute and biomarker."""
    complete = np.isfinite(pair).all(axis=1)
    rows = []
    of_reference = pair[complete & (grouping.codes == base)]
    for code in np.argsort(grouping.names):
        of_group = pair[complete & (grouping.codes == code)]
        row: dict[str, Any] = {
            "attribute": grouping.attribute, "biomarker": biomarker,
            "group": grouping.names[code], "reference": grouping.names[base], "n": len(of_group),
            "too_few": len(of_group) < max(min_group, 3),
        }  # fmt: skip
        if not row["too_few"]:
            row |= {"slope_against": against, **_agreement(of_group, against, alpha)}
            if code != base and len(of_reference) >= max(min_group, 3):
                row |= _against(
                    of_group[:, 0] - of_group[:, 1], of_reference[:, 0] - of_reference[:, 1], alpha
                )
        rows.append(row)
    return rows


def _agreement(pair: Floats, against: str, alpha: float) -> dict[str, float]:
    """Bias, limits and slope of one group; limits' errors as in Bland and Altman 1999."""
    difference = pair[:, 0] - pair[:, 1]
    size = pair[:, 1] if against == "reference" else pair.mean(axis=1)
    n, bias, sd = len(difference), float(difference.mean()), float(difference.std(ddof=1))
    t = float(stats.t.ppf(1 - alpha / 2, n - 1))
    se, loa_se = sd / np.sqrt(n), sd * np.sqrt(1 / n + 1.96**2 / (2 * (n - 1)))
    low, high = bias - 1.96 * sd, bias + 1.96 * sd
    row = {
        "bias": bias, "bias_ci_low": bias - t * se, "bias_ci_high": bias + t * se, "sd": sd,
        "loa_low": low, "loa_low_ci_low": low - t * loa_se, "loa_low_ci_high": low + t * loa_se,
        "loa_high": high, "loa_high_ci_low": high - t * loa_se,
        "loa_high_ci_high": high + t * loa_se,
    }  # fmt: skip
    if size.std() > 0 and sd > 0:
        design = LeastSquares(np.column_stack([np.ones(n), size - size.mean()]))
        fit = design.fit(difference)
        error = float(np.sqrt(fit.covariance[1, 1]))
        slope = adjusted(float(fit.params[1]), error, fit.freedom_of(1), alpha)
        row |= {"slope": slope.gap, "p_slope": slope.p}
        row |= {"slope_ci_low": slope.ci_low, "slope_ci_high": slope.ci_high}
    return row


def _against(of_group: Floats, of_reference: Floats, alpha: float) -> dict[str, float]:
    """Compare the differences of a group with those of the reference group."""
    row = {"bias_gap": float(of_group.mean() - of_reference.mean())}
    if of_group.std() > 0 or of_reference.std() > 0:
        test = stats.ttest_ind(of_group, of_reference, equal_var=False)
        limits = test.confidence_interval(1 - alpha)
        row |= {"bias_gap_ci_low": float(limits.low), "bias_gap_ci_high": float(limits.high)}
        row["p_bias_gap"] = float(test.pvalue)
        row["p_sd_ratio"] = float(stats.levene(of_group, of_reference, center="median").pvalue)
    if of_reference.std() > 0:
        row["sd_ratio"] = float(of_group.std(ddof=1) / of_reference.std(ddof=1))
    return row
