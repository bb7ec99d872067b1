"""The 17 segments of the American Heart Association in the labels of a short-axis stack.

Cerqueira MD, Weissman NJ, Dilsizian V, et al. Standardized myocardial segmentation and nomenclature
for tomographic imaging of the heart. Circulation 2002;105:539-542, doi:10.1161/hc0402.102975.

The septum is found from the two points where the wall of the right ventricle meets that of the
left: its middle, half-way between them, is the border of segments 2 and 3 (8 and 9, the middle of
14), and every further border follows at 60 (apex: 90) degrees. Anterior and inferior are
distinguished by the affine, so the array may be turned, flipped or mirrored, and either end may be
the base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.arrays.morphology import boundary_contacts, check_labels, check_spacing
from popscan.protocols.cine_sax.frame import base_is_first
from popscan.protocols.cine_sax.insertion import Insertion, find_insertion
from popscan.protocols.cine_sax.labels import Label
from popscan.records import SubjectError

Floats = NDArray[np.float64]
Level = Literal["basal", "mid", "apical", "apex", "undefined", "outside"]

_BASAL = ("anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral")
#: Segment -> its name.
SEGMENTS: Mapping[int, str] = {
    **{1 + i: f"basal {name}" for i, name in enumerate(_BASAL)},
    **{7 + i: f"mid {name}" for i, name in enumerate(_BASAL)},
    **{
        13 + i: f"apical {name}"
        for i, name in enumerate(("anterior", "septal", "inferior", "lateral"))
    },
    17: "apex",
}
#: Level -> (its first segment, how many it has, angle from the septum's middle towards anterior at
#: which that first segment begins, in degrees); they follow each other towards the septum.
_RINGS: Mapping[str, tuple[int, int, float]] = {
    "basal": (1, 6, 120.0),
    "mid": (7, 6, 120.0),
    "apical": (13, 4, 135.0),
}


@dataclass(frozen=True, kw_only=True)
class AhaSegments:
    """Segments of one frame.

    Attributes
    ----------
    array : ndarray of uint8, shape (x, y, z)
        Segment of every voxel of the wall, 1 to 17; 0 elsewhere and in undefined slices.
    levels
        Level of every slice. ``outside`` has no wall and no cavity.
    reasons
        Slice -> why it is ``undefined``.
    insertions
        Slice -> points where the right ventricle meets the left one, in slices that show them.
    septum : ndarray, shape (z, 2)
        Unit vector along the array's first two axes from the middle of the cavity to that of the
        septum; NaN in slices without segments.
    anterior : ndarray, shape (z, 2)
        At right angles to it, towards the anterior wall.
    centres_mm : ndarray, shape (z, 2)
        Middle of cavity and wall, from the centre of voxel 0; NaN likewise.
    base_first
        Whether slice 0 lies at the base.
    """

    array: NDArray[np.uint8]
    levels: tuple[Level, ...]
    reasons: Mapping[int, str]
    insertions: Mapping[int, Insertion]
    septum: Floats
    anterior: Floats
    centres_mm: Floats
    base_first: bool

    def volumes_ml(self, spacing_mm: Sequence[float]) -> dict[int, float]:
        """Return the wall's volume in every segment, NaN where it has no voxel."""
        voxel_ml = float(np.prod(check_spacing(spacing_mm))) / 1000.0
        counts = np.bincount(self.array.ravel(), minlength=max(SEGMENTS) + 1)
        return {s: counts[s] * voxel_ml if counts[s] else float("nan") for s in SEGMENTS}


def aha_segments(
    labels: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    affine: ArrayLike | None = None,
    min_enclosed: float = 0.9,
) -> AhaSegments:
    """Divide the left-ventricular wall of one frame into the 17 segments.

    Parameters
    ----------
    labels : array_like, shape (x, y, z)
        `Label` values of one frame, end-diastole as a rule; axis 2 counts the slices.
    spacing_mm
        Voxel distances.
    affine : array_like, shape (4, 4), optional
        Voxel index -> RAS mm. It decides which side of the septum is anterior. Without one the
        axes are taken to point as in `popscan.records.Scan`: patient's left, posterior, apex.
    min_enclosed
        Slices in which less than this share of the cavity's boundary touches wall are undefined:
        only a whole ring has segments (outflow tract, valve plane).

    Returns
    -------
    AhaSegments
        The slices with a whole ring are divided into thirds from base to apex; wall beyond the
        last cavity is segment 17.

    Raises
    ------
    SubjectError
        ``missing_structure`` without wall, cavity or right ventricle; ``too_few_slices`` for fewer
        than three whole rings; ``no_rv_insertion`` if no slice shows where the septum ends.
    """
    array = check_labels(np.asarray(labels)[..., np.newaxis], largest=max(Label))[..., 0]
    spacing = check_spacing(spacing_mm)
    absent = [one.name for one in (Label.RV, Label.MYO, Label.LV) if not (array == one).any()]
    if absent:
        raise SubjectError(
            "missing_structure",
            f"the labels have no {' and no '.join(absent)}: expected RV, MYO and LV",
        )
    base_first = base_is_first(array)
    levels, reasons = _levels(array, base_first=base_first, min_enclosed=min_enclosed)
    insertions = _insertions(array, levels, spacing)
    septum = _septum(levels, insertions)
    side = _handedness(affine) * (1.0 if base_first else -1.0)
    anterior = side * np.stack([septum[:, 1], -septum[:, 0]], axis=1)
    centres = np.array([_centre_mm(array[:, :, z], spacing) for z in range(array.shape[2])])
    return AhaSegments(
        array=_divide(array, levels, septum, anterior, centres, spacing),
        levels=levels,
        reasons=reasons,
        insertions={z: _sorted(p, anterior[z], centres[z]) for z, p in insertions.items()},
        septum=septum,
        anterior=anterior,
        centres_mm=np.where(np.isfinite(septum), centres, np.nan),
        base_first=base_first,
    )


