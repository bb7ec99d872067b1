"""From long-axis cines to labels, with the networks of a bundle: one plane after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from popscan.arrays.resampling import Window
from popscan.protocols.cine_lax.labels import LABELS, LV, MYO
from popscan.protocols.cine_lax.planes import Plane, planes_of
from popscan.protocols.cine_lax.turning import turn_of
from popscan.protocols.cine_sax.segmentation.window import heart_window, scout_frames
from popscan.records import Scan
from popscan.segment.bundle import Bundle
from popscan.segment.calibration import temperature_of
from popscan.segment.devices import pick_precision
from popscan.segment.ensemble import BATCHES, Job, Passes
from popscan.segment.grids import Grids, back_to_scan
from popscan.segment.inputs import check_scan, input_warning, without_margin
from popscan.segment.ood import has_detector, tissue_features, unlikeness
from popscan.segment.proof import WARNING, labels_by, simulated_only
from popscan.segment.result import Segmentation, inside
from popscan.segment.uncertainty import most_likely, predictive_entropy, temper

#: Warning where planes cannot be turned as the model knows them.
NOT_TURNED = "the header does not say how the planes lie, which the model needs"
#: Series of at least so many frames are a whole cycle, whose neighbouring frames are averaged.
_LEAST_FRAMES = 12
#: Weight of the frame itself, and of each neighbour in the cycle.
_WEIGHTS = (0.5, 0.25)
_TOUCH = np.ones((3, 3), dtype=bool)
#: A piece of the wall below this share of it is an island.
_SLIP = 0.25


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the networks say of one plane, on its own pixels.

    Attributes
    ----------
    labels : ndarray of uint8, shape (x, y, t)
        Codes.
    entropy : ndarray of float16, shape (x, y, t)
        Of the probabilities, in nats.
    image : ndarray of float32, shape (x, y, t)
        Intensities with black as 0 and white as 1.
    features : ndarray or None
        Pooled features (t, feature).
    """

    labels: NDArray[np.uint8]
    entropy: NDArray[np.float16]
    image: NDArray[np.float32]
    features: NDArray[np.float32] | None


