"""Signs that labels do not lie on what the image shows: at end-diastole and end-systole.

Intensities are held against the labels' own blood and muscle, so a sign has no unit and no scanner:
0 is the usual muscle, 1 the usual blood of the same part of the stack.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.arrays.frame_fit import frame_fit
from popscan.arrays.label_fit import label_fit
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.qc.context import Context

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
#: Half way from muscle to blood.
MIDDLE = 0.5
#: How far around the RV its blood is looked for.
AROUND_MM = 5.0
#: How far around the heart the image is used.
MARGIN_MM = 15.0
#: A slice with fewer voxels of a structure says nothing of its intensities.
LEAST = 15
#: What a sign is, for a reader; those with a phase at the end of their names without it.
WORDS: Mapping[str, str] = {
    "lv_bright": "blood in and around the LV's labels, of what is labelled (logarithm)",
    "rv_bright": "blood in and around the RV's labels, of what is labelled (logarithm)",
    "lv_edge": "where the edge of the LV lies",
    "rv_edge": "where the edge of the RV lies",
    "rv_rim": "dark voxels at the border of the RV's labels",
    "wall_bright": "bright voxels in the wall's labels",
    "wall_bright_worst": "bright voxels in the wall's labels, worst slice",
    "lv_dark": "dark voxels in the LV's labels",
    "lv_dark_worst": "dark voxels in the LV's labels, worst slice",
    "rv_dark": "dark voxels in the RV's labels",
    "rv_dark_worst": "dark voxels in the RV's labels, worst slice",
    "contrast_least": "contrast of LV and wall in the worst slice",
    "rv_contrast_least": "contrast of RV and wall in the worst slice",
    "above": "how much the slice above the base looks like the LV",
    "below": "how much the slice below the apex looks like the LV",
    "fit": "how much of the image the labels explain",
    "fit_gain": "how much more labels would explain if they were moved",
    "fit_offset_mm": "how far labels would have to be moved",
    "fit_frames": "how much of the change between the phases the labels explain",
    "frames_gain": "how much more labels would explain with ED and ES exchanged",
}
_CROSS = ndimage.generate_binary_structure(2, 1)[..., None]
_NAMES = ("ed", "es")
#: Bins of the distance from a border, of `_crossing`.
_PROFILE_MM = np.arange(-5.0, 8.01, 0.5)


def relative_image(image: Floats, labels: NDArray[np.uint8]) -> Floats:
    """Return intensities relative to muscle (0) and LV blood (1), as the labels have them.

    Parameters
    ----------
    image
        Intensities (x, y, z, t).
    labels
        `Label` values, same shape. Levels of a slice are medians over it and both neighbours in
        all frames; of the whole stack where these hold too little.

    Returns
    -------
    ndarray of float32
        NaN everywhere where blood is not brighter than muscle.
    """
    low, high = (_levels(image, labels, label) for label in (Label.MYO, Label.LV))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(high > low, high - low, np.nan)
        return np.asarray((image - low[:, None]) / scale[:, None], dtype=np.float32)


def _levels(image: Floats, labels: NDArray[np.uint8], label: Label) -> Floats:
    """Return the median intensity of a structure about each slice, shape (z,)."""
    values = [image[:, :, z][labels[:, :, z] == label] for z in range(image.shape[2])]
    every = np.concatenate(values)
    usual = float(np.median(every)) if every.size else math.nan
    found = []
    for z in range(len(values)):
        near = np.concatenate(values[max(z - 1, 0) : z + 2])
        found.append(float(np.median(near)) if near.size >= LEAST else usual)
    return np.array(found, dtype=np.float32)


def agreement(ctx: Context) -> dict[str, float]:
    """Return every sign of a cine reduced to two frames; NaN where one does not apply.

    Parameters
    ----------
    ctx
        Of `popscan.protocols.cine_sax.qc.phases.two_frames`.

    Returns
    -------
    dict
        ``lv_bright_*``, ``rv_bright_*``: the logarithm of the blood in and around a chamber over
        the voxels labelled so; ``lv_edge_*``, ``rv_edge_*``: how far outside of the labels the
        edge lies, of the radius; ``rv_rim_*``: share of dark voxels at the RV's border;
        ``wall_bright``, ``lv_dark``, ``rv_dark``: shares of a structure's inner voxels on the
        wrong side of half way, and ``*_worst`` in its worst slice; ``contrast_least``,
        ``rv_contrast_least``: chamber minus muscle in the worst slice; ``above_*``, ``below_*``:
        the same in the next slice beyond base and apex, with the labels of the last; ``fit_*``,
        ``fit_gain``, ``fit_offset_mm``, ``frames_gain``: what labels explain of the image, and
        what they would elsewhere.
    """
    assert ctx.labels is not None
    n = [math.ceil(MARGIN_MM / step) for step in ctx.spacing_mm[:2]]
    box = tuple(slice(max(s.start - k, 0), s.stop + k) for s, k in zip(ctx.box, n, strict=True))
    frames = [ctx.ed, ctx.es]
    labels = ctx.labels[box][..., frames]
    raw = ctx.image[box][..., frames]
    if not ctx.base_first:
        labels, raw = labels[:, :, ::-1], raw[:, :, ::-1]
    image = relative_image(raw, labels)
    found = {**_shares(image, labels), **_ends(image, labels)}
    for t, name in enumerate(_NAMES):
        found |= {f"{k}_{name}": v for k, v in _sizes(ctx, image[..., t], labels[..., t]).items()}
    return found | _fits(ctx, raw, labels)


def _sizes(ctx: Context, image: Floats, labels: NDArray[np.uint8]) -> dict[str, float]:
    """Return, per chamber, its bright blood over its voxels (log), and where its edge lies."""
    step = ctx.spacing_mm[:2]
    bright = image > MIDDLE
    inside = ndimage.binary_erosion(np.isin(labels, (Label.LV, Label.MYO)), _CROSS)
    x, y = (math.ceil(AROUND_MM / mm) for mm in step)
    around = ndimage.maximum_filter(labels == Label.RV, size=(2 * x + 1, 2 * y + 1, 1))
    around &= np.isin(labels, (0, Label.RV))
    lv, rv = (int(np.count_nonzero(labels == label)) for label in (Label.LV, Label.RV))
    return {
        "lv_bright": _log(_whole(bright & inside), lv),
        "rv_bright": _log(_whole(bright & around), rv),
        "lv_edge": _edge(image, labels == Label.LV, inside, step),
        "rv_edge": _edge(image, labels == Label.RV, labels != Label.LV, step),
        "rv_rim": _rim(image, labels == Label.RV, step),
    }


def _whole(bright: Mask) -> int:
    """Count the voxels of the largest bright piece of each slice, with what it encloses."""
    total = 0
    for z in range(bright.shape[2]):
        pieces, n = ndimage.label(bright[:, :, z])
        if n:
            k = int(np.bincount(pieces.ravel())[1:].argmax())
            largest = pieces[ndimage.find_objects(pieces)[k]] == k + 1
            closed = ndimage.binary_closing(np.pad(largest, 4), iterations=3)
            total += int(np.count_nonzero(ndimage.binary_fill_holes(closed)))
    return total


def _edge(image: Floats, chamber: Mask, where: Mask, step: tuple[float, float]) -> float:
    """Return how far outside of a chamber's labels its edge lies, of the chamber's mean radius.

    In a slice, the mean intensity by distance from the labels' border falls through half way at
    the edge; averaged over the slices, the larger ones counting more.
    """
    found, weights = [], []
    for z in range(chamber.shape[2]):
        area = np.count_nonzero(chamber[:, :, z])
        if area < 4 * LEAST:
            continue
        n = [math.ceil(_PROFILE_MM[-1] / mm) + 1 for mm in step]
        low, high = (f(np.argwhere(chamber[:, :, z]), axis=0) for f in (np.min, np.max))
        x, y = (slice(max(a - k, 0), b + k + 1) for a, b, k in zip(low, high, n, strict=True))
        near = (x, y, z)
        own, used = chamber[near], where[near]
        outside, within = (ndimage.distance_transform_edt(m, sampling=step) for m in (~own, own))
        at = _crossing((outside - within)[used], image[near][used])
        if math.isfinite(at):
            found.append(at)
            weights.append(math.sqrt(area))
    if not found:
        return math.nan
    radius = np.mean(weights) * math.sqrt(step[0] * step[1] / math.pi)
    return float(np.average(found, weights=weights) / radius)


def _crossing(away_mm: NDArray[np.float64], values: Floats) -> float:
    """Return the distance nearest to 0 at which a mean profile falls through half way."""
    kept = (away_mm >= _PROFILE_MM[0]) & (away_mm < _PROFILE_MM[-1]) & np.isfinite(values)
    bins = np.digitize(away_mm[kept], _PROFILE_MM) - 1
    counts = np.bincount(bins, minlength=len(_PROFILE_MM) - 1)
    used = counts >= 5
    if np.count_nonzero(used) < 4:
        return math.nan
    level = np.bincount(bins, values[kept], len(counts))[used] / counts[used]
    mm = 0.5 * (_PROFILE_MM[:-1] + _PROFILE_MM[1:])[used]
    if not (mm > 0).any():
        return math.nan
    half = 0.5 * (float(np.median(level[:3])) + float(level[mm > 0].min()))
    falls = np.flatnonzero((level[:-1] >= half) & (level[1:] < half))
    if not falls.size:
        return math.nan
    i = int(falls[np.abs(mm[falls]).argmin()])
    return float(mm[i] + (level[i] - half) / (level[i] - level[i + 1]) * (mm[i + 1] - mm[i]))


def _rim(image: Floats, chamber: Mask, step: tuple[float, float]) -> float:
    """Return the share of dark voxels within 3 mm of a chamber's border."""
    size = tuple(2 * math.ceil(3.0 / mm) + 1 for mm in step)
    rim = chamber & ~ndimage.minimum_filter(chamber, size=(*size, 1))
    n = np.count_nonzero(rim)
    return np.count_nonzero(rim & (image < MIDDLE)) / n if n >= LEAST else math.nan


