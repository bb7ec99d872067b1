"""T2 from images with T2 preparation: a mono-exponential decay, all voxels at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.relaxometry.checks import check_series

Floats = NDArray[np.float64]

#: T2 beyond these is no value, in ms.
RANGE_MS = (1.0, 2000.0)
_STEPS = 15


@dataclass(frozen=True, kw_only=True)
class Decay:
    """Fit of every voxel; NaN where there is none.

    Attributes
    ----------
    t2_ms, se_ms, s0 : ndarray
        T2, its standard error (NaN for two samples), and the signal without preparation.
    residual, r2 : ndarray
        Standard deviation of the residuals (n - 2 degrees of freedom), and the share of variance
        that the fit explains.
    n_samples : ndarray of int
        Samples that the fit used.
    """

    t2_ms: Floats
    se_ms: Floats
    s0: Floats
    residual: Floats
    r2: Floats
    n_samples: NDArray[np.int64]


def fit_decay(samples: ArrayLike, times_ms: ArrayLike) -> Decay:
    """Fit ``S0 exp(-t / T2)`` to every voxel by least squares.

    The logarithm's weighted line gives the start; Gauss-Newton steps on the signal itself remove
    what the logarithm does to noise.

    Parameters
    ----------
    samples : array_like, shape (n, ...)
        Magnitude, one image per T2 preparation.
    times_ms
        Durations of the preparation (0 without one).

    Raises
    ------
    SubjectError
        As `check_series`.
    """
    data, times = check_series(samples, times_ms, least=2, what="T2 preparation time")
    shape = data.shape[1:]
    flat = data.reshape(len(times), -1)
    out = np.full((5, flat.shape[1]), np.nan)
    fitted = np.flatnonzero(np.isfinite(flat).all(axis=0) & (flat > 0).all(axis=0))
    out[:, fitted] = _fit(flat[:, fitted], times)
    t2, se, s0, residual, r2 = (row.reshape(shape) for row in out)
    return Decay(
        t2_ms=t2, se_ms=se, s0=s0, residual=residual, r2=r2,
        n_samples=np.where(np.isfinite(t2), len(times), 0),
    )  # fmt: skip


def _fit(signal: Floats, times: Floats) -> Floats:
    n = len(times)
    s0, rate = _log_line(signal, times)
    for _ in range(_STEPS):
        decay = np.exp(-times[:, None] * rate)
        residual = signal - s0 * decay
        j0, j1 = decay, -s0 * times[:, None] * decay
        n00, n01, n11 = (j0 * j0).sum(0), (j0 * j1).sum(0), (j1 * j1).sum(0)
        g0, g1 = (j0 * residual).sum(0), (j1 * residual).sum(0)
        determinant = np.maximum(n00 * n11 - n01**2, 1e-30)
        s0 = s0 + (n11 * g0 - n01 * g1) / determinant
        rate = np.clip(rate + (n00 * g1 - n01 * g0) / determinant, 1e-5, 1.0)
    decay = np.exp(-times[:, None] * rate)
    j0, j1 = decay, -s0 * times[:, None] * decay
    n00, n01, n11 = (j0 * j0).sum(0), (j0 * j1).sum(0), (j1 * j1).sum(0)
    rss = ((signal - s0 * decay) ** 2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = rss / (n - 2) if n > 2 else np.full_like(rss, np.nan)
        t2 = 1.0 / rate
        se = np.sqrt(variance * n00 / np.maximum(n00 * n11 - n01**2, 1e-30)) * t2**2
        r2 = 1.0 - rss / ((signal - signal.mean(axis=0)) ** 2).sum(axis=0)
    bad = ~((t2 > RANGE_MS[0]) & (t2 < RANGE_MS[1]) & (s0 > 0))
    t2, se = np.where(bad, np.nan, t2), np.where(bad, np.nan, se)
    return np.stack([t2, se, s0, np.sqrt(variance), r2])


def _log_line(signal: Floats, times: Floats) -> tuple[Floats, Floats]:
    """Start values: the line through the logarithms, weighted by the squared signal."""
    weight, y, t = signal**2, np.log(signal), times[:, None]
    total = weight.sum(axis=0)
    mean_t, mean_y = (weight * t).sum(0) / total, (weight * y).sum(0) / total
    spread = np.maximum((weight * (t - mean_t) ** 2).sum(0), 1e-30)
    slope = (weight * (t - mean_t) * (y - mean_y)).sum(0) / spread
    rate = np.clip(-slope, 1e-4, 0.5)
    return np.exp(mean_y + rate * mean_t), rate
