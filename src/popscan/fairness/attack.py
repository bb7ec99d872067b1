"""Which rows of the audit's tables must stay, so that no small count can be worked out."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import pandas as pd

from popscan.stats.disclosure import Release, hide_until_safe, shown_range

#: Between the groups of an intersection.
_AND, _TIMES = " & ", " x "
Rows = list[tuple[int, str, str, dict[str, float]]]


def rows_to_hide(groups: pd.DataFrame, hidden: pd.Series, *, min_cell: int, base: int) -> pd.Series:
    """Find further rows of the table of groups that would give hidden counts away.

    Every outcome is attacked with what is published of it: sizes of groups, subjects with a value,
    events and non-events of yes/no outcomes, all rounded; their totals over the study, rounded;
    margins of intersections; and that the groups of every attribute add up to the same totals.

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
    sets = groups.groupby(["stage", "outcome"], sort=False).indices.values()
    for positions in sets:
        part = groups.iloc[positions]
        rows = _counts_of_groups(part)
        start = {i for i, flag in enumerate(hidden.iloc[positions]) if flag}
        facts = (*((a, g, *c.values()) for _, a, g, c in rows), *sorted(start))
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
        rows: Rows = []
        for i, (_, row) in enumerate(funnel.iloc[positions].iterrows()):
            entered, lost = float(row["n_entered"]), float(row["n_lost"])
            counts = {"units": entered, "n": entered, "missing": 0.0}
            counts |= {"events": lost, "none": entered - lost}
            rows.append((i, str(row["attribute"]), str(row["group"]), counts))
        start = {i for i, flag in enumerate(hidden.iloc[positions]) if flag}
        more = _attack(rows, start, min_cell=min_cell, base=base)
        found.iloc[[positions[i] for i in more]] = True
    return found


def _counts_of_groups(part: pd.DataFrame) -> Rows:
    """Position, attribute, group and exact counts of the groups of one outcome."""
    rows: Rows = []
    binary = bool((part["kind"] == "binary").any()) if "kind" in part else False
    for i, row in enumerate(part.to_dict("records")):
        n = float(row["n"])
        units = float(row["n_units"]) if "n_units" in row else n
        counts = {"units": units, "n": n, "missing": units - n}
        if binary:
            mean = float(row["mean"])
            # A group without values has no mean, and no events either.
            events = round(n * mean) if np.isfinite(mean) else (np.nan if n else 0.0)
            counts |= {"events": float(events), "none": n - events}
        rows.append((i, str(row["attribute"]), str(row["group"]), counts))
    return rows


def _attack(rows: Rows, start: set[int], *, min_cell: int, base: int) -> set[int]:
    """Hide rows of one outcome until no small count can be worked out.

    Where the totals alone give one away, all rows of its attribute are hidden, those of 0 too.
    """
    small = _small_counts(rows, min_cell)
    if not small:
        return set(start)

    def build(hidden: set[int]) -> Release:
        return _release(rows, start | hidden, min_cell=min_cell, base=base)

    def listed(hidden: set[int]) -> Sequence[tuple[tuple[str, str, str], Sequence[int]]]:
        return [(key, [r for r in _open_rows(rows, key[1]) if r not in start]) for key in small]

    hidden, given = hide_until_safe(build, listed, minimum=min_cell)
    refused = {key[1] for key in given}
    whole = {i for i, attribute, _, _ in rows if attribute in refused}
    return start | whole | hidden


def _small_counts(rows: Rows, min_cell: int) -> list[tuple[str, str, str]]:
    return [
        (what, attribute, group)
        for _, attribute, group, counts in rows
        for what, n in counts.items()
        if what != "units" and (0 < n < min_cell or n != n)
    ]


def _open_rows(rows: Rows, attribute: str) -> list[int]:
    """Rows that may be hidden to protect a count: of the same attribute first, small ones first."""
    ranked = sorted(rows, key=lambda row: (row[1] != attribute, row[3]["n"]))
    return [i for i, _, _, counts in ranked if counts["n"] > 0]


def _release(rows: Rows, hidden: set[int], *, min_cell: int, base: int) -> Release:
    """Return what is published of one outcome.

    Of a hidden row this is that its group is small, where it is; and the rounded size of a group of
    one attribute, which the cohort's table shows. That table is protected on its own: sizes of
    intersections in it are not counted here.
    """
    release = Release()
    kinds = list(rows[0][3])
    for i, attribute, group, counts in rows:
        for what, n in counts.items():
            of_cohort = what == "units" and _TIMES not in attribute
            said_small = what in ("units", "n") and 0 < n < min_cell
            is_open = i in hidden and not (of_cohort or said_small)
            release.publish((what, attribute, group), _known(n, is_open, min_cell, base))
        release.add_sum(("units", attribute, group), _keys(("n", "missing"), attribute, group))
        if "events" in counts:
            release.add_sum(("n", attribute, group), _keys(("events", "none"), attribute, group))
    attributes = list(dict.fromkeys(a for _, a, _, _ in rows))
    for what in kinds:
        total = _total(rows, attributes, what)
        release.publish((what,), _known(total, False, min_cell, base))
        for attribute in attributes:
            parts = [(what, a, g) for _, a, g, _ in rows if a == attribute]
            release.add_sum((what,), parts)
    _add_margins(release, rows, kinds)
    return release


def _total(rows: Rows, attributes: Sequence[str], what: str) -> float:
    """Sum over the groups of the first attribute of which all are known; NaN if there is none."""
    sums = [sum(c[what] for _, a, _, c in rows if a == attribute) for attribute in attributes]
    return next((n for n in sums if n == n), np.nan)


def _keys(kinds: Iterable[str], attribute: str, group: str) -> list[Hashable]:
    return [(what, attribute, group) for what in kinds]


def _known(n: float, is_open: bool, min_cell: int, base: int) -> tuple[float, float]:
    """Range that the publication gives a count."""
    if n != n or is_open:
        return 0.0, np.inf
    return shown_range(n, minimum=min_cell, base=base)


def _add_margins(release: Release, rows: Rows, kinds: Sequence[str]) -> None:
    """Add that the groups of an intersection add up to those of its attributes."""
    single = {(a, g) for _, a, g, _ in rows}
    for crossed in dict.fromkeys(a for _, a, _, _ in rows if _TIMES in a):
        groups = [g for _, a, g, _ in rows if a == crossed]
        for place, attribute in enumerate(crossed.split(_TIMES)):
            for margin in dict.fromkeys(g.split(_AND)[place] for g in groups):
                if (attribute, margin) not in single:
                    continue
                inside = [g for g in groups if g.split(_AND)[place] == margin]
                for what in kinds:
                    parts: list[Hashable] = [(what, crossed, g) for g in inside]
                    release.add_sum((what, attribute, margin), parts)
