"""Outcomes of a classifier or a regression, one value per subject, for the audit to compare.

A rate among the positives (sensitivity) or among the negatives (false positives) concerns only
these: the others do not *lack* a value, the outcome does not apply to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.stats.means import Floats

#: Stage that outcomes of predictions are listed under.
STAGE = "predictions"
Kind = Literal["classification", "regression"]
#: Rates of a classifier: ending of the outcome's name -> which way it is good.
RATES = {
    "sensitivity": "higher", "false_positive_rate": "lower", "predicted_positive": "neither",
    "prevalence": "neither", "accuracy": "higher", "precision": "higher",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Scores or predicted values of the subjects of a study, beside the truth.

    Attributes
    ----------
    name
        Beginning of its outcomes' names; lower case with underscores.
    kind
        ``classification``: `truth` is 1 (positive) or 0; ``regression``: a number.
    score, truth
        By unit; NaN where missing.
    threshold
        Score from which on a subject is called positive.
    unit
        Unit of a regression's values, as at the end of column names (``years``).
    """

    name: str
    kind: Kind
    score: pd.Series
    truth: pd.Series
    threshold: float = 0.5
    unit: str = ""

    @property
    def is_probability(self) -> bool:
        """Whether all scores lie in 0..1, so that calibration means something."""
        known = self.score[np.isfinite(self.score)]
        return bool(known.between(0, 1).all())

    def known(self, units: pd.Index) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Return score, truth, and which of these units have both, in this order."""
        score = self.score.reindex(units).to_numpy(dtype=np.float64)
        truth = self.truth.reindex(units).to_numpy(dtype=np.float64)
        return score, truth, np.isfinite(score) & np.isfinite(truth)


def prediction_outcomes(predictions: Sequence[Prediction], units: pd.Index) -> pd.DataFrame:
    """Return the outcomes of all predictions in long form.

    Parameters
    ----------
    predictions : sequence of Prediction
        Classifiers and regressions.
    units : Index
        Everybody in the study.

    Returns
    -------
    DataFrame
        unit, stage, outcome, value, better_is, kind, and ``applies``: whether the outcome concerns
        the unit. Of a classifier: sensitivity (among positives), false positive rate (among
        negatives), share predicted positive, prevalence, accuracy (share correct), precision (among
        those predicted positive); of probabilities also the Brier score and the residual (truth
        minus probability: its mean is 0 in a calibrated group). Of a regression: signed and
        absolute error.
    """
    parts = []
    for prediction in predictions:
        score, truth, known = prediction.known(units)
        outcomes_of = _classified if prediction.kind == "classification" else _regressed
        for ending, (value, applies, better_is, kind) in outcomes_of(
            prediction, score, truth
        ).items():
            parts.append(
                pd.DataFrame(
                    {
                        "unit": units,
                        "stage": STAGE,
                        "outcome": f"{prediction.name}_{ending}",
                        "value": np.where(known & applies, value, np.nan),
                        "better_is": better_is,
                        "kind": kind,
                        "applies": applies,
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


_Outcome = tuple[Floats, NDArray[np.bool_], str, str]


def _classified(prediction: Prediction, score: Floats, truth: Floats) -> dict[str, _Outcome]:
    """Outcomes of a classifier; a unit whose truth is not known may be of either kind."""
    predicted = score >= prediction.threshold
    positive = truth == 1
    unknown = ~np.isfinite(truth)
    everyone = np.ones(len(score), dtype=bool)
    applies = {
        "sensitivity": positive | unknown,
        "false_positive_rate": (truth == 0) | unknown,
        "precision": predicted | ~np.isfinite(score),
    }
    values = {
        "sensitivity": predicted, "false_positive_rate": predicted,
        "predicted_positive": predicted, "prevalence": positive,
        "accuracy": predicted == positive, "precision": positive,
    }  # fmt: skip
    rows: dict[str, _Outcome] = {
        name: (values[name].astype(np.float64), applies.get(name, everyone), better, "binary")
        for name, better in RATES.items()
    }
    if prediction.is_probability:
        rows["brier"] = ((score - truth) ** 2, everyone, "lower", "continuous")
        rows["residual"] = (truth - score, everyone, "neither", "continuous")
    return rows


def _regressed(prediction: Prediction, score: Floats, truth: Floats) -> dict[str, _Outcome]:
    """Outcomes of a regression."""
    everyone = np.ones(len(score), dtype=bool)
    error = score - truth
    unit = f"{prediction.unit}_" if prediction.unit else ""
    return {
        f"{unit}error": (error, everyone, "neither", "continuous"),
        f"{unit}abs_error": (np.abs(error), everyone, "lower", "continuous"),
    }
