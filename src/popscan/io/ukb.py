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

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from popscan.io.folders import Folders
from popscan.io.sources import Found, Loaded, note
from popscan.io.ukb_fields import BULK_TITLES
from popscan.io.ukb_files import BulkFile, bulk_files
from popscan.io.ukb_visit import Visit, series_titles
from popscan.protocol import Protocol, Series
from popscan.protocols import DEFAULT, get_protocol
from popscan.records import SubjectError


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
        for path in bulk_files(root, regions=bool(self.protocol.source_section)):
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
        **section: Mapping[str, Any],
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
        **section
            Config section of ``source`` that the protocol's readers take, by its name.

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
            raise SubjectError("view_missing", f"no bulk file of {series_titles(needed)}")
        loaded = Visit(self.protocol, {"max_tilt_deg": max_tilt_deg, **section})
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
