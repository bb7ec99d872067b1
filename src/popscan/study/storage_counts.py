"""How many files a study stores, packs and has removed, and sentences about it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from popscan.stages import SUBJECT_STAGES
from popscan.store import Store


def file_counts(store: Store, shards: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count the files that stages store, those in archives, and those that were removed.

    Returns
    -------
    dict
        Stage -> ``stored``, ``removed`` and, where there are any, ``packed``; stages without files
        are left out.
    """
    counts = {}
    for stage in SUBJECT_STAGES:
        stored = removed = packed = 0
        for shard in shards:
            for record in store.journal(stage, shard).read().records.values():
                stored, removed = stored + len(record.files), removed + len(record.gone)
                packed += len(record.packed)
        if stored or removed or packed:
            counts[stage] = {"stored": stored, "removed": removed}
            counts[stage] |= {"packed": packed} if packed else {}
    return counts


def format_counts(keep: str, counts: Mapping[str, Mapping[str, int]]) -> str:
    """Say what is stored, stage by stage."""
    lines = [f"storage.keep: {keep}"]
    for stage, numbers in counts.items():
        packed = f"{numbers['packed']} in archives, " if numbers.get("packed") else ""
        lines.append(
            f"{stage}: {numbers['stored']} files stored, {packed}"
            f"{numbers['removed']} removed by storage (made again when a stage needs them)"
        )
    return "\n".join(lines)


def storage_line(root: Path) -> str:
    """Return one sentence on what was removed, of the last run's summary; empty without any."""
    try:
        summary = json.loads((root / "storage.json").read_bytes())
        removed = sum(numbers["removed"] for numbers in summary["files"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    if not removed:
        return ""
    return f"{removed} files were removed by storage (keep: {summary['keep']}); none is lost"
