"""A pulsatile pipe with known flow, as a scanner would show it: phase, magnitude, background."""

from __future__ import annotations

import math
from collections.abc import Sequence
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


@dataclass(frozen=True, kw_only=True)
class Tube:
    """A vessel with known flow.

    Attributes
    ----------
    code
        Its label.
    centre_mm
        Where it crosses the plane, from the middle of the image.
    radius_mm, tilt_deg
        Of its circular cross-section, and how oblique the plane lies to it: the cut is an ellipse,
        longer along x, and velocity through the plane is smaller; flow is the same.
    sway_mm
        How far it moves to either side along y within the cycle.
    peak_cm_s
        Velocity on the axis at the peak; negative for a vessel that flows the other way.
    back
        Share of the peak that flows back.
    profile
        The velocity over the radius is ``1 - (r / R) ** profile``: 2 is Poiseuille's parabola,
        larger ones are flatter.
    """

    code: int = 1
    centre_mm: tuple[float, float] = (0.0, 0.0)
    radius_mm: float = 13.0
    tilt_deg: float = 0.0
    sway_mm: float = 0.0
    peak_cm_s: float = 110.0
    back: float = 0.1
    profile: float = 6.0

    def area_cm2(self) -> float:
        """Return the area that flows like the axis: pi R**2 profile / (profile + 2)."""
        return math.pi * (self.radius_mm / 10) ** 2 * self.profile / (self.profile + 2)

    def volumes_ml(self, cycle_s: float) -> tuple[float, float]:
        """Return the analytic volumes forward and backward of a cycle, by a fine integral."""
        fine = waveform((np.arange(20_000) + 0.5) / 20_000, back=self.back)
        fine = fine * abs(self.peak_cm_s) * self.area_cm2()
        forward, backward = (float(np.maximum(v, 0).mean()) * cycle_s for v in (fine, -fine))
        return forward, backward


@dataclass(frozen=True, kw_only=True)
class Acquired:
    """Images of a plane over one cycle.

    Attributes
    ----------
    magnitude, phase_rad : ndarray, shape (x, y, t)
        As acquired; the phase within a turn.
    labels : ndarray of uint8, shape (x, y, t)
        Codes of the tubes, where a pixel's centre lies within.
    """

    magnitude: Floats
    phase_rad: Floats
    labels: NDArray[np.uint8]


def acquire(
    tubes: Sequence[Tube],
    *,
    rng: np.random.Generator,
    venc_cm_s: float = 150.0,
    n: int = 96,
    spacing_mm: float = 1.6,
    frames: int = 30,
    snr: float = 30.0,
    offset_cm_s: float = 1.5,
) -> Acquired:
    """Simulate vessels in still tissue with lungs (no signal) at both sides.

    The background is a tilted plane of `offset_cm_s` at the edge of the image.

    Parameters
    ----------
    tubes
        The vessels.
    rng
        Of noise.
    snr
        Magnitude of tissue over the noise of real and imaginary part.
    """
    at = np.arange(frames) / frames
    x, y = np.meshgrid(*([spacing_mm * (np.arange(n) - (n - 1) / 2)] * 2), indexing="ij")
    velocity = np.zeros((n, n, frames))
    labels = np.zeros((n, n, frames), dtype=np.uint8)
    for tube in tubes:
        tilt = math.cos(math.radians(tube.tilt_deg))
        middle = tube.centre_mm[1] + tube.sway_mm * np.sin(2 * np.pi * at)
        radius = np.hypot(((x - tube.centre_mm[0]) * tilt)[..., None], y[..., None] - middle)
        inside = radius < tube.radius_mm
        within = np.minimum(radius, tube.radius_mm) / tube.radius_mm
        shape = np.where(inside, 1.0 - within**tube.profile, 0.0) * tilt
        velocity += shape * tube.peak_cm_s * waveform(at, back=tube.back)
        labels[inside] = tube.code
    half = n * spacing_mm / 2
    offset = offset_cm_s * (0.3 + 0.7 * x / half + 0.4 * y / half)
    lung = (np.abs(x) > 0.62 * half) & (np.abs(y) < 0.5 * half)
    tissue = np.where(lung, 0.02, 1.0) * np.where(np.hypot(x, y) < 0.97 * half, 1.0, 0.02)
    brightness = np.where(labels > 0, 1.3, tissue[..., None])
    phase = math.pi * (velocity + offset[..., None]) / venc_cm_s
    noise = rng.standard_normal((2, n, n, frames)) / snr
    signal = brightness * np.exp(1j * phase) + noise[0] + 1j * noise[1]
    return Acquired(
        magnitude=np.abs(signal), phase_rad=np.angle(signal), labels=labels
    )  # fmt: skip


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
    """Simulate one vessel; the options are those of `Tube` and `acquire`.

    Parameters
    ----------
    seed
        Of noise, and of where the vessel lies.
    cycle_s
        Length of the cycle.
    """
    rng = np.random.default_rng(seed)
    at = np.arange(frames) / frames
    centre = rng.uniform(-10, 10, 2)
    tube = Tube(
        centre_mm=(float(centre[0]), float(centre[1])), radius_mm=radius_mm, peak_cm_s=peak_cm_s,
        back=back, profile=profile,
    )  # fmt: skip
    made = acquire(
        [tube], rng=rng, venc_cm_s=venc_cm_s, n=n, spacing_mm=spacing_mm, frames=frames, snr=snr,
        offset_cm_s=offset_cm_s,
    )  # fmt: skip
    forward, backward = tube.volumes_ml(cycle_s)
    return Pipe(
        magnitude=made.magnitude, phase_rad=made.phase_rad, region=made.labels > 0,
        flow_ml_s=waveform(at, back=back) * peak_cm_s * tube.area_cm2(), forward_ml=forward,
        backward_ml=backward, peak_cm_s=peak_cm_s, pixel_cm2=(spacing_mm / 10) ** 2,
        cycle_s=cycle_s,
    )  # fmt: skip
