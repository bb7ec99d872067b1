"""``popscan audit``: associations, audit and report of a table that no pipeline made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from popscan.cells import RESERVED
from popscan.commands.configfile import ConfigError
from popscan.config import TableConfig
from popscan.fairness.prediction_outcomes import Prediction, prediction_outcomes
from popscan.io.problems import Problem
from popscan.records import PopscanError
from popscan.report.context import StudyContext
from popscan.stages.associate.job import regressions
from popscan.stages.fairness.inputs import AuditInputs
from popscan.stages.fairness.job import write_audit
from popscan.stages.fairness.report import with_whole_audit
from popscan.stages.fairness.tables import audit_tables
from popscan.stages.report.sharing import write_share
from popscan.stats.codes import slope_notes, two_value_notes
from popscan.stats.copies import same_rows_notes
from popscan.study import dictionary
from popscan.study.cohort import cohort_attributes
from popscan.study.columns import table_columns
from popscan.study.predictions import (
    PredictionProblems,
    numeric_columns,
    of_new_subjects,
    read_predictions,
)
from popscan.study.tables import numbers_if_all, write_table

#: Sections of the report that a table can fill.
_SECTIONS = ("cohort", "biomarkers", "fairness", "limits")
#: Stage that the outcomes of a table are taken to come from.
_STAGE = "table"


def audit_table(path: Path, config: TableConfig, out: Path) -> tuple[Path, list[str]]:
    """Regress and audit a table; write tables, report, and what may be shared.

    Parameters
    ----------
    path
        TSV or CSV in UTF-8: ``participant_id``, optional ``session_id``, attributes, outcomes.
    config
        Outcomes, groups, confounders.
    out
        Folder of ``tables/``, ``report/`` and ``share/``; made if it does not exist.

    Returns
    -------
    index : Path
        The report.
    notes : list of str
        Sentences on rows and values that were left out.

    Raises
    ------
    PopscanError
        If the table cannot be read or lacks an outcome.
    """
    people, notes, damaged = read_people(path, config)
    if damaged:
        raise ConfigError([*damaged, *notes])
    attributes, blanked = cohort_attributes(people, fairness=config.fairness, cohort=config.cohort)
    notes += blanked
    wanted = list(config.table.outcomes)
    problems, lacking = table_columns(config, attributes)
    if problems:
        # What was left out of a column may be why it has no values.
        raise ConfigError([*(f"{path}: {problem}" for problem in problems), *notes])
    notes += lacking
    notes += same_rows_notes(attributes.rename_axis("unit").reset_index(), wanted)
    numbers = attributes[wanted].apply(pd.to_numeric, errors="coerce")
    _refuse_empty(path, numbers, notes)
    notes += two_value_notes(numbers, wanted)
    notes += slope_notes(attributes, [*config.associate.terms, *config.fairness.adjust_for])
    try:
        of_new, seen = of_new_subjects(attributes, config.table.predictions)
        predictions = read_predictions(of_new, config.table.predictions)
    except PredictionProblems as error:
        raise ConfigError(error.problems) from error
    notes += seen
    inputs = AuditInputs(
        outcomes=_long(numbers, config, predictions), predictions=tuple(predictions),
        attributes=attributes, ledger=pd.DataFrame(), stages=(), measured=pd.DataFrame(),
        reference=pd.DataFrame(), steps={}, qc=pd.DataFrame(),
    )  # fmt: skip
    tables, more = audit_tables(inputs, config.fairness, seed=config.study.seed)
    participants = attributes.reset_index()
    meanings = dictionary.of("participants", names=map(str, participants))
    write_table(out, "participants", participants, meanings)
    write_audit(out, tables, [*notes, *more], alpha=config.fairness.alpha)
    associations = _associate(out, attributes, numbers, config)
    scores = [p.score for p in config.table.predictions if p.score not in wanted]
    limits = ["Outcomes are those of the table; no image was seen."]
    context = StudyContext(
        name=config.study.name,
        description=config.table.description,
        participants=attributes.drop(columns=[*wanted, *scores]).reset_index(),
        biomarkers=numbers.rename_axis("unit").reset_index(),
        associations=associations,
        limits=[*(f"Cohort: {note}" for note in notes), *limits],
    )
    return _render(context, attributes, out, config), notes


def read_people(path: Path, config: TableConfig) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Read the table with the reader of cohort tables: one row per unit, numbers as numbers.

    Returns
    -------
    people : DataFrame
        With ``unit``, ``sub`` and, where there are visits, ``ses``.
    notes : list of str
        How many values or rows were left out, by column, with what they were.
    damaged : list of str
        Outcomes of which more than half of the cells are no numbers.
    """
    from popscan.io.cohort import read_cohort
    from popscan.io.ukb_table import FieldTable
    from popscan.stats.mixed import alike_notes

    own = dict(config.table.rename)
    old = {new: name for name, new in own.items()}
    wanted = [*config.table.outcomes, *numeric_columns(config.table.predictions)]
    numeric = [old.get(name, name) for name in dict.fromkeys(wanted)]
    table, problems, notes = read_cohort(
        path,
        sex_codes=config.cohort.sex_codes,
        missing_values=config.cohort.missing_values,
        categorical=[old.get(name, name) for name in config.cohort.categorical],
        fields=FieldTable(own=config.cohort.ukb_fields),
        numeric=numeric,
    )
    if table.empty:
        raise PopscanError(str(problems[0]) if problems else f"{path}: no rows")
    _check_rename(path, own, list(map(str, table)))
    people = table.rename(columns={"participant_id": "sub", "session_id": "ses", **own})
    people["unit"] = people["sub"]
    if "ses" in people:
        people["unit"] += ("_" + people["ses"]).where(people["ses"] != "", "")
    for column in people.columns.difference(["unit", "sub", "ses", "sex"]):
        people[column] = numbers_if_all(people[column].mask(people[column] == ""))
    damaged = [
        f"{path}: table: {own.get(problem.column, problem.column)}: {problem.count} cells are no "
        "numbers, more than half"
        for problem in problems
        if problem.column in numeric and problem.count > (table[problem.column] != "").sum()
    ]
    notes = [*notes, *alike_notes(list(dict.fromkeys(people["sub"])))]
    return people, [*notes, *_left_out(problems)], damaged


