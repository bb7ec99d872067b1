"""From planes to stacks: which images belong together, and in which order."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.geometry import plane_normal, slice_distance_mm
from popscan.ingest.orientation import axis_of
from popscan.io.dicom_header import Plane
from popscan.records import SubjectError

#: Planes are parallel within this angle, and at the same place within this distance.
_PARALLEL_COSINE = math.cos(math.radians(1.0))
_SAME_PLACE_MM = 1.0
#: Echo times of one protocol differ less than this factor (cine against tagging or flow).
_ECHO_FACTOR = 1.3


@dataclass
class Group:
    """Parallel planes on the same pixel grid with the same contrast; any series.

    Attributes
    ----------
    planes
        Its images.
    one_frame
        Whether all must share a frame of reference (the patient was not moved in between).
    """

    planes: list[Plane] = field(default_factory=list)
    one_frame: bool = True

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit normal of its planes, LPS, signed from base to apex."""
        return axis_of(plane_normal(self.planes[0].orientation))

    def fits(self, plane: Plane) -> bool:
        """Whether `plane` belongs here."""
        first = self.planes[0]
        if (first.rows, first.columns) != (plane.rows, plane.columns):
            return False
        if self.one_frame and first.frame_of_reference != plane.frame_of_reference:
            return False
        spacing = (first.row_spacing_mm, first.column_spacing_mm)
        if not np.allclose(spacing, (plane.row_spacing_mm, plane.column_spacing_mm), rtol=1e-3):
            return False
        if first.meta.get("scanning_sequence") != plane.meta.get("scanning_sequence"):
            return False
        echo, other = first.meta.get("echo_time_ms"), plane.meta.get("echo_time_ms")
        if echo and other and max(echo, other) / min(echo, other) > _ECHO_FACTOR:
            return False
        a, b = np.array(first.orientation), np.array(plane.orientation)
        return bool(min(a[:3] @ b[:3], a[3:] @ b[3:]) > _PARALLEL_COSINE)


