"""How good scores and predicted values are, for many weightings of the same rows at once.

Every function takes weights of shape (draws, n): one row of ones gives the estimate, rows of
bootstrap counts give its draws. Undefined is NaN (no positives, one value of a score).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from popscan.stats.means import Floats

#: Bins of equal width over 0..1 of the expected calibration error.
N_BINS = 10
#: Probabilities are kept this far from 0 and 1 before logits are taken.
_EDGE = 1e-6
#: Newton steps of the calibration slope.
_STEPS = 25


def roc_auc(score: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the area under the ROC curve, ties counted half.

    Parameters
    ----------
    score, positive : ndarray, shape (n,)
        Scores (higher means positive) and the truth.
    weights : ndarray, shape (draws, n)
        Weight of every row in every draw.
    """
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    w = weights[:, order]
    above = np.add.reduceat(w * positive[order], starts, axis=1)
    below = np.add.reduceat(w * ~positive[order], starts, axis=1)
    wins = (above * (np.cumsum(below, axis=1) - below / 2)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return wins / (above.sum(axis=1) * below.sum(axis=1))


def rate(event: NDArray[np.bool_], among: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the share of an event among the rows that it can happen to."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weights @ (event & among)) / (weights @ among.astype(np.float64))


def balanced_accuracy(
    predicted: NDArray[np.bool_], positive: NDArray[np.bool_], weights: Floats
) -> Floats:
    """Return the mean of sensitivity and specificity."""
    return (rate(predicted, positive, weights) + rate(~predicted, ~positive, weights)) / 2


def bin_of(probability: Floats, n_bins: int = N_BINS) -> NDArray[np.intp]:
    """Return the bin of each probability: equal widths over 0..1, the upper end in the last."""
    return np.clip((probability * n_bins).astype(np.intp), 0, n_bins - 1)


def calibration_error(
    probability: Floats, positive: NDArray[np.bool_], weights: Floats, *, n_bins: int = N_BINS
) -> Floats:
    """Return the expected calibration error (Guo et al., ICML 2017).

    The distance between mean probability and share of positives in each bin, averaged over rows.
    Noise alone makes it positive: compare with `calibration_error_by_chance`.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return _binned(positive - probability, bin_of(probability, n_bins), weights, n_bins)


def calibration_error_by_chance(
    probability: Floats, *, n_bins: int = N_BINS, n_draws: int = 200, rng: np.random.Generator
) -> Floats:
    """Draw the expected calibration errors of perfectly calibrated scores on the same rows."""
    bins = bin_of(probability, n_bins)
    one = np.ones((1, len(probability)))
    return np.concatenate(
        [
            _binned((rng.random(len(probability)) < probability) - probability, bins, one, n_bins)
            for _ in range(n_draws)
        ]
    )


def _binned(residual: Floats, bins: NDArray[np.intp], weights: Floats, n_bins: int) -> Floats:
    """Mean over rows of the absolute mean residual of their bin."""
    table = np.zeros((len(residual), n_bins))
    table[np.arange(len(residual)), bins] = residual
    return np.abs(weights @ table).sum(axis=1) / weights.sum(axis=1)


def calibration_slope(probability: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the slope of the truth on the logit of the probability (Cox 1958); 1 is calibrated.

    Below 1 the scores are too extreme, above 1 too timid. NaN where positives and negatives are
    separated, or a draw lacks either.
    """
    x = special.logit(np.clip(probability, _EDGE, 1 - _EDGE))
    y = positive.astype(np.float64)
    if len(x) == 0 or np.ptp(x) == 0:
        return np.full(len(weights), np.nan)
    intercept, slope = np.zeros(len(weights)), np.ones(len(weights))
    step = np.full(len(weights), np.inf)
    for _ in range(_STEPS):
        fitted = special.expit(intercept[:, None] + slope[:, None] * x)
        residual, spread = weights * (y - fitted), weights * fitted * (1 - fitted)
        g0, g1 = residual.sum(axis=1), residual @ x
        h00, h01, h11 = spread.sum(axis=1), spread @ x, spread @ x**2
        with np.errstate(invalid="ignore", divide="ignore"):
            determinant = h00 * h11 - h01**2
            step = (h00 * g1 - h01 * g0) / determinant
            intercept = intercept + np.clip((h11 * g0 - h01 * g1) / determinant, -5, 5)
            slope = slope + np.clip(step, -5, 5)
    return np.where(np.abs(step) < 1e-6, slope, np.nan)


def root_mean_square(error: Floats, weights: Floats) -> Floats:
    """Return the root of the weighted mean of squared errors."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt((weights @ error**2) / weights.sum(axis=1))


def slope_on_truth(value: Floats, truth: Floats, weights: Floats) -> Floats:
    """Return the least-squares slope of predicted values on true ones; 1 is without shrinkage.

    Ages predicted from images are pulled to the mean: the slope is below 1, the old are called too
    young and the young too old, and groups of different age differ in bias by that alone.
    """
    total = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = weights @ truth / total, weights @ value / total
        covariance = weights @ (truth * value) / total - mean_x * mean_y
        variance = weights @ truth**2 / total - mean_x**2
        return np.where(variance > 1e-12 * (mean_x**2 + 1e-300), covariance / variance, np.nan)


def bootstrap_weights(
    clusters: NDArray[np.intp] | None, n: int, *, n_boot: int, rng: np.random.Generator
) -> Floats:
    """Return how often every row is in every bootstrap sample of the subjects.

    Parameters
    ----------
    clusters : ndarray of int, shape (n,), optional
        Subject of each row; each row is one by default.
    n
        Rows.
    n_boot
        Samples.
    rng
        Source of randomness.

    Returns
    -------
    ndarray, shape (n_boot, n)
        Counts.
    """
    codes = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    size = int(codes.max(initial=-1)) + 1
    drawn = rng.integers(0, max(size, 1), size=(n_boot, size))
    drawn += np.arange(n_boot)[:, None] * size
    counts = np.bincount(drawn.ravel(), minlength=n_boot * size).reshape(n_boot, size)
    return counts[:, codes].astype(np.float64)
