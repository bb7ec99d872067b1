"""Adjusted gaps, funnel, agreement and ledger in sentences, made from their numbers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from popscan.fairness.comparison import UNADJUSTED
from popscan.fairness.funnel import ALL
from popscan.fairness.ledger import TOTAL
from popscan.fairness.words import (
    adjusted_for,
    capital,
    decimals,
    gap_scale,
    held_equal,
    name_and_unit,
    outcome_name,
    people,
)


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
    sentences = []
    keys = ["attribute", "group", "reference", "biomarker"]
    for key, rows in ledger.groupby(keys, sort=False):
        _, group, reference, biomarker = map(str, key)
        chain, total = rows[rows["step"] != TOTAL], rows[rows["step"] == TOTAL]
        if total.empty or not np.isfinite(total["contribution"].iloc[0]):
            continue
        name, unit = name_and_unit(biomarker)
        first, last = chain.iloc[0], chain.iloc[-1]
        whole = total.iloc[0]
        digits = decimals(max(abs(first["gap"]), abs(last["gap"]), abs(whole["contribution"])))

        def number(value: float, digits: int = digits, unit: str = unit) -> str:
            return f"{value:+,.{digits}f}{unit}"

        clear = chain.iloc[1:][chain.iloc[1:]["p_adj"] <= alpha]
        parts = [
            f"{_step(str(row['step']))} {number(row['contribution'])} "
            f"({row['ci_low']:+,.{digits}f} to {row['ci_high']:+,.{digits}f})"
            for _, row in clear.iterrows()
        ]
        steps = (
            f"Steps that clearly add to it or take from it: {'; '.join(parts)}."
            if parts
            else "No single step clearly adds to it or takes from it."
        )
        sentences.append(
            f"{name}, {people(group)} minus {people(reference)}: {number(first['gap'])} "
            f"{_first(str(first['step']))}, {number(last['gap'])} after "
            f"{_step(str(last['step']))}; the pipeline changes "
            f"the gap by {number(whole['contribution'])} ({100 * (1 - alpha):g}% interval "
            f"{whole['ci_low']:+,.{digits}f} to {number(whole['ci_high'])}). {steps}"
        )
    return sentences


def _first(step: str) -> str:
    """Say where the first gap of a ledger was measured."""
    return {"truth": "in the ground truth", "reference labels": "on the reference labels"}.get(
        step, f"by {step}"
    )


def _step(step: str) -> str:
    """Return a step with the confounders' names for people."""
    what, adjusts, columns = step.partition("adjustment for ")
    return f"{what}{adjusts}{adjusted_for(columns)}" if adjusts else step


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
        return ["Losses could not be compared between groups: no subject was lost, or too few."]
    clear = tested[tested["p_adj"] <= alpha]
    if clear.empty:
        widest = tested[tested["stage"] == ALL]
        largest = widest[["gap_ci_low_pct", "gap_ci_high_pct"]].abs().max(axis=1).max()
        open_ended = (
            f" Over all stages the data are compatible with differences of up to {largest:.0f} "
            "percentage points (confidence intervals)."
            if np.isfinite(largest)
            else ""
        )
        return [f"No evidence that a group is lost more often than its reference.{open_ended}"]
    clear = clear.sort_values("stage", key=lambda names: names != ALL, kind="stable")
    return [
        f"{'Over' if row['stage'] == ALL else 'At'} {row['stage']}, {row['lost_pct']:.1f}% of "
        f"{people(row['group'])} are lost "
        f"({row['n_lost']:,} of {row['n_entered']:,}), {abs(row['gap_pct']):.1f} percentage points "
        f"{'more' if row['gap_pct'] > 0 else 'fewer'} than of {people(row['reference'])} "
        f"({row['gap_ci_low_pct']:+.1f} to {row['gap_ci_high_pct']:+.1f})."
        for _, row in clear.iterrows()
    ]


