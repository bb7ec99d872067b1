"""What a series looks like: its thumbnail, what changes over its frames, a coarse volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.records import SubjectError
from popscan.sorting.facts import THUMB, THUMB_MM, Floats
from popscan.sorting.quality import noise_level, sharpness, width_px

#: Frames that are looked at.
MOST_FRAMES = 12
#: Radius around the centre of change, and the quantile above which change counts, as in
#: `popscan.sorting.facts.Facts.focus`.
_FOCUS_MM, _CHANGED = 60.0, 90.0
#: Spread of a coarse volume.
VOLUME_MM = 4.0
#: Most voxels of a coarse volume: a body of 2 m in a field of view of 700 mm has 15 million.
_MOST_VOXELS = 2**24
#: Spacings of images of bodies; others are mistakes of a header, or of its unit.
SPACING_MM = (0.02, 100.0)
#: Farthest from the scanner's centre; numbers that are much larger overflow.
_FARTHEST_MM = 1e6


@dataclass(frozen=True, kw_only=True)
class Picture:
    """See the attributes of `popscan.sorting.facts.Facts` of these names."""

    thumb: NDArray[np.uint8]
    change: float
    focus: float
    closing: float
    change_mm: Floats
    median: float
    high: float
    sharpness: float
    noise: float
    blank: bool
    symmetric: bool


def check_spacing(spacing_mm: Sequence[float]) -> None:
    """Refuse spacings that no image of a body has.

    Raises
    ------
    SubjectError
        ``bad_spacing``, as well for NaN.
    """
    low, high = SPACING_MM
    if not all(low <= spacing <= high for spacing in spacing_mm):
        shown = " x ".join(f"{spacing:g}" for spacing in spacing_mm)
        raise SubjectError("bad_spacing", f"spacing {shown} mm; {low:g} to {high:g} mm expected")


def frames_shown(n_frames: int) -> list[int]:
    """Return which of so many frames are looked at: evenly spread, the first and last among them.

    Examples
    --------
    >>> frames_shown(3), len(frames_shown(50))
    ([0, 1, 2], 12)
    """
    count = min(n_frames, MOST_FRAMES)
    return np.unique(np.linspace(0, n_frames - 1, count).round().astype(int)).tolist()


def picture(
    frames: NDArray[np.floating],
    *,
    spacing_mm: tuple[float, float],
    row: Floats,
    column: Floats,
    centre_mm: Floats,
) -> Picture:
    """Look at the frames of one slice.

    Parameters
    ----------
    frames : ndarray, shape (x, y, t)
        x along a row of the image. Values that are not finite count as 0.
    spacing_mm
        Along x and y.
    row, column, centre_mm
        Directions of x and y, and the middle of the slice, LPS; NaN where unknown.

    Raises
    ------
    SubjectError
        ``bad_spacing``, see `check_spacing`; ``bad_affine`` for a middle a kilometre away.
    """
    check_spacing(spacing_mm)
    if bool(np.any(np.abs(centre_mm) > _FARTHEST_MM)):
        raise SubjectError("bad_affine", f"more than {_FARTHEST_MM:g} mm from the scanner's centre")
    frames = np.nan_to_num(np.asarray(frames, dtype=np.float32), posinf=0.0, neginf=0.0)
    mean = frames.mean(axis=2)
    spread = frames.std(axis=2) if frames.shape[2] > 1 else np.zeros_like(mean)
    low, high = (float(v) for v in np.percentile(mean, (1, 99)))
    span = high - low
    steady = ndimage.gaussian_filter(spread, [width_px(4.0, s) for s in spacing_mm])
    change = float(np.percentile(steady, 99) / span) if span > 0 else 0.0
    focus, at = _focus(steady, spacing_mm)
    above = mean[mean > low + 0.1 * span] if span > 0 else mean[:0]
    shown = np.stack([_scaled(mean, low, high), _scaled(spread, 0.0, 0.5 * span)])
    where = np.full(3, np.nan)
    if at is not None:
        off = (np.array(at) - (np.array(mean.shape) - 1) / 2) * np.array(spacing_mm)
        where = centre_mm + off[0] * row + off[1] * column
    least, most = (float(v) for v in np.percentile(frames, (0.5, 99.5)))
    return Picture(
        thumb=_thumbnail(shown, spacing_mm, row, column),
        change=change,
        focus=focus,
        closing=_closing(frames),
        change_mm=where,
        median=float(np.median(above)) if above.size else math.nan,
        high=high,
        sharpness=sharpness(frames[..., 0], spacing_mm=spacing_mm),
        noise=noise_level(frames[..., 0]),
        blank=not span > 0,
        symmetric=least < 0 < most and -0.25 * most >= least >= -4.0 * most,
    )


def _scaled(image: NDArray[np.floating], low: float, high: float) -> NDArray[np.floating]:
    if not high > low:
        return np.zeros_like(image)
    return np.clip((image - low) / (high - low), 0.0, 1.0)


def _focus(
    spread: NDArray[np.floating], spacing_mm: tuple[float, float]
) -> tuple[float, tuple[float, float] | None]:
    """Share of the strongest change that lies around its centre, and the centre in pixels."""
    if not spread.any():
        return 0.0, None
    weight = np.where(spread > np.percentile(spread, _CHANGED), spread.astype(float), 0.0)
    total = float(weight.sum())
    if not total > 0:
        return 0.0, None
    x, y = np.indices(spread.shape)
    middle = (float((weight * x).sum() / total), float((weight * y).sum() / total))
    for _ in range(3):  # towards the densest part
        near = np.hypot((x - middle[0]) * spacing_mm[0], (y - middle[1]) * spacing_mm[1])
        inside = np.where(near <= _FOCUS_MM, weight, 0.0)
        held = float(inside.sum())
        if not held > 0:
            break
        middle = (float((inside * x).sum() / held), float((inside * y).sum() / held))
    return held / total, middle


def _closing(frames: NDArray[np.floating]) -> float:
    if frames.shape[2] < 5:
        return math.nan
    smooth = ndimage.gaussian_filter(frames, (2, 2, 0))
    spread = smooth.std(axis=2)
    moving = smooth[spread >= np.percentile(spread, 95)]
    noise = 2.0 * float(np.median(spread)) ** 2  # of the difference of two frames
    steps = np.mean(np.diff(moving, axis=1) ** 2, axis=0)
    back = float(np.mean((moving[:, -1] - moving[:, 0]) ** 2)) - noise
    largest = float(steps.max()) - noise
    return math.sqrt(max(back, 0.0) / largest) if largest > 0 else math.nan


def _thumbnail(
    images: NDArray[np.floating],
    spacing_mm: tuple[float, float],
    row: Floats,
    column: Floats,
) -> NDArray[np.uint8]:
    """Bring images (n, x, y) onto the grid of all thumbnails, turned as the body lies."""
    turned = images
    if np.isfinite(row).all() and np.isfinite(column).all():
        turned, spacing_mm = _upright(images, spacing_mm, row, column)
    sides = [n * s for n, s in zip(turned.shape[1:], spacing_mm, strict=True)]
    step = THUMB_MM / THUMB
    smooth = ndimage.gaussian_filter(turned, [0.0, *(width_px(0.4 * step, s) for s in spacing_mm)])
    at = (np.arange(THUMB) + 0.5) * step - THUMB_MM / 2
    grid = np.meshgrid(
        *((at + side / 2) / s - 0.5 for side, s in zip(sides, spacing_mm, strict=True)),
        indexing="ij",
    )
    made = [ndimage.map_coordinates(image, grid, order=1, cval=0.0) for image in smooth]
    return np.rint(255.0 * np.clip(made, 0.0, 1.0)).astype(np.uint8)


def _upright(
    images: NDArray[np.floating], spacing_mm: tuple[float, float], row: Floats, column: Floats
) -> tuple[NDArray[np.floating], tuple[float, float]]:
    """Exchange and flip axes so that x runs to the left (or to the back), y downwards or back."""
    first, second = np.array([1.0, 0.6, 0.0]), np.array([0.0, 0.5, -1.0])
    straight = abs(row @ first) + abs(column @ second)
    crossed = abs(row @ second) + abs(column @ first)
    if crossed > straight:
        images, row, column = images.transpose(0, 2, 1), column, row
        spacing_mm = (spacing_mm[1], spacing_mm[0])
    if row @ first < 0:
        images = images[:, ::-1]
    if column @ second < 0:
        images = images[:, :, ::-1]
    return images, spacing_mm


def coarse_volume(
    array: NDArray[np.floating], *, spacing_mm: tuple[float, float, float], axes: Floats
) -> NDArray[np.float32] | None:
    """Return a volume on a grid of `VOLUME_MM`, its axes turned to left, posterior, superior.

    None for one that is larger than any body.

    Parameters
    ----------
    array : ndarray, shape (x, y, z)
        Values.
    spacing_mm
        Along the axes.
    axes : ndarray, shape (3, 3)
        Columns: directions of the axes, LPS.

    Raises
    ------
    SubjectError
        ``bad_spacing``, see `check_spacing`.
    """
    check_spacing(spacing_mm)
    order = [int(np.argmax(np.abs(axes[k]))) for k in range(3)]
    if sorted(order) != [0, 1, 2]:
        order = [0, 1, 2]
    turned = np.transpose(array, order)
    flips = tuple(
        slice(None, None, -1) if axes[k, axis] < 0 else slice(None) for k, axis in enumerate(order)
    )
    factors = [spacing_mm[axis] / VOLUME_MM for axis in order]
    if (
        math.prod(n * factor for n, factor in zip(turned.shape, factors, strict=True))
        > _MOST_VOXELS
    ):
        return None
    smooth = ndimage.gaussian_filter(
        turned[flips].astype(np.float32), [width_px(0.4, f) if f < 1 else 0.0 for f in factors]
    )
    return ndimage.zoom(smooth, factors, order=1).astype(np.float32)
