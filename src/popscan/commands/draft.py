"""``popscan init``: a first config and cohort table from what a folder of raw data holds."""

from __future__ import annotations

import csv
import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from popscan.io.cohort import read_cohort
from popscan.io.kspace_formats import KSPACE_ENDINGS
from popscan.io.sources import Found, get_source
from popscan.io.walk import walk
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import PopscanError, SubjectError

#: Files that are looked at for the mark of DICOM.
_LOOKED_AT = 200
#: Subjects whose scans are opened for attributes.
_OPENED = 3


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What was written.

    Attributes
    ----------
    config, table
        The files; no table where the data brings one.
    notes
        What was seen and what a person has to do, a sentence each.
    """

    config: Path
    table: Path | None
    notes: list[str]


def draft_study(root: Path, config: Path, *, protocol: str = DEFAULT) -> Draft:
    """Write a config, and a table of the subjects where the data has none.

    Parameters
    ----------
    root
        Folder of the raw data.
    config
        File to write; the study has its name.
    protocol
        Name of the protocol.

    Raises
    ------
    PopscanError
        If nothing that a source of the protocol reads is there, the study's name cannot be one, or
        a file is there already: nothing is written over.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", config.stem):
        raise PopscanError(
            f"{config}: its name is the study's: letters, digits, . _ - are expected"
        )
    table = config.with_name(f"{config.stem}_participants.tsv")
    for path in (config, table):
        if path.exists():
            raise PopscanError(f"{path}: is there already; nothing is written over")
    if not root.is_dir():
        raise PopscanError(f"{root}: no such folder")
    problems: list[str] = []
    kind, subjects = _what_is_there(root, protocol, problems)
    people = len({subject.sub for subject in subjects})
    notes = [f"{root}: {people} subjects, {len(subjects)} visits; read as {kind}", *problems[:5]]
    if len(problems) > 5:
        notes.append(f"and {len(problems) - 5} more")
    given = root / "participants.tsv"
    if given.is_file():
        attributes = _attributes(given)
        notes.append(f"{given}: attributes to compare by: {', '.join(attributes) or 'none found'}")
    else:
        config.parent.mkdir(parents=True, exist_ok=True)
        _write_table(table, subjects)
        attributes = _of_scans(kind, protocol, subjects)
        known = f"; the scans bring {', '.join(attributes)}" if attributes else ""
        notes.append(
            f"{table}: names only, as the data have no table of attributes{known}. Add columns "
            "(sex, age_years, race, what else you audit by) and name those to compare by in "
            "fairness.attributes"
        )
    config.parent.mkdir(parents=True, exist_ok=True)
    participants = "" if given.is_file() else str(table)
    config.write_text(
        _config_text(
            config.stem, protocol, kind, root=root, participants=participants, attributes=attributes
        ),
        encoding="utf-8",
    )
    return Draft(config=config, table=None if given.is_file() else table, notes=notes)


def _what_is_there(root: Path, protocol: str, problems: list[str]) -> tuple[str, list[Found]]:
    kinds = [kind for kind in get_protocol(protocol).sources if kind != "simulated"]
    # Any folder tree could be one of DICOM or of k-space: last, and only where there is such a
    # file; sub-* folders of k-space alone are none of NIfTI.
    dicom, kspace, nifti = _marks(root)
    absent = {kind for kind, there in (("dicom", dicom), ("kspace", kspace)) if not there}
    if kspace and not nifti:
        absent.add("bids")
    for kind in sorted(kinds, key=lambda kind: kind in ("dicom", "kspace")):
        sentences: list[str] = []
        if kind in absent:
            continue
        try:
            subjects = get_source(kind, get_protocol(protocol)).find(root, problems=sentences)
        except PopscanError:
            continue
        if subjects:
            problems += sentences
            return kind, subjects
    raise PopscanError(
        f"{root}: nothing there that the protocol {protocol} reads ({', '.join(kinds)} were looked "
        "for)"
    )


def _marks(root: Path) -> tuple[bool, bool, bool]:
    """Whether a DICOM file, one that may be k-space, and a NIfTI file are among the first files."""
    every = (os.path.join(place, name) for place, names in walk(root) for name in names)
    files = list(itertools.islice(every, _LOOKED_AT))
    return (
        any(_is_dicom(path) for path in files),
        any(Path(path).suffix.lower() in KSPACE_ENDINGS for path in files),
        any(path.lower().endswith((".nii", ".nii.gz")) for path in files),
    )


def _is_dicom(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _of_scans(kind: str, protocol: str, subjects: Sequence[Found]) -> list[str]:
    """Return the attributes that come with the scans themselves, by those of a few subjects."""
    extra: dict[str, object] = {}
    for subject in subjects[:_OPENED]:
        try:
            found = get_source(kind, get_protocol(protocol)).load(subject.paths).extra
            extra |= {name: value for name, value in found.items() if not _is_missing(value)}
        except (PopscanError, SubjectError):
            continue  # `popscan check` reports it
    named = [name for name in ("sex", "race", "group") if name in extra]
    return [*named, *(["bmi_class"] if {"height_cm", "weight_kg"} <= set(extra) else [])]


def _is_missing(value: object) -> bool:
    """Whether a value is an empty text or no number."""
    return value == "" or value != value


def _attributes(table: Path) -> list[str]:
    rows = read_cohort(table, may_be_empty=True).rows
    named = [name for name in ("sex", "race") if name in rows and (rows[name] != "").any()]
    if "age_years" in rows:
        named.append("age_band")
    if {"height_cm", "weight_kg"} <= set(rows):
        named.append("bmi_class")
    return named


def _write_table(path: Path, subjects: Sequence[Found]) -> None:
    visits = any(subject.ses for subject in subjects)
    names = ["participant_id", *(["session_id"] if visits else [])]
    with open(path, "x", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(names)
        for subject in subjects:
            writer.writerow([subject.sub, *([subject.ses] if visits else [])])


def _config_text(
    name: str,
    protocol: str,
    kind: str,
    *,
    root: Path,
    participants: str,
    attributes: Sequence[str],
) -> str:
    source = {"kind": kind, "root": os.fspath(root)}
    if participants:
        source["participants"] = participants
    pairs = [["sex", "race"]] if {"sex", "race"} <= set(attributes) else []
    config = {
        **({"protocol": protocol} if protocol != DEFAULT else {}),
        "study": {"name": name},
        "source": source,
        "fairness": {"attributes": list(attributes), "intersections": pairs},
        # Averages are by sex where nothing else is asked for.
        **({} if "sex" in attributes else {"atlas": {"groups": []}}),
    }
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, default_flow_style=None)
    return f"# A first draft by popscan init; every key is in popscan's config/README.md.\n{text}"