def _log(one: int, other: int) -> float:
    return math.log(one / other) if one and other else math.nan


def _shares(image: Floats, labels: NDArray[np.uint8]) -> dict[str, float]:
    found: dict[str, float] = {}
    structures: Sequence[tuple[str, Label, bool]] = (
        ("wall_bright", Label.MYO, True), ("lv_dark", Label.LV, False), ("rv_dark", Label.RV, False)
    )  # fmt: skip
    means: dict[Label, Any] = {}
    for name, label, bright in structures:
        core = ndimage.binary_erosion(labels == label, _CROSS[..., None])
        wrong = core & ((image > MIDDLE) if bright else (image < MIDDLE))
        total, off = (np.count_nonzero(m, axis=(0, 1)).astype(float) for m in (core, wrong))
        share = np.divide(off, total, out=np.full(total.shape, np.nan), where=total >= LEAST)
        found[name] = float(off.sum() / total.sum()) if total.sum() >= LEAST else math.nan
        found[f"{name}_worst"] = _extreme(share, np.max)
        sums = np.where(core, image, 0.0).sum(axis=(0, 1))
        means[label] = np.divide(
            sums, total, out=np.full(total.shape, np.nan), where=total >= LEAST
        )
    found["contrast_least"] = _extreme(means[Label.LV] - means[Label.MYO], np.min)
    found["rv_contrast_least"] = _extreme(means[Label.RV] - means[Label.MYO], np.min)
    return found


