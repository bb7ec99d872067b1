"""Whether a track may be believed: its outlines, its folds, and whether the cycle closes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from popscan.motion import Track
from popscan.motion.track import folds
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.strain.wall import Wall, outlines_mm
from popscan.records import SubjectError

Floats = NDArray[np.float64]

#: Tracked outlines must be nearer to the segmented ones than this, or than this share of what
#: outlines that never move miss them by.
_SURE_MM, _LEAST_GAIN = 1.0, 0.7
#: Where the segmented wall thickens by more than this, the tracked one does by half of it at least.
_LEAST_MM, _LEAST_SHARE = 1.0, 0.5


def segmented_mm(wall: Wall, labels: NDArray[np.uint8], *, spacing_mm: Sequence[float]) -> Floats:
    """Return where the wall's points would be by each frame's own labels.

    Parameters
    ----------
    wall
        Points of the first frame.
    labels : ndarray of uint8, shape (x, y, z, t)
        On its grid.
    spacing_mm
        Voxel distances.

    Returns
    -------
    ndarray, shape (t, z, angle, depth, 2)
        Along the same directions about each frame's cavity; NaN where a slice has no cavity left.
    """
    out = np.empty((labels.shape[3], *wall.points_mm.shape))
    share = np.linspace(0.0, 1.0, wall.points_mm.shape[2])
    for row, z in enumerate(wall.slices):
        rays = wall.points_mm[row, :, -1] - wall.points_mm[row, :, 0]
        angles = np.arctan2(rays[:, 1], rays[:, 0])
        turn = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        for t in range(labels.shape[3]):
            centre, inner, outer = outlines_mm(labels[:, :, z, t], angles, spacing_mm=spacing_mm)
            radii = inner[:, None] + (outer - inner)[:, None] * share
            out[t, row] = centre + radii[:, :, None] * turn[:, None]
    return out


def contour_error_mm(positions_mm: Floats, segmented: Floats) -> Floats:
    """Return per frame the mean distance of tracked from segmented outlines, in mm.

    Distances are those to the nearest segmented point, so that sliding along an outline is none.
    Slices without a segmented outline in a frame are left out of it.
    """
    errors = np.full(len(positions_mm), np.nan)
    for t, (tracked, drawn) in enumerate(zip(positions_mm, segmented, strict=True)):
        distances = []
        for depth in (0, -1):
            ours, theirs = tracked[:, :, depth], drawn[:, :, depth]
            known = np.isfinite(theirs).all(axis=(1, 2))
            away = ours[known][:, :, None] - theirs[known][:, None]
            if known.any():
                distances.append(np.linalg.norm(away, axis=-1).min(axis=2))
        errors[t] = np.mean(distances) if distances else np.nan
    return errors


def check_track(
    track: Track,
    mask: NDArray[np.bool_],
    contour_mm: Floats,
    still_mm: Floats,
    closing_mm: float,
    *,
    max_contour_mm: float,
    max_closing_mm: float,
    max_folding_share: float,
) -> dict[str, float]:
    """Measure a track's quality, and refuse one that failed.

    Parameters
    ----------
    track
        End-diastole first.
    mask : ndarray of bool, shape (z, x, y)
        Wall at end-diastole.
    contour_mm
        As from `contour_error_mm`.
    still_mm
        The same of outlines that stay where they are at end-diastole.
    closing_mm
        Mean distance of the outlines, after steps round the cycle, from where they began.
    max_contour_mm, max_closing_mm, max_folding_share
        Limits.

    Raises
    ------
    SubjectError
        ``track_undefined``, ``track_not_closed``, ``track_folds``, ``track_off_contours``.
    """
    if not np.isfinite(track.direct_mm).all():
        raise SubjectError("track_undefined", "the registration left displacements undefined")
    folding = float(folds(track.direct_mm, spacing_mm=track.spacing_mm)[:, mask].mean())
    contour = float(np.nanmean(contour_mm))
    limits = (
        ("track_not_closed", "steps round the cycle miss the start by", "mm"),
        ("track_folds", "the field folds in a share of the wall of", ""),
        ("track_off_contours", "tracked outlines miss the segmented ones by", "mm"),
    )
    values = (closing_mm, folding, contour)
    most = (max_closing_mm, max_folding_share, max_contour_mm)
    for (reason, what, unit), value, limit in zip(limits, values, most, strict=True):
        if not value <= limit:
            raise SubjectError(reason, f"{what} {value:.3g} {unit}; at most {limit:g} is believed")
    still = float(np.nanmean(still_mm))
    if contour > max(_SURE_MM, _LEAST_GAIN * still):
        raise SubjectError(
            "track_off_contours",
            f"tracked outlines miss the segmented ones by {contour:.3g} mm, little less than "
            f"outlines that never move ({still:.3g} mm): the motion was not followed",
        )
    return {
        "closing_error_mm": closing_mm,
        "folding_share": folding,
        "contour_error_mm": contour,
    }


def thickness_mm(positions_mm: Floats) -> Floats:
    """Return the distance of outer from inner points, (t, z, angle) of (t, z, angle, depth, 2)."""
    across: Floats = np.linalg.norm(positions_mm[..., -1, :] - positions_mm[..., 0, :], axis=-1)
    return across


def check_thickening(positions_mm: Floats, segmented: Floats, *, es: int) -> None:
    """Refuse a track whose wall thickens by less than half of what its segmented outlines do.

    Both outlines may be near the segmented ones, and the wall between them keep its thickness all
    the same, as an affine or a stiff registration leaves it: radial strain would be near 0.

    Parameters
    ----------
    positions_mm, segmented : ndarray, shape (t, z, angle, depth, 2)
        Tracked points, and those of each frame's labels.
    es
        Frame of end-systole.

    Raises
    ------
    SubjectError
        ``track_off_contours``.
    """
    ours, theirs = thickness_mm(positions_mm), thickness_mm(segmented)
    known = np.isfinite(theirs[es]) & np.isfinite(theirs[0])
    if not known.any():
        return
    tracked, drawn = ((one[es] - one[0])[known].mean() for one in (ours, theirs))
    if drawn > _LEAST_MM and tracked < _LEAST_SHARE * drawn:
        raise SubjectError(
            "track_off_contours",
            f"the tracked wall thickens by {tracked:.2g} mm, the segmented one by {drawn:.2g} mm: "
            "the registration is too stiff for it",
        )


def wall_mask(labels: NDArray[np.uint8], slices: Sequence[int]) -> NDArray[np.bool_]:
    """Return the wall (z, x, y) of some slices of a frame (x, y, z)."""
    return np.moveaxis(labels[:, :, list(slices)] == Label.MYO, 2, 0)
