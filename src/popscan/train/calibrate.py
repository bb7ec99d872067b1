"""Calibrating a bundle: temperature, intervals and expected Dice, from patients it never saw.

Every number is fitted on patients with expert labels that took no part in the training; the same
few patients serve all three, so each is also told as it is when fitted without the patient it is
tried on (leave one patient out). Nothing is fitted on training patients: a model is surer and
nearer to them than to anybody else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from popscan import biomarkers
from popscan.arrays.corruptions import CORRUPTIONS, corrupt
from popscan.arrays.intervals import informative
from popscan.arrays.metrics import dice
from popscan.biomarkers import intervals
from popscan.biomarkers.intervals import QUANTITIES
from popscan.records import STRUCTURES, Label, LabelMap, PopscanError, Scan
from popscan.segment import expected
from popscan.segment.bundle import MODEL, Bundle, load_bundle
from popscan.segment.calibration import (
    by_structure,
    calibration_error,
    fit_temperature,
    surroundings,
    tempered,
)
from popscan.segment.errors import confusion
from popscan.segment.inference import Segmentation, segment
from popscan.segment.preprocess import unslice
from popscan.segment.uncertainty import Tally
from popscan.train.packs import Case

Floats = NDArray[np.float64]

#: Severities at which scans are spoilt to have bad segmentations to learn from.
SEVERITIES = (2, 5)
#: Sections of a bundle's ``model.yaml`` that calibration writes.
SECTIONS = ("calibration", "intervals", "expected_dice")


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What a bundle made of one scan with expert labels.

    Attributes
    ----------
    unit, corruption, severity
        Whose scan, and how it was spoilt (``""``, 0: not at all).
    errors, spreads
        Of every quantity of `QUANTITIES`, as `popscan.biomarkers.intervals` defines them; the
        errors are NaN where the scan has no frames named ED and ES.
    features, dice
        Structure -> features (frame, feature) and Dice (frame,).
    confusion, expected : ndarray, shape (label, label)
        Voxels by label (axis 0) and truth (axis 1), and as the model expects it.
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


def labelled_part(case: Case) -> Case:
    """Return a case with its labelled frames only, end-diastole and end-systole named.

    Names that the scan has are kept; without any, the largest and the smallest LV cavity of the
    reference are ED and ES, if there are two frames.
    """
    frames, scan = list(case.labels.frames), case.scan
    told = scan.meta.get("frame_labels")
    if told is not None and len(told) == scan.array.shape[3]:
        names = [str(told[t]) for t in frames]
    else:
        voxels = [(case.labels.array[..., t] == Label.LV).sum() for t in frames]
        names = [""] * len(frames)
        if len(frames) > 1:
            names[int(np.argmax(voxels))], names[int(np.argmin(voxels))] = "ED", "ES"
    part = replace(
        scan,
        array=scan.array[..., frames],
        frame_times_ms=None,
        meta={**scan.meta, "frame_labels": names},
    )
    labels = LabelMap(array=case.labels.array[..., frames], frames=tuple(range(len(frames))))
    return replace(case, scan=part, labels=labels)


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
        For `popscan.segment.segment`.
    """
    case = labelled_part(case)
    scan = case.scan
    if corruption:
        scan = replace(scan, array=corrupt(scan.array, corruption, severity=severity, seed=seed))
    kept: list[tuple[int, NDArray[np.float32]]] = []

    def keep(start: int, stop: int, found: torch.Tensor) -> None:
        del stop
        kept.append((start, found.numpy().astype(np.float16)))

    found = segment(scan, bundle=bundle, keep=keep if voxels else None, **options)
    truth = case.labels.array
    tally = found.tally
    assert tally is not None
    table = expected.features(tally, found.labels, spacing_mm=scan.spacing_mm)
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
        confusion=confusion(found.labels, truth),
        expected=tally.expected.sum(axis=0),
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
    stack = np.concatenate([part for _, part in sorted(kept, key=lambda item: item[0])])
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
    }


