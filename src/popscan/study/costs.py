"""What a study cost: work from the records, whole jobs from Snakemake's benchmark files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from popscan.registry import read_registry
from popscan.stages import STUDY_STAGES, SUBJECT_STAGES
from popscan.study.tables import read_table

#: A job's records and its benchmark file may differ by so much in when they say it ran.
_SLACK_S = 3.0
#: Files of ``logs/atlas`` that belong to one shard -> job.
_ATLAS = {"prepare": "atlas_prepare", "map": "atlas_map", "reduce": "atlas_reduce"}
#: Jobs per study and per shard, in order; the report's own is running while it is written.
_STUDY_JOBS = [name for name, s in STUDY_STAGES.items() if s.per == "study" and name != "report"]
_SHARD_JOBS = [name for name, stage in STUDY_STAGES.items() if stage.per == "shard"]


def job_times(study_root: Path) -> pd.DataFrame:
    """Read the benchmark files of a study's jobs: what the last run of each took.

    Returns
    -------
    DataFrame
        ``job`` (stage or rule), ``shard`` (empty for jobs of the whole study), ``seconds`` of wall
        time, ``cpu_seconds``, ``peak_mb``, ``ended`` (seconds since 1970). Empty without any.
    """
    rows = []
    for path in sorted((study_root / "logs").glob("**/*.benchmark.tsv")):
        name, folder = path.name.removesuffix(".benchmark.tsv"), path.parent.name
        job, shard = (name, "") if folder == "logs" else (folder, name)
        if folder == "atlas":
            kind, _, rest = name.partition("-")
            job, shard = _ATLAS.get(kind, kind), "" if kind == "reduce" else rest.split("-")[-1]
        rows.append({"job": job, "shard": shard, "ended": path.stat().st_mtime, **_times(path)})
    columns = ["job", "shard", "seconds", "cpu_seconds", "peak_mb", "ended"]
    return pd.DataFrame(rows, columns=columns).dropna(subset="seconds")


def _times(path: Path) -> dict[str, float]:
    """Last row of a benchmark file; NaN for what it does not say (``-``, a torn file)."""
    lines = [line.split("\t") for line in path.read_text(errors="replace").splitlines()]
    row = dict(zip(lines[0], lines[-1], strict=False)) if len(lines) > 1 else {}
    names = {"seconds": "s", "cpu_seconds": "cpu_time", "peak_mb": "max_rss"}
    return {ours: _number(row.get(theirs, "")) for ours, theirs in names.items()}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _seconds_since_1970(finished: pd.Series) -> pd.Series:
    times = pd.to_datetime(finished, utc=True, format="ISO8601")
    return (times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)


def startup_seconds(study_root: Path, jobs: pd.DataFrame, costs: pd.DataFrame) -> dict[str, float]:
    """Seconds of a stage's job that are not work on subjects, by stage: medians.

    Only jobs count that did all of their shard in one go: a run that found some subjects done
    says nothing of the whole. Stages without such a job are left out.
    """
    shard_of = read_registry(study_root / "plan" / "registry.tsv")
    work = costs.assign(
        shard=costs["unit"].map(shard_of),
        at=_seconds_since_1970(costs["finished"]),
    )
    grouped = work.groupby(["stage", "shard"])
    shards = pd.DataFrame(
        {
            "work": grouped["seconds"].sum(),
            "first": grouped["at"].min(),
            "last": grouped["at"].max(),
        }
    ).reset_index()
    both = jobs.rename(columns={"job": "stage"}).merge(shards, on=["stage", "shard"])
    began = both["ended"] - both["seconds"]
    whole = (both["first"] >= began - _SLACK_S) & (both["last"] <= both["ended"] + _SLACK_S)
    # Loading overlaps with work, so that a job may take less than the sum over its subjects.
    spare = (both["seconds"] - both["work"]).clip(lower=0.0)[whole]
    return {str(k): float(v) for k, v in spare.groupby(both["stage"]).median().items()}


def cost_rates(study_root: Path) -> pd.DataFrame:
    """Say what 1,000 subjects cost in each stage, from what this study's did.

    Returns
    -------
    DataFrame
        ``stage``, ``n`` (subjects), ``core_hours_per_1000`` (cores that the jobs were given, times
        work and start-up), ``gpu_hours_per_1000``, ``peak_mb``, ``startup_s`` per job (NaN where
        no job did a whole shard at once), ``cores`` and ``gpus`` of a job. In order of the stages;
        other jobs per shard follow. Empty for a study that was not run.
    """
    costs, jobs = read_table(study_root, "cost"), job_times(study_root)
    columns = ["stage", "n", "core_hours_per_1000", "gpu_hours_per_1000", "peak_mb", "startup_s"]
    columns += ["cores", "gpus"]
    if costs.empty:
        return pd.DataFrame(columns=columns)
    costs = costs.reindex(columns=[*dict.fromkeys([*costs, "cores", "gpus"])])
    costs = costs.fillna({"cores": 1.0, "gpus": 0.0})
    startup = startup_seconds(study_root, jobs, costs)
    n_jobs = len(set(read_registry(study_root / "plan" / "registry.tsv").values()))
    rows: list[list[object]] = []
    known = set(costs["stage"].unique())
    for stage in [s for s in SUBJECT_STAGES if s in known]:
        here = costs[costs["stage"] == stage]
        cores, gpus = here["cores"].max(), here["gpus"].max()
        spare = startup.get(stage, np.nan)
        begun = 0.0 if np.isnan(spare) else spare * n_jobs
        core_s = (here["seconds"] * here["cores"]).sum() + cores * begun
        gpu_s = (here["seconds"] * here["gpus"]).sum() + gpus * begun
        rates = [seconds / len(here) / 3.6 for seconds in (core_s, gpu_s)]
        rows.append([stage, len(here), *rates, here["peak_mb"].max(), spare, cores, gpus])
    n = int(costs["unit"].nunique())
    for job, here in jobs[jobs["job"].isin(_SHARD_JOBS)].groupby("job"):
        rate = here["seconds"].sum() / n / 3.6
        rows.append([job, n, rate, 0.0, here["peak_mb"].max(), np.nan, 1.0, 0.0])
    return pd.DataFrame(rows, columns=columns)


def study_costs(study_root: Path) -> pd.DataFrame:
    """Jobs run once for the whole study: ``stage, seconds, peak_mb, cores``."""
    jobs = job_times(study_root)
    rows = [
        [name, here["seconds"].sum(), here["peak_mb"].max(), 1.0]
        for name in _STUDY_JOBS
        if len(here := jobs[jobs["job"] == name])
    ]
    return pd.DataFrame(rows, columns=["stage", "seconds", "peak_mb", "cores"])
