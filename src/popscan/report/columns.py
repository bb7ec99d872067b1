"""Which columns of the cohort table may be shown in a shared report."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from popscan.report.tidy import numbers, words

#: Shared without being listed, beside the attributes of the audit.
DEFAULT_COLUMNS = ("age_band", "sex", "scanner", "site")
#: Identifiers, dates and free text need at least so many distinct values.
_MIN_LEVELS = 5
#: More distinct values than these are not categories; fewer subjects cannot show it.
_MOST_LEVELS = 30
_PERSONAL = re.compile(
    r"uid|uuid|guid|eid|mrn|nhs|ssn|pid|accession|identifier|name|surname|forename|initials|"
    r"operator|observer|reader|radiographer|technician|technologist|physician|doctor|nurse|"
    r"annotator|reviewer|contact|email|mail|phone|telephone|address|street|postcode|postal|"
    r"zip|zipcode|plz|latitude|longitude|lat|lon"
)
#: Words of names that call for care where the column has many values: site_id is a category.
_NUMBERED = re.compile(r"id|ids|no|nr|number|by|record|subject|participant|patient|case|key|code")
_DATED = re.compile(r"date|datetime|time|timestamp|dob|birthday|birth|birthdate|born|day|month")
_WORDED = re.compile(
    r"comment|comments|note|notes|remark|remarks|text|freetext|description|indication|findings|"
    r"history|message|report|path|file|filename|folder|url"
)
#: Parts of names that take these words for something else: wall time, repetition time.
_MEASURED = re.compile(r"ms|s|years|min|hz|n|count|pct|band|group|class|type")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATES = re.compile(
    r"(?:(?:18|19|20|21)\d\d[-/. ]?(?:0?[1-9]|1[0-2])(?:[-/. ]?(?:0?[1-9]|[12]\d|3[01]))"
    r"|(?:0?[1-9]|[12]\d|3[01])[-/. ](?:0?[1-9]|[12]\d|3[01])[-/. ](?:(?:18|19|20|21)\d\d|\d\d)"
    r"|(?:18|19|20|21)\d\d[-/](?:0?[1-9]|1[0-2])|(?:0?[1-9]|1[0-2])[-/](?:19|20)\d\d"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?[-/. ]{_MONTH}[-/., ]*(?:\d\d)?\d\d"
    rf"|{_MONTH}[-/. ]+(?:\d{{1,2}}(?:st|nd|rd|th)?,?[-/. ]+)?(?:\d\d)?\d\d)"
    r"(?:[t ,_]+\d{1,2}[:.h]?\d\d.*)?",
    re.IGNORECASE,
)
_IDENTIFIERS = re.compile(
    r"sub-\S+|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[^@\s]+@[^@\s]+\.\w+|\+?\d[\d ()/-]{6,}\d"
    r"|(?:\d+\.){4,}\d+|[A-Za-z]{0,4}[-_ ]?\d{5,}|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|\d{4} ?[A-Z]{2}"
    r"|[0-9a-f]{16,}|[A-Z][a-z]+, ?[A-Z](?:[a-z]*|\.)"
    r"|(?:dr|prof|mr|mrs|ms|miss)\.? [A-Z].*",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class SharedColumns:
    """What of the cohort table may leave.

    Attributes
    ----------
    columns
        Columns that may be shown.
    refused
        Column that was asked for -> why it is not shown.
    """

    columns: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)

    def allows(self, attribute: str) -> bool:
        """Say whether an attribute, or every part of an intersection, may be shown."""
        return all(part.strip() in self.columns for part in attribute.split(" x "))

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a table of the audit whose attribute may be shown."""
        if "attribute" not in table or not len(table):
            return table
        shown = table[[self.allows(str(name)) for name in table["attribute"]]].copy()
        if {"confounder", "apart"} <= set(shown.columns):  # "female: none at SITE"
            allowed = shown["confounder"].map(lambda name: self.allows(str(name)))
            shown["apart"] = shown["apart"].where(allowed.astype(bool), "")
        return shown

    def notes(self) -> list[str]:
        """Return one sentence per column that was refused."""
        return [
            f"{name} is not shared: {why}. List it in share.columns and in "
            "share.columns_confirmed if it may leave nevertheless."
            for name, why in self.refused.items()
        ]


