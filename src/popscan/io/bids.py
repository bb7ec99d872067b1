"""NIfTI studies laid out like BIDS.

``sub-*/[ses-*/][anat|cine|func|mr|cmr/]*.nii.gz``, a JSON sidecar beside each image (keys of
popscan's own sidecars, or BIDS's ``Manufacturer`` ...). The view is a part of the name, as the
protocol's series say: for a cine ``sax`` or ``sa``, ``2ch``, ``4ch`` (``acq-sax``, ``la2ch``,
``sub-1_sa_ED`` are all understood), or what the name ends in: ``_cine``, ``_T1w``. An image is 4D,
or one 3D file per frame (``_frame-01``, ``_phase-01``, ``_ED``, ``_ES``, or ``_t40`` with the
trigger time, as dcm2niix names them). Upper and lower case are the same. Of several runs the last
in natural order is read, and the others are counted. Phase, real and imaginary parts
(``part-phase`` ...) are no images and left aside. Labels have the same name with ``dseg``, ``gt``,
``seg`` or ``label`` in it, beside the image or below ``derivatives/*/``; those of ``_ED`` and
``_ES`` belong to a cine where the image of that name is one of its frames.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from popscan.ingest.checks import known_meta, number_of
from popscan.ingest.slices import slices_last
from popscan.io.bids_labels import find_labels
from popscan.io.bids_names import (
    Named,
    ViewWords,
    frame_key,
    list_named,
    require_content,
    run_key,
    space_named,
)
from popscan.io.folders import Folders
from popscan.io.jsonfile import read_json
from popscan.io.nifti import read_scan, sidecar_path
from popscan.io.sources import Found, Loaded, note, one_folder
from popscan.io.tables import subject_label
from popscan.protocol import Protocol, load
from popscan.protocols import DEFAULT, get_protocol
from popscan.protocols.cine_sax.cycle import rr_in_ms, times_in_ms
from popscan.records import LabelMap, PopscanError, Scan, SubjectError

#: Steps that differ by no more are the same: they are written with few digits.
_SAME_STEP = 0.02
#: BIDS sidecar key -> key of meta, factor.
_BIDS_KEYS: Mapping[str, tuple[str, float | None]] = {
    "Manufacturer": ("manufacturer", None),
    "ManufacturersModelName": ("model", None),
    "MagneticFieldStrength": ("field_strength_t", 1.0),
    "SliceThickness": ("slice_thickness_mm", 1.0),
    "SpacingBetweenSlices": ("stated_step_mm", 1.0),
    "EchoTime": ("echo_time_ms", 1000.0),
    "FlipAngle": ("flip_angle_deg", 1.0),
    "HeartRate": ("heart_rate_bpm", 1.0),
    "RRInterval": ("rr_ms", 1000.0),
}


class Bids:
    """Source ``bids``: see the module.

    Parameters
    ----------
    protocol
        Which series are looked for; the default protocol's where none is given.
    """

    def __init__(self, protocol: Protocol | None = None) -> None:
        self.protocol = protocol or get_protocol(DEFAULT)

    def find(
        self,
        root: str | Path,
        *,
        problems: list[str] | None = None,
        folders: Folders | None = None,
    ) -> list[Found]:
        """List the ``sub-*/[ses-*/]`` folders of `root`."""
        return find_visits(root, problems, folders)

    def load(
        self, paths: Sequence[str], *, views: Sequence[str] | None = None, labels: str = ""
    ) -> Loaded:
        """Read a visit.

        Parameters
        ----------
        paths
            The visit's folder, and those below ``derivatives/`` that may hold its labels.
        views
            Views wanted; None for all that are there.
        labels
            Whose labels to use where there are several: a folder below ``derivatives``, or a part
            of the file's name.

        Returns
        -------
        Loaded
            Labels that cannot be used are in `label_problems`; a view whose images cannot be read
            is in `notes`, as long as another one can.

        Raises
        ------
        SubjectError
            ``view_missing`` if none of them is there, ``frame_mismatch``, ``file_missing``, and
            those of `popscan.io.nifti`.
        """
        folder = one_folder(paths)
        by_view: dict[str, list[Named]] = defaultdict(list)
        words = ViewWords.of(self.protocol)
        for item in list_named([folder, *(Path(path) for path in paths[1:])], words=words):
            if views is None or item.view in views:
                by_view[item.view].append(item)
        scans: dict[str, Scan] = {}
        read: dict[str, LabelMap] = {}
        problems: dict[str, SubjectError] = {}
        unread: dict[str, SubjectError] = {}
        notes: list[str] = []
        for view, items in sorted(by_view.items()):
            images = [item for item in items if not item.is_label]
            if not images:
                continue
            try:
                scan, chosen = _read_images(view, images)
            except SubjectError as error:
                unread[view] = error
                continue
            there = [item for item in items if item.is_label]
            try:
                found = find_labels(scan, chosen, images, there, prefer=labels)
            except SubjectError as error:
                found, problems[view] = None, error
            strays = sum(item.core != chosen[0].core for item in there)
            if strays and found is not None:
                notes.append(f"{view}: {strays} label files have not the image's name: not used")
            scans[view], label = oriented(self.protocol, scan, found)
            if label is not None:
                read[view] = label
        first = self.protocol.view
        if unread and (first in unread or not scans):
            raise unread.get(first) or next(iter(unread.values()))
        if not scans:
            raise _no_view(folder, views)
        notes += [f"{view} was not read: {error.reason}" for view, error in unread.items()]
        return Loaded(scans=scans, labels=read, label_problems=problems, notes=tuple(notes))


def oriented(
    protocol: Protocol, scan: Scan, labels: LabelMap | None
) -> tuple[Scan, LabelMap | None]:
    """Bring a scan and its labels into the protocol's orientation."""
    if not protocol.orientation:
        return scan, labels
    turned: tuple[Scan, LabelMap | None] = load(protocol.orientation)(scan, labels)
    return turned


