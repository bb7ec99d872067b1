"""Plan a study: its subjects, who left it, and the shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from popscan.config import Plan, source_kind
from popscan.io.folders import Folders
from popscan.plan import PlanSummary, write_plan
from popscan.records import PopscanError
from popscan.study.identity import write_source
from popscan.study.leaving import let_leave
from popscan.study.listing import find_cohort, where
from popscan.study.withdraw_plan import forget_folders


def plan_study(
    study_root: Path,
    options: Mapping[str, object],
    *,
    trust: bool = False,
    allow_replace: bool = False,
) -> PlanSummary:
    """Find the subjects and bring the plan on disk up to date.

    Parameters
    ----------
    study_root
        ``results/<study>``.
    options
        Config sections study, source, simulate, cohort, plan.
    trust
        Take folders of many files (DICOM series) as unchanged while no file came or went; otherwise
        all files are asked for size and time. Small folders always are.
    allow_replace
        Let another source or cohort replace the results that the folder holds.

    Raises
    ------
    PopscanError
        If the raw data or the cohort table cannot be read, there is no subject at all, or the
        folder holds the results of another cohort.
    """
    index = study_root / "plan" / "folders.json"
    folders = Folders.read(index, trust=trust)
    cohort = find_cohort(options, folders)
    if not cohort.planned:
        examples = "; ".join(cohort.problems[:5])
        raise PopscanError(
            f"no subject found in {where(options)}" + (f": {examples}" if examples else "")
        )
    leavers = let_leave(study_root, options, cohort, allow_replace=allow_replace)
    summary = write_plan(
        study_root,
        cohort.planned,
        shard_size=Plan.of(options).shard_size,
        problems=cohort.problems,
        unlisted=cohort.unlisted,
        notes=cohort.notes,
        withdrawn=leavers.counts,
    )
    write_source(study_root, options)
    if source_kind(options) != "simulated":
        folders.write(index)
        forget_folders(study_root, leavers.mentions)
    return replace(
        summary, removal=leavers.withdrawal.sentence() if leavers.withdrawal.n_visits else ""
    )
