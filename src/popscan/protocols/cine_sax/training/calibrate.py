"""Calibrating a bundle: temperature, intervals and expected Dice, from patients it never saw.

Every number is fitted on patients with expert labels that took no part in the training; the same
few patients serve all three, so each is also measured as it is when fitted without the patient it
is tried on (leave one patient out). A cross-fitting adds patients that the bundle was trained on,
as networks see them that were not. What the bundle itself makes of training patients shows only
how large errors are at least, and which way they lean: a model is surer and nearer to them than to
anybody else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from popscan.arrays.intervals import leave_one_out
from popscan.protocols.cine_sax.biomarkers.intervals import QUANTITIES
from popscan.protocols.cine_sax.segmentation.inference import segment
from popscan.protocols.cine_sax.training.crosstable import CrossFitted, read_cross_fitted
from popscan.protocols.cine_sax.training.decision import STRUCTURE, unbiased_offset
from popscan.protocols.cine_sax.training.observe import SEVERITIES, Observed, observe, spoilt
from popscan.protocols.cine_sax.training.sections import (
    calibration_section,
    doubt_limit,
    expected_section,
    intervals_section,
    widening_section,
)
from popscan.protocols.cine_sax.training.simulated import simulated_cases
from popscan.records import PopscanError
from popscan.segment.bundle import Bundle, load_bundle
from popscan.segment.ensemble import Flips
from popscan.segment.known import CARD, MODEL
from popscan.train.known import store_detector, store_digests
from popscan.train.packs import Case
from popscan.yamlfile import read_yaml

#: Sections of a bundle's ``model.yaml`` that calibration writes.
SECTIONS = ("calibration", "intervals", "expected_dice", "widening")
#: Ways of mirroring that are calibrated, each for itself, in words; the first finds which slices
#: are doubtful.
_MIRRORINGS: Mapping[Flips, str] = {
    False: "no mirrorings",
    True: "with mirrorings",
    "doubtful": "doubtful slices mirrored",
}
#: Heading of the card's section on calibration.
HEADING = "## Calibration"


def uncalibrated(bundle: Bundle) -> Bundle:
    """Return the bundle as if it had never been calibrated; where it decides stays the same."""
    return _without(bundle, SECTIONS)


def _without(bundle: Bundle, sections: Sequence[str]) -> Bundle:
    kept = {key: value for key, value in bundle.about.items() if key not in sections}
    return replace(bundle, about=kept)


def calibrate_bundle(
    path: Path,
    cases: Sequence[Case],
    *,
    device: str = "auto",
    voxels: int = 40_000,
    severities: Sequence[int] = SEVERITIES,
    seed: int = 0,
    crossed: CrossFitted | None = None,
    trained: Sequence[Case] = (),
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Calibrate a bundle and write what was found into its ``model.yaml``.

    Segments every case thrice (without mirrorings, with all, with those of doubtful slices), then
    as by default once per corruption, at one severity or another.

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
    crossed
        What cross-fitted networks made of these and other patients: with it intervals are made of
        the errors of all its patients, and the bundle's ``decision`` is fitted anew on `cases` and
        `trained` (module ``decision``); on patients of the training a network leans less than on
        others, so that is little enough. Dice is predicted from the bundle's own scans
        alone: those of weaker networks teach it nothing (benchmarks/uncertainty.py).
    trained
        With `crossed`: patients that the bundle was trained on. Its errors on them are what its
        intervals do not fall below.
    progress
        Called with each case as it is done.

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
    sections: dict[str, Any] = {}
    if crossed is not None:
        plain = _without(bundle, ["decision"])
        labelled = [observe(c, bundle=plain, voxels=1, seed=seed) for c in (*cases, *trained)]
        sections["decision"] = {STRUCTURE: unbiased_offset([o.cavity for o in labelled])}
        progress(f"log-odds of the cavity {sections['decision'][STRUCTURE]:+.2f}")
        bundle = replace(bundle, about={**bundle.about, **sections})
    settings: dict[Flips, list[Observed]] = {}
    for flips, words in _MIRRORINGS.items():
        settings[flips] = []
        for case in cases:
            settings[flips].append(
                observe(case, bundle=bundle, flips=flips, voxels=voxels, seed=seed)
            )
            progress(f"{case.unit}, {words}")
        if not flips:
            limit = doubt_limit(settings[flips])
            bundle = replace(bundle, about={**bundle.about, "calibration": {"doubt_limit": limit}})
    known = [observe(case, bundle=bundle) for case in trained] if crossed is not None else []
    sections |= {
        "calibration": {
            **calibration_section(
                settings[False], flipped=settings[True], doubtful=settings["doubtful"]
            ),
            "doubt_limit": limit,
        },
        "intervals": intervals_section(
            settings, crossed=crossed.clean if crossed is not None else (), trained=known
        ),
    }
    if crossed is not None:
        sections["calibration"]["cross_fitted"] = crossed.summary()
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
        Of the intervals whose coverage is reported, each patient's from the others.
    """
    own = sections["calibration"]
    lines = [
        HEADING,
        "",
        f"On {own['patients']} patients that the model was not trained on; everything below is "
        "tried on patients left out of what it is fitted on.",
        *_said_of_crossed(sections),
        "",
        f"Temperature {own['temperature']:.2f}, with flips {own['temperature_flips']:.2f}, "
        f"with those of doubtful slices {own['temperature_doubtful']:.2f}. "
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
        covered, widths = leave_one_out(stored["errors"], spreads, level=level, method="auto")
        size, unit = (100.0, "%") if QUANTITIES[name] else (1.0, "points")
        width = f"{size * float(np.mean(widths)):.1f} {unit}"
        lines.append(f"| {name} | {width} | {int(covered.sum())} of {covered.size} |")
    return "\n".join(lines) + "\n"


def _said_of_crossed(sections: Mapping[str, Any]) -> list[str]:
    """Return what a cross-fitting added, for the card; nothing without one."""
    own = sections["calibration"].get("cross_fitted")
    if own is None:
        return []
    offsets = ", ".join(f"{name.upper()} {v:+.2f}" for name, v in sections["decision"].items())
    return [
        "",
        f"Intervals are made of the errors of a cross-fitting of {own['patients']} patients in "
        f"{own['folds']} folds ({own['recipe']}), in the size of this model's own errors. Labels "
        f"are decided with log-odds added to a structure's score ({offsets}), so that volumes are "
        "right on average. The table counts the cross-fitted patients, each left out: with so many "
        "errors these are nearly 90% by construction.",
    ]


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
    about = {k: v for k, v in about.items() if k not in SECTIONS} | dict(sections)
    about["weights_sha256"] = last
    text = yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=100)
    file.write_text(text, encoding="utf-8")


