"""Verdicts that a person overrides, with a reason and a name."""

from __future__ import annotations

import csv
from collections.abc import Iterable

import pandas as pd

from popscan.qc.model import Verdict
from popscan.records import PopscanError

#: Problems that a message lists, and characters of a cell that it repeats.
MAX_PROBLEMS, MAX_CELL = 10, 60
#: Verdicts that a person may give.
ALLOWED = (Verdict.PASS, Verdict.REVIEW, Verdict.FAIL)
#: Columns of the table of overrides besides the subject's; `date` is optional.
REQUIRED = ("verdict", "reason", "name")
_KEYS = ("unit", "participant_id")
_COLUMNS = ("unit", *REQUIRED, "date")


def _tidy(overrides: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Bring a table of overrides to the columns unit, verdict, reason, name, date, as text."""
    table = overrides.rename(columns=lambda column: str(column).strip().lower())
    problems = [f"column {name!r} is missing" for name in REQUIRED if name not in table]
    key = next((name for name in _KEYS if name in table), None)
    if key is None:
        problems.append("a column 'participant_id' or 'unit' is missing")
    known = {*_KEYS, "session_id", *REQUIRED, "date"}
    problems += [f"unknown column {str(name)[:MAX_CELL]!r}" for name in table if name not in known]
    repeated = sorted(set(table.columns[table.columns.duplicated()]))
    problems += [f"column {name!r} stands twice" for name in repeated]
    if problems:
        return pd.DataFrame(columns=list(_COLUMNS)), problems
    text = table.fillna("").astype(str).apply(lambda column: column.str.strip())
    unit = text[key]
    if key == "participant_id" and "session_id" in text:
        session = text["session_id"]
        unit = unit.where(session == "", unit + "_" + session)
    tidy = pd.DataFrame({"unit": unit, **{name: text[name] for name in REQUIRED}})
    tidy["date"] = text.get("date", "")
    tidy["verdict"] = tidy["verdict"].str.lower()
    return tidy.reset_index(drop=True), []


def tidy_overrides(overrides: pd.DataFrame) -> pd.DataFrame:
    """Return a table of overrides with the columns ``unit, verdict, reason, name, date``, as text.

    Raises
    ------
    PopscanError
        If columns are missing, unknown or there twice.
    """
    tidy, problems = _tidy(overrides)
    if problems:
        raise PopscanError(f"qc overrides: {'; '.join(problems[:MAX_PROBLEMS])}")
    return tidy


def override_problems(overrides: pd.DataFrame, units: Iterable[str]) -> list[str]:
    """List everything that is wrong with a table of overrides; empty when nothing is.

    Parameters
    ----------
    overrides
        Columns ``unit`` or ``participant_id`` (with optional ``session_id``), ``verdict``,
        ``reason``, ``name`` and optionally ``date``.
    units
        The units (``sub-0001`` or ``sub-0001_ses-01``) of the study.
    """
    table, problems = _tidy(overrides)
    known = set(units)
    seen: dict[str, int] = {}
    for line, row in enumerate(table.to_dict("records"), start=2):
        where = f"line {line}"
        unit, given = str(row["unit"])[:MAX_CELL], str(row["verdict"])[:MAX_CELL]
        if unit not in known:
            problems.append(f"{where}: there is no subject {unit!r} in the study")
        elif unit in seen:
            problems.append(f"{where}: {unit} was already overridden in line {seen[unit]}")
        seen.setdefault(unit, line)
        if given not in ALLOWED:
            allowed = ", ".join(ALLOWED)
            problems.append(f"{where}: unknown verdict {given!r}, expected one of {allowed}")
        problems += [f"{where}: {name} is empty" for name in ("reason", "name") if not row[name]]
    return problems


def apply_overrides(verdicts: pd.DataFrame, overrides: pd.DataFrame) -> pd.DataFrame:
    """Put people's verdicts over the automatic ones and keep both.

    Parameters
    ----------
    verdicts
        Columns ``unit`` and ``verdict``: the automatic verdict; further columns are kept.
    overrides
        As for `override_problems`; may have no rows.

    Returns
    -------
    DataFrame
        `verdicts` with ``verdict_auto`` (automatic), ``verdict`` (final), ``override_reason``,
        ``override_by`` and ``override_date`` (empty without an override). Order and number of
        rows do not change, and a table that already had overrides gets the new ones in their
        place.

    Raises
    ------
    PopscanError
        Listing every problem of the overrides at once.
    """
    problems = override_problems(overrides, verdicts["unit"])
    if problems:
        listed = "; ".join(problems[:MAX_PROBLEMS])
        rest = len(problems) - MAX_PROBLEMS
        raise PopscanError(f"qc overrides: {listed}" + (f"; {rest} more" if rest > 0 else ""))
    given = {row["unit"]: row for row in _tidy(overrides)[0].to_dict("records")}
    final = verdicts.copy()
    automatic = "verdict_auto" if "verdict_auto" in final else "verdict"
    final["verdict_auto"] = final[automatic]
    final["verdict"] = [
        given.get(unit, {"verdict": automatic})["verdict"]
        for unit, automatic in zip(final["unit"], final["verdict_auto"], strict=True)
    ]
    for column, source in (
        ("override_reason", "reason"),
        ("override_by", "name"),
        ("override_date", "date"),
    ):
        final[column] = [given.get(unit, {}).get(source, "") for unit in final["unit"]]
    return final


def parse_overrides(text: str) -> pd.DataFrame:
    """Read the text of a TSV of overrides; every cell stays text, an empty file has no rows.

    Raises
    ------
    PopscanError
        If lines have more cells than the header.
    """
    lines = csv.reader(text.lstrip("\ufeff").splitlines(), delimiter="\t")
    try:
        rows = [row for row in lines if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise PopscanError(f"qc overrides: line {lines.line_num}: {error}") from error
    if not rows:
        return pd.DataFrame(columns=["unit", *REQUIRED])
    header = rows[0]
    long = [str(n) for n, row in enumerate(rows, start=1) if len(row) > len(header)]
    if long:
        raise PopscanError(
            f"qc overrides: line {', '.join(long[:MAX_PROBLEMS])} has more cells than the header: "
            "not a tab-separated table?"
        )
    filled = [row + [""] * (len(header) - len(row)) for row in rows[1:]]
    return pd.DataFrame(filled, columns=header, dtype=str)
