"""All files of a subject's folder: the planes that can be used, and what became of the others.

Files are the same image only if they say the same and hold the same pixels: some anonymisers write
the same instance UID into many images, and some archives send an image again under another one.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydicom.pixels import pixel_array

from popscan.io.dicom_entry import Entry, read_header
from popscan.io.dicom_header import DAMAGE, Plane, open_dicom
from popscan.io.dicom_kind import Kind
from popscan.io.rawfile import RawFile, files_of
from popscan.records import SubjectError

#: Kinds that may be images of the heart that are lost; the others are none, or copies.
LOST_KINDS = (Kind.DAMAGED, Kind.MISSING, Kind.UNPLACED, Kind.MULTIFRAME, Kind.MISCOUNTED)


@dataclass(frozen=True, kw_only=True)
class Folder:
    """What lies in a subject's folder.

    Attributes
    ----------
    planes
        Grey MR images with a place in the patient, each once.
    colour
        Planes of colour images: never used, but a message may have to name them as all there is.
    n_files
        Files in all.
    counts
        What the files that gave no plane are, in images.
    unplaced
        Series -> its images without a position in the patient.
    in_series
        Series -> its images of any kind.
    n_copies
        Images that are there again, pixel by pixel.
    """

    planes: list[Plane]
    colour: list[Plane] = field(default_factory=list)
    n_files: int = 0
    counts: Counter[Kind] = field(default_factory=Counter)
    unplaced: Counter[str] = field(default_factory=Counter)
    in_series: Counter[str] = field(default_factory=Counter)
    n_copies: int = 0

    @property
    def n_damaged(self) -> int:
        """Damaged files."""
        return self.counts[Kind.DAMAGED]


def read_folder(folder: str | Path) -> Folder:
    """Read the header of every DICOM image below `folder`; other files are counted.

    Raises
    ------
    SubjectError
        ``no_files``, ``file_missing``, ``bad_header``, ``not_dicom``, ``wrong_modality``,
        ``damaged_files``, ``unsupported_multiframe``, ``bad_pixels``, ``no_cine``,
        ``mixed_patients``, or ``no_planes`` if no image has a position.
    """
    files = files_of(folder)
    if not files:
        raise SubjectError("no_files", f"{folder}: the folder is empty")
    return read_files(folder, files)


def read_files(folder: str | Path, files: Sequence[RawFile]) -> Folder:
    """Read the header of every DICOM image among some files, as `read_folder`.

    Parameters
    ----------
    folder
        Where they lie, for messages.
    files
        At least one.
    """
    entries = [read_header(file) for file in files]
    counts: Counter[Kind] = Counter()
    unplaced: Counter[str] = Counter()
    in_series: Counter[str] = Counter()
    for entry in entries:
        counts[entry.kind] += len(entry.planes) or entry.n_images
        in_series[entry.series] += entry.n_images
        n_unplaced = entry.n_images if entry.kind is Kind.UNPLACED else entry.n_unplaced
        if n_unplaced:
            unplaced[entry.series] += n_unplaced
            counts[Kind.UNPLACED] += entry.n_unplaced
    planes = [p for entry in entries if entry.kind is Kind.IMAGE for p in entry.planes]
    if not planes:
        _refuse(folder, entries, counts)
    _one_patient(folder, planes)
    planes, n_copies = without_copies(with_series(planes))
    return Folder(
        planes=planes,
        colour=[p for entry in entries if entry.kind is Kind.COLOUR for p in entry.planes],
        n_files=len(files),
        counts=counts,
        unplaced=unplaced,
        in_series=in_series,
        n_copies=n_copies,
    )


def _refuse(folder: str | Path, entries: Sequence[Entry], counts: Counter[Kind]) -> None:
    """Say why a folder without a usable plane has none: what most of its images are."""
    found = ", ".join(f"{n} {kind}" for kind, n in counts.most_common())
    modalities = ", ".join(sorted({e.modality for e in entries if e.modality}))
    reasons = {
        Kind.DAMAGED: ("damaged_files", "no usable image; copy the files again"),
        Kind.MISSING: ("file_missing", "no usable image; fetch what the links stand for"),
        Kind.MULTIFRAME: (
            "unsupported_multiframe",
            "multi-frame DICOM whose frames have no positions; convert it to single-frame files "
            "first (e.g. with dcm4che's emf2sf)",
        ),
        Kind.MISCOUNTED: (
            "bad_header",
            "multi-frame DICOM that describes another number of frames than it says to hold",
        ),
        Kind.UNPLACED: ("no_planes", "no DICOM image with a position in the patient"),
        Kind.MODALITY: ("wrong_modality", f"images of modality {modalities}; MR expected"),
        Kind.COLOUR: ("bad_pixels", "colour images only; grey values expected"),
        Kind.CAPTURE: ("no_planes", "screen captures only; images of planes expected"),
        Kind.PHASE: ("no_cine", "phase images only; magnitude images expected"),
        Kind.NO_IMAGE: ("no_planes", "no DICOM image with a position in the patient"),
        Kind.OTHER: ("not_dicom", f"none of its {len(entries)} files is DICOM"),
    }
    images = [kind for kind in reasons if kind not in (Kind.NO_IMAGE, Kind.OTHER)]
    most = max(images, key=lambda kind: counts[kind])
    kind = most if counts[most] else Kind.NO_IMAGE if counts[Kind.NO_IMAGE] else Kind.OTHER
    reason, words = reasons[kind]
    raise SubjectError(reason, f"{folder}: {words} (found: {found})")


def _one_patient(folder: str | Path, planes: Sequence[Plane]) -> None:
    patients = {plane.patient for plane in planes} - {""}
    if len(patients) > 1:
        alike = len({plane.patient_alike for plane in planes} - {""}) == 1
        words = "; they differ in case, spaces or leading zeros only" if alike else ""
        raise SubjectError(
            "mixed_patients",
            f"{folder}: images of {len(patients)} patients in one folder{words}",
        )


def with_series(planes: Sequence[Plane]) -> list[Plane]:
    """Replace identifiers of series and studies that are empty, or of which each image has its own.

    Some anonymisers write such; the number of the series stands for them, where there is one.
    """
    alone = {
        name: len({getattr(p, name) for p in planes}) == len(planes) > 1
        for name in ("series", "study")
    }
    if not any(alone.values()) and all(plane.series for plane in planes):
        return list(planes)
    made = []
    for plane in planes:
        number = f"number {plane.series_number}" if plane.series_number >= 0 else ""
        series = plane.series if plane.series and not alone["series"] else number
        study = "" if alone["study"] else plane.study
        made.append(replace(plane, series=series, study=study))
    return made


def without_copies(planes: Sequence[Plane]) -> tuple[list[Plane], int]:
    """Drop images that are there again; of equal ones the first is kept.

    Returns
    -------
    planes
        Each image once.
    n_copies
        How many were dropped.
    """
    alike: dict[Hashable, list[Plane]] = defaultdict(list)
    for plane in planes:
        alike[_said(plane)].append(plane)
    dropped: set[int] = set()
    for members in alike.values():
        if len(members) > 1:
            seen: set[str] = set()
            digests = [(plane, _pixel_digest(plane)) for plane in members]
            intact = {plane.instance_uid for plane, digest in digests if digest}
            for plane, digest in digests:
                # One of a whole and a torn copy of the same image is enough.
                torn = not digest and plane.instance_uid in intact
                if torn or (digest and digest in seen):
                    dropped.add(id(plane))
                seen.add(digest)
    return [plane for plane in planes if id(plane) not in dropped], len(dropped)


def _said(plane: Plane) -> Hashable:
    """Return what two files of one image say alike.

    Where nothing gives the order of frames, frames of one slice say the same: then the instance UID
    has to be the same, too.
    """
    order = (plane.temporal, plane.instance, plane.time, plane.content_time)
    trigger = (None if math.isnan(plane.trigger_ms) else plane.trigger_ms, *order)
    ordered = plane.instance >= 0 or not math.isnan(plane.trigger_ms)
    own = "" if ordered else plane.instance_uid or f"{plane.path}#{plane.frame}"
    series = (plane.study, plane.series, plane.acquisition, plane.origin)
    grid = (plane.rows, plane.columns, plane.orientation, plane.position)
    return (*series, *grid, *trigger, own, plane.slope, plane.intercept)


def _pixel_digest(plane: Plane) -> str:
    """Digest of an image's pixels as they are stored; empty where they cannot be read."""
    try:
        data = open_dicom(plane.file, headers_only=False)
        try:
            pixels = pixel_array(data, index=plane.frame if plane.frame >= 0 else None).tobytes()
        except (RuntimeError, NotImplementedError, ImportError):  # no decoder
            pixels = data.PixelData
        return hashlib.sha256(pixels).hexdigest()
    except DAMAGE:
        return ""
