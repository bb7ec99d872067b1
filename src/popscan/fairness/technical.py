"""Technical attributes (site, scanner) summed up in sentences."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from popscan.fairness.roles import TECHNICAL, role_of
from popscan.fairness.words import decimals, gap_scale, looked_for_first, outcome_name, p_text
from popscan.stats.named_tests import named_test

#: Outcomes that a reader asks for first.
_FIRST = (
    "not_analysed", "qc_fail", "dice_mean", *(f"{name}_abs_error" for name in looked_for_first(3)),
    "qc_not_pass",
)  # fmt: skip


def roles_in(table: pd.DataFrame) -> pd.Series:
    """Role of every row, by the attribute's name where the table does not say."""
    if "role" in table:
        return table["role"].astype(str)
    return table["attribute"].astype(str).map(role_of)


def place_of(outcome: str) -> int:
    """Place of an outcome in the sentences: asked for first, then others, then single checks."""
    if outcome in _FIRST:
        return _FIRST.index(outcome)
    return len(_FIRST) + outcome.startswith("check_")


def technical_sentences(
    summary: pd.DataFrame,
    tested: pd.DataFrame,
    *,
    alpha: float,
    names: Mapping[str, str] | None = None,
) -> list[str]:
    """Sum up technical attributes: per outcome whether groups differ, from what to what.

    Parameters
    ----------
    summary : DataFrame
        `AuditResult.summary`.
    tested : DataFrame
        Gaps with a p value and ``role``.
    alpha : float
        Level at which a corrected p counts.
    names : mapping, optional
        Outcome -> name for people.

    Returns
    -------
    list of str
        One sentence per attribute and outcome that differs, then one on those that do not.
    """
    sentences = []
    rows = summary.assign(role=roles_in(summary))
    rows = rows[rows["role"] == TECHNICAL]
    for attribute, part in rows.groupby("attribute", sort=False):
        quiet = []
        part = part.assign(place=part["outcome"].map(place_of)).sort_values("place", kind="stable")
        for _, row in part.iterrows():
            same = tested["attribute"].eq(attribute) & tested["outcome"].eq(row["outcome"])
            of = tested[same & tested["stage"].eq(row["stage"])]
            clear = int((of["p_adj"] <= alpha).sum())
            name = (names or {}).get(row["outcome"]) or outcome_name(row["outcome"])
            if row["p_adj"] <= alpha or clear:
                sentences.append(_technical(row, str(attribute), name, clear, len(of)))
            elif row["n_groups"] > 1:
                quiet.append(name)
        if quiet:
            more = f" and {len(quiet) - 6} further outcomes" if len(quiet) > 6 else ""
            sentences.append(
                f"By {attribute}, no evidence that groups differ in {', '.join(quiet[:6])}{more}."
            )
    return sentences


def _technical(row: pd.Series, attribute: str, name: str, clear: int, n: int) -> str:
    """One outcome over the groups of a technical attribute."""
    factor, unit = gap_scale(row)
    unit = unit.replace(" percentage points", "%").replace(" points", "")
    factor = 1.0 if factor == 100 and unit == "" else factor
    worst, best = float(row["worst"]) * factor, float(row["best"]) * factor
    places = decimals(abs(worst - best))
    ends = ("worst", "best") if row["better_is"] != "neither" else ("lowest", "highest")
    known = np.isfinite(row["p_adj"])
    p = f", {named_test(row['test'])}, adjusted p {p_text(row['p_adj'])}" if known else ""
    return (
        f"By {attribute} ({int(row['n_groups'])} groups{p}), {name} ranges from "
        f"{worst:,.{places}f}{unit} ({row['worst_group']}, {ends[0]}) to {best:,.{places}f}{unit} "
        f"({row['best_group']}, {ends[1]}); {clear} of {n} groups differ significantly from the "
        "reference."
    )
