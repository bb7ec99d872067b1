"""How k-space is simulated for trainings that reconstruct: what a recipe says of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Undersampling:
    """Ranges from which every training example draws.

    Attributes
    ----------
    accelerations
        Smallest and largest net acceleration.
    centre_lines
        Smallest and largest number of fully sampled central lines.
    widths, floors
        Of a random mask's density over k-space: the Gaussian's width as a fraction of the lines,
        and what is added to it everywhere, relative to its peak.
    lattice
        Share of the examples with evenly spaced lines in place of random ones.
    single_frame, single_coil
        Share of the examples of one frame, and of one coil.
    coils
        Smallest and largest number of coils of the others.
    frames, cycle_frames
        Frames of an example that has several, and the range of frames of a whole cycle.
    outward, least_return
        Range of the share of a cycle in which the motion goes from its first end to the other, and
        the least share that the way back takes (at most all that is left; then there is rest).
    noise, noise_free
        Range of the noise's standard deviation relative to the brightest tissue (drawn on a
        logarithmic scale), and the share of the examples without.
    phase_free
        Share of the examples without background phase.
    cycle
        For networks that are given whole series: range of the number of frames, a whole cycle.
    on_motion
        For these: share of the strips that lie where the series changes most.
    motion_weight
        For these: weight of the error of the deviation from the mean over time, beside that of the
        images.
    """

    accelerations: tuple[float, float] = (2.0, 10.0)
    centre_lines: tuple[int, int] = (4, 16)
    widths: tuple[float, float] = (0.08, 0.25)
    floors: tuple[float, float] = (0.05, 0.25)
    lattice: float = 0.15
    single_frame: float = 0.5
    single_coil: float = 0.7
    coils: tuple[int, int] = (4, 6)
    frames: int = 11
    cycle_frames: tuple[int, int] = (15, 30)
    outward: tuple[float, float] = (0.3, 0.45)
    least_return: float = 0.25
    noise: tuple[float, float] = (0.002, 0.04)
    noise_free: float = 0.35
    phase_free: float = 0.4
    cycle: tuple[int, int] = (10, 16)
    on_motion: float = 0.7
    motion_weight: float = 0.25
