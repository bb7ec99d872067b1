"""Which rows of the audit's tables must stay, so that no small count can be worked out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from popscan.fairness.prediction_links import Link, links_of, prediction_of
from popscan.fairness.prediction_outcomes import STAGE
from popscan.stats.crossed import TIMES, crossed_parts, known_groups
from popscan.stats.disclosure import Release, hide_until_safe, shown_range


class Row(NamedTuple):
    """Exact counts of one group on one outcome, and the row's place in its table."""

    place: int
    outcome: str
    attribute: str
    group: str
    counts: dict[str, float]


#: What a count is of: kind, outcome, attribute, group; a total has no group.
Count = tuple[str, ...]


def rows_to_hide(groups: pd.DataFrame, hidden: pd.Series, *, min_cell: int, base: int) -> pd.Series:
    """Find further rows of the table of groups that would give hidden counts away.

    Every outcome is attacked with what is published of it: sizes of groups, subjects with a value,
    events and non-events of yes/no outcomes, all rounded; their totals over the study, rounded;
    margins of intersections; and that the groups of every attribute add up to the same totals.
    Outcomes of one classifier are attacked together, since their counts are sums of the same true
    and false positives and negatives.

    Parameters
    ----------
    groups : DataFrame
        Groups as the audit describes them, exact.
    hidden : Series of bool
        Rows that are hidden already.
    min_cell, base : int
        Smallest count that is shown, and base of the rounding.

    Returns
    -------
    Series of bool
        The rows to hide, those of `hidden` among them.
    """
    found = hidden.copy()
    known: dict[tuple[object, ...], list[int]] = {}
    families = [
        prediction_of(str(outcome)) if stage == STAGE else outcome
        for stage, outcome in zip(groups["stage"], groups["outcome"], strict=True)
    ]
    for positions in groups.groupby([groups["stage"], families], sort=False).indices.values():
        part = groups.iloc[positions]
        rows = _counts_of_groups(part)
        start = {i for i, flag in enumerate(hidden.iloc[positions]) if flag}
        facts = (*((a, g, *c.values()) for _, _, a, g, c in rows), *sorted(start))
        if facts not in known:
            more = _attack(rows, start, min_cell=min_cell, base=base)
            known[facts] = sorted(more)
        found.iloc[[positions[i] for i in known[facts]]] = True
    return found


def stages_to_hide(
    funnel: pd.DataFrame, hidden: pd.Series, *, min_cell: int, base: int
) -> pd.Series:
    """Find further rows of the funnel that would give hidden losses away.

    Parameters
    ----------
    funnel : DataFrame
        The table of losses, exact.
    hidden : Series of bool
        Rows that are hidden already.
    min_cell, base : int
        Smallest count that is shown, and base of the rounding.

    Returns
    -------
    Series of bool
        The rows to hide, those of `hidden` among them.
    """
    found = hidden.copy()
    for positions in funnel.groupby("stage", sort=False).indices.values():
        rows: list[Row] = []
        for i, (_, row) in enumerate(funnel.iloc[positions].iterrows()):
            entered, lost = float(row["n_entered"]), float(row["n_lost"])
            counts = {"units": entered, "n": entered, "missing": 0.0}
            counts |= {"events": lost, "none": entered - lost}
            rows.append(Row(i, "", str(row["attribute"]), str(row["group"]), counts))
        start = {i for i, flag in enumerate(hidden.iloc[positions]) if flag}
        more = _attack(rows, start, min_cell=min_cell, base=base)
        found.iloc[[positions[i] for i in more]] = True
    return found


def _counts_of_groups(part: pd.DataFrame) -> list[Row]:
    """Exact counts of the groups of one outcome, or of all outcomes of one classifier."""
    rows: list[Row] = []
    for i, row in enumerate(part.to_dict("records")):
        n = float(row["n"])
        units = float(row["n_units"]) if "n_units" in row else n
        counts = {"units": units, "n": n, "missing": units - n}
        if row.get("kind") == "binary":
            mean = float(row["mean"])
            # A group without values has no mean, and no events either.
            events = round(n * mean) if np.isfinite(mean) else (np.nan if n else 0.0)
            counts |= {"events": float(events), "none": n - events}
        outcome, attribute, group = (str(row[c]) for c in ("outcome", "attribute", "group"))
        rows.append(Row(i, outcome, attribute, group, counts))
    return rows


def _attack(rows: list[Row], start: set[int], *, min_cell: int, base: int) -> set[int]:
    """Hide rows of one outcome until no small count can be worked out.

    Where the totals alone give one away, all rows of its attribute are hidden, those of 0 too; and
    all rows of an intersection of which it is not known what its groups are made of.
    """
    small = _small_counts(rows, min_cell)
    if not small:
        return set(start)
    unclear = {attribute for attribute, parts in _divided(rows).items() if parts is None}
    start = start | {row.place for row in rows if row.attribute in unclear}

    def build(hidden: set[int]) -> Release:
        return _release(rows, start | hidden, min_cell=min_cell, base=base)

    def listed(hidden: set[int]) -> Sequence[tuple[Count, Sequence[int]]]:
        return [(key, [r for r in _open_rows(rows, key) if r not in start]) for key in small]

    hidden, given = hide_until_safe(build, listed, minimum=min_cell)
    refused = {key[2] for key in given}
    whole = {row.place for row in rows if row.attribute in refused}
    return start | whole | hidden


