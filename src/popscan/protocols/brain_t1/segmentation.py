"""From a T1-weighted volume to labels of the brain, with sides."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.arrays.intensity import content_box
from popscan.arrays.resampling import Window
from popscan.protocols.brain_t1.labels import GROUPS, NETWORK_LABELS
from popscan.protocols.brain_t1.sides import find_mid_plane, with_sides
from popscan.records import Scan
from popscan.segment.bundle import Bundle
from popscan.segment.ensemble import Flips
from popscan.segment.inputs import check_scan, input_warning
from popscan.segment.ood import has_detector, tissue_features, unlikeness
from popscan.segment.planes import on_scan, predict_volume, sums_of
from popscan.segment.result import Segmentation

#: What a bundle must label.
NETWORK_CODES = {name: code for code, name in enumerate(NETWORK_LABELS, start=1)}
#: Groups whose islands are taken away: compact ones. Cortex and fluid may be in pieces.
_COMPACT = tuple(
    code
    for code, group in enumerate(GROUPS, start=1)
    if not group.name.endswith(("_grey", "_white", "csf"))
)
#: Pieces of a compact structure smaller than this share of it are islands.
_SLIP = 0.1
_TOUCH = np.ones((3, 3, 3), dtype=bool)


def segment(
    scan: Scan,
    *,
    bundle: Bundle,
    flips: Flips = False,
    largest_component: bool = True,
    batch_slices: int = 0,
    precision: str = "auto",
    features: bool = False,
) -> Segmentation:
    """Label a volume.

    Parameters
    ----------
    scan
        A volume (x, y, z, 1) in RAS orientation, as `ingest.prepare` leaves it.
    bundle
        A model that labels `NETWORK_LABELS`.
    flips
        True: average with the mirror image, twice the work; ``doubtful`` is as False here, since
        views of a volume hang together.
    largest_component
        Take away what is not connected with the brain, and islands of compact structures.
    batch_slices, precision
        As in `popscan.segment.planes.predict_volume`.
    features
        Whether pooled features of the network are returned.

    Returns
    -------
    Segmentation
        Labels in the codes of `LABELS`, of one frame. `values` has ``mean_entropy_NAME`` and
        ``implied_dice_NAME`` of the network's groups, ``implied_dice_mean``,
        ``n_components_removed``, ``mid_plane_agreement`` (how symmetrical the brain is about the
        plane that divides its sides) and ``input_warning``.

    Raises
    ------
    SubjectError
        ``wrong_shape``, ``not_finite``, ``bad_spacing``.
    """
    check_scan(scan)
    bundle.require_labels(NETWORK_CODES)
    box = content_box(scan.array)  # what a program put around the scan is nothing to look at
    part = replace(scan, array=scan.array[box])
    volume = predict_volume(
        part, bundle=bundle, flips=flips is True, batch_slices=batch_slices, precision=precision,
        features=features or has_detector(bundle.training),
    )  # fmt: skip
    shape = scan.array.shape[:3]
    groups, entropy = (_placed(a, box, shape) for a in on_scan(volume, part.array.shape[:3]))
    removed = remove_islands(groups) if largest_component else 0
    plane = find_mid_plane(groups)
    tissue = tissue_features(
        scan.array[..., 0], groups, list(NETWORK_CODES.values()),
        black=volume.black, white=volume.white,
    )  # fmt: skip
    seen = volume.features
    odd = unlikeness(bundle.training, seen, tissue, n_slices=0 if seen is None else len(seen))
    implied = sums_of(volume, NETWORK_LABELS)
    known = [v for v in implied.values() if not math.isnan(v)]
    measured = {"inplane_mm": tuple(scan.spacing_mm[:2]), "slice_distance_mm": scan.spacing_mm[2:]}
    warnings = [input_warning(measured, bundle.input_range), odd.warning]
    values: dict[str, Any] = {
        **_entropies(groups, entropy),
        **implied,
        "implied_dice_mean": round(float(np.mean(known)), 5) if known else math.nan,
        "n_components_removed": removed,
        "mid_plane_agreement": round(plane.agreement, 5) if plane else math.nan,
        **odd.row(),
        "input_warning": "; ".join(filter(None, warnings)),
    }
    return Segmentation(
        labels=with_sides(groups, plane)[..., None],
        near=Window((0, 0), (shape[0], shape[1])),
        entropy_near=entropy.astype(np.float16)[..., None],
        values=values,
        n_components_removed=removed,
        features=seen if features else None,
        tissue=tissue,
    )


def _placed(array: NDArray[Any], box: tuple[slice, ...], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a part of the scan on the whole grid, 0 around it."""
    whole = np.zeros(shape, dtype=array.dtype)
    whole[box] = array
    return whole


def _entropies(labels: NDArray[np.uint8], entropy: NDArray[np.float32]) -> dict[str, float]:
    flat = labels.ravel()
    n = len(GROUPS) + 1
    sums = np.bincount(flat, weights=entropy.ravel(), minlength=n)
    counts = np.bincount(flat, minlength=n)
    return {
        f"mean_entropy_{group.name}": (
            round(float(sums[code] / counts[code]), 5) if counts[code] else math.nan
        )
        for code, group in enumerate(GROUPS, start=1)
    }


def remove_islands(labels: NDArray[np.uint8]) -> int:
    """Set what no brain has to background, in place; return how many pieces that were.

    Whatever is not connected with the largest labelled piece, and pieces of compact structures
    below a tenth of the structure: those become what most of their neighbours are.
    """
    pieces, n = ndimage.label(labels > 0, structure=_TOUCH)
    removed = max(0, n - 1)
    if n > 1:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        labels[pieces != int(sizes.argmax())] = 0
    for code in _COMPACT:
        pieces, n = ndimage.label(labels == code, structure=_TOUCH)
        if n < 2:
            continue
        sizes = np.bincount(pieces.ravel())[1:]
        for index in np.flatnonzero(sizes < _SLIP * sizes.sum()) + 1:
            island = pieces == index
            around = labels[ndimage.binary_dilation(island, structure=_TOUCH) & ~island]
            counts = np.bincount(around, minlength=len(GROUPS) + 1)
            counts[code] = 0
            labels[island] = int(counts.argmax())
            removed += 1
    return removed
