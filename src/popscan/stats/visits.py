"""Visits of one subject: their order, and what their names leave open."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

#: How a visit without a session is named.
_NO_SESSION = "no session"
#: 5-1-2020, 05.01.20, and 05012020, the only way in which BIDS lets a date begin with its day.
_DAY_FIRST = re.compile(
    r"(^|[^0-9])([0-9]{1,2}([-_.+])[0-9]{1,2}\3[0-9]{2,4}"
    r"|(0[1-9]|[12][0-9]|3[01])(0[1-9]|1[0-2])(19|20)[0-9]{2})$"
)

#: A name that is, or holds, a date.
_DATE = re.compile(r"[0-9]{6,}|[0-9]{1,4}([-_.+])[0-9]{1,2}\1[0-9]{1,4}")
#: Visits that a note names.
_NAMED = 5


def in_order(table: pd.DataFrame, *, order: Sequence[str] = ()) -> pd.DataFrame:
    """Return the visits of subjects that have several, by subject and in order of visits.

    Parameters
    ----------
    table
        One row per visit, with ``sub`` and ``ses``.
    order
        Visits in their order (``ses-pre``, ``ses-post``). By default their names decide, in which
        numbers count as numbers: ``ses-2`` is before ``ses-10``.
    """
    ranks = _order(table["ses"], order) if "ses" in table else pd.Series(0, index=table.index)
    visits = table.assign(_order=ranks).sort_values(["sub", "_order"], kind="stable")
    return visits[visits["sub"].duplicated(keep=False)].drop(columns="_order")


def order_note(visits: pd.DataFrame, *, order: Sequence[str] = ()) -> str:
    """Say the order of visits where their names leave it open: the sign of a bias hangs on it.

    Names that are equal but for their numbers order themselves (``ses-2``, ``ses-10``); those with
    different words (``1week``, ``1month``), and dates that begin with the day, do not. Of dates
    their form alone is named, since notes are shared.
    """
    if "ses" not in visits or order:
        return ""
    sessions = named_sessions(visits["ses"])
    names = [name.casefold() for name in sessions.unique()]
    forms = {re.sub(r"[0-9]+", "#", name) for name in names}
    dates = any(_DAY_FIRST.search(name) for name in names)
    if len(forms) <= 1 and not dates and all("#" in form for form in forms):
        return ""
    ordered = sessions[_order(visits["ses"], order).sort_values(kind="stable").index].unique()
    listed = list(dict.fromkeys(map(undated, ordered)))
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return f"visits in the order of their names: {', '.join(listed[:_NAMED])}{more}"


def named_sessions(sessions: pd.Series) -> pd.Series:
    """Return the sessions' names, with one for none."""
    return sessions.astype(object).fillna("").astype(str).replace("", _NO_SESSION)


def undated(name: str) -> str:
    """Return a session's name, with # for every digit of a date."""
    return _DATE.sub(lambda found: re.sub("[0-9]", "#", found.group()), name)


def _order(sessions: pd.Series, order: Sequence[str]) -> pd.Series:
    """Rank of sessions: those of `order` first."""
    words = sessions.map(lambda name: "" if pd.isna(name) else str(name))
    keys = {
        word: [
            (int(part), "") if part.isdecimal() else (-1, part)
            for part in re.split(r"(\d+)", word.casefold())
        ]
        for word in words.unique()
    }
    ranks = {word: rank for rank, word in enumerate(sorted(keys, key=lambda word: keys[word]))}
    ranks |= {word: place - len(order) for place, word in enumerate(order)}
    return words.map(ranks)
