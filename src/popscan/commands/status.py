"""Who is where: counts per stage, failures by reason, rate and expected end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from popscan.plan import read_plan, read_shards
from popscan.records import Status
from popscan.registry import read_registry
from popscan.stages import SUBJECT_STAGES
from popscan.store import ShardSummary, Store, summarise
from popscan.study.accounted import ACCOUNTS

_WIDTH = 24


@dataclass(kw_only=True)
class StageStatus:
    """What is known of one stage: its counts add up to the study's subjects."""

    stage: str
    n_subjects: int
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, tuple[str, str]] = field(default_factory=dict)
    seconds: float = 0.0
    finished: list[str] = field(default_factory=list)

    @property
    def n_pending(self) -> int:
        """Subjects without a record yet."""
        return self.n_subjects - sum(self.statuses.values())

    def per_hour(self) -> float:
        """Subjects per hour between the first and the last record; NaN before the second."""
        times = sorted(datetime.fromisoformat(t) for t in (self.finished or []))
        if len(times) < 2 or times[0] == times[-1]:
            return float("nan")
        return sum(self.statuses.values()) / ((times[-1] - times[0]).total_seconds() / 3600)


def study_status(store: Store) -> list[StageStatus]:
    """Say how far every stage that was begun is.

    A shard whose manifest is newer than its journal is counted from the manifest's footer; the
    journals of the others (being run, or marked to be rerun) are read.

    Parameters
    ----------
    store
        The study's store.

    Returns
    -------
    list of StageStatus
        In order of the stages; empty before the first plan.
    """
    shards = read_shards(store.root)
    units = _current_units(store.root)
    begun = [s for s in SUBJECT_STAGES if (store.root / "store" / s).is_dir()]
    here = [_stage_status(store, stage, shards, units) for stage in begun]
    return [*here, *_accounts(store.root, units)]


def _accounts(root: Path, units: Collection[str]) -> list[StageStatus]:
    """Statuses of what is done once per study, from its tables with one row per subject."""
    found = []
    for table, (stage, _) in ACCOUNTS.items():
        if not (root / "tables" / f"{table}.parquet").exists():
            continue
        from popscan.study.tables import read_table

        status = StageStatus(stage=stage, n_subjects=len(units))
        rows = read_table(root, table)
        for row in rows[rows["unit"].isin(units)].to_dict("records"):
            status.statuses[str(row["status"])] += 1
            if row["reason"]:
                status.reasons[str(row["reason"])] += 1
                example = (str(row["unit"]), str(row["message"]))
                status.examples.setdefault(str(row["reason"]), example)
        found.append(status)
    return found


def _current_units(root: Path) -> frozenset[str]:
    registry = read_registry(root / "plan" / "registry.tsv")
    return frozenset(registry).difference(read_plan(root).get("removed", []))


def _stage_status(
    store: Store, stage: str, shards: Sequence[str], units: Collection[str]
) -> StageStatus:
    status = StageStatus(stage=stage, n_subjects=len(units))
    for shard in shards:
        summary = store.read_summary(stage, shard)
        if summary is None:
            records = store.journal(stage, shard).read().records
            summary = summarise(r for u, r in records.items() if u in units)
        _add(status, summary)
    return status


def _add(status: StageStatus, summary: ShardSummary) -> None:
    status.statuses.update(summary["statuses"])
    status.seconds += summary["seconds"]
    times = [*status.finished, *summary["finished"]]
    status.finished = [min(times), max(times)] if times else []
    for reason, (count, unit, message) in summary["reasons"].items():
        status.reasons[reason] += count
        status.examples.setdefault(reason, (unit, message))


def progress_bar(done: int, total: int, *, width: int = _WIDTH) -> str:
    """Text bar of a given width; empty study: an empty bar."""
    filled = width * done // total if total else 0
    return "#" * filled + "." * (width - filled)


def format_status(stages: Sequence[StageStatus]) -> str:
    """Say a study's status as text for a terminal."""
    if not stages:
        return "nothing was run yet"
    names = [str(s) for s in Status]
    lines = [f"{'stage':<12} {'':<{_WIDTH}} " + " ".join(f"{n:>14}" for n in names + ["pending"])]
    for stage in stages:
        done = stage.n_subjects - stage.n_pending
        counts = [stage.statuses[name] for name in names] + [stage.n_pending]
        bar = progress_bar(done, stage.n_subjects)
        lines.append(f"{stage.stage:<12} {bar} " + " ".join(f"{c:>14}" for c in counts))
    lines += _rates(stages)
    for stage in stages:
        for reason, count in stage.reasons.most_common():
            if stage.statuses[Status.FAILED] or stage.statuses[Status.EXCLUDED]:
                unit, message = stage.examples[reason]
                lines.append(f"{stage.stage}: {reason} ({count}), e.g. {unit}: {message[:120]}")
    return "\n".join(lines)


def _rates(stages: Sequence[StageStatus]) -> list[str]:
    lines = []
    for stage in stages:
        rate = stage.per_hour()
        if stage.n_pending and rate == rate:
            end = datetime.now(UTC) + timedelta(hours=stage.n_pending / rate)
            lines.append(
                f"{stage.stage}: {rate:.0f} subjects/h so far; the {stage.n_pending} left would "
                f"end about {end.isoformat(timespec='minutes')}"
            )
    return lines
