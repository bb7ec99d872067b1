"""A cine on its way through a bundle's networks, alone or together with others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.protocols.cine_sax.base import find_base, remove_above
from popscan.protocols.cine_sax.beyond import beyond_stack
from popscan.protocols.cine_sax.labels import STRUCTURES, Label
from popscan.protocols.cine_sax.missed import missed_volumes
from popscan.protocols.cine_sax.segmentation.cleanup import keep_largest, mend_slices
from popscan.protocols.cine_sax.segmentation.contrast import measure_input
from popscan.protocols.cine_sax.segmentation.window import heart_window, scout_frames, scout_slices
from popscan.records import Scan
from popscan.segment.bundle import Bundle
from popscan.segment.calibration import temperature_of
from popscan.segment.devices import pick_precision
from popscan.segment.ensemble import BATCHES, Flips, Job, Passes
from popscan.segment.expected import expected_dice
from popscan.segment.grids import Grids, back_to_scan
from popscan.segment.inputs import check_scan, input_warning, without_margin
from popscan.segment.ood import has_detector, tissue_features, unlikeness
from popscan.segment.preprocess import unslice
from popscan.segment.result import Segmentation, inside, on_grid, pasted
from popscan.segment.samples import Watch, summaries
from popscan.segment.uncertainty import most_likely, predictive_entropy, temper

#: Is given the first and last slice (t * z) of a batch and its probabilities on the scan's grid.
Keep = Callable[[int, int, torch.Tensor], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a cine is segmented: the options of `segment`, which says what they mean."""

    flips: Flips = False
    largest_component: bool = True
    mend: bool = True
    base: bool = True
    batch_slices: int = 0
    precision: str = "auto"
    dropout_samples: int = 0
    dropout_rate: float = 0.1
    information: bool = False
    features: bool = False


