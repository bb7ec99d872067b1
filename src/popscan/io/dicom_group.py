"""Which images belong together: parallel planes of one contrast, in runs of one slice each."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.geometry import plane_normal
from popscan.io.dicom_header import Plane
from popscan.io.dicom_kind import Origin
from popscan.io.dicom_order import agreed_order, has_triggers, order_frames
from popscan.io.dicom_place import Grid, turned_onto
from popscan.protocols.cine_sax.orientation import axis_of
from popscan.records import SubjectError

#: Planes are parallel within this angle, and at the same place within this distance.
_PARALLEL_COSINE = math.cos(math.radians(1.0))
#: Planes of one view, however they were planned, lie within this angle.
_ALIKE_COSINE = math.cos(math.radians(15.0))
SAME_PLACE_MM = 1.0
#: Echo times of one protocol differ less than this factor (cine against tagging or flow).
_ECHO_FACTOR = 1.3
#: So many series, each in a frame of reference of its own, are an anonymiser's work.
_MANY_SERIES = 4


def same_contrast(first: Plane, plane: Plane) -> bool:
    """Whether two images can be of one protocol; what a header does not say speaks for it."""
    sequence, other = first.meta.get("scanning_sequence"), plane.meta.get("scanning_sequence")
    if sequence and other and sequence != other:
        return False
    echo, other_echo = first.meta.get("echo_time_ms"), plane.meta.get("echo_time_ms")
    if not echo or not other_echo:
        return True
    return bool(max(echo, other_echo) / min(echo, other_echo) <= _ECHO_FACTOR)


def same_kind(first: Plane, plane: Plane) -> bool:
    """Whether two images can be of one kind: cine and cine, not cine and perfusion."""
    return same_contrast(first, plane) and first.contrast.is_like(plane.contrast)


def same_pixels(first: Plane, plane: Plane) -> bool:
    """Whether two images have pixels of one size."""
    spacing = (first.row_spacing_mm, first.column_spacing_mm)
    other = (plane.row_spacing_mm, plane.column_spacing_mm)
    return bool(np.allclose(spacing, other, rtol=1e-3))


@dataclass
class Group:
    """Parallel planes on one pixel grid with one contrast; any series.

    Attributes
    ----------
    planes
        Its images.
    """

    planes: list[Plane] = field(default_factory=list)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit normal of its planes, LPS, signed from base to apex."""
        return axis_of(plane_normal(self.planes[0].orientation))

    def fits(self, plane: Plane) -> bool:
        """Whether `plane` belongs here."""
        first = self.planes[0]
        if (first.rows, first.columns) != (plane.rows, plane.columns):
            return False
        if not same_pixels(first, plane) or not same_contrast(first, plane):
            return False
        a, b = np.array(first.orientation), np.array(plane.orientation)
        return bool(min(a[:3] @ b[:3], a[3:] @ b[3:]) > _PARALLEL_COSINE)

    def turned(self, plane: Plane) -> Plane | None:
        """Return `plane` with rows and columns as they are here, if it belongs here then.

        Of a stack, half the slices may be stored from right to left and the others not.
        """
        first = self.planes[0]
        across = plane_normal(first.orientation) @ plane_normal(plane.orientation)
        if abs(float(across)) <= _PARALLEL_COSINE:
            return None
        other = turned_onto(plane, Grid(first))
        return other if other is not plane and self.fits(other) else None


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
    earlier
        Images of the same slice and series that were taken before, and count no more.
    support
        How usual its kind is in the visit (`popscan.io.dicom_support`).
    """

    along_mm: float
    planes: tuple[Plane, ...]
    latest: tuple[Any, ...]
    earlier: tuple[Plane, ...] = ()
    support: int = 0

    @property
    def quality(self) -> tuple[int, int]:
        """How far the run is from what was measured over the heart's cycle; the least is best."""
        return max(p.origin for p in self.planes), not has_triggers(self.planes)

    @property
    def is_copy(self) -> bool:
        """Whether it was made for looking at: captured, annotated, or no magnitude."""
        return self.quality[0] >= Origin.SECONDARY


def group_planes(planes: Sequence[Plane]) -> list[Group]:
    """Group planes that are parallel and share grid and contrast.

    Planes whose rows and columns are stored in another order or direction are turned onto those of
    the first of their group.
    """
    groups: list[Group] = []
    for plane in planes:
        group, placed = next((g for g in groups if g.fits(plane)), None), plane
        if group is None:
            turned = ((g, g.turned(plane)) for g in groups)
            group, placed = next(((g, p) for g, p in turned if p is not None), (None, plane))
        if group is None:
            groups.append(group := Group())
        group.planes.append(placed)
    return groups


def frames_of_reference(runs: Sequence[Run]) -> bool:
    """Whether frames of reference say anything about these runs.

    Some anonymisers give one of its own to each image or series: then they do not.
    """
    pairs = {(p.series, p.frame_of_reference) for run in runs for p in run.planes}
    series = {name for name, _ in pairs}
    frames = {frame for _, frame in pairs if frame}
    if len(pairs) > len(series) or len(frames) < 2:
        return False
    return len(frames) < len(series) or len(series) < _MANY_SERIES


