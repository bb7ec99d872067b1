"""From raw images, or a ready-made map, to a map in ms with its doubt beside it.

What is written has up to four frames: the map, its standard error, the standard deviation of the
fit's residuals relative to the signal, and how many images counted. 0 stands for no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.t1_map.units import in_ms
from popscan.records import LabelMap, Scan, SubjectError
from popscan.relaxometry import (
    Decay,
    Recovery,
    check_series,
    fit_decay,
    fit_recovery,
    fit_shmolli,
    image_shifts_mm,
    look_locker_free,
)

Floats = NDArray[np.float64]

#: Frames of what is written, by number.
FRAMES = ("map_ms", "se_ms", "residual_pct", "n_samples")
#: Voxels below this share of the brightest ones are background: nothing is fitted there.
_BACKGROUND = 0.05
#: More voxels than this share at the largest value were cut off there.
_CLIPPED = 0.005
_LEAST_CLIPPED = 20


def prepare(
    scan: Scan, labels: LabelMap | None = None
) -> tuple[Scan, LabelMap | None, dict[str, Any]]:
    """Make a map of a scan.

    Parameters
    ----------
    scan
        Raw images, signed where their phase was there, or a map; ``meta["relaxation"]`` as
        `popscan.io.mapping` writes it.
    labels
        Regions, on its grid.

    Returns
    -------
    scan
        Frames as in `FRAMES`; of a ready-made map the first only.
    labels
        The same for every frame.
    values
        ``map_from``, ``scheme``, ``scheme_by``, ``signs_by``, ``map_unit``, ``n_samples``,
        ``fit_failed_pct``.

    Raises
    ------
    SubjectError
        ``unknown_scheme``, ``clipped_samples``, ``map_unit``, ``not_a_volume``, and those of
        `popscan.relaxometry`.
    """
    facts: Mapping[str, Any] = scan.meta.get("relaxation") or {"kind": "map"}
    made, values = _ready(scan, facts, labels) if facts["kind"] == "map" else fitted(scan, facts)
    n = made.shape[3]
    meta = {**scan.meta, "frame_labels": list(FRAMES[:n])}
    named = facts.get("unit", "auto") != "auto" or facts.get("unit_stated")
    if values.get("map_unit") == "s" and not named:
        meta["seconds_guessed"] = True
    if facts["kind"] != "map":
        shifts = image_shifts_mm(np.moveaxis(scan.array, 3, 0), spacing_mm=scan.spacing_mm)
        meta["image_shift_mm"] = round(float(np.max(shifts)), 2)
    out = replace(scan, array=made.astype(np.float32), frame_times_ms=None, meta=meta)
    if labels is not None:
        first = labels.array[..., :1]
        labels = LabelMap(array=np.repeat(first, n, axis=3), frames=tuple(range(n)))
    return out, labels, {"map_from": facts["kind"], **values}


def _ready(
    scan: Scan, facts: Mapping[str, Any], labels: LabelMap | None
) -> tuple[Floats, dict[str, Any]]:
    if scan.array.shape[3] != 1:
        raise SubjectError(
            "not_a_volume", f"{scan.view}: a map of {scan.array.shape[3]} volumes; one expected"
        )
    scaled = scan.array.astype(float) * float(facts.get("factor", 1.0))
    inside = np.zeros(scaled.shape, dtype=bool) if labels is None else labels.array > 0
    made, unit = in_ms(
        scaled, judged=scaled[inside], view=scan.view, asked=str(facts.get("unit", "auto")),
        stated=str(facts.get("unit_stated", "")),
    )  # fmt: skip
    return made, {"map_unit": unit}


def fitted(scan: Scan, facts: Mapping[str, Any]) -> tuple[Floats, dict[str, Any]]:
    """Return frames as in `FRAMES`, and values of `prepare`, of raw images."""
    samples = np.moveaxis(scan.array.astype(float), 3, 0)
    magnitude, times = np.abs(samples), list(facts["times_ms"])
    tissue = _tissue(magnitude)
    _check_clipped(scan.view, magnitude, tissue)
    signs = np.where(samples < 0, -1.0, 1.0)[:, tissue] if facts.get("signed") else None
    values: dict[str, Any] = {"n_samples": float(len(times))}
    fit: Recovery | Decay
    if scan.view.startswith("t2"):
        fit = fit_decay(magnitude[:, tissue], times)
        value, amplitude = fit.t2_ms, fit.s0
    else:
        fit, scheme = _recovery(scan.view, magnitude[:, tissue], times, signs, facts)
        value, amplitude = fit.t1_ms, fit.a
        values |= {
            "scheme": scheme, "scheme_by": facts["scheme_by"],
            "signs_by": "fit" if signs is None else "phase",
        }  # fmt: skip
    with np.errstate(divide="ignore", invalid="ignore"):
        residual_pct = 100.0 * fit.residual / amplitude
    made = np.zeros((*scan.array.shape[:3], len(FRAMES)))
    parts = (value, fit.se_ms, residual_pct, np.where(np.isfinite(value), fit.n_samples, 0))
    lost = ~np.isfinite(value)
    for frame, part in enumerate(parts):
        made[tissue, frame] = np.where(lost, 0.0, np.nan_to_num(part, posinf=0.0, neginf=0.0))
    values["fit_failed_pct"] = round(100.0 * float(lost.mean()), 3)
    return made, values


def _recovery(
    view: str, samples: Floats, times: list[float], signs: Floats | None, facts: Mapping[str, Any]
) -> tuple[Recovery, str]:
    check_series(samples, times, least=3)
    scheme = str(facts.get("scheme", ""))
    if not scheme:
        raise SubjectError(
            "unknown_scheme",
            f"{view}: no name in the header says MOLLI or ShMOLLI; set source.mapping.scheme",
        )
    if scheme == "shmolli":
        return fit_shmolli(samples, times, signs=signs), scheme
    fit = fit_recovery(samples, times, signs=signs)
    return look_locker_free(fit) if scheme == "inversion_recovery" else fit, scheme


def _tissue(magnitude: Floats) -> NDArray[np.bool_]:
    brightest = magnitude.max(axis=0)
    return np.asarray(brightest > _BACKGROUND * np.percentile(brightest, 99.5))


def _check_clipped(view: str, magnitude: Floats, tissue: NDArray[np.bool_]) -> None:
    """Refuse images whose brightest values were cut off: recovery bends there."""
    inside = magnitude[:, tissue]
    top = float(inside.max())
    n_top = int((inside == top).any(axis=0).sum())
    if n_top > max(_LEAST_CLIPPED, _CLIPPED * inside.shape[1]):
        raise SubjectError(
            "clipped_samples",
            f"{view}: {n_top} voxels have the largest value, {top:g}; the images are cut off there",
        )
