"""Regions of a map by a network that draws segmentations.

Networks learn from simulated maps: unless a bundle states that it agrees with labels of acquired
ones, every result says that it is unproven.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from popscan.arrays.resampling import Window, WindowedGrid
from popscan.protocols.t1_map.labels import LABELS
from popscan.records import PopscanError, Scan
from popscan.segment.bundle import Bundle
from popscan.segment.devices import pick_precision
from popscan.segment.draws import Draw, latent_draws, pairwise_dice
from popscan.segment.features import Tap
from popscan.segment.grids import Grids, back_to_scan
from popscan.segment.inputs import check_scan, input_warning
from popscan.segment.ood import has_detector, tissue_features, unlikeness
from popscan.segment.proof import WARNING, labels_by, simulated_only
from popscan.segment.result import Segmentation
from popscan.segment.samples import Watch, summaries
from popscan.segment.uncertainty import most_likely, predictive_entropy

#: Values beyond so many times the median are what failed fits hold, or as bright as blood.
_CAP = 2.5
#: Side of the window over that of the training patches, which hold parts of hearts.
_WIDER = 1.25
CODES = {name: code for code, name in LABELS.names.items()}


def as_seen(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return a map with what is beyond `_CAP` times its median cut off; 0 stays no value.

    Examples
    --------
    >>> as_seen(np.array([0.0, 900.0, 1000.0, 1100.0, 9000.0]))
    array([   0.,  900., 1000., 1100., 2625.], dtype=float32)
    """
    values = np.nan_to_num(np.asarray(array, dtype=np.float32), posinf=0.0, neginf=0.0)
    known = values[values > 0]
    return np.clip(values, 0.0, _CAP * float(np.median(known)) if known.size else None)


def probabilistic(
    scan: Scan,
    *,
    bundle: Bundle,
    samples: int = 16,
    largest_component: bool = True,
    precision: str = "auto",
    features: bool = False,
) -> Segmentation:
    """Label a map by the mean of what a network draws.

    Parameters
    ----------
    scan
        As ingest leaves it: the map in the first frame.
    bundle
        Of architecture ``hierarchical``.
    samples
        How many segmentations are drawn.
    largest_component
        Take away what does not touch the largest labelled piece of a slice.
    precision
        As for `popscan.segment.devices.pick_precision`.
    features
        Whether pooled features of the network are returned.

    Returns
    -------
    Segmentation
        Labels, the same in every frame; `sampled` has the map's mean in each region of each draw.

    Raises
    ------
    SubjectError
        ``wrong_shape``, ``not_finite`` or ``bad_spacing``.
    PopscanError
        Without a bundle that draws.
    """
    if not isinstance(bundle, Bundle):
        raise PopscanError("segment.model: method probabilistic needs one; t1_map is shipped")
    bundle.require_labels(CODES)
    draws = latent_draws(bundle, samples, precision=pick_precision(precision, bundle.device))
    return from_draws(
        scan, bundle=bundle, draws=draws, largest_component=largest_component, features=features
    )


@dataclass(frozen=True, kw_only=True)
class _View:
    """A map's slices as the network sees them in a window, and the way back."""

    images: torch.Tensor
    window: WindowedGrid
    shape: tuple[int, int]

    def on_scan(self, probabilities: torch.Tensor) -> NDArray[np.float32]:
        """Return probabilities (n, label, x, y) of the window on the scan's grid."""
        found = back_to_scan(probabilities.cpu(), self.window)
        whole = self.window.outer.paste(found, self.shape)
        whole[:, 0] += 1.0 - whole.sum(dim=1)
        return whole.numpy()


