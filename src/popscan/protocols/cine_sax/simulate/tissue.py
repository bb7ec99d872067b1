"""Tissues of the digital torso and their balanced steady-state free precession (bSSFP) signal.

Relaxation times in ms, by field strength. Sources: blood, liver, skeletal muscle: Stanisz et al.,
MRM 2005 (doi:10.1002/mrm.20605); subcutaneous fat, marrow, spleen: de Bazelaire et al.,
Radiology 2004 (doi:10.1148/radiol.2303021331); myocardium at 3 T: von Knobelsdorff-Brenkenhoff et
al., JCMR 2013 (doi:10.1186/1532-429X-15-53), at 1.5 T rounded from the mapping
literature (T1 950, T2 50). Proton densities as in MRXCAT: Wissmann et al., JCMR 2014
(doi:10.1186/s12968-014-0063-3), where it lists the tissue; fat has 0.9, not 0.7,
which makes it as bright as it is in a real cine.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.protocols.cine_sax.labels import Label
from popscan.records import PopscanError


class Tissue(IntEnum):
    """What a point of the digital torso consists of."""

    AIR = 0
    FAT = 1
    MUSCLE = 2
    MARROW = 3
    LUNG = 4
    LIVER = 5
    SPLEEN = 6
    STOMACH = 7
    CSF = 8
    VESSEL = 9
    LV_BLOOD = 10
    PAPILLARY = 11
    LV_TRABECULA = 12
    MYOCARDIUM = 13
    RV_BLOOD = 14
    RV_TRABECULA = 15
    RV_WALL = 16
    ATRIUM = 17
    EPICARDIAL_FAT = 18


#: Label of each tissue: papillaries and trabeculae count as cavity, as in the ACDC challenge.
LABEL_OF: NDArray[np.uint8] = np.zeros(len(Tissue), np.uint8)
LABEL_OF[[Tissue.LV_BLOOD, Tissue.PAPILLARY, Tissue.LV_TRABECULA]] = Label.LV
LABEL_OF[Tissue.MYOCARDIUM] = Label.MYO
LABEL_OF[[Tissue.RV_BLOOD, Tissue.RV_TRABECULA]] = Label.RV

_BLOOD_KINDS = (Tissue.VESSEL, Tissue.LV_BLOOD, Tissue.RV_BLOOD, Tissue.ATRIUM)
_HEART_MUSCLE_KINDS = (Tissue.MYOCARDIUM, Tissue.PAPILLARY, Tissue.RV_WALL)

#: Field strength in tesla -> substance -> (proton density, T1 ms, T2 ms).
RELAXATION: Mapping[float, Mapping[str, tuple[float, float, float]]] = {
    1.5: {
        "blood": (0.95, 1441.0, 250.0),
        "myocardium": (0.80, 950.0, 50.0),
        "muscle": (0.80, 1008.0, 44.0),
        "fat": (0.90, 343.0, 58.0),
        "liver": (0.90, 576.0, 46.0),
        "spleen": (0.90, 1057.0, 79.0),
        "marrow": (0.35, 549.0, 49.0),
        "csf": (1.00, 3000.0, 1500.0),
        "lung": (0.10, 1200.0, 40.0),
        "stomach": (0.60, 1200.0, 80.0),
    },
    3.0: {
        "blood": (0.95, 1932.0, 275.0),
        "myocardium": (0.80, 1157.0, 45.0),
        "muscle": (0.80, 1412.0, 50.0),
        "fat": (0.90, 382.0, 68.0),
        "liver": (0.90, 812.0, 42.0),
        "spleen": (0.90, 1328.0, 61.0),
        "marrow": (0.35, 586.0, 49.0),
        "csf": (1.00, 4000.0, 1500.0),
        "lung": (0.10, 1400.0, 35.0),
        "stomach": (0.60, 1400.0, 70.0),
    },
}

#: Chemical shift of fat against water, parts per million; and the proton's frequency per tesla.
FAT_SHIFT_PPM = -3.4
_HZ_PER_PPM_PER_TESLA = 42.577


def bssfp_signal(
    density: ArrayLike,
    t1_ms: ArrayLike,
    t2_ms: ArrayLike,
    *,
    flip_deg: float,
    tr_ms: float,
    off_resonance_hz: ArrayLike = 0.0,
) -> NDArray[np.complex128]:
    """Transverse steady state of balanced SSFP with alternating pulses, at the echo (TE = TR/2).

    The Freeman-Hill solution (Freeman and Hill 1971; Scheffler and Lehnhardt, Eur
    Radiol 2003, doi:10.1007/s00330-003-1957-x). The sign turns from one pass band to the next,
    which draws the dark line between fat and water.

    Parameters
    ----------
    density, t1_ms, t2_ms
        Proton density (relative) and relaxation times; broadcast against each other.
    flip_deg, tr_ms
        Flip angle and repetition time.
    off_resonance_hz
        Offset of the tissue from the scanner's frequency.

    Returns
    -------
    ndarray of complex
        Signal, real and positive on resonance.

    Examples
    --------
    >>> blood = bssfp_signal(0.95, 1441.0, 250.0, flip_deg=50, tr_ms=3.0)
    >>> muscle = bssfp_signal(0.80, 950.0, 50.0, flip_deg=50, tr_ms=3.0)
    >>> bool(2.4 < abs(blood / muscle) < 3.2)
    True
    """
    alpha = np.deg2rad(flip_deg)
    e1 = np.exp(-tr_ms / np.asarray(t1_ms, float))
    e2 = np.exp(-tr_ms / np.asarray(t2_ms, float))
    precession = 2 * np.pi * np.asarray(off_resonance_hz, float) * tr_ms / 1000.0
    beta = precession + np.pi  # alternating pulses shift the profile by half a period
    below = (1 - e1 * np.cos(alpha)) * (1 - e2 * np.cos(beta)) - e2 * (e1 - np.cos(alpha)) * (
        e2 - np.cos(beta)
    )
    after_pulse = np.sin(alpha) * (1 - e1) * (1 - e2 * np.exp(-1j * beta)) / below
    at_echo = after_pulse * np.sqrt(e2) * np.exp(1j * precession / 2)
    return np.asarray(density, float) * at_echo


def tissue_signals(
    *, field_strength_t: float, flip_deg: float, tr_ms: float, contrast_loss: float = 0.0
) -> NDArray[np.float32]:
    """Signed bSSFP signal of every `Tissue` (look-up table).

    Parameters
    ----------
    field_strength_t, flip_deg, tr_ms
        Scanner and sequence; the field must be one of `RELAXATION`.
    contrast_loss
        Share (0 to 1) of the contrast between blood and heart muscle that is lost.

    Returns
    -------
    ndarray of float32, shape (len(Tissue),)
        Relative signal; negative where a tissue (fat) turns against water.

    Raises
    ------
    PopscanError
        If the field strength has no table.
    """
    if field_strength_t not in RELAXATION:
        raise PopscanError(
            f"no relaxation times for {field_strength_t} T: known are {sorted(RELAXATION)}"
        )
    table = RELAXATION[field_strength_t]
    shift_hz = FAT_SHIFT_PPM * _HZ_PER_PPM_PER_TESLA * field_strength_t

    def signal(name: str) -> float:
        density, t1_ms, t2_ms = table[name]
        at = shift_hz if name == "fat" else 0.0
        value = bssfp_signal(
            density, t1_ms, t2_ms, flip_deg=flip_deg, tr_ms=tr_ms, off_resonance_hz=at
        )
        return float(np.sign(value.real) * np.abs(value))

    blood, heart = signal("blood"), signal("myocardium")
    middle = 0.5 * (blood + heart)
    blood += contrast_loss * (middle - blood)
    heart += contrast_loss * (middle - heart)
    out = np.zeros(len(Tissue), np.float32)
    out[list(_BLOOD_KINDS)] = blood
    out[list(_HEART_MUSCLE_KINDS)] = heart
    out[[Tissue.LV_TRABECULA, Tissue.RV_TRABECULA]] = 0.6 * heart + 0.4 * blood
    out[[Tissue.FAT, Tissue.EPICARDIAL_FAT]] = signal("fat")
    out[Tissue.MUSCLE] = signal("muscle")
    for tissue in (Tissue.MARROW, Tissue.LUNG, Tissue.LIVER, Tissue.SPLEEN, Tissue.STOMACH):
        out[tissue] = signal(tissue.name.lower())
    out[Tissue.CSF] = signal("csf")
    return out
