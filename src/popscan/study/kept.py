"""Results of a study's jobs that are kept beside their outputs: the same inputs, no work again.

Snakemake deletes the outputs of a job before it runs, and runs it again whenever a rule above it
ran. A job that registers subjects for hours keeps a second name of its output, with a fingerprint
of all that went into it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

from popscan.disk import write_atomic


def fingerprint(*parts: bytes) -> str:
    """Digest of everything that a result depends on, in order."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()


def restore(output: Path, folder: Path, digest: str) -> bool:
    """Give an output its kept content back, if that was made of the same and is not damaged.

    Parameters
    ----------
    output
        Where it belongs.
    folder
        Where results are kept: one for each output, by its name.
    digest
        `fingerprint` of what it would be made of now.
    """
    kept, note = _names(output, folder)
    try:
        known = json.loads(note.read_bytes())
        same = known == {"made_of": digest, "sha256": _sha256(kept)}
    except (OSError, ValueError):
        return False
    if same:
        _link(kept, output)
    return same


def keep(output: Path, folder: Path, digest: str) -> None:
    """Keep an output for `restore`."""
    kept, note = _names(output, folder)
    folder.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    _link(output, kept)
    text = json.dumps({"made_of": digest, "sha256": _sha256(output)})
    write_atomic(note, text.encode())


def _names(output: Path, folder: Path) -> tuple[Path, Path]:
    return folder / output.name, folder / f"{output.name}.json"


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; a copy where the file system has no hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
