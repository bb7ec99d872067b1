"""What subjects are registered to stays while a study grows a little.

Every average changes with every subject, and all would be registered again to the changed one. An
average of the same subjects and a few fewer serves as well as a target: what the atlas reports is
made of all subjects anyway, and moved by the inverse of their mean displacement.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popscan.disk import write_atomic
from popscan.stages.atlas.stored import Arrays, read_made_from
from popscan.study.kept import keep, restore


def digest_of(arrays: Arrays) -> str:
    """Return a digest of a prepared subject's arrays."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def digests_as_arrays(digests: Mapping[str, str]) -> dict[str, NDArray[np.str_]]:
    """Return digests by unit as arrays, in an npz beside a shard's sums."""
    return {"made_from": np.array([f"{unit} {one}" for unit, one in sorted(digests.items())],
                                  dtype=np.str_)}  # fmt: skip


def read_digests(paths: Sequence[Path]) -> dict[str, str]:
    """Read the digests of all subjects that enter a round's average."""
    found: dict[str, str] = {}
    for path in paths:
        with np.load(path, allow_pickle=False) as stored:
            lines = stored["made_from"].tolist() if "made_from" in stored.files else []
        found |= dict(line.rsplit(" ", 1) for line in lines)
    return found


@dataclass(frozen=True, kw_only=True)
class Target:
    """A round's averages as the next round's target.

    Attributes
    ----------
    output
        Where they are written.
    folder
        Where they are kept.
    made_of
        Digest of all that decides them, but the subjects.
    units
        Unit -> digest, of the subjects that they would be averages of now: one visit of each.
    """

    output: Path
    folder: Path
    made_of: str
    units: Mapping[str, str]

    @property
    def made_from(self) -> str:
        """Digest of the subjects."""
        text = json.dumps(dict(sorted(self.units.items())))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def _note(self) -> Path:
        return self.folder / f"{self.output.stem}-subjects.json"

    def _known(self) -> dict[str, str]:
        try:
            known = json.loads(self._note.read_bytes())
            return {str(unit): str(digest) for unit, digest in known.items()}
        except (OSError, ValueError, AttributeError):
            return {}

    @property
    def n_known(self) -> int:
        """Subjects of the kept averages."""
        return len(self._known())

    def restore(self, *, max_growth_pct: float) -> bool:
        """Give the output the kept averages, if they still serve.

        They do where they were made by the same settings of subjects that are all still in the
        study, unchanged, and no more than `max_growth_pct` of them have joined since. What holds no
        average of all is never registered to, so it does not serve, either.
        """
        known = self._known()
        if not known or any(self.units.get(unit) != one for unit, one in known.items()):
            return False
        if len(self.units) > len(known) * (1 + max_growth_pct / 100):
            return False
        if not restore(self.output, self.folder, self.made_of):
            return False
        if read_made_from(self.output)[0]:
            return True
        self.output.unlink()
        return False

    def keep(self) -> None:
        """Keep the averages, and of whom they are; without one of all nothing is kept."""
        if not read_made_from(self.output)[0]:
            return
        keep(self.output, self.folder, self.made_of)
        write_atomic(self._note, json.dumps(dict(sorted(self.units.items()))).encode())
