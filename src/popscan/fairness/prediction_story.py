"""Discrimination, calibration and equalised odds of predictions in sentences."""

from __future__ import annotations

import numpy as np
import pandas as pd

from popscan.fairness.predictions import ALL_GROUPS
from popscan.fairness.words import capital, p_text, people

_NAMES = {
    "auc": "AUC", "balanced_accuracy": "balanced accuracy",
    "calibration_error": "expected calibration error", "calibration_slope": "calibration slope",
    "rmse": "root mean square error", "slope_on_truth": "slope on the true value",
}  # fmt: skip
_ODDS = {
    "equalised_odds_difference": "sensitivity or false positive rate",
    "demographic_parity_difference": "the share predicted positive",
}


def prediction_sentences(table: pd.DataFrame, *, alpha: float = 0.05) -> list[str]:
    """Say how well predictions serve everybody, and which groups they serve differently.

    Parameters
    ----------
    table : DataFrame
        As `popscan.fairness.predictions.prediction_table` returns it.
    alpha
        Level at which a corrected p counts; 1 - confidence of the intervals.

    Returns
    -------
    list of str
        Per prediction: over all, differences over all groups beside chance, differences that are
        significant after correction, or what the data are compatible with.
    """
    sentences = []
    for prediction, rows in table.groupby("prediction", sort=False):
        name = capital(str(prediction).replace("_", " "))
        everyone = rows[(rows["attribute"] == "") & np.isfinite(rows["value"].astype(float))]
        if len(everyone):
            parts = [f"{_NAMES[row['measure']]} {_value(row, alpha)}" for _, row in
                     everyone.iterrows()]  # fmt: skip
            sentences.append(f"{name} (n = {everyone['n'].iloc[0]:,.0f}): {'; '.join(parts)}.")
        sentences += [_odds_sentence(name, row, alpha) for _, row in
                 rows[rows["group"] == ALL_GROUPS].iterrows()]  # fmt: skip
        sentences += _gap_sentences(name, rows, alpha)
    return sentences


def _value(row: pd.Series, alpha: float) -> str:
    """Say a measure with its interval, and what chance makes of it."""
    chance = row["by_chance"]
    beside = f"; {chance:.3f} if perfectly calibrated" if np.isfinite(chance) else ""
    return (
        f"{row['value']:.3f} ({100 * (1 - alpha):g}% CI {row['ci_low']:.3f} to "
        f"{row['ci_high']:.3f}{beside})"
    )


def _odds_sentence(name: str, row: pd.Series, alpha: float) -> str:
    """Largest difference over the groups of an attribute, beside what chance makes of it."""
    value, low, high, chance = (
        100 * float(row[c]) for c in ("value", "ci_low", "ci_high", "by_chance")
    )
    return (
        f"{name}, by {row['attribute']}: the largest difference between groups in "
        f"{_ODDS[row['measure']]} is {value:.0f} percentage points ({100 * (1 - alpha):g}% CI "
        f"{low:.0f} to {high:.0f}, biased upward); {chance:.0f} would be expected by chance if no "
        "group differed."
    )


def _gap_sentences(name: str, rows: pd.DataFrame, alpha: float) -> list[str]:
    """Differences between two groups."""
    tested = rows[rows["p"].notna()]
    if tested.empty:
        return []
    level = f"{100 * (1 - alpha):g}% CI"
    sentences = []
    for _, row in tested[tested["p_adj"] <= alpha].sort_values("p").iterrows():
        sense = "higher" if row["gap"] > 0 else "lower"
        sentences.append(
            f"{name}: the {_NAMES[row['measure']]} is {abs(row['gap']):.3f} {sense} in "
            f"{people(row['group'])} than in {people(row['reference'])} ({level} of the difference "
            f"{row['gap_ci_low']:.3f} to {row['gap_ci_high']:.3f}, adjusted p "
            f"{p_text(row['p_adj'])})."
        )
    rest = tested[~(tested["p_adj"] <= alpha)]
    if len(rest):
        largest = rest[["gap_ci_low", "gap_ci_high"]].abs().max(axis=1)
        widest = [
            f"{_NAMES[str(measure)]} {part.max():.2f}"
            for measure, part in largest.groupby(rest["measure"], sort=False)
        ]
        sentences.append(
            f"{name}: for {len(rest)} of {len(tested)} comparisons of groups the difference is "
            f"not significant. The largest difference still compatible with the data ({level}): "
            f"{'; '.join(widest)}."
        )
    return sentences
