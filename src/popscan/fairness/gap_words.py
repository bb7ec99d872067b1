"""One gap in a sentence that claims no more than its interval."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from popscan.fairness.words import capital, decimals, gap_scale, outcome_name, p_text, people
from popscan.names import plural

REVEALED, REMOVED = "a gap that only adjustment shows", "no longer significant"
#: End of what is said of a gap that may as well be one between sites, scanners or ages.
INSTEAD = "may come from there instead"
#: Below so many subjects in a group a difference that is not significant says nothing of its own.
FEW = 10


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
        With evidence: direction, size and interval, and whether missing values leave the sign
        open. Without: what the data are compatible with, never "no difference".
    """
    outcome = capital((names or {}).get(row["outcome"]) or outcome_name(row["outcome"]))
    group, reference = people(row["group"]), people(row["reference"])
    if not np.isfinite(row["p"]):
        return f"{outcome} of {group} and {reference} was not compared: {row['note']}."
    scale, unit = gap_scale(row)
    low, high = sorted((row["ci_low"] * scale, row["ci_high"] * scale))
    places = decimals(max(abs(low), abs(high)))
    if low > 0 or high < 0:  # "0 to 37" would not exclude zero
        places = max(places, decimals(10 * min(abs(low), abs(high))))
    level = f"{100 * (1 - alpha):g}% CI"
    own = f"{group} ({_size(row, 'n', 'missing_pct', 'n_subjects')})"
    columns = ("n_reference", "missing_reference_pct", "n_subjects_reference")
    other = f"{reference} ({_size(row, *columns)})"
    span = f"{low:,.{places}f} to {high:,.{places}f}{unit}"
    also = str(row.get("also", ""))
    if row["p_adj"] <= alpha:
        sense = "higher" if row["gap"] > 0 else "lower"
        verdict = {"worse": ", to their disadvantage", "better": ", to their advantage"}
        size = f"{abs(row['gap'] * scale):,.{places}f}{unit}"
        removed = f". {also}" if also.endswith((REMOVED, INSTEAD)) else ""
        return (
            f"{outcome} is {size} {sense} in {own} than in {other}"
            f"{verdict.get(row['direction'], '')}{_open_sign(row)}: {level} {span}, adjusted p "
            f"{p_text(row['p_adj'])}{removed}."
        )
    shown = f" {also}." if REVEALED in also else ""
    if low > 0 or high < 0:
        tests = row.get("n_tests", np.nan)
        many = f"{tests:,.0f} comparisons" if np.isfinite(tests) else "multiple comparisons"
        why = f"after correcting for {many} " if tests != 1 else ""
        return (
            f"{outcome} in {own} and {other}: the {level} of the difference, {span}, excludes "
            f"zero, but the difference is not significant {why}(adjusted p "
            f"{p_text(row['p_adj'])}).{shown}"
        )
    return (
        f"{outcome}: no evidence of a difference between {own} and {other}; the data are "
        f"compatible with {group} being anywhere from {_side(low, places, unit)} to "
        f"{_side(high, places, unit)} ({level}).{_power(row, scale, unit, places)}{shown}"
    )


def _side(value: float, places: int, unit: str) -> str:
    """Say a limit of the difference, group minus reference."""
    if round(value, places) == 0:
        return "equal"
    return f"{abs(value):,.{places}f}{unit} {'higher' if value > 0 else 'lower'}"


def _size(row: pd.Series, count: str, missing: str, subjects: str) -> str:
    """Size of a group, of how many subjects its visits are, and how many of it have no value."""
    share, people_of = row.get(missing, np.nan), row.get(subjects, np.nan)
    size = f"n = {row[count]:,.0f}"
    if row.get("counted", "") == "visits":
        size = f"n = {plural(int(row[count]), 'visit')}"
        size += f" of {plural(int(people_of), 'subject')}" if np.isfinite(people_of) else ""
    if not np.isfinite(share) or share <= 0:
        return size
    return f"{size}, {f'{share:.0f}' if share >= 1 else '< 1'}% missing"


def _open_sign(row: pd.Series) -> str:
    """Say that missing values could turn the sign."""
    if str(row.get("sign_open", "")).lower() not in ("true", "1", "1.0"):
        return ""
    bounds = [float(row.get(c, np.nan)) for c in ("bound_low", "bound_high")]
    scale, unit = gap_scale(row)
    places = decimals(max(abs(value * scale) for value in bounds))
    reach = (
        f" ({bounds[0] * scale:,.{places}f} to {bounds[1] * scale:,.{places}f}{unit} in the worst "
        "and best case)"
        if np.isfinite(bounds).all()
        else ""
    )
    return (
        " among those with a value, but those without a value could turn the sign of the "
        f"difference{reach}"
    )


def _power(row: pd.Series, scale: float, unit: str, places: int) -> str:
    """Say what would have been found."""
    smallest = row.get("min_detectable_gap", np.nan)
    if not np.isfinite(smallest):
        return ""
    if scale == 100.0 and abs(smallest) > 1.0:  # shares and Dice: larger than can be
        return " These groups are too small to say what difference would have been found."
    return (
        f" With these group sizes a true difference of {abs(smallest * scale):,.{places}f}{unit} "
        "would have been found four times out of five before correction."
    )
