"""Who is left out of a study by name: the exclusion list, in each of its forms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from popscan.names import spelling, spellings
from popscan.plan import Planned
from popscan.records import PopscanError

if TYPE_CHECKING:
    from popscan.study.listing import Cohort


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


def with_problem(planned: Planned, status: str, reason: str, message: str) -> Planned:
    """Return a subject that is accounted for, but not run."""
    return Planned(
        subject=planned.subject,
        stat=planned.stat,
        problem={"status": status, "reason": reason, "message": message},
    )


def exclude(cohort: Cohort, path: str) -> None:
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
    from popscan.io.ukb_table import withdrawn_eids

    eids = withdrawn_eids(Path(path))
    if eids:
        _exclude_eids(cohort, path, eids)
        return
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
            cohort.planned[index] = with_problem(one, "excluded", "exclusion_list", reason)
    strangers = [" ".join(filter(None, key)) for key in reasons if key not in known]
    whole = {one.subject.sub for one in cohort.planned if not one.subject.ses}
    _refuse_slips(path, strangers, [" ".join(filter(None, key)) for key in known], whole)
    cohort.problems += [f"{path}: {one} is excluded but not in the cohort" for one in strangers]


def _refuse_slips(
    path: str, strangers: Sequence[str], known: Sequence[str], without_visits: set[str]
) -> None:
    """Refuse names that the cohort has in another spelling, and visits of who has none.

    A spreadsheet drops zeros; whoever was meant would be processed.
    """
    by_spelling = spellings(known)
    for one in strangers:
        alike = by_spelling.get(spelling(one), [])
        if alike:
            raise PopscanError(
                f"cohort.exclude: {path}: {one} is not in the cohort, but {alike[0]} is, which "
                "differs only in zeros, capitals or separators: write names as the cohort has them"
            )
        sub = one.split(" ")[0]
        if sub in without_visits:
            raise PopscanError(
                f"cohort.exclude: {path}: {one} names a visit, and the cohort has {sub} without "
                "visits: leave session_id empty to exclude it"
            )


def _exclude_eids(cohort: Cohort, path: str, eids: Sequence[str]) -> None:
    """Set aside all visits of the participants of UK Biobank that withdrew.

    The list names participants of all of UK Biobank, so that most are not in the cohort.
    """
    listed = {f"sub-{eid}" for eid in eids}
    known: set[str] = set()
    for index, one in enumerate(cohort.planned):
        if one.subject.sub in listed:
            known.add(one.subject.sub)
            cohort.planned[index] = with_problem(one, "excluded", "exclusion_list", "withdrawn")
    cohort.notes.append(
        f"{path}: {len(listed)} withdrawn participants, {len(known)} of them in the cohort"
    )
