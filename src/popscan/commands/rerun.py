"""Mark subjects to be redone: their records are forgotten, Snakemake then reruns their shards."""

from __future__ import annotations

from collections.abc import Collection

from popscan.inventory import damaged_files
from popscan.names import resolve_units
from popscan.plan import read_plan
from popscan.records import PopscanError, Record, Status
from popscan.registry import read_registry
from popscan.stages import SUBJECT_STAGES, below
from popscan.standing import GONE, FileStamps, forget
from popscan.store import Store


def mark_rerun(
    store: Store,
    *,
    subjects: Collection[str] | None = None,
    failed: bool = False,
    stages: Collection[str] = tuple(SUBJECT_STAGES),
) -> dict[str, int]:
    """Forget records, so that the next ``snakemake`` redoes them.

    Parameters
    ----------
    store
        The study's store.
    subjects
        Subjects (``sub-*``) or visits (``sub-*_ses-*``); None for all.
    failed
        Only where the record says failed, or is lost, or lost its files.
    stages
        Stages concerned. Stages below redo what changes by themselves.

    Returns
    -------
    dict
        Stage -> number of records forgotten.

    Raises
    ------
    PopscanError
        For a subject or stage that the study does not have.
    """
    removed = set(read_plan(store.root).get("removed", []))
    known = read_registry(store.root / "plan" / "registry.tsv")
    registry = {unit: shard for unit, shard in known.items() if unit not in removed}
    if unknown := sorted(set(stages) - set(SUBJECT_STAGES)):
        raise PopscanError(f"no stage {unknown}; stages: {list(SUBJECT_STAGES)}")
    by_shard: dict[str, list[str]] = {}
    for unit in _units(registry, subjects):
        by_shard.setdefault(registry[unit], []).append(unit)
    return {
        stage: sum(
            _forget(store, stage, shard, units, failed=failed)
            for shard, units in sorted(by_shard.items())
        )
        for stage in stages
    }


def stages_from(first: str) -> list[str]:
    """Return `first` and the stages that build on it.

    Raises
    ------
    PopscanError
        If there is no such stage.
    """
    if first not in SUBJECT_STAGES:
        raise PopscanError(f"no stage {first!r}; stages: {list(SUBJECT_STAGES)}")
    return below(first)


def _units(registry: dict[str, str], subjects: Collection[str] | None) -> list[str]:
    if subjects is None:
        return list(registry)
    return resolve_units(list(subjects), list(registry), where="rerun")


def _forget(store: Store, stage: str, shard: str, units: list[str], *, failed: bool) -> int:
    journal = store.journal(stage, shard)
    if not journal.path.exists():
        return 0
    if failed and _is_whole(store, stage, shard):
        return 0
    records = journal.read().records
    missing = [unit for unit in units if unit not in records]
    chosen = [unit for unit in units if unit in records]
    if failed:
        stamps = FileStamps.of(store, stage, shard)
        chosen = [unit for unit in chosen if _is_bad(store, records[unit], stamps)]
    if chosen:
        forget(store, stage, shard, chosen)
    manifest = store.manifest_path(stage, shard)
    # A shard without a manifest is still to be done: what its journal lacks is not lost.
    lost = len(missing) if failed and manifest.exists() else 0
    if chosen or missing:
        # Without its output the shard's job has to run; the journal spares all other subjects.
        manifest.unlink(missing_ok=True)
    return len(chosen) + lost


def _is_whole(store: Store, stage: str, shard: str) -> bool:
    """Whether nobody failed, nothing is lost, and the manifest says so."""
    summary = store.read_summary(stage, shard)
    name = store.manifest_name(stage, shard)
    return (
        summary is not None
        and not summary["statuses"].get(Status.FAILED)
        and not GONE & summary["reasons"].keys()
        and damaged_files(store.root, name, subject_files=True) == []
    )


def _is_bad(store: Store, record: Record, stamps: FileStamps) -> bool:
    gone = record.reason in GONE
    return gone or record.status is Status.FAILED or not stamps.stand(store, record)
