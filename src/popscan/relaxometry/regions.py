"""A map's values in a region: mean with an interval, spread, and what the border does to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, stats

#: Noise of voxels further apart than this is taken as independent, in mm.
REACH_MM = 4.0
#: Fewer independent values give no interval.
LEAST_VALUES = 4.0
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)[:, :, None]


@dataclass(frozen=True, kw_only=True)
class RegionValue:
    """Values of a map in a region; NaN where there is nothing to measure.

    Attributes
    ----------
    mean, median, sd
        Over the voxels with a value.
    low, high
        Interval of the mean (see `region_value`).
    n_voxels
        Voxels of the region that have a value.
    failed_pct
        Voxels of the region without a value.
    border_pct
        Voxels of the region that touch its outside in the plane, where a voxel may hold two
        tissues.
    core_mean
        Mean without them.
    border_shift
        `mean` less `core_mean`: what partial volume at the border may have done.
    """

    mean: float = math.nan
    median: float = math.nan
    sd: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n_voxels: int = 0
    failed_pct: float = math.nan
    border_pct: float = math.nan
    core_mean: float = math.nan
    border_shift: float = math.nan


def region_value(
    values: ArrayLike,
    region: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    level: float = 0.95,
) -> RegionValue:
    """Measure a map in a region.

    Neighbouring voxels share noise (interpolation, filters), so that their number says little: the
    variance of the mean is the sum of the autocovariance over all pairs of voxels of a plane up to
    4 mm apart, and Student's t has the degrees of freedom of as many independent values as give
    that variance. The interval holds noise and the region's own unevenness, not what the sequence
    does to all values equally.

    Parameters
    ----------
    values : array_like, shape (x, y, z)
        The map; NaN where it has no value.
    region : array_like of bool, shape (x, y, z)
        The region.
    spacing_mm
        Distance of voxel centres.
    level
        Of the interval.
    """
    array, inside = np.asarray(values, dtype=float), np.asarray(region, dtype=bool)
    if not inside.any():
        return RegionValue()
    core = inside & ndimage.binary_erosion(inside, structure=_CROSS)
    known = inside & np.isfinite(array)
    n, n_region = int(known.sum()), int(inside.sum())
    lost = RegionValue(
        failed_pct=100.0 * (1.0 - n / n_region),
        border_pct=100.0 * (1.0 - float(core.sum()) / n_region),
    )
    if n == 0:
        return lost
    there = array[known]
    mean = float(there.mean())
    core_mean = float(array[known & core].mean()) if (known & core).any() else math.nan
    low, high = _interval(array, known, spacing_mm=spacing_mm, level=level)
    return replace(
        lost, mean=mean, median=float(np.median(there)),
        sd=float(there.std(ddof=1)) if n > 1 else math.nan,
        low=low, high=high, n_voxels=n, core_mean=core_mean, border_shift=mean - core_mean,
    )  # fmt: skip


def _interval(
    array: NDArray[np.float64],
    known: NDArray[np.bool_],
    *,
    spacing_mm: Sequence[float],
    level: float,
) -> tuple[float, float]:
    """Interval of the mean of the known voxels; NaN where too few values are independent."""
    n = int(known.sum())
    mean = float(array[known].mean())
    rest = np.where(known, array - mean, 0.0)
    covered = paired = 0.0
    for dx, dy in _lags(spacing_mm, known.shape):
        here, there = _shifted(dx), _shifted(-dx)
        first, second = (here, _shifted(dy)), (there, _shifted(-dy))
        paired += float(np.count_nonzero(known[first] & known[second]))
        covered += float((rest[first] * rest[second]).sum())
    # Residuals about the region's own mean are a little too small: see the sum of pairs.
    variance = covered / n**2 / max(1.0 - paired / n**2, 0.1)
    spread = float((rest**2).sum()) / max(n - 1, 1)
    values = min(float(n), spread / variance) if variance > 0 else float(n)
    if values < LEAST_VALUES:
        return math.nan, math.nan
    reach = float(stats.t.ppf(0.5 + level / 2.0, values - 1.0)) * math.sqrt(spread / values)
    return mean - reach, mean + reach


def _lags(spacing_mm: Sequence[float], shape: Sequence[int]) -> list[tuple[int, int]]:
    nx, ny = (min(int(REACH_MM // s), n - 1) for s, n in zip(spacing_mm, shape[:2], strict=False))
    return [
        (i, j)
        for i in range(-nx, nx + 1)
        for j in range(-ny, ny + 1)
        if math.hypot(i * spacing_mm[0], j * spacing_mm[1]) <= REACH_MM
    ]


def _shifted(lag: int) -> slice:
    return slice(max(lag, 0), None if lag >= 0 else lag)
