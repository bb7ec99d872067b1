"""Greys of painted long-axis planes: drawn, or taken from a patient's short-axis stack."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from popscan.protocols.cine_lax.labels import LA, LV, MYO, RA, RV
from popscan.protocols.cine_lax.training.painter import Stuff, field, outside_mm
from popscan.protocols.cine_lax.training.ventricles import Ventricles

Floats = NDArray[np.float64]
#: Share of painted planes whose greys follow no rule but that blood differs from muscle.
_ANY_GREYS = 0.1
#: Share of patients' planes that are painted beside the heart, too: a stack is a band of the plane,
#: and its upper end must not be what marks the valve.
_OWN_BACKGROUND = 0.5
_BLOOD = [Stuff.LV_BLOOD, Stuff.RV_BLOOD, Stuff.LA_BLOOD, Stuff.RA_BLOOD, Stuff.VESSEL]


def drawn_greys(rng: np.random.Generator) -> Floats:
    """Return the grey of each `Stuff`, about those of bright-blood cine, widely varied."""
    grey = np.empty(len(Stuff))
    blood = rng.uniform(0.6, 1.0)
    muscle = blood * rng.uniform(0.15, 0.6)
    grey[:] = muscle * np.exp(rng.normal(0, 0.3, len(Stuff)))
    grey[_BLOOD] = blood * np.exp(rng.normal(0, 0.1, len(_BLOOD)))
    grey[Stuff.VESSEL] *= rng.uniform(0.6, 1.2)
    grey[[Stuff.MYOCARDIUM, Stuff.PAPILLARY]] = muscle * np.array([1.0, rng.uniform(0.8, 1.4)])
    grey[Stuff.LUNG] = muscle * rng.uniform(0.02, 0.5)
    grey[Stuff.FAT] = blood * rng.uniform(0.25, 1.4)
    grey[Stuff.VALVE] = 0.5 * (blood + muscle) * rng.uniform(0.7, 1.1)
    if rng.random() < _ANY_GREYS:
        grey = rng.uniform(0.05, 1.0, len(Stuff))
        grey[_BLOOD] = grey[Stuff.LV_BLOOD] * np.exp(rng.normal(0, 0.08, len(_BLOOD)))
        sign = 1.0 if grey[Stuff.LV_BLOOD] < 0.5 else -1.0
        grey[Stuff.MYOCARDIUM] = grey[Stuff.LV_BLOOD] + sign * rng.uniform(0.2, 0.45)
        grey[Stuff.PAPILLARY] = grey[Stuff.MYOCARDIUM]
    return grey


def coloured(
    stuff: NDArray[np.uint8], grey: Floats, *, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return an image of what was painted: texture, flow in the blood, partial volume.

    Parameters
    ----------
    stuff
        `Stuff` of each pixel.
    grey
        Grey of each `Stuff`.
    rng
        Source of texture.
    """
    image = grey[stuff].astype(float)
    image *= 1 + rng.uniform(0.02, 0.1) * field(rng, stuff.shape, rng.uniform(1.5, 3))
    image *= 1 + rng.uniform(0.02, 0.15) * field(rng, stuff.shape, rng.uniform(8, 20))
    blood = np.isin(stuff, _BLOOD)
    flow = 1 + rng.uniform(0.03, 0.22) * field(rng, stuff.shape, rng.uniform(4, 10))
    image[blood] *= np.clip(flow, 0.3, 1.6)[blood]
    if rng.random() < 0.3:  # jets: blood that moves fast is dark
        jet = field(rng, stuff.shape, rng.uniform(4, 8)) > 1.6
        image[blood & jet] *= rng.uniform(0.3, 0.8)
    image = ndimage.gaussian_filter(image, rng.uniform(0.35, 1.0))
    return np.asarray(image + rng.normal(0, rng.uniform(0.005, 0.05), stuff.shape))


def patient_greys(ventricles: Ventricles, *, rng: np.random.Generator) -> Floats | None:
    """Return greys of `Stuff` as a patient's stack has them; None without enough of each tissue."""
    image, labels = ventricles.image, ventricles.labels
    if image is None:
        return None
    known = np.isfinite(image)
    lv, myo = (image[known & (labels == label)] for label in (LV, MYO))
    if min(lv.size, myo.size) < 50:
        return None
    blood, muscle = float(np.median(lv)), float(np.median(myo))
    right = image[known & (labels == RV)]
    dark, bright = (float(v) for v in np.percentile(image[known], (5, 97)))
    grey = muscle * np.exp(rng.normal(0, 0.2, len(Stuff)))
    grey[_BLOOD] = blood * np.exp(rng.normal(0, 0.06, len(_BLOOD)))
    grey[Stuff.RV_BLOOD] = float(np.median(right)) if right.size > 50 else blood
    grey[Stuff.RA_BLOOD] = grey[Stuff.RV_BLOOD] * rng.uniform(0.85, 1.15)
    grey[Stuff.LUNG] = dark * rng.uniform(0.7, 1.5)
    grey[Stuff.FAT] = rng.uniform(0.6, 1.0) * bright
    grey[Stuff.VALVE] = 0.5 * (blood + muscle) * rng.uniform(0.7, 1.1)
    grey[Stuff.MYOCARDIUM] = muscle
    return np.asarray(grey)


def with_patient(
    ventricles: Ventricles, labels: NDArray[np.uint8], painted: Floats, *, rng: np.random.Generator
) -> Floats:
    """Return a painted plane with the patient's own intensities where the stack has them.

    Above the valve, and where a label was made up (an apex below the last slice), the painted
    image stays; borders are blended over some millimetres.
    """
    image = ventricles.image
    assert image is not None
    real = np.isfinite(image) & (ventricles.level_mm > 0)
    real &= ~np.isin(labels, (LA, RA))
    if rng.random() < _OWN_BACKGROUND:
        real &= outside_mm(labels > 0) < rng.uniform(4, 14)
    share = np.clip(-outside_mm(real) / rng.uniform(2, 6), 0, 1)
    # What a breath-hold's slices lack between them: the grain of a scan.
    grain = 1 + rng.uniform(0, 0.05) * field(rng, image.shape, 1.5)
    out = (1 - share) * painted + share * np.nan_to_num(image) * grain
    return np.asarray(out)
