"""What is read of one visit of UK Biobank, out of its bulk files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from popscan.io.bids import oriented
from popscan.io.nifti import scan_of
from popscan.io.nifti_raw import MAX_IMAGE_BYTES
from popscan.io.sources import Loaded
from popscan.io.ukb_files import BulkFile
from popscan.io.ukb_manifest import is_manifest, missing_images
from popscan.io.zipped import ZipArchive
from popscan.protocol import Protocol, Series, load
from popscan.records import LabelMap, Scan, SubjectError


class Visit:
    """What is read of one visit, and why other parts of it could not be."""

    def __init__(self, protocol: Protocol, rules: Mapping[str, Any]) -> None:
        self.protocol = protocol
        self.rules = rules
        self.reader: Any = None
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
        reader = self.reader = load(self.protocol.sources["dicom"])(self.protocol)
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
                self.labels[view] = self.reader.regions(bulk.path, scan)
            except SubjectError as error:
                self.label_problems[view] = error

    def result(self, wanted: Sequence[Series]) -> Loaded:
        """Return what was read, or say why the first view was not."""
        first = self.protocol.view
        needed = any(one.view == first for one in wanted)
        if not self.scans or (needed and first not in self.scans):
            if self.problems:
                raise self.problems[0]
            raise SubjectError("view_missing", f"no bulk file of {series_titles(wanted[:1])}")
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


def series_titles(series: Sequence[Series]) -> str:
    """Name series and their bulk fields in words; ``any view`` where there are none."""
    parts = [
        f"{one.title} (field {', '.join(map(str, one.ukb_fields)) or 'none'})" for one in series
    ]
    return " or ".join(parts) or "any view"