def from_draws(
    scan: Scan,
    *,
    bundle: Bundle,
    draws: Iterable[Draw],
    largest_component: bool = True,
    features: bool = False,
) -> Segmentation:
    """Label a map by the mean of some draws; see `probabilistic`.

    Parameters
    ----------
    draws
        From `popscan.segment.draws`.
    """
    check_scan(scan)
    map_ms = scan.array[..., 0].astype(float)
    seen = replace(scan, array=as_seen(map_ms)[..., None])
    grids = Grids(seen, bundle)
    n = grids.n_slices
    with torch.inference_mode():
        view = _looked_at(grids, bundle, scan)
        watch = Watch(n=n, n_labels=bundle.n_labels, pixel_mm2=grids.pixel_mm2)
        total, each = torch.zeros(()), []
        for name, draw in draws:
            found = draw(view.images).cpu()
            watch.sample(name, found)
            total = total + found
            each.append(_labels(view.on_scan(found), largest_component)[0])
        mean = total / len(each)
        watch.close(0, n, mean)
        tap = Tap(bundle.networks[0])
        with tap:
            tap.restart()
            bundle.networks[0](view.images)
        pooled = tap.features().cpu().numpy().astype(np.float32)
    probabilities = view.on_scan(mean)
    labels, removed = _labels(probabilities, largest_component)
    entropy = predictive_entropy(torch.from_numpy(probabilities)).numpy().transpose(1, 2, 0)
    samples = np.stack(each)
    sampled = _means(map_ms, samples)
    tissue = tissue_features(
        seen.array[..., 0], labels, list(CODES.values()), black=grids.black, white=grids.white
    )
    odd = unlikeness(
        bundle.training, pooled if has_detector(bundle.training) else None, tissue, n_slices=n
    )
    tally = watch.tally()
    measured = {"inplane_mm": tuple(scan.spacing_mm[:2])}
    warnings = [
        WARNING if simulated_only(bundle.about) else "",
        input_warning(measured, bundle.input_range),
        odd.warning,
    ]
    values: dict[str, Any] = {
        "labels_by": labels_by(bundle.about),
        **{f"sample_dice_{k}": v for k, v in _rounded(pairwise_dice(samples, LABELS.names))},
        **{f"sampled_sd_{k}_pct": _spread_pct(v) for k, v in sampled.items()},
        **_entropies(labels, entropy),
        **summaries(tally, LABELS.names),
        "n_components_removed": removed,
        **odd.row(),
        "input_warning": "; ".join(filter(None, warnings)),
    }
    n_frames = scan.array.shape[3]
    return Segmentation(
        labels=np.repeat(labels[..., None], n_frames, axis=3),
        near=Window((0, 0), (labels.shape[0], labels.shape[1])),
        entropy_near=np.repeat(entropy.astype(np.float16)[..., None], n_frames, axis=3),
        values=values, n_components_removed=removed, tally=tally,
        features=pooled if features else None, tissue=tissue, sampled=sampled,
    )  # fmt: skip


def _looked_at(grids: Grids, bundle: Bundle, scan: Scan) -> _View:
    """Return the window around what a first look at whole slices finds."""
    rows = range(grids.n_slices)
    whole = grids.through(grids.whole)
    first = bundle.networks[0](grids.cut(list(rows), whole).to(bundle.device)).float().softmax(1)
    inside = (first[:, 1:].sum(dim=1) > 0.5).any(dim=0).cpu().numpy()
    pieces, _ = ndimage.label(ndimage.binary_opening(inside, iterations=2))
    sizes = np.bincount(pieces.ravel())[1:]
    start = np.array(whole.window.start)
    middle = np.array([(s - 1) / 2 for s in grids.inner])
    if sizes.size:
        at = np.argwhere(pieces == 1 + int(sizes.argmax()))
        middle = start + (at.min(axis=0) + at.max(axis=0)) / 2
    side = math.ceil(_WIDER * bundle.patch / grids.multiple) * grids.multiple
    near = grids.through(Window.around((float(middle[0]), float(middle[1])), (side, side)))
    images = grids.cut(list(rows), near).to(bundle.device)
    return _View(images=images, window=near, shape=(scan.array.shape[0], scan.array.shape[1]))


def _labels(probabilities: NDArray[np.float32], clean: bool) -> tuple[NDArray[np.uint8], int]:
    """Return labels (x, y, z) of probabilities (z, label, x, y), and how many pieces went."""
    found = most_likely(torch.from_numpy(probabilities)).numpy()
    removed = 0
    for one in found if clean else ():
        pieces, n = ndimage.label(one > 0)
        if n > 1:
            sizes = np.bincount(pieces.ravel())
            sizes[0] = 0
            one[pieces != int(sizes.argmax())] = 0
            removed += n - 1
    return np.ascontiguousarray(found.transpose(1, 2, 0)), removed


def _means(
    map_ms: NDArray[np.float64], samples: NDArray[np.uint8]
) -> dict[str, NDArray[np.float64]]:
    """Return the map's mean in each region of each sample; NaN where it has no value there."""
    known = map_ms > 0
    found = {}
    for code, name in LABELS.names.items():
        inside = (samples == code) & known
        counts = inside.sum(axis=(1, 2, 3))
        sums = np.where(inside, map_ms, 0.0).sum(axis=(1, 2, 3))
        found[name] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return found


def _spread_pct(means: NDArray[np.float64]) -> float:
    """Return the spread of the samples' means, of their mean; NaN where one has none."""
    if len(means) < 2 or not np.isfinite(means).all():
        return math.nan
    return round(100.0 * float(means.std(ddof=1) / means.mean()), 4)


def _entropies(labels: NDArray[np.uint8], entropy: NDArray[np.float32]) -> dict[str, float]:
    return {
        f"mean_entropy_{name}": (
            round(float(entropy[labels == code].mean()), 5) if (labels == code).any() else math.nan
        )
        for code, name in LABELS.names.items()
    }


def _rounded(values: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(name, round(value, 5)) for name, value in values.items()]
