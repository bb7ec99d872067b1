"""How well predictions serve each group, beyond what a mean over subjects can say.

Discrimination (AUC, balanced accuracy), calibration (expected error, slope, bins), equalised odds
over all groups, and how all of it depends on the threshold. Rates and errors that are means
(sensitivity, false positives, Brier score, residual, absolute error) are outcomes of
`popscan.fairness.audit`, with its tests and adjustments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from popscan.columns import Column, text
from popscan.fairness.design import AuditDesign
from popscan.fairness.groups import Grouping, make_groupings, reference_code
from popscan.fairness.prediction_measures import MEASURES, Measured, Side, draws_of, measure_side
from popscan.fairness.prediction_outcomes import Prediction
from popscan.fairness.roles import families, role_of
from popscan.records import PopscanError
from popscan.stats import intervals, multiplicity
from popscan.stats.means import Floats

#: Name of the row of everybody, and of a row that is about all groups of an attribute.
EVERYBODY, ALL_GROUPS = "all", "all groups"
#: Column -> what it means of the table that `prediction_table` returns.
DICTIONARY: dict[str, Column] = {
    "attribute": text("attribute or intersection; empty for all subjects"),
    "prediction": text("what is predicted"),
    "kind": text("classification or regression"),
    "measure": text(
        "auc, balanced_accuracy, calibration_error (expected, 10 bins), "
        "calibration_slope (1 is calibrated); rmse, slope_on_truth (1 is without "
        "shrinkage); of all groups: equalised_odds_difference (largest gap of sensitivity "
        "or false positive rate), demographic_parity_difference (largest gap of the share "
        "predicted positive)"
    ),
    "better_is": text("whether higher or lower is better"),
    "group": text("group, or 'all groups'"),
    "reference": text("group it is compared with"),
    "n": Column("units", "units with prediction and truth"),
    "n_reference": Column("units", "the same of the reference"),
    "value": Column("", "the measure"),
    "ci_low": Column("", "lower limit of its interval"),
    "ci_high": Column("", "upper limit of its interval"),
    "ci_method": text("how the interval was made"),
    "by_chance": Column(
        "",
        "its mean if scores were calibrated (calibration_error), or if no group "
        "differed (differences over all groups): noise makes these positive",
    ),
    "gap": Column("", "value of the group minus value of the reference"),
    "gap_ci_low": Column("", "lower limit of the gap's interval"),
    "gap_ci_high": Column("", "upper limit of the gap's interval"),
    "p": Column(
        "",
        "two-sided p value of no gap, from its interval or its standard error, whichever is wider; "
        "none of calibration errors, which noise makes larger in small groups",
    ),
    "p_adj": Column("", "p corrected over all rows of this table (of the same role)"),
    "note": text("why there is no value"),
    "role": text("of the attribute: protected or technical"),
}
#: Fewest subjects with a positive, and with a negative, of a group whose discrimination or
#: calibration is described.
MIN_EITHER = 5


@dataclass(frozen=True, kw_only=True)
class _Group:
    """One group of an attribute with what was measured in it."""

    name: str
    side: Side
    note: str
    measured: Mapping[str, Measured]


def prediction_table(
    predictions: Sequence[Prediction],
    attributes: pd.DataFrame,
    *,
    attributes_to_test: Sequence[str],
    intersections: Sequence[Sequence[str]] = (),
    reference: Mapping[str, str] | None = None,
    design: AuditDesign,
    correction: str = "holm",
    family: str = "all",
    cluster: str | None = None,
    roles: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Measure discrimination and calibration of predictions, over all and by group.

    Parameters
    ----------
    predictions
        Classifiers and regressions.
    attributes : DataFrame
        Indexed by unit.
    attributes_to_test, intersections, reference, correction, family, cluster, roles
        As in `popscan.fairness.audit.audit`.
    design
        Level, draws, seed, and the size below which a group is not described.

    Returns
    -------
    DataFrame
        Columns as in `DICTIONARY`. Intervals are bootstrapped over subjects; those of the AUC and
        the balanced accuracy of subjects with one unit each are DeLong's and Wilson's, which hold
        where all are ranked right. Gaps combine both groups' limits (Newcombe 1998; Zou and Donner
        2008), as if no subject were in both: where some are, they err on the wide side.

    Raises
    ------
    PopscanError
        If a column or reference does not exist.
    """
    people = attributes.sort_index()
    if cluster is not None and cluster not in people:
        raise PopscanError(f"cluster column {cluster!r} is not in the attributes table")
    clusters = None if cluster is None else pd.factorize(people[cluster])[0].astype(np.intp)
    groupings = make_groupings(
        people, attributes_to_test=attributes_to_test, intersections=intersections
    )
    rows: list[dict[str, Any]] = []
    for prediction in predictions:
        everyone = _group(
            prediction,
            people,
            np.ones(len(people), bool),
            clusters=clusters,
            name="",
            design=design,
        )
        for name, found in everyone.measured.items():
            rows.append(_row(prediction, "", everyone, name, found) | {"group": EVERYBODY})
        for grouping in groupings:
            base = reference_code(grouping, reference)
            rows += _of_attribute(
                prediction, people, grouping, base=base, clusters=clusters, design=design
            )
    table = pd.DataFrame(rows, columns=list(DICTIONARY))
    table["role"] = [role_of(str(name), roles) for name in table["attribute"]]
    table["p_adj"] = multiplicity.adjust(
        table["p"].astype(float),
        method=correction,
        family=families(table, family, roles) if len(table) else None,
    )
    return table


