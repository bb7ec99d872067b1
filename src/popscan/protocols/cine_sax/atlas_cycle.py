"""A heart over its cycle in the atlas's frame: phases between end-diastole and end-systole."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from popscan.atlas.cycle import Cycle
from popscan.atlas.grid import AtlasGrid
from popscan.protocols.cine_sax.atlas import grey_range, normalised, resampled
from popscan.protocols.cine_sax.frame import heart_frame
from popscan.protocols.cine_sax.strain.inputs import covered_cycle
from popscan.records import LabelMap, NotApplicable, Scan, SubjectError

#: Fewest frames of a cycle.
MIN_FRAMES = 8
#: End-systole is that phase of the atlas: a third of the phases lie before it.
_SYSTOLE = 1 / 3


def systole_of(n_phases: int) -> int:
    """Return which phase of the atlas is end-systole; phase 0 is end-diastole."""
    return max(1, round(n_phases * _SYSTOLE))


def frames_of(at: NDArray[np.float64], *, ed: int, es: int, n_phases: int) -> list[int]:
    """Return the frame nearest in time to each phase.

    Parameters
    ----------
    at : ndarray, shape (t,)
        Positions of the frames as shares of the cycle.
    ed, es
        Frames of end-diastole and end-systole; phases are equally spaced between them, before and
        after end-systole, so that all hearts contract and fill together.
    n_phases
        At least 2.

    Examples
    --------
    >>> frames_of(np.arange(12) / 12, ed=0, es=4, n_phases=6)
    [0, 2, 4, 6, 8, 10]
    """
    since = (np.asarray(at) - at[ed]) % 1.0
    systole, whole = systole_of(n_phases), float(since[es])
    shares = [
        whole * k / systole
        if k <= systole
        else whole + (1 - whole) * (k - systole) / (n_phases - systole)
        for k in range(n_phases)
    ]
    away = [np.minimum(np.abs(since - s), 1 - np.abs(since - s)) for s in shares]
    return [int(np.argmin(one)) for one in away]


def cycle_of(
    scan: Scan, labels: LabelMap, *, phases: Mapping[str, int], n_phases: int, grid: AtlasGrid
) -> Cycle:
    """Bring a cine over its cycle into the frame of its end-diastole.

    Parameters
    ----------
    scan, labels
        All frames, on one grid.
    phases
        Frames ``ED`` and ``ES``.
    n_phases
        How many.
    grid
        Of the atlas.

    Returns
    -------
    Cycle
        Phase 0 is end-diastole, phase `systole_of` end-systole.

    Raises
    ------
    NotApplicable
        ``too_few_frames``, ``unknown_cycle``, ``cycle_not_closed``.
    SubjectError
        ``shape_mismatch``, ``unlabelled_frames``, ``missing_structure``,
        ``undefined_heart_frame``, ``constant_image``, ``non_finite_image``.
    """
    at, _ = covered_cycle(scan, labels, min_frames=MIN_FRAMES)
    if phases["ED"] == phases["ES"]:
        raise NotApplicable("cycle_not_closed", "end-diastole and end-systole are one frame")
    frames = frames_of(at, ed=phases["ED"], es=phases["ES"], n_phases=n_phases)
    first = labels.array[..., phases["ED"]]
    spacing = (scan.spacing_mm[0], scan.spacing_mm[1], scan.spacing_mm[2])
    matrix = heart_frame(first, spacing_mm=spacing).matrix @ grid.to_frame
    image = np.asarray(scan.array, dtype=np.float32)
    if not np.isfinite(image[..., frames]).all():
        raise SubjectError("non_finite_image", "the image holds NaN or infinite values")
    limits = grey_range(image[..., phases["ED"]], first > 0, spacing)
    made = {
        t: resampled(
            normalised(image[..., t], limits), labels.array[..., t], matrix,
            spacing_mm=spacing, grid=grid,
        )
        for t in sorted(set(frames))
    }  # fmt: skip
    return Cycle.of_maps(
        np.stack([made[t][2] for t in frames]), np.stack([made[t][0] for t in frames])
    )