def segment(
    scan: Scan,
    *,
    bundle: Bundle,
    largest_component: bool = True,
    mend: bool = True,
    batch_slices: int = 0,
    precision: str = "auto",
    features: bool = False,
) -> Segmentation:
    """Label every frame of the planes of a visit.

    Each plane is turned the same side up (`popscan.protocols.cine_lax.turning`), which needs an
    affine that says how it lies. A first look at two frames finds the heart; then every frame is
    segmented in one window. In series of 12 frames or more, probabilities are averaged with those
    of the frames before and after in the cycle.

    Parameters
    ----------
    scan
        A packed scan (`popscan.protocols.cine_lax.planes`).
    bundle
        A model that labels `LABELS`.
    largest_component
        Keep one connected heart per frame, and of each structure no island.
    mend
        Fill holes within a structure.
    batch_slices, precision
        As in `popscan.protocols.cine_sax.segmentation.inference.segment`.
    features
        Whether pooled features of the network are returned.

    Returns
    -------
    Segmentation
        `values` has ``labels_by``, ``mean_entropy_NAME``, ``n_components_removed``,
        ``n_frames_without_heart`` (frames of any plane), ``ood_score``, ``ood_slices`` and
        ``input_warning``, which says so where a bundle states no agreement with labels of acquired
        images, and where the header does not say how the planes lie.

    Raises
    ------
    SubjectError
        ``wrong_shape``, ``not_finite``, ``bad_spacing``, ``bad_sidecar``.
    """
    check_scan(scan)
    bundle.require_labels(LABELS.codes)
    planes = planes_of(scan.meta, scan.array.shape)
    tapped = features or has_detector(bundle.training)
    passes = Passes(
        bundle=bundle,
        precision=pick_precision(precision, bundle.device),
        batch=batch_slices or BATCHES["cpu" if bundle.device.type == "cpu" else "gpu"],
        tapped=tapped,
    )
    width, height = scan.array.shape[:2]
    labels = np.zeros(scan.array.shape, np.uint8)
    entropy = np.zeros(scan.array.shape, np.float16)
    image = np.zeros(scan.array.shape, np.float32)
    pooled = []
    with torch.inference_mode():
        for plane in planes:
            seen = _plane(scan, plane, passes)
            part = (slice(plane.shape[0]), slice(plane.shape[1]), plane.index)
            labels[part], entropy[part], image[part] = seen.labels, seen.entropy, seen.image
            pooled.append(seen.features)
    removed = _clean(labels, islands=largest_component, holes=mend)
    together = None
    if all(one is not None for one in pooled):
        stacked = np.stack([one for one in pooled if one is not None], axis=1)
        together = stacked.reshape(-1, stacked.shape[-1])
    codes = list(LABELS.codes.values())
    tissue = tissue_features(image, labels, codes, black=0.0, white=1.0)
    odd = unlikeness(bundle.training, together, tissue, n_slices=len(planes))
    measured = measure_input(scan, image, labels)
    warnings = [
        WARNING if simulated_only(bundle.about) else "",
        "" if scan.meta.get("orientation_known", True) else NOT_TURNED,
        input_warning(measured, bundle.input_range),
        odd.warning,
    ]
    values: dict[str, Any] = {
        "labels_by": labels_by(bundle.about),
        **{
            f"mean_entropy_{name}": _mean(entropy[labels == code])
            for name, code in LABELS.codes.items()
        },
        "n_frames_without_heart": int((~labels.any(axis=(0, 1))).sum()),
        "n_components_removed": removed,
        **odd.row(),
        "input_warning": "; ".join(filter(None, warnings)),
    }
    return Segmentation(
        labels=labels,
        near=Window((0, 0), (width, height)),
        entropy_near=entropy,
        values=values,
        n_components_removed=removed,
        features=together if features else None,
        tissue=tissue,
    )


def measure_input(
    scan: Scan, image: NDArray[np.float32], labels: NDArray[np.uint8]
) -> dict[str, tuple[float, ...]]:
    """Return what a bundle's ``input_range`` is about.

    Parameters
    ----------
    scan
        A packed scan.
    image, labels
        Its intensities with black as 0 and white as 1, and codes.
    """
    planes = planes_of(scan.meta, scan.array.shape)
    steps = [float(s) for plane in planes for s in np.linalg.norm(plane.steps_mm, axis=0)]
    contrast = []
    for plane in planes:
        medians = [
            float(np.median(values)) if (values := image[:, :, plane.index][own]).size else math.nan
            for own in (labels[:, :, plane.index] == code for code in (LV, MYO))
        ]
        contrast.append(medians[0] - medians[1])
    return {"inplane_mm": tuple(steps), "blood_contrast": tuple(contrast)}


