"""What a study of another size would cost, estimated from what this one did."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from popscan.archive import Archive
from popscan.plan import read_shards
from popscan.records import PopscanError
from popscan.stages import SUBJECT_STAGES
from popscan.store import Store
from popscan.study.costs import cost_rates
from popscan.study.tables import read_table

#: Manifests read per stage to learn the sizes of files: a sample of a large study.
_SAMPLE = 20
#: Assumed where no job of a stage did its whole shard at once: Python, libraries, a model.
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
    inodes, bytes
        Mean number of files and folders, and bytes, that it leaves per subject; what an earlier
        stage stores already (hard links) is not counted again.
    cores, gpus
        What a job has: cores as given, GPUs as used (a fraction where only some jobs did).
    startup_s
        Seconds of a job that are not work on subjects; NaN where unknown.
    archives
        Mean number of archives that a job leaves; `inodes` counts what lies outside of them.
    """

    stage: str
    seconds: float
    seconds_p95: float
    peak_mb: float
    inodes: float
    bytes: float
    cores: float = 1.0
    gpus: float = 0.0
    startup_s: float = math.nan
    archives: float = 0.0


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
    rates = cost_rates(study_root).set_index("stage").to_dict("index")
    costs = []
    disk = DiskUse(study_root)
    for stage, rows in _in_order(table):
        seconds = rows["seconds"].to_numpy(float)
        files = [r["files"] for s in shards for r in store.read_manifest(stage, s)]
        archives = [Archive(study_root, stage, shard) for shard in shards]
        n_archives = sum(archive.path.is_file() for archive in archives)
        inodes, n_bytes = disk.added(files, archives)
        costs.append(
            StageCost(
                stage=stage,
                seconds=float(seconds.mean()),
                seconds_p95=float(np.percentile(seconds, 95)),
                peak_mb=float(rows["peak_mb"].max()),
                inodes=(inodes - n_archives) / max(len(files), 1),
                bytes=n_bytes / max(len(files), 1),
                cores=float(rates[stage]["cores"]),
                gpus=float(rates[stage]["gpus"]),
                startup_s=float(rates[stage]["startup_s"]),
                archives=n_archives / max(len(shards), 1),
            )
        )
    return costs


def _in_order(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    groups = [(str(stage), rows) for stage, rows in table.groupby("stage", sort=False)]
    return sorted(groups, key=lambda group: list(SUBJECT_STAGES).index(group[0]))


class DiskUse:
    """What stages add to a disk, one after the other: content that is linked counts once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._contents: set[tuple[int, int]] = set()
        self._folders: set[str] = set()

    def added(
        self, records: Sequence[Mapping[str, int]], archives: Sequence[Archive] = ()
    ) -> tuple[int, int]:
        """Return files and folders, and bytes, that a stage's records and archives add."""
        sizes = [archive.path.stat().st_size for archive in archives if archive.path.is_file()]
        inodes, n_bytes = len(sizes), sum(sizes)
        for files in records:
            for name, size in files.items():
                new = set(map(str, Path(name).parents[:-1])) - self._folders
                self._folders |= new
                inodes += len(new - {"derivatives"})
                if self._is_new(name):
                    inodes, n_bytes = inodes + 1, n_bytes + size
        return inodes, n_bytes

    def _is_new(self, name: str) -> bool:
        try:
            stat = os.stat(self.root / name)
        except OSError:
            return True
        if stat.st_nlink == 1:
            return True
        key = (stat.st_dev, stat.st_ino)
        known = key in self._contents
        self._contents.add(key)
        return not known


def format_estimate(costs: Sequence[StageCost], *, n: int, shard_size: int) -> str:
    """Say what `n` subjects would cost, stage by stage and in all.

    Parameters
    ----------
    costs
        Of a study that was run.
    n, shard_size
        Subjects, and subjects per job.
    """
    jobs = math.ceil(n / shard_size)
    head = f"{'stage':<12}{'s/subject':>10}{'95 %':>8}{'start-up s':>12}{'cores':>7}{'peak MB':>9}"
    head += f"{'core-h/1000':>13}{'GPU-h/1000':>12}{f'core-h/{n}':>16}{f'GPU-h/{n}':>15}"
    lines = [f"{head}{'jobs':>8}{'inodes':>12}{'GB':>10}"]
    total = np.zeros(5)
    for cost in costs:
        begun = _STARTUP_S if math.isnan(cost.startup_s) else cost.startup_s
        hours = (cost.seconds * n + begun * jobs) / 3600
        inodes = cost.inodes * n + cost.archives * jobs
        own = [cost.cores * hours, cost.gpus * hours, jobs, inodes, cost.bytes * n / 1e9]
        total += np.array(own)
        assumed = "~" if math.isnan(cost.startup_s) else ""
        lines.append(
            f"{cost.stage:<12}{cost.seconds:>10.3g}{cost.seconds_p95:>8.3g}"
            f"{f'{assumed}{begun:.3g}':>12}{cost.cores:>7.3g}{cost.peak_mb:>9.0f}" + _totals(own, n)
        )
    lines.append(f"{'in all':<58}" + _totals(list(total), n))
    lines.append(
        f"Disk per subject: {total[3] / n:.3g} files and folders, {1e3 * total[4] / n:.3g} MB, "
        "without tables, report and journals; content that is linked counts once."
    )
    lines.append(
        "Hours are those of the machine of the study that was run: cores that a job was given, "
        "times its work and start-up. Jobs of the atlas and of the whole study are not in it"
        + ("; ~ is assumed." if any(math.isnan(cost.startup_s) for cost in costs) else ".")
    )
    return "\n".join(lines)


def _totals(own: Sequence[float], n: int) -> str:
    core_h, gpu_h, jobs, files, gigabytes = own
    return (
        f"{1000 * core_h / n:>13.4g}{1000 * gpu_h / n:>12.4g}{core_h:>16.5g}{gpu_h:>15.5g}"
        f"{jobs:>8.0f}{files:>12.0f}{gigabytes:>10.3g}"
    )
