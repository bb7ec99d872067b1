"""Atria of the digital heart, whose volumes are known in closed form at every phase.

An atrium stands on the base of the heart, the plane that the ventricles end at, and rises away
from the apex to a roof that stays where it is in the patient. Its cross-sections at height ``h``
above the base are circles of area ``A p(h / H)``, ``p`` the ventricle's profile
(`popscan.protocols.cine_sax.simulate.heart`), so that its volume is ``A H`` times the profile's
integral; slope, bend and shift of the base are shears, which change no volume. As the base moves
towards the apex in systole, the atrium becomes higher by just as much.

The volume falls as the ventricles fill and rises as they empty: largest at end-systole, smallest
at end-diastole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popscan.protocols.cine_sax.simulate.heart import HeartState, profile_integral

#: Where an atrium is widest, and how its roof closes: see `profile`.
BELLY, TAPER = 0.4, 2.2
#: From the middle of the septum to the four-chamber plane, about the long axis from base to apex:
#: it passes the lower part of the septum, as patients' planes do.
FOUR_CHAMBER_DEG = -22.0
#: Thickness of the wall between the atria, at least.
SEPTUM_MM = 4.0


@dataclass(frozen=True, kw_only=True)
class Atrium:
    """One atrium.

    Attributes
    ----------
    max_ml, min_ml
        Volume at end-systole and at end-diastole.
    height_mm
        From the base to the roof at end-diastole.
    """

    max_ml: float
    min_ml: float
    height_mm: float

    def volume_ml(self, state: HeartState) -> float:
        """Volume at the phase of `state`."""
        return self.min_ml + state.squeeze * (self.max_ml - self.min_ml)

    def height_at(self, state: HeartState) -> float:
        """Height above the base at the phase of `state`, mm."""
        return self.height_mm + state.base_mm

    def widest_mm2(self, state: HeartState) -> float:
        """Area of the widest cross-section at the phase of `state`."""
        whole = profile_integral(belly=BELLY, taper=TAPER)
        return 1000.0 * self.volume_ml(state) / (self.height_at(state) * whole)


@dataclass(frozen=True, kw_only=True)
class Atria:
    """Both atria, and where they stand.

    Attributes
    ----------
    left, right
        The atria.
    left_mm, right_mm
        Distance of their middle from the ventricle's centre line, in the four-chamber plane
        towards the right heart; that of the left is negative.
    """

    left: Atrium
    right: Atrium
    left_mm: float
    right_mm: float


def atria_for(*, bsa_m2: float, state: HeartState, rng: np.random.Generator) -> Atria:
    """Choose the atria of a body: volumes about those of adults' cine MR, rounded.

    Parameters
    ----------
    bsa_m2
        Body surface area.
    state
        The heart at end-systole, when the atria are largest.
    rng
        Source of what differs between people.
    """
    left_max = bsa_m2 * float(np.clip(rng.normal(38, 7), 22, 60))
    right_max = bsa_m2 * float(np.clip(rng.normal(44, 8), 26, 68))
    left = Atrium(
        max_ml=left_max,
        min_ml=left_max * (1 - float(np.clip(rng.normal(0.60, 0.06), 0.35, 0.75))),
        height_mm=float(rng.uniform(38, 46)),
    )
    right = Atrium(
        max_ml=right_max,
        min_ml=right_max * (1 - float(np.clip(rng.normal(0.48, 0.06), 0.3, 0.7))),
        height_mm=float(rng.uniform(38, 46)),
    )
    aside = 5.0
    widths = [np.sqrt(atrium.widest_mm2(state) / np.pi) for atrium in (left, right)]
    return Atria(
        left=left,
        right=right,
        left_mm=-aside,
        right_mm=float(widths[0] + widths[1] + SEPTUM_MM - aside),
    )
