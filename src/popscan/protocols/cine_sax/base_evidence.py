"""Signs that a basal slice still is ventricle, or no longer, and what they weigh."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.arrays.morphology import boundary_contacts
from popscan.protocols.cine_sax.labels import Label

Floats = NDArray[np.float64]

#: What is measured of a slice, 0 as in a ventricle and up to 1 as above it.
EVIDENCE = ("open", "hesitant", "thin", "bright")
#: Log-odds of "ventricle" for a slice with no sign against it, and what each sign takes away.
#: Logistic regression on training patients and simulated hearts, rounded by hand;
#: ``benchmarks/base.py --fit`` fits them again.
INTERCEPT = 4.5
WEIGHTS = (3.0, 6.0, 2.0, 2.5)
#: No slice counts for more than this, so that one odd frame cannot outvote several.
MOST = 4.0
#: Share of the slices with cavity that the search looks at; the middle is ventricle in any case.
BASAL_SHARE = 0.5
#: Fewer slices with cavity have no middle to compare with, and are left as they are.
LEAST_SLICES = 4
#: Where around the cavity muscle ought to be, in mm from its border: beyond the blur of the border,
#: within a thin wall.
RING_MM = (1.5, 4.0)


def slice_evidence(
    labels: NDArray[np.uint8],
    image: NDArray[np.float32],
    expected: Floats,
    *,
    spacing_mm: Sequence[float],
) -> dict[str, Floats]:
    """Measure the signs of `EVIDENCE` in the basal slices of every frame.

    Parameters
    ----------
    labels
        `Label` values (x, y, z, t), the base first.
    image
        Intensities on the same grid.
    expected : ndarray, shape (t * z, label, label)
        As in `popscan.segment.samples.Tally`, z running fastest.
    spacing_mm
        Of the voxels.

    Returns
    -------
    dict
        Sign -> (z, t); NaN where a slice has no cavity, has no neighbour towards the apex, or lies
        outside of the basal part.
    """
    n_slices, n_frames = labels.shape[2:]
    cavity, wall = (
        np.count_nonzero(labels == k, axis=(0, 1)).astype(float) for k in (Label.LV, Label.MYO)
    )
    edges, touching = boundary_contacts(labels, Label.LV, others=Label)
    doubt = _hesitation(expected, n_slices)
    measured = {name: np.full((n_slices, n_frames), math.nan) for name in EVIDENCE}
    middle, _ = middle_slices(cavity)
    for t in range(n_frames):
        held = np.flatnonzero(cavity[:, t])
        if held.size < LEAST_SLICES:
            continue
        levels = _levels(image[..., t], labels[..., t], middle)
        usual = float(np.median(doubt[middle, t]))
        for z in held[: math.ceil(BASAL_SHARE * held.size)]:
            if not cavity[z + 1, t]:
                continue
            signs = (
                1.0 - touching[Label.MYO][z, t] / edges[z, t],
                doubt[z, t] - usual,
                1.0 - wall[z, t] / max(wall[z + 1, t], 1.0),
                _bright(image[:, :, z, t], labels[:, :, z, t], levels, spacing_mm),
            )
            for name, value in zip(EVIDENCE, signs, strict=True):
                measured[name][z, t] = min(max(float(value), 0.0), 1.0)
    return measured


def _hesitation(expected: Floats, n_slices: int) -> Floats:
    """Return 1 less the mean probability of cavity over the voxels called so, shape (z, t)."""
    own = expected.reshape(-1, n_slices, *expected.shape[1:])[:, :, Label.LV]
    total = own.sum(axis=-1)
    share = np.divide(own[..., Label.LV], total, out=np.ones_like(total), where=total > 0)
    return 1.0 - share.T


def middle_slices(cavity: Floats) -> tuple[NDArray[np.int64], int]:
    """Return the slices that are ventricle in any case, and the frame in which they are widest."""
    usual = np.flatnonzero((cavity > 0).mean(axis=1) > 0.5)
    if not usual.size:
        usual = np.flatnonzero(cavity.any(axis=1))
    middle = usual[usual.size // 3 : max(2 * usual.size // 3, usual.size // 3 + 1)]
    return middle, int(cavity[middle].sum(axis=0).argmax())


def _levels(
    image: NDArray[np.float32], labels: NDArray[np.uint8], middle: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the intensities of muscle and of blood in the middle of a frame; NaN if unknown."""
    part, marks = image[..., middle], labels[..., middle]
    medians = [
        float(np.median(part[marks == k])) if (marks == k).any() else math.nan
        for k in (Label.MYO, Label.LV)
    ]
    return medians[0], medians[1]


def _bright(
    image: NDArray[np.float32],
    labels: NDArray[np.uint8],
    levels: tuple[float, float],
    spacing_mm: Sequence[float],
) -> float:
    """Return the share of the ring around the cavity that is nearer to blood than to muscle."""
    muscle, blood = levels
    if not blood > muscle:
        return 0.0
    away = ndimage.distance_transform_edt(labels != Label.LV, sampling=spacing_mm[:2])
    ring = (away > RING_MM[0]) & (away <= RING_MM[1]) & (labels != Label.RV)
    return float((image[ring] > 0.5 * (muscle + blood)).mean()) if ring.any() else 0.0


def log_odds(evidence: Mapping[str, Floats]) -> Floats:
    """Return how much speaks for "ventricle" in each slice, within plus and minus `MOST`."""
    against = sum(weight * evidence[name] for name, weight in zip(EVIDENCE, WEIGHTS, strict=True))
    return np.clip(INTERCEPT - against, -MOST, MOST)