def uncalibrated(bundle: Bundle) -> Bundle:
    """Return the bundle as if it had never been calibrated."""
    about = {key: value for key, value in bundle.about.items() if key not in SECTIONS}
    return replace(bundle, about=about)


def calibration_section(
    clean: Sequence[Observed], flipped: Sequence[Observed] = ()
) -> dict[str, Any]:
    """Return the bundle's ``calibration`` section from uncalibrated observations of clean scans.

    The temperature is fitted on all patients; the calibration errors are before and after, the
    latter with each patient's temperature fitted on the others.

    Parameters
    ----------
    clean, flipped
        Observations without and with mirrorings averaged; the latter have a temperature of their
        own, which is that of the former where there are none.
    """
    p = np.concatenate([o.probabilities for o in clean])
    truth = np.concatenate([o.truth for o in clean])
    after = np.concatenate([tempered(o.probabilities, t) for o, t in _each_without(clean)])
    before_ece, after_ece = (
        {name: round(calibration_error(r), 5) for name, r in by_structure(values, truth).items()}
        for values in (p, after)
    )
    mirrored = flipped or clean
    return {
        "temperature": round(fit_temperature(p, truth), 4),
        "temperature_flips": round(
            fit_temperature(
                np.concatenate([o.probabilities for o in mirrored]),
                np.concatenate([o.truth for o in mirrored]),
            ),
            4,
        ),
        "patients": len({o.unit for o in clean}),
        "ece_before": before_ece,
        "ece_after": after_ece,
    }


def _each_without(clean: Sequence[Observed]) -> Iterable[tuple[Observed, float]]:
    """Yield each observation with the temperature fitted on the other patients."""
    for own in clean:
        others = [o for o in clean if o.unit != own.unit]
        if not others:
            yield own, 1.0
            continue
        p = np.concatenate([o.probabilities for o in others])
        yield own, fit_temperature(p, np.concatenate([o.truth for o in others]))


def intervals_section(settings: Mapping[bool, Sequence[Observed]]) -> list[dict[str, Any]]:
    """Return the bundle's ``intervals`` section: errors and spreads for each way of segmenting.

    Spreads are left out for quantities whose intervals are no better for following them
    (`popscan.arrays.intervals.informative`).

    Parameters
    ----------
    settings
        Whether mirrorings were averaged -> observations of clean scans.
    """
    section = []
    for flips, clean in settings.items():
        quantities = {}
        for name in QUANTITIES:
            pairs = [(o.errors[name], o.spreads[name]) for o in clean]
            usable = [(e, s) for e, s in pairs if math.isfinite(e)]
            if usable:
                errors, spreads = [e for e, _ in usable], [s for _, s in usable]
                follow = informative(errors, spreads)
                quantities[name] = {
                    "errors": [round(float(e), 5) for e in errors],
                    "spreads": [round(float(s), 5) for s in spreads] if follow else [],
                }
        section.append({"flips": bool(flips), "dropout_samples": 0, "quantities": quantities})
    return section


def expected_section(observed: Sequence[Observed], *, strength: float = 20.0) -> dict[str, Any]:
    """Return the bundle's ``expected_dice`` section, from clean and from spoilt scans."""
    models = {}
    for name in STRUCTURES.values():
        table = np.concatenate([o.features[name] for o in observed])
        target = np.concatenate([o.dice[name] for o in observed])
        fitted = expected.fit_ridge(table, target, strength=strength)
        models[name] = {k: _rounded(v) for k, v in fitted.items()}
    return {"features": list(expected.FEATURES), "models": models}


def _rounded(value: float | list[float]) -> float | list[float]:
    return [float(f"{v:.6g}") for v in value] if isinstance(value, list) else float(f"{value:.6g}")


