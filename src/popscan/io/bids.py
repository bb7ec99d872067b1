"""NIfTI studies laid out like BIDS.

``sub-*/[ses-*/][anat|cine|func|mr|cmr/]*.nii.gz``, a JSON sidecar beside each image (keys of
popscan's own sidecars, or BIDS's ``Manufacturer`` ...). The view is a part of the name: ``sax`` or
``sa``, ``2ch``, ``3ch``, ``4ch``, ``rvot`` (``acq-sax``, ``la2ch``, ``sub-1_sa_ED`` are all
understood); images that end in ``_cine`` or ``_bold`` and name no view are short-axis. An image is
4D, or one 3D file per frame (``_frame-01``, ``_phase-01``, ``_ED``, ``_ES``). Phase, real and
imaginary parts (``part-phase`` ...) are no cines and left aside. Labels have the same
name with ``dseg``, ``gt``, ``seg`` or ``label`` in it, beside the image or below
``derivatives/*/``.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from popscan.ingest.checks import known_meta, number_of
from popscan.ingest.orientation import standard_orientation
from popscan.io.folders import Folders
from popscan.io.jsonfile import read_json
from popscan.io.nifti import read_labels, read_scan, sidecar_path, stem_of
from popscan.io.sources import Found, Loaded, one_folder, tell
from popscan.io.tables import subject_label
from popscan.records import LabelMap, PopscanError, Scan, SubjectError

_VIEW_WORDS = {
    "sax": "sax", "sa": "sax", "shortaxis": "sax",
    "2ch": "2ch", "la2ch": "2ch", "lax2ch": "2ch",
    "3ch": "3ch", "la3ch": "3ch", "lax3ch": "3ch", "lvot": "3ch",
    "4ch": "4ch", "la4ch": "4ch", "lax4ch": "4ch",
    "rvot": "rvot",
}  # fmt: skip
_LABEL_WORDS = frozenset({"dseg", "gt", "seg", "label", "labels", "mask"})
#: Entities that an image and its labels need not share.
_NOT_CORE = ("desc-", "space-", "part-mag")
_IMAGE_WORDS = frozenset({"cine", "bold", "image", "img"})
_FOLDERS = ("anat", "cine", "func", "mr", "cmr")
_OTHER_PARTS = frozenset({"part-phase", "part-real", "part-imag"})
_FRAME = re.compile(r"(?:frame|phase)-?(\d+)")
#: BIDS sidecar key -> key of meta, factor.
_BIDS_KEYS = {
    "Manufacturer": ("manufacturer", None),
    "ManufacturersModelName": ("model", None),
    "MagneticFieldStrength": ("field_strength_t", 1.0),
    "SliceThickness": ("slice_thickness_mm", 1.0),
    "EchoTime": ("echo_time_ms", 1000.0),
    "FlipAngle": ("flip_angle_deg", 1.0),
    "HeartRate": ("heart_rate_bpm", 1.0),
    "RRInterval": ("rr_ms", 1000.0),
}


@dataclass(frozen=True, kw_only=True)
class _Named:
    """A NIfTI file and what its name says."""

    path: Path
    view: str
    frame: str  # "", a number, "ed" or "es"
    is_label: bool
    core: tuple[str, ...]  # what an image and its labels have in common


class Bids:
    """Source ``bids``: see the module."""

    def find(
        self,
        root: str | Path,
        *,
        problems: list[str] | None = None,
        folders: Folders | None = None,
    ) -> list[Found]:
        """List the ``sub-*/[ses-*/]`` folders of `root`."""
        return find_visits(root, problems, folders)

    def load(self, paths: Sequence[str], *, views: Sequence[str] | None = None) -> Loaded:
        """Read a visit.

        Parameters
        ----------
        paths
            The visit's folder, and those below ``derivatives/`` that may hold its labels.
        views
            Views wanted; None for all that are there.

        Raises
        ------
        SubjectError
            ``view_missing`` if none of them is there, ``frame_mismatch``, ``label_mismatch``, and
            those of `popscan.io.nifti`.
        """
        folder = one_folder(paths)
        by_view: dict[str, list[_Named]] = defaultdict(list)
        for item in _listing([folder, *(Path(path) for path in paths[1:])]):
            if views is None or item.view in views:
                by_view[item.view].append(item)
        scans: dict[str, Scan] = {}
        labels: dict[str, LabelMap] = {}
        for view, items in sorted(by_view.items()):
            images = [item for item in items if not item.is_label]
            if not images:
                continue
            scan, chosen = _read_images(folder, view, images)
            found = _read_labels(scan, chosen, [item for item in items if item.is_label])
            scans[view], label = standard_orientation(scan, found)
            if label is not None:
                labels[view] = label
        if not scans:
            wanted = "any view" if views is None else ", ".join(views)
            raise SubjectError("view_missing", f"{folder}: no NIfTI image of {wanted}")
        return Loaded(scans=scans, labels=labels)


def find_visits(
    root: str | Path, problems: list[str] | None = None, folders: Folders | None = None
) -> list[Found]:
    """List ``sub-*`` folders, or their ``ses-*`` folders where there are any; sorted."""
    found = []
    folders = folders or Folders()
    derived = _derivatives(root, folders, problems)
    subjects = [name for name in folders.names(root) if name.startswith("sub-")]
    folders.prefetch([os.path.join(root, name) for name in subjects])
    for name in subjects:
        folder = os.path.join(root, name)
        try:
            subject_label(name)
            sessions = [s for s in folders.names(folder) if s.startswith("ses-")]
            for session in sessions:
                subject_label(session, prefix="ses-")
        except PopscanError as error:
            tell(problems, f"{root}: {error}")
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
    """Subject -> folders ``derivatives/*`` that know it; unreadable ones are told."""
    top = os.path.join(root, "derivatives")
    out: dict[str, list[str]] = defaultdict(list)

    def names(place: str) -> list[str]:
        try:
            return folders.names(place)
        except PopscanError as error:
            tell(problems, str(error))
            return []

    for name in names(top) if os.path.isdir(top) else ():
        place = os.path.join(top, name)
        for sub in names(place):
            out[sub].append(place)
    return out


def _listing(places: Sequence[Path]) -> list[_Named]:
    folder, out = places[0], []
    for place in places:
        for sub in (place, *(place / name for name in _FOLDERS)):
            if sub.is_dir():
                named = (_parse(p) for p in sorted(sub.iterdir()) if _is_nifti(p))
                # Under derivatives only labels count: a processed image is not the acquired one.
                out += [n for n in named if n and (n.is_label or place == folder)]
    return out


def _is_nifti(path: Path) -> bool:
    return path.name.endswith((".nii.gz", ".nii")) and path.is_file()


def _parse(path: Path) -> _Named | None:
    tokens = stem_of(path).split("_")
    words = [token.rsplit("-", 1)[-1].lower() for token in tokens]
    view = next((_VIEW_WORDS[w] for w in words if w in _VIEW_WORDS), "")
    if any(token.lower() in _OTHER_PARTS for token in tokens):
        return None
    is_label = any(token.lower() in _LABEL_WORDS for token in tokens)
    if not view:
        if not (is_label or words[-1] in ("cine", "bold")):
            return None
        view = "sax"
    frame, core = "", []
    for token, word in zip(tokens, words, strict=True):
        match = _FRAME.fullmatch(token.lower())
        if match:
            frame = match[1]
        elif word in ("ed", "es"):
            frame = word
        elif word not in _LABEL_WORDS | _IMAGE_WORDS and not token.lower().startswith(_NOT_CORE):
            core.append(token)
    return _Named(path=path, view=view, frame=frame, is_label=is_label, core=tuple(core))


def _frame_key(item: _Named) -> tuple[int, str]:
    return (int(item.frame), "") if item.frame.isdigit() else (-1, item.frame)


def _read_images(folder: Path, view: str, images: list[_Named]) -> tuple[Scan, list[_Named]]:
    """Read the cine, or its frames; of several runs the last by name."""
    whole = [item for item in images if not item.frame]
    last = max((whole or images), key=lambda item: item.core).core
    chosen = [item for item in (whole or images) if item.core == last]
    if whole:
        chosen = chosen[-1:]
    chosen.sort(key=_frame_key)
    scans = [read_scan(item.path) for item in chosen]
    first = scans[0]
    meta = {**known_meta(first.meta), **_bids_meta(chosen[0].path)}
    n_runs = len({item.core for item in (whole or images)})
    if n_runs > 1:
        meta["n_runs"] = n_runs
    if len(scans) == 1:
        if chosen[0].frame in ("ed", "es"):
            meta["frame_labels"] = [chosen[0].frame.upper()]
        return replace(first, view=view, meta=meta), chosen
    for item, scan in zip(chosen, scans, strict=True):
        if scan.array.shape[:3] != first.array.shape[:3] or scan.array.shape[3] != 1:
            raise SubjectError(
                "frame_mismatch",
                f"{item.path}: shape {scan.array.shape}, {first.array.shape} expected",
            )
    if all(item.frame in ("ed", "es") for item in chosen):
        meta["frame_labels"] = [item.frame.upper() for item in chosen]
    array = np.concatenate([scan.array for scan in scans], axis=3)
    return replace(first, array=array, frame_times_ms=None, view=view, meta=meta), chosen


def _bids_meta(path: Path) -> dict[str, Any]:
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


def _read_labels(scan: Scan, chosen: list[_Named], labels: list[_Named]) -> LabelMap | None:
    """Read labels on the grid of the scan: one file for the cine, or one per frame file."""
    array = np.zeros(scan.array.shape, dtype=np.uint8)
    frames: list[int] = []
    for index, image in enumerate(chosen):
        same = [n for n in labels if n.core == image.core and n.frame == image.frame]
        if not same:
            continue
        label = read_labels(same[-1].path)
        whole = len(chosen) == 1
        expected = array.shape if whole else (*array.shape[:3], 1)
        if label.array.shape != expected:
            raise SubjectError(
                "label_mismatch",
                f"{same[-1].path}: labels {label.array.shape}, {expected} expected",
            )
        if whole:
            return label
        array[..., index] = label.array[..., 0]
        frames.append(index)
    return LabelMap(array=array, frames=tuple(frames)) if frames else None
