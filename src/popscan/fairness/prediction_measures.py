"""Measures of one group's predictions, each with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from popscan.fairness.design import AuditDesign
from popscan.fairness.prediction_outcomes import Prediction
from popscan.stats import intervals
from popscan.stats import prediction as scoring
from popscan.stats.auc import auc, inflation_of_subjects, interval
from popscan.stats.means import Floats

#: Measure -> kind of prediction, and which way it is good.
MEASURES: Mapping[str, tuple[str, str]] = {
    "auc": ("classification", "higher"),
    "balanced_accuracy": ("classification", "higher"),
    "calibration_error": ("classification", "lower"),
    "calibration_slope": ("classification", "neither"),
    "rmse": ("regression", "lower"),
    "slope_on_truth": ("regression", "neither"),
}
#: Fewest subjects with a positive, and with a negative, that a calibration slope is fitted to.
MIN_OF_SLOPE = 10
#: Weights of one block of draws: 4 M float64 are 32 MB.
_BLOCK = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A measure with its interval and standard error; NaN where undefined."""

    value: float
    low: float = float("nan")
    high: float = float("nan")
    se: float = float("nan")
    method: str = ""
    by_chance: float = float("nan")


@dataclass(frozen=True, kw_only=True)
class Side:
    """Complete rows of one group.

    Attributes
    ----------
    score, truth : ndarray, shape (n,)
        Predictions, and what they predict.
    clusters : ndarray of int, shape (n,), or None
        Subject of each row, where subjects repeat.
    first
        Place of the first row in the study: draws are seeded by it, not by the group's name.
    """

    score: Floats
    truth: Floats
    clusters: NDArray[np.intp] | None
    first: int

    @classmethod
    def of(
        cls,
        score: Floats,
        truth: Floats,
        rows: NDArray[np.intp],
        clusters: NDArray[np.intp] | None,
    ) -> Side:
        """Take the rows of a group."""
        return cls(
            score=score[rows],
            truth=truth[rows],
            clusters=None if clusters is None else clusters[rows],
            first=int(rows[0]) if len(rows) else 0,
        )

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Rows whose truth is 1."""
        return self.truth == 1

    @property
    def n_subjects(self) -> int:
        """Subjects behind the rows."""
        return self.subjects_of(np.ones(len(self.score), dtype=bool))

    @property
    def n_either(self) -> tuple[int, int]:
        """Subjects with a positive row, and with a negative one."""
        return self.subjects_of(self.positive), self.subjects_of(~self.positive)

    def subjects_of(self, rows: NDArray[np.bool_]) -> int:
        """Subjects behind some of the rows."""
        return int(rows.sum()) if self.clusters is None else len(np.unique(self.clusters[rows]))


def measure_side(prediction: Prediction, side: Side, design: AuditDesign) -> dict[str, Measured]:
    """Return every measure of this kind of prediction in one group."""
    if prediction.kind == "regression":
        error = side.score - side.truth
        return {
            "rmse": _bootstrapped(side, lambda w: scoring.root_mean_square(error, w), design),
            "slope_on_truth": _bootstrapped(
                side, lambda w: scoring.slope_on_truth(side.score, side.truth, w), design
            ),
        }
    measured = {"auc": _auc(side, design)}
    measured["balanced_accuracy"] = _balanced_accuracy(prediction, side, design)
    if prediction.is_probability:
        measured["calibration_error"] = _calibration_error(side, design)
        if min(side.n_either) >= MIN_OF_SLOPE:
            measured["calibration_slope"] = _bootstrapped(
                side, lambda w: scoring.calibration_slope(side.score, side.positive, w), design
            )
    return measured


def draws_of(prediction: Prediction, side: Side, design: AuditDesign) -> tuple[Floats, Floats]:
    """Return sensitivity, false positive rate and share predicted positive, and their draws.

    Returns
    -------
    estimate : ndarray, shape (3,)
        In the sample.
    draws : ndarray, shape (n_boot, 3)
        In bootstrap samples of the subjects.
    """
    predicted, everyone = side.score >= prediction.threshold, np.ones(len(side.score), dtype=bool)

    def rates(weights: Floats) -> Floats:
        among = (side.positive, ~side.positive, everyone)
        return np.stack([scoring.rate(predicted, part, weights) for part in among], axis=1)

    return rates(np.ones((1, len(everyone))))[0], _draws(side, rates, design)


def _draws(side: Side, statistic: Callable[[Floats], Floats], design: AuditDesign) -> Floats:
    """Draws of a statistic over bootstrap samples of the subjects."""
    n = len(side.score)
    rng = np.random.default_rng([design.seed, side.first, n])
    size = max(1, min(design.n_boot, _BLOCK // max(n, 1)))
    parts = []
    for start in range(0, design.n_boot, size):
        n_boot = min(size, design.n_boot - start)
        weights = scoring.bootstrap_weights(side.clusters, n, n_boot=n_boot, rng=rng)
        parts.append(statistic(weights))
    return np.concatenate(parts)


def _bootstrapped(
    side: Side, statistic: Callable[[Floats], Floats], design: AuditDesign
) -> Measured:
    """Percentile interval, widened for few subjects (Hesterberg 2015)."""
    value = float(statistic(np.ones((1, len(side.score))))[0])
    draws = _draws(side, statistic, design)
    level = intervals.expanded(design.alpha, side.n_subjects)
    low, high = intervals.percentile(draws[:, None], alpha=level)
    finite = draws[np.isfinite(draws)]
    se = float(finite.std(ddof=1)) if len(finite) > 1 else float("nan")
    return Measured(
        value=value,
        low=float(np.fmin(low[0], value)),
        high=float(np.fmax(high[0], value)),
        se=se,
        method="bootstrap percentile",
    )


def _auc(side: Side, design: AuditDesign) -> Measured:
    """Area under the ROC curve; DeLong's variance, of subjects where they repeat."""
    area = auc(side.score, side.positive)
    inflation = inflation_of_subjects(area, side.clusters)
    low, high = interval(area, alpha=design.alpha, inflation=inflation)
    return Measured(
        value=area.value,
        low=low,
        high=high,
        se=float(np.sqrt(area.variance)) * inflation,
        method="delong" if side.clusters is None else "delong, by subject",
    )


