"""How far a predicted Dice can be relied on, over all and by group: judged by references.

A prediction that is worse for one group, or shifted for it, makes a gap of its own. So beside each
group's predicted mean stands its true one, and the gap of the predictions beside the true gap
(Gaggion et al. 2023, arXiv:2309.00451, compare the two).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from popscan.columns import Column, text
from popscan.fairness.groups import MISSING, labels
from popscan.scored import counted
from popscan.stats import intervals, multiplicity
from popscan.stats.auc import auc, interval

DICTIONARY: dict[str, Column] = {
    "attribute": text("attribute; empty for all subjects"),
    "group": text("its group; all for all subjects"),
    "structure": text("structure, or mean"),
    "n": Column("", "subjects with a predicted and a true Dice"),
    "n_low": Column("", "of these, true Dice below the threshold"),
    "true_mean": Column("", "mean Dice with the reference"),
    "predicted_mean": Column("", "mean predicted Dice"),
    "bias": Column("", "mean of predicted minus true Dice"),
    "bias_low": Column("", "lower limit"),
    "bias_high": Column("", "upper limit"),
    "mae": Column("", "mean absolute difference of predicted and true Dice"),
    "mae_low": Column("", "lower limit, percentile bootstrap"),
    "mae_high": Column("", "upper limit, percentile bootstrap"),
    "r": Column("", "Pearson correlation of predicted and true Dice"),
    "r_low": Column("", "lower limit, Fisher's z"),
    "r_high": Column("", "upper limit, Fisher's z"),
    "spearman": Column("", "rank correlation"),
    "auc": Column(
        "", "area under the ROC curve of the predicted Dice for a true Dice below threshold"
    ),
    "auc_low": Column("", "lower limit"),
    "auc_high": Column("", "upper limit"),
    "reference": text("group that the gaps are to; empty for it and for all subjects"),
    "true_gap": Column("", "group minus reference group, true Dice"),
    "predicted_gap": Column("", "group minus reference group, predicted Dice, same subjects"),
    "gap_error": Column("", "predicted gap minus true gap: what the prediction adds to a gap"),
    "gap_error_low": Column("", "lower limit, Welch's t"),
    "gap_error_high": Column("", "upper limit, Welch's t"),
    "p_gap_error": Column("", "p value of no gap error"),
    "p_gap_error_adj": Column(
        "",
        "Holm's, over the rows of all attributes and groups of the structure mean, by which "
        "sentences go; empty for single structures",
    ),
    "threshold": Column("", "Dice below which a segmentation counts as poor"),
}

Floats = NDArray[np.float64]


def true_and_predicted(predicted: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Bring predicted and true Dice together.

    Parameters
    ----------
    predicted : DataFrame
        unit, phase, structure, predicted_dice.
    scores : DataFrame
        unit, phase, structure, dice, as the stage score wrote them. Only rows of
        `popscan.scored.counted` are used, as in the audit.

    Returns
    -------
    DataFrame
        unit, structure, predicted, true: means over the phases that have both, and structure
        ``mean`` over the structures of whoever has all; empty where nobody has a reference.
    """
    keys = ["unit", "phase", "structure"]
    columns = ["unit", "structure", "predicted", "true"]
    if not (set(keys) <= set(predicted) and {*keys, "dice"} <= set(scores)):
        return pd.DataFrame(columns=columns)
    scores = counted(scores)
    both = predicted.merge(scores[[*keys, "dice"]], on=keys).dropna(
        subset=["predicted_dice", "dice"]
    )
    both = both.rename(columns={"predicted_dice": "predicted", "dice": "true"})
    each = both.groupby(["unit", "structure"], as_index=False)[["predicted", "true"]].mean()
    counts = each.groupby("unit")["structure"].transform("count")
    whole = each[counts == each["structure"].nunique()]
    mean = whole.groupby("unit", as_index=False)[["predicted", "true"]].mean()
    return pd.concat([each, mean.assign(structure="mean")], ignore_index=True)[columns]


