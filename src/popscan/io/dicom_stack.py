"""From runs to a stack: which images of each slice count, and in which order the slices lie."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from popscan.arrays.geometry import slice_distance_mm, slice_positions_mm
from popscan.io.dicom_group import SAME_PLACE_MM, Run
from popscan.io.dicom_kind import Origin
from popscan.io.dicom_order import GUESS, order_frames
from popscan.io.dicom_place import Floats, Grid
from popscan.records import SubjectError

#: A stack that loses a slice at its end needs so many others.
_LEAST_SLICES = 3
#: Gaps of a regular stack differ by less than this share; slices overlap where they are nearer to
#: each other than this share of their thickness.
_REGULAR, _OVERLAP = 0.1, 0.9


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Slices of one view, each with the same number of frames, sorted by position.

    Attributes
    ----------
    runs
        One per slice, in order along the normal.
    grid
        On which they are brought together.
    along_mm
        Position of each slice along the grid's normal, in its middle.
    short
        Runs at the ends that lack frames and are left out.
    notes
        What was decided on the way, for ``meta``.
    """

    runs: tuple[Run, ...]
    grid: Grid
    along_mm: tuple[float, ...]
    short: tuple[Run, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def grid_slice(self) -> int:
        """Slice whose plane is the grid's."""
        own = [any(p is self.grid.plane for p in run.planes) for run in self.runs]
        return own.index(True) if True in own else 0

    @property
    def n_frames(self) -> int:
        """Frames of each slice."""
        return len(self.runs[0].planes)


def choose_runs(
    runs: Sequence[Run], *, folder: str, whole: bool = True
) -> tuple[list[Run], list[Run]]:
    """Choose one run per slice position and sort them.

    Of several at one place what was measured goes before what was made of it, the usual number of
    frames before another, the kind that is most usual in the visit before another, and only then
    the later before the earlier.

    Parameters
    ----------
    runs
        Of one group.
    folder
        For the message.
    whole
        Whether the folder was read without loss: then a slice at the end of the stack that has
        other frames than the rest was cut short at the scanner, or in the archive, and is left out.

    Returns
    -------
    chosen
        Runs of one number of frames, sorted.
    short
        Those at the ends that have another.

    Raises
    ------
    SubjectError
        ``missing_frames`` where other slices have fewer (or more) frames than the rest.
    """
    least_gap = least_gap_mm(runs)
    n_frames = usual_frames(_of_usual_kind(runs, least_gap))
    chosen: list[Run] = []
    for run in sorted(runs, key=lambda r: _worth(r, n_frames), reverse=True):
        if all(abs(run.along_mm - other.along_mm) >= least_gap for other in chosen):
            chosen.append(run)
    chosen.sort(key=lambda r: r.along_mm)
    kept, short = list(chosen), []
    for end in (0, -1) if whole else ():
        if len(kept) > _LEAST_SLICES and len(kept[end].planes) != n_frames:
            short.append(kept.pop(end))
    ends = {id(run) for run in short}
    odd = [
        (i, run)
        for i, run in enumerate(chosen, 1)
        if len(run.planes) != n_frames and id(run) not in ends
    ]
    if odd:
        listed = ", ".join(f"slice {i} ({r.along_mm:.1f} mm): {len(r.planes)}" for i, r in odd[:8])
        raise SubjectError(
            "missing_frames",
            f"{folder}: {n_frames} frames per slice expected; {listed} of {len(chosen)} slices",
        )
    return kept, short


def build_stack(
    chosen: Sequence[Run],
    *,
    grid: Grid,
    folder: str,
    gap_tolerance: float,
    short: Sequence[Run] = (),
) -> Stack:
    """Make a stack of sorted runs.

    Raises
    ------
    SubjectError
        ``irregular_slices`` where gaps differ by more than `gap_tolerance` of the usual gap; gaps
        beside a tilted slice are not alike on both sides, and do not count.
    """
    parallel = [grid.is_parallel(run.planes[0]) for run in chosen]
    if all(parallel):
        positions = [run.planes[0].position for run in chosen]
        along = slice_positions_mm(positions, grid.normal).tolist()
    else:
        along = [float(grid.along_mm(run.planes[0])[0]) for run in chosen]
    distance, _ = slice_distance_mm(along)
    gaps = np.diff(along)
    straight = np.array([a and b for a, b in pairwise(parallel)], dtype=bool)
    off = np.abs(gaps - distance)
    off = np.where(straight, off, 0.0) if straight.any() else off
    if len(along) > 2 and (distance <= 0 or off.max() / distance > gap_tolerance):
        worst = int(np.argmax(off))
        raise SubjectError(
            "irregular_slices",
            f"{folder}: slices {worst + 1} and {worst + 2} of {len(chosen)} are "
            f"{gaps[worst]:.1f} mm apart, the others {distance:.1f} mm: a slice is missing, or two "
            "stacks are mixed",
        )
    return Stack(
        runs=tuple(chosen),
        grid=grid,
        along_mm=tuple(along),
        short=tuple(short),
        notes=_notes(chosen, grid),
    )


def _notes(chosen: Sequence[Run], grid: Grid) -> dict[str, Any]:
    planes = [p for run in chosen for p in run.planes]
    notes: dict[str, Any] = {"n_series": len({p.series for p in planes})}
    guessed = sum(order_frames(run.planes)[1] == GUESS for run in chosen)
    if guessed:
        notes["n_guessed_slices"] = guessed
    worst = max(p.origin for p in planes)
    if worst != Origin.ORIGINAL:
        notes["image_origin"] = worst.name.lower()
    if copies := sum(run.is_copy for run in chosen):
        notes["n_copied_slices"] = copies
    tilt = max(grid.tilt_deg(run.planes[0]) for run in chosen)
    if not all(grid.is_parallel(run.planes[0]) for run in chosen):
        notes["slice_tilt_deg"] = round(tilt, 2)
    return notes


def _worth(run: Run, n_frames: int) -> tuple[Any, ...]:
    origin, not_gated = run.quality
    frames = len(run.planes) == n_frames
    return (not run.is_copy, frames, -origin, -not_gated, run.support, run.latest)


def _of_usual_kind(runs: Sequence[Run], least_gap: float) -> list[Run]:
    """Leave out runs beside which one as near to the scanner's is of a more usual kind."""
    return [
        run
        for run in runs
        if not any(
            other.support > run.support
            and other.quality <= run.quality
            and abs(other.along_mm - run.along_mm) < least_gap
            for other in runs
        )
    ]


def usual_frames(runs: Sequence[Run]) -> int:
    """Frames that most slices have; at each place the runs that are nearest to the scanner's."""
    best: dict[int, tuple[int, int]] = {}
    for run in runs:
        place = round(run.along_mm)
        best[place] = min(best.get(place, run.quality), run.quality)
    counts = Counter(len(r.planes) for r in runs if r.quality == best[round(r.along_mm)])
    return max(counts, key=lambda n: (counts[n], n))


def least_gap_mm(runs: Sequence[Run]) -> float:
    """Distance below which two runs are the same slice: 0.6 of the gap of the longest series.

    Of all series where their slices lie between each other without overlap: even slices in one,
    odd slices in another.
    """
    together = _together_mm(runs)
    if together:
        return 0.6 * together
    series: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        series[run.planes[0].series].append(run.along_mm)
    longest = max(series.values(), key=len)
    along = sorted(longest if len(longest) >= 3 else [r.along_mm for r in runs])
    gaps = [g for g in np.diff(along) if g >= SAME_PLACE_MM]
    return 0.6 * float(np.median(gaps)) if gaps else SAME_PLACE_MM


def _together_mm(runs: Sequence[Run]) -> float:
    """Gap of all runs as one stack; 0 where they make no regular one, or slices would overlap."""
    places: list[float] = []
    for along in sorted(run.along_mm for run in runs):
        if not places or along - places[-1] >= SAME_PLACE_MM:
            places.append(along)
    thickness = max((float(r.planes[0].meta.get("slice_thickness_mm", 0)) for r in runs), default=0)
    gap, irregularity = slice_distance_mm(places)
    regular = len(places) > 3 and irregularity < _REGULAR and 0 < _OVERLAP * thickness <= gap
    return gap if regular else 0.0


def extend_stack(
    chosen: Sequence[Run],
    others: Sequence[Run],
    *,
    grid: Grid,
    tolerance: float,
    max_tilt_deg: float,
) -> list[Run]:
    """Add runs of other groups that continue a stack at its ends, or fill a gap in it.

    They may have another matrix, or lie in another frame of reference, and be tilted by up to
    `max_tilt_deg`: what makes them slices of this stack is that they continue it. The gap to the
    neighbour has to be the usual one within `tolerance` of it; that of a tilted plane somewhere in
    the field of view, since nothing says about which point the stack was tilted.

    Returns
    -------
    list of Run
        `chosen` and what was added, in order.
    """
    stack = [(grid.along_mm(run.planes[0]), run) for run in chosen]
    usual = _usual_gap_mm(stack, others, grid)
    left = sorted(others, key=lambda r: _worth(r, len(chosen[0].planes)), reverse=True)
    left = [run for run in left if grid.turn_deg(run.planes[0]) <= max_tilt_deg]
    grown = True
    while grown:
        grown = False
        for run in left:
            along = grid.along_mm(run.planes[0])
            index = sum(bool(other[0] < along[0]) for other, _ in stack)
            before = along - stack[index - 1][0] if index > 0 else None
            after = stack[index][0] - along if index < len(stack) else None
            gaps = [gap for gap in (before, after) if gap is not None]
            if all(_continues(gap, usual, tolerance) for gap in gaps):
                stack.insert(index, (along, run))
                left = [other for other in left if other is not run]
                grown = True
                break
    return [run for _, run in stack]


def _usual_gap_mm(stack: Sequence[tuple[Floats, Run]], others: Sequence[Run], grid: Grid) -> float:
    along = sorted(float(a[0]) for a, _ in stack)
    if len(along) < 3:
        along = sorted({*along, *(float(grid.along_mm(r.planes[0])[0]) for r in others)})
    gaps = [g for g in np.diff(along) if g >= SAME_PLACE_MM]
    return float(np.median(gaps)) if gaps else float("nan")


def _continues(gap_mm: Floats, usual_mm: float, tolerance: float) -> bool:
    """Whether a gap, at the middle and the corners of the field of view, can be the usual one."""
    low, high = (1 - tolerance) * usual_mm, (1 + tolerance) * usual_mm
    somewhere = gap_mm.min() <= high and gap_mm.max() >= low
    return bool(somewhere and 0.5 * usual_mm < gap_mm[0] < 2 * usual_mm)
