"""The table of tasks, and the call that runs one stage over one shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from glob import escape
from pathlib import Path

from popscan.disk import no_later_than_now
from popscan.methods import resolve
from popscan.names import matching_units, name_list
from popscan.plan import read_shard
from popscan.records import PopscanError
from popscan.run import Limits, ShardResult, run_shard
from popscan.stages import TASKS
from popscan.stages.restoring import Restorer
from popscan.store import Store, shard_file
from popscan.study.context import ShardContext
from popscan.study.storage import clear_shard
from popscan.study.stored import PATIENCE_S


def run_stage(
    store: Store,
    stage: str,
    shard: str,
    options: Mapping[str, object],
    *,
    subjects: str | Sequence[str] = "",
    limits: Limits | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ShardResult:
    """Run one stage over one shard.

    Parameters
    ----------
    store, stage, shard
        The study's store, and which stage of which shard.
    options
        The config sections that the stage is given, and its version.
    subjects
        Subjects (``sub-*``) or visits (``sub-*_ses-*``) to which work is
        restricted, as a list or separated by commas; empty for all.
    limits, progress
        As in `popscan.run.run_shard`.
    threads
        Threads of the stage's numerics.

    Raises
    ------
    PopscanError
        For an unknown stage or shard, and as `run_shard`.
    """
    planned = read_shard(store.root, shard)
    context = ShardContext(
        store=store,
        shard=shard,
        options=options,
        planned={p.subject.unit: p for p in planned},
        threads=threads,
        restore=Restorer(store, shard),
    )
    names = name_list(subjects)
    only = frozenset(matching_units(names, [p.subject.unit for p in planned]))
    if names and not only:
        raise PopscanError(f"shard {shard} holds none of the subjects {sorted(names)[:5]}")
    task = replace(resolve(TASKS, stage, "popscan")(context), cores=max(threads, 1))
    no_later_than_now([shard_file(store.root, shard), *_made_of(store, shard)])
    result = run_shard(
        store,
        task,
        shard,
        planned,
        only=only,
        limits=limits,
        patience_s=PATIENCE_S,
        progress=progress,
    )
    clear_shard(store, shard)
    return result


def _made_of(store: Store, shard: str) -> list[Path]:
    """Return the files that Snakemake compares in time with those of a shard's stages."""
    manifests = (store.root / "manifests").glob(f"*/{escape(shard)}.parquet")
    plan = store.root / "plan" / "plan.json"
    return [plan, *manifests, *(store.root / "tables").glob("*.parquet")]