def validity(
    pairs: pd.DataFrame,
    attributes: pd.DataFrame,
    *,
    attributes_to_test: Sequence[str],
    reference: Mapping[str, str] | None = None,
    threshold: float = 0.7,
    min_group: int = 10,
    n_boot: int = 1000,
    alpha: float = 0.05,
    seed: int = 0,
) -> pd.DataFrame:
    """Say how well predicted Dice agrees with true Dice, over all and by group.

    Parameters
    ----------
    pairs : DataFrame
        As `true_and_predicted`.
    attributes : DataFrame
        Indexed by unit.
    attributes_to_test : sequence of str
        Columns of `attributes`; what it lacks is left out.
    reference : mapping, optional
        Attribute -> reference group; by default the largest.
    threshold
        Dice below which a segmentation counts as poor.
    min_group
        Smaller groups get only their count.
    n_boot, seed
        Of the bootstrap of the mean absolute error.
    alpha
        1 - confidence.

    Returns
    -------
    DataFrame
        Columns as in `DICTIONARY`; one row per structure, attribute and group, everybody first.
    """
    rows: list[dict[str, Any]] = []
    for structure, part in pairs.groupby("structure", sort=False):
        values = part.set_index("unit")[["predicted", "true"]].sort_index()
        options = {"threshold": threshold, "n_boot": n_boot, "alpha": alpha, "seed": seed}
        limits: dict[str, Any] = {"min_group": min_group, "options": options}
        rows.append(_row("", "all", str(structure), values, **limits))
        for attribute in [name for name in attributes_to_test if name in attributes]:
            groups = labels(attributes[attribute]).reindex(values.index).fillna(MISSING)
            sizes = groups[groups != MISSING].value_counts()
            if sizes.empty:
                continue
            base = str((reference or {}).get(attribute, sizes.index[0]))
            for group in sorted(groups.unique()):
                chosen = values[groups == group]
                row = _row(attribute, str(group), str(structure), chosen, **limits)
                other = values[groups == base]
                if group != base and min(len(chosen), len(other)) >= max(min_group, 2):
                    row |= {"reference": base, **_gap(chosen, other, alpha)}
                rows.append(row)
    table = pd.DataFrame(rows, columns=list(DICTIONARY))
    family = table["p_gap_error"].astype(float).where(table["structure"] == "mean")
    table["p_gap_error_adj"] = multiplicity.adjust(family, method="holm")
    for name in ("attribute", "group", "structure", "reference"):
        table[name] = table[name].astype(object).where(table[name].notna(), "").astype(str)
    return table


