"""Signals with a known T1: inversions, readouts that pull the magnetisation, waits between them.

The readouts are taken as going on all the time: the magnetisation then recovers towards ``M0 T1* /
T1`` with T1*, so that the correction by Look and Locker is exact (Deichmann and Haase 1992). After
the samples of an inversion nothing is read, and it recovers towards M0 with T1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Samples and beats of waiting after each inversion of a scheme.
SHMOLLI: tuple[tuple[int, int], ...] = ((5, 1), (1, 1), (1, 0))
MOLLI_5_3: tuple[tuple[int, int], ...] = ((5, 3), (3, 0))
#: Shortest inversion time, and what each further inversion adds, in ms.
FIRST_MS, STEP_MS = 100.0, 80.0


def inversion_times_ms(
    scheme: Sequence[tuple[int, int]], *, beat_ms: float = 1000.0
) -> NDArray[np.float64]:
    """Return the inversion times of a scheme, in the order in which they are acquired."""
    return np.concatenate(
        [FIRST_MS + STEP_MS * which + beat_ms * np.arange(n) for which, (n, _) in enumerate(scheme)]
    )


def inversion_signal(
    scheme: Sequence[tuple[int, int]],
    *,
    t1_ms: ArrayLike,
    pull: float = 0.9,
    m0: ArrayLike = 1.0,
    beat_ms: float = 1000.0,
    efficiency: ArrayLike = 1.0,
) -> NDArray[np.float64]:
    """Return the signed samples of a scheme, shape (n, ...), in the order of acquisition.

    Parameters
    ----------
    scheme
        Samples, and beats without readout that follow them, of each inversion.
    t1_ms, m0
        Tissue.
    pull
        T1* over T1.
    beat_ms
        Time from beat to beat.
    efficiency
        Share of the magnetisation that an inversion turns over; below 1 fits find too short a T1.
    """
    t1, full = np.broadcast_arrays(np.asarray(t1_ms, float), np.asarray(m0, float))
    star, steady = pull * t1, pull * full
    before, samples = full, []
    for which, (n, waits) in enumerate(scheme):
        times = FIRST_MS + STEP_MS * which + beat_ms * np.arange(n)
        start = -np.asarray(efficiency) * before
        samples += [steady - (steady - start) * np.exp(-time / star) for time in times]
        # The beats without readout end where the next inversion comes, before its first sample.
        rest = beat_ms * (waits + 1) - FIRST_MS - STEP_MS * (which + 1)
        before = full - (full - samples[-1]) * np.exp(-max(rest, 0.0) / t1)
    return np.stack(samples)
