"""Track one cine and measure strain: what the stage `motion` calls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.motion import Track, evenly, fields_of, harmonic, track_cycle
from popscan.motion.result import Moved
from popscan.protocols.cine_sax.aha import AhaSegments, aha_segments
from popscan.protocols.cine_sax.strain.deform import Curves, carried, curves_of
from popscan.protocols.cine_sax.strain.dictionary import DICTIONARY
from popscan.protocols.cine_sax.strain.follow import tissue_slices
from popscan.protocols.cine_sax.strain.inputs import Cropped, Source, cropped, tracked_images
from popscan.protocols.cine_sax.strain.intervals import posterior_intervals, tracking_intervals
from popscan.protocols.cine_sax.strain.numbers import (
    finer,
    global_numbers,
    segment_numbers,
    segment_rows,
)
from popscan.protocols.cine_sax.strain.quality import (
    check_thickening,
    check_track,
    contour_error_mm,
    segmented_mm,
    thickness_mm,
    wall_mask,
)
from popscan.protocols.cine_sax.strain.shift import (
    Shifts,
    heart_shifts,
    held_in_place,
    put_back,
    shifted_mm,
)
from popscan.protocols.cine_sax.strain.wall import Wall, wall_of
from popscan.records import LabelMap, Scan, SubjectError

Floats = NDArray[np.float64]

#: Of demons, where the config gives none: a wall that thickens needs a field softer than an atlas.
DEMONS = {"n_iterations": (40, 20), "smoothing_mm": 1.5}
#: Of `bayesian`: a softer field, too; the heart moves through the plane; hundreds of pairs.
BAYESIAN = {
    "distance": "mse", "smoothing_mm": 3.0, "control_mm": 4.0, "stiffness": 0.01,
    "discrepancy": 0.35, "n_steps": 20, "rank": 2, "n_samples": 24,
}  # fmt: skip
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"demons": DEMONS, "bayesian": BAYESIAN}


def measure_motion(
    scan: Scan,
    labels: LabelMap,
    *,
    source: Source = "labels",
    method: str = "demons",
    options: Mapping[str, Any] | None = None,
    n_harmonics: int = 6,
    min_frames: int = 8,
    max_contour_mm: float = 2.5,
    max_closing_mm: float = 4.0,
    max_folding_share: float = 0.02,
) -> Moved:
    """Track a short-axis cine from end-diastole over the cycle.

    Parameters
    ----------
    scan, labels
        All frames, and their labels on the same grid.
    source
        What is registered: ``labels``, ``images`` or ``both``.
    method, options
        Of `popscan.register.METHODS`.
    n_harmonics
        Oscillations per cycle that curves keep.
    min_frames
        Fewest frames.
    max_contour_mm, max_closing_mm, max_folding_share
        A track beyond these has failed: see `popscan.protocols.cine_sax.strain.quality`.

    Returns
    -------
    Moved
        Values of `popscan.protocols.cine_sax.strain.dictionary.DICTIONARY`, a row per segment, and
        the fields from end-diastole to every frame (the first is end-diastole), of the slices
        ``slices`` of the scan, on a grid that begins at its voxel ``corner``.

    Raises
    ------
    SubjectError
        Those of `cropped`, `aha_segments`, `track_cycle` and `check_track`.
    """
    part = cropped(scan, labels, min_frames=min_frames)
    first = part.labels[..., 0]
    segments = aha_segments(first, spacing_mm=scan.spacing_mm, affine=scan.affine)
    wall = wall_of(first, segments, spacing_mm=scan.spacing_mm)
    if len(wall.slices) < 3:
        raise SubjectError(
            "open_wall",
            f"{len(wall.slices)} slices have both outlines of the wall at end-diastole: expected "
            "three or more",
        )
    chosen = {**_DEFAULTS.get(method, {}), **(options or {})}
    shifts = heart_shifts(part.labels, list(wall.slices))
    images = tracked_images(part, list(wall.slices), source=source)
    track = track_cycle(
        held_in_place(images, shifts),
        reference=0,
        spacing_mm=scan.spacing_mm,
        method=method,
        options=chosen,
    )
    track = put_back(track, shifts)
    drawn = segmented_mm(wall, part.labels, spacing_mm=scan.spacing_mm)
    positions = carried(wall, track.direct_mm, spacing_mm=track.spacing_mm)
    round_trip = carried(wall, track.closing_mm[np.newaxis], spacing_mm=track.spacing_mm)
    quality = check_track(
        track,
        wall_mask(first, list(wall.slices)),
        contour_error_mm(positions, drawn),
        contour_error_mm(np.broadcast_to(wall.points_mm, drawn.shape), drawn),
        float(contour_error_mm(round_trip, wall.points_mm[np.newaxis])[0]),
        max_contour_mm=max_contour_mm,
        max_closing_mm=max_closing_mm,
        max_folding_share=max_folding_share,
    )
    check_thickening(positions, drawn, es=part.es)
    slices = _followed(part, segments, wall, n_harmonics)
    curves = _smooth_curves(wall, positions, slices, n_harmonics, part.at)
    rows = segment_rows(curves, period_ms=part.period_ms)
    values = global_numbers(curves, period_ms=part.period_ms) | segment_numbers(rows)
    others = _other_estimates(wall, track, drawn, slices, n_harmonics, part)
    values |= tracking_intervals(values, others)
    probable = _probable(wall, track, shifts, slices, n_harmonics, part)
    values |= posterior_intervals(values, probable)
    known = bool(scan.meta.get("orientation_known", True))
    if not known:
        # Nobody knows which end of the septum is anterior, nor which way is clockwise.
        rows = tuple({**row, **dict.fromkeys(_of_segments(row), math.nan)} for row in rows)
        values |= segment_numbers(rows)
    values |= _thickening(drawn, part.es) | _along(slices, wall, scan.spacing_mm)
    values |= _torsion(curves, segments, wall, scan, source=source if known else "labels")
    stored = fields_of(track.direct_mm, spacing_mm=track.spacing_mm)
    stored |= {"slices": wall.slices.astype(np.int16), "corner": np.array(part.corner, np.int16)}
    values |= quality | {
        "tracked_slices": float(len(wall.slices)),
        "slices_followed": float(slices is not None),
        "fields_mb": sum(array.nbytes for array in stored.values()) / 1e6,
    }
    return Moved(values={name: values[name] for name in DICTIONARY}, rows=rows, fields=stored)


def _of_segments(row: Mapping[str, float | str]) -> list[str]:
    """Columns of what was measured in a segment."""
    return [name for name in row if name not in ("segment", "name")]


def _followed(part: Cropped, segments: AhaSegments, wall: Wall, n_harmonics: int) -> Floats | None:
    """Slice of each wall slice's tissue (t, z); None where the apex is not in the stack.

    A slice whose tissue leaves the stack in some frame is NaN in all.
    """
    slices = tissue_slices(part.labels, reference=0, base_first=segments.base_first)[:, wall.slices]
    inside = np.isfinite(slices).all(axis=0)
    if not inside.any():
        return None
    known = np.where(inside, slices - wall.slices, 0.0)
    moved = harmonic(evenly(known, at=part.at), n_harmonics=min(4, n_harmonics), reference=0)
    return np.where(inside, wall.slices + moved, np.nan)


def _smooth_curves(
    wall: Wall, positions_mm: Floats, slices: Floats | None, n_harmonics: int, at: Floats
) -> Curves:
    """Curves at equal distances in time, of points known at the times `at`."""
    moved = evenly(positions_mm - positions_mm[0], at=at)
    smooth = positions_mm[0] + harmonic(moved, n_harmonics=n_harmonics, reference=0)
    return curves_of(wall, smooth, reference=0, slices=slices)


def _other_estimates(
    wall: Wall,
    track: Track,
    drawn: Floats,
    slices: Floats | None,
    n_harmonics: int,
    part: Cropped,
) -> list[dict[str, float]]:
    """Measure again by steps round the cycle, and by the segmented outlines alone."""
    chained = carried(wall, track.chained_mm, spacing_mm=track.spacing_mm)
    positions = [chained]
    if np.isfinite(drawn).all():
        positions.append(drawn)
    curves = [_smooth_curves(wall, one, slices, n_harmonics, part.at) for one in positions]
    return [global_numbers(one, period_ms=part.period_ms) for one in curves]


def _probable(
    wall: Wall,
    track: Track,
    shifts: Shifts,
    slices: Floats | None,
    n_harmonics: int,
    part: Cropped,
) -> list[dict[str, float]]:
    """Measure probable displacements, where the method draws any."""
    by_mm = shifted_mm(shifts, track.spacing_mm)
    numbers = []
    for displacement in track.samples():
        positions = carried(wall, displacement + by_mm, spacing_mm=track.spacing_mm)
        curves = _smooth_curves(wall, positions, slices, n_harmonics, part.at)
        numbers.append(global_numbers(curves, period_ms=part.period_ms))
    return numbers


def _thickening(drawn: Floats, es: int) -> dict[str, float]:
    thickness = thickness_mm(drawn)
    both = np.isfinite(thickness[es])
    before, after = thickness[0][both], thickness[es][both]
    share = after.sum() / before.sum() - 1 if before.size else math.nan
    return {"wall_thickening_pct": float(100 * share)}


def _along(slices: Floats | None, wall: Wall, spacing_mm: tuple[float, ...]) -> dict[str, float]:
    """Motion along the stack of the most basal ring that is in it at all times."""
    name = "longitudinal_displacement_peak_mm"
    if slices is None or not (inside := np.isfinite(slices).all(axis=0)).any():
        return {name: math.nan}
    kept = np.flatnonzero(inside)
    moved = np.abs(slices[:, kept[0]] - wall.slices[kept[0]])
    return {name: float(finer(moved).max() * spacing_mm[2])}


def _torsion(
    curves: Curves, segments: AhaSegments, wall: Wall, scan: Scan, *, source: Source
) -> dict[str, float]:
    """Rotation of the apical against the basal third, per cm."""
    name = "torsion_peak_deg_cm"
    levels = np.array([segments.levels[z] for z in wall.slices])
    basal, apical = levels == "basal", levels == "apical"
    if source == "labels" or not basal.any() or not apical.any():
        return {name: math.nan}
    distance_cm = abs(wall.slices[apical].mean() - wall.slices[basal].mean()) * scan.spacing_mm[2]
    twist = curves.rotation_deg[:, apical].mean(axis=1) - curves.rotation_deg[:, basal].mean(axis=1)
    # The axis from base to apex points at who looks from the apex: with it, axes 0 and 1 turn
    # counter-clockwise where the three are right-handed in the body.
    hand = np.sign(np.linalg.det(scan.affine[:3, :3])) * (1.0 if segments.base_first else -1.0)
    fine = finer(twist * hand)
    return {name: float(fine[np.argmax(np.abs(fine))] / (distance_cm / 10.0))}
