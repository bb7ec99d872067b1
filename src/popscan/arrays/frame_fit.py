"""Whether labels of a series belong to the frames that they are stored with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]

#: Grey values beyond this percentile are cut off: single bright voxels decide nothing.
_TOP_PCT = 99.0
#: Fewer labelled voxels in a slice say nothing.
_LEAST = 20
#: So many voxels around what is labelled in any frame count as what it is not.
_RING = 3


@dataclass(frozen=True, kw_only=True)
class FrameFit:
    """How well labels explain the images of their frames, and of frames elsewhere in the cycle.

    Attributes
    ----------
    here
        Share of the variance in and around what is labelled that is between labels, mean over the
        labelled frames (0 to 1).
    best
        The largest share that any order of frames reaches.
    frames : ndarray of int, shape (labelled frames,)
        The image that each labelled frame has in that order.
    reversed
        Whether that order runs backwards.
    off_pct
        How far these images lie from where the labels stand: mean distance, % of the cycle.
    """

    here: float
    best: float
    frames: NDArray[np.intp]
    reversed: bool
    off_pct: float


def frame_fit(
    image: NDArray[Any], labels: NDArray[np.integer[Any]], *, frames: Sequence[int] | None = None
) -> FrameFit | None:
    """Find the order of frames by which labels would fit the images best.

    Orders that are tried are those that files get: labels later or earlier by a number of labelled
    frames, around the cycle, and the same backwards. All of them are held against the same images,
    those of labelled frames, since images differ in how much labels can explain; so where two
    frames are labelled an exchange is seen, and not that both are a few frames late. All slices
    are taken together.

    Parameters
    ----------
    image
        Grey values (x, y, z, t); what is not finite counts as the median.
    labels
        Codes (x, y, z, t), 0 for background.
    frames
        Frames that are labelled; by default those with any label.

    Returns
    -------
    FrameFit or None
        None without two labelled frames, and where labels or images do not change.

    Raises
    ------
    ValueError
        If image and labels differ in shape.
    """
    if image.shape != labels.shape or image.ndim != 4:
        raise ValueError(f"image {image.shape}, labels {labels.shape}: one (x, y, z, t) expected")
    drawn = np.asarray(labels.any(axis=(0, 1, 2)))
    used = [t for t in range(labels.shape[3]) if drawn[t]]
    if frames is not None:
        used = [t for t in used if t in frames]
    if len(used) < 2 or all(np.array_equal(labels[..., used[0]], labels[..., t]) for t in used):
        return None
    share = _shares(image, labels, used)
    if share is None:
        return None
    n, at = labels.shape[3], np.array(used)
    steps = np.arange(len(at))
    orders = [np.roll(at, -k) for k in steps] + [np.roll(at[::-1], k) for k in steps]
    fits = [float(share[steps, order].mean()) for order in orders]
    best = int(np.argmax(fits))
    apart = np.abs(orders[best] - at)
    return FrameFit(
        here=fits[0], best=fits[best], frames=orders[best], reversed=best >= len(at),
        off_pct=float(100.0 * np.minimum(apart, n - apart).mean() / n),
    )  # fmt: skip


def _shares(image: NDArray[Any], labels: NDArray[Any], used: Sequence[int]) -> Floats | None:
    """Return the share of variance that labels of each used frame explain in each image."""
    between = np.zeros((len(used), labels.shape[3]))
    total = np.zeros(labels.shape[3])
    for z in range(labels.shape[2]):
        any_label = labels[:, :, z, list(used)].any(axis=2)
        if np.count_nonzero(any_label) < _LEAST:
            continue
        inside = ndimage.binary_dilation(any_label, iterations=_RING)
        grey = _usual(image[:, :, z][inside])
        grey = grey - grey.mean(axis=0)
        total += (grey**2).sum(axis=0)
        for row, t in enumerate(used):
            codes = labels[:, :, z, t][inside]
            for code in np.unique(codes):
                mask = codes == code
                between[row] += grey[mask].sum(axis=0) ** 2 / mask.sum()
    if not total.max() > 0:
        return None
    return np.divide(between, total, out=np.zeros_like(between), where=total > 1e-9 * total.max())


def _usual(values: NDArray[Any]) -> Floats:
    grey = np.asarray(values, dtype=float)
    finite = np.isfinite(grey)
    if not finite.all():
        grey = np.where(finite, grey, np.median(grey[finite]) if finite.any() else 0.0)
    return np.asarray(np.minimum(grey, np.percentile(grey, _TOP_PCT)))
