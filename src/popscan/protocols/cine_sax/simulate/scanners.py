"""The scanners of the simulated sites: field, sequence, image character."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """One scanner type; the makers are invented, the numbers typical of cine bSSFP.

    Attributes
    ----------
    manufacturer, field_strength_t
        What its images say of it.
    flip_deg, tr_ms
        Flip angle and repetition time.
    noise
        Standard deviation of each coil's noise, relative to the blood's signal at the heart.
    field_spread_hz
        Standard deviation of the smooth off-resonance: shading and bands, more at 3 T.
    evenness
        Share (0..1) of the coils' shading that its image filter removes.
    gain
        Image intensity of blood at the heart.
    smoothing
        Width of the filter over k-space as a share of its half-width; 0: none.
    """

    manufacturer: str
    field_strength_t: float
    flip_deg: float
    tr_ms: float
    noise: float
    field_spread_hz: float
    evenness: float
    gain: float
    smoothing: float


#: Scanner types by the name that the cohort table shows.
SCANNERS: Mapping[str, Scanner] = {
    "Alder 1.5T": Scanner(
        manufacturer="Alder",
        field_strength_t=1.5,
        flip_deg=60.0,
        tr_ms=2.8,
        noise=0.035,
        field_spread_hz=18.0,
        evenness=0.5,
        gain=420.0,
        smoothing=0.0,
    ),
    "Birch 1.5T": Scanner(
        manufacturer="Birch",
        field_strength_t=1.5,
        flip_deg=50.0,
        tr_ms=3.2,
        noise=0.045,
        field_spread_hz=22.0,
        evenness=0.25,
        gain=1500.0,
        smoothing=0.6,
    ),
    "Cedar 3T": Scanner(
        manufacturer="Cedar",
        field_strength_t=3.0,
        flip_deg=45.0,
        tr_ms=3.0,
        noise=0.028,
        field_spread_hz=42.0,
        evenness=0.3,
        gain=800.0,
        smoothing=0.3,
    ),
}
