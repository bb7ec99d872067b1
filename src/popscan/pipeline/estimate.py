"""What a study of another size would cost, told from what this one did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from popscan.pipeline.tables import read_table
from popscan.plan import read_shards
from popscan.records import PopscanError
from popscan.stages import SUBJECT_STAGES
from popscan.store import Store

#: Manifests read per stage to learn the sizes of files: a sample of a large study.
_SAMPLE = 20
_STARTUP_S = 6.0


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """One stage's cost per subject.

    Attributes
    ----------
    seconds, seconds_p95
        Mean, and 95th percentile, of wall time per subject without a job's start-up.
    peak_mb
        Largest memory of any process.
    files, bytes
        Mean number and size of what it leaves per subject.
    """

    stage: str
    seconds: float
    seconds_p95: float
    peak_mb: float
    files: float
    bytes: float


def stage_costs(study_root: Path) -> list[StageCost]:
    """Learn from a study that was run what its stages cost per subject.

    Raises
    ------
    PopscanError
        If the study has no table of costs yet.
    """
    table = read_table(study_root, "cost")
    if table.empty:
        raise PopscanError(
            f"{study_root}: no tables/cost.parquet; an estimate needs a study that was run, "
            "a few dozen subjects will do"
        )
    store, shards = Store(study_root), read_shards(study_root)[:_SAMPLE]
    costs = []
    for stage, rows in table.groupby("stage", sort=False):
        seconds = rows["seconds"].to_numpy(float)
        files = pd.Series(
            [r["files"] for s in shards for r in store.read_manifest(str(stage), s)], dtype=object
        )
        costs.append(
            StageCost(
                stage=str(stage),
                seconds=float(seconds.mean()),
                seconds_p95=float(np.percentile(seconds, 95)),
                peak_mb=float(rows["peak_mb"].max()),
                files=float(files.map(len).mean()),
                bytes=float(files.map(lambda sizes: sum(sizes.values())).mean()),
            )
        )
    return sorted(costs, key=lambda cost: list(SUBJECT_STAGES).index(cost.stage))


def format_estimate(costs: Sequence[StageCost], *, n: int, shard_size: int) -> str:
    """Say what `n` subjects would cost, stage by stage and in all."""
    jobs = math.ceil(n / shard_size)
    head = f"{'stage':<12}{'s/subject':>10}{'95 %':>8}{'h/1000':>9}{f'h/{n}':>12}"
    lines = [f"{head}{'peak MB':>9}{'jobs':>8}{'files':>12}{'GB':>10}"]
    total = np.zeros(4)
    for cost in costs:
        own = np.array([cost.seconds * n / 3600, jobs, cost.files * n, cost.bytes * n / 1e9])
        own[0] += jobs * _STARTUP_S / 3600
        total += own
        lines.append(
            f"{cost.stage:<12}{cost.seconds:>10.3g}{cost.seconds_p95:>8.3g}"
            f"{cost.seconds / 3.6:>9.3g}{own[0]:>12.5g}{cost.peak_mb:>9.0f}"
            f"{own[1]:>8.0f}{own[2]:>12.0f}{own[3]:>10.3g}"
        )
    lines.append(
        f"{'in all':<12}{'':>27}{total[0]:>12.5g}{'':>9}{total[1]:>8.0f}"
        f"{total[2]:>12.0f}{total[3]:>10.3g}"
    )
    lines.append(
        "Hours are of one job, on the machine of the study that was run, with about "
        f"{_STARTUP_S:.0f} s of start-up per job; times a job's threads they are core-hours. "
        "Where segment has a GPU, its hours are GPU-hours."
    )
    return "\n".join(lines)
