"""Calibration within groups, bin by bin, and what another threshold would do to each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from popscan.columns import Column, flag, text
from popscan.fairness.design import AuditDesign
from popscan.fairness.groups import make_groupings, reference_code
from popscan.fairness.prediction_measures import Side, share_interval
from popscan.fairness.prediction_outcomes import Prediction
from popscan.fairness.predictions import EVERYBODY, known_groups, too_few
from popscan.stats.prediction import N_BINS, bin_of

#: Thresholds of a sweep: steps of 0.05 for probabilities, as many quantiles for other scores.
N_THRESHOLDS = 19
#: Column -> what it means of the table that `calibration_table` returns.
CALIBRATION: dict[str, Column] = {
    "attribute": text("attribute or intersection; empty for all subjects"),
    "prediction": text("what is predicted"),
    "group": text("group"),
    "bin": Column("", "place of the bin, from 0"),
    "score_low": Column("", "lower end of the bin's probabilities"),
    "score_high": Column("", "upper end"),
    "n": Column("units", "units in the bin"),
    "predicted": Column("", "their mean probability"),
    "observed": Column(
        "", "share of them that is positive; the same as predicted where calibrated"
    ),
    "ci_low": Column(
        "", "lower limit of the share's interval (Wilson; by subject where they repeat)"
    ),
    "ci_high": Column("", "upper limit of the share's interval"),
}
_RATES = ("sensitivity", "false_positive_rate", "predicted_positive")
#: Column -> what it means of the table that `threshold_table` returns.
THRESHOLDS: dict[str, Column] = {
    "attribute": text("attribute or intersection; empty for all subjects"),
    "prediction": text("what is predicted"),
    "threshold": Column("", "score from which on a subject is called positive"),
    "in_use": flag("whether this is the threshold of the study"),
    "group": text("group"),
    "reference": text("group it is compared with"),
    "n_positive": Column("units", "positives with a score"),
    "n_negative": Column("units", "negatives with a score"),
    **{
        f"{rate}{ending}": Column("", f"{rate.replace('_', ' ')}: {meaning}")
        for rate in _RATES
        for ending, meaning in (
            ("", "share in the group"),
            ("_ci_low", "lower limit of its interval"),
            ("_ci_high", "upper limit of its interval"),
            ("_gap", "share in the group minus share in the reference"),
            ("_gap_ci_low", "lower limit of the gap's interval (Newcombe)"),
            ("_gap_ci_high", "upper limit of the gap's interval"),
        )
    },
}


def calibration_table(
    predictions: Sequence[Prediction],
    attributes: pd.DataFrame,
    *,
    attributes_to_test: Sequence[str],
    design: AuditDesign,
    cluster: str | None = None,
) -> pd.DataFrame:
    """Compare probabilities with what happened, by group and bin.

    Parameters
    ----------
    predictions
        Those that are not probabilities of a classifier are left out.
    attributes, attributes_to_test, design, cluster
        As in `popscan.fairness.predictions.prediction_table`.

    Returns
    -------
    DataFrame
        Columns as in `CALIBRATION`; bins without units have no row.
    """
    rows: list[dict[str, Any]] = []
    people = attributes.sort_index()
    for prediction in predictions:
        if prediction.kind == "classification" and prediction.is_probability:
            for attribute, group, side, _ in _sides(
                prediction, people, attributes_to_test, design=design, cluster=cluster
            ):
                bins = bin_of(side.score)
                for place in np.unique(bins):
                    inside = bins == place
                    low, high = share_interval(side, side.positive, inside, design)
                    rows.append(
                        {
                            "attribute": attribute, "prediction": prediction.name, "group": group,
                            "bin": int(place), "score_low": place / N_BINS,
                            "score_high": (place + 1) / N_BINS, "n": int(inside.sum()),
                            "predicted": float(side.score[inside].mean()),
                            "observed": float(side.positive[inside].mean()),
                            "ci_low": low, "ci_high": high,
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows, columns=list(CALIBRATION))


def threshold_table(
    predictions: Sequence[Prediction],
    attributes: pd.DataFrame,
    *,
    attributes_to_test: Sequence[str],
    reference: Mapping[str, str] | None = None,
    design: AuditDesign,
    cluster: str | None = None,
) -> pd.DataFrame:
    """Compare sensitivity, false positives and share predicted positive at many thresholds.

    Parameters
    ----------
    predictions
        Regressions are left out.
    attributes, attributes_to_test, reference, design, cluster
        As in `popscan.fairness.predictions.prediction_table`.

    Returns
    -------
    DataFrame
        Columns as in `THRESHOLDS`, one row per group and threshold, among them the one in use.
    """
    rows: list[dict[str, Any]] = []
    people = attributes.sort_index()
    for prediction in predictions:
        if prediction.kind != "classification":
            continue
        sides = _sides(
            prediction,
            people,
            attributes_to_test,
            design=design,
            cluster=cluster,
            reference=reference,
        )
        for threshold in thresholds_of(prediction):
            at: dict[tuple[str, str], dict[str, Any]] = {}
            for attribute, group, side, base in sides:
                at[attribute, group] = {
                    "attribute": attribute, "prediction": prediction.name,
                    "threshold": threshold, "in_use": threshold == prediction.threshold,
                    "group": group, "reference": base if base != group else "",
                    "n_positive": int(side.positive.sum()),
                    "n_negative": int((~side.positive).sum()),
                    **_rates(side, threshold, design),
                }  # fmt: skip
            for (attribute, _), row in at.items():
                other = at.get((attribute, row["reference"]))
                if other is not None:
                    row |= _gaps(row, other)
            rows += at.values()
    return pd.DataFrame(rows, columns=list(THRESHOLDS))


def thresholds_of(prediction: Prediction) -> list[float]:
    """Return the thresholds of a sweep, in order, the one in use among them."""
    steps = np.arange(1, N_THRESHOLDS + 1) / (N_THRESHOLDS + 1)
    if not prediction.is_probability:
        steps = np.quantile(prediction.score.dropna(), steps)
    return sorted({*(float(round(step, 6)) for step in steps), prediction.threshold})


def _sides(
    prediction: Prediction,
    people: pd.DataFrame,
    attributes_to_test: Sequence[str],
    *,
    design: AuditDesign,
    cluster: str | None,
    reference: Mapping[str, str] | None = None,
) -> list[tuple[str, str, Side, str]]:
    """Attribute, group, its rows, and the reference group; everybody first, small ones not."""
    score, truth, known = prediction.known(people.index)
    clusters = None if cluster is None else pd.factorize(people[cluster])[0].astype(np.intp)
    found = [("", EVERYBODY, Side.of(score, truth, np.flatnonzero(known), clusters), "")]
    for grouping in make_groupings(people, attributes_to_test=attributes_to_test):
        base = reference_code(grouping, reference)
        for _, name, rows in known_groups(prediction, people, grouping):
            side = Side.of(score, truth, rows, clusters)
            found.append((grouping.attribute, name, side, grouping.names[base]))
    return [row for row in found if not too_few(prediction, row[2], design)]


def _rates(side: Side, threshold: float, design: AuditDesign) -> dict[str, float]:
    """Rates of one group at one threshold, with their intervals."""
    predicted = side.score >= threshold
    among = (side.positive, ~side.positive, np.ones(len(predicted), dtype=bool))
    row: dict[str, float] = {}
    for name, part in zip(_RATES, among, strict=True):
        low, high = share_interval(side, predicted, part, design)
        row |= {name: float(predicted[part].mean()), f"{name}_ci_low": low, f"{name}_ci_high": high}
    return row


def _gaps(own: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, float]:
    """Differences to the reference, their limits from those of both groups (Newcombe 1998)."""
    row: dict[str, float] = {}
    for name in _RATES:
        value, low, high = (own[f"{name}{end}"] for end in ("", "_ci_low", "_ci_high"))
        other, other_low, other_high = (base[f"{name}{end}"] for end in ("", "_ci_low", "_ci_high"))
        gap = value - other
        row |= {
            f"{name}_gap": gap,
            f"{name}_gap_ci_low": gap - float(np.hypot(value - low, other_high - other)),
            f"{name}_gap_ci_high": gap + float(np.hypot(high - value, other - other_low)),
        }
    return row
