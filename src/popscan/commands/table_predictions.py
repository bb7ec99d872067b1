"""Predictions that a table holds, as the audit takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from popscan.commands.configfile import ConfigError
from popscan.config.predictions import PredictedColumn
from popscan.fairness.groups import MISSING, labels
from popscan.stats.design import UNITS

if TYPE_CHECKING:
    from popscan.fairness.prediction_outcomes import Prediction

#: Texts of a truth that say by themselves which class is positive.
_POSITIVE = {"1": ("0", "1"), "true": ("false", "true"), "yes": ("no", "yes")}


def numeric_columns(predictions: Sequence[PredictedColumn]) -> list[str]:
    """Return the columns that must hold numbers."""
    truths = [p.truth for p in predictions if p.kind == "regression"]
    return list(dict.fromkeys([*(p.score for p in predictions), *truths]))


def read_predictions(
    table: pd.DataFrame, predictions: Sequence[PredictedColumn]
) -> list[Prediction]:
    """Take predictions from a table.

    Parameters
    ----------
    table
        Indexed by unit.
    predictions
        Config ``table.predictions``.

    Raises
    ------
    ConfigError
        If a column does not exist or holds no number, the positive class is not clear, or scores
        that are no probabilities have no threshold: every problem at once.
    """
    from popscan.fairness.prediction_outcomes import Prediction

    problems: list[str] = []
    found: list[Prediction] = []
    for place, wanted in enumerate(predictions):
        key = f"table.predictions[{place}]"
        lacking = [
            f"{key}.{role}: no column {name!r}; the table has {', '.join(map(str, table.columns))}"
            for role, name in (("score", wanted.score), ("truth", wanted.truth))
            if name not in table
        ]
        if lacking:
            problems += lacking
            continue
        score = pd.to_numeric(table[wanted.score], errors="coerce").astype(float)
        score = score.where(np.isfinite(score))
        if wanted.kind == "regression":
            truth, trouble = pd.to_numeric(table[wanted.truth], errors="coerce").astype(float), ""
        else:
            truth, trouble = _classes(table[wanted.truth], wanted.positive)
        for role, name, values in (
            ("score", wanted.score, score),
            ("truth", wanted.truth, truth),
        ):
            if not trouble and not np.isfinite(values).any():
                problems.append(f"{key}.{role}: {name} without a single number")
        if trouble:
            problems.append(f"{key}.positive: {wanted.truth} {trouble}")
            continue
        name, unit = _name_and_unit(wanted)
        made = Prediction(
            name=name, kind=wanted.kind, score=score, truth=truth, unit=unit,
            threshold=0.5 if wanted.threshold is None else wanted.threshold,
        )  # fmt: skip
        if wanted.kind == "classification" and wanted.threshold is None and not made.is_probability:
            problems.append(
                f"{key}.threshold: none given, and {wanted.score} is not a probability (it holds "
                f"{score.min():g} to {score.max():g}); expected the score from which on a subject "
                "is called positive"
            )
        found.append(made)
    names = [prediction.name for prediction in found]
    problems += [
        f"table.predictions: two are called {name}: give one of them another name"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if problems:
        raise ConfigError(problems)
    return found


def _classes(column: pd.Series, positive: str | bool | float | None) -> tuple[pd.Series, str]:
    """Truth as 1, 0 or NaN, and what is wrong with it."""
    text = labels(column).astype(str)
    levels = sorted(set(text) - {MISSING})
    if positive is None:
        lowered = {level.casefold() for level in levels}
        fitting = [one for one, both in _POSITIVE.items() if lowered and lowered <= set(both)]
        if not fitting:
            return pd.Series(dtype=float), (
                f"holds {', '.join(levels[:10]) or 'nothing'}; expected 0 and 1, or say which "
                "value is positive"
            )
        chosen = [level for level in levels if level.casefold() == fitting[0]]
    else:
        wanted = str(labels(pd.Series([positive], dtype=object)).iloc[0])
        chosen = [level for level in levels if level.casefold() == wanted.casefold()]
        if not chosen:
            return pd.Series(dtype=float), (
                f"does not hold {wanted!r}; it holds {', '.join(levels[:10]) or 'nothing'}"
            )
    truth = text.isin(chosen).astype(float)
    return truth.where(text != MISSING), ""


def _name_and_unit(wanted: PredictedColumn) -> tuple[str, str]:
    """Name of the outcomes and, of a regression, the unit at the end of the truth's name."""
    name = wanted.name or wanted.truth
    if wanted.kind == "regression":
        for ending in sorted(UNITS, key=len, reverse=True):
            if wanted.truth.lower().endswith(ending):
                return name.removesuffix(ending), ending.removeprefix("_")
    return name, ""
