"""Who leaves a study when it is planned: the exclusion list, ``popscan withdraw``, rows gone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from popscan.names import subject_of
from popscan.records import PopscanError
from popscan.registry import read_registry
from popscan.store import Store
from popscan.study.identity import check_same_cohort
from popscan.study.withdraw import Withdrawal, remove_units
from popscan.withdrawn import Memory, Mentions

if TYPE_CHECKING:
    from popscan.study.listing import Cohort

_NOT_IN_COHORT = re.compile(r"(.*): \S+(?: \S+)? is excluded but not in the cohort")


@dataclass(kw_only=True)
class Leavers:
    """Visits that left: how many, by which way; what was removed; their names for the index."""

    counts: Mapping[str, int] = field(default_factory=dict)
    withdrawal: Withdrawal = field(default_factory=Withdrawal)
    mentions: Mentions = field(default_factory=lambda: Mentions(()))


def let_leave(
    study_root: Path, options: Mapping[str, object], cohort: Cohort, *, allow_replace: bool = False
) -> Leavers:
    """Take those who left out of the cohort, and remove what the study holds of them.

    Parameters
    ----------
    study_root
        ``results/<study>``.
    options
        Config sections.
    cohort
        What was found; its subjects and messages are changed.
    allow_replace
        Whether another source or cohort may replace the folder's results.

    Raises
    ------
    PopscanError
        If nobody stays, or the folder holds the results of another cohort.
    """
    memory = Memory.read(study_root)
    units = [planned.subject.unit for planned in cohort.planned]
    listed = {p.subject.unit for p in cohort.planned if p.problem.get("status") == "excluded"}
    by_hand = {unit for unit in units if memory.left_by_hand(unit)} - listed
    staying = [p for p in cohort.planned if p.subject.unit not in listed | by_hand]
    if not staying:
        raise PopscanError(f"all {len(units)} subjects are withdrawn: nothing to run")
    if not allow_replace:
        check_same_cohort(study_root, options, staying, left=listed | by_hand)
    here = {planned.subject.unit for planned in staying}
    registry = read_registry(study_root / "plan" / "registry.tsv")
    # Without a cohort table a folder that is not there may be on a disk that is not, either: such
    # a visit leaves the plan and the tables, and nothing of it is deleted.
    meant = None if cohort.table is not None else listed | by_hand
    leaving = [u for u in registry if u not in here and (meant is None or u in meant)]
    gone = set(leaving) - listed - by_hand
    memory.gone -= {memory.digest(unit) for unit in here} if memory.gone else set()
    memory.gone |= {memory.digest(unit) for unit in gone}
    memory.write(study_root)
    absent = {u for u in cohort.unlisted if memory.is_gone(u) or memory.left_by_hand(u)}
    names = listed | by_hand | set(leaving) | absent
    subjects = {subject_of(unit) for unit in here}
    mentions = Mentions(names | ({subject_of(unit) for unit in names} - subjects))
    _forget_names(cohort, here, mentions)
    cohort.planned[:] = staying
    return Leavers(
        counts={
            "exclusion_list": len(listed),
            "by_hand": len(memory.by_hand),
            "no_longer_in_cohort": len(memory.gone),
        },
        withdrawal=remove_units(Store(study_root), leaving),
        mentions=mentions,
    )


def _forget_names(cohort: Cohort, here: set[str], mentions: Mentions) -> None:
    """Take those who left out of what the plan keeps: messages, and who has no row."""
    cohort.unlisted[:] = [unit for unit in cohort.unlisted if not mentions.in_text(unit)]
    absent: dict[str, int] = {}
    kept = []
    for problem in cohort.problems:
        if found := _NOT_IN_COHORT.fullmatch(problem):
            absent[found[1]] = absent.get(found[1], 0) + 1
        else:
            kept.append(mentions.redacted(problem))
    cohort.problems[:] = kept + [
        f"{path}: {n} entries are not in the cohort" for path, n in absent.items()
    ]
    cohort.notes[:] = [mentions.redacted(note) for note in cohort.notes]


def leaving_notes(study_root: Path, cohort: Cohort) -> list[str]:
    """Name the subjects of a study whose results the next plan would remove."""
    here = {p.subject.unit for p in cohort.planned}
    registry = read_registry(study_root / "plan" / "registry.tsv")
    gone = [u for u in registry if u not in here]
    listed = sum(p.problem.get("status") == "excluded" for p in cohort.planned)
    notes = [f"{listed} visits are in cohort.exclude and are left out"] if listed else []
    if gone:
        named = ", ".join(gone[:5]) + (", ..." if len(gone) > 5 else "")
        notes.append(
            f"{len(gone)} visits of {study_root} are no longer in the cohort; the next run "
            + ("removes their results" if cohort.table is not None else "leaves them out")
            + f": {named}"
        )
    return notes
