"""Remove subjects from a study: images, records, pages and rows; a count stays.

What is computed from several subjects (tables, report, share, atlas, reference cases) is removed
with them and made again without them by the next ``snakemake``. What was copied elsewhere, handed
on or backed up cannot be reached.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from popscan.archive import FOLDER, Archive
from popscan.disk import write_atomic
from popscan.lock import StudyLock
from popscan.names import matching_units, resolve_units, subject_of
from popscan.records import PopscanError
from popscan.registry import read_registry, registry_lines, tombstoned
from popscan.stages import SUBJECT_STAGES
from popscan.store import Store, shard_file
from popscan.study.copies import remove_left_copies
from popscan.study.withdraw_plan import (
    correct_plan,
    cut_shard,
    forget_folders,
    forget_reference,
)
from popscan.withdrawn import Memory, Mentions

#: Made from many subjects, and made again by the next run.
_OF_THE_STUDY = ("tables", "report", "share", "figures", "models", "provenance.json")
#: Folders that are dealt with by themselves; all else is searched for names.
_KNOWN = ("derivatives", FOLDER, "store", "manifests", "plan")
#: Made by popscan from subjects; a file there that names one goes.
_DERIVED = ("params", "logs", "atlas", "rca", "visibility", "experiment")


@dataclass(kw_only=True)
class Withdrawal:
    """What was removed.

    Attributes
    ----------
    n_visits, n_files
        Visits, and files and folders' files that were removed for them.
    removed
        What of the whole study was removed, to be made again.
    left
        Files below the study's folder that are not popscan's and still name a subject.
    """

    n_visits: int = 0
    n_files: int = 0
    n_records: int = 0
    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """Say what was done, without names."""
        were = "visit was" if self.n_visits == 1 else "visits were"
        text = (
            f"{self.n_visits} {were} removed: {self.n_records} records, {self.n_files} files; "
            "their number is all that stays"
        )
        if self.removed:
            text += f"; removed, and made again by the next snakemake: {', '.join(self.removed)}"
        if self.left:
            text += f"; not popscan's, still naming a withdrawn subject: {', '.join(self.left)}"
        return text


def withdraw(study_root: Path, names: Sequence[str]) -> Withdrawal:
    """Remove subjects or visits from a study for good, and remember that they left.

    Parameters
    ----------
    study_root
        ``results/<study>``.
    names
        Subjects (all their visits, also later ones) or visits.

    Raises
    ------
    PopscanError
        If the study is being run, or a name is not in it.
    """
    if not StudyLock(study_root).is_free():
        raise PopscanError(f"{study_root} is being run; stop snakemake, or wait for its end")
    units = list(read_registry(study_root / "plan" / "registry.tsv"))
    memory = Memory.read(study_root)
    # Named again after an interruption, or to be sure: nothing is left to resolve.
    fresh = [n for n in names if not (memory.left_by_hand(n) or memory.left_by_hand(f"sub-{n}"))]
    fresh += [n for n in names if n not in fresh and matching_units([n], units)]
    chosen = resolve_units(fresh, units, where="withdraw") if fresh else []
    for unit in chosen:
        sub = subject_of(unit)
        memory.leave(unit, whole=bool({sub, sub.removeprefix("sub-")} & set(fresh)))
    memory.write(study_root)
    mentions = Mentions({*chosen, *_finished(chosen, units)})
    done = remove_units(Store(study_root), chosen)
    correct_plan(study_root, memory, mentions, done.n_visits)
    return done


def take_back(study_root: Path, names: Sequence[str]) -> int:
    """Let withdrawn subjects be planned again; return how many visits that is.

    Parameters
    ----------
    study_root, names
        As for `withdraw`.
    """
    memory = Memory.read(study_root)
    forms = [name if name.startswith("sub-") else f"sub-{name}" for name in names]
    n_visits = sum(memory.take_back(name) for name in forms)
    memory.write(study_root)
    return n_visits


def remove_units(store: Store, units: Sequence[str]) -> Withdrawal:
    """Remove all that the study holds of some visits; their places in the shards stay empty.

    Parameters
    ----------
    store
        The study's store.
    units
        Visits of the registry.

    Raises
    ------
    PopscanError
        If another process works on one of their shards.
    """
    done = Withdrawal(n_visits=len(units))
    if not units:
        return done
    root = store.root
    registry_path = root / "plan" / "registry.tsv"
    registry = read_registry(registry_path)
    finished = _finished(units, registry)
    mentions = Mentions({*units, *finished})
    shards = sorted({registry[unit] for unit in units})
    for name in _OF_THE_STUDY:
        _remove(root / name, done, name)
        # Their inventories name pages; without one an output is made again.
        _remove(root / "store" / "inventory" / name, done)
        _remove(root / "store" / "inventory" / f"{name}.tsv", done)
    for path in sorted((root / "store" / "inventory").rglob("*.tsv")):
        if mentions.in_bytes(path.read_bytes()):
            path.unlink()
    _remove_atlas(root, shards, done)
    for path in _journals(root, shards):
        _cut_journal(store, path, set(units), mentions, done)
    for shard in shards:
        cut_shard(shard_file(root, shard), set(units))
        for path in sorted((root / "manifests").glob(f"*/{shard}.parquet")):
            path.unlink()
    folders: list[Path] = []
    for line in registry_lines(registry_path):
        if line.unit in units:
            folder = root / "derivatives" / line.sub
            folders += _image_folders(folder, line.ses, line.sub in finished)
    for folder in folders:
        _remove(folder, done)
    _cut_archives(root, shards, folders, done)
    remove_left_copies()
    forget_reference(root / "rca" / "chosen.json", mentions)
    _sweep(root, mentions, done)
    forget_folders(root, mentions)
    # Last: a withdrawal that was interrupted before is found unfinished and done again.
    write_atomic(registry_path, tombstoned(registry_path, units).encode())
    return done


def _finished(units: Collection[str], registry: Iterable[str]) -> set[str]:
    """Return subjects none of whose visits stays."""
    staying = {subject_of(unit) for unit in registry if unit not in units}
    return {subject_of(unit) for unit in units} - staying


def _remove(path: Path, done: Withdrawal, name: str = "") -> None:
    if path.is_dir() and not path.is_symlink():
        done.n_files += sum(1 for p in path.rglob("*") if not p.is_dir())
        shutil.rmtree(path)
    elif path.exists() or path.is_symlink():
        done.n_files += 1
        path.unlink()
    else:
        return
    if name and name not in done.removed:
        done.removed.append(name)


def _image_folders(folder: Path, ses: str, finished: bool) -> list[Path]:
    """Return a visit's folders; those of the subject's other visits stay."""
    if finished:
        return [folder]
    return [folder / ses] if ses else [folder / stage for stage in SUBJECT_STAGES]


def _cut_archives(
    root: Path, shards: Sequence[str], folders: Sequence[Path], done: Withdrawal
) -> None:
    """Write archives anew without the files of some folders.

    One that is damaged may hold them, too: it goes, and its stage does the others again.
    """
    within = tuple(f"{folder.relative_to(root)}/" for folder in folders)
    stages = sorted(path.name for path in (root / FOLDER).glob("*"))
    for shard in shards:
        for archive in (Archive(root, stage, shard) for stage in stages):
            archive.remove_temporaries()  # the study is not being run
            if not archive.path.exists():
                continue
            try:
                done.n_files += _cut_archive(archive, within)
            except OSError as error:
                raise PopscanError(
                    f"{archive.path}: cannot be read ({error.strerror}), and is left; "
                    "type the same command again"
                ) from error
            if not archive.sizes:
                _remove(archive.path, done)


def _cut_archive(archive: Archive, within: tuple[str, ...]) -> int:
    """Drop the entries within some folders; return how many."""
    staying = [name for name in archive.sizes if not name.startswith(within)]
    n_gone = len(archive.sizes) - len(staying)
    if n_gone:
        archive.bring_to(archive.checksums(staying), {})
    return n_gone


def _remove_atlas(root: Path, shards: Sequence[str], done: Withdrawal) -> None:
    """Remove averages that hold the subjects; subjects of other shards stay prepared."""
    work = root / "atlas" / "work"
    for path in [*(root / "atlas").glob("*"), *work.glob("*")]:
        if path not in (work, work / "prepared", work / "sums-0"):
            _remove(path, done, "atlas")
    for shard in shards:
        for folder in (work / "prepared", work / "sums-0", root / "visibility" / "features"):
            _remove(folder / f"{shard}.npz", done, folder.relative_to(root).parts[0])
    _remove(root / "visibility" / "maps.npz", done, "visibility")


def _journals(root: Path, shards: Sequence[str]) -> list[Path]:
    """Journals that may name the subjects: their shards', and those of stages that compare."""
    found = [path for shard in shards for path in (root / "store").glob(f"*/{shard}.jsonl")]
    return sorted({*found, *(root / "store" / "rca").glob("*.jsonl")})


