"""Find a study's subjects: the cohort table, the raw data, and what does not fit between them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from popscan.config import parse_section
from popscan.plan import Planned, PlanSummary, write_plan
from popscan.records import PopscanError, Subject


@dataclass(kw_only=True)
class Cohort:
    """Subjects of a study, and what is wrong with its table."""

    planned: list[Planned] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)


def plan_study(study_root: Path, options: Mapping[str, Any]) -> PlanSummary:
    """Find the subjects and bring the plan on disk up to date.

    Parameters
    ----------
    study_root
        ``results/<study>``.
    options
        Config sections study, source, simulate, cohort, plan.

    Raises
    ------
    PopscanError
        If the raw data or the cohort table cannot be read, or there is no subject at all.
    """
    cohort = find_cohort(options)
    if not cohort.planned:
        told = "; ".join(cohort.problems[:5])
        raise PopscanError(f"no subject found in {where(options)}" + (f": {told}" if told else ""))
    return write_plan(
        study_root,
        cohort.planned,
        shard_size=parse_section("plan", options["plan"]).shard_size,
        problems=cohort.problems,
        unlisted=cohort.unlisted,
    )


def where(options: Mapping[str, Any]) -> str:
    """Say where the study's subjects come from, for messages."""
    source = options["source"]
    return f"source.root {source['root']!r} (source.kind {source['kind']})"


def find_cohort(options: Mapping[str, Any]) -> Cohort:
    """Find the subjects of a study without changing anything."""
    source = parse_section("source", options["source"])
    if source.kind == "simulated":
        return _simulated_cohort(options)
    root = Path(source.root)
    if not source.root or not root.is_dir():
        raise PopscanError(
            f"source.root: {source.root!r} is no folder; the raw data are expected there"
        )
    from popscan.io.sources import get_source
    from popscan.io.tables import read_participants

    cohort = Cohort()
    found: dict[str, list[Any]] = {}
    for item in get_source(source.kind).find(root, problems=cohort.problems):
        found.setdefault(item.sub, []).append(item)
    stats = signatures([str(p) for items in found.values() for item in items for p in item.paths])
    table = Path(source.participants) if source.participants else root / "participants.tsv"
    if source.participants and not table.is_file():
        raise PopscanError(f"source.participants: {table}: no such file")
    section = parse_section("cohort", options["cohort"])
    if table.is_file():
        rows, problems = read_participants(table, sex_codes=section.sex_codes or None)
        cohort.problems += [str(problem) for problem in problems]
        _join(cohort, _rows(rows), found, stats)
    else:
        for items in found.values():
            cohort.planned += [_planned(item.sub, item.ses, {}, [item], stats) for item in items]
    _exclude(cohort, section.exclude)
    return cohort


def _simulated_cohort(options: Mapping[str, Any]) -> Cohort:
    from popscan.simulate.population import sample_population

    simulate = parse_section("simulate", options["simulate"])
    table = sample_population(
        simulate.n_subjects,
        seed=int(options["study"]["seed"]),
        bias=simulate.bias,
        faults=simulate.faults,
        allocation=simulate.allocation,
    )
    rows = _rows(table.astype(str))
    cohort = Cohort(
        planned=[
            _planned(row["participant_id"], row.get("session_id", ""), row, [], {}) for row in rows
        ]
    )
    _exclude(cohort, parse_section("cohort", options["cohort"]).exclude)
    return cohort


def _rows(table: pd.DataFrame) -> list[dict[str, str]]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


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


def signatures(paths: Sequence[str], *, threads: int = 8) -> dict[str, tuple[int, int]]:
    """Size and mtime of files and folders, by path.

    A folder's size is the sum over the files below it, its mtime the latest below it. Threads,
    since on a network's disk each question waits for its answer.
    """
    parts = [paths[start : start + 256] for start in range(0, len(paths), 256)]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        found = pool.map(lambda part: [(path, _signature(path)) for path in part], parts)
        return dict(chain.from_iterable(found))


def _signature(path: str) -> tuple[int, int]:
    try:
        stat = os.stat(path)
        if not os.path.isdir(path):
            return stat.st_size, stat.st_mtime_ns
        size, latest = 0, stat.st_mtime_ns
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below = _signature(entry.path)
                else:
                    stat = entry.stat()
                    below = stat.st_size, stat.st_mtime_ns
                size, latest = size + below[0], max(latest, below[1])
    except OSError:
        return -1, 0
    return size, latest


def _join(
    cohort: Cohort,
    rows: Sequence[Mapping[str, str]],
    found: Mapping[str, list[Any]],
    stats: Mapping[str, tuple[int, int]],
) -> None:
    """Join the table's rows with the subjects found; every row and every find is accounted for."""
    planned: dict[str, Planned] = {}
    for row in rows:
        sub, ses = row["participant_id"], row.get("session_id", "")
        items = [item for item in found.get(sub, []) if not ses or item.ses == ses]
        visits = {item.ses: [item] for item in items} or {ses: []}
        for visit, here in visits.items():
            one = _planned(sub, visit, row, here, stats)
            if one.subject.unit in planned:
                cohort.problems.append(
                    f"the cohort table says {one.subject.unit} twice (with and without session); "
                    "the first row counts"
                )
            planned.setdefault(one.subject.unit, one)
    cohort.planned += planned.values()
    cohort.unlisted += sorted(set(found) - {row["participant_id"] for row in rows})


def _with_problem(planned: Planned, status: str, reason: str, message: str) -> Planned:
    return Planned(
        subject=planned.subject,
        stat=planned.stat,
        problem={"status": status, "reason": reason, "message": message},
    )


def _exclude(cohort: Cohort, path: str) -> None:
    """Set aside the subjects of the exclusion list: they stay accounted for, as excluded."""
    if not path:
        return
    from popscan.io.tables import read_participants

    rows, problems = read_participants(Path(path))
    cohort.problems += [str(problem) for problem in problems]
    reasons = {
        row["participant_id"]: row.get("reason") or "listed" for row in rows.to_dict("records")
    }
    cohort.planned = [
        _with_problem(p, "excluded", "exclusion_list", reasons[p.subject.sub])
        if p.subject.sub in reasons
        else p
        for p in cohort.planned
    ]
    known = {p.subject.sub for p in cohort.planned}
    cohort.problems += [
        f"{path}: {sub} is excluded but not in the cohort" for sub in reasons if sub not in known
    ]
