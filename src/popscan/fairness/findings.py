"""The gaps of an audit in sentences, made from their numbers and never stronger than they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from popscan.fairness.comparison import INSEPARABLE, UNADJUSTED
from popscan.fairness.gap_words import FEW, INSTEAD, REMOVED, REVEALED, gap_sentence
from popscan.fairness.roles import PROTECTED
from popscan.fairness.technical import place_of, roles_in, technical_sentences
from popscan.fairness.words import (
    CAUTION,
    adjusted_for,
    decimals,
    gap_scale,
    held_equal,
    is_social,
    p_text,
    people,
)

_KEY = ["attribute", "stage", "outcome", "group", "reference"]


def sentences(
    gaps: pd.DataFrame,
    *,
    alpha: float = 0.05,
    most: int = 40,
    names: Mapping[str, str] | None = None,
    adjusted: pd.DataFrame | None = None,
    summary: pd.DataFrame | None = None,
) -> list[str]:
    """Say what the table of gaps shows, protected attributes and the clearest findings first.

    Parameters
    ----------
    gaps : DataFrame
        `AuditResult.gaps`.
    alpha : float
        Level at which p_adj counts as evidence; 1 - confidence of the intervals.
    most : int
        Most sentences about single gaps; how many more there are is reported.
    names : mapping, optional
        Outcome -> name for people.
    adjusted : DataFrame, optional
        As `popscan.fairness.adjusted.adjusted_gaps` returns it: a gap that adjustment reveals or
        removes, or cannot separate from a confounder, is stated in its own sentence.
    summary : DataFrame, optional
        `AuditResult.summary`: technical attributes are described from it, one sentence per outcome.

    Returns
    -------
    list of str
        How many comparisons were made, gaps with evidence, gaps without (and what the data are
        compatible with) between groups of `FEW` or more, how many between smaller groups are not
        listed, technical attributes, groups too small, and the caution.
    """
    if gaps.empty:
        return ["No groups could be compared."]
    gaps = gaps.assign(role=roles_in(gaps))
    tested = gaps[gaps["p"].notna()]
    second = _second(adjusted, alpha)
    if "n_tests" not in tested:
        family = tested["family" if "family" in tested else "role"]
        tested = tested.assign(n_tests=tested.groupby(family)["p"].transform("count"))
    tested = tested.assign(
        also=[second.get(tuple(key), "") for key in _keys(tested)],
    )
    lines = _openings(tested, alpha)
    aside = summary is not None and len(summary) > 0
    single = tested[tested["role"] == PROTECTED] if aside else tested
    # What serves a group better or worse comes before what merely differs, single attributes
    # before crossed ones, then the clearest.
    # As text: in a study in which nothing could be tested the column is one of numbers.
    revealed = single["also"].astype(str).str.contains(REVEALED, regex=False)
    clear = (single["p_adj"] <= alpha) | revealed
    found = single[clear].assign(
        neutral=lambda t: t["better_is"] == "neither",
        crossed=lambda t: t["attribute"].str.contains(" x ", regex=False),
    )
    found = found.sort_values(["neutral", "crossed", "p_adj", "p"], kind="stable")
    rest = single[~clear].assign(
        crossed=lambda t: t["attribute"].str.contains(" x ", regex=False),
        place=lambda t: t["outcome"].map(place_of),
    )
    rest = rest.sort_values(["crossed", "place"], kind="stable")
    noise = rest[["n", "n_reference"]].min(axis=1) < FEW
    listed = rest[~noise].groupby(["attribute", "outcome"], sort=False).head(1)
    shown = pd.concat([found, listed])
    lines += [gap_sentence(row, alpha=alpha, names=names) for _, row in shown.head(most).iterrows()]
    if noise.any():
        lines.append(_small(rest[noise]))
    left_out = len(single) - int(noise.sum()) - min(most, len(shown))
    if left_out > 0:
        lines.append(
            f"The table of gaps holds {left_out} more (all comparisons that are not shown here)."
        )
    if summary is not None and aside:
        lines += technical_sentences(summary, tested, alpha=alpha, names=names)
    lines += _too_few(gaps)
    if any(is_social(attribute) for attribute in gaps["attribute"].unique()):
        lines.append(CAUTION)
    return lines


def openings(gaps: pd.DataFrame, *, alpha: float = 0.05) -> list[str]:
    """Say how many comparisons were tested and how many stand, also where few may be shown.

    Parameters
    ----------
    gaps : DataFrame
        `AuditResult.gaps`.
    alpha : float
        As in `sentences`.

    Returns
    -------
    list of str
        One sentence per role of attributes.
    """
    if gaps.empty:
        return ["No groups could be compared."]
    counted = gaps.assign(role=roles_in(gaps))
    return _openings(counted[counted["p"].notna()], alpha)


def _small(rows: pd.DataFrame) -> str:
    """Say once that groups are too small for single sentences on what is not significant."""
    names = ", ".join(dict.fromkeys(rows["attribute"]))
    were = "comparison is" if len(rows) == 1 else "comparisons are"
    return (
        f"{len(rows)} {were} between groups of which one has fewer than {FEW} subjects ({names}): "
        "too small to say whether they are served equally well. They are not significant and "
        "not listed here; their intervals are in the table of gaps."
    )


def _keys(table: pd.DataFrame) -> list[tuple[str, ...]]:
    columns = [table[c].astype(str) if c in table else [""] * len(table) for c in _KEY]
    return list(zip(*columns, strict=True))


def _openings(tested: pd.DataFrame, alpha: float) -> list[str]:
    """Say how much was compared, and how much stands after correction, by role."""
    lines = []
    for role, rows in sorted(tested.groupby("role"), key=lambda part: part[0] != PROTECTED):
        names = list(dict.fromkeys(rows["attribute"]))
        several = tested["role"].nunique() > 1
        about = f" by {role} attributes ({', '.join(names)})" if several else ""
        made = len(rows)
        if not several or ("family" in rows and set(rows["family"]) == {role}):
            made = max(made, round(_family_sizes(rows)))
        of_these = f", {len(rows)} of them shown here" if made > len(rows) else ""
        clear, raw = (int((rows[column] <= alpha).sum()) for column in ("p_adj", "p"))
        lines.append(
            f"{made:,} comparisons{about} were tested{of_these}; {clear or 'none'} "
            f"{'show' if clear > 1 else 'shows'} a difference at the "
            f"{alpha:g} level after correction for multiplicity ({raw} before; "
            f"{alpha * len(rows):.0f} would be expected by chance if there were none)."
        )
    return lines or ["No comparison could be tested."]


def _family_sizes(rows: pd.DataFrame) -> float:
    """Count the tests of all families of these rows, also those whose rows are hidden."""
    family = rows["family"] if "family" in rows else rows["role"]
    return float(rows["n_tests"].astype(float).groupby(family).max().sum())


def _too_few(gaps: pd.DataFrame) -> list[str]:
    """Name groups that are too small, for all outcomes or for some."""
    lines = []
    few = gaps["note"].str.startswith("too few")
    needed = gaps["note"].str.extract(r"^too few: .* (\d+) needed$")[0]
    for attribute, rows in gaps.groupby("attribute", sort=False):
        never = few[rows.index].groupby(rows["group"]).all()
        some = few[rows.index].groupby(rows["group"]).sum()
        groups = sorted(map(str, never.index[never]))
        by = str(attribute).replace(" x ", " and ")
        if groups:
            least = needed[rows.index].dropna().unique()
            count = f" ({least[0]} are needed)" if len(least) == 1 else ""
            lines.append(
                f"By {by}, nothing can be concluded about {', '.join(map(people, groups))}: too "
                f"few subjects{count}. This is a limit of the study, not evidence of equal "
                "service."
            )
        partly = {str(g): int(n) for g, n in some[~never].items() if n}
        if partly:
            total = rows.groupby("group").size()
            listed = ", ".join(
                f"{people(g)} ({n} of {total[g]})" for g, n in sorted(partly.items())
            )
            lines.append(
                f"By {by}, some outcomes could not be compared since too few subjects of "
                f"the group or its reference have a value: {listed}."
            )
    return lines


def _second(adjusted: pd.DataFrame | None, alpha: float) -> dict[tuple[str, ...], str]:
    """Say what adjustment makes of each gap: revealed by most methods, removed, or impossible.

    One method of several that finds something is no finding: at least half of those with an
    estimate must, and how many do is reported.
    """
    if adjusted is None or adjusted.empty:
        return {}
    adjusted = adjusted[adjusted["method"] != UNADJUSTED]  # it is there to be compared with
    lines = _inseparable(adjusted)
    known = adjusted[np.isfinite(adjusted["gap"].astype(float)) & adjusted["p_adj"].notna()]
    places: dict[tuple[str, ...], list[int]] = {}
    for place, key in enumerate(_keys(known)):
        places.setdefault(key, []).append(place)
    is_clear = (known["p_adj"] <= alpha).to_numpy()
    for key, where in places.items():
        clear = [place for place in where if is_clear[place]]
        if not clear:
            lines[key] = f"{_after(known.iloc[where[0]], alpha)}, {REMOVED}"
        elif 2 * len(clear) >= len(where):
            some = "" if len(clear) == len(where) else f" ({len(clear)} of {len(where)} methods)"
            lines[key] = f"{_after(known.iloc[clear[0]], alpha)}: {REVEALED}{some}"
    return lines


def _inseparable(adjusted: pd.DataFrame) -> dict[tuple[str, ...], str]:
    """Say of gaps whose group is determined by confounders which these are."""
    notes = adjusted["note"].astype(str)
    rows = adjusted[notes.str.startswith(INSEPARABLE)]
    found = {}
    for key, note in zip(_keys(rows), rows["note"], strict=True):
        names = str(note).split(";")[0].removeprefix(INSEPARABLE).strip(" ()")
        found[key] = (
            f"Group and {adjusted_for(names) if names else 'confounders'} cannot be separated in "
            f"these data; the difference {INSTEAD}"
        )
    return found


def _after(row: pd.Series, alpha: float) -> str:
    """One adjusted gap in a clause."""
    factor, unit = gap_scale(row)
    gap, low, high = (float(row[c]) * factor for c in ("gap", "ci_low", "ci_high"))
    places = decimals(max(abs(low), abs(high)))
    without = row.get("not_adjusted_for", "")
    lost = f"; not adjusted for {without}" if isinstance(without, str) and without else ""
    return (
        f"Adjusted for {held_equal(row['adjusted_for'])} ({row['method']}) it is "
        f"{gap:+,.{places}f}{unit} ({100 * (1 - alpha):g}% CI {low:,.{places}f} to "
        f"{high:,.{places}f}, adjusted p {p_text(row['p_adj'])}{lost})"
    )