def _no_view(folder: Path, views: Sequence[str] | None) -> SubjectError:
    """Say that there is no image, and what is there instead."""
    wanted = "any view" if views is None else ", ".join(views)
    there = sorted({"".join(p.suffixes[-2:])[:16] for p in folder.rglob("*") if p.is_file()})
    seen = f"; files there end in {', '.join(there[:6])}" if there else ""
    return SubjectError("view_missing", f"{folder}: no NIfTI image of {wanted}{seen}")


def find_visits(
    root: str | Path, problems: list[str] | None = None, folders: Folders | None = None
) -> list[Found]:
    """List ``sub-*`` folders, or their ``ses-*`` folders where there are any; sorted."""
    found = []
    folders = folders or Folders()
    derived = _derivatives(root, folders, problems)
    names = folders.names(root)
    subjects = [name for name in names if name.startswith("sub-")]
    for name in names:
        if name[:4] != "sub-" and name[:4].lower() == "sub-":
            note(problems, f"{root}: folder {name!r} is left out: not sub- in lower case")
    folders.prefetch([os.path.join(root, name) for name in subjects])
    for name in subjects:
        folder = os.path.join(root, name)
        try:
            subject_label(name)
            sessions = [s for s in folders.names(folder) if s.startswith("ses-")]
            for session in sessions:
                subject_label(session, prefix="ses-")
        except PopscanError as error:
            note(problems, f"{root}: {error}")
            continue
        for session in sessions:
            paths = [os.path.join(place, name, session) for place in (root, *derived.get(name, ()))]
            there = [path for path in paths[1:] if os.path.isdir(path)]
            found.append(Found(sub=name, ses=session, paths=(paths[0], *there)))
        if not sessions:
            places = (root, *derived.get(name, ()))
            found.append(Found(sub=name, paths=tuple(os.path.join(p, name) for p in places)))
    return found


def _derivatives(
    root: str | Path, folders: Folders, problems: list[str] | None
) -> dict[str, list[str]]:
    """Subject -> folders ``derivatives/*`` that know it; unreadable ones are reported."""
    top = os.path.join(root, "derivatives")
    out: dict[str, list[str]] = defaultdict(list)

    def names(place: str) -> list[str]:
        try:
            return folders.names(place)
        except PopscanError as error:
            note(problems, str(error))
            return []

    for name in names(top) if os.path.isdir(top) else ():
        place = os.path.join(top, name)
        for sub in names(place):
            out[sub].append(place)
    return out


