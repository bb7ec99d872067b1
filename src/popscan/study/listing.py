"""Find a study's subjects: the cohort table, the raw data, and what does not fit between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from popscan.config import parse_section
from popscan.io.folders import Folders
from popscan.plan import Planned
from popscan.protocol import load as load_place
from popscan.protocols import protocol_of
from popscan.records import PopscanError, Subject

if TYPE_CHECKING:
    from popscan.io.cohort import CohortTable


@dataclass(kw_only=True)
class Cohort:
    """Subjects of a study; what is wrong with its table, and what was read otherwise."""

    planned: list[Planned] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    table: pd.DataFrame | None = None
    unlisted: list[str] = field(default_factory=list)


def where(options: Mapping[str, Any]) -> str:
    """Say where the study's subjects come from, for messages."""
    source = options["source"]
    return f"source.root {source['root']!r} (source.kind {source['kind']})"


def find_cohort(options: Mapping[str, Any], folders: Folders | None = None) -> Cohort:
    """Find the subjects of a study without changing anything.

    Parameters
    ----------
    options
        As for `plan_study`.
    folders
        What is remembered of the raw data; nothing by default.
    """
    source = parse_section("source", options["source"])
    if source.kind == "simulated":
        return _simulated_cohort(options)
    root = Path(source.root)
    if not source.root or not root.is_dir():
        raise PopscanError(
            f"source.root: {source.root!r} is no folder; the raw data are expected there"
        )
    from popscan.io.cohort import listed
    from popscan.io.sources import get_source

    cohort, folders = Cohort(), folders or Folders()
    found: dict[str, list[Any]] = {}
    seen: dict[str, Any] = {}
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
    read = _read(options)
    if read is not None:
        cohort.problems += listed(read.problems)
        cohort.notes += read.notes
        cohort.table = read.rows
        _join(cohort, _rows(read.rows), found, stats)
    else:
        for items in found.values():
            cohort.planned += [_planned(item.sub, item.ses, {}, [item], stats) for item in items]
    _exclude(cohort, parse_section("cohort", options["cohort"]).exclude)
    return cohort


def split_visit(sub: str, ses: str) -> tuple[str, str]:
    """Return a subject and its visit, where a name holds both: ``sub-1_ses-2``.

    Records are kept by this very name, so that the two ways of writing it are one visit.

    Examples
    --------
    >>> split_visit("sub-1_ses-2", ""), split_visit("sub-1", "ses-2"), split_visit("sub-1", "")
    (('sub-1', 'ses-2'), ('sub-1', 'ses-2'), ('sub-1', ''))
    """
    head, mark, tail = sub.partition("_ses-")
    return (head, f"ses-{tail}") if mark and tail and not ses else (sub, ses)


def read_table_of(options: Mapping[str, Any]) -> pd.DataFrame | None:
    """Read the cohort table of a study; None if it has none.

    Raises
    ------
    PopscanError
        If the config names one that does not exist.
    """
    if options["source"]["kind"] == "simulated":
        return _population(options)
    read = _read(options)
    return None if read is None else read.rows


def _read(options: Mapping[str, Any]) -> CohortTable | None:
    from popscan.io.cohort import read_cohort

    source = parse_section("source", options["source"])
    path = Path(source.participants or Path(source.root, "participants.tsv"))
    if source.participants and not path.is_file():
        raise PopscanError(f"source.participants: {path}: no such file")
    if not path.is_file() or not (source.participants or source.root):
        return None
    section = parse_section("cohort", options["cohort"])
    return read_cohort(
        path,
        sex_codes=section.sex_codes,
        missing_values=section.missing_values,
        categorical=section.categorical,
    )


def _population(options: Mapping[str, Any]) -> pd.DataFrame:
    protocol = protocol_of(options)
    if protocol.simulation is None:
        raise PopscanError(f"source.kind: protocol {protocol.name} has no digital population")
    simulate = parse_section("simulate", options["simulate"])
    population: pd.DataFrame = load_place(protocol.simulation.population)(
        simulate.n_subjects,
        seed=int(options["study"]["seed"]),
        bias=simulate.bias,
        faults=simulate.faults,
        allocation=simulate.allocation,
    )
    return population.astype(str)


def _simulated_cohort(options: Mapping[str, Any]) -> Cohort:
    table = _population(options)
    rows = _rows(table)
    cohort = Cohort(
        table=table,
        planned=[
            _planned(row["participant_id"], row.get("session_id", ""), row, [], {}) for row in rows
        ],
    )
    _exclude(cohort, parse_section("cohort", options["cohort"]).exclude)
    return cohort


def _rows(table: pd.DataFrame) -> list[dict[str, str]]:
    columns = [str(name) for name in table]
    cells = zip(*(table[name].tolist() for name in table), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in cells]


def _planned(
    sub: str,
    ses: str,
    row: Mapping[str, str],
    items: Sequence[Any],
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
    found: Mapping[str, list[Any]],
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
                told = ", ".join(item.ses or "a folder without ses-*" for item in there)
                message = f"no images of {visit}: the raw data of {sub} have {told}"
                one = _with_problem(one, "failed", "no_images", message)
            if one.subject.unit in planned:
                cohort.problems.append(
                    f"the cohort table says {one.subject.unit} twice (with and without session); "
                    "the first row counts"
                )
            planned.setdefault(one.subject.unit, one)
    cohort.planned += planned.values()
    units = {Subject(sub=item.sub, ses=item.ses).unit for items in found.values() for item in items}
    cohort.unlisted += sorted(units - set(planned))


def _with_problem(planned: Planned, status: str, reason: str, message: str) -> Planned:
    return Planned(
        subject=planned.subject,
        stat=planned.stat,
        problem={"status": status, "reason": reason, "message": message},
    )


def _exclude(cohort: Cohort, path: str) -> None:
    """Set aside the visits of the exclusion list: they stay accounted for, as excluded.

    A row without session excludes all visits of its subject.

    Raises
    ------
    PopscanError
        If anything is wrong with the list: who withdrew must not be processed for a slip in it.
    """
    if not path:
        return
    from popscan.io.cohort import read_participants

    rows, problems = read_participants(Path(path), may_be_empty=True)
    if problems:
        raise PopscanError("cohort.exclude: " + "; ".join(map(str, problems[:5])))
    reasons = {
        split_visit(row["participant_id"], row.get("session_id", "")): row.get("reason") or "listed"
        for row in rows.to_dict("records")
    }
    known: set[tuple[str, str]] = set()
    for index, one in enumerate(cohort.planned):
        visit, person = (one.subject.sub, one.subject.ses), (one.subject.sub, "")
        known |= {visit, person}
        if reason := reasons.get(visit) or reasons.get(person):
            cohort.planned[index] = _with_problem(one, "excluded", "exclusion_list", reason)
    cohort.problems += [
        f"{path}: {' '.join(filter(None, key))} is excluded but not in the cohort"
        for key in reasons
        if key not in known
    ]
