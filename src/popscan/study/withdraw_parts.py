"""Remove subjects from every protocol of a study, and from what joins the protocols."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from popscan.lock import StudyLock
from popscan.names import matching_units
from popscan.records import PopscanError
from popscan.registry import read_registry
from popscan.study.parts import JOINED
from popscan.study.withdraw import Withdrawal, withdraw
from popscan.withdrawn import Memory


def withdraw_everywhere(parts: Sequence[Path], names: Sequence[str]) -> dict[Path, Withdrawal]:
    """Remove subjects or visits from all parts of a study that have them.

    Parameters
    ----------
    parts
        Its studies of one protocol each (`popscan.study.parts.parts_of`); one is enough.
    names
        Subjects or visits.

    Raises
    ------
    PopscanError
        If a part is being run, or a name is in none of them; nothing is removed then.
    """
    if busy := [str(part) for part in parts if not StudyLock(part).is_free()]:
        raise PopscanError(f"{busy[0]} is being run; stop snakemake, or wait for its end")
    here = {part: [name for name in names if _known(part, name)] for part in parts}
    unknown = [name for name in names if not any(name in known for known in here.values())]
    if unknown:
        withdraw(parts[0], unknown)  # refuses them, and says what may have been meant
    if len(parts) > 1:
        for name in JOINED:
            shutil.rmtree(parts[0].parent / name, ignore_errors=True)
    return {part: withdraw(part, known) for part, known in here.items() if known}


def _known(part: Path, name: str) -> bool:
    if matching_units([name], read_registry(part / "plan" / "registry.tsv")):
        return True
    memory = Memory.read(part)
    return memory.left_by_hand(name) or memory.left_by_hand(f"sub-{name}")
