"""Curves of one cycle as a few harmonics: they close, and their rates of change are smooth."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

Floats = NDArray[np.float64]


def harmonic(values: ArrayLike, *, n_harmonics: int, reference: int | None = None) -> Floats:
    """Return the best periodic curves of a few harmonics.

    Parameters
    ----------
    values : array_like, shape (t, ...)
        Curves at equal distances in time over one whole cycle.
    n_harmonics
        Highest number of oscillations within a cycle that is kept; with as many as half the frames
        the values are returned.
    reference
        Frame in which every curve is shifted to 0; None leaves them.

    Examples
    --------
    >>> harmonic([0.0, 1.0, 0.0, -1.0], n_harmonics=1).round(6).tolist()
    [0.0, 1.0, 0.0, -1.0]
    """
    array = np.asarray(values, dtype=np.float64)
    spectrum = np.fft.rfft(array, axis=0)
    spectrum[n_harmonics + 1 :] = 0
    smooth = np.fft.irfft(spectrum, n=len(array), axis=0)
    return smooth if reference is None else smooth - smooth[reference]


def evenly(values: ArrayLike, *, at: ArrayLike) -> Floats:
    """Return periodic curves at equal distances in time, from where they are known.

    Parameters
    ----------
    values : array_like, shape (t, ...)
        Finite curves of one cycle.
    at : array_like, shape (t,)
        Increasing positions as shares of the cycle; the first is 0.

    Returns
    -------
    ndarray, shape (t, ...)
        At 0, 1/t, 2/t ...: periodic cubic splines through the values; these themselves where they
        lie so already, within a hundredth of a step.
    """
    array, where = np.asarray(values, dtype=np.float64), np.asarray(at, dtype=np.float64)
    wanted = np.arange(len(where)) / len(where)
    if np.abs(where - wanted).max() <= 0.01 / len(where):
        return array
    closed = np.concatenate([array, array[:1]])
    curve = CubicSpline(np.append(where, 1.0), closed, axis=0, bc_type="periodic")
    smooth: Floats = curve(wanted)
    return smooth


def rates(values: ArrayLike, *, period_s: float) -> Floats:
    """Return the derivative by time, per second, of periodic curves of shape (t, ...).

    Exact for curves of fewer harmonics than half the frames.
    """
    array = np.asarray(values, dtype=np.float64)
    n = len(array)
    order = np.arange(n // 2 + 1, dtype=np.float64)
    if n % 2 == 0:
        order[-1] = 0.0  # the sign of the highest frequency is not known
    factor = (2j * np.pi * order / period_s).reshape(-1, *[1] * (array.ndim - 1))
    return np.fft.irfft(np.fft.rfft(array, axis=0) * factor, n=n, axis=0)


def is_periodic(values: ArrayLike, *, steps: float = 2.5, share: float = 0.25) -> bool:
    """Whether a curve's last frame may be followed by its first.

    Parameters
    ----------
    values : array_like, shape (t,)
        A curve of one cycle.
    steps, share
        The step from the last frame to the first may be so many times the largest other step, and
        is never refused below this share of the curve's range.

    Examples
    --------
    >>> is_periodic([10.0, 8.0, 5.0, 6.0, 9.0]), is_periodic([10.0, 9.0, 8.0, 7.0, 6.0])
    (True, False)
    """
    curve = np.asarray(values, dtype=np.float64)
    last = abs(float(curve[0] - curve[-1]))
    others = np.abs(np.diff(curve)).max(initial=0.0)
    return bool(last <= max(steps * others, share * float(np.ptp(curve))))
