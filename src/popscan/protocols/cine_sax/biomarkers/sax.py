"""Ventricular volumes, function and mass from labels of a short-axis stack."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.arrays import morphology
from popscan.biomarkers import body
from popscan.protocols.cine_sax import volumes
from popscan.protocols.cine_sax.biomarkers.dictionary import DICTIONARY, INDEXED
from popscan.protocols.cine_sax.biomarkers.rate import heart_rate_bpm
from popscan.protocols.cine_sax.biomarkers.thickness import wall_thickness_mm
from popscan.protocols.cine_sax.cycle import CYCLE_MS
from popscan.protocols.cine_sax.labels import Label

#: Density of myocardium in g/mL.
MYOCARDIAL_DENSITY_G_ML = 1.05


def volume_curves(
    labels: ArrayLike, *, spacing_mm: Sequence[float], frames: Sequence[int] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Volume of each structure over the heart cycle, for plots and checks.

    Parameters
    ----------
    labels : array_like, shape (x, y, z, t)
        `Label` values.
    spacing_mm
        Distance of voxel centres along x, y, z.
    frames
        Indices of the labelled frames; all by default.

    Returns
    -------
    dict
        ``rv_ml``, ``myo_ml``, ``lv_ml``, shape (t,) each; NaN where not measured.
    """
    curves = volumes.volume_curves_ml(labels, spacing_mm=spacing_mm, frames=frames)
    return {f"{name}_ml": curve for name, curve in curves.items()}


def _at(curve: NDArray[np.float64], frame: int | None) -> float:
    return math.nan if frame is None else float(curve[frame])


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else math.nan


def _ventricle(prefix: str, curve: NDArray[np.float64], ed: int | None, es: int | None) -> dict:
    edv, esv = _at(curve, ed), _at(curve, es)
    return {
        f"{prefix}edv_ml": edv,
        f"{prefix}esv_ml": esv,
        f"{prefix}sv_ml": edv - esv,
        f"{prefix}ef_pct": 100.0 * _ratio(edv - esv, edv),
    }


def measure(
    labels: ArrayLike,
    *,
    spacing_mm: Sequence[float],
    frame_times_ms: Sequence[float] | None = None,
    rr_ms: float | None = None,
    height_cm: float = math.nan,
    weight_kg: float = math.nan,
    frame_labels: Sequence[str] | None = None,
    frames: Sequence[int] | None = None,
    smoothing_share: float = volumes.PHASE_SMOOTHING_SHARE,
    cycle_ms: Sequence[float] = CYCLE_MS,
    between_slices: volumes.BetweenSlices = "discs",
) -> dict[str, float]:
    """Measure one subject: every column of `DICTIONARY`, in its order.

    ED and ES are the frames named so in `frame_labels`; without names they are the largest and
    the smallest LV volume of the curve, which for two frames is right whichever comes first. The
    RV is read at the LV's frames. Every value is that of the labels at the frame: smoothing only
    chooses the frame.

    Parameters
    ----------
    labels : array_like, shape (x, y, z, t)
        `Label` values.
    spacing_mm
        Distance of voxel centres along x, y, z; z is the slice distance, gaps included.
    frame_times_ms
        Time of each frame after the R wave; they cover one RR interval.
    rr_ms
        RR interval; takes precedence over `frame_times_ms`.
    height_cm, weight_kg
        Of the subject; NaN where unknown.
    frame_labels
        Names of frames where the source knows them, e.g. ``["ED", "ES"]``.
    frames
        Indices of the labelled frames; all by default.
    smoothing_share
        Standard deviation, as a share of the cycle, of the cyclic Gaussian that the LV curve is
        smoothed with before ED and ES are chosen; 0 takes the raw extremes, which makes EF too
        high where single volumes are noisy (see `popscan.protocols.cine_sax.volumes.find_phases`).
    cycle_ms
        Shortest and longest heart cycle that is believed; outside of them heart rate, output and
        index are NaN.
    between_slices
        How volumes and mass follow from slices, as of
        `popscan.protocols.cine_sax.volumes.volume_curves_ml`.

    Returns
    -------
    dict
        Column -> value. Undefined is NaN: an absent structure, an unknown body size, one frame
        that nobody named (neither ED nor ES).

    Raises
    ------
    PopscanError
        If shapes, label values or spacing are not what they must be.
    """
    array = morphology.check_labels(labels, largest=max(Label))
    spacing = morphology.check_spacing(spacing_mm)
    curves = volumes.volume_curves_ml(
        array, spacing_mm=spacing, frames=frames, between_slices=between_slices
    )
    ed, es = volumes.find_phases(
        curves["lv"], frame_labels=frame_labels, smoothing_share=smoothing_share
    )
    values = _ventricle("lv", curves["lv"], ed, es) | _ventricle("rv", curves["rv"], ed, es)
    values["lvm_g"] = MYOCARDIAL_DENSITY_G_ML * _at(curves["myo"], ed)
    values["lvm_es_g"] = MYOCARDIAL_DENSITY_G_ML * _at(curves["myo"], es)
    values |= _wall(array, ed, spacing)
    bsa = body.bsa_m2(height_cm, weight_kg)
    values |= {name: _ratio(values[absolute], bsa) for name, absolute in INDEXED.items()}
    heart_rate = heart_rate_bpm(rr_ms=rr_ms, frame_times_ms=frame_times_ms, cycle_ms=cycle_ms)
    output = values["lvsv_ml"] * heart_rate / 1000.0
    values |= {
        "bsa_m2": bsa,
        "bmi_kg_m2": body.bmi_kg_m2(height_cm, weight_kg),
        "hr_bpm": heart_rate,
        "co_l_min": output,
        "ci_l_min_m2": _ratio(output, bsa),
        "ed_frame": math.nan if ed is None else float(ed),
        "es_frame": math.nan if es is None else float(es),
        "n_frames_measured": float(np.isfinite(curves["lv"]).sum()),
    }
    return {name: values[name] for name in DICTIONARY}


def _wall(
    array: NDArray[np.uint8], ed: int | None, spacing: tuple[float, float, float]
) -> dict[str, float]:
    """Measure what needs the shape of the ED frame: wall thickness and number of slices."""
    names = ("wall_thickness_mean_mm", "wall_thickness_max_mm", "n_slices_lv")
    if ed is None:
        return dict.fromkeys(names, math.nan)
    box = morphology.bounding_box(array[..., ed] > 0)
    frame = array[..., ed][box]
    slices = float((frame == Label.LV).any(axis=(0, 1)).sum())
    return wall_thickness_mm(frame, spacing_mm=spacing) | {"n_slices_lv": slices}