def adjusted_sentences(adjusted: pd.DataFrame, *, alpha: float = 0.05, most: int = 6) -> list[str]:
    """Say what of the clear gaps is left after adjustment for confounders.

    Parameters
    ----------
    adjusted : DataFrame
        As `popscan.fairness.adjusted.adjusted_gaps` returns it; the first method that adjusts is
        reported.
    alpha : float
        Level at which a corrected p counts; 1 - confidence of the intervals.
    most : int
        Most sentences on single gaps, the clearest first.

    Returns
    -------
    list of str
        How many gaps stand, then the clear gaps; and how many could not be adjusted, with why.
    """
    adjusted = adjusted[adjusted["method"] != UNADJUSTED]
    if adjusted.empty:
        return []
    one = adjusted[adjusted["method"] == adjusted["method"].iloc[0]]
    fitted = one[np.isfinite(one["gap"].astype(float))]
    lost = one[~np.isfinite(one["gap"].astype(float))]
    unadjusted = lost[~lost["note"].str.startswith(("too few", "all values"))]
    if fitted.empty:
        return [_not_adjusted(unadjusted if len(unadjusted) else one)] if len(one) else []
    clear = fitted[fitted["p_adj"] <= alpha].sort_values(["p_adj", "p"], kind="stable")
    sentences = [
        f"Adjusted for {_held(fitted)} ({one['method'].iloc[0]}), {len(clear)} of {len(fitted)} "
        f"gaps are significant at the {alpha:g} level after correction{_without(fitted)}."
    ]
    changed = fitted[[bool(_change(row, alpha)) for _, row in fitted.iterrows()]].sort_values(
        "explained_pct", ascending=False, kind="stable", key=abs
    )
    shown = pd.concat([clear, changed])
    shown = shown[~shown.index.duplicated()].head(most)
    sentences += [_adjusted_sentence(row, alpha) for _, row in shown.iterrows()]
    return sentences + ([_not_adjusted(unadjusted)] if len(unadjusted) else [])


def _held(rows: pd.DataFrame) -> str:
    """Name what gaps are adjusted for; where that differs, with how many of them."""
    sets = Counter(held_equal(held) for held in rows["adjusted_for"])
    if len(sets) == 1:
        return next(iter(sets))
    return ", for ".join(f"{names} in {n}" for names, n in sets.items())


def _adjusted_sentence(row: pd.Series, alpha: float) -> str:
    """One gap before and after adjustment."""
    factor, unit = gap_scale(row)
    numbers = [float(row[c]) * factor for c in ("gap_raw", "gap", "ci_low", "ci_high")]
    digits = decimals(max(map(abs, numbers)))
    raw, gap, low, high = (f"{value:+,.{digits}f}" for value in numbers)
    what = _change(row, alpha)
    caution = " (uncertain: see the note in the table)" if row["note"] else ""
    return (
        f"{capital(outcome_name(row['outcome']))}, "
        f"{people(row['group'])} minus {people(row['reference'])}: {raw}{unit} as it is, "
        f"{gap}{unit} adjusted ({100 * (1 - alpha):g}% interval {low} to {high}){what}{caution}"
        f"{_not_for(row)}."
    )


def _not_for(row: pd.Series) -> str:
    """Name the confounders that one comparison goes without."""
    lost = row.get("not_adjusted_for", "")
    return f"; not adjusted for {lost}" if isinstance(lost, str) and lost else ""


def _without(rows: pd.DataFrame) -> str:
    """Name the confounders that comparisons go without, and in how many of them."""
    lost = rows.get("not_adjusted_for", pd.Series(dtype=str))
    names = Counter(name for text in lost if text for name in str(text).split(", "))
    parts = [
        f"no adjustment for {name}" + ("" if n == len(rows) else f" in {n} of {len(rows)}")
        for name, n in names.items()
    ]
    return "".join(f"; {part}" for part in parts)


def _change(row: pd.Series, alpha: float) -> str:
    """Say what the confounders do to a gap; nothing unless they change it clearly and by a tenth.

    A change of the estimate by 10% is the epidemiologists' rule for a confounder that matters
    (Maldonado and Greenland 1993, Am. J. Epidemiol. 138); without the test it would be noise.
    """
    share = row["explained_pct"]
    p = row.get("p_change", np.nan)
    if not np.isfinite(share) or abs(share) < 10 or not p <= alpha:
        return ""
    if share < 0:
        return "; the confounders hide part of it"
    return f"; the confounders explain {share:.0f}% of it" if share <= 100 else "; it changes sign"


