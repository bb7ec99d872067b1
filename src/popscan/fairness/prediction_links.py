"""Sums that hold between the published counts of one classifier's outcomes."""

from __future__ import annotations

from collections.abc import Iterable

from popscan.fairness.prediction_outcomes import RATES

#: Kind of count (``n``, ``events``, ``none``) and outcome.
Cell = tuple[str, str]
#: A count and the counts that it is the sum of.
Link = tuple[Cell, tuple[Cell, ...]]
_ENDINGS = (*RATES, "brier", "residual")
#: All of a classifier's counts are sums of true and false positives and negatives: here those of
#: sensitivity and false positive rate.
_SUMS: tuple[tuple[Cell, tuple[Cell, ...]], ...] = (
    (("n", "predicted_positive"), (("n", "sensitivity"), ("n", "false_positive_rate"))),
    (("events", "predicted_positive"),
     (("events", "sensitivity"), ("events", "false_positive_rate"))),
    (("n", "prevalence"), (("n", "predicted_positive"),)),
    (("events", "prevalence"), (("n", "sensitivity"),)),
    (("n", "accuracy"), (("n", "predicted_positive"),)),
    (("events", "accuracy"), (("events", "sensitivity"), ("none", "false_positive_rate"))),
    (("n", "precision"), (("events", "predicted_positive"),)),
    (("events", "precision"), (("events", "sensitivity"),)),
    (("n", "brier"), (("n", "predicted_positive"),)),
    (("n", "residual"), (("n", "predicted_positive"),)),
)  # fmt: skip
#: Measure -> outcomes whose counts stand behind it; of a regression all of its outcomes do.
_BEHIND = {
    "auc": ("prevalence",), "calibration_error": ("prevalence",),
    "calibration_slope": ("prevalence",),
    "balanced_accuracy": ("prevalence", "sensitivity", "false_positive_rate"),
    "equalised_odds_difference": ("sensitivity", "false_positive_rate"),
    "demographic_parity_difference": ("predicted_positive",),
}  # fmt: skip


def is_behind(outcome: str, measure: str, prediction: str) -> bool:
    """Return whether the counts of an outcome stand behind a measure of a prediction.

    Examples
    --------
    >>> is_behind("ill_prevalence", "auc", "ill"), is_behind("ill_precision", "auc", "ill")
    (True, False)
    """
    if measure in _BEHIND:
        return outcome in {f"{prediction}_{ending}" for ending in _BEHIND[measure]}
    return outcome.startswith(f"{prediction}_")


def prediction_of(outcome: str) -> str:
    """Return the classifier that an outcome is of; the outcome itself if it is of none.

    Examples
    --------
    >>> prediction_of("disease_false_positive_rate"), prediction_of("age_years_error")
    ('disease', 'age_years_error')
    """
    for ending in _ENDINGS:
        if outcome.endswith(f"_{ending}"):
            return outcome.removesuffix(f"_{ending}")
    return outcome


def links_of(outcomes: Iterable[str]) -> list[Link]:
    """Return the sums between counts of these outcomes, where several are of one classifier."""
    names = {prediction_of(outcome) for outcome in outcomes} - {""}
    return [
        ((what, f"{name}_{ending}"), tuple((kind, f"{name}_{part}") for kind, part in parts))
        for name in sorted(names)
        for (what, ending), parts in _SUMS
    ]
