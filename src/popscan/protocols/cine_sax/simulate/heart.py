"""A beating heart whose volumes are known in closed form at every phase.

Heart coordinates, in mm: the origin is the centre of the left-ventricular base at end-diastole,
``w`` runs along the long axis from base to apex, ``u`` towards the lateral wall (patient left),
``v`` towards the inferior wall. Cross-sections are star-shaped about a centre line: a boundary is
``r(theta, w)**2 = A(w) / pi * g(theta, w)`` with the mean of ``g`` over ``theta`` exactly 1, so
its area is ``A(w)`` whatever the shape, and the volume is the integral of ``A``, a power law.
Twist, bending of the centre line and the slope of the base are rotations and shears of whole
cross-sections: they change the look, never a volume.

The right ventricle is the crescent between the left ventricle's epicardium ``r_epi`` and
``R**2 = r_epi**2 + B(w) q(x)``, ``x`` the angle from the septum over its half-width ``psi``,
``q = (1 - x**2)(1 + x**2 / 2)(1 + skew x)``; its area is ``11 / 15 psi B``, whatever ``r_epi``
is.

Papillary muscles and trabeculae lie within the cavities and count as cavity, in the truth and in
the labels; the base is one (sloping) surface for all structures, and no volume lies above it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

MYOCARDIAL_DENSITY_G_ML = 1.05

Modes = tuple[tuple[int, float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Heart:
    """Parameters of one heart; volumes are the truth, the rest is shape.

    Attributes
    ----------
    lvedv_ml, lvesv_ml, lvm_g, rvedv_ml, rvesv_ml
        Volumes at end-diastole and end-systole, and left-ventricular mass: exact by construction.
    length_mm
        Length of the left-ventricular cavity at end-diastole, base to endocardial apex.
    shortening_mm
        How far the base moves towards the apex in systole.
    apex_wall_mm
        Thickness of the wall at the apex, at end-diastole.
    taper, belly
        Area profile of the left ventricle: exponent below the widest level, and that level as a
        share of the length.
    shape_modes, wall_modes
        Fourier modes (order, amplitude, phase) of the outline and of the wall's thickness.
    akinesia
        (angle, strength 0..1) of a wall region that does not thicken.
    twist_deg
        Rotation in systole at the base and at the apex.
    bend_mm, slope
        Shift of the centre line at the apex (u, v); slope of the base along u and v.
    rv_angle, rv_half_width, rv_skew, rv_taper, rv_length
        Direction of the septum's middle, half-width in radians, asymmetry, exponent of the area
        profile, length as a share of the epicardium's.
    rv_wall_mm, fat_mm
        Thickness of the right-ventricular wall and of the fat around the heart.
    papillary_mm
        Radius of the two papillary muscles.
    papillary_angles
        Their directions.
    es_phase
        End-systole as a share of the RR interval.
    early_filling
        Share of the stroke volume that has come back at the end of early filling.
    """

    lvedv_ml: float
    lvesv_ml: float
    lvm_g: float
    rvedv_ml: float
    rvesv_ml: float
    length_mm: float
    shortening_mm: float
    apex_wall_mm: float = 4.0
    taper: float = 1.8
    belly: float = 0.2
    shape_modes: Modes = ()
    wall_modes: Modes = ()
    akinesia: tuple[float, float] = (0.0, 0.0)
    twist_deg: tuple[float, float] = (-4.0, 9.0)
    bend_mm: tuple[float, float] = (0.0, 0.0)
    slope: tuple[float, float] = (0.0, 0.0)
    rv_angle: float = np.pi + 0.25
    rv_half_width: float = 1.5
    rv_skew: float = 0.0
    rv_taper: float = 1.15
    rv_length: float = 0.92
    rv_wall_mm: float = 3.0
    fat_mm: float = 4.0
    papillary_mm: float = 4.5
    papillary_angles: tuple[float, float] = (-0.9, 1.2)
    es_phase: float = 0.37
    early_filling: float = 0.7
    _filled: PchipInterpolator = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_filled", _filling_curve(self.es_phase, self.early_filling))

    @property
    def myocardium_ml(self) -> float:
        """Volume of the left-ventricular wall: the same at every phase."""
        return self.lvm_g / MYOCARDIAL_DENSITY_G_ML

    def filled(self, phase: float) -> float:
        """Share of the stroke volume present at `phase` (0..1 of RR): 1 at ED, 0 at ES."""
        return float(self._filled(phase % 1.0))

    def at(self, phase: float) -> HeartState:
        """Return the geometry at `phase` (share of the RR interval after the R wave)."""
        filled = self.filled(phase)
        squeeze = 1.0 - filled
        epi_apex_mm = self.length_mm + self.apex_wall_mm
        base_mm = self.shortening_mm * squeeze
        return HeartState(
            heart=self,
            lv_ml=self.lvesv_ml + filled * (self.lvedv_ml - self.lvesv_ml),
            rv_ml=self.rvesv_ml + filled * (self.rvedv_ml - self.rvesv_ml),
            squeeze=squeeze,
            base_mm=base_mm,
            epi_length_mm=epi_apex_mm - base_mm,
            endo_length_mm=epi_apex_mm - base_mm - self.apex_wall_mm * (1 + 0.4 * squeeze),
        )


def _filling_curve(es: float, early: float) -> PchipInterpolator:
    """Monotone pieces with a plateau at ED and ES (the isovolumic intervals)."""
    late = 0.84
    knots = {
        0.0: 1.0,
        0.04: 1.0,
        (0.04 + es - 0.035) / 2: 0.5,
        es - 0.035: 0.0,
        es + 0.035: 0.0,
        es + 0.20: early,
        late: early + 0.35 * (1 - early),
        0.97: 1.0,
        1.0: 1.0,
    }
    return PchipInterpolator(list(knots), list(knots.values()))


def profile(s: NDArray, *, belly: float, taper: float) -> NDArray:
    """Relative area of the left ventricle at share `s` of its length; 0 outside 0..1."""
    below = np.maximum((s - belly) / (1 - belly), 0)
    above = np.maximum((belly - s) / (1 - belly), 0)
    out = 1 - below**taper - above * above
    return np.where((s >= 0) & (s < 1), np.maximum(out, 0), 0)


def profile_integral(*, belly: float, taper: float) -> float:
    """Integral of `profile` over 0..1, in closed form."""
    return (1 - belly) * taper / (taper + 1) + belly - belly**3 / (3 * (1 - belly) ** 2)


@dataclass(frozen=True, kw_only=True)
class HeartState:
    """The heart at one phase.

    Attributes
    ----------
    heart
        Its parameters.
    lv_ml, rv_ml
        Exact cavity volumes.
    squeeze
        0 at end-diastole, 1 at end-systole.
    base_mm
        Level of the base along the long axis; the epicardial apex stays where it is.
    epi_length_mm, endo_length_mm
        Lengths from the base to the epicardial and to the endocardial apex.
    """

    heart: Heart
    lv_ml: float
    rv_ml: float
    squeeze: float
    base_mm: float
    epi_length_mm: float
    endo_length_mm: float

    @property
    def endo_area_mm2(self) -> float:
        """Cavity area at its widest level."""
        h = self.heart
        whole = profile_integral(belly=h.belly, taper=h.taper)
        return 1000.0 * self.lv_ml / (self.endo_length_mm * whole)

    @property
    def epi_area_mm2(self) -> float:
        """Area within the epicardium at its widest level."""
        h = self.heart
        whole = profile_integral(belly=h.belly, taper=h.taper)
        return 1000.0 * (self.lv_ml + h.myocardium_ml) / (self.epi_length_mm * whole)

    @property
    def rv_length_mm(self) -> float:
        """Length of the right ventricle from the base."""
        return self.heart.rv_length * self.epi_length_mm

    @property
    def rv_base_area_mm2(self) -> float:
        """Area of the right ventricle at the base."""
        return 1000.0 * self.rv_ml * (self.heart.rv_taper + 1) / self.rv_length_mm

    @property
    def wall_mm(self) -> float:
        """Mean wall thickness at the widest level."""
        return float(np.sqrt(self.epi_area_mm2 / np.pi) - np.sqrt(self.endo_area_mm2 / np.pi))
