"""Find a study's subjects: the cohort table, the raw data, and what does not fit between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from popscan.config import Cohort as CohortSection
from popscan.config import Simulate, Source, source_kind, study_seed
from popscan.io.folders import Folders
from popscan.plan import Planned
from popscan.protocol import load as load_place
from popscan.protocols import protocol_of
from popscan.records import PopscanError, Subject
from popscan.stats.mixed import alike_notes
from popscan.study.exclusion import exclude, split_visit, with_problem

if TYPE_CHECKING:
    from popscan.io.cohort import CohortTable
    from popscan.io.sources import Found
    from popscan.io.ukb_table import FieldTable


@dataclass(kw_only=True)
class Cohort:
    """Subjects of a study; what is wrong with its table, and what was read otherwise."""

    planned: list[Planned] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    table: pd.DataFrame | None = None
    unlisted: list[str] = field(default_factory=list)


def where(options: Mapping[str, object]) -> str:
    """Say where the study's subjects come from, for messages."""
    source = Source.of(options)
    if source.kind == "simulated":
        return "the simulated population"
    return f"source.root {source.root!r} (source.kind {source.kind})"


def find_cohort(options: Mapping[str, object], folders: Folders | None = None) -> Cohort:
    """Find the subjects of a study without changing anything.

    Parameters
    ----------
    options
        As for `plan_study`.
    folders
        What is remembered of the raw data; nothing by default.
    """
    source = Source.of(options)
    if source.kind == "simulated":
        return _simulated_cohort(options)
    root = Path(source.root)
    if not source.root or not root.is_dir():
        wrong = "is a file; a folder is expected" if root.is_file() else "no such folder"
        what = f"{source.root!r} {wrong}" if root.is_file() else f"{wrong}: {source.root!r}"
        raise PopscanError(f"source.root: {what} (set it to the folder of raw data)")
    from popscan.io.cohort import listed
    from popscan.io.sources import get_source

    cohort, folders = Cohort(), folders or Folders()
    found: dict[str, list[Found]] = {}
    seen: dict[str, Found] = {}
    reader = get_source(source.kind, protocol_of(options))
    for item in reader.find(root, problems=cohort.problems, folders=folders):
        sub, ses = split_visit(item.sub, item.ses)
        unit = Subject(sub=sub, ses=ses).unit
        if unit in seen:
            cohort.problems.append(
                f"{item.paths[0]}: another folder of {unit} (first: {seen[unit].paths[0]}); it is "
                "left out: rename one of the two"
            )
            continue
        seen[unit] = replace(item, sub=sub, ses=ses)
        found.setdefault(sub, []).append(seen[unit])
    cohort.notes += getattr(reader, "notes", ())  # what a source found and leaves alone
    paths = [str(p) for items in found.values() for item in items for p in item.paths]
    folders.prefetch(paths)
    stats = {path: folders.signature(path) for path in paths}
    read = _read(options, found)
    if read is not None:
        cohort.problems += listed(read.problems)
        cohort.notes += read.notes
        cohort.table = read.rows
        _join(cohort, _rows(read.rows), found, stats)
    else:
        for items in found.values():
            cohort.planned += [_planned(item.sub, item.ses, {}, [item], stats) for item in items]
    exclude(cohort, CohortSection.of(options).exclude)
    cohort.notes += alike_notes(list(dict.fromkeys(p.subject.sub for p in cohort.planned)))
    return cohort


def read_table_of(options: Mapping[str, object]) -> pd.DataFrame | None:
    """Read the cohort table of a study; None if it has none.

    Raises
    ------
    PopscanError
        If the config names one that does not exist.
    """
    if source_kind(options) == "simulated":
        return _population(options)
    read = _read(options, None)
    return None if read is None else read.rows


def _read(
    options: Mapping[str, object], found: Mapping[str, Sequence[Found]] | None
) -> CohortTable | None:
    """Read the cohort table; `found` are the visits with images, None where nobody looked."""
    from popscan.io.cohort import read_cohort

    source = Source.of(options)
    path = Path(source.participants or Path(source.root, "participants.tsv"))
    if source.participants and not path.is_file():
        wrong = "a folder; a file is expected" if path.is_dir() else "no such file"
        raise PopscanError(f"source.participants: {path}: {wrong}")
    if not path.is_file() or not (source.participants or source.root):
        return None
    section = CohortSection.of(options)
    return read_cohort(
        path,
        sex_codes=section.sex_codes,
        missing_values=section.missing_values,
        categorical=section.categorical,
        fields=_fields_of(options, path, found),
    )