def calibrate_cases(
    model: Path,
    cases: Sequence[Case],
    *,
    trained: Sequence[Case],
    dice: bool,
    cross_fitted: Path | None,
    progress: Callable[[str], None],
) -> str:
    """Calibrate a bundle as ``popscan calibrate`` does; return what was found, in a sentence.

    Parameters
    ----------
    model
        Folder of the bundle.
    cases, trained
        Labelled scans that the bundle was not trained on, and those that it was.
    dice
        Whether expected Dice is fitted too.
    cross_fitted
        Folder of the tables of a cross-fitting; None without one.
    progress
        Called with each subject as it is done.
    """
    crossed = None if cross_fitted is None else read_cross_fitted(cross_fitted)
    if trained:
        store_digests(model, trained)
        progress(f"{len(trained)} training subjects: features of the network")
        known = [*trained, *simulated_cases(load_bundle(model, "cpu"))]
        store_detector(model, known, segmenter=segment)
    found = calibrate_bundle(
        model,
        cases,
        severities=SEVERITIES if dice else (),
        crossed=crossed,
        trained=trained,
        progress=progress,
    )
    section = found["calibration"]
    return (
        f"{model}: calibrated on {section['patients']} subjects; temperature "
        f"{section['temperature']:.2f}, with flips {section['temperature_flips']:.2f}, "
        f"with those of doubtful slices {section['temperature_doubtful']:.2f}"
    )
