"""The left-ventricular wall by AHA segment: thickness at ED and ES, mass, cavity; sphericity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.arrays.laplace import layer_thickness
from popscan.arrays.morphology import bounding_box
from popscan.columns import Column, text
from popscan.protocols.cine_sax.aha import SEGMENTS, AhaSegments, aha_segments, segment_at
from popscan.protocols.cine_sax.biomarkers.sax import MYOCARDIAL_DENSITY_G_ML
from popscan.protocols.cine_sax.labels import Label
from popscan.records import SubjectError

Floats = NDArray[np.float64]
Labels = NDArray[np.uint8]

_RING_SEGMENTS = tuple(s for s in SEGMENTS if s != 17)
_PHASES = {"ed": "end-diastole", "es": "end-systole"}
#: Thickness that 5% of a segment's points exceed: the single largest one is noise of voxels.
_MAX_PERCENTILE = 95.0
#: Slices of fewer voxels of wall have no thickness.
_MIN_VOXELS = 12

_AHA = "Cerqueira et al., Circulation 2002;105:539, doi:10.1161/hc0402.102975"
_LAPLACE = (
    "in the slice's plane, along the field lines of Laplace's equation between endocardium and "
    "epicardium (Jones et al., Human Brain Mapping 2000;11:12); segments: " + _AHA
)
_SUMS = "sum of discs, " + _AHA
_SPHERE = "ratio of axes, as in echocardiography (Lang et al., J Am Soc Echocardiogr 2015;28:1)"


def _dictionary() -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for phase, when in _PHASES.items():
        for s in _RING_SEGMENTS:
            columns[f"wall_{phase}_aha{s:02d}_mm"] = Column(
                "mm", f"mean wall thickness at {when}, segment {s} ({SEGMENTS[s]})", _LAPLACE
            )
        columns[f"wall_{phase}_global_mm"] = Column(
            "mm", f"mean wall thickness at {when}, segments 1 to 16 together", _LAPLACE
        )
        for s in _RING_SEGMENTS:
            columns[f"wall_{phase}_max_aha{s:02d}_mm"] = Column(
                "mm",
                f"wall thickness at {when} that 5% of segment {s} exceed ({SEGMENTS[s]})",
                _LAPLACE,
            )
        columns[f"wall_{phase}_max_global_mm"] = Column(
            "mm", f"largest of the segments' maxima at {when}", _LAPLACE
        )
    columns["wall_thickening_pct"] = Column(
        "%", "rise of the global mean wall thickness from end-diastole to end-systole", _LAPLACE
    )
    for s in SEGMENTS:
        columns[f"mass_aha{s:02d}_g"] = Column(
            "g", f"myocardial mass of segment {s} ({SEGMENTS[s]}) at end-diastole", _SUMS
        )
    columns["mass_unassigned_g"] = Column(
        "g", "part of lvm_g in slices without segments (open rings at the base)", _SUMS
    )
    for phase, when in _PHASES.items():
        for s in _RING_SEGMENTS:
            columns[f"cavity_{phase}_aha{s:02d}_ml"] = Column(
                "mL", f"LV cavity in front of segment {s} ({SEGMENTS[s]}) at {when}", _SUMS
            )
        columns[f"cavity_{phase}_unassigned_ml"] = Column(
            "mL", f"part of the LV cavity at {when} in slices without segments", _SUMS
        )
    for phase, when in _PHASES.items():
        columns[f"sphericity_{phase}"] = Column(
            "",
            f"LV cavity at {when}: diameter of the largest slice over length (1 is a sphere)",
            _SPHERE,
        )
        columns[f"wall_{phase}_reason"] = text(
            f"why there are no segments at {when}: no_frame, orientation_unknown (the header does "
            "not say which side is anterior) or a code of docs/reasons.md"
        )
    return columns


#: Columns that `wall_by_segment` returns, in its order.
WALL_DICTIONARY: Mapping[str, Column] = _dictionary()


@dataclass(frozen=True, kw_only=True)
class SegmentedWall:
    """One frame: its labels, their segments, and thickness in points of the wall."""

    labels: Labels
    segments: AhaSegments
    segment: NDArray[np.uint8]
    thickness_mm: Floats


def segmented_wall(
    labels: Labels, *, spacing_mm: Sequence[float], affine: ArrayLike | None = None
) -> SegmentedWall:
    """Find segments and thickness of one frame.

    Parameters
    ----------
    labels : ndarray of uint8, shape (x, y, z)
        `Label` values.
    spacing_mm, affine
        As of `aha_segments`.

    Raises
    ------
    SubjectError
        As `aha_segments` does.
    """
    segments = aha_segments(labels, spacing_mm=spacing_mm, affine=affine)
    owners: list[NDArray[np.uint8]] = [np.empty(0, np.uint8)]
    lengths: list[Floats] = [np.empty(0)]
    for z in np.flatnonzero((segments.array > 0).any(axis=(0, 1))):
        wall, cavity = (labels[:, :, z] == one for one in (Label.MYO, Label.LV))
        if not cavity.any() or np.count_nonzero(wall) < _MIN_VOXELS:
            continue
        box = bounding_box(wall | cavity)
        layer = layer_thickness(cavity[box], wall[box], spacing_mm=spacing_mm)
        nearest = np.clip(np.rint(layer.at).astype(int), 0, np.array(wall[box].shape) - 1)
        owner = segments.array[:, :, z][box][nearest[:, 0], nearest[:, 1]]
        # Points of the smooth wall beyond its voxels have no segment, and count nowhere.
        use = (owner > 0) & (layer.thickness_mm > 0)
        owners.append(owner[use])
        lengths.append(layer.thickness_mm[use])
    return SegmentedWall(
        labels=labels,
        segments=segments,
        segment=np.concatenate(owners),
        thickness_mm=np.concatenate(lengths),
    )


def mean_thickness_mm(thickness_mm: Floats) -> float:
    """Mean over the wall's length: points weigh as their field line's share of it (1/thickness)."""
    if not thickness_mm.size:
        return math.nan
    return thickness_mm.size / float((1.0 / thickness_mm).sum())


def cavity_by_segment_ml(wall: SegmentedWall, *, spacing_mm: Sequence[float]) -> dict[int, float]:
    """Cavity in front of each segment; 0 is what lies in slices without segments."""
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    found = dict.fromkeys((0, *_RING_SEGMENTS), 0.0)
    one = wall.segments
    for z, level in enumerate(one.levels):
        at = np.argwhere(wall.labels[:, :, z] == Label.LV)
        if level in ("basal", "mid", "apical"):
            away = at * np.asarray(spacing_mm[:2], dtype=float) - one.centres_mm[z]
            angle = np.rad2deg(np.arctan2(away @ one.anterior[z], away @ one.septum[z]))
            for segment, count in zip(
                *np.unique(segment_at(angle, level), return_counts=True), strict=True
            ):
                found[int(segment)] += float(count) * voxel_ml
        else:
            found[0] += len(at) * voxel_ml
    return found


def sphericity(labels: Labels, *, spacing_mm: Sequence[float]) -> float:
    """Diameter of the largest slice of the cavity over its length; NaN for under three slices.

    The length is slices times their distance: right on average over slice positions, with an error
    of up to half a distance at each end.
    """
    areas = np.count_nonzero(labels == Label.LV, axis=(0, 1)) * spacing_mm[0] * spacing_mm[1]
    held = int(np.count_nonzero(areas))
    if held < 3:
        return math.nan
    return 2.0 * math.sqrt(float(areas.max()) / math.pi) / (held * spacing_mm[2])


def wall_by_segment(
    labels: Labels,
    *,
    phases: Mapping[str, int | None],
    spacing_mm: Sequence[float],
    affine: ArrayLike | None = None,
    orientation_known: bool = True,
) -> dict[str, float | str]:
    """Measure the wall by segment.

    Parameters
    ----------
    labels : ndarray of uint8, shape (x, y, z, t)
        `Label` values.
    phases
        ``ed`` and ``es`` -> frame, or None.
    spacing_mm, affine
        As of `aha_segments`.
    orientation_known
        Whether the affine says how the image lies in the patient. If not, nobody knows which end
        of the septum is anterior: only what all segments together have is measured, and the reason
        is ``orientation_unknown``.

    Returns
    -------
    dict
        Columns of `WALL_DICTIONARY`; NaN where there is nothing, with the reason. The masses of
        all segments and the unassigned one add up to ``lvm_g``, the cavities to the volumes.
    """
    values: dict[str, float | str] = dict.fromkeys(WALL_DICTIONARY, math.nan)
    for phase in _PHASES:
        found = _phase(labels, phase, phases[phase], spacing_mm=spacing_mm, affine=affine)
        values |= found if orientation_known else _without_segments(found, phase)
    thin, thick = float(values["wall_ed_global_mm"]), float(values["wall_es_global_mm"])
    values["wall_thickening_pct"] = 100.0 * (thick / thin - 1.0) if thin > 0 else math.nan
    return {name: values[name] for name in WALL_DICTIONARY}


def _without_segments(values: Mapping[str, float | str], phase: str) -> dict[str, float | str]:
    """Keep what does not depend on which segment is which."""
    kept = ("_global_mm", f"sphericity_{phase}", f"wall_{phase}_reason")
    found = {name: value for name, value in values.items() if name.endswith(kept)}
    reason = f"wall_{phase}_reason"
    return found | {reason: found[reason] or "orientation_unknown"}


def _phase(
    labels: Labels,
    phase: str,
    frame: int | None,
    *,
    spacing_mm: Sequence[float],
    affine: ArrayLike | None,
) -> dict[str, float | str]:
    if frame is None:
        return {f"wall_{phase}_reason": "no_frame"}
    one = labels[..., frame]
    values: dict[str, float | str] = {f"sphericity_{phase}": sphericity(one, spacing_mm=spacing_mm)}
    try:
        wall = segmented_wall(one, spacing_mm=spacing_mm, affine=affine)
    except SubjectError as error:
        return values | {f"wall_{phase}_reason": error.reason}
    values[f"wall_{phase}_reason"] = ""
    for s in _RING_SEGMENTS:
        own = wall.thickness_mm[wall.segment == s]
        values[f"wall_{phase}_aha{s:02d}_mm"] = mean_thickness_mm(own)
        values[f"wall_{phase}_max_aha{s:02d}_mm"] = (
            float(np.percentile(own, _MAX_PERCENTILE)) if own.size else math.nan
        )
    rings = wall.thickness_mm[wall.segment != 17]
    values[f"wall_{phase}_global_mm"] = mean_thickness_mm(rings)
    largest = [float(values[f"wall_{phase}_max_aha{s:02d}_mm"]) for s in _RING_SEGMENTS]
    known = [value for value in largest if math.isfinite(value)]
    values[f"wall_{phase}_max_global_mm"] = max(known, default=math.nan)
    cavities = cavity_by_segment_ml(wall, spacing_mm=spacing_mm)
    values |= {f"cavity_{phase}_aha{s:02d}_ml": cavities[s] for s in _RING_SEGMENTS}
    values[f"cavity_{phase}_unassigned_ml"] = cavities[0]
    if phase == "ed":
        values |= _masses(wall, spacing_mm=spacing_mm)
    return values


def _masses(wall: SegmentedWall, *, spacing_mm: Sequence[float]) -> dict[str, float]:
    volumes = wall.segments.volumes_ml(spacing_mm)
    grams = {s: MYOCARDIAL_DENSITY_G_ML * v for s, v in volumes.items()}
    voxel_g = MYOCARDIAL_DENSITY_G_ML * float(np.prod(spacing_mm)) / 1000.0
    whole = np.count_nonzero(wall.labels == Label.MYO) * voxel_g
    held = np.count_nonzero(wall.segments.array) * voxel_g
    return {f"mass_aha{s:02d}_g": value for s, value in grams.items()} | {
        "mass_unassigned_g": whole - held
    }
