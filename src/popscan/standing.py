"""Whether the files of a subject still are what its record says, and who has to make them again.

Size and time are compared with the stage's inventory, the content with the record's digest where
they leave a doubt. A stage that finds its input gone asks for the stage that made it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from popscan.archive import Archive
from popscan.inventory import (
    Stamp,
    drop_inventory,
    read_inventory,
    stamp_of,
    write_inventory,
)
from popscan.outputs import content_stands
from popscan.records import PopscanError, Record
from popscan.stages import SUBJECT_STAGES, built_on
from popscan.store import Store

#: Reasons of records that say nothing of the subject: something above them was gone.
GONE = frozenset({"upstream_missing", "upstream_lost"})


@dataclass(frozen=True)
class FileStamps:
    """Files of a stage's subjects in one shard, as the inventory knows them, and the archive."""

    archive: Archive
    known: Mapping[str, Stamp] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store, stage: str, shard: str) -> FileStamps:
        """Read them; none where the stage has not been through this shard."""
        entries = read_inventory(store.root, store.manifest_name(stage, shard)) or []
        known = {entry.name: entry.stamp for entry in entries}
        return cls(Archive(store.root, stage, shard), known)

    def stand(self, store: Store, record: Record) -> bool:
        """Whether all of a record's files are there, as they were written."""
        root, doubt = os.fspath(store.root), False
        try:
            for name, size in record.files.items():
                stamp = stamp_of(os.path.join(root, name))
                if stamp[0] != size:
                    return False
                doubt |= self.known.get(name, stamp) != stamp
            if record.packed:
                if not self.archive.holds(record.packed):
                    return False
                doubt |= self._archive_stamp != self.known.get(self.archive.name)
            return not doubt or content_stands(store, record, self.archive.shard)
        except OSError:
            return False

    @cached_property
    def _archive_stamp(self) -> Stamp:
        return stamp_of(self.archive.path)


def note_files(
    store: Store,
    stage: str,
    shard: str,
    records: Iterable[Record],
    before: FileStamps,
    *,
    kept: Collection[Record] = (),
    archive_seen: bool = False,
) -> None:
    """Write down the files of all records; of subjects left alone what was known before.

    Parameters
    ----------
    store, stage, shard, records, before
        Whose files, and what was known of them.
    kept
        Records of subjects that nobody looked at.
    archive_seen
        Whether all that the archive holds is known to be what the records say.
    """
    unseen = {record.unit for record in kept}
    files: dict[str, Stamp] = {}
    archive = Archive(store.root, stage, shard)
    with contextlib.suppress(FileNotFoundError):
        stamp = stamp_of(archive.path)
        known = before.known.get(archive.name, (stamp[0], 0))
        files[archive.name] = stamp if archive_seen else known
    for record in records:
        for name, size in record.files.items():
            files[name] = before.known.get(name, (size, 0))
            if record.unit not in unseen:
                # What goes at this moment is in doubt next time.
                with contextlib.suppress(OSError):
                    files[name] = stamp_of(store.root / name)
    whole = [store.manifest_path(stage, shard), store.journal(stage, shard).path]
    write_inventory(store.root, store.manifest_name(stage, shard), whole, files)


def stages_above(store: Store, stage: str, upstream: Collection[str]) -> list[str]:
    """Stages of this study on whose files a stage may build, in order."""
    before = [name for name in built_on(stage) if name in SUBJECT_STAGES]
    folder = store.root / "store"
    return [n for n in before if n in upstream or (folder / n).is_dir()] + [
        n for n in upstream if n not in before
    ]


def ask_above(
    store: Store, stage: str, upstream: Collection[str], shard: str, units: Collection[str]
) -> dict[str, list[str]]:
    """Have the stages above make again what is gone of these subjects.

    Returns
    -------
    dict
        Stage -> units of which it has no record any more, or not its files as recorded.
    """
    lost_units = {}
    for above in stages_above(store, stage, upstream):
        stamps = FileStamps.of(store, above, shard)
        records = store.journal(above, shard).read().records
        lost = [
            unit for unit in units if unit not in records or not stamps.stand(store, records[unit])
        ]
        if lost:
            lost_units[above] = lost
            forget(store, above, shard, [unit for unit in lost if unit in records])
    return lost_units


def forget(store: Store, stage: str, shard: str, units: Collection[str]) -> None:
    """Have a stage do these subjects again in the next run."""
    with store.journal(stage, shard).writer() as writer:
        for unit in units:
            writer.forget(unit)
    drop_inventory(store.root, store.manifest_name(stage, shard))


def gone_message(stage: str, shard: str, lost_units: Mapping[str, list[str]]) -> PopscanError:
    """Say what is gone, and what to do."""
    listed = "; ".join(
        f"{above}: {len(units)} subject{'s' if len(units) > 1 else ''}, e.g. {units[0]}"
        for above, units in lost_units.items()
    )
    return PopscanError(
        f"{stage}, shard {shard}: records or files of earlier stages are gone ({listed}); "
        "type the same command again: they are made again first"
    )
