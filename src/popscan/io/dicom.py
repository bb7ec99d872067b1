"""DICOM studies: one folder per subject (or per ``ses-*`` below it), any names and nesting.

Nothing is taken from names or series descriptions: images are grouped by how they lie in the
patient, sorted by position and trigger time, and the view is found from geometry. The short-axis
stack is the largest group of parallel cine planes across the typical axis of the left ventricle,
whether it came as one series or as one series per slice; the long-axis views are told apart by
their angle about the axis of that stack and by whether they pass the centre of what beats in it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.planes import heart_centre_mm
from popscan.ingest.orientation import (
    axis_of,
    is_short_axis,
    name_plane,
    standard_orientation,
)
from popscan.io.dicom_header import Folder, read_folder
from popscan.io.dicom_pixels import stack_to_scan
from popscan.io.dicom_stack import (
    Group,
    Run,
    Stack,
    build_stack,
    check_series,
    group_planes,
    slice_runs,
)
from popscan.io.folders import Folders
from popscan.io.sources import Found, Loaded, found_folders, one_folder, tell
from popscan.io.tables import subject_label
from popscan.records import PopscanError, Scan, SubjectError

_LPS_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class _Cine:
    """A group of parallel planes that hold a cine."""

    group: Group
    runs: list[Run]
    n_slices: int
    latest: tuple[Any, ...]


class Dicom:
    """Source ``dicom``: see the module."""

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
        folders.prefetch([subject.paths[0] for subject in subjects])
        found = []
        for subject in subjects:
            folder = subject.paths[0]
            try:
                sessions = [name for name in folders.names(folder) if name.startswith("ses-")]
            except PopscanError as error:
                tell(problems, str(error))
                continue
            for session in sessions:
                try:
                    ses = subject_label(session, prefix="ses-")
                except PopscanError as error:
                    tell(problems, f"{folder}: {error}")
                    continue
                found.append(replace(subject, ses=ses, paths=(os.path.join(folder, session),)))
            if not sessions:
                found.append(subject)
        return found

    def load(
        self,
        paths: Sequence[str],
        *,
        views: Sequence[str] | None = None,
        min_frames: int = 5,
        gap_tolerance: float = 0.25,
    ) -> Loaded:
        """Read one subject's exam.

        Parameters
        ----------
        paths
            The subject's folder.
        views
            Views wanted; None for all that are found.
        min_frames
            Slices with fewer images are no cine (localisers, late enhancement, maps).
        gap_tolerance
            Largest deviation of a gap between short-axis slices, as a fraction of the usual gap.

        Returns
        -------
        Loaded
            ``meta`` of each scan: ``view_by`` (``stack``, ``short_axis_geometry``,
            ``patient_axes``), ``frame_order``, ``n_series``, what was left aside, and the tags of
            `popscan.io.dicom_header.META_TAGS`. Never a personal field.

        Raises
        ------
        SubjectError
            ``view_missing`` or ``no_cine``, and those of `popscan.io.dicom_header.read_folder` and
            `popscan.io.dicom_stack`.
        """
        folder = one_folder(paths)
        found = read_folder(folder)
        cines = _cines(found, folder=str(folder), min_frames=min_frames)
        wanted = None if views is None else set(views)
        scans: dict[str, Scan] = {}
        stack = _short_axis(cines, folder=str(folder))
        sax = None
        if stack is not None and (wanted is None or wanted & {"sax", "2ch", "3ch", "4ch", "rvot"}):
            sax = _read_sax(stack, cines, folder=str(folder), gap_tolerance=gap_tolerance)
            if wanted is None or "sax" in wanted:
                scans["sax"] = sax
        if wanted is None or wanted - {"sax"}:
            rest = [cine for cine in cines if cine is not stack]
            scans |= _long_axis(rest, stack, sax, wanted, folder=str(folder))
        if not scans:
            asked = "any view" if views is None else ", ".join(views)
            raise SubjectError("view_missing", f"{folder}: no cine of {asked} among its series")
        return Loaded(scans={view: scans[view] for view in sorted(scans)})


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
    found = read_folder(Path(folder))
    cines = _cines(found, folder=str(folder), min_frames=min_frames)
    chosen = _short_axis(cines, folder=str(folder))
    if chosen is None:
        raise SubjectError("view_missing", f"{folder}: no cine of sax among its series")
    stack = build_stack(chosen.runs, folder=str(folder), gap_tolerance=gap_tolerance)
    return stack, stack_to_scan(stack, view="sax", folder=str(folder))


def _cines(found: Folder, *, folder: str, min_frames: int) -> list[_Cine]:
    """Return the groups of planes with enough frames at some position."""
    cines = []
    groups = group_planes(found.planes)
    kept: list[Group] = []
    for group in groups:
        runs = slice_runs(group, folder=folder)
        full = [run for run in runs if len(run.planes) >= min_frames]
        if not full:
            continue
        kept.append(group)
        series = {run.planes[0].series for run in full}
        # A slice of a cine series that lost its frames stays: it has to be told, not dropped.
        runs = [run for run in runs if run.planes[0].series in series]
        places = {round(run.along_mm) for run in runs}
        latest = max(run.latest for run in runs)
        cines.append(_Cine(group=group, runs=runs, n_slices=len(places), latest=latest))
    check_series(kept, folder=folder)
    if not cines:
        raise SubjectError(
            "no_cine",
            f"{folder}: {len(found.planes)} images, but no slice with {min_frames} or more frames",
        )
    return cines


def _short_axis(cines: Sequence[_Cine], *, folder: str) -> _Cine | None:
    """Largest group of planes across the typical axis; of equal ones the latest."""
    across = [cine for cine in cines if is_short_axis(cine.group.normal)]
    _one_study(across, folder=folder)
    return max(across, key=lambda c: (c.n_slices, c.latest), default=None)


def _one_study(stacks: Sequence[_Cine], *, folder: str) -> None:
    """Refuse whole short-axis stacks of several studies: two visits, or two people, in one folder.

    A study that holds fewer than three slices is no sign of that: some anonymisers give each
    series its own study.
    """
    places: dict[str, set[tuple[int, int]]] = {}
    for number, stack in enumerate(stacks):
        for run in stack.runs:
            places.setdefault(run.planes[0].study, set()).add((number, round(run.along_mm)))
    most = max((len(found) for found in places.values()), default=0)
    rivals = [found for found in places.values() if len(found) >= max(3, most / 2)]
    if len(rivals) > 1:
        raise SubjectError(
            "mixed_series",
            f"{folder}: short-axis stacks of {len(rivals)} different studies "
            f"({', '.join(str(len(found)) for found in rivals)} slices); one visit per folder "
            "expected",
        )


def _read_sax(stack: _Cine, cines: Sequence[_Cine], *, folder: str, gap_tolerance: float) -> Scan:
    built = build_stack(stack.runs, folder=folder, gap_tolerance=gap_tolerance)
    scan = stack_to_scan(built, view="sax", folder=folder)
    others = sum(is_short_axis(c.group.normal) for c in cines) - 1
    meta = {**scan.meta, "view_by": "stack"}
    if others:
        meta["n_other_stacks"] = others
    scan, _ = standard_orientation(replace(scan, meta=meta))
    return scan


def _long_axis(
    cines: Sequence[_Cine],
    stack: _Cine | None,
    sax: Scan | None,
    wanted: set[str] | None,
    *,
    folder: str,
) -> dict[str, Scan]:
    """Read the other views; of several planes of one view the best fitting, then the latest."""
    if not cines:
        return {}
    axis = None if stack is None else axis_of(stack.group.normal)
    centre: NDArray[np.float64] | None = None
    if sax is not None:
        centre = heart_centre_mm(sax.array, sax.affine) * _LPS_RAS
    candidates: dict[str, list[tuple[float, _Cine]]] = {}
    for cine in cines:
        if is_short_axis(cine.group.normal):
            continue
        named = name_plane(cine.group.normal, _middle(cine.group), axis=axis, centre=centre)
        candidates.setdefault(named.view, []).append((named.misfit, cine))
    scans = {}
    for view, found in candidates.items():
        if wanted is not None and view not in wanted:
            continue
        _, best = min(found, key=lambda item: item[0])
        built = build_stack(best.runs, folder=folder, gap_tolerance=float("inf"))
        scan = stack_to_scan(built, view=view, folder=folder)
        by = "patient_axes" if axis is None else "short_axis_geometry"
        meta = {**scan.meta, "view_by": by}
        if len(found) > 1:
            meta["n_candidates"] = len(found)
        scans[view] = replace(scan, meta=meta)
    return scans


def _middle(group: Group) -> NDArray[np.float64]:
    """Mean corner of a group's planes: a point of the plane in its middle."""
    return np.mean([plane.position for plane in group.planes], axis=0)
