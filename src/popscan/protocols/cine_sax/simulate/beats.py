"""Beats in which something went wrong, drawn for a simulated session."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.arrays.beats import Beat, beat_numbers, late, seen_in

#: Beats in which a slice is acquired: a breath-hold of about 8 s.
N_BEATS = 8
#: Faults that strike single beats.
BEAT_FAULTS = ("late_beats", "breath")


def drawn_beats(
    fault: str,
    *,
    frames: int,
    slices: int,
    spacing_mm: tuple[float, float],
    rng: np.random.Generator,
    n_late: int = 2,
    breath_mm: float = 8.0,
) -> list[list[Beat]]:
    """Draw what goes wrong in each beat of each slice.

    Parameters
    ----------
    fault
        ``late_beats``: in `n_late` beats of each slice the trigger comes late by 1 frame to half
        of the cycle, each time another; ``breath``: in each slice the breath ends too early, in
        the fifth beat or later, and for the rest of the beats the body lies elsewhere in the plane.
    frames, slices
        How many.
    spacing_mm
        In-plane pixels.
    rng
        Source of beats, delays and directions.
    n_late
        Late beats of a slice, up to `N_BEATS`.
    breath_mm
        How far the body moves.

    Returns
    -------
    list of list of Beat
        For each slice `N_BEATS` beats.
    """
    out = []
    for _ in range(slices):
        beats = [Beat()] * N_BEATS
        if fault == "late_beats":
            for k in rng.choice(N_BEATS, n_late, replace=False):
                beats[k] = late(frames, int(rng.integers(1, max(frames // 2, 1) + 1)))
        else:
            first, angle = int(rng.integers(N_BEATS // 2, N_BEATS)), rng.uniform(0, 2 * np.pi)
            direction = (np.cos(angle), np.sin(angle))
            moved = tuple(
                float(breath_mm * u / mm) for u, mm in zip(direction, spacing_mm, strict=True)
            )
            beats[first:] = [Beat(moved_px=(moved[0], moved[1]))] * (N_BEATS - first)
        out.append(beats)
    return out


def struck_spectrum(
    spectrum: NDArray[np.complex64], beats: list[list[Beat]]
) -> NDArray[np.complex64]:
    """Replace lines of an object's spectrum (t, z, kx, ky) by what the beats saw.

    For images without coils; k-space of coils is put together by `acquire`.
    """
    frames, _, _, lines = spectrum.shape
    numbers = beat_numbers(np.ones((lines, frames), bool), N_BEATS, order="interleaved")
    out = spectrum.copy()
    for z, own in enumerate(beats):
        for t in range(frames):
            for k, beat in enumerate(own):
                if not beat.regular:
                    struck = numbers[:, t] == k
                    out[t, z][:, struck] = seen_in(spectrum[:, z], beat, frame=t)[:, struck]
    return out
