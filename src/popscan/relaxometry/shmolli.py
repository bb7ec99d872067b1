"""ShMOLLI: which of the seven samples of a voxel count (Piechnik et al. 2010).

Five samples follow a first inversion, one each a second and a third, after waits too short for full
recovery (doi:10.1186/1532-429X-12-69). Samples of the second and third inversion are therefore
right only where T1 is short beside the heart beat: each voxel is fitted with five, six and seven
samples, and more samples are taken only where their own T1 allows it. The method is protected by
the patent US20120078084A1.

The publication describes the choice in words; the limits are popscan's reading of it: six samples
where their T1 is below the interval between beats and the residuals do not grow, seven where T1 is
below 0.4 intervals.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.records import SubjectError
from popscan.relaxometry.checks import check_series
from popscan.relaxometry.inversion import Recovery, fit_recovery

N_SAMPLES = 7
#: Share of the interval between beats below which seven samples count.
SHORT = 0.4
#: Spacing of the first inversion's samples may vary by this share (heart rate).
_IRREGULAR = 0.5


def shmolli_order(times_ms: ArrayLike) -> tuple[NDArray[np.intp], float]:
    """Return the order first, second, third inversion of seven samples, and the beat's interval.

    The three shortest times are the first samples after the three inversions; the others follow
    the first inversion, one beat apart.

    Raises
    ------
    SubjectError
        ``scheme_mismatch`` where the times are not those of a 5-1-1 scheme.
    """
    times = np.asarray(times_ms, dtype=float)
    listed = ", ".join(f"{t:g}" for t in times)
    if times.size != N_SAMPLES:
        raise SubjectError(
            "scheme_mismatch", f"{times.size} images ({listed} ms); ShMOLLI has {N_SAMPLES}"
        )
    by_time = np.argsort(times)
    first = by_time[[0, 3, 4, 5, 6]]
    beats = np.diff(times[first])
    interval = float(np.median(beats))
    regular = bool(np.all(np.abs(beats / max(interval, 1e-9) - 1.0) <= _IRREGULAR))
    if not regular or times[by_time[2]] >= times[by_time[0]] + interval:
        raise SubjectError(
            "scheme_mismatch",
            f"inversion times {listed} ms; five samples a beat apart and two short ones expected",
        )
    return np.concatenate([first, by_time[1:3]]), interval


def fit_shmolli(
    samples: ArrayLike, times_ms: ArrayLike, *, signs: ArrayLike | None = None
) -> Recovery:
    """Fit every voxel with those samples that count.

    Parameters
    ----------
    samples : array_like, shape (7, ...)
        Magnitude, one image per inversion time, in any order.
    times_ms
        Inversion times; the interval between beats is the spacing of the first five.
    signs : array_like, shape (7, ...), optional
        As in `fit_recovery`.

    Returns
    -------
    Recovery
        ``n_samples`` says which choice was made.

    Raises
    ------
    SubjectError
        ``scheme_mismatch``, and those of `check_series`.
    """
    data, times = check_series(samples, times_ms, least=3)
    order, interval = shmolli_order(times)
    polarity = None if signs is None else np.asarray(signs, dtype=float)[order]
    five, six, seven = (
        fit_recovery(
            data[order[:n]], times[order[:n]], signs=None if polarity is None else polarity[:n]
        )
        for n in (5, 6, 7)
    )
    takes_six = (six.t1_ms < interval) & (six.residual <= five.residual)
    takes_seven = seven.t1_ms < SHORT * interval
    return _taken(seven, _taken(six, five, takes_six), takes_seven)


def _taken(first: Recovery, other: Recovery, where: NDArray[np.bool_]) -> Recovery:
    chosen = {
        f.name: np.where(where, getattr(first, f.name), getattr(other, f.name))
        for f in fields(Recovery)
    }
    return Recovery(**chosen)
