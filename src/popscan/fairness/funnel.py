"""Who is lost on the way: attrition by group, and whether QC excludes one group more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from popscan.columns import Column, flag, text
from popscan.fairness.adjusted import adjusted_gaps
from popscan.fairness.groups import make_groupings, reference_code
from popscan.fairness.roles import families
from popscan.records import PopscanError
from popscan.stats import compare, intervals, multiplicity

#: Statuses that do not lose a unit.
KEPT = ("ok", "not_applicable")

#: Column -> what it means of the table that `funnel` returns.
DICTIONARY: dict[str, Column] = {
    "attribute": text("attribute or intersection by which units are grouped"),
    "group": text("group"),
    "reference": text("group it is compared with"),
    "stage": text("stage of the pipeline, in order; 'all stages' sums up"),
    "position": Column("", "place of the stage in the pipeline, from 0"),
    "n_units": Column("units", "units in the group"),
    "n_entered": Column("units", "units that reached the stage"),
    "n_lost": Column("units", "units lost at the stage (failed or excluded)"),
    "n_failed": Column("units", "units whose record says failed"),
    "n_excluded": Column("units", "units whose record says excluded"),
    "lost_pct": Column("%", "share lost among those who reached the stage"),
    "ci_low_pct": Column("%", "lower limit of its Wilson interval"),
    "ci_high_pct": Column("%", "upper limit of its Wilson interval"),
    "kept_pct": Column("%", "share of all units of the group that is left after the stage"),
    "gap_pct": Column("%", "share lost minus that of the reference, in percentage points"),
    "gap_ci_low_pct": Column("%", "lower limit of its Newcombe interval"),
    "gap_ci_high_pct": Column("%", "upper limit of its Newcombe interval"),
    "test": text("test that the group loses as many as the reference"),
    "p": Column("", "its two-sided p value"),
    "p_adj": Column("", "p corrected over all rows"),
    "too_few": flag("fewer units reached the stage than the minimum: counted, not tested"),
}
ALL = "all stages"


def funnel(
    ledger: pd.DataFrame,
    attributes: pd.DataFrame,
    *,
    stages: Sequence[str],
    attributes_to_test: Sequence[str],
    intersections: Sequence[Sequence[str]] = (),
    reference: Mapping[str, str] | None = None,
    min_group: int = 10,
    alpha: float = 0.05,
    correction: str = "holm",
    family: str = "all",
    roles: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Count, per group, who reaches each stage and who is lost there.

    Parameters
    ----------
    ledger : DataFrame
        unit, stage, status: one row per unit and stage.
    attributes : DataFrame
        Indexed by unit.
    stages : sequence of str
        Stages in the order in which units pass them; a unit is lost at the first that is neither
        ok nor not applicable.
    attributes_to_test, intersections, reference, min_group, alpha, correction, family, roles
        As in `popscan.fairness.audit.audit`.

    Returns
    -------
    DataFrame
        One row per attribute, group and stage, then one ``all stages``; columns as in
        `DICTIONARY`.

    Raises
    ------
    PopscanError
        If a column, stage or reference does not exist.
    """
    absent = [name for name in ("unit", "stage", "status") if name not in ledger]
    if absent:
        raise PopscanError(f"ledger: no column {', '.join(absent)}")
    people = attributes.sort_index()
    rows_of = {name: part.set_index("unit")["status"] for name, part in ledger.groupby("stage")}
    unknown = [stage for stage in stages if stage not in rows_of]
    if unknown and len(ledger):
        raise PopscanError(f"ledger: no records of stage {', '.join(unknown)}")
    status = pd.DataFrame(
        {s: rows_of[s].reindex(people.index) if s in rows_of else "failed" for s in stages},
        index=people.index,
    ).fillna("failed")
    ok = status.isin(KEPT).to_numpy()
    entered = np.cumprod(np.column_stack([np.ones(len(ok), dtype=bool), ok]), axis=1).astype(bool)
    rows: list[dict[str, Any]] = []
    for grouping in make_groupings(
        people, attributes_to_test=attributes_to_test, intersections=intersections
    ):
        if not grouping.names:
            continue
        base = reference_code(grouping, reference)
        counts = {
            code: _counts(status[grouping.codes == code], entered[grouping.codes == code], stages)
            for code in range(len(grouping.names))
        }
        for code in map(int, np.argsort(grouping.names)):
            for mine, theirs in zip(counts[code], counts[base], strict=True):
                row = {
                    "attribute": grouping.attribute, "group": grouping.names[code],
                    "reference": grouping.names[base], **mine,
                }  # fmt: skip
                rows.append(row | _compared(mine, theirs, code == base, min_group, alpha))
    found = pd.DataFrame(rows, columns=list(DICTIONARY))
    found["p_adj"] = multiplicity.adjust(
        found["p"].astype(float),
        method=correction,
        family=families(found, family, roles) if len(found) else None,
    )
    return found


