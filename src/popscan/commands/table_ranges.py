"""``popscan ranges``: smooth reference centiles by sex and age of any table, or of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from popscan.associate.centile_tables import (
    DICTIONARY,
    LEAST_BEYOND,
    Z_DICTIONARY,
    centile_table,
    groups_of,
    shareable,
    z_scores,
)
from popscan.associate.centiles import CENTILES, Curves, fit_curves
from popscan.associate.published import COMPARED, compare_published
from popscan.cells import column_name
from popscan.columns import Column, text
from popscan.commands.table_harmonised import (
    Between,
    People,
    harmonised_people,
    write_harmonised,
)
from popscan.io.cohort import RANGES, listed, read_cohort
from popscan.names import natural
from popscan.opened import open_study
from popscan.protocol import load
from popscan.protocols import DEFAULT, get_protocol, protocol_of
from popscan.records import PopscanError
from popscan.report.context import Extra, StudyContext
from popscan.report.figures.centiles import centile_panels
from popscan.report.sections.common import Options
from popscan.report.sections.extra import sections
from popscan.report.single import write_page
from popscan.stages.associate.report import harmonised_extra
from popscan.stats.codes import blank_codes
from popscan.stats.copies import same_rows_notes
from popscan.stats.design import clean
from popscan.stats.mixed import mixed_notes
from popscan.stats.plausible import blank_implausible
from popscan.stats.visits import in_order, order_note
from popscan.study.cohort import first_visits
from popscan.study.tables import numbers_if_all, write_table

#: However few a lab looks at itself, nothing of fewer subjects is shared.
_LEAST_SHARED = 10
_PEOPLE: Mapping[str, Column] = {"unit": text("subject"), "participant_id": text("subject")}


def ranges_of_table(
    path: Path,
    out: Path,
    *,
    columns: Sequence[str] = (),
    age: str = "age_years",
    sex: str = "sex",
    min_near: int = 10,
    draws: int = 200,
    step_years: float = 5.0,
    seed: int = 0,
    between: Between | None = None,
) -> tuple[Path, list[str]]:
    """Write ``reference_centiles``, ``z_scores``, ``published_ranges`` and a page.

    Parameters
    ----------
    path
        TSV or CSV, one row per person, or the folder of a study that has run (analysed subjects,
        their first visit).
    out
        Folder of ``tables/``, ``share/tables/`` (centiles alone, counts rounded to 5) and
        ``ranges.html``.
    columns
        Measurements; by default those that the protocol follows, or every column of numbers.
    age, sex
        Columns; without a column of sex all are described together.
    min_near
        Ages with fewer people within 5 years of them have no numbers, anywhere.
    draws
        For intervals; 0 for none.
    step_years
        Step of the ages.
    seed
        Of the draws.
    between
        Sites between which measurements are harmonised; harmonised columns stand beside the others.

    Returns
    -------
    page : Path
        The page.
    notes : list of str
        Sentences on rows and values that were left out.

    Raises
    ------
    PopscanError
        If the table cannot be read, a column is absent, no column has enough people, or a number is
        out of range.
    """
    if not (step_years > 0 and min_near >= 1 and draws >= 0):
        raise PopscanError(
            f"ranges: step_years {step_years:g}, min_near {min_near}, draws {draws}: a step "
            "above 0, 1 or more, and 0 or more expected"
        )
    people = (
        _of_study(path, columns)
        if path.is_dir()
        else _of_file(path, columns, age, sex, words=[between.site] if between else [])
    )
    age, sex = (column_name(name) if not path.is_dir() else name for name in (age, sex))
    if age not in people.table:
        raise PopscanError(f"{path}: no column {age!r}; name the one with ages by --age")
    people, made = harmonised_people(people, between, age=age, sex=sex)
    curves = _fit(people, age=age, sex=sex, draws=draws, seed=seed)
    if not any(one for one, _, _ in curves.values()):
        why = "; ".join(dict.fromkeys(note for _, note, _ in curves.values()))
        why = why or "no column of numbers with three or more different values"
        raise PopscanError(
            f"{path}: no reference range can be given ({'; '.join([why, *people.notes[:5]])})"
        )
    centiles = centile_table(curves, step_years=step_years, min_near=min_near)
    scores = z_scores(
        people.table, curves, age=age, sex=sex, keep=[people.key], ends=_ends(people),
        min_near=min_near,
    )  # fmt: skip
    published = compare_published(
        people.table, _published(people.protocol), outcomes=people.outcomes, age=age, sex=sex,
        min_group=min_near,
    )  # fmt: skip
    write_table(out, "reference_centiles", centiles, DICTIONARY)
    write_table(out, "z_scores", scores, {**_PEOPLE, **Z_DICTIONARY})
    write_table(out, "published_ranges", published, COMPARED)
    # Rows without a value name groups that are too small.
    shown = shareable(centiles, min_beyond=max(min_near, _LEAST_SHARED))
    shared = shown.assign(**{k: _rounded(shown[k]) for k in ("n", "n_near")})
    write_table(out / "share", "reference_centiles", shared, DICTIONARY)
    page = write_page(
        out / "ranges.html",
        name=people.name,
        kind="reference ranges",
        description=f"{len(people.table):,} subjects.",
        sections=sections(
            StudyContext(
                extras=[
                    *([harmonised_extra(made)] if made else []),
                    _section(centiles, published, curves),
                ]
            ),
            Options(),
        ),
    )
    if made:
        write_harmonised(out, people.table, people.key, made)
    return page, [*people.notes, *_nowhere(people.table, age=age, sex=sex)]


def _nowhere(table: pd.DataFrame, *, age: str, sex: str) -> list[str]:
    """Say how many people no range is of, since their age or sex is not recorded."""
    known = {name: name == sex for name in (age, sex) if name and name in table}
    missing = {
        name: int(clean(table[name], categorical=words).isna().sum())
        for name, words in known.items()
    }
    return [
        f"{n} of {len(table)} people have no recorded {name}: no range is of them"
        for name, n in missing.items()
        if n
    ]


def _of_study(root: Path, columns: Sequence[str]) -> People:
    """Analysed subjects of a study, one visit each."""
    study = open_study(root)
    protocol = protocol_of(study.config)
    measured = study.table("biomarkers").set_index("unit")
    subjects = study.subjects
    analysed = subjects[subjects["analysed"].astype(bool)]
    who, notes = first_visits(analysed)
    # The last note is of the audit: ranges take the first visits for everything.
    notes = [note.rstrip(".") for note in notes[:-1]]
    if repeated := len(analysed) - len(who):
        notes.insert(0, f"{repeated} further rows of the same people were left out")
    kept = [c for c in who if c not in measured]
    table = who[kept].join(measured, how="inner").rename_axis("unit").reset_index()
    outcomes = list(columns) or [o.name for o in protocol.outcomes if o.name in table]
    if absent := [name for name in outcomes if name not in table]:
        raise PopscanError(f"{root}: the biomarkers have no column {absent[0]!r}")
    return People(
        name=root.name, table=table, key="unit", outcomes=outcomes,
        protocol=protocol.name, notes=notes,
    )  # fmt: skip


def _of_file(
    path: Path, columns: Sequence[str], age: str, sex: str, *, words: Sequence[str]
) -> People:
    """Rows of a table, one per person: of repeated ones the first visit, by its name."""
    wanted = [column_name(name) for name in columns]
    groups = list(dict.fromkeys(column_name(name) for name in [sex, *words] if name))
    found = read_cohort(path, categorical=groups, numeric=[*wanted, column_name(age)])
    notes = [*listed(found.problems), *found.notes]
    if found.rows.empty:
        raise PopscanError("; ".join(notes) or f"{path}: no rows")
    table = found.rows
    if absent := [name for name in wanted if name not in table]:
        raise PopscanError(f"{path}: no column {absent[0]!r}; it has {', '.join(map(str, table))}")
    keep = ["participant_id", "session_id", *groups]
    for name in table.columns.difference(keep):
        table[name] = numbers_if_all(table[name].mask(table[name] == ""))
    table, codes = blank_codes(table, leave=[*keep, column_name(age)])
    # A column of ages has the limits of ages, whatever its name is.
    table, blanked = blank_implausible(table, limits={column_name(age): RANGES["age_years"]})
    notes += [note.partition(";")[0].rstrip(".") for note in codes]
    notes += [one.sentence().rstrip(".") for one in blanked]
    doubt = ""
    if "session_id" in table:
        visits = table.rename(columns={"participant_id": "sub", "session_id": "ses"})
        doubt = order_note(in_order(visits))
        table = table.sort_values("session_id", key=lambda one: one.map(natural), kind="stable")
        table = table.sort_values("participant_id", kind="stable")
    if (repeated := table["participant_id"].duplicated()).any():
        notes.append(f"{int(repeated.sum())} further rows of the same people were left out")
        if doubt:
            notes.append(f"{doubt}; the first of each person counts")
        table = table[~repeated].reset_index(drop=True)
    numeric = table.drop(columns=[*keep, column_name(age)], errors="ignore").select_dtypes("number")
    outcomes = wanted or [str(c) for c in numeric if numeric[c].nunique() > 2]
    doubts = mixed_notes(table, columns=outcomes)
    doubts += same_rows_notes(table, outcomes, unit="participant_id")
    notes += [note.rstrip(".") for note in doubts]
    return People(
        name=path.stem, table=table, key="participant_id", outcomes=outcomes, protocol=DEFAULT,
        notes=notes,
    )  # fmt: skip


def _fit(
    people: People, *, age: str, sex: str, draws: int, seed: int
) -> dict[tuple[str, str], tuple[Curves | None, str, int]]:
    ages = clean(people.table[age], categorical=False).to_numpy(dtype=float)
    found = {}
    for outcome in people.outcomes:
        values = clean(people.table[outcome], categorical=False).to_numpy(dtype=float)
        for group, rows in groups_of(people.table, sex).items():
            one, note = fit_curves(values[rows], ages[rows], draws=draws, seed=seed)
            known = int((pd.notna(values[rows]) & pd.notna(ages[rows])).sum())
            found[outcome, group] = (one, note, known)
    return found


def _ends(people: People) -> dict[str, tuple[str, str]]:
    """Columns with the ends of a measurement's own interval: ``lvef_low_pct`` of ``lvef_pct``."""
    ends = {}
    for name in people.outcomes:
        stem, _, unit = name.rpartition("_")
        pair = (f"{stem}_low_{unit}", f"{stem}_high_{unit}")
        if set(pair) <= set(people.table):
            ends[name] = pair
    return ends


