"""Of several series in the same planes, which is of the kind that the visit is mostly made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from popscan.io.dicom_group import Group, Run, same_kind
from popscan.io.dicom_header import Plane
from popscan.io.dicom_place import Grid

#: Support of what is no plain cine (see `popscan.io.dicom_contrast.Contrast.prepared`).
_PREPARED = -1
#: Planes in one direction, for a series of another kind.
_SAME_PLANE_DEG = 5.0
#: A second cine lies in at least this share of the stack's places; perfusion has a few slices.
_WHOLE = 0.75
#: Trigger times of one cycle lie within this; those of dynamics may count on from beat to beat.
_CYCLE_MS = 2500.0


def supported(
    found: Sequence[tuple[Group, list[Run]]], *, min_frames: int
) -> list[tuple[Group, list[Run]]]:
    """Give every run its support: in how many places of the visit there is a cine of its kind.

    A cine has long-axis planes beside it, and more slices than perfusion or a scout. What is
    inverted before, or encodes velocity, comes behind all that does not.

    Parameters
    ----------
    found
        Groups and their runs, of all directions.
    min_frames
        Runs with fewer images are no cine.
    """
    kinds: list[tuple[Plane, set[tuple[object, ...]]]] = []
    for group, runs in found:
        direction = tuple(round(float(part), 1) for part in group.normal)
        for run in runs:
            if len(run.planes) < min_frames or run.is_copy:
                continue
            first = run.planes[0]
            own = next((places for plane, places in kinds if _same_words(plane, first)), None)
            if own is None:
                kinds.append((first, own := set()))
            own.add((*direction, round(run.along_mm)))

    def support(run: Run) -> int:
        first = run.planes[0]
        if first.contrast.prepared:
            return _PREPARED
        return len(set().union(*(places for plane, places in kinds if same_kind(plane, first))))

    return [(group, [replace(run, support=support(run)) for run in runs]) for group, runs in found]


def _same_words(first: Plane, other: Plane) -> bool:
    keys = ("scanning_sequence", "echo_time_ms")
    return first.contrast == other.contrast and all(
        first.meta.get(key) == other.meta.get(key) for key in keys
    )


def undecided(
    chosen: Sequence[Run], others: Iterable[Run], *, grid: Grid, reach_mm: float, min_frames: int
) -> int:
    """Count slices in whose place lies another series that may be what was wanted.

    That is a series of another kind that is as usual in the visit; a series of which the header
    leaves open whether it is of the same kind, since one of the two is silent about how it was
    made; and a whole second cine of another kind, which came second only for being less usual.

    Parameters
    ----------
    chosen
        Slices of the stack.
    others
        Runs of any group.
    grid
        Of the stack.
    reach_mm
        Runs nearer than this to a slice lie in its place.
    min_frames
        Runs with fewer images are no cine.

    Returns
    -------
    int
        0 where nothing else lies in the stack's places.
    """
    used = {id(run) for run in chosen}
    rivals = [
        (float(grid.along_mm(run.planes[0])[0]), run)
        for run in others
        if id(run) not in used and grid.tilt_deg(run.planes[0]) <= _SAME_PLANE_DEG
    ]
    unsure, second = set(), []
    for number, run in enumerate(chosen):
        along, first = float(grid.along_mm(run.planes[0])[0]), run.planes[0]
        for place, rival in rivals:
            if abs(place - along) >= reach_mm or rival.quality != run.quality:
                continue
            other = rival.planes[0]
            if same_kind(first, other):
                if is_unclear(first, other) and len(rival.planes) >= min_frames:
                    unsure.add(number)
            elif rival.support == run.support:
                unsure.add(number)
            elif rival.support > _PREPARED and _may_be_cine(rival, min_frames):
                second.append((number, other))
    for _, plane in second:
        whole = {number for number, other in second if same_kind(plane, other)}
        if len(whole) >= _WHOLE * len(chosen):
            unsure |= whole
    return len(unsure)


def is_unclear(first: Plane, other: Plane) -> bool:
    """Whether one of two headers that may be of one kind leaves out how its image was made.

    Equal names of the sequence, or equal variants with comparable flip angles and echo times,
    leave nothing open. Where both say nothing, nothing distinguishes a repetition: not unclear.
    """
    one, two = _stated(first), _stated(other)
    both = one & two
    if "sequence" in both or both >= {"variants", "flip", "echo"}:
        return False
    return one != two


def _stated(plane: Plane) -> set[str]:
    """Return what a header says of how its image was made."""
    contrast = plane.contrast
    known = {
        "sequence": bool(contrast.sequence),
        "variants": bool(contrast.variants),
        "flip": not math.isnan(contrast.flip_deg),
        "echo": bool(plane.meta.get("echo_time_ms")),
        "scanning": bool(plane.meta.get("scanning_sequence")),
    }
    return {name for name, there in known.items() if there}


def _may_be_cine(run: Run, min_frames: int) -> bool:
    """Whether a run has the frames of a cine, within one cycle as far as trigger times say."""
    times = [p.trigger_ms for p in run.planes if not math.isnan(p.trigger_ms)]
    return len(run.planes) >= min_frames and (not times or max(times) - min(times) < _CYCLE_MS)
