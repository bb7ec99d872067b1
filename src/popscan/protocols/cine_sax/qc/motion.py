"""Checks of motion between slices, each of which is mostly acquired in a breath-hold of its own."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from skimage.registration import phase_cross_correlation

from popscan.arrays import morphology
from popscan.protocols.cine_sax.labels import Label
from popscan.protocols.cine_sax.qc.context import Context
from popscan.protocols.cine_sax.qc.image import NO_LABELS
from popscan.qc.model import Measured, not_assessed

Floats = NDArray[np.float64]

#: Share of the cavity's boundary that must touch wall for a slice's centre to be that of the LV.
MIN_ENCLOSED = 0.9


def slice_shift_mm(ctx: Context) -> Measured:
    """Largest in-plane slip of a slice, from the centres of LV cavity and wall.

    Per slice the centre's distance from the middle of its neighbours' centres, as the median over
    the frames: breath-holds shift all frames of a slice alike, errors of single labels do not.
    Slices with little area, and those in which the wall does not enclose the cavity (an obliquely
    cut base, outflow tract), are left out. The idea of comparing LV centres
    between slices: Tarroni et al., Sci Rep 2020, doi:10.1038/s41598-020-58212-2.
    """
    if ctx.labels is None:
        return not_assessed(NO_LABELS)
    if not ctx.frames:
        return Measured(math.nan, "no frame is labelled")
    frames = list(ctx.frames)
    ventricle = (ctx.heart == Label.LV) | (ctx.heart == Label.MYO)
    area = ventricle.sum(axis=(0, 1))[:, frames]
    edges, beyond = (
        counts[:, frames] for counts in (ctx.lv_contacts[0], ctx.lv_contacts[1][Label.MYO])
    )
    whole = (area >= 0.3 * area.max(axis=0)) & (edges > 0) & (beyond >= MIN_ENCLOSED * edges)
    centres = morphology.slice_centres_mm(ventricle, spacing_mm=ctx.spacing_mm)[:, frames]
    centres[~(whole & (whole.mean(axis=1) >= 0.5)[:, None])] = np.nan
    kink = centres[1:-1] - 0.5 * (centres[:-2] + centres[2:])
    seen = np.isfinite(kink).any(axis=(1, 2))
    if not seen.any():
        return Measured(math.nan, "no three neighbouring slices with the whole LV")
    size = np.linalg.norm(np.nanmedian(kink[seen], axis=1), axis=1)
    worst = int(np.argmax(size))
    return Measured(
        float(size[worst]), f"slice {np.flatnonzero(seen)[worst] + 1} against neighbours"
    )


def image_shift_mm(ctx: Context) -> Measured:
    """Largest in-plane slip of a slice, by registering the images of neighbouring slices.

    Phase correlation of the time-averaged slices (a tapered central window) gives the shift of
    each slice to the next; a slip of one slice shows as a shift that the next step takes back, so
    the smaller of the two opposite shifts counts. Coarser than `slice_shift_mm`, but needs no
    labels.
    """
    if ctx.n_slices < 3:
        return not_assessed("fewer than three slices")
    image = ctx.mean_image
    nx, ny = image.shape[:2]
    crop = image[nx // 6 : nx - nx // 6, ny // 6 : ny - ny // 6]
    taper = np.outer(np.hanning(crop.shape[0]), np.hanning(crop.shape[1]))
    windowed = (crop - crop.mean(axis=(0, 1))) * taper[..., None]
    if not windowed.any(axis=(0, 1)).all():
        return Measured(math.nan, "a slice is constant")
    planes = np.moveaxis(windowed, 2, 0)
    shifts = np.array(
        [
            phase_cross_correlation(a, b, upsample_factor=4, normalization=None)[0]
            for a, b in pairwise(planes)
        ]
    ) * np.asarray(ctx.spacing_mm[:2])
    first, second = shifts[:-1], shifts[1:]
    opposite = np.einsum("ij,ij->i", first, second) < 0
    size = np.minimum(np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)) * opposite
    worst = int(np.argmax(size))
    return Measured(float(size[worst]), f"slice {worst + 1} against its neighbours")