def _plane(scan: Scan, plane: Plane, passes: Passes) -> Seen:
    """Label one plane, on its own pixels."""
    bundle = passes.bundle
    turn = turn_of(plane.affine, plane.view)
    own = scan.array[: plane.shape[0], : plane.shape[1], plane.index : plane.index + 1]
    steps = [float(s) for s in np.linalg.norm(plane.steps_mm, axis=0)]
    x_mm, y_mm = (steps[1], steps[0]) if turn.swap else (steps[0], steps[1])
    whole = replace(
        scan, array=np.asfortranarray(turn.apply(own)), affine=np.eye(4), meta={},
        spacing_mm=(x_mm, y_mm, float(scan.spacing_mm[2])),
    )  # fmt: skip
    part, at = without_margin(whole)
    grids = Grids(part, bundle)
    grids.upload()
    window = _window(grids, passes, scout_frames(part.array.shape[3]), bundle.patch)
    n = len(grids.images)
    through = grids.through(window)
    found = torch.zeros(n, bundle.n_labels, *window.size)

    def take(start: int, stop: int, probabilities: torch.Tensor) -> None:
        found[start:stop] = temper(probabilities, temperature_of(bundle.about, flips=False)).cpu()

    job = Job(
        n=n, size=window.size, take=take,
        images=lambda start, stop: grids.cut(range(start, stop), through),
    )  # fmt: skip
    passes.run([job])
    pooled = [job.features[start] for start in sorted(job.features)]
    near = back_to_scan(over_cycle(found), grids.through(window))
    outer = through.outer
    labels = np.zeros((*part.array.shape[:2], n), np.uint8)
    entropy = np.zeros(labels.shape, np.float16)
    labels[inside(outer)] = most_likely(near).permute(1, 2, 0).numpy()
    entropy[inside(outer)] = predictive_entropy(near).permute(1, 2, 0).numpy()
    full = [np.zeros((*whole.array.shape[:2], n), a.dtype) for a in (labels, entropy)]
    full[0][inside(at)], full[1][inside(at)] = labels, entropy
    span = max(grids.white - grids.black, 1e-9)
    return Seen(
        labels=turn.undo(full[0]),
        entropy=turn.undo(full[1]),
        image=((own[:, :, 0] - grids.black) / span).astype(np.float32),
        features=torch.cat(pooled).cpu().numpy() if pooled else None,
    )


def _window(grids: Grids, passes: Passes, frames: Sequence[int], patch: int) -> Window:
    """Return the window around the heart, by a first look at some frames; or the whole plane."""
    whole = grids.through(grids.whole)
    heart = torch.zeros(len(frames), *grids.inner)

    def take(start: int, stop: int, found: torch.Tensor) -> None:
        heart[start:stop] = grids.whole.paste(1.0 - found[:, 0], grids.inner).cpu()

    look = Job(
        n=len(frames), size=grids.whole.size, take=take,
        images=lambda start, stop: grids.cut(list(frames[start:stop]), whole),
    )  # fmt: skip
    replace(passes, tapped=False).run([look])
    return heart_window(heart, patch=patch, multiple=grids.multiple) or grids.whole


def over_cycle(probabilities: torch.Tensor) -> torch.Tensor:
    """Return probabilities (t, label, x, y) averaged with the frames before and after.

    The last frame precedes the first. Short series are not a whole cycle and stay as they are.
    """
    if len(probabilities) < _LEAST_FRAMES:
        return probabilities
    own, beside = _WEIGHTS
    before, after = probabilities.roll(1, dims=0), probabilities.roll(-1, dims=0)
    return own * probabilities + beside * (before + after)


def _clean(labels: NDArray[np.uint8], *, islands: bool, holes: bool) -> int:
    """Take islands away and fill holes, in place; return how many islands there were."""
    removed = 0
    for index in np.ndindex(labels.shape[2:]):
        frame = labels[(slice(None), slice(None), *index)]
        if islands:
            removed += _remove(frame, frame > 0, least=1.0)
            for code in LABELS.codes.values():
                # The wall is in two pieces where it is thin at the apex.
                removed += _remove(frame, frame == code, least=_SLIP if code == MYO else 1.0)
        if holes:
            for code in LABELS.codes.values():
                own = frame == code
                frame[ndimage.binary_fill_holes(own) & (frame == 0)] = code
    return removed


def _remove(frame: NDArray[np.uint8], mask: NDArray[np.bool_], *, least: float) -> int:
    """Set pieces of a mask to background that are smaller than a share of the largest."""
    pieces, n = ndimage.label(mask, structure=_TOUCH)
    if n < 2:
        return 0
    sizes = np.bincount(pieces.ravel())[1:]
    small = sizes < least * sizes.max()
    if least >= 1.0:
        small = np.arange(n) != int(sizes.argmax())
    frame[np.isin(pieces, 1 + np.flatnonzero(small))] = 0
    return int(small.sum())


def _mean(values: NDArray[np.float16]) -> float:
    return round(float(values.mean(dtype=np.float64)), 5) if values.size else math.nan
