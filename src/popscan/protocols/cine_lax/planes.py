"""The long-axis planes of a visit as one scan: plane z of its array is one view.

Planes of different views are not parallel, so one affine cannot say where they lie: each plane's
own stands in ``meta["planes"]``, with its view, its matrix and how many frames it was acquired
with. The scan's affine and spacing are those of its first plane. Planes of another matrix are
filled up with zeros at their far ends; a plane with other frames shows at each frame of the scan
the one that is nearest in the cycle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.ingest.checks import header_conflicts, number_of
from popscan.protocols.cine_sax.cycle import cycle_length_ms, is_cycle_ms
from popscan.records import LabelMap, Scan, SubjectError

#: View of the scan that holds the planes, and the views that it holds, in order.
VIEW = "lax"
PLANE_VIEWS = ("2ch", "4ch")


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One plane of a packed scan.

    Attributes
    ----------
    view
        ``2ch`` or ``4ch``.
    index
        Where it stands along axis 2 of the packed array.
    affine : ndarray, shape (4, 4)
        Its own: pixel (x, y, 0) to RAS mm.
    shape
        Its own pixels along x and y.
    n_frames
        Frames that it was acquired with.
    cycle_ms
        Length of its heart cycle; NaN where its header does not say.
    """

    view: str
    index: int
    affine: NDArray[np.float64]
    shape: tuple[int, int]
    n_frames: int
    cycle_ms: float = math.nan

    @property
    def steps_mm(self) -> NDArray[np.float64]:
        """Directions of x and y with the lengths of a pixel: shape (3, 2)."""
        return self.affine[:3, :2]

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit normal (RAS)."""
        across = np.cross(self.affine[:3, 0], self.affine[:3, 1])
        return np.asarray(across / np.linalg.norm(across))

    @property
    def pixel_mm2(self) -> float:
        """Area of a pixel."""
        return float(np.linalg.norm(np.cross(self.affine[:3, 0], self.affine[:3, 1])))


def pack(
    scans: Mapping[str, Scan], labels: Mapping[str, LabelMap] | None = None
) -> tuple[Scan, LabelMap | None]:
    """Put the planes of a visit into one scan.

    Parameters
    ----------
    scans
        View -> scan of one slice (x, y, 1, t); views that are not `PLANE_VIEWS` are left aside.
    labels
        View -> labels on the grid of that scan.

    Raises
    ------
    SubjectError
        ``view_missing`` without any of the views, ``several_planes`` where a view has more than
        one slice.
    """
    there = [view for view in PLANE_VIEWS if view in scans]
    if not there:
        raise SubjectError("view_missing", f"no cine of {' or '.join(PLANE_VIEWS)}")
    for view in there:
        if (n := scans[view].array.shape[2]) != 1:
            raise SubjectError(
                "several_planes", f"{view}: {n} slices; a long-axis view of one plane is expected"
            )
    n_frames = max(scans[view].array.shape[3] for view in there)
    longest = next(view for view in there if scans[view].array.shape[3] == n_frames)
    first = scans[there[0]]
    shape = tuple(max(scans[view].array.shape[axis] for view in there) for axis in (0, 1))
    kind = np.result_type(*(scans[view].array.dtype for view in there))
    array = np.zeros((*shape, len(there), n_frames), dtype=kind)
    given = {view: one for view, one in (labels or {}).items() if view in there}
    kinds = [one.array.dtype for one in given.values()]
    codes = np.zeros(array.shape, dtype=np.result_type(np.uint8, *kinds))
    labelled: set[int] = set()
    planes = []
    for index, view in enumerate(there):
        scan = scans[view]
        nx, ny, _, own = scan.array.shape
        at = nearest_frames(own, n_frames)
        array[:nx, :ny, index] = scan.array[:, :, 0, at]
        if view in given:
            codes[:nx, :ny, index] = given[view].array[:, :, 0, at]
            labelled |= {t for t in range(n_frames) if int(at[t]) in given[view].frames}
        planes.append(
            {
                "view": view, "affine": np.asarray(scan.affine, float).tolist(),
                "shape": [nx, ny], "n_frames": own, "cycle_ms": _cycle_ms(scan),
            }
        )  # fmt: skip
    packed = replace(
        first,
        array=array,
        frame_times_ms=scans[longest].frame_times_ms,
        view=VIEW,
        meta={
            **scans[longest].meta,
            **first.meta,
            **header_conflicts(scans[view].meta for view in there),
            **_left_out({v: scans[v] for v in there}),
            "planes": planes,
        },
    )
    if not labelled:
        return packed, None
    return packed, LabelMap(array=codes, frames=tuple(sorted(labelled)))


def _cycle_ms(scan: Scan) -> float | None:
    """Length of a view's heart cycle; None where it is not known."""
    length = cycle_length_ms(
        rr_ms=number_of(scan.meta.get("rr_ms")), frame_times_ms=scan.frame_times_ms
    )
    return round(length, 1) if is_cycle_ms(length) else None


def _left_out(scans: Mapping[str, Scan]) -> dict[str, Any]:
    """Return what sources left out of any of the views, as one scan says it."""
    counts = {view: int(scan.meta.get("images_left_out", 0)) for view, scan in scans.items()}
    if not any(counts.values()):
        return {}
    reasons = [
        f"{view}: {scans[view].meta.get('images_left_out_reason', '')}"
        for view, count in counts.items()
        if count
    ]
    return {
        "images_left_out": sum(counts.values()), "images_left_out_reason": ", ".join(reasons),
    }  # fmt: skip


def nearest_frames(own: int, n_frames: int) -> NDArray[np.intp]:
    """Return for each of `n_frames` frames the frame of `own` that is nearest in the cycle.

    Examples
    --------
    >>> nearest_frames(2, 4).tolist()
    [0, 0, 1, 1]
    """
    phase = np.arange(n_frames) / n_frames * own
    return np.asarray(np.ceil(phase - 0.5).astype(np.intp) % own)


def planes_of(meta: Mapping[str, Any], array_shape: Sequence[int]) -> list[Plane]:
    """Return the planes of a packed scan, as its `meta` says.

    Raises
    ------
    SubjectError
        ``bad_sidecar`` where ``planes`` is not as `pack` writes it.
    """
    stated = meta.get("planes")
    try:
        assert isinstance(stated, list)
        assert len(stated) == array_shape[2]
        planes = [
            Plane(
                view=str(one["view"]),
                index=index,
                affine=np.asarray(one["affine"], dtype=float).reshape(4, 4),
                shape=(int(one["shape"][0]), int(one["shape"][1])),
                n_frames=int(one["n_frames"]),
                cycle_ms=float(one.get("cycle_ms") or math.nan),
            )
            for index, one in enumerate(stated)
        ]
        assert all(np.isfinite(plane.affine).all() and plane.pixel_mm2 > 0 for plane in planes)
        assert len({plane.view for plane in planes}) == len(planes)
        assert all(plane.view in PLANE_VIEWS for plane in planes)
        assert all(0 < n <= m for p in planes for n, m in zip(p.shape, array_shape, strict=False))
    except (AssertionError, KeyError, TypeError, ValueError, IndexError) as error:
        raise SubjectError(
            "bad_sidecar",
            "lax: `planes` of the sidecar: view, affine, shape of each plane expected",
        ) from error
    return planes
