"""A subject's files of one stage: written whole or not at all, and digested."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from popscan.archive import Archive
from popscan.disk import store_once
from popscan.jsontext import canonical_json
from popscan.records import Outcome, Record
from popscan.store import Store
from popscan.task import Task


def write_files(
    store: Store, folder: Path, task: Task, outcome: Outcome, given: Path | None = None
) -> tuple[str, dict[str, int]]:
    """Write an outcome's files in place of those of an earlier run.

    Parameters
    ----------
    store, folder, task, outcome
        Whose files, and where.
    given
        Folder of an earlier stage: equal files are stored once.

    Returns
    -------
    digest : str
        Of the outcome's values and files.
    files : dict
        Path relative to the study -> size in bytes.
    """
    temporary = folder / ".tmp"
    if temporary.exists():
        shutil.rmtree(temporary)
    digest = _content_digest(outcome)
    files: dict[str, int] = {}
    if outcome.files:
        temporary.mkdir(parents=True)
        for name, content in outcome.files.items():
            task.write(temporary / name, content)
        for path in sorted(temporary.iterdir()):
            if given is not None:
                store_once(path, given / path.name)
            _add_file(digest, path.name, _sha256(path))
            files[str((folder / path.name).relative_to(store.root))] = path.stat().st_size
            path.replace(folder / path.name)
            path.unlink(missing_ok=True)  # a link to the file that is there already is not renamed
        temporary.rmdir()
    _remove_others(store, folder, files)
    return digest.hexdigest(), files


def _remove_others(store: Store, folder: Path, files: Mapping[str, int]) -> None:
    """Remove files that an earlier run left and this one did not write."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if str(path.relative_to(store.root)) not in files:
            path.unlink()
    if not files:
        folder.rmdir()


def content_stands(store: Store, record: Record, shard: str) -> bool:
    """Whether a record and the content of its files are still what was digested.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    packed = Archive(store.root, record.stage, shard).checksums(record.packed)
    return digest_of(record, {**checksums(store, record), **packed}) == record.digest


def checksums(store: Store, record: Record) -> dict[str, str]:
    """Return the SHA-256 of every output: of its own files as they are, of all others as noted.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    return {**record.removed, **{name: _sha256(store.root / name) for name in record.files}}


def digest_of(record: Record, sums: Mapping[str, str]) -> str:
    """Return the digest that a record has with outputs of this content."""
    digest = _content_digest(record)
    for name in sorted(sums):
        _add_file(digest, Path(name).name, sums[name])
    return digest.hexdigest()


def _content_digest(result: Outcome | Record) -> hashlib._Hash:
    return hashlib.sha256(canonical_json([result.status, result.values, result.rows]).encode())


def _add_file(digest: hashlib._Hash, name: str, checksum: str) -> None:
    digest.update(name.encode() + b"\0" + bytes.fromhex(checksum))


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
