"""From a participant's row to a heart, a torso and a scan plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popscan.protocols.cine_sax.simulate.heart import Heart, profile_integral
from popscan.protocols.cine_sax.simulate.torso import Torso, torso_for
from popscan.records import PopscanError

#: What a row must hold beside the identifier, the sex and the scanner.
NUMBERS = (
    "height_cm",
    "weight_kg",
    "hr_bpm",
    "truth_lvedv_ml",
    "truth_lvesv_ml",
    "truth_lvm_g",
    "truth_rvedv_ml",
    "truth_rvesv_ml",
)


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """One participant's body.

    Attributes
    ----------
    heart, torso
        The parts.
    axes : ndarray, shape (3, 3)
        Columns: the heart's u, v, w in RAS.
    base_mm : ndarray, shape (3,)
        The heart's origin in RAS about the torso's axis.
    rr_ms
        Duration of a heart beat.
    """

    heart: Heart
    torso: Torso
    axes: NDArray[np.float64]
    base_mm: NDArray[np.float64]
    rr_ms: float


def number(row: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """Read one finite number of a row, which may hold it as text.

    Raises
    ------
    PopscanError
        If it is absent (and there is no default) or no finite number.
    """
    value = row.get(name, default)
    if value is None or value == "":
        value = default
    try:
        found = float(value)
    except (TypeError, ValueError) as error:
        raise PopscanError(f"simulated participant: {name} is {value!r}, not a number") from error
    if not np.isfinite(found):
        raise PopscanError(f"simulated participant: {name} is {value!r}, not a finite number")
    return found


def short_axis_frame(long_axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Axes (columns u, v, w in RAS) of a short-axis view along a base-to-apex direction.

    ``w`` is the direction itself, ``u`` points as far to the patient's left as is possible in
    the plane, ``v`` completes the view towards posterior and inferior. As in any short-axis
    stack counted from base to apex, the determinant is -1 in RAS.
    """
    w = np.asarray(long_axis, float) / np.linalg.norm(long_axis)
    left = np.array([-1.0, 0.0, 0.0])
    u = left - (left @ w) * w
    u /= np.linalg.norm(u)
    return np.stack([u, np.cross(u, w), w], axis=1)


def anatomy_for(row: Mapping[str, Any], *, rng: np.random.Generator) -> Anatomy:
    """Build a participant's anatomy: volumes from the row, shape and position from `rng`.

    Parameters
    ----------
    row
        A row of `popscan.protocols.cine_sax.simulate.population.sample_population`.
    rng
        Source of the shape.

    Raises
    ------
    PopscanError
        If the row lacks a number, or its volumes cannot be a heart.
    """
    values = {name: number(row, name) for name in NUMBERS}
    rr_ms = 60000.0 / values["hr_bpm"]
    heart = heart_for(values, condition=str(row.get("truth_condition", "healthy")), rng=rng)
    torso = torso_for(
        sex=str(row.get("sex", "")),
        height_cm=values["height_cm"],
        weight_kg=values["weight_kg"],
        extra_fat_mm=number(row, "truth_extra_fat_mm", 0.0),
        rng=rng,
    )
    bmi = values["weight_kg"] / (values["height_cm"] / 100) ** 2
    # A heart lies flatter in a wider chest.
    down = -0.58 + 0.012 * (bmi - 25) + rng.normal(0, 0.06)
    axes = short_axis_frame(
        np.array([-0.60 + rng.normal(0, 0.06), 0.55 + rng.normal(0, 0.06), down])
    )
    centre = np.asarray(torso.heart_mm)
    return Anatomy(
        heart=heart,
        torso=torso,
        axes=axes,
        base_mm=centre - axes[:, 2] * 0.45 * heart.length_mm,
        rr_ms=rr_ms,
    )


def heart_for(values: Mapping[str, float], *, condition: str, rng: np.random.Generator) -> Heart:
    """Choose a shape for given volumes.

    Raises
    ------
    PopscanError
        If the volumes are not those of a beating heart.
    """
    edv, esv, mass = (values[f"truth_{k}"] for k in ("lvedv_ml", "lvesv_ml", "lvm_g"))
    rv_edv, rv_esv = values["truth_rvedv_ml"], values["truth_rvesv_ml"]
    if not (0 < esv < edv and 0 < rv_esv < rv_edv and mass > 0):
        raise PopscanError(
            f"simulated participant: volumes {edv:.0f}/{esv:.0f} and {rv_edv:.0f}/{rv_esv:.0f} mL "
            f"with {mass:.0f} g are no heart: 0 < ESV < EDV and a positive mass are needed"
        )
    taper, belly = rng.uniform(1.55, 1.95), rng.uniform(0.15, 0.28)
    slender = 1.65 + rng.normal(0, 0.07) - (0.25 if condition == "dilated" else 0.0)
    whole = profile_integral(belly=belly, taper=taper)
    width = (1000 * edv / (np.pi / 4 * slender * whole)) ** (1 / 3)
    ef = 1 - esv / edv
    length = slender * width
    septum = np.pi + rng.normal(0.25, 0.10)
    wall = [(1, rng.uniform(0.02, 0.10), rng.uniform(0, 2 * np.pi)), (2, 0.06, rng.uniform(0, 6))]
    if condition == "hypertrophic":
        wall[0] = (1, rng.uniform(0.30, 0.45), float(np.pi - septum))
    hurt = condition == "infarct"
    return Heart(
        lvedv_ml=edv,
        lvesv_ml=esv,
        lvm_g=mass,
        rvedv_ml=rv_edv,
        rvesv_ml=rv_esv,
        length_mm=float(length),
        shortening_mm=float(np.clip(0.25 * ef * length * rng.normal(1, 0.08), 3, 0.24 * length)),
        apex_wall_mm=float(np.clip(0.045 * mass + rng.normal(0, 0.4), 2.5, 9)),
        taper=float(taper),
        belly=float(belly),
        shape_modes=tuple(
            (order, float(size * rng.uniform(0.3, 1)), float(rng.uniform(0, 2 * np.pi)))
            for order, size in ((2, 0.14), (3, 0.05), (4, 0.03), (5, 0.02))
        ),
        wall_modes=tuple((m, float(a), float(b)) for m, a, b in wall),
        akinesia=(float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.6, 1))) if hurt else (0, 0),
        twist_deg=(float(rng.normal(-4, 1)), float(rng.normal(9, 2) * ef / 0.6)),
        bend_mm=(float(rng.normal(2, 3)), float(rng.normal(0, 3))),
        slope=(float(rng.normal(-0.15, 0.03)), float(rng.normal(-0.10, 0.03))),
        rv_angle=float(septum),
        rv_half_width=float(rng.normal(1.48, 0.06)),
        rv_skew=float(np.clip(rng.normal(0.1, 0.15), -0.4, 0.5)),
        rv_taper=float(rng.uniform(1.0, 1.35)),
        rv_length=float(rng.uniform(0.86, 0.96)),
        rv_wall_mm=float(rng.uniform(2.5, 3.5)),
        fat_mm=float(np.clip(rng.normal(4.0, 1.5), 1.0, 9.0)),
        papillary_mm=float(np.clip(0.085 * width * rng.normal(1, 0.12), 2.5, 7)),
        papillary_angles=(float(rng.normal(-0.9, 0.15)), float(rng.normal(1.25, 0.15))),
        es_phase=float(np.clip(0.36 / np.sqrt(60 / values["hr_bpm"]), 0.30, 0.44)),
        early_filling=float(np.clip(rng.normal(0.68, 0.06), 0.5, 0.82)),
    )
