"""``popscan audit``: associations, audit and report of a table that no pipeline made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from popscan.config import TableConfig
from popscan.pipeline import dictionary
from popscan.pipeline.audit_inputs import AuditInputs
from popscan.pipeline.audit_report import share_tables, with_audit, with_whole_audit
from popscan.pipeline.cohort import cohort_attributes
from popscan.pipeline.fairness import audit_tables, write_audit
from popscan.pipeline.tables import write_table
from popscan.records import PopscanError
from popscan.report.context import StudyContext

#: Sections of the report that a table can fill.
_SECTIONS = ("cohort", "biomarkers", "fairness", "limits")
#: Stage that the outcomes of a table are told to come from.
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
    people, notes = read_people(path, config)
    attributes, blanked = cohort_attributes(
        people,
        limits=config.cohort.plausible,
        codings=config.fairness.codings,
        age_bands_years=config.fairness.age_bands_years,
    )
    notes += blanked
    wanted = list(config.table.outcomes)
    absent = [name for name in wanted if name not in attributes]
    if absent or not wanted:
        raise PopscanError(
            f"{path}: table.outcomes: {', '.join(absent) or 'none given'}; "
            f"the table has {', '.join(map(str, attributes.columns))}"
        )
    numbers = attributes[wanted].apply(pd.to_numeric, errors="coerce")
    inputs = AuditInputs(
        outcomes=_long(numbers, config), attributes=attributes, ledger=pd.DataFrame(), stages=(),
        measured=pd.DataFrame(), reference=pd.DataFrame(), steps={}, qc=pd.DataFrame(),
    )  # fmt: skip
    tables, more = audit_tables(inputs, config.fairness, seed=config.study.seed)
    write_table(out, "participants", attributes.reset_index(), dictionary.of("participants"))
    write_audit(out, tables, [*notes, *more], alpha=config.fairness.alpha)
    associations = _associate(out, attributes, numbers, config)
    context = StudyContext(
        name=config.study.name,
        description=config.table.description,
        participants=attributes.drop(columns=wanted).reset_index(),
        biomarkers=numbers.rename_axis("unit").reset_index(),
        associations=associations,
        limits=[*notes, "Outcomes are those of the table; no image was seen."],
    )
    return _render(context, out, config), notes


def read_people(path: Path, config: TableConfig) -> tuple[pd.DataFrame, list[str]]:
    """Read the table with the reader of cohort tables: one row per unit, numbers as numbers.

    Returns
    -------
    people : DataFrame
        With ``unit``, ``sub`` and, where there are visits, ``ses``.
    notes : list of str
        How many values or rows were left out, by column, with what they were.
    """
    from popscan.io.tables import read_participants

    table, problems = read_participants(path, sex_codes=config.cohort.sex_codes)
    if table.empty:
        raise PopscanError(str(problems[0]) if problems else f"{path}: no rows")
    own = {name.lower(): new for name, new in config.table.rename.items()}
    people = table.rename(columns={"participant_id": "sub", "session_id": "ses", **own})
    people["unit"] = people["sub"]
    if "ses" in people:
        people["unit"] += ("_" + people["ses"]).where(people["ses"] != "", "")
    for column in people.columns.difference(["unit", "sub", "ses", "sex"]):
        text = people[column].mask(people[column] == "")
        values = pd.to_numeric(text, errors="coerce")
        people[column] = values if values.notna().sum() == text.notna().sum() else text
    return people, _told(problems)


def _told(problems: Sequence[Any]) -> list[str]:
    """One sentence per column with problems: how many, what was found, what was expected."""
    said = []
    for column in dict.fromkeys(problem.column for problem in problems):
        of = [problem for problem in problems if problem.column == column]
        found = Counter(problem.found.strip("'") for problem in of).most_common(5)
        listed = ", ".join(f"{what} ({n} times)" if n > 1 else what for what, n in found)
        more = ", ..." if len({problem.found for problem in of}) > 5 else ""
        said.append(
            f"{column or 'table'}: {len(of)} value{'s' if len(of) > 1 else ''} left out: "
            f"{listed}{more}; expected {of[0].expected}."
        )
    return said


def _long(numbers: pd.DataFrame, config: TableConfig) -> pd.DataFrame:
    """Outcomes as the audit takes them."""
    parts = [
        pd.DataFrame(
            {"unit": numbers.index, "stage": _STAGE, "outcome": name,
             "value": numbers[name].to_numpy(dtype=float), "better_is": better_is}
        )
        for name, better_is in config.table.outcomes.items()
    ]  # fmt: skip
    found = pd.concat(parts, ignore_index=True)
    zero_one = found.groupby("outcome")["value"].transform(lambda v: v.dropna().isin([0, 1]).all())
    return found.assign(kind=zero_one.map({True: "binary", False: "continuous"}))


def _associate(
    out: Path, attributes: pd.DataFrame, numbers: pd.DataFrame, config: TableConfig
) -> pd.DataFrame:
    """Write associations and reference ranges; return the associations."""
    from popscan.associate.models import associate
    from popscan.associate.ranges import reference_ranges

    section = config.associate
    table = attributes.assign(**{str(name): numbers[name] for name in numbers}).reset_index()
    outcomes = [name for name in section.outcomes if name in table] or list(map(str, numbers))
    found = associate(table, outcomes=outcomes, terms=section.terms, min_n=section.min_n)
    write_table(out, "associations", found, dictionary.of("associations"))
    by = ["sex"] if "sex" in table else []
    ranges = reference_ranges(table, outcomes=outcomes, by=by, seed=config.study.seed)
    write_table(out, "reference_ranges", ranges, dictionary.of("reference_ranges"))
    return found


def _render(context: StudyContext, out: Path, config: TableConfig) -> Path:
    """Write the report and the shared one."""
    from popscan.report import render_study

    alpha, min_cell = config.fairness.alpha, config.report.min_cell
    whole = with_whole_audit(context, out, alpha=alpha)
    index = render_study(whole, out / "report", only=_SECTIONS)
    shared = with_audit(context, share_tables(out, min_cell=min_cell), alpha=alpha)
    render_study(shared, out / "share", share=True, min_cell=min_cell, only=_SECTIONS)
    return index
