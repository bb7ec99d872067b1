"""UK Biobank's bulk files as they are delivered: ``EID_FIELD_INSTANCE_ARRAY.zip``, never unpacked.

The zips may lie loose in one folder, in a folder per field, or nested as on the Research Analysis
Platform; the name of the file alone counts. The instance is the visit (``ses-2``, ``ses-3``). Which
field holds which view the protocol says (`popscan.protocol.Series.ukb_fields`); other fields are
not opened. What a DICOM is, its header says; the zip's manifest, which is often broken, is only
asked whether images are missing.

Of several acquisitions in one visit (array 0, 1, ...) the latest is read, and where that cannot be
read the one before it; a note says so.

Regions that somebody drew on a map lie in a NIfTI named after its zip, ``..._dseg.nii.gz``.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from popscan.io.bids import oriented
from popscan.io.folders import Folders
from popscan.io.mapping import every_frame
from popscan.io.nifti import scan_of
from popscan.io.nifti_raw import MAX_IMAGE_BYTES
from popscan.io.references import read_reference
from popscan.io.sources import Found, Loaded, note
from popscan.io.ukb_fields import BULK_TITLES
from popscan.io.ukb_manifest import is_manifest, missing_images
from popscan.io.walk import identity
from popscan.io.zipped import ZipArchive
from popscan.protocol import Protocol, Series, load
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import LabelMap, PopscanError, Scan, SubjectError

_NAME = re.compile(r"(\d{4,10})_(\d{1,6})_(\d{1,2})_(\d{1,4})\.zip", re.ASCII | re.IGNORECASE)
_REGIONS = re.compile(r"(.+)_dseg\.nii(?:\.gz)?", re.IGNORECASE)
#: More files below the root than this are a mistake in the path.
MAX_FILES = 20_000_000


class BulkFile(NamedTuple):
    """A bulk file, as its name says."""

    eid: str
    field: int
    instance: int
    array: int
    path: str

    @classmethod
    def of(cls, path: str) -> BulkFile | None:
        """Read a file's name; None where it is none of a bulk file.

        Examples
        --------
        >>> BulkFile.of("20209/1000012_20209_2_0.zip")[:4]
        ('1000012', 20209, 2, 0)
        """
        match = _NAME.fullmatch(os.path.basename(path))
        if match is None:
            return None
        eid, *numbers = match.groups()
        field, instance, array = map(int, numbers)
        return cls(eid, field, instance, array, path)

    @classmethod
    def of_regions(cls, path: str) -> BulkFile | None:
        """Read the name of a file of regions: that of the bulk file they were drawn on."""
        match = _REGIONS.fullmatch(os.path.basename(path))
        bulk = cls.of(f"{match[1]}.zip") if match else None
        return bulk._replace(path=path) if bulk else None


class Ukb:
    """Source ``ukb``: see the module.

    Attributes
    ----------
    notes
        What `find` saw and left alone.
    """

    def __init__(self, protocol: Protocol | None = None) -> None:
        self.protocol = protocol or get_protocol(DEFAULT)
        self.notes: list[str] = []

    def find(
        self,
        root: str | Path,
        *,
        problems: list[str] | None = None,
        folders: Folders | None = None,
    ) -> list[Found]:
        """List the visits that have a bulk file of a field of the protocol, sorted."""
        fields = _fields(self.protocol.series)
        visits: dict[tuple[str, int], dict[tuple[bool, int, int], str]] = defaultdict(dict)
        others: Counter[int] = Counter()
        elsewhere: set[tuple[str, int]] = set()
        n_unknown = 0
        for path in _files(root, regions=self.protocol.reads_maps):
            regions = BulkFile.of_regions(path)
            bulk = regions or BulkFile.of(path)
            if bulk is None:
                n_unknown += path.lower().endswith(".zip")
            elif bulk.field not in fields:
                others[bulk.field] += regions is None
                elsewhere.add((bulk.eid, bulk.instance))
            else:
                there = visits[bulk.eid, bulk.instance]
                first = there.setdefault((regions is not None, bulk.field, bulk.array), path)
                if first != path:
                    note(problems, f"{path}: another copy of {first}; it is left out")
        for visit in [v for v, there in visits.items() if all(drawn for drawn, *_ in there)]:
            note(problems, f"{', '.join(visits.pop(visit).values())}: regions without a bulk file")
        if n_unknown:
            note(problems, f"{root}: {n_unknown} zips not named EID_FIELD_INSTANCE_ARRAY.zip")
        if others:
            self.notes.append(_others(others, n_visits=len(elsewhere - set(visits))))
        return [
            Found(
                sub=f"sub-{eid}",
                ses=f"ses-{instance}",
                paths=tuple(there[k] for k in sorted(there)),
            )
            for (eid, instance), there in sorted(visits.items())
        ]

    def needed(self, paths: Sequence[str], views: Sequence[str] | None = None) -> list[str]:
        """Return those of a visit's files that hold a wanted view."""
        fields = _fields(self._wanted(views))
        named = [(path, BulkFile.of(path) or BulkFile.of_regions(path)) for path in paths]
        return [path for path, bulk in named if bulk and bulk.field in fields]

    def load(
        self,
        paths: Sequence[str],
        *,
        views: Sequence[str] | None = None,
        max_tilt_deg: float = 5.0,
        mapping: Mapping[str, Any] | None = None,
    ) -> Loaded:
        """Read one visit out of its zips.

        Parameters
        ----------
        paths
            The visit's bulk files.
        views
            Views wanted; None for all that the protocol knows.
        max_tilt_deg
            As in `popscan.io.dicom_session.Rules`.
        mapping
            Of protocols of maps: config section ``source.mapping``.

        Raises
        ------
        SubjectError
            ``view_missing`` if there is no bulk file of it, and those of
            `popscan.io.zipped.ZipArchive` and of the readers of DICOM and NIfTI.
        """
        wanted = self._wanted(views)
        fields = _fields(wanted)
        files: dict[int, list[BulkFile]] = defaultdict(list)
        for bulk in filter(None, map(BulkFile.of, paths)):
            if bulk.field in fields:
                files[bulk.field].append(bulk)
        for there in files.values():
            there.sort(key=lambda bulk: -bulk.array)
        needed = [one for one in wanted if one.view == self.protocol.view] or wanted
        if not _fields(needed) & set(files):
            raise SubjectError("view_missing", f"no bulk file of {_named(needed)}")
        rules: dict[str, Any] = {"max_tilt_deg": max_tilt_deg}
        loaded = _Visit(
            self.protocol, rules if mapping is None else {**rules, "mapping": dict(mapping)}
        )
        dicom = [one for one in wanted if any(not m for m in one.ukb_fields.values())]
        exam = {f: files[f] for one in dicom for f in one.ukb_fields if f in files}
        if exam:
            loaded.read_dicom(exam, [one.view for one in dicom], first=_first_field(dicom))
        for one in wanted:
            for field, member in one.ukb_fields.items():
                if member and field in files:
                    loaded.read_nifti(one.view, files[field], member)
        loaded.read_regions([bulk for bulk in map(BulkFile.of_regions, paths) if bulk])
        return loaded.result(wanted)

    def _wanted(self, views: Sequence[str] | None) -> list[Series]:
        return [s for s in self.protocol.series if views is None or s.view in views]


