"""Every group against every other, on joint ranks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from popscan.columns import Column, text
from popscan.fairness.groups import OutcomeMatrix, make_groupings, outcome_matrix
from popscan.stats import effects, multiplicity, several

#: Column -> what it means of the table that `all_pairs` returns.
DICTIONARY: dict[str, Column] = {
    "attribute": text("attribute or intersection by which units are grouped"),
    "stage": text("stage of the pipeline that the outcome comes from"),
    "outcome": text("what is compared"),
    "better_is": text("whether higher or lower is better"),
    "kind": text("continuous or binary"),
    "group": text("first group"),
    "other": text("second group"),
    "n": Column("units", "units of the first group with a value"),
    "n_other": Column("units", "units of the second group with a value"),
    "median_gap": Column("outcome", "median of the first group minus that of the second"),
    "cliffs_delta": Column("", "probability that the first is higher, minus that it is lower"),
    "p_kruskal": Column("", "p value of the Kruskal-Wallis test that all groups are equal"),
    "p": Column("", "p value of Dunn's test of the pair"),
    "p_adj": Column("", "p corrected over the pairs of one attribute and outcome"),
}


def all_pairs(
    outcomes: pd.DataFrame,
    attributes: pd.DataFrame,
    *,
    attributes_to_test: Sequence[str],
    intersections: Sequence[Sequence[str]] = (),
    min_group: int = 10,
    correction: str = "holm",
    matrix: OutcomeMatrix | None = None,
) -> pd.DataFrame:
    """Compare all pairs of groups by Dunn's test after Kruskal and Wallis'.

    Parameters
    ----------
    outcomes, attributes, attributes_to_test, intersections, min_group, correction
        As in `popscan.fairness.audit.audit`; groups that are too small do not enter.
    matrix : OutcomeMatrix, optional
        The outcomes, if they were arranged for the same units already.

    Returns
    -------
    DataFrame
        One row per attribute, outcome and pair; columns as in `DICTIONARY`. Subjects must not
        repeat: ranks cannot take that into account.
    """
    people = attributes.sort_index()
    matrix = outcome_matrix(outcomes, people.index, made=matrix)
    rows: list[dict[str, Any]] = []
    for grouping in make_groupings(
        people, attributes_to_test=attributes_to_test, intersections=intersections
    ):
        for k, key in enumerate(matrix.records()):
            values = matrix.by_outcome[k]
            known = np.isfinite(values)
            members = {
                grouping.names[code]: grouping.members[code][known[grouping.members[code]]]
                for code in np.argsort(grouping.names)
            }
            members = {name: part for name, part in members.items() if len(part) >= min_group}
            parts = {name: np.sort(values[part]) for name, part in members.items()}
            medians = {name: np.median(part) for name, part in parts.items()}
            ranks, ties = matrix.ranks(k, list(members.values()))
            p = several.dunn_of(ranks, ties)
            overall = several.kruskal_of(ranks, ties).p
            for (i, a), (j, b) in combinations(enumerate(parts), 2):
                row: dict[str, Any] = {"attribute": grouping.attribute, **key}
                row |= {"group": a, "other": b, "n": len(parts[a]), "n_other": len(parts[b])}
                row["median_gap"] = float(medians[a] - medians[b])
                row["cliffs_delta"] = effects.cliffs_delta_sorted(parts[a], parts[b])
                rows.append(row | {"p_kruskal": overall, "p": p[i, j]})
    found = pd.DataFrame(rows, columns=list(DICTIONARY))
    family = found[["attribute", "stage", "outcome"]].astype(str).agg("/".join, axis=1)
    found["p_adj"] = multiplicity.adjust(
        found["p"].astype(float), method=correction, family=family if len(found) else None
    )
    return found
