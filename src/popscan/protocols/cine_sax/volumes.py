"""Volumes of labelled structures over the heart cycle, and the phases found from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from popscan.arrays.morphology import check_labels, check_spacing, voxel_counts
from popscan.arrays.slice_interpolation import interpolated_volume_mm3
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.records import PopscanError

Floats = NDArray[np.float64]
#: How slices are added up.
BetweenSlices = Literal["discs", "interpolated"]

#: Standard deviation of the smoothing with which ED and ES are found, as a share of the cycle.
PHASE_SMOOTHING_SHARE = 0.06
#: A volume curve of fewer measured frames is not smoothed.
MIN_SMOOTHED_FRAMES = 8


def volume_curves_ml(
    labels: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    frames: Sequence[int] | None = None,
    between_slices: BetweenSlices = "discs",
) -> dict[str, Floats]:
    """Volume of each structure in each frame, by summation of discs as a rule.

    Each slice counts as a disc as thick as the slice distance: area x distance, so that gaps
    between slices are filled by their neighbours (Simpson's rule as used in cardiac MR;
    Schulz-Menger et al., J Cardiovasc Magn Reson 2020, doi:10.1186/s12968-020-00610-6).

    Parameters
    ----------
    labels : array_like, shape (x, y, z, t)
        `Label` values.
    spacing_mm
        Distance of voxel centres along x, y, z; z is the slice distance.
    frames
        Indices of the labelled frames; all by default.
    between_slices
        ``interpolated``: shapes are interpolated between slices
        (`popscan.arrays.slice_interpolation`), the wall as what is within the epicardium less the
        cavity.

    Returns
    -------
    dict
        ``rv``, ``myo``, ``lv`` -> volumes in mL, shape (t,). NaN where the frame was not labelled
        or the structure is absent: a heart has no chamber of 0 mL, so absence means not measured.
    """
    array = check_labels(labels, largest=max(Label))
    voxel_ml = float(np.prod(check_spacing(spacing_mm))) / 1000.0
    known = np.ones(array.shape[3], dtype=bool)
    if frames is not None:
        known[:] = False
        known[list(frames)] = True
    curves = {}
    for label, counts in voxel_counts(array, STRUCTURES).items():
        voxels = counts.sum(axis=0)
        curves[STRUCTURES[label]] = np.where(known & (voxels > 0), voxels * voxel_ml, np.nan)
    if between_slices == "interpolated":
        for t in np.flatnonzero(known):
            for name, volume in _interpolated_ml(array[..., t], spacing_mm).items():
                if np.isfinite(curves[name][t]):
                    curves[name][t] = volume
    return curves


def _interpolated_ml(labels: NDArray[np.uint8], spacing_mm: Sequence[float]) -> dict[str, float]:
    """Volumes of one frame, shapes interpolated between slices."""

    def volume_ml(*of: Label) -> float:
        return interpolated_volume_mm3(np.isin(labels, of), spacing_mm=spacing_mm) / 1000.0

    lv = volume_ml(Label.LV)
    return {"rv": volume_ml(Label.RV), "lv": lv, "myo": volume_ml(Label.LV, Label.MYO) - lv}


def smooth_cyclic(values: ArrayLike, *, sigma_frames: float) -> Floats:
    """Smooth a curve of one heart cycle with a Gaussian that wraps around.

    Parameters
    ----------
    values : array_like, shape (t,)
        NaN marks frames without a value; they are filled from their neighbours.
    sigma_frames
        Standard deviation in frames; below 0.1 nothing would move, and the values are returned.

    Returns
    -------
    ndarray, shape (t,)
        All NaN if `values` are.
    """
    array = np.asarray(values, dtype=float)
    known = np.isfinite(array)
    if sigma_frames < 0.1 or not known.any():
        return array.copy()
    weight = ndimage.gaussian_filter1d(known.astype(float), sigma_frames, mode="wrap")
    total = ndimage.gaussian_filter1d(np.where(known, array, 0.0), sigma_frames, mode="wrap")
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 1e-9)


def find_phases(
    lv_ml: ArrayLike,
    *,
    frame_labels: Sequence[str] | None = None,
    smoothing_share: float = PHASE_SMOOTHING_SHARE,
) -> tuple[int | None, int | None]:
    """Find end-diastole and end-systole.

    Frames named ``ED`` and ``ES`` are taken at their word; what is not named is the largest and
    the smallest volume of the LV curve, smoothed over the cycle. Only the choice of the frame
    follows the smoothed curve. Without smoothing the extremes pick the luckiest noise: at 2% noise
    of the single volumes and 25 frames, EF comes out 2 points too high; at 0.06 of the cycle the
    bias is 0.1 points, and 0.0 without noise (``benchmarks/biomarkers.py``). Curves of fewer than
    `MIN_SMOOTHED_FRAMES` measured frames are not smoothed. With fewer than two measured frames an
    unnamed phase is unknown: a single frame is neither.

    Parameters
    ----------
    lv_ml : array_like, shape (t,)
        LV volume, NaN where not measured.
    frame_labels
        Name of each frame, e.g. ``["ED", "ES"]``; other words are ignored.
    smoothing_share
        Standard deviation of the cyclic Gaussian as a share of the cycle; 0 for raw extremes.

    Returns
    -------
    tuple of int or None
        Frames of ED and ES.

    Examples
    --------
    >>> find_phases([120.0, 80.0, 50.0, 90.0])
    (0, 2)
    >>> find_phases([50.0, 120.0], frame_labels=["ED", "ES"])
    (0, 1)
    >>> find_phases([120.0])
    (None, None)
    """
    curve = np.asarray(lv_ml, dtype=float)
    names = [str(name).upper() for name in frame_labels or ()]
    if names and len(names) != len(curve):
        raise PopscanError(f"{len(names)} frame_labels for {len(curve)} frames")
    found: list[int | None] = [
        names.index(name) if name in names else None for name in ["ED", "ES"]
    ]
    known = np.isfinite(curve)
    if known.sum() >= 2:
        sigma = smoothing_share * curve.size if known.sum() >= MIN_SMOOTHED_FRAMES else 0.0
        smooth = np.where(known, smooth_cyclic(curve, sigma_frames=sigma), np.nan)
        extremes = int(np.nanargmax(smooth)), int(np.nanargmin(smooth))
        found = [
            named if named is not None else e for named, e in zip(found, extremes, strict=True)
        ]
    return found[0], found[1]


def phase_frames(
    labels: ArrayLike,
    *,
    frames: Sequence[int] | None = None,
    frame_labels: Sequence[str] | None = None,
) -> dict[str, int]:
    """Frames of end-diastole (``ED``) and end-systole (``ES``), for stages that need one of each.

    The one definition for all stages: `find_phases` on the LV's volume curve. A phase that it
    leaves unknown, of a single frame that nobody named, is the first frame with an LV cavity, or
    the first labelled one.

    Parameters
    ----------
    labels : array_like, shape (x, y, z, t)
        `Label` values.
    frames
        Indices of the labelled frames; all by default.
    frame_labels
        Name of each frame where the source knows it.

    Examples
    --------
    >>> phase_frames(np.full((2, 2, 1, 1), Label.LV))
    {'ED': 0, 'ES': 0}
    """
    curve = volume_curves_ml(labels, spacing_mm=(1.0, 1.0, 1.0), frames=frames)["lv"]
    labelled = range(curve.size) if frames is None else frames
    instead = next(iter([t for t in labelled if np.isfinite(curve[t])] or labelled), 0)
    ed, es = find_phases(curve, frame_labels=frame_labels)
    return {"ED": instead if ed is None else ed, "ES": instead if es is None else es}
