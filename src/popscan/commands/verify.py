"""Hold what is on disk against what popscan wrote; what differs is made again by the next run."""

from __future__ import annotations

from collections.abc import Iterator

from popscan.archive import FOLDER
from popscan.inventory import damaged_outputs, drop_inventory
from popscan.outputs import content_stands
from popscan.plan import read_shards
from popscan.records import PopscanError, Record
from popscan.stages import SUBJECT_STAGES
from popscan.standing import FileStamps, forget
from popscan.store import Store


def verify_study(store: Store, *, deep: bool = False) -> dict[str, list[str]]:
    """Find what is lost or changed, and mark it.

    Parameters
    ----------
    store
        The study's store.
    deep
        Read every file, also those whose size and time are as they were.

    Returns
    -------
    dict
        Output that has to be made again -> files or records that are lost or changed.

    Raises
    ------
    PopscanError
        If the disk fails while files are read (`deep`).
    """
    found = damaged_outputs(store.root, subject_files=True, content=deep)
    for stage in SUBJECT_STAGES:
        for shard in read_shards(store.root):
            name = store.manifest_name(stage, shard)
            if deep or name in found:
                lost = list(_lost(store, stage, shard, deep=deep))
                subjects = ("derivatives/", f"{FOLDER}/")
                doubt = [f for f in found.pop(name, []) if not f.startswith(subjects)]
                if lost or doubt:
                    files = [file for r in lost for file in (*r.files, *r.packed)]
                    found[name] = [*doubt, *files]
                if lost:
                    forget(store, stage, shard, [record.unit for record in lost])
    for output in found:
        drop_inventory(store.root, output)
    return found


def _lost(store: Store, stage: str, shard: str, *, deep: bool) -> Iterator[Record]:
    stamps = FileStamps.of(store, stage, shard)
    for record in store.journal(stage, shard).read().records.values():
        stands = stamps.stand(store, record)
        if stands and deep and (record.files or record.packed):
            try:
                stands = content_stands(store, record, shard)
            except OSError as error:
                message = f"{stage}, shard {shard}: cannot be read ({error})"
                raise PopscanError(f"{message}; type the same command again") from error
        if not stands:
            yield record
