"""Copies of files that lie in a shard's archives, for readers that change nothing in the study."""

from __future__ import annotations

import shutil
import weakref
from collections import OrderedDict
from pathlib import Path
from tempfile import mkdtemp

from popscan.archive import Archive
from popscan.records import Record

#: Subjects and stages whose copies are kept at a time; the oldest go first.
_N_KEPT = 16


class Copies:
    """Copies of packed files in a temporary folder, which goes with this object.

    Parameters
    ----------
    root, shard
        The study's folder, and the shard.
    """

    def __init__(self, root: Path, shard: str) -> None:
        self.root, self.shard = root, shard
        self._folder = mkdtemp(prefix="popscan-")
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._made: OrderedDict[tuple[str, str], Path] = OrderedDict()

    def of(self, record: Record) -> Path:
        """Return the folder with copies of all packed files of a record.

        Raises
        ------
        ArchiveError
            If they are not in the archive as they were packed.
        """
        key = (record.stage, record.unit)
        if key not in self._made:
            while len(self._made) >= _N_KEPT:
                shutil.rmtree(self._made.popitem(last=False)[1], ignore_errors=True)
            folder = Path(self._folder, record.stage, record.unit)
            wanted = {name: record.removed[name] for name in record.packed}
            archive = Archive(self.root, record.stage, self.shard)
            archive.unpack(wanted, lambda name: folder / Path(name).name)
            self._made[key] = folder
        self._made.move_to_end(key)
        return self._made[key]
