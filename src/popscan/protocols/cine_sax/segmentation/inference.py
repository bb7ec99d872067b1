"""From a short-axis cine to labels and uncertainty, with the networks of a bundle."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.arrays.resampling import Window
from popscan.protocols.cine_sax.base import find_base, remove_above
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.segmentation.cleanup import keep_largest, mend_slices
from popscan.protocols.cine_sax.segmentation.contrast import measure_input
from popscan.protocols.cine_sax.segmentation.window import heart_window, scout_frames, scout_slices
from popscan.records import Scan
from popscan.segment.bundle import Bundle
from popscan.segment.calibration import temperature_of
from popscan.segment.devices import pick_precision
from popscan.segment.ensemble import BATCHES, in_batches, probabilities
from popscan.segment.expected import expected_dice
from popscan.segment.features import Tap
from popscan.segment.grids import Grids, back_to_scan
from popscan.segment.inputs import check_scan, input_warning
from popscan.segment.ood import has_detector, tissue_features, unlikeness
from popscan.segment.preprocess import unslice
from popscan.segment.result import Segmentation, inside, pasted
from popscan.segment.samples import Watch, summaries
from popscan.segment.uncertainty import most_likely, predictive_entropy, temper

#: Is given the first and last slice (t * z) of a batch and its probabilities on the scan's grid.
Keep = Callable[[int, int, torch.Tensor], None]


def _window(
    scan: Scan, bundle: Bundle, grids: Grids, precision: torch.dtype, *, batch: int
) -> Window:
    """Return the window around the heart, from a first look at a few slices."""
    whole = grids.whole
    chosen = scout_slices(scan.array.shape[2], scan.array.shape[3])
    window = grids.through(whole)
    heart = torch.zeros(len(chosen), *grids.inner, device=bundle.device)

    def work(start: int, stop: int) -> None:
        images = grids.cut(chosen[start:stop], window)
        found = probabilities(images, bundle, flips=False, precision=precision)
        heart[start:stop] = whole.paste(1.0 - found[:, 0], grids.inner)

    in_batches(len(chosen), work, batch=batch)
    return heart_window(heart, patch=bundle.patch, multiple=grids.multiple) or whole


def segment(
    scan: Scan,
    *,
    bundle: Bundle,
    flips: bool = False,
    largest_component: bool = True,
    mend: bool = True,
    base: bool = True,
    batch_slices: int = 0,
    precision: str = "auto",
    dropout_samples: int = 0,
    dropout_rate: float = 0.1,
    information: bool = False,
    features: bool = False,
    keep: Keep | None = None,
) -> Segmentation:
    """Label every frame of a short-axis cine.

    A first look at a few slices finds the heart; then every slice of every frame is segmented in
    a window around it at the bundle's spacing, and probabilities (not labels) are resampled back
    to the scan's grid.

    Parameters
    ----------
    scan
        Short-axis cine (x, y, z, t); one frame is enough, any in-plane spacing and orientation.
    bundle
        From `load_bundle`; several members are averaged.
    flips
        Average over four mirrorings: four times the work for a little accuracy.
    largest_component
        Keep one connected piece of the heart and of each structure per frame.
    mend
        Make slices that break a law of anatomy possible (`cleanup.mend_slices`).
    base
        Decide by evidence where the left ventricle ends, and take away what is labelled above
        (`popscan.protocols.cine_sax.base`).
    batch_slices
        Slices that go through the network at once, halved when memory does not suffice; 0 takes
        `BATCHES`.
    precision
        What the networks compute in: ``float32``, ``bfloat16`` or ``auto`` (bfloat16 where the
        processor or GPU has it: twice as fast, a few border voxels differ).
    dropout_samples, dropout_rate
        Draws of Monte-Carlo dropout per member, and the share of channels that a draw silences.
        They describe uncertainty; the labels are the same without them.
    information
        Whether the map of mutual information is returned.
    features
        Whether pooled features of the network are returned.
    keep
        Is called with the first slice, the slice after the last, and the probabilities on the
        scan's grid (n, label, x, y) of every batch: for those who need more than labels.

    Raises
    ------
    SubjectError
        ``wrong_shape``, ``not_finite`` or ``bad_spacing``.
    """
    check_scan(scan)
    bundle.require_labels({name: int(label) for label, name in STRUCTURES.items()})
    grids, dtype = Grids(scan, bundle), pick_precision(precision, bundle.device)
    batch = batch_slices or BATCHES["cpu" if bundle.device.type == "cpu" else "gpu"]
    n, n_slices = len(grids.images), grids.n_slices
    temperature = temperature_of(bundle.about, flips=flips)
    watch = Watch(
        n=n,
        n_labels=bundle.n_labels,
        dropout_samples=dropout_samples,
        dropout_rate=dropout_rate,
        pixel_mm2=grids.pixel_mm2,
    )
    with torch.inference_mode():
        window = grids.through(_window(scan, bundle, grids, dtype, batch=batch))
        shape, device = (n, *window.outer.size), bundle.device
        labels = torch.zeros(shape, dtype=torch.uint8, device=device)
        entropy = torch.zeros(shape, dtype=torch.float16, device=device)
        disagreement = torch.zeros_like(entropy) if information else None
        pooled: list[torch.Tensor] = []
        tap = Tap(bundle.networks[0]) if features or has_detector(bundle.training) else None

        def work(start: int, stop: int) -> None:
            watch.restart()
            if tap is not None:
                tap.restart()
            images = grids.cut(range(start, stop), window)
            found = probabilities(images, bundle, flips=flips, precision=dtype, watch=watch)
            found = temper(found, temperature)
            shared = watch.close(start, stop, found)
            found = back_to_scan(found, window)
            if keep is not None:
                full = window.outer.paste(found, grids.shape)
                full[:, 0] += 1.0 - full.sum(dim=1)
                keep(start, stop, full.cpu())
            if disagreement is not None:
                disagreement[start:stop] = window.back(shared)
            labels[start:stop] = most_likely(found)
            entropy[start:stop] = predictive_entropy(found)
            if tap is not None:
                pooled.append(tap.features())

        with tap if tap is not None else nullcontext():
            in_batches(n, work, batch=batch)
    volume = unslice(labels, n_slices=n_slices)
    spread = unslice(entropy, n_slices=n_slices)
    tally = watch.tally()
    removed = keep_largest(volume) if largest_component else 0
    mended = mend_slices(volume) if mend else 0
    end = None
    if base:
        end = find_base(
            volume,
            scan.array[inside(window.outer)],
            tally.expected,
            spacing_mm=scan.spacing_mm,
            pixel_mm2=tally.pixel_mm2,
        )
        remove_above(volume, end)
    whole = pasted(volume, window.outer, scan.array.shape)
    looked_at = scout_frames(scan.array.shape[3])
    measured = measure_input(scan, whole, looked_at)
    seen = torch.cat(pooled).numpy() if pooled else None
    tissue = tissue_features(
        scan.array[..., looked_at],
        whole[..., looked_at],
        [int(code) for code in STRUCTURES],
        black=grids.black,
        white=grids.white,
    )
    odd = unlikeness(bundle.training, seen, tissue, n_slices=n_slices)
    warnings = [input_warning(measured, bundle.input_range), odd.warning]
    return Segmentation(
        labels=whole,
        near=window.outer,
        entropy_near=spread,
        values={
            **_values(volume, spread, removed, "; ".join(filter(None, warnings))),
            **odd.row(),
            "n_slices_mended": mended,
            "n_slices_above_base": 0 if end is None else end.n_slices_removed,
            "n_frames_base_doubtful": 0 if end is None else end.n_frames_doubtful,
            **summaries(tally, STRUCTURES),
            **expected_dice(
                tally,
                volume,
                structures=STRUCTURES,
                spacing_mm=scan.spacing_mm,
                about=bundle.about,
            ),
        },
        n_components_removed=removed,
        tally=tally,
        base=end,
        information_near=None if disagreement is None else unslice(disagreement, n_slices=n_slices),
        features=seen if features else None,
        tissue=tissue,
    )


def _values(
    labels: NDArray[np.uint8], entropy: NDArray[np.float16], removed: int, warning: str
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for label, name in STRUCTURES.items():
        inside = entropy[labels == int(label)]
        mean = float(inside.mean(dtype=np.float64)) if inside.size else float("nan")
        values[f"mean_entropy_{name}"] = mean
    empty = ~(labels != int(Label.BACKGROUND)).any(axis=(0, 1, 2))
    return values | {
        "n_frames_without_heart": int(empty.sum()),
        "n_components_removed": removed,
        "input_warning": warning,
    }
