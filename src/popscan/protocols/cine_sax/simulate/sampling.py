"""Which phase-encoding lines a frame acquires."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.records import PopscanError

#: Names of the sampling patterns.
PATTERNS = ("lattice", "random")


def sampling_mask(
    lines: int,
    frames: int,
    *,
    acceleration: float,
    acs_lines: int,
    pattern: str = "lattice",
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Return the acquired lines of each frame: exactly ``round(lines / acceleration)`` of them.

    The calibration lines in the centre count among them, so `acceleration` is net.

    Parameters
    ----------
    lines, frames
        Phase-encoding lines and cardiac frames.
    acceleration
        Net undersampling factor, at least 1 (1: everything).
    acs_lines
        Fully sampled lines around the centre of k-space in every frame.
    pattern
        ``lattice``: evenly spaced outer lines, shifted from frame to frame so that the frames
        together cover k-space; ``random``: outer lines drawn anew per frame, denser near the
        centre.
    rng
        Source of the shifts or draws.

    Returns
    -------
    ndarray of bool, shape (lines, frames)
        True where a line is acquired.

    Raises
    ------
    PopscanError
        For an unknown pattern, an acceleration below 1, or one that leaves no outer line.
    """
    if pattern not in PATTERNS:
        raise PopscanError(f"unknown sampling pattern {pattern!r}: known are {list(PATTERNS)}")
    if acceleration < 1:
        raise PopscanError(f"acceleration {acceleration} is below 1")
    mask = np.zeros((lines, frames), bool)
    kept = round(lines / acceleration)
    if kept == lines:
        return ~mask
    if not 0 <= acs_lines < kept:
        raise PopscanError(
            f"acceleration {acceleration:g} of {lines} lines leaves {kept} per frame: "
            f"no outer line beside {acs_lines} calibration lines"
        )
    first = lines // 2 - acs_lines // 2
    mask[first : first + acs_lines] = True
    outer = np.flatnonzero(~mask[:, 0])
    wanted = kept - acs_lines
    # The golden ratio spreads the shifts of any run of frames evenly.
    shifts = (rng.random() + np.arange(frames) * 0.618034) % 1.0
    closeness = np.exp(-0.5 * ((outer - lines // 2) / (0.22 * lines)) ** 2) + 0.15
    for t in range(frames):
        if pattern == "lattice":
            picked = ((np.arange(wanted) + shifts[t]) * outer.size / wanted).astype(int)
        else:
            picked = rng.choice(outer.size, wanted, replace=False, p=closeness / closeness.sum())
        mask[outer[picked], t] = True
    return mask
