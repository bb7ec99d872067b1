"""Which phase-encoding lines a frame acquires."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popscan.records import PopscanError

#: Names of the sampling patterns.
PATTERNS = ("lattice", "random", "gaussian")
#: Pattern -> width of its density over k-space as a fraction of the lines, and its floor.
_DENSITY = {"random": (0.22, 0.15), "gaussian": (0.1, 0.0)}


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
        Phase-encoding lines and frames.
    acceleration
        Net undersampling factor, at least 1 (1: everything).
    acs_lines
        Fully sampled lines around the centre of k-space in every frame.
    pattern
        ``lattice``: evenly spaced outer lines, shifted from frame to frame so that the frames
        together cover k-space; ``random``: outer lines drawn anew per frame, denser near the
        centre; ``gaussian``: likewise, with the narrower density that Schlemper et al. (IEEE TMI
        37:491-503, 2018) train and test on (a Gaussian, plus half of the lines evenly).
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
    kept = round(lines / acceleration)
    if kept == lines:
        return np.ones((lines, frames), bool)
    if not 0 <= acs_lines < kept:
        raise PopscanError(
            f"acceleration {acceleration:g} of {lines} lines leaves {kept} per frame: "
            f"no outer line beside {acs_lines} calibration lines"
        )
    if pattern == "lattice":
        return lattice_mask(lines, frames, kept=kept, centre=acs_lines, rng=rng)
    width, floor = _DENSITY[pattern]
    return density_mask(
        lines, frames, kept=kept, centre=acs_lines, width=width,
        floor=floor or 0.5 / acceleration, rng=rng,
    )  # fmt: skip


def lattice_mask(
    lines: int, frames: int, *, kept: int, centre: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return evenly spaced lines around a full centre, shifted from frame to frame.

    Parameters
    ----------
    lines, frames
        Phase-encoding lines and frames.
    kept, centre
        Lines of each frame, and how many of them are the central ones.
    rng
        Source of the first shift.
    """
    mask, outer = _with_centre(lines, frames, centre)
    wanted = kept - centre
    # The golden ratio spreads the shifts of any run of frames evenly.
    shifts = (rng.random() + np.arange(frames) * 0.618034) % 1.0
    for t in range(frames):
        picked = ((np.arange(wanted) + shifts[t]) * outer.size / wanted).astype(int)
        mask[outer[picked], t] = True
    return mask


def density_mask(
    lines: int,
    frames: int,
    *,
    kept: int,
    centre: int,
    width: float,
    floor: float,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Return random lines around a full centre, denser near it, drawn anew for each frame.

    Parameters
    ----------
    lines, frames, kept, centre
        As in `lattice_mask`.
    width
        Standard deviation of the density as a fraction of the lines.
    floor
        What is added to the density everywhere, relative to its peak.
    rng
        Source of the draws.
    """
    mask, outer = _with_centre(lines, frames, centre)
    closeness = np.exp(-0.5 * ((outer - lines // 2) / (width * lines)) ** 2) + floor
    for t in range(frames):
        picked = rng.choice(outer.size, kept - centre, replace=False, p=closeness / closeness.sum())
        mask[outer[picked], t] = True
    return mask


def _with_centre(
    lines: int, frames: int, centre: int
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    mask = np.zeros((lines, frames), bool)
    first = lines // 2 - centre // 2
    mask[first : first + centre] = True
    return mask, np.flatnonzero(~mask[:, 0])
