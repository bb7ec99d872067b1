"""Ledger and funnel in sentences, made from their numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popscan.fairness.funnel import ALL
from popscan.fairness.ledger import TOTAL
from popscan.fairness.words import name_and_unit, people


def ledger_sentences(ledger: pd.DataFrame, *, alpha: float = 0.05) -> list[str]:
    """Say where along the pipeline each gap arises.

    Parameters
    ----------
    ledger : DataFrame
        As `popscan.fairness.ledger.bias_ledger` returns it.
    alpha : float
        Level at which a corrected p counts; 1 - confidence of the intervals.

    Returns
    -------
    list of str
        One sentence per attribute, group and biomarker; none for groups too small.
    """
    said = []
    keys = ["attribute", "group", "reference", "biomarker"]
    for key, rows in ledger.groupby(keys, sort=False):
        _, group, reference, biomarker = map(str, key)
        chain, total = rows[rows["step"] != TOTAL], rows[rows["step"] == TOTAL]
        if total.empty or not np.isfinite(total["contribution"].iloc[0]):
            continue
        name, unit = name_and_unit(biomarker)
        first, last = chain.iloc[0], chain.iloc[-1]
        whole = total.iloc[0]
        digits = _digits(max(abs(first["gap"]), abs(last["gap"]), abs(whole["contribution"])))

        def number(value: float, digits: int = digits, unit: str = unit) -> str:
            return f"{value:+,.{digits}f}{unit}"

        clear = chain.iloc[1:][chain.iloc[1:]["p_adj"] <= alpha]
        parts = [
            f"{row['step']} {number(row['contribution'])} ({row['ci_low']:+,.{digits}f} to "
            f"{row['ci_high']:+,.{digits}f})"
            for _, row in clear.iterrows()
        ]
        steps = (
            f"Steps that clearly add to it or take from it: {'; '.join(parts)}."
            if parts
            else "No single step clearly adds to it or takes from it."
        )
        said.append(
            f"{name}, {people(group)} minus {people(reference)}: {number(first['gap'])} by "
            f"{first['step']}, {number(last['gap'])} after {last['step']}; the pipeline changes "
            f"the gap by {number(whole['contribution'])} ({100 * (1 - alpha):g}% interval "
            f"{number(whole['ci_low'])} to {number(whole['ci_high'])}). {steps}"
        )
    return said


def funnel_sentences(funnel: pd.DataFrame, *, alpha: float = 0.05) -> list[str]:
    """Say which group the study loses more of.

    Parameters
    ----------
    funnel : DataFrame
        As `popscan.fairness.funnel.funnel` returns it.
    alpha : float
        Level at which a corrected p counts.

    Returns
    -------
    list of str
        One sentence per clear difference, or one that there is none, with what was compared.
    """
    tested = funnel[funnel["p"].notna()]
    if tested.empty:
        return ["Losses could not be compared between groups: nobody was lost, or too few people."]
    clear = tested[tested["p_adj"] <= alpha]
    if clear.empty:
        widest = tested[tested["stage"] == ALL]
        largest = widest[["gap_ci_low_pct", "gap_ci_high_pct"]].abs().max(axis=1).max()
        open_ended = (
            f" Differences up to {largest:.0f} percentage points over all stages are not excluded."
            if np.isfinite(largest)
            else ""
        )
        return [f"No group is shown to be lost more often than its reference.{open_ended}"]
    return [
        f"{row['stage']}: {row['lost_pct']:.1f}% of {people(row['group'])} are lost "
        f"({row['n_lost']:,} of {row['n_entered']:,}), {abs(row['gap_pct']):.1f} percentage points "
        f"{'more' if row['gap_pct'] > 0 else 'fewer'} than of {people(row['reference'])} "
        f"({row['gap_ci_low_pct']:+.1f} to {row['gap_ci_high_pct']:+.1f})."
        for _, row in clear.iterrows()
    ]


def _digits(largest: float) -> int:
    """Decimals that leave two or three figures."""
    if not np.isfinite(largest) or largest <= 0:
        return 2
    return int(np.clip(2 - np.floor(np.log10(largest)), 0, 6))