def _row(
    attribute: str,
    group: str,
    structure: str,
    values: pd.DataFrame,
    *,
    min_group: int,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    predicted, true = (values[c].to_numpy(dtype=float) for c in ("predicted", "true"))
    low = true < options["threshold"]
    row: dict[str, Any] = {
        "attribute": attribute, "group": group, "structure": structure, "n": len(true),
        "n_low": int(low.sum()), "threshold": options["threshold"],
    }  # fmt: skip
    if len(true) < max(min_group, 3):
        return row
    error = predicted - true
    alpha = options["alpha"]
    half = stats.t.isf(alpha / 2, len(error) - 1) * error.std(ddof=1) / math.sqrt(len(error))
    area = auc(-predicted, low)
    auc_low, auc_high = interval(area, alpha=alpha)
    mae_low, mae_high = _bootstrap(
        np.abs(error), **{k: v for k, v in options.items() if k != "threshold"}
    )
    r, r_low, r_high = _pearson(predicted, true, alpha)
    return row | {
        "true_mean": true.mean(), "predicted_mean": predicted.mean(), "bias": error.mean(),
        "bias_low": max(error.mean() - half, -1.0), "bias_high": min(error.mean() + half, 1.0),
        "mae": np.abs(error).mean(), "mae_low": mae_low, "mae_high": mae_high,
        "r": r, "r_low": r_low, "r_high": r_high,
        "spearman": _pearson(stats.rankdata(predicted), stats.rankdata(true), alpha)[0],
        "auc": area.value, "auc_low": auc_low, "auc_high": auc_high,
    }  # fmt: skip


def _bootstrap(values: Floats, *, n_boot: int, alpha: float, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng([seed, len(values)])
    # Multinomial counts of rows: the ordinary bootstrap of a mean without an index per draw.
    n = len(values)
    means = [values @ rng.multinomial(n, np.full(n, 1 / n)) / n for _ in range(n_boot)]
    level = intervals.expanded(alpha, n)  # as wide as Student's in small samples
    low, high = np.quantile(means, (level / 2, 1 - level / 2))
    return float(low), float(high)


def _pearson(a: Floats, b: Floats, alpha: float) -> tuple[float, float, float]:
    """Correlation with Fisher's interval; NaN where one of the two does not vary."""
    if len(a) < 4 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan, math.nan, math.nan
    r = float(np.corrcoef(a, b)[0, 1])
    z = math.atanh(min(max(r, -1 + 1e-12), 1 - 1e-12))
    half = stats.norm.isf(alpha / 2) / math.sqrt(len(a) - 3)
    return r, math.tanh(z - half), math.tanh(z + half)


def _gap(group: pd.DataFrame, other: pd.DataFrame, alpha: float) -> dict[str, float]:
    a, b = (side["predicted"] - side["true"] for side in (group, other))
    test = stats.ttest_ind(a, b, equal_var=False)
    low, high = test.confidence_interval(1 - alpha)
    return {
        "true_gap": group["true"].mean() - other["true"].mean(),
        "predicted_gap": group["predicted"].mean() - other["predicted"].mean(),
        "gap_error": a.mean() - b.mean(),
        "gap_error_low": float(low),
        "gap_error_high": float(high),
        "p_gap_error": float(test.pvalue),
    }


def sentences(table: pd.DataFrame, *, alpha: float = 0.05) -> list[str]:
    """Say what `validity` found, for the mean over structures.

    Parameters
    ----------
    table : DataFrame
        As `validity`.
    alpha
        Level of the test for a gap error, after correction.
    """
    lines = []
    rows = table[table["structure"] == "mean"].to_dict("records")
    for row in ({str(name): value for name, value in record.items()} for record in rows):
        if math.isnan(row["mae"]):
            continue
        if not row["attribute"]:
            lines.append(
                f"Against references ({row['n']} subjects) the predicted Dice correlates with the "
                f"true one with r = {row['r']:.2f} ({row['r_low']:.2f} to {row['r_high']:.2f}); it "
                f"errs by {row['mae']:.3f} on average and is {_direction(row['bias'])} by "
                f"{abs(row['bias']):.3f} on the whole." + _auc_sentence(row)
            )
        elif row["reference"] and row["p_gap_error_adj"] <= alpha:
            lines.append(
                f"{row['attribute']}: the predictions misjudge the gap of {row['group']} to "
                f"{row['reference']}: {row['predicted_gap']:+.3f} predicted, "
                f"{row['true_gap']:+.3f} true (difference {row['gap_error_low']:+.3f} to "
                f"{row['gap_error_high']:+.3f}); a predicted gap must not be read as a true one."
            )
    return lines


def _direction(bias: float) -> str:
    return "too low" if bias < 0 else "too high"


def _auc_sentence(row: Mapping[str, Any]) -> str:
    if math.isnan(row["auc"]):
        which = "All true Dice lie" if row["n_low"] == row["n"] else "No true Dice lies"
        return f" {which} below {row['threshold']:g}: finding poor ones was not tested."
    return (
        f" It finds true Dice below {row['threshold']:g} ({row['n_low']} of {row['n']}) with an "
        f"AUC of {row['auc']:.2f} ({row['auc_low']:.2f} to {row['auc_high']:.2f})."
    )
