"""One stage of one small study in a process of its own, its CPU time by part: for throughput.py.

Subjects are done one after the other (nothing loaded ahead), so that what the process used in a
part is the part's, threads of libraries included. Runs with the package of any revision that has
`popscan.stages.tasks.run_stage`.

    python benchmarks/throughput_stage.py STUDY CONFIG STAGE    prints one line of JSON
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from popscan import worker
from popscan.commands.configfile import load_config
from popscan.stages import STAGES, version_of
from popscan.store import Store

SHARD = "00000"


def options_of(config: dict[str, Any], stage: str) -> dict[str, Any]:
    """Return what the workflow gives a stage."""
    given = STAGES[stage].sections_of(config)
    given |= {"study": {"seed": config["study"]["seed"]}, "protocol": config["protocol"]}
    if STAGES[stage].options:
        given["stages"] = {stage: config["stages"].get(stage, {})}
    return {"version": version_of(stage), **given}


class Parts:
    """CPU seconds of each subject in each part of the runner."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def watch(self, name: str, part: str) -> None:
        """Note what a function of the runner uses, at every call."""
        plain: Callable[..., Any] = getattr(worker, name)

        def timed(*args: Any, **options: Any) -> Any:
            began = time.process_time()
            try:
                return plain(*args, **options)
            finally:
                self.seconds.setdefault(part, []).append(time.process_time() - began)

        setattr(worker, name, timed)


def subjects(study: Path, config: dict[str, Any], stage: str) -> Parts:
    """Run a stage that works on one subject after the other."""
    from popscan.stages import tasks

    parts = Parts()
    for name, part in {"_timed_load": "read", "_save": "write", "_attempt": "work"}.items():
        parts.watch(name, part)
    vars(tasks)["run_shard"] = partial(tasks.run_shard, ahead=0)
    tasks.run_stage(Store(study), stage, SHARD, options_of(config, stage))
    # The work waits for what is read.
    pairs = zip(parts.seconds.pop("work"), parts.seconds["read"], strict=True)
    parts.seconds["compute"] = [max(work - read, 0.0) for work, read in pairs]
    return parts


def job(study: Path, config: dict[str, Any], stage: str) -> Parts:
    """Run a job of a whole shard or study."""
    parts, options = Parts(), options_of(config, stage)
    work = study / "atlas" / "work"
    prepared, members = work / "prepared" / f"{SHARD}.npz", work / "members.parquet"
    if stage == "plan":
        from popscan.stages.plan.job import plan_study

        call: Callable[[], Any] = partial(plan_study, study, options)
    elif stage == "collect":
        from popscan.stages.collect.job import collect

        call = partial(collect, Store(study), options)
    elif stage == "rca_references":
        from popscan.stages.rca.task import make_references

        path = study / "rca" / "references.npz"
        path.parent.mkdir(exist_ok=True)
        call = partial(make_references, Store(study), options, path)
    elif stage == "atlas_prepare":
        from popscan.stages.atlas.job import prepare_shard

        prepared.parent.mkdir(parents=True, exist_ok=True)
        call = partial(prepare_shard, Store(study), SHARD, options, prepared)
    elif stage == "atlas_subjects":
        from popscan.stages.atlas.members import write_members

        call = partial(write_members, study, options, members)
    else:
        from popscan.stages.atlas.job import map_shard

        path = work / "sums-0" / f"{SHARD}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        call = partial(map_shard, prepared, members, None, options, path)
    began = time.process_time()
    call()
    parts.seconds["compute"] = [time.process_time() - began]
    return parts


def main() -> None:
    """Run the stage and print what it took."""
    study, configfile, stage = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    config = load_config(configfile).model_dump()
    run = subjects if STAGES[stage].per == "subject" else job
    parts = run(study, config, stage)
    print(json.dumps({"parts": parts.seconds, "all": time.process_time()}))


if __name__ == "__main__":
    main()