class Cine:
    """A cine on its way: prepared on the processor, labelled by networks, finished.

    Parameters
    ----------
    scan, bundle, options, keep
        As for `segment`.

    Raises
    ------
    SubjectError
        ``wrong_shape``, ``not_finite`` or ``bad_spacing``.
    """

    def __init__(
        self, scan: Scan, bundle: Bundle, options: Options, *, keep: Keep | None = None
    ) -> None:
        check_scan(scan)
        self._shape = scan.array.shape
        self.scan, self._at = without_margin(scan)
        self.bundle, self.options, self.keep = bundle, options, keep
        self.grids = Grids(self.scan, bundle)
        self.n, self.n_slices = len(self.grids.images), self.grids.n_slices
        self.watch = Watch(n=self.n, n_labels=bundle.n_labels, pixel_mm2=self.grids.pixel_mm2)
        self._temperature = temperature_of(bundle.about, flips=options.flips)

    def first_look(self) -> Job:
        """Return the few slices that show where the heart is."""
        self.grids.upload()
        everything, grids = self.grids.whole, self.grids
        chosen = scout_slices(self.n_slices, self.scan.array.shape[3])
        window = grids.through(everything)
        self._heart = torch.zeros(len(chosen), *grids.inner, device=self.bundle.device)

        def take(start: int, stop: int, found: torch.Tensor) -> None:
            self._heart[start:stop] = everything.paste(1.0 - found[:, 0], grids.inner)

        return Job(
            n=len(chosen),
            size=everything.size,
            images=lambda start, stop: grids.cut(chosen[start:stop], window),
            take=take,
        )

    def all_slices(self) -> Job:
        """Return every slice of every frame, within a window around what the first look found."""
        grids = self.grids
        near = heart_window(self._heart, patch=self.bundle.patch, multiple=grids.multiple)
        window = grids.through(near or grids.whole)
        shape, device = (self.n, *window.outer.size), self.bundle.device
        labels = torch.zeros(shape, dtype=torch.uint8, device=device)
        entropy = torch.zeros(shape, dtype=torch.float16, device=device)
        disagreement = torch.zeros_like(entropy) if self.options.information else None

        def take(start: int, stop: int, found: torch.Tensor) -> None:
            found = temper(found, self._temperature)
            shared = self.watch.close(start, stop, found)
            found = back_to_scan(found, window)
            if self.keep is not None:
                full = self._at.paste(window.outer.paste(found, grids.shape), self._shape[:2])
                full[:, 0] += 1.0 - full.sum(dim=1)
                self.keep(start, stop, full.cpu())
            if disagreement is not None:
                disagreement[start:stop] = window.back(shared)
            labels[start:stop] = most_likely(found)
            entropy[start:stop] = predictive_entropy(found)

        self._outer, self._maps = window.outer, (labels, entropy, disagreement)
        self._job = Job(
            n=self.n,
            size=window.window.size,
            images=lambda start, stop: grids.cut(range(start, stop), window),
            take=take,
            watch=self.watch,
        )
        return self._job

    def fetch(self) -> None:
        """Bring labels and sums to the processor, and let go of the memory of the device."""
        labels, entropy, disagreement = self._maps
        self._volume = unslice(labels, n_slices=self.n_slices)
        self._spread = unslice(entropy, n_slices=self.n_slices)
        self._information = (
            None if disagreement is None else unslice(disagreement, n_slices=self.n_slices)
        )
        self._tally = self.watch.tally()
        pooled = self._job.features
        seen = torch.cat([pooled[i] for i in sorted(pooled)]) if pooled else None
        self._seen = None if seen is None else seen.cpu().numpy()
        del self._maps, self._job, self._heart
        self.grids.images = self.grids.images[:0]

    def finish(self) -> Segmentation:
        """Return the segmentation: islands, impossible slices, the base, numbers of the table."""
        scan, bundle, options, volume = self.scan, self.bundle, self.options, self._volume
        tally, seen = self._tally, self._seen
        removed = keep_largest(volume) if options.largest_component else 0
        mended = mend_slices(volume) if options.mend else 0
        end = None
        if options.base:
            end = find_base(
                volume,
                scan.array[inside(self._outer)],
                tally.expected,
                spacing_mm=scan.spacing_mm,
                pixel_mm2=tally.pixel_mm2,
            )
            remove_above(volume, end)
            names = scan.meta.get("frame_labels")
            end = replace(end, beyond=beyond_stack(volume, frame_labels=names))
        labels = pasted(volume, self._outer, scan.array.shape)
        looked_at = scout_frames(scan.array.shape[3])
        measured = measure_input(scan, labels, looked_at)
        tissue = tissue_features(
            scan.array[..., looked_at],
            labels[..., looked_at],
            [int(code) for code in STRUCTURES],
            black=self.grids.black,
            white=self.grids.white,
        )
        odd = unlikeness(bundle.training, seen, tissue, n_slices=self.n_slices)
        warnings = [input_warning(measured, bundle.input_range), odd.warning]
        found = Segmentation(
            labels=labels,
            near=self._outer,
            entropy_near=self._spread,
            values={
                **_values(volume, self._spread, removed, "; ".join(filter(None, warnings))),
                **odd.row(),
                "n_slices_mended": mended,
                "n_slices_above_base": 0 if end is None else end.n_slices_removed,
                "n_frames_base_doubtful": 0 if end is None else end.n_frames_doubtful,
                **summaries(tally, STRUCTURES),
                **missed_volumes(tally, volume, frame_labels=scan.meta.get("frame_labels")),
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
            information_near=self._information,
            features=seen if options.features else None,
            tissue=tissue,
        )
        return on_grid(found, self._at, self._shape)


def label_together(cines: Sequence[Cine]) -> None:
    """Send cines of one bundle and one set of options through the networks, in shared batches.

    `Cine.finish` then returns what came of each.
    """
    bundle, options = cines[0].bundle, cines[0].options
    plain = Passes(
        bundle=bundle,
        precision=pick_precision(options.precision, bundle.device),
        batch=options.batch_slices or BATCHES["cpu" if bundle.device.type == "cpu" else "gpu"],
    )
    passes = replace(
        plain,
        flips=options.flips,
        dropout_samples=options.dropout_samples,
        dropout_rate=options.dropout_rate,
        tapped=options.features or has_detector(bundle.training),
    )
    with torch.inference_mode():
        plain.run([cine.first_look() for cine in cines])
        passes.run([cine.all_slices() for cine in cines])
        for cine in cines:
            cine.fetch()


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
