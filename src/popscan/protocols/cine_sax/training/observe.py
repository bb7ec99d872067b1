"""What a bundle makes of scans with expert labels: the raw material of its calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from popscan.arrays.corruptions import CORRUPTIONS, corrupt
from popscan.arrays.metrics import dice
from popscan.protocols.cine_sax import biomarkers
from popscan.protocols.cine_sax.biomarkers import intervals
from popscan.protocols.cine_sax.biomarkers.intervals import QUANTITIES
from popscan.protocols.cine_sax.labels import STRUCTURES
from popscan.protocols.cine_sax.segmentation.inference import Segmentation, segment
from popscan.protocols.cine_sax.training.decision import cavity_errors
from popscan.protocols.cine_sax.volumes import phase_frames
from popscan.records import Scan
from popscan.segment import expected
from popscan.segment.bundle import Bundle
from popscan.segment.calibration import surroundings
from popscan.segment.errors import confusion
from popscan.segment.preprocess import unslice
from popscan.segment.samples import Tally
from popscan.train.packs import Case, labelled_frames

Floats = NDArray[np.float64]

#: Severities at which scans are spoilt to have bad segmentations to learn from.
SEVERITIES = (2, 5)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What a bundle made of one scan with expert labels.

    Attributes
    ----------
    unit, corruption, severity
        Whose scan, and how it was spoilt (``""``, 0: not at all).
    errors, spreads
        Of every quantity of `QUANTITIES`, as its module defines them; the
        errors are NaN where the scan has no frames named ED and ES.
    features, dice
        Structure -> features (frame, feature) and Dice (frame,).
    confusion, expected : ndarray, shape (label, label)
        Voxels by label (axis 0) and truth (axis 1), and as the model expects it.
    ood_score
        How unlike the training scans it is; NaN where the bundle has no detector.
    doubt : ndarray, shape (slice,)
        Summed entropy of every slice of the labelled frames, in nats.
    cavity : ndarray, shape (log-odds,)
        Relative errors of the cavity at every entry of `decision.GRID`; empty as the following.
    probabilities, truth, labels
        A sample of the voxels near the heart: probabilities (voxel, label), true and found label.
        Empty where they were not asked for.
    """

    unit: str
    corruption: str = ""
    severity: int = 0
    errors: Mapping[str, float]
    spreads: Mapping[str, float]
    features: Mapping[str, Floats]
    dice: Mapping[str, Floats]
    confusion: Floats
    expected: Floats
    probabilities: NDArray[np.float32]
    truth: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    ood_score: float = math.nan
    doubt: Floats = field(default_factory=lambda: np.zeros(0))
    cavity: Floats = field(default_factory=lambda: np.zeros(0))


def labelled_part(case: Case) -> Case:
    """Return a case with its labelled frames only, end-diastole and end-systole named.

    Names that the scan has are kept; without any, the largest and the smallest LV cavity of the
    reference are ED and ES, if there are two frames.
    """
    frames, scan = list(case.labels.frames), case.scan
    frame_labels = scan.meta.get("frame_labels")
    if frame_labels is not None and len(frame_labels) == scan.array.shape[3]:
        names = [str(frame_labels[t]) for t in frames]
    else:
        names = [""] * len(frames)
        if len(frames) > 1:
            phases = phase_frames(case.labels.array, frames=frames)
            names[frames.index(phases["ES"])] = "ES"
            names[frames.index(phases["ED"])] = "ED"
    part = labelled_frames(case)
    return replace(part, scan=replace(part.scan, meta={**scan.meta, "frame_labels": names}))


def sample_volumes_ml(tally: Tally, scan: Scan) -> dict[str, Floats]:
    """Return the volumes of every sample: structure -> shape (sample, t)."""
    frames = tally.by_frame(scan.array.shape[2])
    voxel_ml = tally.pixel_mm2 * scan.spacing_mm[2] / 1000.0
    return {name: frames.volumes[:, :, int(k)] * voxel_ml for k, name in STRUCTURES.items()}


