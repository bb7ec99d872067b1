"""Three-parameter fit of inversion recovery, with polarity and Look-Locker correction.

The signal after an inversion, read out again and again, is ``A - B exp(-t / T1*)``; readouts pull
the magnetisation towards a steady state, so that T1* is shorter than T1, and ``T1 = T1* (B / A -
1)`` (Deichmann and Haase 1992, doi:10.1016/0022-2364(92)90347-A; Messroghli et al. 2004,
doi:10.1002/mrm.20110). Magnitude images have lost the sign: samples before the null are negative.
For each T1* the best A and B follow by linear least squares, so a search over T1* and over how
many of the first samples are negative finds the best fit without a start value; Gauss-Newton
steps finish it. All voxels are fitted at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popscan.relaxometry.checks import check_series

Floats = NDArray[np.float64]

#: T1* that are searched, in ms.
SEARCHED_MS = (20.0, 6000.0)
_N_SEARCHED = 72
_STEPS = 12
#: Voxels fitted together: more would need more memory than they save time.
_CHUNK = 20_000


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Fit of every voxel; NaN where there is none.

    Attributes
    ----------
    t1_ms, se_ms : ndarray
        T1 after the Look-Locker correction, and its standard error by error propagation. What has a
        standard error above itself has no value.
    t1_star_ms, se_star_ms, a, b : ndarray
        The parameters themselves, and the standard error of T1*.
    residual : ndarray
        Standard deviation of the residuals (n - 3 degrees of freedom), in units of the image; NaN
        for three samples.
    r2 : ndarray
        Share of the variance of the signed samples that the fit explains.
    n_negative : ndarray of int
        Samples taken as negative.
    n_samples : ndarray of int
        Samples that the fit used.
    """

    t1_ms: Floats
    se_ms: Floats
    t1_star_ms: Floats
    se_star_ms: Floats
    a: Floats
    b: Floats
    residual: Floats
    r2: Floats
    n_negative: NDArray[np.int64]
    n_samples: NDArray[np.int64]


def recovery_signal(
    times_ms: ArrayLike, *, a: ArrayLike, b: ArrayLike, t1_star_ms: ArrayLike
) -> Floats:
    """Return the signed signal, shape (n, ...): sample first, then the shape of the parameters."""
    a, b, t1_star = (np.asarray(v, dtype=float) for v in (a, b, t1_star_ms))
    times = np.asarray(times_ms, dtype=float).reshape(-1, *([1] * a.ndim))
    return np.asarray(a - b * np.exp(-times / t1_star))


def fit_recovery(
    samples: ArrayLike, times_ms: ArrayLike, *, signs: ArrayLike | None = None
) -> Recovery:
    """Fit every voxel.

    Parameters
    ----------
    samples : array_like, shape (n, ...)
        Magnitude, one image per inversion time.
    times_ms
        Inversion times, in any order.
    signs : array_like, shape (n, ...), optional
        1 and -1, of phase images (`popscan.relaxometry.polarity`); without them the number of
        negative samples is that of the best fit.

    Raises
    ------
    SubjectError
        As `check_series`.
    """
    data, times = check_series(samples, times_ms, least=3)
    shape = data.shape[1:]
    flat = data.reshape(len(times), -1)
    order = np.argsort(times)
    given = None
    if signs is not None:
        given = np.asarray(signs, dtype=float).reshape(len(times), -1)[order]
    flat, times = flat[order], times[order]
    out = np.full((9, flat.shape[1]), np.nan)
    fitted = np.flatnonzero(np.isfinite(flat).all(axis=0) & (np.ptp(flat, axis=0) > 0))
    for start in range(0, len(fitted), _CHUNK):
        part = fitted[start : start + _CHUNK]
        polarity = None if given is None else given[:, part]
        out[:, part] = _fit(flat[:, part], times, polarity)
    return _recovery(out, shape, n=len(times))


def _recovery(out: Floats, shape: tuple[int, ...], *, n: int) -> Recovery:
    a, b, t1_star, se_star, t1, se, residual, r2, negative = (row.reshape(shape) for row in out)
    return Recovery(
        t1_ms=t1, se_ms=se, t1_star_ms=t1_star, se_star_ms=se_star, a=a, b=b, residual=residual,
        r2=r2,
        n_negative=np.nan_to_num(negative).astype(np.int64),
        n_samples=np.where(np.isfinite(t1_star), n, 0),
    )  # fmt: skip


def _fit(magnitude: Floats, times: Floats, signs: Floats | None) -> Floats:
    """Return the nine rows of `_recovery` of some voxels; samples in order of time."""
    signed, t1_star, negative = _searched(magnitude, times, signs)
    a, b = _linear(signed, times, t1_star)
    a, b, t1_star, covariance, rss = _refined(signed, times, np.stack([a, b, t1_star]))
    n = len(times)
    with np.errstate(divide="ignore", invalid="ignore"):
        t1 = t1_star * (b / a - 1.0)
        variance = rss / (n - 3) if n > 3 else np.full_like(rss, np.nan)
        slope = np.stack([-t1_star * b / a**2, t1_star / a, b / a - 1.0])
        se = np.sqrt(np.einsum("iv,vij,jv->v", slope, covariance, slope) * variance)
        se_star = np.sqrt(covariance[:, 2, 2] * variance)
        total = ((signed - signed.mean(axis=0)) ** 2).sum(axis=0)
        r2 = 1.0 - rss / total
    low, high = SEARCHED_MS
    bad = ~((a > 0) & (b > a) & np.isfinite(t1) & (t1_star > low) & (t1_star < high))
    bad |= se > t1  # the samples do not determine it
    t1, se = np.where(bad, np.nan, t1), np.where(bad, np.nan, se)
    return np.stack([a, b, t1_star, se_star, t1, se, np.sqrt(variance), r2, negative])