def personal(name: str, values: pd.Series) -> str:
    """Say why a column looks as if it pointed to single subjects; empty if it does not.

    Parameters
    ----------
    name
        Of the column.
    values
        As recorded.

    Returns
    -------
    str
        ``it holds dates``, ``it holds identifiers or names`` or ``it holds free text``.
    """
    by_name = _named(name)
    if by_name:
        return by_name
    text = words(values)
    known = text[text != ""].str.removesuffix(".0")
    levels = known.drop_duplicates()
    if not len(levels):
        return ""
    many = len(levels) > max(2 * _MIN_LEVELS, 0.3 * len(known))
    if many and any(_NUMBERED.fullmatch(part) for part in _parts(name)):
        return "it holds identifiers or names"
    if _share(levels, _DATES) >= 0.5:
        return "it holds dates"
    if _share(levels, _IDENTIFIERS) >= 0.5:
        return "it holds identifiers or names"
    if (levels.str.len() > 60).any() or (levels.str.count(r"\s+") >= 4).any():
        return "it holds free text"
    numeric = numbers(levels)
    if numeric.notna().mean() < 0.8 or (numeric.dropna() % 1 == 0).all():
        text_levels = len(levels) > _MOST_LEVELS and numeric.notna().mean() < 0.8
        unique = len(known) >= 2 * _MIN_LEVELS and len(levels) > 0.8 * len(known)
        whole_years = numeric.notna().all() and numeric.max() < 1000
        if text_levels or (unique and not whole_years):
            return "it holds identifiers or names"
    return ""


def _named(name: str) -> str:
    """Say why the name of a column calls for care."""
    parts = _parts(name)
    if parts and _MEASURED.fullmatch(parts[-1]):
        return ""
    for pattern, why in (
        (_DATED, "it holds dates"),
        (_WORDED, "it holds free text"),
        (_PERSONAL, "it holds identifiers or names"),
    ):
        if any(pattern.fullmatch(part) for part in parts):
            return why
    return ""


def _parts(name: str) -> list[str]:
    """Split ``ScanDate`` and ``scan_date`` into lower-case words."""
    separated = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [part for part in re.split(r"[^a-z0-9]+", separated.lower()) if part]


def _share(levels: pd.Series, pattern: re.Pattern[str]) -> float:
    return float(levels.str.strip().map(lambda text: bool(pattern.fullmatch(text))).mean())


def shared_columns(
    participants: pd.DataFrame,
    *,
    columns: Sequence[str] | None = None,
    attributes: Iterable[str] = (),
    confirmed: Collection[str] = (),
) -> SharedColumns:
    """Choose the columns of the cohort table that may be shown in a shared report.

    Parameters
    ----------
    participants
        The cohort table.
    columns
        Columns that may be shown; by default `attributes` and `DEFAULT_COLUMNS`.
    attributes
        Attributes of the audit; the parts of intersections count.
    confirmed
        Columns that are shown although they look like dates, identifiers or free text, where
        `columns` lists them too.

    Returns
    -------
    SharedColumns
        Identifiers of subjects and hidden truth are never among them.
    """
    audited = [part.strip() for name in attributes for part in name.split(" x ")]
    wanted = [*audited, *DEFAULT_COLUMNS] if columns is None else list(columns)
    listed = set(columns or ())
    chosen: list[str] = []
    refused: dict[str, str] = {}
    for name in dict.fromkeys(wanted):
        if name.lower() in _SUBJECTS or name.startswith("truth_"):
            refused[name] = "it names subjects or holds hidden truth"
            continue
        why = personal(name, participants[name]) if name in participants else _named(name)
        if why and not (name in confirmed and name in listed):
            refused[name] = why
        else:
            chosen.append(name)
    return SharedColumns(columns=tuple(chosen), refused=refused)


_SUBJECTS = {"unit", "participant_id", "session_id", "sub", "ses", "subject"}