def _not_adjusted(rows: pd.DataFrame) -> str:
    """How many gaps have no adjusted estimate, by reason, the commonest first."""
    counts = rows["note"].str.split(";").str[0].value_counts()
    if len(counts) == 1:
        return f"{len(rows)} gaps could not be adjusted: {counts.index[0]}."
    reasons = "; ".join(f"{why}, {n}" for why, n in counts.items())
    return f"{len(rows)} gaps could not be adjusted: {reasons}."


def exclusion_sentences(exclusion: pd.DataFrame, *, alpha: float = 0.05) -> list[str]:
    """Say whether QC excludes one group more at equal true quality.

    Parameters
    ----------
    exclusion : DataFrame
        As `popscan.fairness.funnel.exclusion_at_equal_quality` returns it.
    alpha : float
        Level at which a corrected p counts; 1 - confidence of the intervals.

    Returns
    -------
    list of str
        One sentence per group: by the logistic model where it could be fitted, else the linear.
    """
    sentences = []
    for (_, group, reference), rows in exclusion.groupby(
        ["attribute", "group", "reference"], sort=False
    ):
        known = rows[np.isfinite(rows["gap"].astype(float))]
        about = f"{people(str(group))} and {people(str(reference))}"
        if known.empty:
            note = str(rows["note"].iloc[0]).split(";")[0]
            sentences.append(
                f"QC at equal true quality could not be compared between {about}: {note}."
            )
            continue
        row = known.iloc[0]
        gap, low, high = (100 * float(row[c]) for c in ("gap", "ci_low", "ci_high"))
        span = f"{100 * (1 - alpha):g}% interval {low:+.1f} to {high:+.1f}"
        if row["p_adj"] <= alpha:
            sense = "more" if gap > 0 else "fewer"
            sentences.append(
                f"At equal true quality QC excludes {abs(gap):.1f} percentage points {sense} of "
                f"{people(str(group))} than of {people(str(reference))} ({span})."
            )
        else:
            sentences.append(
                f"At equal true quality there is no evidence of a difference in QC's exclusions "
                f"between {about} ({span} percentage points)."
            )
    return sentences


def agreement_sentences(agreement: pd.DataFrame, *, alpha: float = 0.05) -> list[str]:
    """Say which group's biomarkers are measured with another bias than the reference group's.

    Parameters
    ----------
    agreement : DataFrame
        As `popscan.fairness.agreement.bland_altman` returns it.
    alpha : float
        Level at which a corrected p counts; 1 - confidence of the intervals.

    Returns
    -------
    list of str
        One sentence per clear difference; else one on how large a difference is left open, by
        biomarker.
    """
    tested = agreement[agreement["p_bias_gap"].notna()]
    if tested.empty:
        return ["Agreement with the reference could not be compared between groups: too few."]
    clear = tested[tested["p_bias_gap_adj"] <= alpha]
    sentences = []
    for _, row in clear.iterrows():
        name, unit = name_and_unit(row["biomarker"])
        numbers = [row[c] for c in ("bias", "bias_gap", "bias_gap_ci_low", "bias_gap_ci_high")]
        digits = decimals(max(map(abs, numbers)))
        bias, gap, low, high = (f"{value:+,.{digits}f}" for value in numbers)
        sentences.append(
            f"{name} is measured with a bias of {bias}{unit} in {people(row['group'])}; bias less "
            f"that in {people(row['reference'])}: {gap}{unit} ({100 * (1 - alpha):g}% interval "
            f"{low} to {high})."
        )
    rest = tested[~(tested["p_bias_gap_adj"] <= alpha)]
    if len(rest):
        limits = []
        for biomarker, rows in rest.groupby("biomarker", sort=False):
            name, unit = name_and_unit(str(biomarker))
            largest = rows[["bias_gap_ci_low", "bias_gap_ci_high"]].abs().max(axis=1).max()
            limits.append(f"{name} {largest:,.{decimals(largest)}f}{unit}")
        sentences.append(
            f"For {len(rest)} group comparisons the difference in bias is not statistically "
            "significant. The largest difference that is still compatible with the data "
            f"({100 * (1 - alpha):g}% CI): {'; '.join(limits)}."
        )
    return sentences
