"""Units of a study: their names, attributes, verdicts, and the status in which each ended."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TypeVar

import pandas as pd

from popscan.names import subject_of
from popscan.report.context import StudyContext
from popscan.report.tidy import complete, different, words
from popscan.stages import FINAL_STAGE, SUBJECT_STAGES

_Made = TypeVar("_Made", list[str], pd.DataFrame, pd.Series)


def _once_per_study(make: Callable[[StudyContext], _Made]) -> Callable[[StudyContext], _Made]:
    """Keep what was made of the last study: every section asks for it, over the whole ledger.

    A shared report has the same ledger and verdicts as the internal one. Callers get a copy of
    their own. Tables of a context are never changed in place.
    """
    kept: list[tuple[tuple[weakref.ref[pd.DataFrame], ...], tuple[str, ...], _Made]] = []

    @wraps(make)
    def remembered(context: StudyContext) -> _Made:
        tables = [context.ledger, context.qc]
        if not len(context.ledger):
            tables.append(context.participants)
        same = [
            value
            for references, stages, value in kept
            if stages == tuple(context.stages)
            and len(references) == len(tables)
            and all(one() is table for one, table in zip(references, tables, strict=True))
        ]
        if not same:
            same = [make(context)]
            kept[:] = [(tuple(map(weakref.ref, tables)), tuple(context.stages), same[0])]
        return same[0].copy()

    return remembered


def unit_column(table: pd.DataFrame, *, known: Iterable[str] = ()) -> pd.Series:
    """Return the unit of every row of a cohort table.

    A column ``unit`` is taken as it is; otherwise ``participant_id`` (or ``sub``) and
    ``session_id`` (or ``ses``) are joined, with or without their BIDS prefixes, whichever spelling
    matches more of the `known` units.
    """
    if "unit" in table:
        return words(table["unit"])
    sub = next((words(table[c]) for c in ("participant_id", "sub") if c in table), None)
    if sub is None:
        return pd.Series([f"row {i + 1}" for i in range(len(table))], index=table.index, dtype=str)
    ses = next((words(table[c]) for c in ("session_id", "ses") if c in table), None)
    seen = set(known)
    spellings = []
    for prefix in (False, True):
        left = _prefixed(sub, "sub-") if prefix else sub
        spellings.append(left)
        if ses is not None:
            right = _prefixed(ses, "ses-") if prefix else ses
            spellings.insert(-1, left.where(right == "", left + "_" + right))
    return max(spellings, key=lambda units: int(units.isin(seen).sum()))


def _prefixed(values: pd.Series, prefix: str) -> pd.Series:
    return values.where(values.str.startswith(prefix) | (values == ""), prefix + values)


@_once_per_study
def study_units(context: StudyContext) -> list[str]:
    """Return all units of the study: of the ledger, or of the cohort table without a ledger."""
    if "unit" in context.ledger and len(context.ledger):
        return different(words(context.ledger["unit"]))
    if len(context.participants):
        return different(unit_column(context.participants))
    return []


def subjects_of_visits(context: StudyContext) -> int:
    """Return how many subjects the study's visits are of; 0 where each has one."""
    units = study_units(context)
    subjects = len({subject_of(unit) for unit in units})
    return subjects if subjects < len(units) else 0


def counted_as(context: StudyContext) -> str:
    """Return what a study's tables count: visits where a subject has several, else subjects."""
    return "visits" if subjects_of_visits(context) else "subjects"


def in_words(
    units: Iterable[str], count: Callable[[int, str], str], *, who: str = "subject"
) -> str:
    """Say how many visits of how many subjects these are, or how many subjects.

    Parameters
    ----------
    units
        Names of visits, each once or several times.
    count
        Number and word -> text, as `popscan.report.text.plural` has it.
    who
        What one person is called.
    """
    named = set(map(str, units))
    people = count(len(set(map(subject_of, named))), who)
    several = len(set(map(subject_of, named))) < len(named)
    return f"{count(len(named), 'visit')} of {people}" if several else people


