"""A pulsatile pipe with known flow, as a scanner would show it: phase, magnitude, background."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Pipe:
    """Images of one cycle, and the truth.

    Attributes
    ----------
    magnitude, phase_rad : ndarray, shape (x, y, t)
        As acquired; the phase within a turn.
    region : ndarray of bool, shape (x, y, t)
        Pixels whose centre lies in the pipe.
    flow_ml_s : ndarray, shape (t,)
        Analytic flow at the frames.
    forward_ml, backward_ml, peak_cm_s
        Of the analytic flow, by a fine integral; velocity on the axis.
    pixel_cm2, cycle_s
        Of the images.
    """

    magnitude: Floats
    phase_rad: Floats
    region: NDArray[np.bool_]
    flow_ml_s: Floats
    forward_ml: float
    backward_ml: float
    peak_cm_s: float
    pixel_cm2: float
    cycle_s: float


def waveform(at: Floats, *, back: float) -> Floats:
    """Velocity on the axis over the cycle, of its peak: ejection, then backflow of a share."""
    ejection = np.where(at < 0.35, np.sin(np.pi * np.minimum(at, 0.35) / 0.35) ** 2, 0.0)
    later = (at >= 0.38) & (at < 0.8)
    leak = np.where(later, np.sin(np.pi * (at - 0.38) / 0.42) ** 2, 0.0)
    return np.asarray(ejection - back * leak)


def pulsatile_pipe(
    *,
    seed: int,
    radius_mm: float = 13.0,
    peak_cm_s: float = 110.0,
    back: float = 0.1,
    venc_cm_s: float = 150.0,
    n: int = 96,
    spacing_mm: float = 1.6,
    frames: int = 30,
    cycle_s: float = 0.9,
    snr: float = 30.0,
    offset_cm_s: float = 1.5,
    profile: float = 6.0,
) -> Pipe:
    """Simulate a vessel in still tissue with lungs (no signal) at one side.

    The profile over the radius is ``1 - (r / R) ** profile`` (2: parabola; larger: flatter), so
    that flow is the axis velocity times ``pi R**2 profile / (profile + 2)``. The background is a
    tilted plane of `offset_cm_s` at the edge of the image.

    Parameters
    ----------
    seed
        Of noise, and of where the vessel lies.
    snr
        Magnitude of tissue over the noise of real and imaginary part.
    """
    rng = np.random.default_rng(seed)
    at = np.arange(frames) / frames
    centre = rng.uniform(-10, 10, 2)
    x, y = np.meshgrid(*([spacing_mm * (np.arange(n) - (n - 1) / 2)] * 2), indexing="ij")
    radius = np.hypot(x - centre[0], y - centre[1])
    inside = radius < radius_mm
    shape = np.where(inside, 1.0 - (np.minimum(radius, radius_mm) / radius_mm) ** profile, 0.0)
    velocity = shape[..., None] * peak_cm_s * waveform(at, back=back)
    half = n * spacing_mm / 2
    offset = offset_cm_s * (0.3 + 0.7 * x / half + 0.4 * y / half)
    lung = (np.abs(x) > 0.62 * half) & (np.abs(y) < 0.5 * half)
    tissue = np.where(lung, 0.02, 1.0) * np.where(np.hypot(x, y) < 0.97 * half, 1.0, 0.02)
    brightness = np.where(inside, 1.3, tissue)[..., None] * np.ones(frames)
    phase = math.pi * (velocity + offset[..., None]) / venc_cm_s
    noise = rng.standard_normal((2, n, n, frames)) / snr
    signal = brightness * np.exp(1j * phase) + noise[0] + 1j * noise[1]
    area_cm2 = math.pi * (radius_mm / 10) ** 2 * profile / (profile + 2)
    fine = waveform((np.arange(20_000) + 0.5) / 20_000, back=back) * peak_cm_s * area_cm2
    return Pipe(
        magnitude=np.abs(signal), phase_rad=np.angle(signal),
        region=np.repeat(inside[..., None], frames, axis=2),
        flow_ml_s=waveform(at, back=back) * peak_cm_s * area_cm2,
        forward_ml=float(np.maximum(fine, 0).mean()) * cycle_s,
        backward_ml=float(np.maximum(-fine, 0).mean()) * cycle_s,
        peak_cm_s=peak_cm_s, pixel_cm2=(spacing_mm / 10) ** 2, cycle_s=cycle_s,
    )  # fmt: skip
