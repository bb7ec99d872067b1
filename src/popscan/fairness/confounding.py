"""Associations of confounders with a group: its gap may be that of a site, an age, a scanner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from popscan.columns import Column, text
from popscan.fairness.attributes import confounders_of
from popscan.fairness.groups import MISSING, Grouping, labels, make_groupings
from popscan.stats import multiplicity, several
from popscan.stats.design import is_categorical

#: Column -> what it means of the table that `confounding` returns.
DICTIONARY: dict[str, Column] = {
    "attribute": text("attribute by which units are grouped"),
    "confounder": text("what may be associated with it"),
    "kind": text("categories or numbers"),
    "n": Column("units", "units with both recorded, in groups that are large enough"),
    "n_groups": Column("groups", "groups that are large enough"),
    "measure": text("of the strength: Cramer's V (categories) or eta squared (numbers)"),
    "strength": Column("", "0: independent of the group, 1: the group determines it"),
    "test": text("test that they are independent"),
    "p": Column("", "its p value"),
    "p_adj": Column("", "p corrected over all rows"),
    "apart": text(
        "which group has no subject at which level (so that no data distinguish them there)"
    ),
}
#: Levels of a category beyond which it is no site or scanner but an identifier.
_MOST_LEVELS = 50


def confounding(
    attributes: pd.DataFrame,
    *,
    attributes_to_test: Sequence[str],
    confounders: Sequence[str],
    min_group: int = 10,
    min_cell: int = 0,
    correction: str = "holm",
) -> pd.DataFrame:
    """Measure how strongly each confounder is associated with each attribute.

    Parameters
    ----------
    attributes : DataFrame
        Indexed by unit.
    attributes_to_test : sequence of str
        Columns that make groups.
    confounders : sequence of str
        Columns; absent ones are ignored, and so is an attribute itself.
    min_group : int
        Smaller groups do not enter, and of levels of a category only those with as many units
        can be named as lacking a group.
    min_cell : int
        For what is shared: a confounder of which a level has fewer units in a group, but some, has
        no row, since the strength of an association gives such a count away.
    correction : str
        ``holm``, ``bh``, ``by`` or ``none``.

    Returns
    -------
    DataFrame
        One row per attribute and confounder; columns as in `DICTIONARY`.
    """
    rows = [
        _one(grouping, attributes[name], name, min_group, min_cell)
        for grouping in make_groupings(attributes, attributes_to_test=attributes_to_test)
        for name in confounders_of(grouping.attribute, confounders)
        if name in attributes
    ]
    table = pd.DataFrame([row for row in rows if row], columns=list(DICTIONARY))
    table["p_adj"] = multiplicity.adjust(table["p"].astype(float), method=correction)
    return table


def _one(
    grouping: Grouping, column: pd.Series, name: str, min_group: int, min_cell: int
) -> dict[str, Any]:
    """One attribute against one confounder; empty if there is nothing to compare or to show."""
    group = pd.Series(np.asarray(grouping.names, dtype=object)[grouping.codes], index=column.index)
    words = is_categorical(column)
    values = labels(column) if words else pd.to_numeric(column, errors="coerce")
    known = (values != MISSING if words else values.notna()) & (group != MISSING)
    sizes = group[known].value_counts()
    known &= group.isin(sizes.index[sizes >= min_group])
    group, values = group[known], values[known]
    if group.nunique() < 2 or values.nunique() < 2:
        return {}
    row: dict[str, Any] = {
        "attribute": grouping.attribute, "confounder": name, "n": len(group),
        "n_groups": group.nunique(), "kind": "categories" if words else "numbers", "apart": "",
    }  # fmt: skip
    if not words:
        parts = [part.to_numpy(dtype=float) for _, part in values.groupby(group)]
        mean = float(values.mean())
        between = sum(len(part) * (part.mean() - mean) ** 2 for part in parts)
        found = several.kruskal(parts)
        return row | {
            "measure": "eta squared", "strength": float(between / ((values - mean) ** 2).sum()),
            "test": found.name, "p": found.p,
        }  # fmt: skip
    if values.nunique() > _MOST_LEVELS:
        return {}
    counts = pd.crosstab(group, values)
    if ((counts > 0) & (counts < min_cell)).to_numpy().any():
        return {}
    p = stats.chi2_contingency(counts, correction=False).pvalue
    large = counts.loc[:, counts.sum() >= min_group]
    nobody = [f"{g}: none at {level}" for level in large for g in counts.index[large[level] == 0]]
    return row | {
        "measure": "Cramer's V", "test": "chi-squared", "p": float(p),
        "strength": float(stats.contingency.association(counts, method="cramer")),
        "apart": "; ".join(sorted(nobody)),
    }  # fmt: skip


def confounding_sentences(table: pd.DataFrame, *, alpha: float = 0.05) -> list[str]:
    """Say what is associated with which attribute.

    Parameters
    ----------
    table : DataFrame
        As `confounding` returns it.
    alpha : float
        Level at which a corrected p counts.

    Returns
    -------
    list of str
        One sentence per clear association, or where a group has no subject at a level.
    """
    sentences = []
    for _, row in table.iterrows():
        clear = row["p_adj"] <= alpha and row["strength"] >= 0.01
        if not clear and not row["apart"]:
            continue
        strength = f"{row['measure']} {row['strength']:.2f}"
        start = (
            f"{row['confounder']} is associated with {row['attribute']} ({strength})"
            if clear
            else f"{row['confounder']} is not significantly associated with {row['attribute']}"
        )
        apart = f" ({row['apart']}: there the two cannot be distinguished)" if row["apart"] else ""
        sentences.append(f"{start}{apart}; compare the gaps with those adjusted for it.")
    return sentences