def check_series(groups: Sequence[Group], *, folder: str) -> None:
    """Refuse a series of several pixel sizes, or of several matrices in one place.

    Raises
    ------
    SubjectError
        ``mixed_series``.
    """
    for group, other in combinations(groups, 2):
        if float(group.normal @ other.normal) < _ALIKE_COSINE:
            continue
        places, others = _places(group, group.normal), _places(other, group.normal)
        alike = same_pixels(group.planes[0], other.planes[0])
        if alike and _shape(group.planes[0]) == _shape(other.planes[0]):
            continue
        for series in set(places) & set(others) - {""}:
            if not alike or places[series] & others[series]:
                listed = " and ".join(_grid(g.planes[0]) for g in (group, other))
                raise SubjectError(
                    "mixed_series",
                    f"{folder}: one series holds images of {listed}; one series, one matrix "
                    "expected",
                )


def _places(group: Group, normal: NDArray[np.float64]) -> dict[str, set[int]]:
    """Series -> its places along a normal, in whole mm."""
    found: dict[str, set[int]] = defaultdict(set)
    for plane in group.planes:
        found[plane.series].add(round(float(np.dot(normal, plane.position))))
    return found


def _shape(plane: Plane) -> tuple[int, int]:
    return plane.columns, plane.rows


def _grid(plane: Plane) -> str:
    return f"{plane.columns} x {plane.rows} at {plane.column_spacing_mm:.4g} mm"


def slice_runs(group: Group, *, folder: str) -> list[Run]:
    """Split a group by series, origin and slice position, frames in order of time.

    Raises
    ------
    SubjectError
        ``mixed_series`` where one series holds each frame several times and nothing shows which
        acquisition an image belongs to.
    """
    normal = group.normal
    places: dict[tuple[str, str, int], list[tuple[float, list[Plane]]]] = defaultdict(list)
    for plane in group.planes:
        along = float(np.dot(normal, plane.position))
        known = places[plane.study, plane.series, plane.origin]
        for middle, members in known:
            if abs(middle - along) < SAME_PLACE_MM / 2:
                members.append(plane)
                break
        else:
            known.append((along, [plane]))
    found = [item for known in places.values() for item in known]
    usual = _usual_images([members for _, members in found])
    runs = []
    for along, members in found:
        last = _last_acquisition(members, usual=usual, folder=folder)
        ordered, _ = order_frames(last)
        latest = max((p.time, p.series_number, p.acquisition) for p in ordered)
        chosen = {id(p) for p in last}
        earlier = tuple(p for p in members if id(p) not in chosen)
        runs.append(Run(along_mm=along, planes=tuple(ordered), latest=latest, earlier=earlier))
    return runs


def _usual_images(slices: Sequence[Sequence[Plane]]) -> int:
    """Images of most slices whose trigger times differ: those were taken once; 0 without any."""
    counts = Counter(len(m) for m in slices if len(_triggers(m)) == len(m))
    return max(counts, key=lambda n: (counts[n], n)) if counts else 0


def _triggers(planes: Sequence[Plane]) -> Counter[float]:
    return Counter(round(p.trigger_ms, 4) for p in planes if not math.isnan(p.trigger_ms))


def _last_of(planes: list[Plane], *, usual: int) -> list[Plane]:
    """Return the last of several acquisitions of `usual` images, where a tag distinguishes them."""
    keys: list[Callable[[Plane], Any]] = [
        lambda p: p.acquisition,
        lambda p: p.acquisition_time,
        lambda p: p.content_time,
    ]
    for key in keys:
        parts: dict[Any, list[Plane]] = defaultdict(list)
        for plane in planes:
            parts[key(plane)].append(plane)
        if len(parts) > 1 and {len(part) for part in parts.values()} == {usual}:
            return parts[max(parts)]
    return planes


def _last_acquisition(planes: list[Plane], *, usual: int, folder: str) -> list[Plane]:
    """Where a slice was taken twice within a series, the images of the later acquisition.

    As many images as other slices have, or as the header promises, were taken once: trigger times
    may be tied, since some scanners round them.
    """
    triggers = _triggers(planes)
    repeats = set(triggers.values())
    if repeats == {1} and usual and len(planes) >= 2 * usual:
        return _last_of(planes, usual=usual)
    if len(triggers) < 2 or repeats == {1}:
        return planes
    promised = {int(p.meta.get("n_frames_told", 0)) for p in planes}
    if len(planes) == usual or promised == {len(planes)}:
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
            len(_triggers(part)) == len(part) for part in parts.values()
        ):
            return parts[max(parts)]
    if has_triggers(planes) and agreed_order(planes) is not None:
        return planes
    raise SubjectError(
        "mixed_series",
        f"{folder}: {len(planes)} images with {len(triggers)} trigger times at one slice position "
        "of one series, and nothing distinguishes the acquisitions",
    )