def _check_rename(path: Path, own: Mapping[str, str], columns: Sequence[str]) -> None:
    """Refuse new names of columns that do not exist, or that another column has."""
    problems = [
        f"{path}: table.rename: {name!r} is no column of the table; it has {', '.join(columns)}"
        for name in own
        if name not in columns
    ]
    names = [own.get(name, name) for name in columns]
    problems += [
        f"{path}: table.rename: {new!r} would be the name of two columns"
        for new in dict.fromkeys(own.values())
        if names.count(new) > 1 or new in RESERVED
    ]
    if problems:
        raise PopscanError("; ".join(problems))


def _refuse_empty(path: Path, numbers: pd.DataFrame, notes: Sequence[str]) -> None:
    """Refuse outcomes without a single number: an audit of nothing is none."""
    empty = [str(name) for name in numbers if not np.isfinite(numbers[name]).any()]
    if empty:
        lines = [f"{path}: table.outcomes: {name} without a single number" for name in empty]
        raise ConfigError([*lines, *notes])


def _left_out(problems: Sequence[Problem]) -> list[str]:
    """One sentence per column with problems: how many, what was found, what was expected."""
    sentences = []
    for column in dict.fromkeys(problem.column for problem in problems):
        of = [problem for problem in problems if problem.column == column]
        found = Counter(_unquoted(problem.found) for problem in of).most_common(5)
        listed = ", ".join(f"{what} ({n} times)" if n > 1 else what for what, n in found)
        more = ", ..." if len({problem.found for problem in of}) > 5 else ""
        count = sum(problem.count for problem in of)
        sentences.append(
            f"{column or 'table'}: {count} value{'s' if count > 1 else ''} left out: "
            f"{listed}{more}; expected {of[0].expected}."
        )
    return sentences


def _unquoted(text: str) -> str:
    """Cell without the quotes of a message that holds nothing else."""
    return text[1:-1] if text.count("'") == 2 and text[0] == text[-1] == "'" else text


def _long(
    numbers: pd.DataFrame, config: TableConfig, predictions: Sequence[Prediction]
) -> pd.DataFrame:
    """Outcomes as the audit takes them."""
    parts = [
        pd.DataFrame(
            {"unit": numbers.index, "stage": _STAGE, "outcome": name,
             "value": numbers[name].to_numpy(dtype=float), "better_is": better_is}
        )
        for name, better_is in config.table.outcomes.items()
    ]  # fmt: skip
    if parts:
        found = pd.concat(parts, ignore_index=True)
        zero_one = found.groupby("outcome")["value"].transform(
            lambda v: v.dropna().isin([0, 1]).all()
        )
        parts = [found.assign(kind=zero_one.map({True: "binary", False: "continuous"}))]
    if predictions:
        parts.append(prediction_outcomes(predictions, numbers.index))
    return pd.concat(parts, ignore_index=True)


def _associate(
    out: Path, attributes: pd.DataFrame, numbers: pd.DataFrame, config: TableConfig
) -> pd.DataFrame:
    """Write associations and reference ranges; return the associations."""
    section = config.associate
    if numbers.empty:
        return pd.DataFrame()
    table = attributes.assign(**{str(name): numbers[name] for name in numbers}).reset_index()
    outcomes = [name for name in section.outcomes if name in table] or list(map(str, numbers))
    found, ranges = regressions(
        table, outcomes=outcomes, terms=section.terms, min_n=section.min_n, seed=config.study.seed
    )
    write_table(out, "associations", found, dictionary.of("associations"))
    write_table(
        out, "reference_ranges", ranges, dictionary.of("reference_ranges", names=map(str, ranges))
    )
    return found


def _render(
    context: StudyContext, attributes: pd.DataFrame, out: Path, config: TableConfig
) -> Path:
    """Write the report and the shared one."""
    from popscan.report import render_study

    whole = with_whole_audit(context, out, alpha=config.fairness.alpha)
    index = render_study(whole, out / "report", only=_SECTIONS)
    write_share(
        out, context, attributes, fairness=config.fairness, report=config.report,
        share=config.share, only=_SECTIONS,
    )  # fmt: skip
    return index
