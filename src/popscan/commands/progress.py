"""What `popscan run` says while a study runs: stages, subjects, failures by reason.

Subjects are counted from the footers of manifests, one small read per finished shard.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from popscan.plan import read_shards
from popscan.records import Status
from popscan.store import Store

#: Ended jobs from which on a rate is given.
_ENOUGH_JOBS = 3


@dataclass(kw_only=True)
class StageProgress:
    """How far one rule is.

    Parameters
    ----------
    jobs, done
        Jobs that this run has for the rule, and how many of them have ended well.
    statuses
        Subjects by status, over the shards that have ended.
    reasons
        Failed and excluded subjects by reason.
    """

    jobs: int = 0
    done: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def n_subjects(self) -> int:
        """Subjects of the shards that have ended."""
        return sum(self.statuses.values())

    def sentence(self) -> str:
        """Return counts of subjects, and why some failed; empty for a rule without subjects."""
        if not self.n_subjects:
            return ""
        counts = [f"{self.statuses[s]} {s}" for s in map(str, Status) if self.statuses[s]]
        text = f"{self.n_subjects} subjects: {', '.join(counts)}"
        reasons = [f"{reason} {count}" for reason, count in self.reasons.most_common(4)]
        if len(self.reasons) > len(reasons):
            reasons.append("...")
        return f"{text} ({', '.join(reasons)})" if reasons else text


@dataclass(kw_only=True)
class RunProgress:
    """How far a run is, from the events of its jobs.

    Parameters
    ----------
    done, total
        Jobs of the whole workflow, as Snakemake counts them; the total grows once there is a plan.
    stages
        Rule -> how far it is, in the order in which they began.
    """

    done: int = 0
    total: int = 0
    stages: dict[str, StageProgress] = field(default_factory=dict)
    _since: tuple[float, int] | None = None
    _jobs: dict[int, tuple[str, Path | None]] = field(default_factory=dict)
    _planned: dict[str, int] = field(default_factory=dict)

    def counted(self, done: int, total: int, now: float) -> None:
        """Take how many jobs have ended well, of how many, at a time in seconds."""
        if total != self.total or self._since is None:
            self._since = (now, done)
        self.done, self.total = done, total

    def pace(self, now: float) -> tuple[float, float] | None:
        """Return jobs a minute since the total was last known anew, and seconds until the end.

        The rest is taken to go as fast, though jobs of one stage may take longer than another's.
        None before three jobs have ended, and at the end.
        """
        if self._since is None:
            return None
        ended, took = self.done - self._since[1], now - self._since[0]
        if ended < _ENOUGH_JOBS or took <= 0 or self.done >= self.total:
            return None
        return 60 * ended / took, (self.total - self.done) * took / ended

    def planned(self, counts: dict[str, int]) -> None:
        """Take how many jobs each rule has, as known before the first job."""
        self._planned = dict(counts)

    def job(self, number: int, rule: str, outputs: list[str]) -> str:
        """Take a job that begins; return the rule's name where it is the first of its rule."""
        manifest = next((Path(o) for o in outputs if is_manifest(Path(o))), None)
        self._jobs[number] = (rule, manifest)
        if rule in self.stages:
            return ""
        jobs = self._planned.get(rule, 1)
        if manifest is not None and rule not in self._planned:
            jobs = len(read_shards(study_of(manifest)))
        self.stages[rule] = StageProgress(jobs=jobs)
        return rule

    def finished(self, number: int) -> str:
        """Take a job that ended well; return the rule's name where it was the last of its rule."""
        if number not in self._jobs:
            return ""
        rule, manifest = self._jobs.pop(number)
        stage = self.stages[rule]
        stage.done += 1
        if manifest is not None:
            self._count(stage, manifest)
        return rule if stage.done == stage.jobs else ""

    def _count(self, stage: StageProgress, manifest: Path) -> None:
        summary = Store(study_of(manifest)).read_summary(manifest.parent.name, manifest.stem)
        if summary is None:
            return
        stage.statuses.update(summary["statuses"])
        stage.reasons.update({reason: found[0] for reason, found in summary["reasons"].items()})

    @property
    def n_failed(self) -> int:
        """Subjects that failed; each fails once, and is skipped by the stages after."""
        return sum(stage.statuses[Status.FAILED] for stage in self.stages.values())


def is_manifest(path: Path) -> bool:
    """Whether a path is a manifest of one shard, as the rules of per-subject stages write them."""
    return path.suffix == ".parquet" and path.parent.parent.name == "manifests"


def study_of(manifest: Path) -> Path:
    """Return the study's folder of a manifest."""
    return manifest.parents[2]