def observe(
    case: Case,
    *,
    bundle: Bundle,
    corruption: str = "",
    severity: int = 0,
    voxels: int = 0,
    seed: int = 0,
    **options: Any,
) -> Observed:
    """Segment one case and hold the result against the expert's labels.

    Parameters
    ----------
    case
        Scan with labels; only the labelled frames are looked at (`labelled_part`).
    bundle
        What segments; calibrated or not.
    corruption, severity
        How to spoil the scan first.
    voxels
        How many voxels near the heart to keep probabilities of; fewer if there are fewer.
    seed
        Which voxels.
    **options
        For `popscan.protocols.cine_sax.segmentation.inference.segment`.
    """
    case = labelled_part(case)
    scan = case.scan
    if corruption:
        scan = replace(scan, array=corrupt(scan.array, corruption, severity=severity, seed=seed))
    kept: list[tuple[int, torch.Tensor]] = []

    def keep(start: int, stop: int, found: torch.Tensor) -> None:
        del stop
        kept.append((start, found.half()))

    found = segment(scan, bundle=bundle, keep=keep if voxels else None, **options)
    truth = case.labels.array
    tally = found.tally
    assert tally is not None
    table = expected.features(
        tally, found.labels, structures=STRUCTURES, spacing_mm=scan.spacing_mm
    )
    overlap = {
        name: np.array([dice(found.labels[..., t], truth[..., t], k) for t in case.labels.frames])
        for k, name in STRUCTURES.items()
    }
    chosen = _near(case, found, kept, voxels=voxels, seed=seed)
    return Observed(
        unit=case.unit,
        corruption=corruption,
        severity=severity,
        **_volumes(case, scan, found),
        features={name: rows[list(case.labels.frames)] for name, rows in table.items()},
        dice=overlap,
        confusion=confusion(found.labels, truth, largest=max(STRUCTURES)),
        expected=tally.expected.sum(axis=0),
        ood_score=float(found.values["ood_score"]),
        doubt=tally.entropy.sum(axis=1),
        **chosen,
    )


def _volumes(case: Case, scan: Scan, found: Segmentation) -> dict[str, Any]:
    """Return errors and spreads of the volumes; NaN without frames named ED and ES."""
    names = list(scan.meta.get("frame_labels") or ())
    if not {"ED", "ES"} <= set(names) or found.tally is None:
        nothing = dict.fromkeys(QUANTITIES, math.nan)
        return {"errors": nothing, "spreads": nothing}
    measured, truth = (
        biomarkers.measure(array, spacing_mm=scan.spacing_mm, frame_labels=names)
        for array in (found.labels, case.labels.array)
    )
    volumes = sample_volumes_ml(found.tally, scan)
    ed, es = names.index("ED"), names.index("ES")
    return {
        "errors": intervals.errors(measured, truth),
        "spreads": intervals.spreads(measured, volumes, ed=ed, es=es),
    }


def _near(
    case: Case, found: Segmentation, kept: Sequence[tuple[int, Any]], *, voxels: int, seed: int
) -> dict[str, Any]:
    """Return a sample of the voxels near the heart, of expert or model."""
    if not voxels:
        none = np.zeros(0, np.uint8)
        return {"probabilities": np.zeros((0, 4), np.float32), "truth": none, "labels": none}
    stack = torch.cat([part for _, part in sorted(kept, key=lambda item: item[0])])
    cavity = cavity_errors(stack, case.labels.array)
    n_slices = found.labels.shape[2]
    near = surroundings([case.labels.array, found.labels], spacing_mm=case.scan.spacing_mm)
    index = np.flatnonzero(near)
    if index.size > voxels:
        index = np.random.default_rng(seed).choice(index, voxels, replace=False)
    planes = [
        unslice(stack[:, k], n_slices=n_slices).reshape(-1)[index] for k in range(stack.shape[1])
    ]
    return {
        "probabilities": np.stack(planes, axis=1).astype(np.float32),
        "truth": case.labels.array.reshape(-1)[index],
        "labels": found.labels.reshape(-1)[index],
        "cavity": cavity,
    }


def spoilt(
    cases: Sequence[Case],
    *,
    bundle: Bundle,
    severities: Sequence[int] = SEVERITIES,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Observed]:
    """Return observations of every case, clean and with every corruption at a severity in turn."""
    seen = []
    for place, case in enumerate(cases):
        seen.append(observe(case, bundle=bundle))
        for turn, name in enumerate(CORRUPTIONS):
            severity = severities[(place + turn) % len(severities)]
            seen.append(observe(case, bundle=bundle, corruption=name, severity=severity, seed=seed))
        progress(f"{case.unit}, spoilt")
    return seen