def _read_images(view: str, images: list[Named]) -> tuple[Scan, list[Named]]:
    """Read the cine, or its frames; of several runs the last in natural order."""
    last = max(images, key=run_key).core
    run = sorted((item for item in images if item.core == last), key=frame_key)
    others = len(images) - len(run)
    whole = [item for item in run if not item.frame and item.time_ms is None]
    timed = [item for item in run if item.time_ms is not None]
    chosen = _one_copy(whole) or timed or run
    for item in chosen if whole else (chosen + timed):
        require_content(item)
    scans = [read_scan(item.path) for item in chosen]
    if whole and timed and scans[0].array.shape[3] == 1:
        # dcm2niix leaves the time out of the name of the first frame's file.
        chosen = [*chosen, *timed]
        scans += [read_scan(item.path) for item in timed]
    meta = {**known_meta(scans[0].meta), **bids_meta(chosen[0].path)}
    n_runs = len({item.core for item in images})
    if n_runs > 1:
        meta["n_runs"] = n_runs
    reasons = {
        "of another run": others,
        "of the same run (single frames or copies)": len(run) - len(chosen),
    }
    if any(reasons.values()):
        meta["images_left_out"] = sum(reasons.values())
        meta["images_left_out_reason"] = ", ".join(f"{n} {r}" for r, n in reasons.items() if n)
    if space := space_named(chosen[0].path):
        meta["standard_space"] = space
    if chosen[0].equalised:
        meta["resampled_slices"] = True
    scan = slices_last(_joined(chosen, scans))
    meta |= step_conflict(scan, meta)
    times, factor = times_in_ms(scan.frame_times_ms)
    if factor != 1.0:
        scan, meta["frame_time_factor"] = replace(scan, frame_times_ms=times), factor
    if "rr_ms" in meta:
        meta.update(rr_in_ms(meta["rr_ms"]))
    names = [item.frame.upper() for item in chosen]
    if set(names) <= {"ED", "ES"}:
        meta["frame_labels"] = names
    return replace(scan, view=view, meta=meta), chosen


def _one_copy(whole: list[Named]) -> list[Named]:
    """Of several files of one cine the resampled one, where a gap made the other's distances wrong.

    Else one in the subject's own space, and of those the one that was processed least: with the
    shortest name.
    """

    def rank(item: Named) -> tuple[bool, bool, int, str]:
        name = item.path.name
        return (not item.equalised, bool(space_named(item.path)), len(name), name)

    return sorted(whole, key=rank)[:1]


def _joined(chosen: list[Named], scans: list[Scan]) -> Scan:
    """One scan out of a file per frame."""
    first = scans[0]
    if len(scans) == 1:
        return first
    for item, scan in zip(chosen, scans, strict=True):
        same = scan.array.shape == (*first.array.shape[:3], 1)
        if not same or not np.allclose(scan.affine, first.affine, atol=0.1 * min(first.spacing_mm)):
            raise SubjectError(
                "frame_mismatch",
                f"{item.path}: shape {scan.array.shape} at {_place(scan)}; one frame on the grid "
                f"of the first, {first.array.shape[:3]} at {_place(first)}, expected",
            )
    array = np.concatenate([scan.array for scan in scans], axis=3)
    return replace(first, array=array, frame_times_ms=_named_times(chosen))


def _place(scan: Scan) -> str:
    corner = ", ".join(f"{value:.1f}" for value in scan.affine[:3, 3])
    return f"({corner}) mm, steps {' x '.join(f'{s:g}' for s in scan.spacing_mm)} mm"


def _named_times(chosen: list[Named]) -> np.ndarray | None:
    """Frame times out of names; the one that dcm2niix leaves out lies one step before the rest."""
    times = [float(item.time_ms) for item in chosen if item.time_ms is not None]
    if len(times) < 2 or len(times) < len(chosen) - 1:
        return None
    if len(times) < len(chosen):
        times.insert(0, times[0] - float(np.median(np.diff(times))))
    return np.array(times) if times[0] >= 0 and np.all(np.diff(times) > 0) else None


def step_conflict(scan: Scan, meta: Mapping[str, Any]) -> dict[str, float]:
    """Return how far slices lie nearer than the sidecar says, where they lie a thickness apart.

    The gap between slices was lost then, when the image was written: volumes are too small. A scan
    that was resampled has another step, and says nothing.
    """
    stated, thickness = meta.get("stated_step_mm", 0.0), meta.get("slice_thickness_mm", 0.0)
    step = scan.spacing_mm[2]
    if scan.array.shape[2] < 2 or not math.isclose(step, thickness, rel_tol=_SAME_STEP):
        return {}
    percent = 100.0 * abs(stated / step - 1.0) if stated > 0 else 0.0
    known = meta.get("spacing_conflict_pct", 0.0)
    if percent <= max(known, 100.0 * _SAME_STEP):
        return {}
    return {"spacing_conflict_pct": round(percent, 1)}


def bids_meta(path: Path) -> dict[str, Any]:
    """Return what the sidecar of an image says in BIDS's words, as keys of ``Scan.meta``."""
    side = sidecar_path(path)
    if not side.exists():
        return {}
    data = read_json(side)
    if not isinstance(data, dict):
        return {}
    found: dict[str, Any] = {}
    for key, (name, factor) in _BIDS_KEYS.items():
        if factor is None:
            found[name] = data.get(key)
        elif (number := number_of(data.get(key))) is not None:
            found[name] = number * factor
    return known_meta(found)