def _published(protocol: str) -> pd.DataFrame:
    where = get_protocol(protocol).published
    return load(where)() if where else pd.DataFrame()


def _rounded(counts: pd.Series) -> pd.Series:
    return (pd.to_numeric(counts) / 5).round() * 5


def _section(
    centiles: pd.DataFrame,
    published: pd.DataFrame,
    curves: Mapping[tuple[str, str], tuple[Curves | None, str, int]],
) -> Extra:
    known = centiles[centiles["value"].notna()]
    wide = known.pivot_table(
        index=["outcome", "sex", "age_years", "n_near"], columns="centile", values="value"
    ).reset_index()
    wide.columns = [f"{c:g}%" if isinstance(c, float) else str(c) for c in wide.columns]
    without = [f"{o}, {s}: {note}" for (o, s), (one, note, _) in curves.items() if one is None]
    figures = [
        (
            centile_panels(known, name="centiles"),
            "Centiles 2.5, 25, 50, 75 and 97.5 over age, within the ages of the subjects.",
        )
    ]
    tables = [("Centiles by sex and age; n_near: subjects within 5 years of the age.", wide)]
    if len(published):
        tables.append(("Subjects of this table beside published ranges.", published))
    outer = f"{CENTILES[0]:g} and {CENTILES[-1]:g}"
    return Extra(
        ident="ranges",
        title="Reference ranges",
        lead="Centiles of this table's subjects, who may not be healthy: they are a reference only "
        "for subjects like them.",
        sentences=[f"No range: {line}." for line in without],
        figures=figures,
        tables=tables,
        notes=[
            f"With few subjects the {outer}% curves are the least certain. Intervals are in the "
            f"table reference_centiles, but for curves with fewer than {LEAST_BEYOND} subjects "
            "expected beyond them: theirs would be too narrow."
        ],
    )
