"""What a simulated scan session yields, its truth, and the faults that strike it afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from popscan.protocols.cine_sax.simulate.subject import Anatomy
from popscan.records import KSpace, LabelMap, Scan


@dataclass(frozen=True, kw_only=True)
class SimulatedSubject:
    """What a simulated scan session yields.

    Attributes
    ----------
    scan
        Images. Without k-space: as the scanner would show them, with noise and shading. With
        k-space: the fully sampled reference, magnitude of ``object x root sum of squares of the
        coil maps``, with a fifth of the noise, in the units of the k-space.
    kspace
        Undersampled multi-coil k-space, or None.
    labels
        Reference labels of all frames on the scan's grid.
    truth
        Exact values of the continuous heart: ``lvedv_ml``, ``lvesv_ml``, ``lvsv_ml``,
        ``lvef_pct``, ``lvm_g``, ``rvedv_ml``, ``rvesv_ml``, ``rvsv_ml``, ``rvef_pct``,
        ``hr_bpm``, ``co_l_min``, ``ed_time_ms``, ``es_time_ms``.
    """

    scan: Scan
    kspace: KSpace | None
    labels: LabelMap
    truth: dict[str, float]


def truth_of(anatomy: Anatomy) -> dict[str, float]:
    """Exact biomarkers of a heart."""
    heart = anatomy.heart
    lv, rv = heart.lvedv_ml - heart.lvesv_ml, heart.rvedv_ml - heart.rvesv_ml
    hr_bpm = 60000.0 / anatomy.rr_ms
    return {
        "lvedv_ml": heart.lvedv_ml,
        "lvesv_ml": heart.lvesv_ml,
        "lvsv_ml": lv,
        "lvef_pct": 100 * lv / heart.lvedv_ml,
        "lvm_g": heart.lvm_g,
        "rvedv_ml": heart.rvedv_ml,
        "rvesv_ml": heart.rvesv_ml,
        "rvsv_ml": rv,
        "rvef_pct": 100 * rv / heart.rvedv_ml,
        "hr_bpm": hr_bpm,
        "co_l_min": lv * hr_bpm / 1000,
        "ed_time_ms": 0.0,
        "es_time_ms": heart.es_phase * anatomy.rr_ms,
    }


def damage(subject: SimulatedSubject, *, fault: str, rng: np.random.Generator) -> SimulatedSubject:
    """Apply the faults that strike after the acquisition.

    ``motion`` and ``truncated`` happen before it and change nothing here.
    """
    scan, raw, labels = subject.scan, subject.kspace, subject.labels
    if fault == "missing_frames":
        count = scan.array.shape[3]
        return _subset(subject, frames=slice(0, max(2, int(0.45 * count))))
    if fault == "missing_slices":
        count = scan.array.shape[2]
        held = np.flatnonzero(labels.array.any(axis=(0, 1, 3)))
        first, last = (int(held[0]), int(held[-1])) if held.size else (0, count - 1)
        if rng.integers(2):
            return _subset(subject, slices=slice(min(first + 3, count - 2), None))
        return _subset(subject, slices=slice(0, max(last - 3, 2)))
    if fault == "wrong_metadata":
        factor = float(rng.choice([0.5, 2.0]))
        affine = scan.affine.copy()
        affine[:3, :2] *= factor
        dx, dy, dz = scan.spacing_mm
        wrong: dict[str, Any] = {"affine": affine, "spacing_mm": (dx * factor, dy * factor, dz)}
        return replace(
            subject,
            scan=replace(scan, **wrong),
            kspace=None if raw is None else replace(raw, **wrong),
        )
    if fault == "corrupt_values":
        array = scan.array.copy()
        array[..., array.shape[2] // 2, -1] = np.nan
        if raw is not None:
            data = raw.data.copy()
            lines = np.flatnonzero(raw.mask[:, -1])
            data[0, :, lines[0], data.shape[3] // 2, -1] = np.nan
            raw = replace(raw, data=data)
        return replace(subject, scan=replace(scan, array=array), kspace=raw, labels=labels)
    return subject


def _subset(
    subject: SimulatedSubject,
    *,
    slices: slice = slice(None),
    frames: slice = slice(None),
) -> SimulatedSubject:
    """Keep a range of slices and frames of everything."""
    scan, raw, labels = subject.scan, subject.kspace, subject.labels
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (slices.start or 0)
    assert scan.frame_times_ms is not None
    common: dict[str, Any] = {"affine": affine, "frame_times_ms": scan.frame_times_ms[frames]}
    kept = np.ascontiguousarray(labels.array[:, :, slices, frames])
    if raw is not None:
        raw = replace(
            raw,
            data=np.ascontiguousarray(raw.data[:, :, :, slices, frames]),
            mask=raw.mask[:, frames],
            **common,
        )
    return replace(
        subject,
        scan=replace(scan, array=np.ascontiguousarray(scan.array[:, :, slices, frames]), **common),
        kspace=raw,
        labels=LabelMap(array=kept, frames=tuple(range(kept.shape[3]))),
    )