def _counts(
    status: pd.DataFrame, entered: np.ndarray, stages: Sequence[str]
) -> list[dict[str, Any]]:
    """Count one group at each stage, then over all."""
    n_units = len(status)
    found: list[dict[str, Any]] = []
    for i, stage in enumerate(stages):
        here = status[stage][entered[:, i]]
        found.append(
            {
                "stage": stage, "position": i, "n_units": n_units, "n_entered": len(here),
                "n_lost": int((~here.isin(KEPT)).sum()), "n_failed": int((here == "failed").sum()),
                "n_excluded": int((here == "excluded").sum()),
                "kept_pct": 100 * float(entered[:, i + 1].mean()) if n_units else float("nan"),
            }
        )  # fmt: skip
    kept = int(entered[:, -1].sum())
    found.append(
        {
            "stage": ALL, "position": len(stages), "n_units": n_units, "n_entered": n_units,
            "n_lost": n_units - kept, "n_failed": sum(row["n_failed"] for row in found),
            "n_excluded": sum(row["n_excluded"] for row in found),
            "kept_pct": 100 * kept / n_units if n_units else float("nan"),
        }
    )  # fmt: skip
    return found


def _compared(
    mine: Mapping[str, Any],
    theirs: Mapping[str, Any],
    is_reference: bool,
    min_group: int,
    alpha: float,
) -> dict[str, Any]:
    """Share lost, and its difference from the reference."""
    n, lost = mine["n_entered"], mine["n_lost"]
    row: dict[str, Any] = {"too_few": n < min_group, "test": ""}
    if row["too_few"]:
        return row
    low, high = intervals.wilson(lost, n, alpha=alpha)
    row |= {"lost_pct": 100 * lost / n, "ci_low_pct": 100 * low, "ci_high_pct": 100 * high}
    if is_reference or theirs["n_entered"] < min_group:
        return row
    counts = (lost, n, theirs["n_lost"], theirs["n_entered"])
    low, high = intervals.risk_difference(*counts, alpha=alpha)
    row["gap_pct"] = 100 * (lost / n - counts[2] / counts[3])
    row |= {"gap_ci_low_pct": 100 * low, "gap_ci_high_pct": 100 * high}
    if lost + counts[2] > 0:  # nobody lost: nothing to test
        test = compare.proportions(*counts)
        row |= {"test": test.name, "p": test.p}
    return row


def exclusion_at_equal_quality(
    excluded: pd.Series,
    quality: pd.Series,
    attributes: pd.DataFrame,
    *,
    attributes_to_test: Sequence[str],
    reference: Mapping[str, str] | None = None,
    min_group: int = 10,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Test whether QC excludes one group more than another when the true quality is the same.

    Parameters
    ----------
    excluded : Series
        Indexed by unit: 1 or true if QC excluded it.
    quality : Series
        Indexed by unit: true quality that QC cannot see, e.g. Dice against reference labels.
        Units without it are left out.
    attributes : DataFrame
        Indexed by unit.
    attributes_to_test, reference, min_group, alpha
        As in `popscan.fairness.audit.audit`.

    Returns
    -------
    DataFrame
        As `popscan.fairness.adjusted.adjusted_gaps`, by methods ``standardisation`` (logistic in
        quality and its square) and ``regression``; the gap is a difference of shares excluded.
        Without an estimate where a side has too few excluded or too few kept.
    """
    known = quality.dropna()
    centred = (known - known.mean()) / (known.std() or 1.0)
    table = attributes.join(
        pd.DataFrame({"true_quality": centred, "true_quality_squared": centred**2})
    )
    outcome = pd.DataFrame(
        {
            "unit": excluded.index, "stage": "qc", "outcome": "excluded_at_equal_quality",
            "value": excluded.to_numpy(dtype=float), "better_is": "lower", "kind": "binary",
        }
    )  # fmt: skip
    return adjusted_gaps(
        outcome,
        table,
        attributes_to_test=attributes_to_test,
        adjust_for=["true_quality", "true_quality_squared"],
        methods=["standardisation", "regression"],
        reference=reference,
        min_group=min_group,
        alpha=alpha,
    )