def _small_counts(rows: list[Row], min_cell: int) -> list[Count]:
    return [
        (what, row.outcome, row.attribute, row.group)
        for row in rows
        for what, n in row.counts.items()
        if what != "units" and (0 < n < min_cell or n != n)
    ]


def _open_rows(rows: list[Row], count: Count) -> list[int]:
    """Rows that may be hidden to protect a count: of the same attribute first, small ones first."""
    ranked = sorted(
        rows, key=lambda r: (r.attribute != count[2], r.outcome != count[1], r.counts["n"])
    )
    return [row.place for row in ranked if row.counts["n"] > 0]


def _release(rows: list[Row], hidden: set[int], *, min_cell: int, base: int) -> Release:
    """Return what is published of one outcome, or of all outcomes of one classifier.

    Of a hidden row this is that its group is small, where it is; and the rounded size of a group of
    one attribute, which the cohort's table shows. That table is protected on its own: sizes of
    intersections in it are not counted here.
    """
    release = Release()
    for row in rows:
        at = (row.outcome, row.attribute, row.group)
        for what, n in row.counts.items():
            of_cohort = what == "units" and TIMES not in row.attribute
            said_small = what in ("units", "n") and 0 < n < min_cell
            is_open = row.place in hidden and not (of_cohort or said_small)
            release.publish((what, *at), _known(n, is_open, min_cell, base))
        release.add_sum(("units", *at), [("n", *at), ("missing", *at)])
        if "events" in row.counts:
            release.add_sum(("n", *at), [("events", *at), ("none", *at)])
    for outcome in dict.fromkeys(row.outcome for row in rows):
        part = [row for row in rows if row.outcome == outcome]
        attributes = list(dict.fromkeys(row.attribute for row in part))
        for what in part[0].counts:
            total = _total(part, attributes, what)
            release.publish((what, outcome), _known(total, False, min_cell, base))
            for attribute in attributes:
                groups = [row.group for row in part if row.attribute == attribute]
                release.add_sum((what, outcome), [(what, outcome, attribute, g) for g in groups])
        _add_margins(release, part, list(part[0].counts))
    _add_links(release, rows, links_of(row.outcome for row in rows))
    return release


def _total(rows: list[Row], attributes: Sequence[str], what: str) -> float:
    """Sum over the groups of the first attribute of which all are known; NaN if there is none."""
    sums = [sum(r.counts[what] for r in rows if r.attribute == name) for name in attributes]
    return next((n for n in sums if n == n), np.nan)


def _known(n: float, is_open: bool, min_cell: int, base: int) -> tuple[float, float]:
    """Range that the publication gives a count."""
    if n != n or is_open:
        return 0.0, np.inf
    return shown_range(n, minimum=min_cell, base=base)


def _add_margins(release: Release, rows: list[Row], kinds: Sequence[str]) -> None:
    """Add that the groups of an intersection add up to those of its attributes.

    Intersections of which this is not known are hidden (`_attack`).
    """
    outcome = rows[0].outcome
    single = {(row.attribute, row.group) for row in rows}
    for crossed, divided in _divided(rows).items():
        for place, attribute in enumerate(crossed.split(TIMES)):
            inside: dict[str, list[str]] = {}
            for group, parts in (divided or {}).items():
                inside.setdefault(parts[place], []).append(group)
            for margin, groups in inside.items():
                if (attribute, margin) not in single:
                    continue
                for what in kinds:
                    terms: list[Hashable] = [(what, outcome, crossed, g) for g in groups]
                    release.add_sum((what, outcome, attribute, margin), terms)


def _divided(rows: list[Row]) -> dict[str, dict[str, tuple[str, ...]] | None]:
    """Return what the groups of intersections of known attributes are made of; None if unclear."""
    groups: dict[str, dict[str, None]] = {}
    for row in rows:
        groups.setdefault(row.attribute, {})[row.group] = None
    singles = {name: frozenset(own) for name, own in groups.items() if TIMES not in name}
    found: dict[str, dict[str, tuple[str, ...]] | None] = {}
    for crossed in (name for name in groups if TIMES in name):
        known = known_groups(crossed, singles)
        if not any(known):  # no margin is published
            continue
        parts = {group: crossed_parts(group, known) for group in groups[crossed]}
        clear = {group: own for group, own in parts.items() if own is not None}
        found[crossed] = clear if len(clear) == len(parts) else None
    return found


def _add_links(release: Release, rows: list[Row], links: Sequence[Link]) -> None:
    """Add, in every group, the sums that hold between counts of different outcomes."""
    there = {(what, row.outcome, row.attribute, row.group) for row in rows for what in row.counts}
    for attribute, group in dict.fromkeys((row.attribute, row.group) for row in rows):
        for (what, outcome), parts in links:
            whole = (what, outcome, attribute, group)
            terms = [(kind, name, attribute, group) for kind, name in parts]
            if whole in there and there.issuperset(terms):
                release.add_sum(whole, terms)