def _extreme(values: NDArray[np.floating[Any]], pick: Callable[..., Any]) -> float:
    known = values[np.isfinite(values)]
    return float(pick(known)) if known.size else math.nan


def _ends(image: Floats, labels: NDArray[np.uint8]) -> dict[str, float]:
    """Return how much the slices beyond base and apex look like the last ones with LV."""
    found: dict[str, float] = {}
    for t, name in enumerate(_NAMES):
        held = np.flatnonzero((labels[..., t] == Label.LV).any(axis=(0, 1)))
        for where, k, step in (("above", 0, -1), ("below", -1, 1)):
            value = math.nan
            if held.size and 0 <= held[k] + step < labels.shape[2]:
                beyond, last = image[:, :, held[k] + step, t], labels[:, :, held[k], t]
                blood, wall = (beyond[last == label] for label in (Label.LV, Label.MYO))
                if min(blood.size, wall.size) >= LEAST:
                    value = float(np.median(blood) - np.median(wall))
            found[f"{where}_{name}"] = value
    return found


def _fits(ctx: Context, image: Floats, labels: NDArray[np.uint8]) -> dict[str, float]:
    found: dict[str, float] = {}
    gains, offsets = [], []
    spacing = (2.0 * ctx.spacing_mm[0], 2.0 * ctx.spacing_mm[1])
    for t, name in enumerate(_NAMES):
        fit = label_fit(image[::2, ::2, :, t], labels[::2, ::2, :, t], spacing)
        found[f"fit_{name}"] = fit.here if fit else math.nan
        gains.append(fit.best - fit.here if fit else math.nan)
        offsets.append(fit.offset_mm if fit else math.nan)
    found["fit_gain"] = _extreme(np.array(gains), np.max)
    found["fit_offset_mm"] = _extreme(np.array(offsets), np.max)
    frames = frame_fit(image[::2, ::2], labels[::2, ::2])
    found["frames_gain"] = frames.best - frames.here if frames else 0.0
    found["fit_frames"] = frames.here if frames else math.nan
    return found
