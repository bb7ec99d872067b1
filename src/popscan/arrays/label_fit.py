"""Whether labels lie where the image has what they outline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: Grey values beyond this percentile are cut off: single bright voxels decide nothing.
_TOP_PCT = 99.0
#: Fewer labelled voxels in a slice say nothing.
_LEAST = 20
#: Around a single label a ring of so many voxels stands for what it is not.
_RING = 3


@dataclass(frozen=True, kw_only=True)
class LabelFit:
    """How well labels explain the grey values below them, where they lie and elsewhere.

    Attributes
    ----------
    here
        Share of the variance of the labelled voxels that is between labels, 0 to 1 (eta squared).
    best
        The largest share that any shift in the plane reaches.
    offset_mm
        How far that shift is.
    """

    here: float
    best: float
    offset_mm: float


def label_fit(
    image: NDArray[Any],
    labels: NDArray[np.integer[Any]],
    spacing_mm: tuple[float, float],
    *,
    reach_mm: float = 20.0,
) -> LabelFit | None:
    """Find the shift in the plane by which labels would fit an image best.

    All slices are shifted together. Regions that are drawn on the image differ in brightness; of
    labels of another visit, mirrored or shifted, each holds some of everything.

    Parameters
    ----------
    image
        Grey values (x, y, z); what is not finite counts as the median.
    labels
        Codes (x, y, z), 0 for background. A slice with one code gets a ring around it as another.
    spacing_mm
        Distance of voxel centres along x and y.
    reach_mm
        Largest shift that is tried.

    Returns
    -------
    LabelFit or None
        None without a slice of enough labelled voxels, or where the image is constant.

    Raises
    ------
    ValueError
        If image and labels differ in shape.
    """
    if image.shape != labels.shape or image.ndim != 3:
        raise ValueError(f"image {image.shape} and labels {labels.shape}: one (x, y, z) expected")
    margins = [math.ceil(reach_mm / step) + 1 + _RING for step in spacing_mm]
    between: NDArray[np.float64] | float = 0.0
    total: NDArray[np.float64] | float = 0.0
    window = _window(labels, margins)
    grey, codes = _usual(image[window]), labels[window]
    for z in range(labels.shape[2]):
        if np.count_nonzero(codes[..., z]) < _LEAST:
            continue
        if codes[..., z].all() and np.ptp(codes[..., z]) == 0:
            continue  # one code everywhere: nothing to compare it with
        one, all_of = _variances(grey[..., z], codes[..., z])
        between, total = between + one, total + all_of
    if isinstance(total, float):
        return None
    share = np.divide(between, total, out=np.zeros_like(total), where=total > 1e-9 * total.max())
    x, y = (
        np.fft.fftfreq(n, 1 / n) * step for n, step in zip(total.shape, spacing_mm, strict=True)
    )
    apart = np.hypot(x[:, None], y[None])
    share = np.where(apart <= reach_mm, share, -1.0)
    at = np.unravel_index(int(share.argmax()), share.shape)
    if not share[at] > 0:
        return None
    return LabelFit(
        here=float(share[0, 0]), best=float(share[at]), offset_mm=round(float(apart[at]), 2)
    )


def _window(labels: NDArray[Any], margins: list[int]) -> tuple[slice, slice, slice]:
    """Return the part of the plane that shifted labels reach, so that no shift wraps around."""
    hit = np.argwhere(labels.any(axis=2))
    if not len(hit):
        return (slice(0, 0), slice(0, 0), slice(None))
    low, high = hit.min(axis=0), hit.max(axis=0) + 1
    x, y = (
        slice(max(0, int(a) - m), int(b) + m) for a, b, m in zip(low, high, margins, strict=True)
    )
    return (x, y, slice(None))


def _usual(image: NDArray[Any]) -> NDArray[np.float64]:
    values = np.asarray(image, dtype=float)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape)
    values = np.where(finite, values, np.median(values[finite]))
    middle, top = float(np.median(values)), float(np.percentile(values, _TOP_PCT))
    # Around 0, for sums of squares keep more digits then.
    return np.asarray(np.minimum(values, top) - middle)


def _variances(
    grey: NDArray[np.float64], codes: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sums of squares between labels, and of all labelled voxels, for every shift."""
    masks = [codes == code for code in np.unique(codes) if code]
    if len(masks) == 1:
        masks.append(ndimage.binary_dilation(masks[0], iterations=_RING) & ~masks[0])
    shape = [n + m for n, m in zip(grey.shape, grey.shape, strict=True)]
    of_grey, of_square = (np.fft.rfft2(v, shape) for v in (grey, grey**2))

    def summed(of_image: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.fft.irfft2(of_image * np.conj(np.fft.rfft2(mask.astype(float), shape)), shape)

    sums = [(summed(of_grey, mask), int(mask.sum())) for mask in masks]
    whole = np.sum([s for s, _ in sums], axis=0) ** 2 / sum(n for _, n in sums)
    between = np.sum([s**2 / n for s, n in sums], axis=0) - whole
    total = summed(of_square, np.any(masks, axis=0)) - whole
    return between, total