def _fields_of(
    options: Mapping[str, object], path: Path, found: Mapping[str, Sequence[Found]] | None
) -> FieldTable | None:
    """Return what is taken of a field table of UK Biobank; None for another table."""
    from popscan.io.sources import get_source
    from popscan.io.ukb_table import FieldTable, is_field_table

    if not is_field_table(path):
        return None
    source, protocol = Source.of(options), protocol_of(options)
    visits: dict[str, list[str]] = {}
    if found is None:
        for item in get_source(source.kind, protocol).find(Path(source.root)):
            sub, ses = split_visit(item.sub, item.ses)
            visits.setdefault(sub, []).append(ses)
    else:
        visits = {sub: [item.ses for item in items] for sub, items in found.items()}
    needed = next(one for one in protocol.series if one.view == protocol.view)
    return FieldTable(
        visits=visits,
        image_fields=tuple(needed.ukb_fields),
        own=CohortSection.of(options).ukb_fields,
    )


def _population(options: Mapping[str, object]) -> pd.DataFrame:
    protocol = protocol_of(options)
    if protocol.simulation is None:
        raise PopscanError(f"source.kind: protocol {protocol.name} has no digital population")
    simulate = Simulate.of(options)
    population: pd.DataFrame = load_place(protocol.simulation.population)(
        simulate.n_subjects,
        seed=study_seed(options),
        bias=simulate.bias,
        faults=simulate.faults,
        allocation=simulate.allocation,
    )
    return population.astype(str)


def _simulated_cohort(options: Mapping[str, object]) -> Cohort:
    table = _population(options)
    rows = _rows(table)
    cohort = Cohort(
        table=table,
        planned=[
            _planned(row["participant_id"], row.get("session_id", ""), row, [], {}) for row in rows
        ],
    )
    exclude(cohort, CohortSection.of(options).exclude)
    return cohort


def _rows(table: pd.DataFrame) -> list[dict[str, str]]:
    columns = [str(name) for name in table]
    cells = zip(*(table[name].tolist() for name in table), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in cells]


def _planned(
    sub: str,
    ses: str,
    row: Mapping[str, str],
    items: Sequence[Found],
    stats: Mapping[str, tuple[int, int]],
) -> Planned:
    sources = tuple(str(path) for item in items for path in item.paths)
    kept = {key: str(value) for key, value in row.items()}
    return Planned(
        subject=Subject(sub=sub, ses=ses, row=kept, sources=sources),
        stat={path: stats[path] for path in sources},
    )


def _join(
    cohort: Cohort,
    rows: Sequence[Mapping[str, str]],
    found: Mapping[str, list[Found]],
    stats: Mapping[str, tuple[int, int]],
) -> None:
    """Join the table's rows with the subjects found; every row and every find is accounted for."""
    planned: dict[str, Planned] = {}
    for row in rows:
        sub, ses = split_visit(row["participant_id"], row.get("session_id", ""))
        there = found.get(sub, [])
        items = [item for item in there if not ses or item.ses == ses]
        visits = {item.ses: [item] for item in items} or {ses: []}
        for visit, here in visits.items():
            one = _planned(sub, visit, row, here, stats)
            if there and not here:
                listed = ", ".join(item.ses or "a folder without ses-*" for item in there)
                message = f"no images of {visit}: the raw data of {sub} have {listed}"
                one = with_problem(one, "failed", "no_images", message)
            if one.subject.unit in planned:
                cohort.problems.append(
                    f"the cohort table says {one.subject.unit} twice (with and without session); "
                    "the first row counts"
                )
            planned.setdefault(one.subject.unit, one)
    cohort.planned += planned.values()
    units = {Subject(sub=item.sub, ses=item.ses).unit for items in found.values() for item in items}
    cohort.unlisted += sorted(units - set(planned))
