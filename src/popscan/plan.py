"""The subjects of every shard, as its jobs need them; `popscan.registry` says who is where.

``plan/shards/<shard>.jsonl`` holds what the jobs of a shard need of its subjects (cohort row, raw
inputs with size and mtime); a file is only rewritten when its content changes, so that Snakemake
reruns just the shards that something happened to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from popscan.disk import remove_temporaries, write_atomic
from popscan.inventory import write_inventory
from popscan.jsontext import canonical_json
from popscan.records import PopscanError, Status, Subject, check_identifier
from popscan.registry import (
    WITHDRAWN,
    extend_registry,
    read_registry,
    registry_lines,
    registry_text,
)
from popscan.store import shard_file

#: What the reading of a damaged file raises.
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)

_SHARD = re.compile(r"\d{5}").fullmatch


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A subject as the plan knows it.

    Attributes
    ----------
    subject
        Who, with cohort row and raw inputs.
    stat
        Size in bytes and mtime in ns of each raw input, by path: what a rerun compares.
    problem
        Why the subject cannot be run though it is accounted for (a duplicated row, excluded by a
        list): ``{"status", "reason", "message"}``; empty if it can.
    """

    subject: Subject
    stat: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    problem: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PlanSummary:
    """What a planning run found.

    New and changed subjects are only reported; the rest stands in ``plan/plan.json``, which is
    rewritten only when it changes.
    """

    n_subjects: int
    shards: tuple[str, ...]
    new: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    withdrawn: Mapping[str, int] = field(default_factory=dict)
    removal: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain form of what outlives the planning run."""
        plain = {name: list(v) if isinstance(v, tuple) else v for name, v in vars(self).items()}
        return {name: v for name, v in plain.items() if name not in ("new", "changed", "removal")}


def planned_to_line(planned: Planned) -> str:
    """One line of a shard file."""
    subject = planned.subject
    return (
        canonical_json(
            {
                "sub": subject.sub,
                "ses": subject.ses,
                "row": dict(subject.row),
                "sources": list(subject.sources),
                "stat": {path: list(stat) for path, stat in planned.stat.items()},
                "problem": dict(planned.problem),
            }
        )
        + "\n"
    )


def planned_from_line(line: str) -> Planned:
    """Inverse of `planned_to_line`."""
    data = json.loads(line)
    row, problem, sources = data["row"], data["problem"], data["sources"]
    for words in (row.values(), problem.values(), sources):
        if not all(isinstance(word, str) for word in words):
            raise TypeError("text is expected")
    if problem:
        Status(problem["status"])
    sub, ses = check_identifier(data["sub"]), data["ses"] and check_identifier(data["ses"])
    stat = {path: (int(size), int(mtime)) for path, (size, mtime) in data["stat"].items()}
    subject = Subject(sub=sub, ses=ses, row=row, sources=tuple(sources))
    return Planned(subject=subject, stat=stat, problem=problem)


def read_shard(study_root: Path, shard: str) -> list[Planned]:
    """Read the subjects of a shard, in order of the registry.

    Raises
    ------
    PopscanError
        If the study has no such shard, or a line of it is damaged.
    """
    path = shard_file(study_root, shard)
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError as error:
        raise PopscanError(f"{path}: no such shard; run 'popscan plan' first") from error
    planned = []
    for number, line in enumerate(lines, start=1):
        try:
            planned.append(planned_from_line(line.decode()))
        except (*_DAMAGE, PopscanError) as error:
            raise PopscanError(
                f"{path}, line {number}: damaged; run 'popscan plan' or type the same command "
                "again: the file is written anew"
            ) from error
    return planned


def readable_subjects(study_root: Path) -> Iterator[Planned]:
    """Yield the planned subjects of all shard files; what is damaged in them is passed over."""
    for path in sorted((study_root / "plan" / "shards").glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            with suppress(*_DAMAGE, PopscanError):
                yield planned_from_line(line.decode())


def read_shards(study_root: Path) -> list[str]:
    """Names of the study's shards; empty before the first plan."""
    return list(read_plan(study_root).get("shards", []))