def known_groups(
    prediction: Prediction, people: pd.DataFrame, grouping: Grouping
) -> Iterator[tuple[int, str, NDArray[np.intp]]]:
    """Yield code, name and complete rows of every group, by name."""
    _, _, known = prediction.known(people.index)
    for code in map(int, np.argsort(grouping.names)):
        yield code, grouping.names[code], np.flatnonzero(known & (grouping.codes == code))


def too_few(prediction: Prediction, side: Side, design: AuditDesign) -> str:
    """Say why a group is not described; empty if it is."""
    n = side.n_subjects
    if n < design.min_group:
        return f"too few: {n}, {design.min_group} needed"
    if prediction.kind == "classification":
        positives, negatives = side.n_either
        if min(positives, negatives) < MIN_EITHER:
            return f"too few: {positives} positive and {negatives} negative, {MIN_EITHER} needed"
    return ""


def _group(
    prediction: Prediction,
    people: pd.DataFrame,
    members: NDArray[np.bool_],
    *,
    clusters: NDArray[np.intp] | None,
    name: str,
    design: AuditDesign,
) -> _Group:
    """Measure one group."""
    score, truth, known = prediction.known(people.index)
    side = Side.of(score, truth, np.flatnonzero(known & members), clusters)
    note = too_few(prediction, side, design)
    measured = {} if note else measure_side(prediction, side, design)
    return _Group(name=name, side=side, note=note, measured=measured)


def _of_attribute(
    prediction: Prediction,
    people: pd.DataFrame,
    grouping: Grouping,
    *,
    base: int,
    clusters: NDArray[np.intp] | None,
    design: AuditDesign,
) -> list[dict[str, Any]]:
    """Rows of one attribute: every group, then what is about all of them."""
    groups = {
        code: _group(
            prediction, people, grouping.codes == code, clusters=clusters, name=name, design=design
        )
        for code, name, _ in known_groups(prediction, people, grouping)
    }
    rows = []
    other = groups.get(base)
    for code, group in groups.items():
        if group.note:
            empty = Measured(value=float("nan"))
            rows.append(_row(prediction, grouping.attribute, group, "", empty))
        for name, found in group.measured.items():
            row = _row(prediction, grouping.attribute, group, name, found)
            if other is not None and code != base and name in other.measured:
                row |= {"reference": other.name, "n_reference": len(other.side.score)}
                row |= _gap(name, found, other.measured[name], alpha=design.alpha)
            rows.append(row)
    if prediction.kind == "classification":
        described = [group for group in groups.values() if not group.note]
        rows += _over_groups(prediction, grouping.attribute, described, design)
    return rows


def _row(
    prediction: Prediction, attribute: str, group: _Group, name: str, found: Measured
) -> dict[str, Any]:
    """Everything but the comparison."""
    return {
        "attribute": attribute, "prediction": prediction.name, "kind": prediction.kind,
        "measure": name, "better_is": MEASURES.get(name, ("", ""))[1], "group": group.name,
        "reference": "", "n": len(group.side.score), "value": found.value, "ci_low": found.low,
        "ci_high": found.high, "ci_method": found.method, "by_chance": found.by_chance,
        "note": group.note,
    }  # fmt: skip


def _gap(name: str, own: Measured, base: Measured, *, alpha: float) -> dict[str, float]:
    """Difference of two independent estimates, its interval from both of theirs.

    The p value takes the gap for normal, with the larger of the two spreads that the interval on
    the side of 0 and the standard errors give. The latter alone are no measure of it: that of an
    AUC of 1 in a small group is 0.
    """
    gap = own.value - base.value
    below = float(np.hypot(own.value - own.low, base.high - base.value))
    above = float(np.hypot(own.high - own.value, base.value - base.low))
    row = {"gap": gap, "gap_ci_low": gap - below, "gap_ci_high": gap + above}
    reach = (below if gap > 0 else above) / stats.norm.isf(alpha / 2)
    spread = float(np.fmax(reach, np.hypot(own.se, base.se)))
    if name != "calibration_error" and spread > 0:
        row["p"] = float(2 * stats.norm.sf(abs(gap) / spread))
    return row


def _over_groups(
    prediction: Prediction, attribute: str, groups: Sequence[_Group], design: AuditDesign
) -> list[dict[str, Any]]:
    """Largest differences over all groups, as fairlearn defines them, beside chance."""
    if len(groups) < 2:
        return []
    found: list[Floats] = []
    drawn: list[Floats] = []
    for group in groups:
        estimate, draws = draws_of(prediction, group.side, design)
        found.append(estimate)
        drawn.append(draws)
    point, draws = np.stack(found, axis=0)[None], np.stack(drawn, axis=1)  # (draws, groups, 3)
    rows = []
    for name, columns in (
        ("equalised_odds_difference", [0, 1]),
        ("demographic_parity_difference", [2]),
    ):
        value = float(_largest(point, columns)[0])
        spread = _largest(draws, columns)
        chance = float(np.nanmean(_largest(draws - point, columns)))
        low, high = intervals.percentile(spread[:, None], alpha=design.alpha)
        rows.append(
            {
                "attribute": attribute, "prediction": prediction.name, "kind": prediction.kind,
                "measure": name, "better_is": "lower", "group": ALL_GROUPS, "reference": "",
                "n": sum(len(group.side.score) for group in groups), "value": value,
                "ci_low": float(low[0]), "ci_high": float(high[0]),
                "ci_method": "bootstrap percentile (biased upward)", "by_chance": chance,
                "note": "",
            }
        )  # fmt: skip
    return rows


def _largest(rates: Floats, columns: Sequence[int]) -> Floats:
    """Largest difference between groups of any of these rates; shape (draws,)."""
    part = rates[:, :, columns]
    return (part.max(axis=1) - part.min(axis=1)).max(axis=1)