def segment_at(angle_deg: ArrayLike, level: Level) -> NDArray[np.uint8]:
    """Return the segment at an angle from the septum's middle, positive towards anterior.

    Examples
    --------
    >>> segment_at([90.0, 30.0, -30.0, -90.0, -150.0, 150.0], "basal").tolist()
    [1, 2, 3, 4, 5, 6]
    >>> segment_at([90.0, 0.0, -90.0, 180.0], "apical").tolist()
    [13, 14, 15, 16]
    """
    angle = np.asarray(angle_deg, dtype=np.float64)
    if level == "apex":
        return np.full(angle.shape, 17, np.uint8)
    first, count, start = _RINGS[level]
    # A border that rounding puts a hair before its segment is 360 degrees after it, not beyond.
    return (first + ((start - angle) % 360.0 // (360.0 / count)) % count).astype(np.uint8)


def _levels(
    array: NDArray[np.uint8], *, base_first: bool, min_enclosed: float
) -> tuple[tuple[Level, ...], dict[int, str]]:
    """Level of every slice, and why some have none."""
    edges, beyond = boundary_contacts(array[..., np.newaxis], Label.LV, others=Label)
    wall, cavity = ((array == one).any(axis=(0, 1)) for one in (Label.MYO, Label.LV))
    enclosed = np.divide(
        beyond[Label.MYO][:, 0], edges[:, 0], out=np.zeros(len(wall)), where=edges[:, 0] > 0
    )
    rings = np.flatnonzero(cavity & wall & (enclosed >= min_enclosed))
    if rings.size < 3:
        raise SubjectError(
            "too_few_slices",
            f"{rings.size} slices in which wall surrounds the cavity: segments need three or more",
        )
    levels: list[Level] = [
        "undefined" if w or c else "outside" for w, c in zip(wall, cavity, strict=True)
    ]
    order = rings if base_first else rings[::-1]
    names: tuple[Level, ...] = ("basal", "mid", "apical")
    # Thirds of the way from the first ring to the last: a slice between them whose ring is open
    # has no level, and moves none of the others.
    step = 1 if base_first else -1
    places = np.arange(order[0], order[-1] + step, step)
    for name, part in zip(names, np.array_split(places, 3), strict=True):
        for z in part[np.isin(part, rings)]:
            levels[z] = name
    last = order[-1]
    for z in np.flatnonzero(wall & ~cavity):
        if (z > last) == base_first:
            levels[z] = "apex"
    reasons = {
        z: "no cavity" if not cavity[z] else f"wall around {100 * enclosed[z]:.0f}% of the cavity"
        for z, level in enumerate(levels)
        if level == "undefined"
    }
    return tuple(levels), reasons


def _insertions(
    array: NDArray[np.uint8], levels: Sequence[Level], spacing: Sequence[float]
) -> dict[int, Insertion]:
    """Both ends of the septum in every ring that shows the whole of it."""
    seen = {
        z: points
        for z, level in enumerate(levels)
        if level in _RINGS and (points := find_insertion(array[:, :, z], spacing_mm=spacing))
    }
    # Where only a part of the right ventricle is cut or labelled, its middle is not the septum's.
    usual = np.median([points.arc_deg for points in seen.values()]) if seen else 0.0
    return {z: points for z, points in seen.items() if points.arc_deg >= 0.7 * usual}


def _septum(levels: Sequence[Level], insertions: Mapping[int, Insertion]) -> Floats:
    """Direction of the septum's middle per slice: that of its level, or of the nearest slice."""
    if not insertions:
        raise SubjectError(
            "no_rv_insertion",
            "no slice shows both points where the right ventricle meets the left one",
        )
    septum = np.full((len(levels), 2), np.nan)
    known = np.array(sorted(insertions))
    for z, level in enumerate(levels):
        if level in ("outside", "undefined"):
            continue
        same = [k for k in known if levels[k] == level] or [known[np.abs(known - z).argmin()]]
        mean = np.sum([insertions[k].middle for k in same], axis=0)
        septum[z] = mean / np.linalg.norm(mean)
    return septum


def _handedness(affine: ArrayLike | None) -> float:
    """1 for a right-handed array in RAS, -1 for a left-handed one, as `Scan` has it."""
    if affine is None:
        return -1.0
    return float(np.sign(np.linalg.det(np.asarray(affine, dtype=np.float64)[:3, :3]))) or -1.0


def _centre_mm(labels: NDArray[np.uint8], spacing: Sequence[float]) -> Floats:
    at = np.argwhere((labels == Label.LV) | (labels == Label.MYO))
    return at.mean(axis=0) * spacing[:2] if at.size else np.full(2, np.nan)


def _divide(
    array: NDArray[np.uint8],
    levels: Sequence[Level],
    septum: Floats,
    anterior: Floats,
    centres: Floats,
    spacing: Sequence[float],
) -> NDArray[np.uint8]:
    out = np.zeros(array.shape, np.uint8)
    for z, level in enumerate(levels):
        if level in ("outside", "undefined"):
            continue
        at = np.argwhere(array[:, :, z] == Label.MYO)
        away = at * np.asarray(spacing[:2]) - centres[z]
        angle = np.rad2deg(np.arctan2(away @ anterior[z], away @ septum[z]))
        out[at[:, 0], at[:, 1], z] = segment_at(angle, level)
    return out


def _sorted(points: Insertion, anterior: Floats, centre: Floats) -> Insertion:
    """Put the anterior point first."""
    sides = [(point - centre) @ anterior for point in (points.anterior_mm, points.inferior_mm)]
    return points if sides[0] >= sides[1] else points.swapped()