@dataclass(frozen=True, kw_only=True)
class Run:
    """The frames that one series holds of one slice position.

    Attributes
    ----------
    along_mm
        Position along the normal.
    planes
        In order of time.
    latest
        Sorts runs by when they were taken.
    """

    along_mm: float
    planes: tuple[Plane, ...]
    latest: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Slices of one view, each with the same number of frames, sorted by position.

    Attributes
    ----------
    runs
        One per slice, in order along the normal.
    notes
        What was decided on the way, for ``meta``.
    """

    runs: tuple[Run, ...]
    notes: dict[str, Any]


def group_planes(planes: Sequence[Plane]) -> list[Group]:
    """Group planes that are parallel and share grid and contrast."""
    frames = {(plane.series, plane.frame_of_reference) for plane in planes}
    # Some anonymisers give each image its own frame of reference: then it says nothing.
    trusted = len(frames) == len({series for series, _ in frames})
    groups: list[Group] = []
    for plane in planes:
        group = next((g for g in groups if g.fits(plane)), None)
        if group is None:
            groups.append(group := Group(one_frame=trusted))
        group.planes.append(plane)
    return groups


def check_series(groups: Sequence[Group], *, folder: str) -> None:
    """Refuse a series that holds images of different matrix or pixel size.

    Raises
    ------
    SubjectError
        ``mixed_series``.
    """
    grids: dict[str, set[tuple[int, int, float]]] = defaultdict(set)
    for group in groups:
        for plane in group.planes:
            grids[plane.series].add((plane.columns, plane.rows, round(plane.column_spacing_mm, 2)))
    for series, found in grids.items():
        if series and len(found) > 1:
            listed = ", ".join(f"{c} x {r} at {s:g} mm" for c, r, s in sorted(found))
            raise SubjectError(
                "mixed_series",
                f"{folder}: one series holds images of {listed}; one series, one matrix expected",
            )


def slice_runs(group: Group, *, folder: str) -> list[Run]:
    """Split a group by series and slice position, frames in order of time.

    Raises
    ------
    SubjectError
        ``mixed_series`` where one series holds each frame several times and nothing tells which
        acquisition an image belongs to.
    """
    normal = group.normal
    places: dict[tuple[str, str], list[tuple[float, list[Plane]]]] = defaultdict(list)
    for plane in group.planes:
        along = float(np.dot(normal, plane.position))
        known = places[plane.study, plane.series]
        for middle, members in known:
            if abs(middle - along) < _SAME_PLACE_MM / 2:
                members.append(plane)
                break
        else:
            known.append((along, [plane]))
    runs = []
    for known in places.values():
        for along, members in known:
            members = _last_acquisition(members, folder=folder)
            ordered, _ = order_frames(members)
            latest = max((p.time, p.series_number, p.acquisition) for p in ordered)
            runs.append(Run(along_mm=along, planes=tuple(ordered), latest=latest))
    return runs


def _last_acquisition(planes: list[Plane], *, folder: str) -> list[Plane]:
    """Where a slice was taken twice within a series, the images of the later acquisition."""
    triggers = Counter(round(p.trigger_ms, 1) for p in planes if not math.isnan(p.trigger_ms))
    repeats = set(triggers.values())
    if len(triggers) < 2 or repeats == {1}:
        return planes
    keys: list[Callable[[Plane], Any]] = [lambda p: p.acquisition, lambda p: p.time]
    if len(repeats) == 1:  # all frames as often: perhaps one acquisition after the other
        instances = sorted(p.instance for p in planes)
        keys.append(lambda p: instances.index(p.instance) // len(triggers))
    for key in keys:
        parts: dict[Any, list[Plane]] = defaultdict(list)
        for plane in planes:
            parts[key(plane)].append(plane)
        # Acquisitions are as many as a frame has images; else images have times of their own.
        if len(parts) == max(repeats) and all(
            len({round(p.trigger_ms, 1) for p in part}) == len(part) for part in parts.values()
        ):
            return parts[max(parts)]
    raise SubjectError(
        "mixed_series",
        f"{folder}: {len(planes)} images with {len(triggers)} trigger times at one slice position "
        "of one series, and nothing tells the acquisitions apart",
    )


def order_frames(planes: Sequence[Plane]) -> tuple[list[Plane], str]:
    """Frames of one slice in order of time, and by which tag they were ordered.

    TriggerTime if every frame has its own; else TemporalPositionIdentifier, InstanceNumber,
    ContentTime; else the file names, as ``file_name``.
    """
    keys: dict[str, Callable[[Plane], Any]] = {
        "trigger_time": lambda p: p.trigger_ms,
        "temporal_position": lambda p: p.temporal,
        "instance_number": lambda p: p.instance,
        "content_time": lambda p: p.content_time,
    }
    for name, key in keys.items():
        values = [key(p) for p in planes]
        missing = any(v in (-1, "") or v != v for v in values)
        if not missing and len(set(values)) == len(values):
            return sorted(planes, key=key), name
    return sorted(planes, key=lambda p: p.path), "file_name"


def build_stack(runs: Sequence[Run], *, folder: str, gap_tolerance: float) -> Stack:
    """Choose one run per slice position and sort them.

    Of several at one place the one with the usual number of frames counts, then the latest.

    Raises
    ------
    SubjectError
        ``missing_frames`` where slices have fewer (or more) frames than the others,
        ``irregular_slices`` where gaps differ by more than `gap_tolerance` of the usual gap.
    """
    n_frames = _usual_frames(runs)
    by_choice = sorted(runs, key=lambda r: (len(r.planes) == n_frames, r.latest), reverse=True)
    least_gap = _least_gap(runs)
    chosen: list[Run] = []
    for run in by_choice:
        if all(abs(run.along_mm - other.along_mm) >= least_gap for other in chosen):
            chosen.append(run)
    chosen.sort(key=lambda r: r.along_mm)
    odd = [(i, r) for i, r in enumerate(chosen, 1) if len(r.planes) != n_frames]
    if odd:
        listed = ", ".join(f"slice {i} ({r.along_mm:.1f} mm): {len(r.planes)}" for i, r in odd[:8])
        raise SubjectError(
            "missing_frames",
            f"{folder}: {n_frames} frames per slice expected; {listed} of {len(chosen)} slices",
        )
    distance, irregularity = slice_distance_mm([r.along_mm for r in chosen])
    if irregularity > gap_tolerance:
        gaps = np.diff([r.along_mm for r in chosen])
        worst = int(np.argmax(np.abs(gaps - distance)))
        raise SubjectError(
            "irregular_slices",
            f"{folder}: slices {worst + 1} and {worst + 2} of {len(chosen)} are "
            f"{gaps[worst]:.1f} mm apart, the others {distance:.1f} mm: a slice is missing, or two "
            "stacks are mixed",
        )
    notes: dict[str, Any] = {"n_series": len({p.series for r in chosen for p in r.planes})}
    if len(runs) > len(chosen):
        notes["n_repeated_slices"] = len(runs) - len(chosen)
    return Stack(runs=tuple(chosen), notes=notes)


def _usual_frames(runs: Sequence[Run]) -> int:
    counts = Counter(len(run.planes) for run in runs)
    return max(counts, key=lambda n: (counts[n], n))


def _least_gap(runs: Sequence[Run]) -> float:
    """Distance below which two runs are the same slice: 0.6 of the gap of the longest series."""
    series: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        series[run.planes[0].series].append(run.along_mm)
    longest = max(series.values(), key=len)
    along = sorted(longest if len(longest) >= 3 else [r.along_mm for r in runs])
    gaps = [g for g in np.diff(along) if g >= _SAME_PLACE_MM]
    return 0.6 * float(np.median(gaps)) if gaps else _SAME_PLACE_MM
