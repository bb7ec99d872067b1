"""Predictions that a table holds, or a study's table of predictions, as the audit takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from popscan.config.predictions import PredictedColumn, StudyPredictions
from popscan.fairness.groups import MISSING, labels
from popscan.fairness.prediction_outcomes import Prediction
from popscan.records import PopscanError
from popscan.scored import seen_in_training
from popscan.stats.design import UNITS

#: Texts of a truth that say by themselves which class is positive.
_POSITIVE = {"1": ("0", "1"), "true": ("false", "true"), "yes": ("no", "yes")}


class PredictionProblems(PopscanError):
    """What is wrong with predictions, every problem at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


def numeric_columns(predictions: Sequence[PredictedColumn]) -> list[str]:
    """Return the columns that must hold numbers."""
    truths = [p.truth for p in predictions if p.kind == "regression"]
    return list(dict.fromkeys([*(p.score for p in predictions), *truths]))


def read_predictions(
    table: pd.DataFrame, predictions: Sequence[PredictedColumn], *, key: str = "table.predictions"
) -> list[Prediction]:
    """Take predictions from a table.

    Parameters
    ----------
    table
        Indexed by unit.
    predictions
        From the config.
    key
        Their key in it, for messages.

    Raises
    ------
    PredictionProblems
        If a column does not exist or holds no number, the positive class is not clear, or scores
        that are no probabilities have no threshold: every problem at once.
    """
    problems: list[str] = []
    found: list[Prediction] = []
    for place, wanted in enumerate(predictions):
        where = f"{key}[{place}]"
        lacking = [
            f"{where}.{role}: no column {name!r}; the table has "
            f"{', '.join(map(str, table.columns))}"
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
                problems.append(f"{where}.{role}: {name} without a single number")
        if trouble:
            problems.append(f"{where}.positive: {wanted.truth} {trouble}")
            continue
        name, unit = _name_and_unit(wanted)
        made = Prediction(
            name=name, kind=wanted.kind, score=score, truth=truth, unit=unit,
            threshold=0.5 if wanted.threshold is None else wanted.threshold,
        )  # fmt: skip
        if wanted.kind == "classification" and wanted.threshold is None and not made.is_probability:
            problems.append(
                f"{where}.threshold: none given, and {wanted.score} is not a probability (it holds "
                f"{score.min():g} to {score.max():g}); expected the score from which on a subject "
                "is called positive"
            )
        found.append(made)
    names = [prediction.name for prediction in found]
    problems += [
        f"{key}: two are called {name}: give one of them another name"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if problems:
        raise PredictionProblems(problems)
    return found


def of_new_subjects(
    table: pd.DataFrame, predictions: Sequence[PredictedColumn], *, key: str = "table.predictions"
) -> tuple[pd.DataFrame, list[str]]:
    """Leave out the predictions for subjects that the model was trained on.

    Parameters
    ----------
    table
        With ``seen_in_training`` where it is known; without that column all rows are kept.
    predictions
        From the config.
    key
        Their key in it, for messages.

    Returns
    -------
    table
        With NaN for the scores of those subjects.
    notes
        How many they are.

    Raises
    ------
    PredictionProblems
        If no subject is left: nothing is known of new ones.
    """
    seen = seen_in_training(table)
    scores = [p.score for p in predictions if p.score in table]
    if not seen.any() or not scores:
        return table, []
    if seen.all():
        raise PredictionProblems(
            [f"{key}: the model was trained on all subjects (seen_in_training); others are needed"]
        )
    kept = table.assign(**{name: table[name].mask(seen) for name in scores})
    note = (
        f"{key}: the model was trained on {int(seen.sum())} of {len(table)} subjects "
        "(seen_in_training); their predictions are left out."
    )
    return kept, [note]


def study_predictions(
    wanted: StudyPredictions, attributes: pd.DataFrame
) -> tuple[list[Prediction], list[str]]:
    """Read the predictions of a study's subjects.

    Parameters
    ----------
    wanted
        Config ``fairness.predictions``.
    attributes
        What is known of every subject, by unit, with ``sub``.

    Returns
    -------
    predictions
        By unit of the study; NaN for subjects that the table lacks.
    notes
        Sentences on rows of nobody, and subjects without a row.

    Raises
    ------
    PredictionProblems
        If there is no such table, or its columns cannot be used.
    """
    if not wanted.table and not wanted.columns:
        return [], []
    key = "fairness.predictions"
    path = Path(wanted.table)
    if not wanted.columns or not wanted.table:
        raise PredictionProblems([f"{key}: both table and columns are expected"])
    if not path.is_file():
        raise PredictionProblems([f"{key}.table: {path}: no such file"])
    own, notes = _read_units(path, wanted.columns, attributes)
    own, left_out = of_new_subjects(own, wanted.columns, key=key)
    notes += left_out
    table = own.reindex(attributes.index)
    for name in (p.truth for p in wanted.columns):
        if name not in table and name in attributes:
            table[name] = attributes[name]
    lacking = int((~attributes.index.isin(own.index)).sum())
    if lacking:
        notes.append(f"{key}: {lacking} of {len(attributes)} subjects have no prediction.")
    return read_predictions(table, wanted.columns, key=f"{key}.columns"), notes


def _read_units(
    path: Path, columns: Sequence[PredictedColumn], attributes: pd.DataFrame
) -> tuple[pd.DataFrame, list[str]]:
    """Return the table by unit of the study, and notes on what is not of it."""
    from popscan.io.cohort import read_cohort

    own = [name for name in numeric_columns(columns) if name not in attributes]
    table, problems, notes = read_cohort(path, numeric=own)
    if table.empty:
        reason = str(problems[0]) if problems else f"{path}: no rows"
        raise PredictionProblems([f"fairness.predictions.table: {reason}"])
    notes = [f"{path}: {note}" for note in [*notes, *map(str, problems[:5])]]
    names = table["participant_id"].astype(str)
    visit = (
        table["session_id"].astype(str)
        if "session_id" in table
        else pd.Series("", index=names.index)
    )
    by_subject = attributes.index.to_series().groupby(attributes["sub"].astype(str)).agg(list)
    units = []
    for sub, ses in zip(names, visit, strict=True):
        visits = by_subject.get(sub, [])
        whole = f"{sub}_{ses}" if ses else sub
        units.append(visits[0] if not ses and len(visits) == 1 else whole)
    table["unit"] = units
    strangers = table.loc[~table["unit"].isin(attributes.index), "unit"]
    if len(strangers):
        some = ", ".join(strangers.head(5))
        notes.append(f"{path}: {len(strangers)} rows are of no visit of this study: {some}.")
    known = table[table["unit"].isin(attributes.index)]
    twice = known.loc[known["unit"].duplicated(), "unit"]
    if len(twice):
        raise PredictionProblems(
            [f"fairness.predictions.table: {path}: several rows of {', '.join(twice[:5])}"]
        )
    return known.set_index("unit").drop(columns=["participant_id", "session_id"],
                                        errors="ignore"), notes  # fmt: skip


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
