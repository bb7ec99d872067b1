"""DICOM studies: one folder per subject (or per ``ses-*`` below it), any names and nesting.

Nothing is taken from names or series descriptions: images are grouped by how they lie in the
patient, sorted by position and trigger time, and the view is found from geometry. The short-axis
stack is the largest group of parallel cine planes across the typical axis of the left ventricle,
whether it came as one series or as one series per slice; the long-axis views are distinguished by
their angle about the axis of that stack and by whether they pass the centre of what beats in it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from popscan.io.dicom_account import LeftOut
from popscan.io.dicom_describe import describe_session
from popscan.io.dicom_pixels import stack_to_scan
from popscan.io.dicom_session import (
    Cine,
    Rules,
    Session,
    read_session,
    short_axis_cine,
    short_axis_stack_of,
)
from popscan.io.dicom_stack import Stack
from popscan.io.dicom_views import View, long_axis_views
from popscan.io.folders import Folders
from popscan.io.rawfile import RawFile
from popscan.io.sources import Found, Loaded, found_folders, note, one_folder
from popscan.io.tables import subject_label
from popscan.protocol import Protocol
from popscan.protocols import DEFAULT, get_protocol
from popscan.protocols.cine_sax.orientation import standard_orientation
from popscan.protocols.cine_sax.planes import heart_centre_mm
from popscan.records import PopscanError, Scan, SubjectError

__all__ = ["Dicom", "describe_session", "short_axis_stack"]

_PACKED = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
_LPS_RAS = np.array([-1.0, -1.0, 1.0])


class Dicom:
    """Source ``dicom``: see the module."""

    def __init__(self, protocol: Protocol | None = None) -> None:
        self.protocol = protocol or get_protocol(DEFAULT)

    def find(
        self,
        root: str | Path,
        *,
        problems: list[str] | None = None,
        folders: Folders | None = None,
    ) -> list[Found]:
        """List the folders of `root`: each is a subject, or has ``ses-*`` folders for visits."""
        folders = folders or Folders()
        subjects = found_folders(root, folders.names(root), problems)
        _tell_archives(root, {subject.sub for subject in subjects}, problems)
        folders.prefetch([subject.paths[0] for subject in subjects])
        found = []
        for subject in subjects:
            folder = subject.paths[0]
            try:
                sessions = [name for name in folders.names(folder) if name.startswith("ses-")]
            except PopscanError as error:
                note(problems, str(error))
                continue
            for session in sessions:
                try:
                    ses = subject_label(session, prefix="ses-")
                except PopscanError as error:
                    note(problems, f"{folder}: {error}")
                    continue
                found.append(replace(subject, ses=ses, paths=(os.path.join(folder, session),)))
            if not sessions:
                found.append(subject)
            elif others := [name for name in folders.names(folder) if name not in sessions]:
                note(problems, f"{folder}: {len(others)} folders beside its visits are not read")
        return found

    def load(
        self,
        paths: Sequence[str],
        *,
        views: Sequence[str] | None = None,
        min_frames: int = 5,
        gap_tolerance: float = 0.25,
        max_tilt_deg: float = 5.0,
    ) -> Loaded:
        """Read one subject's exam.

        Parameters
        ----------
        paths
            The subject's folder.
        views
            Views wanted; None for all that are found.
        min_frames, gap_tolerance, max_tilt_deg
            As in `popscan.io.dicom_session.Rules`.

        Returns
        -------
        Loaded
            ``meta`` of each scan: ``view_by`` (``stack``, ``short_axis_geometry``,
            ``patient_axes``), ``frame_order``, ``n_series``, ``images_left_out`` with its reason,
            ``slices_left_out``, and the tags of `popscan.io.dicom_header.META_TAGS`. Never a
            personal field.

        Raises
        ------
        SubjectError
            ``view_missing`` or ``no_cine``, and those of `popscan.io.dicom_folder.read_folder`,
            `popscan.io.dicom_group` and `popscan.io.dicom_stack`.
        """
        rules = Rules(min_frames=min_frames, gap_tolerance=gap_tolerance, max_tilt_deg=max_tilt_deg)
        return _read_views(read_session(one_folder(paths), rules), views)

    def load_files(
        self,
        name: str,
        files: Sequence[RawFile],
        *,
        views: Sequence[str] | None = None,
        max_tilt_deg: float = 5.0,
    ) -> Loaded:
        """Read an exam out of files that lie anywhere, as `load`.

        Parameters
        ----------
        name
            Of the exam, for messages.
        files
            At least one.
        views, max_tilt_deg
            As `load`.
        """
        return _read_views(read_session(name, Rules(max_tilt_deg=max_tilt_deg), files=files), views)


def _read_views(session: Session, views: Sequence[str] | None) -> Loaded:
    """Read the pixels of the views that are wanted."""
    wanted = None if views is None else set(views)
    scans: dict[str, Scan] = {}
    main = short_axis_cine(session)
    sax = None if main is None else _read_sax(session, main)
    if sax is not None and (wanted is None or "sax" in wanted):
        scans["sax"] = sax
    if wanted is None or wanted - {"sax"}:
        centre = None
        if sax is not None:
            centre = heart_centre_mm(sax.array, sax.affine) * _LPS_RAS
        found = long_axis_views(session, main, wanted=wanted, centre=centre)
        scans = _with_long_axis(scans, found, folder=session.name)
    if not scans:
        wanted_views = "any view" if views is None else ", ".join(views)
        raise SubjectError("view_missing", f"{session.name}: no cine of {wanted_views}")
    return Loaded(scans={view: scans[view] for view in sorted(scans)})


def _tell_archives(root: str | Path, subjects: set[str], problems: list[str] | None) -> None:
    """Say that packed exams are not opened: they would be lost without a word."""
    packed = 0
    with os.scandir(root) as entries:
        for entry in entries:
            stem = next((entry.name[: -len(e)] for e in _PACKED if entry.name.endswith(e)), "")
            if stem and not entry.is_dir():
                packed += f"sub-{stem.removeprefix('sub-')}" not in subjects
    if packed > 1:
        note(problems, f"{root}: {packed} archives (zip, tar, ...) are not read; unpack them first")


def short_axis_stack(
    folder: str | Path, *, min_frames: int = 5, gap_tolerance: float = 0.25
) -> tuple[Stack, Scan]:
    """Return the short-axis stack of a folder as files and as a scan, turned as it was taken.

    For those who have to know which file is which slice and frame (contours drawn on files). Slice
    z and frame t of the scan is ``stack.runs[z].planes[t]``.

    Raises
    ------
    SubjectError
        As `Dicom.load`.
    """
    rules = Rules(min_frames=min_frames, gap_tolerance=gap_tolerance)
    session = read_session(folder, rules)
    main = short_axis_cine(session)
    if main is None:
        raise SubjectError("view_missing", f"{folder}: no cine of sax among its series")
    stack, _ = short_axis_stack_of(session, main)
    return stack, stack_to_scan(stack, view="sax", folder=str(folder))


def _read_sax(session: Session, main: Cine) -> Scan:
    stack, left = short_axis_stack_of(session, main)
    scan = stack_to_scan(stack, view="sax", folder=session.name)
    meta = {**scan.meta, "view_by": "stack", **_told(left), "slices_left_out": left.slices}
    scan, _ = standard_orientation(replace(scan, meta=meta))
    return scan


def _told(left: LeftOut) -> dict[str, Any]:
    if not left.n_images:
        return {"images_left_out": 0}
    return {"images_left_out": left.n_images, "images_left_out_reason": left.reason}


def _with_long_axis(
    scans: dict[str, Scan], found: Sequence[View], *, folder: str
) -> dict[str, Scan]:
    """Read the long-axis views; one that cannot be read does not take the others with it."""
    scans, problems = dict(scans), []
    for view in found:
        try:
            if view.stack is None:
                assert view.problem is not None
                raise view.problem
            scan = stack_to_scan(view.stack, view=view.view, folder=folder)
        except SubjectError as error:
            problems.append((view, error))
            continue
        meta = {**scan.meta, "view_by": view.view_by, **_told(view.left)}
        if view.n_candidates > 1:
            meta["n_candidates"] = view.n_candidates
        scans[view.view] = replace(scan, meta=meta)
    if problems and not scans:
        raise problems[0][1]
    if problems:
        unread = "; ".join(f"{view.view} not read: {error.reason}" for view, error in problems)
        first = "sax" if "sax" in scans else sorted(scans)[0]
        meta = {**scans[first].meta, "views_unread": unread}
        scans[first] = replace(scans[first], meta=meta)
    return scans
