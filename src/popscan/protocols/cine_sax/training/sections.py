"""Sections of a bundle's ``model.yaml`` on how sure it is, from observations of labelled scans.

Temperature, errors for intervals, the map to expected Dice and the widening of intervals are plain
numbers; `popscan.protocols.cine_sax.training.calibrate` collects the observations and stores them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.intervals import informative
from popscan.arrays.widening import fit_widening
from popscan.protocols.cine_sax.biomarkers.intervals import QUANTITIES
from popscan.protocols.cine_sax.labels import STRUCTURES
from popscan.protocols.cine_sax.training.observe import Observed
from popscan.protocols.cine_sax.training.transfer import transferred
from popscan.segment import expected
from popscan.segment.calibration import (
    by_structure,
    calibration_error,
    fit_temperature,
    tempered,
)
from popscan.segment.ensemble import Flips
from popscan.segment.known import subject_of

Floats = NDArray[np.float64]
#: Share of the slices of good scans that are not doubtful; of noisy ones fewer are, so that all
#: scans together take half as many passes again, not more.
_SURE = 0.6


def doubt_limit(plain: Sequence[Observed]) -> float:
    """Return the summed entropy above which a slice is doubtful: the share `_SURE` has less.

    `plain` are observations without mirrorings.
    """
    return round(float(np.quantile(np.concatenate([o.doubt for o in plain]), _SURE)), 1)


def calibration_section(
    clean: Sequence[Observed],
    *,
    flipped: Sequence[Observed] = (),
    doubtful: Sequence[Observed] = (),
) -> dict[str, Any]:
    """Return the bundle's ``calibration`` section from uncalibrated observations of clean scans.

    The temperatures are fitted on all patients; the calibration errors are before and after, the
    latter with each patient's temperature fitted on the others.

    Parameters
    ----------
    clean
        Observations without mirrorings, as by default.
    flipped, doubtful
        Observations with all mirrorings, and with those of doubtful slices. Each way has a
        temperature of its own, which is that of `clean` where there are none.
    """
    p = np.concatenate([o.probabilities for o in clean])
    truth = np.concatenate([o.truth for o in clean])
    after = np.concatenate([tempered(o.probabilities, t) for o, t in _each_without(clean)])
    before_ece, after_ece = (
        {
            name: round(calibration_error(r), 5)
            for name, r in by_structure(values, truth, structures=STRUCTURES).items()
        }
        for values in (p, after)
    )
    return {
        "temperature": round(_temperature(clean), 4),
        "temperature_flips": round(_temperature(flipped or clean), 4),
        "temperature_doubtful": round(_temperature(doubtful or clean), 4),
        "patients": len({subject_of(o.unit) for o in clean}),
        "ece_before": before_ece,
        "ece_after": after_ece,
    }


def _temperature(seen: Sequence[Observed]) -> float:
    """Return the temperature that suits observations best."""
    return fit_temperature(
        np.concatenate([o.probabilities for o in seen]), np.concatenate([o.truth for o in seen])
    )


def _each_without(clean: Sequence[Observed]) -> Iterable[tuple[Observed, float]]:
    """Yield each observation with the temperature fitted on the other patients."""
    for own in clean:
        others = [o for o in clean if subject_of(o.unit) != subject_of(own.unit)]
        if not others:
            yield own, 1.0
            continue
        yield own, _temperature(others)


def intervals_section(
    settings: Mapping[Flips, Sequence[Observed]],
    *,
    crossed: Sequence[Observed] = (),
    trained: Sequence[Observed] = (),
) -> list[dict[str, Any]]:
    """Return the bundle's ``intervals`` section: errors and spreads for each way of segmenting.

    Spreads are left out for quantities whose intervals are no better for following them
    (`popscan.arrays.intervals.informative`), and where errors are those of cross-fitting.

    Parameters
    ----------
    settings
        Which mirrorings were averaged -> observations of clean scans. Of a subject with several
        visits the first is used: two visits of one person are not two people.
    crossed
        Clean scans as seen by cross-fitted networks: errors are theirs, in the size of the bundle's
        own (`popscan.protocols.cine_sax.training.transfer`).
    trained
        The bundle's observations of its training patients, a lower bound of that size.
    """
    section = []
    theirs, known = _by_subject(crossed), _by_subject(trained)
    for flips, seen in settings.items():
        own = _by_subject(seen)
        quantities = {}
        for name in QUANTITIES:
            if theirs:
                errors = transferred(
                    [o.errors[name] for o in theirs.values()],
                    [o.errors[name] for o in own.values()],
                    trained=[o.errors[name] for o in known.values()],
                )
                spreads: list[float] = []
            else:
                pairs = [(o.errors[name], o.spreads[name]) for o in own.values()]
                usable = [(e, s) for e, s in pairs if math.isfinite(e)]
                errors, spreads = [e for e, _ in usable], [s for _, s in usable]
                spreads = spreads if errors and informative(errors, spreads) else []
            if errors:
                quantities[name] = {
                    "errors": [round(float(e), 5) for e in errors],
                    "spreads": [round(float(s), 5) for s in spreads],
                }
        section.append({"flips": flips, "dropout_samples": 0, "quantities": quantities})
    return section


def _by_subject(seen: Sequence[Observed]) -> dict[str, Observed]:
    """Return the first observation of every subject."""
    first: dict[str, Observed] = {}
    for observed in seen:
        first.setdefault(subject_of(observed.unit), observed)
    return first


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
        # NaN for a quantity that no clean scan has.
        known = np.isfinite(table[clean]).sum(axis=0)
        usual = np.sqrt(np.nansum(table[clean] ** 2, axis=0) / known)
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
