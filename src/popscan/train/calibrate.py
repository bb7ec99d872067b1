"""Calibrating a bundle: temperature, intervals and expected Dice, from patients it never saw.

Every number is fitted on patients with expert labels that took no part in the training; the same
few patients serve all three, so each is also told as it is when fitted without the patient it is
tried on (leave one patient out). Nothing is fitted on training patients: a model is surer and
nearer to them than to anybody else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from popscan.arrays.intervals import informative, leave_one_out
from popscan.arrays.widening import fit_widening
from popscan.protocols.cine_sax.biomarkers.intervals import QUANTITIES
from popscan.protocols.cine_sax.labels import STRUCTURES
from popscan.records import PopscanError
from popscan.segment import expected
from popscan.segment.bundle import CARD, MODEL, Bundle, load_bundle, subject_of
from popscan.segment.calibration import (
    by_structure,
    calibration_error,
    fit_temperature,
    tempered,
)
from popscan.train.observe import SEVERITIES, Observed, observe, spoilt
from popscan.train.packs import Case
from popscan.yamlfile import read_yaml

Floats = NDArray[np.float64]

#: Sections of a bundle's ``model.yaml`` that calibration writes.
SECTIONS = ("calibration", "intervals", "expected_dice", "widening")
#: Heading of the card's section on calibration.
HEADING = "## Calibration"


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
        "patients": len({subject_of(o.unit) for o in clean}),
        "ece_before": before_ece,
        "ece_after": after_ece,
    }


def _each_without(clean: Sequence[Observed]) -> Iterable[tuple[Observed, float]]:
    """Yield each observation with the temperature fitted on the other patients."""
    for own in clean:
        others = [o for o in clean if subject_of(o.unit) != subject_of(own.unit)]
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
        Whether mirrorings were averaged -> observations of clean scans. Of a subject with several
        visits the first is used: two visits of one person are not two people.
    """
    section = []
    for flips, seen in settings.items():
        first: dict[str, Observed] = {}
        for observed in seen:
            first.setdefault(subject_of(observed.unit), observed)
        clean = list(first.values())
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


def widening_section(observed: Sequence[Observed]) -> dict[str, float]:
    """Return the bundle's ``widening`` section, from clean and from spoilt scans.

    Errors are in units of their root mean square on the clean scans; of a scan without a score
    nothing is learnt.
    """
    table = np.array([[o.errors[name] for name in QUANTITIES] for o in observed], dtype=float)
    clean = np.array([o.severity == 0 for o in observed])
    with np.errstate(all="ignore"):
        usual = np.sqrt(np.nanmean(table[clean] ** 2, axis=0)) if clean.any() else np.nan
        ratios = np.where(np.asarray(usual) > 0, table / usual, np.nan)
    return fit_widening([o.ood_score for o in observed], ratios)


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
    for subject in sorted({subject_of(o.unit) for o in observed}):
        others = [o for o in observed if subject_of(o.unit) != subject]
        model = expected_section(others)["models"][name]
        for own in (o for o in observed if subject_of(o.unit) == subject):
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
        sections["widening"] = widening_section(seen)
    _store(path, sections)
    return sections


def _check(bundle: Bundle, cases: Sequence[Case]) -> None:
    seen = [case.unit for case in cases if bundle.recognise(case.unit, case.scan.array).seen]
    if seen:
        raise PopscanError(
            f"bundle {bundle.name} was trained on {', '.join(seen[:5])}; to calibrate it, patients "
            "are needed that it never saw"
        )
    if (found := len({case.subject for case in cases})) < 3:
        raise PopscanError(f"calibration needs at least three patients, found {found}")


def card_section(sections: Mapping[str, Any], *, level: float = 0.9) -> str:
    """Return what the card says of a calibration: Markdown, headed ``## Calibration``.

    Parameters
    ----------
    sections
        As `calibrate_bundle` returns them.
    level
        Of the intervals whose coverage is told, each patient's from the others.
    """
    own = sections["calibration"]
    lines = [
        HEADING,
        "",
        f"On {own['patients']} patients that the model was not trained on; everything below is "
        "tried on patients left out of what it is fitted on.",
        "",
        f"Temperature {own['temperature']:.2f}, with flips {own['temperature_flips']:.2f}. "
        "Expected calibration error within 10 mm of the heart, before and after: "
        + ", ".join(
            f"{name.upper()} {own['ece_before'][name]:.4f} and {own['ece_after'][name]:.4f}"
            for name in own["ece_before"]
        )
        + ".",
        "",
        f"| interval at {level:.0%} | half-width | covered |",
        "|---|---|---|",
    ]
    quantities = [e["quantities"] for e in sections["intervals"] if not e["flips"]]
    for name, stored in (quantities[0] if quantities else {}).items():
        spreads = stored["spreads"] or [math.nan] * len(stored["errors"])
        covered, widths = leave_one_out(stored["errors"], spreads, level=level, method="tolerance")
        size, unit = (100.0, "%") if QUANTITIES[name] else (1.0, "points")
        width = f"{size * float(np.mean(widths)):.1f} {unit}"
        lines.append(f"| {name} | {width} | {int(covered.sum())} of {covered.size} |")
    return "\n".join(lines) + "\n"


def _with_section(card: str, section: str) -> str:
    """Return a card with its section on calibration replaced, or added at its end."""
    before, found, after = card.partition(f"{HEADING}\n")
    rest = after.partition("\n## ") if found else ("", "", "")
    kept = before.rstrip("\n") + "\n\n" + section
    return kept + (f"\n## {rest[2]}" if rest[1] else "")


def _store(path: Path, sections: Mapping[str, Any]) -> None:
    """Write sections into ``model.yaml`` and the card; the weights and their digest stay."""
    card = (path / CARD).read_text(encoding="utf-8")
    (path / CARD).write_text(_with_section(card, card_section(sections)), encoding="utf-8")
    file = path / MODEL
    about = read_yaml(file)
    last = about.pop("weights_sha256")
    about = {**{k: v for k, v in about.items() if k not in SECTIONS}, **sections}
    about["weights_sha256"] = last
    text = yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=100)
    file.write_text(text, encoding="utf-8")