class _Visit:
    """What is read of one visit, and why other parts of it could not be."""

    def __init__(self, protocol: Protocol, rules: Mapping[str, Any]) -> None:
        self.protocol = protocol
        self.rules = rules
        self.scans: dict[str, Scan] = {}
        self.chosen: set[BulkFile] = set()
        self.labels: dict[str, LabelMap] = {}
        self.label_problems: dict[str, SubjectError] = {}
        self.notes: list[str] = []
        self.problems: list[SubjectError] = []

    def read_dicom(
        self, files: Mapping[int, Sequence[BulkFile]], views: Sequence[str], *, first: int
    ) -> None:
        """Read DICOM series of all fields as one exam; of arrays the latest that can be read."""
        reader = load(self.protocol.sources["dicom"])(self.protocol)
        failed: list[SubjectError] = []
        for attempt in range(max(map(len, files.values()))):
            chosen = [there[min(attempt, len(there) - 1)] for there in files.values()]
            with ExitStack() as stack:
                try:
                    archives, notes = self._open(stack, chosen, first=first)
                    members = [
                        file for archive in archives for file in archive.files()
                        if not is_manifest(file.name)
                    ]  # fmt: skip
                    name = str(Path(chosen[0].path).with_suffix(""))
                    if not members:
                        raise SubjectError("no_files", f"{name}: the archive is empty")
                    loaded: Loaded = reader.load_files(name, members, views=views, **self.rules)
                except SubjectError as error:
                    failed.append(error)
                    continue
            self.scans |= loaded.scans
            self.chosen |= set(chosen)
            self.notes += [*notes, *loaded.notes, *_arrays_read(files, chosen, failed)]
            return
        self.problems += failed[:1]

    def _open(
        self, stack: ExitStack, chosen: Sequence[BulkFile], *, first: int
    ) -> tuple[list[ZipArchive], list[str]]:
        """Open archives; one that is not the first field's may be unreadable, with a note."""
        archives, notes = [], []
        for bulk in chosen:
            try:
                archive = stack.enter_context(ZipArchive(bulk.path))
                archives.append(archive)
                notes += missing_images(archive, what=f"field {bulk.field}")
            except SubjectError as error:
                if bulk.field == first or len(chosen) == 1:
                    raise
                notes.append(f"field {bulk.field} was not read: {error.reason}")
        return archives, notes

    def read_nifti(self, view: str, files: Sequence[BulkFile], member: str) -> None:
        """Read an image in NIfTI; of arrays the latest that can be read."""
        failed: list[SubjectError] = []
        for bulk in files:
            try:
                with ZipArchive(bulk.path) as archive:
                    scan = _image(archive, member)
            except SubjectError as error:
                failed.append(error)
                continue
            turned, _ = oriented(self.protocol, replace(scan, view=view), None)
            self.scans[view] = turned
            self.notes += _arrays_read({bulk.field: files}, [bulk], failed)
            return
        self.problems += failed[:1]
        self.notes += [f"{view} was not read: {failed[0].reason}"]

    def read_regions(self, drawn: Sequence[BulkFile]) -> None:
        """Read regions of the first view that were drawn on the images that were read."""
        view = self.protocol.view
        read = {bulk._replace(path="") for bulk in self.chosen}
        for bulk in drawn:
            if view not in self.scans or bulk._replace(path="") not in read:
                self.notes.append(f"regions of array {bulk.array} are of images that are not read")
                continue
            try:
                scan = self.scans[view]
                self.labels[view] = every_frame(read_reference(bulk.path, scan), scan)
            except SubjectError as error:
                self.label_problems[view] = error

    def result(self, wanted: Sequence[Series]) -> Loaded:
        """Return what was read, or say why the first view was not."""
        first = self.protocol.view
        needed = any(one.view == first for one in wanted)
        if not self.scans or (needed and first not in self.scans):
            if self.problems:
                raise self.problems[0]
            raise SubjectError("view_missing", f"no bulk file of {_named(wanted[:1])}")
        scans = {view: self.scans[view] for view in sorted(self.scans)}
        return Loaded(
            scans=scans,
            labels=self.labels,
            label_problems=self.label_problems,
            notes=tuple(self.notes),
        )


