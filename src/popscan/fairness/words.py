"""The audit in sentences, made from its numbers and never stronger than they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from popscan.fairness.groups import MISSING
from popscan.stats.design import UNITS

#: Printed beside every comparison by race or ethnicity.
CAUTION = (
    "Race and ethnicity are social categories as recorded by the study, not biological ones. A "
    "gap between such groups points to what differs around them (who was scanned, where, on which "
    "scanner, with which disease, and on whom the model was trained), and calls for that cause to "
    "be found; it must not be used to set different thresholds by race."
)
#: Attribute names that call for the caution.
SOCIAL = ("race", "ethnic", "ethnicity", "ethnic_id", "ethnic_group", "ancestry")

_NAMES = {
    "dice": "Dice", "hd95": "95% Hausdorff distance", "msd": "mean surface distance",
    "lv": "LV", "rv": "RV", "myo": "myocardium", "qc": "QC", "lvm": "LV mass", "psnr": "PSNR",
    "ssim": "SSIM", "nrmse": "NRMSE", "snr": "SNR", "cnr": "CNR", "abs": "absolute",
    **{f"{v}{what}": f"{v.upper()} {name}" for v in ("lv", "rv") for what, name in
       (("edv", "end-diastolic volume"), ("esv", "end-systolic volume"), ("sv", "stroke volume"),
        ("ef", "ejection fraction"))},
}  # fmt: skip
#: Outcomes that a reader asks for first.
_FIRST = (
    "not_analysed", "qc_fail", "dice_mean", "lvef_pct_abs_error", "lvedv_ml_abs_error",
    "lvm_g_abs_error", "qc_not_pass",
)  # fmt: skip
_PEOPLE = {"female": "women", "male": "men", MISSING: "those not recorded"}


def sentences(
    gaps: pd.DataFrame,
    *,
    alpha: float = 0.05,
    most: int = 40,
    names: Mapping[str, str] | None = None,
) -> list[str]:
    """Say what the table of gaps shows, the clearest findings first.

    Parameters
    ----------
    gaps : DataFrame
        `AuditResult.gaps`.
    alpha : float
        Level at which p_adj counts as evidence; 1 - confidence of the intervals.
    most : int
        Most sentences about single gaps; how many more there are is said.
    names : mapping, optional
        Outcome -> name for people.

    Returns
    -------
    list of str
        A sentence on how many comparisons were made, then on gaps with evidence, then on those
        without (with what cannot be excluded), on groups too small, and the caution.
    """
    if gaps.empty:
        return ["No groups could be compared."]
    tested = gaps[gaps["p"].notna()]
    # What serves a group better or worse comes before what merely differs, single attributes
    # before crossed ones, then the clearest.
    found = tested[tested["p_adj"] <= alpha].assign(
        neutral=lambda t: t["better_is"] == "neither",
        crossed=lambda t: t["attribute"].str.contains(" x ", regex=False),
    )
    found = found.sort_values(["neutral", "crossed", "p_adj", "p"], kind="stable")
    rest = tested[~(tested["p_adj"] <= alpha)].assign(
        crossed=lambda t: t["attribute"].str.contains(" x ", regex=False),
        place=lambda t: t["outcome"].map(_place),
    )
    rest = rest.sort_values(["crossed", "place"], kind="stable")
    said = [_opening(tested, found, alpha)]
    shown = pd.concat([found, rest.groupby(["attribute", "outcome"], sort=False).head(1)])
    said += [gap_sentence(row, alpha=alpha, names=names) for _, row in shown.head(most).iterrows()]
    left_out = len(tested) - min(most, len(shown))
    if left_out > 0:
        said.append(f"The table of gaps holds {left_out} further comparisons.")
    small = gaps[gaps["note"].str.startswith("too few")]
    for attribute, rows in small.groupby("attribute", sort=False):
        groups = ", ".join(sorted(set(rows["group"])))
        said.append(
            f"By {attribute}, nothing can be said of at least one outcome for {groups}: too few "
            "people. That is a gap of the study, not evidence of equal service."
        )
    if any(is_social(attribute) for attribute in gaps["attribute"].unique()):
        said.append(CAUTION)
    return said


def _place(outcome: str) -> int:
    """Place of an outcome in the sentences: asked for first, then others, then single checks."""
    if outcome in _FIRST:
        return _FIRST.index(outcome)
    return len(_FIRST) + outcome.startswith("check_")


def is_social(attribute: str) -> bool:
    """Whether an attribute or intersection involves race or ethnicity.

    Parameters
    ----------
    attribute : str
        E.g. ``sex x race``.

    Returns
    -------
    bool
        True if any part of the name says so.
    """
    return any(
        part.strip().lower() in SOCIAL or part.strip().lower().startswith(("race", "ethnic"))
        for part in attribute.split(" x ")
    )


def gap_sentence(
    row: pd.Series, *, alpha: float = 0.05, names: Mapping[str, str] | None = None
) -> str:
    """Say one gap.

    Parameters
    ----------
    row : Series
        A row of `AuditResult.gaps`.
    alpha : float
        As in `sentences`.
    names : mapping, optional
        Outcome -> name for people.

    Returns
    -------
    str
        With evidence: direction, size and interval. Without: the largest difference that the
        interval leaves open, never "no difference".
    """
    outcome = (names or {}).get(row["outcome"]) or outcome_name(row["outcome"])
    group, reference = people(row["group"]), people(row["reference"])
    level = f"{100 * (1 - alpha):g}%"
    if not np.isfinite(row["p"]):
        return f"{_capital(outcome)} of {group} and {reference} was not compared: {row['note']}."
    scale, unit = gap_scale(row)
    low, high = sorted((row["ci_low"] * scale, row["ci_high"] * scale))
    digits = _digits(max(abs(low), abs(high)))
    if row["p_adj"] <= alpha:
        way = "higher" if row["gap"] > 0 else "lower"
        verdict = {"worse": ", to their disadvantage", "better": ", to their advantage"}
        size = f"{abs(row['gap'] * scale):,.{digits}f}{unit}"
        return (
            f"{_capital(outcome)} is {size} {way} in {group} (n = {row['n']:,}) than in "
            f"{reference} (n = {row['n_reference']:,}){verdict.get(row['direction'], '')}: "
            f"{level} interval {low:,.{digits}f} to {high:,.{digits}f}{unit}, corrected "
            f"p {_p(row['p_adj'])}."
        )
    largest = max(abs(low), abs(high))
    detectable = row.get("min_detectable_gap", np.nan)
    power = (
        f" With these group sizes a true difference of {abs(detectable * scale):,.{digits}f}{unit} "
        "would have been found four times out of five before correction."
        if np.isfinite(detectable)
        else ""
    )
    if low > 0 or high < 0:
        return (
            f"{_capital(outcome)} seems to differ between {group} (n = {row['n']:,}) and "
            f"{reference} (n = {row['n_reference']:,}; {level} interval {low:,.{digits}f} to "
            f"{high:,.{digits}f}{unit}), but among as many comparisons as were made here chance "
            f"alone would do this (corrected p {_p(row['p_adj'])})."
        )
    return (
        f"{_capital(outcome)}: no evidence of a difference between {group} (n = {row['n']:,}) and "
        f"{reference} (n = {row['n_reference']:,}); a difference larger than "
        f"{largest:,.{digits}f}{unit} can be excluded ({level} interval {low:,.{digits}f} to "
        f"{high:,.{digits}f}{unit}), a smaller one cannot.{power}"
    )


def outcome_name(outcome: str) -> str:
    """Return an outcome's name for people, e.g. ``Dice LV`` for ``dice_lv``.

    Parameters
    ----------
    outcome : str
        Name in the tables.

    Returns
    -------
    str
        Words; units at the end are left to the numbers.
    """
    bare, _ = _without_unit(outcome)
    return " ".join(_NAMES.get(part, part) for part in bare.split("_"))


def name_and_unit(outcome: str) -> tuple[str, str]:
    """Return an outcome's name for people and its unit with a space before it.

    Parameters
    ----------
    outcome : str
        Name in the tables, e.g. ``lvedv_ml``.

    Returns
    -------
    name, unit : str
        E.g. ``LV end-diastolic volume`` and `` mL``; the unit may be empty.
    """
    _, unit = _without_unit(outcome)
    return _capital(outcome_name(outcome)), f" {unit}" if unit else ""


def _without_unit(outcome: str) -> tuple[str, str]:
    """Split ``hd95_mm_lv`` into ``hd95_lv`` and ``mm``; a percentage is told in points."""
    parts = outcome.split("_")
    for length in range(len(parts), 1, -1):
        head = "_".join(parts[:length])
        for ending in sorted(UNITS, key=len, reverse=True):
            if head.endswith(ending):
                unit = "percentage points" if UNITS[ending] == "%" else UNITS[ending]
                return "_".join([head.removesuffix(ending), *parts[length:]]), unit
    return outcome, ""


def people(group: str) -> str:
    """Return a group's name for people: ``female & Black`` becomes ``women & Black``.

    Parameters
    ----------
    group : str
        Name in the tables.

    Returns
    -------
    str
        Words.
    """
    return " & ".join(_PEOPLE.get(part, part) for part in group.split(" & "))


def _opening(tested: pd.DataFrame, found: pd.DataFrame, alpha: float) -> str:
    """How much was compared, and how much stands after correction."""
    raw = int((tested["p"] <= alpha).sum())
    return (
        f"{len(tested)} comparisons were tested; {len(found)} show a difference at the {alpha:g} "
        f"level after correction for multiplicity ({raw} before; {alpha * len(tested):.0f} would "
        "be expected by chance if there were none)."
    )


def gap_scale(row: pd.Series) -> tuple[float, str]:
    """Return factor and unit in which a gap is told: percentage points for shares, points for Dice.

    Parameters
    ----------
    row : Series
        With ``outcome`` and ``kind``.

    Returns
    -------
    factor : float
        What the gap is multiplied with.
    unit : str
        With a space before it; empty without a unit.
    """
    outcome = str(row["outcome"])
    if row["kind"] == "binary":
        return 100.0, " percentage points"
    if outcome.startswith(("dice", "ssim")):
        return 100.0, " points"
    _, unit = _without_unit(outcome)
    return 1.0, f" {unit}" if unit else ""


def _digits(largest: float) -> int:
    """Decimals that leave two or three figures."""
    if not np.isfinite(largest) or largest <= 0:
        return 2
    return int(np.clip(1 - np.floor(np.log10(largest)), 0, 6))


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