def expected_without_own(observed: Sequence[Observed], name: str) -> tuple[Floats, Floats]:
    """Return predicted and true Dice of a structure, each patient predicted from the others.

    Parameters
    ----------
    observed
        Clean and spoilt scans of several patients.
    name
        ``rv``, ``myo`` or ``lv``.
    """
    predicted, true = [], []
    for unit in sorted({o.unit for o in observed}):
        others = [o for o in observed if o.unit != unit]
        model = expected_section(others)["models"][name]
        for own in (o for o in observed if o.unit == unit):
            predicted.append(expected.predict(model, own.features[name]))
            true.append(own.dice[name])
    return np.concatenate(predicted), np.concatenate(true)


def calibrate_bundle(
    path: Path,
    cases: Sequence[Case],
    *,
    device: str = "auto",
    voxels: int = 40_000,
    severities: Sequence[int] = SEVERITIES,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Calibrate a bundle and write what was found into its ``model.yaml``.

    Segments every case twice (without and with mirrorings), then without mirrorings once per
    corruption and severity: some 25 segmentations of each case.

    Parameters
    ----------
    path
        Folder of the bundle.
    cases
        Patients with expert labels, ED and ES named, none of whom the bundle was trained on.
    device
        As for `load_bundle`.
    voxels
        Voxels per patient for the temperature.
    severities
        Of the corruptions that make bad segmentations; empty leaves expected Dice out.
    seed
        Of voxels and corruptions.
    progress
        Is told each case as it is done.

    Returns
    -------
    The sections written.

    Raises
    ------
    PopscanError
        If there are fewer than three cases, or the bundle was trained on one of them.
    """
    bundle = uncalibrated(load_bundle(path, device))
    _check(bundle, cases)
    settings: dict[bool, list[Observed]] = {}
    for flips in (False, True):
        settings[flips] = []
        for case in cases:
            settings[flips].append(
                observe(case, bundle=bundle, flips=flips, voxels=voxels, seed=seed)
            )
            progress(f"{case.unit}, {'with' if flips else 'no'} mirrorings")
    sections: dict[str, Any] = {
        "calibration": calibration_section(settings[False], settings[True]),
        "intervals": intervals_section(settings),
    }
    if severities:
        bundle = replace(bundle, about={**bundle.about, "calibration": sections["calibration"]})
        seen = spoilt(cases, bundle=bundle, severities=severities, seed=seed, progress=progress)
        sections["expected_dice"] = expected_section(seen)
    _store(path, sections)
    return sections


def spoilt(
    cases: Sequence[Case],
    *,
    bundle: Bundle,
    severities: Sequence[int] = SEVERITIES,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Observed]:
    """Return observations of every case, clean and with every corruption at the severities."""
    seen = []
    for case in cases:
        seen.append(observe(case, bundle=bundle))
        for name in CORRUPTIONS:
            seen += [
                observe(case, bundle=bundle, corruption=name, severity=severity, seed=seed)
                for severity in severities
            ]
        progress(f"{case.unit}, spoilt")
    return seen


def _check(bundle: Bundle, cases: Sequence[Case]) -> None:
    seen = [case.unit for case in cases if bundle.was_trained_on(case.unit)]
    if seen:
        raise PopscanError(
            f"bundle {bundle.name} was trained on {', '.join(seen[:5])}; to calibrate it, patients "
            "are needed that it never saw"
        )
    if len({case.unit for case in cases}) < 3:
        raise PopscanError(f"calibration needs at least three patients, found {len(cases)}")


def _store(path: Path, sections: Mapping[str, Any]) -> None:
    """Write sections into ``model.yaml``; the weights, and their digest in it, stay."""
    file = path / MODEL
    about = yaml.safe_load(file.read_text(encoding="utf-8"))
    last = about.pop("weights_sha256")
    about = {**{k: v for k, v in about.items() if k not in SECTIONS}, **sections}
    about["weights_sha256"] = last
    text = yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=100)
    file.write_text(text, encoding="utf-8")
