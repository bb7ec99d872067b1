"""Which files of a subject stay on disk: what the config chose, and what it means for a record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from popscan.disk import write_atomic
from popscan.records import Record

#: What is kept; results do not depend on it.
Keep = Literal["all", "labels", "tables"]
#: Stages whose files a later stage holds again.
COPIED = ("simulate",)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the config says, where jobs read it.

    Attributes
    ----------
    keep, archives
        Of the section ``storage``.
    stages
        Stages of the study, per subject or shard.
    given
        Per-subject stage -> name of the file of its options (`popscan.given`).
    """

    keep: Keep = "all"
    archives: bool = False
    stages: Sequence[str] = ()
    given: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> Choice:
        """Read it; everything is kept where there is none, or a damaged one."""
        try:
            return cls(**json.loads(_choice_path(root).read_bytes()))
        except (OSError, ValueError, TypeError):
            return cls()

    def write(self, root: Path) -> None:
        """Write it for the jobs; left alone where it says the same."""
        text = json.dumps(asdict(self), indent=1).encode()
        path = _choice_path(root)
        if not path.is_file() or path.read_bytes() != text:
            write_atomic(path, text)


def _choice_path(root: Path) -> Path:
    return root / "store" / "storage.json"


def not_kept(record: Record, keep: Keep, *, archives: bool = False) -> list[str]:
    """Return those stored and packed files of a record that are not kept.

    ``labels`` keeps label maps of segmentation and of references, and JSON that stands for itself;
    a JSON beside an image goes with it. With archives nothing is kept of stages whose files a later
    one holds again: two archives cannot share content, as two files can.
    """
    names = [*record.files, *record.packed]
    if record.stage in COPIED and (archives or keep != "all"):
        return names
    if keep == "all":
        return []
    if keep == "tables":
        return names
    stems = [_stem(name) for name in record.outputs]
    return [name for name in names if not _is_label_or_note(name, stems)]


def _is_label_or_note(name: str, stems: Sequence[str]) -> bool:
    stem = _stem(name)
    if stem.endswith("_dseg"):
        return stem.partition("_desc-")[2] in ("", "reference_dseg")
    return name.endswith(".json") and stems.count(stem) == 1


def _stem(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[0]
