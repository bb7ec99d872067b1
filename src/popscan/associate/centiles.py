"""Smooth reference centiles of a measurement over age, by sex, and where a subject stands in them.

Quantile regression (Koenker and Bassett, Econometrica 1978;46:33, doi:10.2307/1913643), fitted by
statsmodels, on restricted cubic splines of age (Harrell, Regression Modeling Strategies, 2015);
curves that cross are put in order (Chernozhukov et al., Econometrica 2010;78:1093,
doi:10.3982/ECTA7880). Intervals follow from the sandwich covariance of Hendricks and Koenker (JASA
1992;87:58, doi:10.1080/01621459.1992.10475175).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from statsmodels.regression.quantile_regression import QuantReg
from statsmodels.tools.sm_exceptions import IterationLimitWarning

Floats = NDArray[np.float64]

CENTILES = (2.5, 5.0, 25.0, 50.0, 75.0, 95.0, 97.5)
#: Fewest people of a sex for curves that bend, for a straight line, and for anything.
MIN_SPLINE, MIN_ANY = 200, 40
#: Fewest people for outer limits without a caution (CLSI EP28-A3c).
MIN_LIMITS = 120
#: People within so many years of an age stand behind its centiles.
NEAR_YEARS = 5.0
#: Centiles nearer to a value than this share of their range are the value.
TIED = 1e-3


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Centile curves of one measurement and sex.

    Attributes
    ----------
    ages
        Ages of the people behind it.
    knots
        Of the spline of age: none for one value, two (its ends) for a line.
    draws
        Coefficients by draw, centile and term; draw 0 is the estimate.
    note
        Cautions.
    """

    ages: Floats
    knots: tuple[float, ...]
    draws: Floats
    note: str

    def at(self, ages: Floats) -> Floats:
        """Centiles at ages, in order, shape (draws, ages, centiles); ages are held within range."""
        held = np.clip(ages, self.ages.min(), self.ages.max())
        matrix = spline_design(held, self.knots)
        return np.sort(np.einsum("at,dct->dac", matrix, self.draws), axis=2)

    def near(self, ages: Floats) -> NDArray[np.int64]:
        """How many people stand near each age."""
        gaps = np.abs(np.asarray(ages)[:, None] - self.ages[None, :])
        counts: NDArray[np.int64] = (gaps <= NEAR_YEARS).sum(axis=1)
        return counts


def fit_curves(
    values: Floats, ages: Floats, *, draws: int = 200, seed: int = 0
) -> tuple[Curves | None, str]:
    """Fit the centiles of one measurement of one sex.

    Parameters
    ----------
    values, ages : ndarray, shape (people,)
        Rows with a missing one are left out.
    draws
        Draws of the coefficients, for intervals; 0 for none.
    seed
        Of the draws.

    Returns
    -------
    curves, note
        None for fewer than `MIN_ANY` people, or without any spread; the note says why.
    """
    known = np.isfinite(values) & np.isfinite(ages)
    y, x = values[known], ages[known]
    if y.size < MIN_ANY:
        return None, f"too few: {y.size} subjects, {MIN_ANY} needed"
    if np.ptp(y) <= 0:
        return None, "all values are equal"
    kind, knots = _knots(x)
    cautions = [kind]
    if y.size < MIN_LIMITS:
        cautions.append(f"outer limits unsure: {y.size} subjects, {MIN_LIMITS} advised (CLSI EP28)")
    design = spline_design(x, knots)
    rng = np.random.default_rng([seed, y.size])
    note = "; ".join(cautions)
    return Curves(
        ages=x, knots=knots, draws=_draws(y, design, count=draws, rng=rng), note=note
    ), note


def _knots(ages: Floats) -> tuple[str, tuple[float, ...]]:
    """Knots that the number of people and the range of their ages allow, in words and years."""
    years, n = float(np.ptp(ages)), ages.size
    if years < 5:
        return "one value for all ages", ()
    if n < MIN_SPLINE or years < 15:
        return "straight line over age", (float(ages.min()), float(ages.max()))
    at = np.unique(np.quantile(ages, [0.05, 0.35, 0.65, 0.95]))
    return f"spline of age, {len(at)} knots", tuple(float(k) for k in at)


def spline_design(ages: Floats, knots: Sequence[float]) -> Floats:
    """Design of a restricted cubic spline: straight beyond its outer knots.

    Parameters
    ----------
    ages : ndarray, shape (n,)
    knots
        None: a constant; two: a line.

    Returns
    -------
    ndarray, shape (n, max(1, len(knots)))
    """
    x = np.asarray(ages, dtype=float)
    if not knots:
        return np.ones((x.size, 1))
    first, last, before = knots[0], knots[-1], knots[-2]
    columns = [np.ones(x.size), (x - first) / (last - first)]

    def cube(k: float) -> Floats:
        return np.maximum((x - k) / (last - first), 0.0) ** 3

    for k in knots[:-2]:
        down = (last - k) / (last - before)
        columns.append(cube(k) - cube(before) * down + cube(last) * (down - 1.0))
    return np.stack(columns, axis=1)