def _image(archive: ZipArchive, member: str) -> Scan:
    for file in archive.files():
        if file.name.lower() == member.lower():
            return scan_of(file, max_bytes=MAX_IMAGE_BYTES)
    raise SubjectError("view_missing", f"{archive.path}: no {member} in it")


def _arrays_read(
    files: Mapping[int, Sequence[BulkFile]],
    chosen: Sequence[BulkFile],
    failed: Sequence[SubjectError],
) -> Iterator[str]:
    """Say which of several acquisitions is read."""
    for bulk in chosen:
        if len(files[bulk.field]) == 1:
            continue
        why = f"; later ones were not: {failed[0].reason}" if failed else ""
        yield (
            f"field {bulk.field}: {len(files[bulk.field])} acquisitions, array {bulk.array} is "
            f"read{why}"
        )


def _others(counts: Mapping[int, int], *, n_visits: int) -> str:
    """Name the bulk files that nothing reads."""
    listed = ", ".join(
        f"{field} {BULK_TITLES[field]} ({n})" if field in BULK_TITLES else f"{field} ({n})"
        for field, n in sorted(counts.items()) if n
    )  # fmt: skip
    words = f"bulk fields that no view needs, not opened: {listed}"
    return f"{words}; {n_visits} visits have no other bulk file" if n_visits else words


def _fields(series: Sequence[Series]) -> set[int]:
    return {field for one in series for field in one.ukb_fields}


def _first_field(series: Sequence[Series]) -> int:
    return next(iter(series[0].ukb_fields))


def _named(series: Sequence[Series]) -> str:
    parts = [
        f"{one.title} (field {', '.join(map(str, one.ukb_fields)) or 'none'})" for one in series
    ]
    return " or ".join(parts) or "any view"


def _files(root: str | Path, *, regions: bool) -> Iterator[str]:
    """Every zip below a folder, links to folders followed once, in order of names.

    With `regions` also what is named as regions are.

    Raises
    ------
    PopscanError
        If the folder cannot be listed, or holds far too much.
    """
    seen = {identity(str(root))}
    n_files = 0

    def refuse(error: OSError) -> None:
        raise PopscanError(f"{root}: a folder in it cannot be read ({error.strerror})")

    for place, folders, names in os.walk(root, followlinks=True, onerror=refuse):
        new = []
        for name in sorted(folders):
            key = identity(os.path.join(place, name))
            if key is not None and key not in seen and not name.startswith("."):
                seen.add(key)
                new.append(name)
        folders[:] = new
        n_files += len(names)
        if n_files > MAX_FILES:
            raise PopscanError(f"{root}: more than {MAX_FILES} files")
        for name in sorted(names):
            wanted = name.lower().endswith(".zip") or (regions and _REGIONS.fullmatch(name))
            if wanted and not name.startswith("."):
                yield os.path.join(place, name)
