"""``popscan precision``: how well the measurements of any table with repeated visits repeat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from popscan.associate.precision import precision_table
from popscan.cells import column_name
from popscan.io.cohort import listed, read_cohort
from popscan.io.tables import subject_label
from popscan.records import PopscanError
from popscan.report.context import StudyContext
from popscan.report.sections.common import Options
from popscan.report.sections.extra import sections
from popscan.report.single import write_page
from popscan.stages.associate.precision import section_of
from popscan.stats.codes import blank_codes
from popscan.stats.mixed import mixed_notes
from popscan.stats.visits import in_order, order_note
from popscan.study import dictionary
from popscan.study.tables import numbers_if_all, write_table


def precision_of_table(
    path: Path,
    out: Path,
    *,
    subject: str = "participant_id",
    visit: str = "session_id",
    columns: Sequence[str] = (),
    by: Sequence[str] = (),
    min_group: int = 10,
    order: Sequence[str] = (),
) -> tuple[Path, list[str]]:
    """Write the table ``precision`` and its page.

    Parameters
    ----------
    path
        TSV or CSV in UTF-8, one row per visit.
    out
        Folder of ``tables/`` and ``precision.html``; made if it does not exist.
    subject, visit
        Columns that say whose row it is, and of which visit; visits are taken in the order of the
        numbers in their names.
    columns
        Measurements; by default every column of numbers that is not in `by`.
    by
        Columns of groups; a subject belongs to the group of the first visit.
    min_group
        Smaller groups have counts only.
    order
        Names of the visits in their order, where they hold no numbers: ``pre``, ``post``.

    Returns
    -------
    page : Path
        The page.
    notes : list of str
        Sentences on rows and values that were left out.

    Raises
    ------
    PopscanError
        If the table cannot be read, a column is not there, or no subject has two visits.
    """
    found = read_cohort(
        path,
        required=("session_id",),
        rename={subject: "participant_id", visit: "session_id"},
        categorical=[column_name(name) for name in by],
        numeric=[column_name(name) for name in columns],
    )
    notes = [*listed(found.problems), *found.notes]
    if found.rows.empty:
        unnamed = {"participant_id", "session_id"} & {p.column for p in found.problems}
        hint = ["name the columns by --subject and --visit"] if unnamed else []
        raise PopscanError("; ".join([*notes, *hint]) or f"{path}: no rows")
    table = found.rows.rename(columns={"participant_id": "sub", "session_id": "ses"})
    groups = [column_name(name) for name in by]
    wanted = [column_name(name) for name in columns]
    if absent := [name for name in (*groups, *wanted) if name not in table]:
        raise PopscanError(f"{path}: no column {absent[0]!r}; it has {', '.join(map(str, table))}")
    for name in table.columns.difference(["sub", "ses", *groups]):
        table[name] = numbers_if_all(table[name].mask(table[name] == ""))
    # -9 and 999 among volumes are answers, not volumes.
    table, codes = blank_codes(table, leave=["sub", "ses", *groups])
    notes += [note.partition(";")[0].rstrip(".") for note in codes]
    outcomes = wanted or _numeric(table)
    notes += [note.rstrip(".") for note in mixed_notes(table, columns=outcomes)]
    visits = [subject_label(column_name(name), prefix="ses-") for name in order]
    known = {name.lower(): name for name in table["ses"].unique()}
    if strange := [name for name in visits if name not in known]:
        raise PopscanError(
            f"--order: no visit {strange[0]!r}; there are {', '.join(known.values())}"
        )
    visits = [known[name] for name in visits]
    precision = precision_table(
        table, outcomes=outcomes, by=groups, min_group=min_group, order=visits
    )
    if precision.empty:
        raise PopscanError(
            f"{path}: no subject has two rows with a measurement; precision cannot be estimated"
        )
    if doubt := order_note(in_order(table), order=visits):
        notes.append(f"{doubt}; --order gives another")
    write_table(out, "precision", precision, dictionary.of("precision"))
    context = StudyContext(extras=[section_of(precision, in_order(table, order=visits))])
    page = write_page(
        out / "precision.html",
        name=path.stem,
        kind="precision",
        description=f"{table['sub'].nunique():,} subjects, {len(table):,} visits.",
        sections=sections(context, Options()),
    )
    return page, notes


def _numeric(table: pd.DataFrame) -> list[str]:
    numbers = table.drop(columns=["sub", "ses"]).select_dtypes("number")
    return [str(name) for name in numbers if numbers[name].nunique() > 1]