def _draws(y: Floats, design: Floats, *, count: int, rng: np.random.Generator) -> Floats:
    """Coefficients of the estimate and of `count` draws, shape (1 + count, centiles, terms)."""
    scale = float(np.std(y)) or 1.0
    estimate = np.stack([_fitted(y / scale, design, c / 100) for c in CENTILES])
    draws = [estimate[None]]
    if count:
        noise = [
            rng.multivariate_normal(np.zeros(design.shape[1]), v, size=count)
            for v in (_covariance(y / scale, design, c / 100) for c in CENTILES)
        ]
        draws.append(estimate + np.stack(noise, axis=1))
    return np.concatenate(draws) * scale


def _fitted(y: Floats, design: Floats, share: float) -> Floats:
    with warnings.catch_warnings():
        # What is left to converge is far below the standard error.
        warnings.simplefilter("ignore", IterationLimitWarning)
        return np.asarray(QuantReg(y, design).fit(q=share, max_iter=300).params, dtype=float)


def _covariance(y: Floats, design: Floats, share: float) -> Floats:
    """Sandwich of Hendricks and Koenker: density of each person from two nearby centiles."""
    h = 0.5 * min(share, 1.0 - share)
    apart = design @ (_fitted(y, design, share + h) - _fitted(y, design, share - h))
    density = 2.0 * h / np.maximum(apart, 0.02 * float(np.std(y)))
    inverse = np.linalg.pinv((design.T * density) @ design)
    found: Floats = share * (1.0 - share) * inverse @ (design.T @ design) @ inverse
    return found


def position(centiles: Floats, values: Floats) -> Floats:
    """Return the normal deviates of values among centiles; beyond the outer ones by their distance.

    A value that several centiles share (many people have no scar at all) stands in the middle of
    the shares of people that have it.

    Parameters
    ----------
    centiles : ndarray, shape (..., centiles)
        Values of `CENTILES`, in order.
    values : ndarray, shape (...,)
        NaN gives NaN.
    """
    scores = ndtri(np.asarray(CENTILES) / 100)
    shape = (*centiles.shape[:-1], 1)
    value = np.broadcast_to(np.asarray(values, dtype=float)[..., None], shape)
    # The segment between two centiles that a value lies in; the outer two reach beyond.
    upper = np.clip((centiles < value).sum(axis=-1), 1, len(CENTILES) - 1)[..., None]
    low, high = (np.take_along_axis(centiles, k, axis=-1) for k in (upper - 1, upper))
    share = np.divide(value - low, high - low, out=np.full_like(value, 0.5), where=high > low)
    inner = scores[upper - 1] + share * (scores[upper] - scores[upper - 1])
    middle = centiles[..., [CENTILES.index(50.0)]]
    for end, beyond in ((0, value < centiles[..., :1]), (-1, value > centiles[..., -1:])):
        width = centiles[..., [end]] - middle
        outer = np.divide(value - middle, width, out=np.ones_like(value), where=width != 0)
        inner = np.where(beyond, scores[end] * outer, inner)
    inner = np.where(_tied(centiles, value), _middle_of_ties(centiles, value), inner)
    found: Floats = np.where(np.isfinite(value), inner, np.nan)[..., 0]
    return found


def _same(centiles: Floats, value: Floats) -> NDArray[np.bool_]:
    """Which centiles are the value, but for what a fit leaves of their range."""
    return np.abs(centiles - value) <= TIED * (centiles[..., [-1]] - centiles[..., [0]])


def _tied(centiles: Floats, value: Floats) -> NDArray[np.bool_]:
    return np.asarray(_same(centiles, value).sum(axis=-1, keepdims=True) > 1)


def _middle_of_ties(centiles: Floats, value: Floats) -> Floats:
    """Return the deviate half-way between the shares of people below and not above a value."""
    same = _same(centiles, value)
    shares = np.broadcast_to(np.asarray(CENTILES) / 100, same.shape)
    low = np.where(same, shares, 1.0).min(axis=-1, keepdims=True)
    high = np.where(same, shares, 0.0).max(axis=-1, keepdims=True)
    # Of an outermost centile nobody knows how many lie beyond it: all have the value.
    low = np.where(same[..., [0]], 0.0, low)
    high = np.where(same[..., [-1]], 1.0, high)
    found: Floats = ndtri(np.clip((low + high) / 2, 1e-6, 1 - 1e-6))
    return found