def _balanced_accuracy(prediction: Prediction, side: Side, design: AuditDesign) -> Measured:
    """Mean of sensitivity and specificity, its limits from those of both."""
    predicted = side.score >= prediction.threshold
    boot = _bootstrapped(
        side, lambda w: scoring.balanced_accuracy(predicted, side.positive, w), design
    )
    below = above = 0.0
    for event, among in ((predicted, side.positive), (~predicted, ~side.positive)):
        share = int((event & among).sum()) / int(among.sum())
        low, high = share_interval(side, event, among, design)
        below, above = below + (share - low) ** 2, above + (high - share) ** 2
    return Measured(
        value=boot.value,
        low=boot.value - float(np.sqrt(below)) / 2,
        high=boot.value + float(np.sqrt(above)) / 2,
        se=boot.se,
        method="wilson, combined" if side.clusters is None else "wilson, combined, by subject",
    )


def share_interval(
    side: Side, event: NDArray[np.bool_], among: NDArray[np.bool_], design: AuditDesign
) -> tuple[float, float]:
    """Return the interval of a share: Wilson's, or bootstrapped over subjects where they repeat.

    Parameters
    ----------
    side
        Rows of a group.
    event, among : ndarray of bool, shape (n,)
        Rows that are counted, and those that they are a share of.
    design
        Level and draws.
    """
    events, n = int((event & among).sum()), int(among.sum())
    if side.clusters is None or n == 0:
        return intervals.wilson(events, n, alpha=design.alpha)
    # As many events and rows as subjects would give with the same share: never narrower than the
    # subjects' own number allows.
    subjects = side.subjects_of(among)
    low, high = intervals.wilson(round(events / n * subjects), subjects, alpha=design.alpha)
    rng = np.random.default_rng([design.seed, side.first, len(side.score), events])
    weights = scoring.bootstrap_weights(
        side.clusters, len(event), n_boot=min(design.n_boot, 500), rng=rng
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = weights @ (event & among) / (weights @ among.astype(np.float64))
    ends = intervals.percentile(draws[:, None], alpha=intervals.expanded(design.alpha, subjects))
    share = events / n
    return min(share, max(low, 0.0), float(ends[0][0])), max(share, high, float(ends[1][0]))


def _calibration_error(side: Side, design: AuditDesign) -> Measured:
    """Measure the expected calibration error, and what noise alone makes of it."""
    boot = _bootstrapped(
        side, lambda w: scoring.calibration_error(side.score, side.positive, w), design
    )
    rng = np.random.default_rng([design.seed, side.first, len(side.score), 1])
    chance = scoring.calibration_error_by_chance(side.score, rng=rng)
    return Measured(
        value=boot.value,
        low=boot.low,
        high=boot.high,
        se=boot.se,
        method="bootstrap percentile (biased upward)",
        by_chance=float(chance.mean()),
    )
