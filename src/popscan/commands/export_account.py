"""What an export says of itself: README, account, checksums, and sentences on screen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from popscan import __version__
from popscan.commands.export_tables import ANOTHER, Tables

#: Names in one message.
_LISTED = 10
_DESCRIPTION = "derivatives/dataset_description.json"


@dataclass(kw_only=True)
class Part:
    """What was exported of a study of one protocol.

    Attributes
    ----------
    root
        The study.
    units
        Its visits that were chosen.
    n_files
        Stage -> files that were exported.
    removed
        Visit -> its files that the study does not store any more.
    without_files
        Visit of which no file was exported -> why, as a short code.
    tables
        Its tables.
    damaged
        Files that are not what the study wrote.
    accounts
        Visit and stage -> status and reason of its record.
    outdated
        Visits of which the study's ledger says something else than the records.
    """

    root: Path
    units: list[str]
    n_files: dict[str, int] = field(default_factory=dict)
    removed: dict[str, list[str]] = field(default_factory=dict)
    without_files: dict[str, str] = field(default_factory=dict)
    tables: Tables = field(default_factory=Tables)
    damaged: list[str] = field(default_factory=list)
    accounts: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    outdated: list[str] = field(default_factory=list)


def describe(out: Path, chosen: Sequence[str], done: Mapping[str, Part]) -> None:
    """Write what the folder holds: no time is in it."""
    study = done["."].root.name
    for place, part in done.items():
        if part.n_files:
            own = part.root / _DESCRIPTION
            minimal = {"Name": study, "BIDSVersion": "1.10.0", "DatasetType": "derivative",
                       "GeneratedBy": [{"Name": "popscan"}]}  # fmt: skip
            text = own.read_text(encoding="utf-8") if own.is_file() else _json(minimal)
            (out / place / _DESCRIPTION).write_text(text, encoding="utf-8")
    account = {
        "study": study,
        "popscan": __version__,
        "holds_identifiers": True,
        "subjects": list(chosen),
        "folders": {
            place: {
                "files": part.n_files,
                "removed_by_storage": part.removed,
                "without_files": part.without_files,
                "tables_older_than_records": part.outdated,
                "rows": part.tables.n_rows,
                "cells_without_other_subjects": part.tables.redacted,
                "without_checksum": part.tables.unchecked,
            }
            for place, part in done.items()
        },
    }
    (out / "export.json").write_text(_json(account), encoding="utf-8")
    (out / "README").write_text(
        f"Files and rows of {_counted(len(chosen), 'visit')} of the study {study}, exported by "
        f"popscan {__version__}.\n\nThis folder holds identifiers, images and tables of single "
        "subjects: keep it where the study may be kept.\n\nexport.json lists the subjects, the "
        "number of files of each stage, and what is missing, with\nthe reason. Every table has a "
        f"data dictionary (.json). '{ANOTHER}' stands in tables where\nthe study's has the name "
        "of a subject that was not exported. 'sha256sum -c SHA256SUMS' compares\nall files with "
        "what was exported.\n",
        encoding="utf-8",
    )
    lines = []
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            sum_of = hashlib.file_digest(stream, "sha256").hexdigest()
        lines.append(f"{sum_of}  {path.relative_to(out).as_posix()}\n")
    (out / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def _json(content: Mapping[str, object]) -> str:
    return json.dumps(content, indent=1) + "\n"


def sentences(out: Path, chosen: Sequence[str], done: Mapping[str, Part]) -> Iterator[str]:
    """Say what was exported, and what could not be."""
    n_files = sum(sum(part.n_files.values()) for part in done.values())
    n_tables = sum(len(part.tables.n_rows) for part in done.values())
    yield (
        f"{out}: {_counted(len(chosen), 'visit')}, {_counted(n_files, 'file')}, "
        f"rows of {_counted(n_tables, 'table')}; it holds identifiers"
    )
    for part in done.values():
        for reason in sorted(set(part.without_files.values())):
            lacking = [unit for unit, why in part.without_files.items() if why == reason]
            yield f"{part.root}: no files of {listing(lacking)} ({reason})"
        if part.removed:
            n_removed = sum(map(len, part.removed.values()))
            yield (
                f"{part.root}: {_counted(n_removed, 'file')} of {listing(list(part.removed))} "
                "were removed by storage and are missing; to have them, type 'popscan storage "
                f"{part.root} --restore SUBJECT ...' and export again"
            )
        if part.outdated:
            yield (
                f"{part.root}: the tables are older than the records of {listing(part.outdated)}; "
                "run snakemake to its end and export again"
            )
    if not n_tables:
        yield "The study has no tables of these subjects: run snakemake to its end and export again"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def listing(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