def attribute_by_unit(context: StudyContext, column: str, *, missing: str = "unknown") -> pd.Series:
    """Return an attribute of the cohort table, indexed by unit (empty without that column)."""
    table = context.participants
    if column not in table or not len(table):
        return pd.Series(dtype=object)
    units = unit_column(table, known=study_units(context))
    values = words(table[column], missing=missing)
    return pd.Series(values.to_numpy(), index=units.to_numpy()).groupby(level=0).first()


@_once_per_study
def stage_order(context: StudyContext) -> list[str]:
    """Return the per-subject stages that the ledger has records of, in order."""
    if "stage" not in context.ledger:
        return []
    seen = different(words(context.ledger["stage"]))
    listed = [stage for stage in context.stages if stage in seen]
    return listed + [stage for stage in seen if stage not in listed]


@_once_per_study
def status_matrix(context: StudyContext) -> pd.DataFrame:
    """Return the status of every unit (rows) at every stage (columns).

    A unit without a record of a stage has ``no_record`` there, so that every column adds up to the
    number of subjects; of several records the last one counts.
    """
    stages = stage_order(context)
    if not stages:
        return pd.DataFrame()
    ledger = complete(context.ledger, "unit", "stage", "status")
    tidy = pd.DataFrame({c: words(ledger[c]) for c in ("unit", "stage", "status")})
    tidy = tidy.drop_duplicates(["unit", "stage"], keep="last")
    matrix = tidy.pivot(index="unit", columns="stage", values="status")
    return matrix.reindex(index=study_units(context), columns=stages).fillna("no_record")


def deciding_matrix(context: StudyContext) -> pd.DataFrame:
    """Return the status matrix of the stages that decide who is analysed, the last one last.

    Side stages (scores, reverse classification accuracy) and stages of the ledger that the study
    does not list look at what others made: a subject that fails there stays in the results.
    """
    matrix = status_matrix(context)
    side = {name for name, info in SUBJECT_STAGES.items() if info.side}
    main = [stage for stage in matrix if stage in context.stages and stage not in side]
    if FINAL_STAGE in main:
        main = main[: main.index(FINAL_STAGE) + 1]
    return matrix[main or list(matrix)]


@_once_per_study
def final_status(context: StudyContext) -> pd.Series:
    """Return what became of every unit in the end, by unit (empty without a ledger).

    ``ok`` is analysed: through the last stage that decides, and not failed by quality control, a
    manual override counting more than the automatic verdict. Otherwise the status at which the
    unit was lost; a unit without a record of that stage has ``no_record``.
    """
    matrix = deciding_matrix(context)
    if not matrix.size:
        return pd.Series(dtype=object)
    verdict = verdicts(context).groupby(level=0).last().reindex(matrix.index)
    automatic = (matrix == "excluded").any(axis=1)
    excluded = (verdict == "fail").where(verdict.notna(), automatic)
    failed = (matrix == "failed").any(axis=1)
    status = matrix.iloc[:, -1].astype(object)
    passed = verdict.isin(["pass", "review"])
    status = status.mask(status.isin(["skipped", "ok"]) & failed & ~passed, "failed")
    status = status.mask(status == "excluded", "ok")
    return status.mask((status.isin(["ok", "skipped"])) & excluded.astype(bool), "excluded")


@_once_per_study
def verdicts(context: StudyContext) -> pd.Series:
    """Return the final QC verdict by unit: the automatic one unless a person overrode it."""
    table = complete(context.qc, "unit", "verdict", "verdict_auto")
    if not len(table):
        return pd.Series(dtype=object)
    final = words(table["verdict"])
    final = final.where(final != "", words(table["verdict_auto"], missing="unknown"))
    return pd.Series(final.to_numpy(), index=words(table["unit"]).to_numpy())