def _searched(
    magnitude: Floats, times: Floats, signs: Floats | None
) -> tuple[Floats, Floats, Floats]:
    """Return signed samples, the best T1* of the grid, and how many samples are negative."""
    n, n_voxels = magnitude.shape
    grid = np.geomspace(*SEARCHED_MS, _N_SEARCHED)
    bases = np.stack([_basis(times, t1_star) for t1_star in grid])  # (g, n, 2)
    best = np.full(n_voxels, np.inf)
    at, chosen = np.zeros(n_voxels, dtype=np.intp), np.zeros(n_voxels)
    for flipped in range(n) if signs is None else (0,):
        signed = magnitude * (_first_negative(n, flipped) if signs is None else signs)
        explained = (np.einsum("gni,nv->giv", bases, signed, optimize=True) ** 2).sum(axis=1)
        nearest = explained.argmax(axis=0)
        rss = (signed**2).sum(axis=0) - np.take_along_axis(explained, nearest[None], axis=0)[0]
        a, b = _linear(signed, times, grid[nearest])
        # After an inversion the signal starts below zero: what does not, only fits by chance.
        rss = np.where((a > 0) & (b > a), rss, rss + (signed**2).sum(axis=0))
        better = rss < best
        best[better], at[better], chosen[better] = rss[better], nearest[better], flipped
    if signs is not None:
        return magnitude * signs, grid[at], (signs < 0).sum(axis=0).astype(float)
    polarity = np.where(np.arange(n)[:, None] < chosen, -1.0, 1.0)
    return magnitude * polarity, grid[at], chosen


def _first_negative(n: int, flipped: int) -> Floats:
    return np.where(np.arange(n) < flipped, -1.0, 1.0)[:, None]


def _basis(times: Floats, t1_star: float) -> Floats:
    """Return an orthonormal basis (n, 2) of what A and B span at one T1*."""
    columns = np.stack([np.ones_like(times), np.exp(-times / t1_star)], axis=1)
    return np.asarray(np.linalg.qr(columns)[0])


def _linear(signed: Floats, times: Floats, t1_star: Floats) -> tuple[Floats, Floats]:
    """Return the best A and B of every voxel at its T1*."""
    decay = np.exp(-times[:, None] / t1_star)
    mean_decay, mean = decay.mean(axis=0), signed.mean(axis=0)
    centred = decay - mean_decay
    b = -(centred * (signed - mean)).sum(axis=0) / np.maximum((centred**2).sum(axis=0), 1e-30)
    return mean + b * mean_decay, b


def _refined(
    signed: Floats, times: Floats, start: Floats
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Levenberg-Marquardt steps; A, B, T1*, the inverse of J^T J (v, 3, 3), and the residual sum.

    A step that makes the fit worse is not taken, and the next one is shorter.
    """
    params = start.copy()
    damping = np.full(params.shape[1], 1e-3)
    rss, jacobian, residual = _state(signed, times, params)
    for _ in range(_STEPS):
        normal = np.einsum("niv,njv->vij", jacobian, jacobian)
        gradient = np.einsum("niv,nv->vi", jacobian, residual)
        diagonal = np.einsum("vii->vi", normal)
        damped = normal + damping[:, None, None] * _diagonal(diagonal)
        step = np.linalg.solve(damped + 1e-12 * _diagonal(diagonal + 1.0), gradient[..., None])
        tried = params + step[..., 0].T
        tried[2] = np.clip(tried[2], *SEARCHED_MS)
        new_rss, new_jacobian, new_residual = _state(signed, times, tried)
        better = new_rss <= rss
        params = np.where(better, tried, params)
        rss = np.where(better, new_rss, rss)
        jacobian = np.where(better, new_jacobian, jacobian)
        residual = np.where(better, new_residual, residual)
        damping = np.where(better, damping / 10.0, damping * 10.0)
    normal = np.einsum("niv,njv->vij", jacobian, jacobian)
    scale = np.sqrt(np.maximum(np.einsum("vii->vi", normal), 1e-30))
    unit = normal / scale[:, :, None] / scale[:, None, :] + 1e-12 * np.eye(3)
    covariance = np.linalg.inv(unit) / scale[:, :, None] / scale[:, None, :]
    return params[0], params[1], params[2], covariance, rss


def _state(signed: Floats, times: Floats, params: Floats) -> tuple[Floats, Floats, Floats]:
    """Return residual sum, Jacobian of the model (n, 3, v) and residuals (n, v)."""
    a, b, t1_star = params
    decay = np.exp(-times[:, None] / t1_star)
    jacobian = np.stack([np.ones_like(decay), -decay, -b * decay * times[:, None] / t1_star**2], 1)
    residual = signed - (a - b * decay)
    return (residual**2).sum(axis=0), jacobian, residual


def _diagonal(values: Floats) -> Floats:
    return values[:, :, None] * np.eye(3)


def look_locker_free(fit: Recovery) -> Recovery:
    """Return a fit without the Look-Locker correction: T1 is T1*, for one readout per inversion."""
    low, high = SEARCHED_MS
    good = np.isfinite(fit.t1_ms) & (fit.t1_star_ms > low) & (fit.t1_star_ms < high)
    t1 = np.where(good, fit.t1_star_ms, np.nan)
    return replace(fit, t1_ms=t1, se_ms=np.where(good, fit.se_star_ms, np.nan))