def _cut_journal(
    store: Store, path: Path, units: set[str], mentions: Mentions, done: Withdrawal
) -> None:
    """Drop the lines that name the subjects; who is only compared with them is done again."""
    stage, shard = path.parent.name, path.stem
    journal = store.journal(stage, shard)
    with journal.writer():
        before = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in before if not mentions.in_bytes(line)]
        if len(kept) == len(before):
            return
        state = journal.read()
        store.manifest_path(stage, shard).unlink(missing_ok=True)
        write_atomic(path, b"".join(kept))
    lost = [state.records[unit] for unit in state.records if unit in units]
    done.n_records += len(lost)
    for record in lost:
        for name in record.files:
            if (store.root / name).is_file():
                (store.root / name).unlink()
                done.n_files += 1


def _sweep(root: Path, mentions: Mentions, done: Withdrawal) -> None:
    """Remove derived files that still name the subjects; list what is not popscan's."""
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if parts[0] in _KNOWN or path.is_dir() or path.is_symlink():
            continue
        named = mentions.in_text(str(path.relative_to(root)))
        if not named and not any(mentions.in_bytes(data) for data in _contents(path)):
            continue
        if parts[0] == "experiment":
            # Its models saw the subject.
            _remove(root / "experiment", done, "experiment")
        elif parts[0] in _DERIVED:
            _remove(path, done, parts[0])
        else:
            done.left.append(mentions.redacted(str(path.relative_to(root))))


def _contents(path: Path) -> Iterator[bytes]:
    """Bytes of a file, and of what is packed in it."""
    if not path.exists():
        return
    yield path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield archive.read(name)
