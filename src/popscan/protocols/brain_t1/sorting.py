"""Volumes of a head among the series of an unknown visit, and whether they are T1-weighted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from popscan.sorting.facts import Facts, Named

#: How far down from the vertex a head is looked at.
_DOWN_MM = 100.0
#: Breadth and length of a head with its skin, and how much of its box it fills.
_BREADTH_MM, _LENGTH_MM, _FILL = (130.0, 195.0), (160.0, 245.0), (0.42, 0.75)
#: Smallest side of a volume that holds a head.
_LEAST_MM = 60.0
#: Least correlation of a head with its mirror image.
_LEAST_SYMMETRY = 0.55
#: Depth below the skin in mm: of cortex with some fluid, and of mostly white matter.
_CORTEX_MM, _DEEP_MM = (14.0, 26.0), 34.0
#: Cortex over white matter: below the first T1-weighted, above the second not; between, unknown.
_T1_BELOW, _OTHER_ABOVE = 0.73, 0.79


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a volume shows.

    Attributes
    ----------
    breadth_mm, length_mm
        Of the largest bright object, in its uppermost 100 mm.
    fill
        Share of its box that it fills there.
    symmetry
        Correlation with its mirror image.
    cortex
        Median intensity at the depth of the cortex over that of white matter; NaN where there is
        no such depth.
    """

    breadth_mm: float
    length_mm: float
    fill: float
    symmetry: float
    cortex: float

    @property
    def is_head(self) -> bool:
        """Whether it has the size and shape of a head."""
        return (
            _BREADTH_MM[0] <= self.breadth_mm <= _BREADTH_MM[1]
            and _LENGTH_MM[0] <= self.length_mm <= _LENGTH_MM[1]
            and 0.62 <= self.breadth_mm / self.length_mm <= 0.98
            and _FILL[0] <= self.fill <= _FILL[1]
            and self.symmetry >= _LEAST_SYMMETRY
        )


def find(series: Sequence[Facts]) -> list[list[Named]]:
    """Name the series of one visit."""
    return [_named(facts) for facts in series]


def _named(facts: Facts) -> list[Named]:
    if facts.volume is None or not facts.oriented or facts.signed or facts.n_frames > 1:
        return []
    head = look(facts.volume, spacing_mm=facts.volume_mm)
    if head is None or not head.is_head or math.isnan(head.cortex):
        return []
    if head.cortex < _T1_BELOW:
        return [Named(name="brain_t1w", sure=0.85, by="a head, white matter brighter than cortex")]
    if head.cortex > _OTHER_ABOVE:
        return [Named(name="brain_other", sure=0.7, by="a head, cortex as bright as white matter")]
    return []


def look(volume: NDArray[np.float32], *, spacing_mm: float) -> Head | None:
    """Measure the largest bright object of a volume.

    Parameters
    ----------
    volume : ndarray, shape (x, y, z)
        Axes to left, posterior, superior.
    spacing_mm
        Along all three.

    Returns
    -------
    Head or None
        None for a volume without contrast, or too small for a head.
    """
    if min(volume.shape) * spacing_mm < _LEAST_MM:
        return None
    values = np.clip(volume, 0.0, np.percentile(volume, 99.5))
    if not values.max() > values.min():
        return None
    labels, count = ndimage.label(values > 0.5 * threshold_otsu(values))
    if not count:
        return None
    largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    mask = ndimage.binary_fill_holes(labels == largest)
    top = int(np.flatnonzero(mask.any(axis=(0, 1)))[-1])
    first = max(0, top - round(_DOWN_MM / spacing_mm))
    box = tuple(
        slice(int(np.flatnonzero(hit)[0]), int(np.flatnonzero(hit)[-1]) + 1)
        for hit in (mask[:, :, first : top + 1].any(axis=axes) for axes in ((1, 2), (0, 2)))
    )
    part, inside = (array[*box, first : top + 1] for array in (mask, values))
    depth = ndimage.distance_transform_edt(part) * spacing_mm
    cortex = inside[(depth > _CORTEX_MM[0]) & (depth < _CORTEX_MM[1])]
    deep = inside[depth > _DEEP_MM]
    ratio = float(np.median(cortex) / np.median(deep)) if min(cortex.size, deep.size) > 50 else None
    flat, mirrored = inside.ravel(), inside[::-1].ravel()
    symmetry = float(np.corrcoef(flat, mirrored)[0, 1]) if flat.std() > 0 else 0.0
    return Head(
        breadth_mm=part.shape[0] * spacing_mm,
        length_mm=part.shape[1] * spacing_mm,
        fill=float(part.mean()),
        symmetry=symmetry,
        cortex=math.nan if ratio is None else ratio,
    )
