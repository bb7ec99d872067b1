"""A smooth curve through the noisy samples of one period, whatever one bad sample says.

Penalised periodic B-splines (Eilers and Marx, Stat Sci 1996, doi:10.1214/ss/1038425655) with
bisquare weights (Huber and Ronchetti, Robust Statistics, 2009, ch. 7), the penalty by generalised
cross-validation, then twicing (Tukey, Exploratory Data Analysis, 1977) against its bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import BSpline

Floats = NDArray[np.float64]

_DEGREE = 3
#: Penalties that are tried, relative to the number of samples.
_PENALTIES = 10.0 ** np.arange(-5.0, 2.01, 0.25)
#: Residuals beyond so many robust standard deviations count for nothing.
_BISQUARE = 4.685
#: Noise that is never believed to be smaller, as a share of the curve's range: labels of voxels
#: are not exact, and a perfect fit would call every small step an outlier.
_NOISE_FLOOR = 0.004


def periodic_basis(at: ArrayLike, *, count: int, derivative: int = 0) -> Floats:
    """Values of `count` equally spaced periodic cubic B-splines on [0, 1).

    Parameters
    ----------
    at
        Positions, taken modulo 1.
    count
        Number of splines, at least 4.
    derivative
        Order of the derivative, per period.

    Returns
    -------
    ndarray, shape (len(at), count)
        Rows add up to 1 (0 for derivatives).
    """
    knots = np.arange(-_DEGREE, count + _DEGREE + 1) / count
    spline = BSpline(knots, np.eye(count + _DEGREE), _DEGREE)
    values = spline(np.asarray(at, dtype=float) % 1.0, nu=derivative)
    folded = values[:, :count].copy()
    folded[:, :_DEGREE] += values[:, count:]
    return folded


@dataclass(frozen=True, kw_only=True)
class PeriodicCurve:
    """A fitted curve.

    Attributes
    ----------
    coefficients
        Of the periodic B-splines, shape (count,); of several curves (count, n).
    weights
        What each sample counted in the end, 0 to 1, shape (t,); 0 where it was missing.
    noise
        Robust standard deviation of the samples about the curve.
    """

    coefficients: Floats
    weights: Floats
    noise: float
    _smoother: Floats
    _fitted: Floats

    def __call__(self, at: ArrayLike, *, derivative: int = 0) -> Floats:
        """Value of the curve, or of its derivative per period, at positions of the period."""
        count = len(self.coefficients)
        values: Floats = periodic_basis(at, count=count, derivative=derivative) @ self.coefficients
        return values

    def redrawn(self, *, draws: int, seed: int, widening: float = 1.0) -> PeriodicCurve:
        """Return curves through `draws` sets of new samples: this curve and noise as it had.

        Parametric bootstrap with weights and penalty held; coefficients have shape (count, draws).
        `widening` makes the noise larger, for what the choice of the penalty adds.
        """
        sd = self.noise * widening
        noise = np.random.default_rng(seed).normal(0.0, sd, (len(self._fitted), draws))
        samples = self._fitted[:, None] + noise
        return PeriodicCurve(
            coefficients=self._smoother @ samples,
            weights=self.weights,
            noise=self.noise,
            _smoother=self._smoother,
            _fitted=self._fitted,
        )


def fit_periodic(
    values: ArrayLike, *, at: Sequence[float] | Floats, robust: bool = True, rounds: int = 8
) -> PeriodicCurve | None:
    """Fit a smooth periodic curve.

    Parameters
    ----------
    values : array_like, shape (t,)
        Samples; NaN where missing.
    at
        Their positions as shares of the period, 0..1.
    robust
        Whether samples far from the curve lose their weight.
    rounds
        Of reweighting.

    Returns
    -------
    PeriodicCurve or None
        None for fewer than six samples, or where all are equal.
    """
    samples, positions = np.asarray(values, dtype=float), np.asarray(at, dtype=float)
    known = np.isfinite(samples)
    if known.sum() < 6 or np.ptp(samples[known]) <= 0:
        return None
    count = max(8, len(samples))
    basis = periodic_basis(positions, count=count)
    steps = np.eye(count)
    for _ in range(2):
        steps = np.roll(steps, -1, axis=0) - steps
    filled = np.where(known, samples, 0.0)
    floor = _NOISE_FLOOR * float(np.subtract(*np.percentile(samples[known], [95, 5])))
    weights = known.astype(float)
    if robust:
        weights = _first_weights(samples, positions, known, floor=floor)
    noise = floor
    for _ in range(rounds):
        smoother, fitted, noise = _cross_validated(basis, filled, weights, steps.T @ steps)
        noise = max(noise, floor)
        if not robust:
            break
        distance = np.abs(filled - fitted) / (_BISQUARE * noise)
        new = np.where(known, np.maximum(1.0 - distance**2, 0.0) ** 2, 0.0)
        if np.abs(new - weights).max() < 0.01:
            break
        weights = new
    # Twicing: what the fit leaves is fitted again, since a smooth curve cuts peaks of its slope.
    twice = 2.0 * smoother - smoother @ basis @ smoother
    return PeriodicCurve(
        coefficients=twice @ filled,
        weights=weights,
        noise=noise,
        _smoother=twice,
        _fitted=basis @ (twice @ filled),
    )


def _first_weights(
    samples: Floats, at: Floats, known: NDArray[np.bool_], *, floor: float
) -> Floats:
    """Take samples out that their neighbours on both sides contradict: a fit would follow them."""
    where = np.flatnonzero(known)
    x, y = at[where], samples[where]
    n = len(y)
    expected = np.empty(n)
    for i in range(n):
        # Cubic through two neighbours on either side: exact for curves, blind for the sample.
        near = [(i + k) % n for k in (-2, -1, 1, 2)]
        offset = (x[near] - x[i] + 0.5) % 1.0 - 0.5
        expected[i] = np.polynomial.polynomial.polyfit(offset, y[near], 3)[0]
    gap = np.abs(y - expected)
    spread = max(1.4826 * float(np.median(gap)), 2.0 * floor)
    bad = gap > 6.0 * spread
    # The neighbours of a bad sample are contradicted by it: only the worst of a run counts.
    for i in map(int, np.flatnonzero(bad)):
        around = [(i + k) % n for k in (-2, -1, 1, 2)]
        if gap[i] < gap[around].max():
            bad[i] = False
    weights = known.astype(float)
    weights[where[bad]] = 0.0
    return weights


def _cross_validated(
    basis: Floats, samples: Floats, weights: Floats, penalty: Floats
) -> tuple[Floats, Floats, float]:
    """Fit with the penalty of least generalised cross-validation: smoother, fit, noise."""
    weighted = basis.T * weights
    gram = weighted @ basis
    n = float(weights.sum())
    best: tuple[float, Floats, Floats, float] | None = None
    for relative in _PENALTIES:
        inner = gram + relative * penalty + 1e-10 * np.eye(len(gram))
        smoother: Floats = np.linalg.solve(inner, weighted)
        fitted = basis @ (smoother @ samples)
        freedom = float(np.einsum("ij,ji->", smoother, basis))
        residual = float(weights @ (samples - fitted) ** 2)
        if freedom >= 0.8 * n:
            continue
        score = n * residual / (n - 1.1 * freedom) ** 2 if n > 1.1 * freedom else np.inf
        if best is None or score < best[0]:
            best = (score, smoother, fitted, float(np.sqrt(residual / (n - freedom))))
    assert best is not None
    return best[1], best[2], best[3]
