"""Of several series in the same planes, which is of the kind that the visit is mostly made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from popscan.io.dicom_group import Group, Run, same_kind
from popscan.io.dicom_header import Plane
from popscan.io.dicom_place import Grid

#: Support of what is no plain cine (see `popscan.io.dicom_contrast.Contrast.prepared`).
_PREPARED = -1
#: Planes in one direction, for a series of another kind.
_SAME_PLANE_DEG = 5.0


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


def undecided(chosen: Iterable[Run], others: Iterable[Run], *, grid: Grid, reach_mm: float) -> int:
    """Count slices in whose place another kind of image is as near to what was wanted.

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
    """
    rivals = [
        (float(grid.along_mm(run.planes[0])[0]), run)
        for run in others
        if grid.tilt_deg(run.planes[0]) <= _SAME_PLANE_DEG
    ]
    return sum(
        any(
            abs(along - float(grid.along_mm(run.planes[0])[0])) < reach_mm
            and (rival.quality, rival.support) == (run.quality, run.support)
            and not same_kind(run.planes[0], rival.planes[0])
            for along, rival in rivals
        )
        for run in chosen
    )