def read_plan(study_root: Path) -> dict[str, Any]:
    """Read what the last plan found, as `PlanSummary.to_dict` gave it; empty before the first plan.

    Raises
    ------
    PopscanError
        If the file is damaged.
    """
    path = study_root / "plan" / "plan.json"
    if not path.exists():
        return {}
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        if not {"shards", "n_subjects"} <= plan.keys():
            raise ValueError("keys are missing")
        if not all(_SHARD(shard) for shard in plan["shards"]):
            raise ValueError("names of shards are five digits")
    except _DAMAGE as error:
        raise PopscanError(
            f"{path}: damaged; run 'popscan plan' or type the same command again: it is made anew"
        ) from error
    return dict(plan)


def write_plan(
    study_root: Path,
    planned: Sequence[Planned],
    *,
    shard_size: int,
    problems: Sequence[str] = (),
    unlisted: Sequence[str] = (),
    notes: Sequence[str] = (),
    withdrawn: Mapping[str, int] | None = None,
) -> PlanSummary:
    """Bring the plan on disk up to date with the subjects found.

    Parameters
    ----------
    study_root
        ``results/<study>``.
    planned
        Subjects of the cohort now, each unit once.
    shard_size
        Subjects per shard.
    problems, unlisted
        Messages about the cohort table, and subjects with images that it does not list.
    withdrawn
        How many visits left the study, by the way they left.
    notes
        How cells of the cohort table were read that can be written otherwise.

    Returns
    -------
    PlanSummary
        Shards, and who is new, changed or gone since the last plan.
    """
    registry_path = study_root / "plan" / "registry.tsv"
    for folder in (registry_path.parent, registry_path.parent / "shards"):
        remove_temporaries(folder)
    before = read_registry(registry_path)
    registry = extend_registry(
        before,
        (p.subject for p in planned),
        shard_size=shard_size,
        vacated=[line.shard for line in registry_lines(registry_path) if line.unit == WITHDRAWN],
    )
    by_unit = {p.subject.unit: p for p in planned}
    subjects = {p.subject.unit: p.subject for p in planned}
    members: dict[str, list[str]] = {shard: [] for shard in registry.values()}
    for unit, shard in registry.items():
        if unit in by_unit:
            members[shard].append(unit)
    if list(registry) != list(before) or not registry_path.exists():
        write_atomic(registry_path, registry_text(registry, subjects, registry_path).encode())
    changed = [
        unit
        for shard, units in members.items()
        for unit in _write_shard(shard_file(study_root, shard), [by_unit[u] for u in units])
        if unit in before
    ]
    summary = PlanSummary(
        n_subjects=len(planned),
        shards=tuple(shard for shard, units in members.items() if units),
        new=tuple(unit for unit in by_unit if unit not in before),
        removed=tuple(unit for unit in before if unit not in by_unit),
        changed=tuple(changed),
        unlisted=tuple(unlisted),
        problems=tuple(problems),
        notes=tuple(notes),
        withdrawn=dict(withdrawn or {}),
    )
    text = (json.dumps(summary.to_dict(), indent=1, sort_keys=True) + "\n").encode()
    path = study_root / "plan" / "plan.json"
    if not path.exists() or path.read_bytes() != text:
        write_atomic(path, text)
    files = [path, registry_path, *(shard_file(study_root, shard) for shard in members)]
    write_inventory(study_root, "plan/plan.json", files)
    return summary


def _write_shard(path: Path, planned: Sequence[Planned]) -> list[str]:
    """Write a shard file if its content changed; return the units whose line did."""
    lines = [planned_to_line(p) for p in planned]
    # What the disk garbled is other text, whatever it reads as.
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    old = text.splitlines(keepends=True)
    if lines == old and path.exists():
        return []
    write_atomic(path, "".join(lines).encode())
    known = set(old)
    return [p.subject.unit for p, line in zip(planned, lines, strict=True) if line not in known]
