"""Roles of attributes: whom an audit protects, and what only describes how images were made."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

PROTECTED, TECHNICAL = "protected", "technical"
#: Words of a column's name that make it technical.
_TECHNICAL = frozenset(
    {
        "site", "centre", "center", "hospital", "scanner", "manufacturer", "vendor", "model",
        "device", "machine", "field", "strength", "tesla", "protocol", "sequence", "coil",
        "software", "station", "batch", "acquisition", "reconstruction",
    }
)  # fmt: skip


def role_of(attribute: str, roles: Mapping[str, str] | None = None) -> str:
    """Return the role of an attribute or intersection.

    Parameters
    ----------
    attribute : str
        E.g. ``sex``, ``scanner`` or ``sex x site``.
    roles : mapping, optional
        Column -> ``protected`` or ``technical``; others are classified by their name.

    Returns
    -------
    str
        Technical if any part is: its groups are as many as those of the site.

    Examples
    --------
    >>> role_of("sex x race"), role_of("field_strength_t"), role_of("sex x site")
    ('protected', 'technical', 'technical')
    """
    given = roles or {}
    found = [given.get(part) or _by_name(part) for part in attribute.split(" x ")]
    return TECHNICAL if TECHNICAL in found else PROTECTED


def _by_name(column: str) -> str:
    return TECHNICAL if _TECHNICAL & set(column.lower().split("_")) else PROTECTED


def families(
    table: pd.DataFrame, by: str, roles: Mapping[str, str] | None = None, *more: str
) -> pd.Series:
    """Return the family of each row over which p values are corrected.

    Parameters
    ----------
    table : DataFrame
        With ``attribute`` and whatever `by` and `more` need.
    by : str
        ``role``: protected and technical attributes apart; ``all``: one family.
    roles : mapping, optional
        As in `role_of`.
    *more : str
        Further columns that part families.
    """
    parts = [table[name].astype(str) for name in more]
    if by == "role":
        parts.insert(0, table["attribute"].astype(str).map(lambda name: role_of(name, roles)))
    if not parts:
        return pd.Series("all", index=table.index, dtype=object)
    return pd.concat(parts, axis=1).agg(" / ".join, axis=1)
