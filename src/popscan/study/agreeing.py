"""Where two protocols of a study measure the same number: how far they agree, and in whom not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from popscan.columns import Column, text
from popscan.names import natural, subject_of
from popscan.stats.precision import FEWEST, limits_of_agreement

#: Columns of the table `agreement` of a study of several protocols.
AGREEMENT: Mapping[str, Column] = {
    "column": text("biomarker that both protocols have, in the same unit"),
    "second_column": text("its name in the second protocol"),
    "unit_of_value": text("its unit"),
    "first": text("protocol"),
    "second": text("protocol that is compared with it"),
    "n": Column("subjects", "subjects that both protocols measured, each at its first such visit"),
    "bias": Column("", "mean of second less first", "Bland and Altman 1986"),
    "bias_low": Column("", "lower end of its 95% interval"),
    "bias_high": Column("", "upper end of its 95% interval"),
    "sd": Column("", "standard deviation of the differences"),
    "loa_low": Column("", "lower limit of agreement", "Bland and Altman 1986"),
    "loa_high": Column("", "upper limit of agreement", "Bland and Altman 1986"),
    "n_outside": Column("visits", "visits beyond the limits of the other subjects"),
    "outside": text("who they are"),
}
_LIMIT = 1.96
#: Fewest other subjects whose limits a subject is held against.
_FEWEST_OTHERS = 10


def agreement(
    protocols: Sequence[str],
    biomarkers: pd.DataFrame,
    meanings: Mapping[str, Column],
    *,
    equals: Mapping[str, Mapping[str, str]] | None = None,
) -> pd.DataFrame:
    """Compare the biomarkers that two protocols have under one name, or as equals, in one unit.

    The limits are those of each subject's first visit that both measured. A visit is outside if its
    difference is beyond the limits of all other subjects, of whom there must be ten: its own
    values, however wrong, do not widen them.

    Parameters
    ----------
    protocols
        Their names, in the order of the config.
    biomarkers
        One row per subject: ``unit``, and ``PROTOCOL_COLUMN`` of each.
    meanings
        What these columns mean; those without a unit (frames, counts) are not compared.
    equals
        Protocol -> its biomarker -> the name that another protocol has for the same quantity.

    Returns
    -------
    DataFrame
        The columns of `AGREEMENT`; empty where nothing is measured twice.
    """
    rows = []
    for first, second in combinations(protocols, 2):
        for name, other in _shared(first, second, biomarkers, meanings, equals or {}):
            pair = biomarkers[["unit", f"{first}_{name}", f"{second}_{other}"]].copy()
            pair.columns = pd.Index(["unit", "first", "second"])
            for column in ("first", "second"):
                pair[column] = pd.to_numeric(pair[column], errors="coerce")
            pair = pair.replace([np.inf, -np.inf], np.nan).dropna(subset=["first", "second"])
            pair = pair.sort_values("unit", key=lambda one: one.map(natural), kind="stable")
            subjects, _ = pd.factorize(pair["unit"].map(subject_of))
            once = pair[~pd.Series(subjects, index=pair.index).duplicated()]
            limits = limits_of_agreement(once["first"], once["second"])
            outside = _outside((pair["second"] - pair["first"]).to_numpy(float), subjects)
            rows.append(
                {
                    "column": name, "second_column": other,
                    "unit_of_value": meanings[f"{first}_{name}"].unit,
                    "first": first, "second": second, "n": limits.n, "bias": limits.bias,
                    "bias_low": limits.bias_low, "bias_high": limits.bias_high, "sd": limits.sd,
                    "loa_low": limits.loa_low, "loa_high": limits.loa_high,
                    "n_outside": int(outside.sum()),
                    "outside": " ".join(pair["unit"].astype(str)[outside]),
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(AGREEMENT))


def own_columns(table: pd.DataFrame, protocol: str, protocols: Collection[str]) -> dict[str, str]:
    """Return the columns ``PROTOCOL_COLUMN`` of one protocol: name in the table -> its own.

    Parameters
    ----------
    table
        Of several protocols.
    protocol, protocols
        The one, and all that have columns: of ``t1`` and ``t1_map`` each has its own.
    """
    longer = tuple(f"{name}_" for name in protocols if name.startswith(f"{protocol}_"))
    start = f"{protocol}_"
    return {
        str(column): str(column).removeprefix(start)
        for column in table
        if str(column).startswith(start) and not str(column).startswith(longer)
    }


def _shared(
    first: str,
    second: str,
    table: pd.DataFrame,
    meanings: Mapping[str, Column],
    equals: Mapping[str, Mapping[str, str]],
) -> list[tuple[str, str]]:
    """Names of biomarkers in both protocols that are the same quantity, in the same unit."""
    own = own_columns(table, first, {first, second}).values()
    backwards = {there: here for here, there in equals.get(second, {}).items()}
    shared = []
    for name in own:
        for other in (name, equals.get(first, {}).get(name), backwards.get(name)):
            both = (f"{first}_{name}", f"{second}_{other}")
            if not all(key in table and key in meanings for key in both):
                continue
            one, unit = (meanings[key].unit for key in both)
            if one and one == unit:
                shared.append((name, str(other)))
    return shared


def _outside(difference: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Whether each difference lies beyond the limits of the first visits of all other subjects.

    Sums of the others are those before and those after: to take a wild value off a total that
    holds it would leave nothing of the others' digits.
    """
    who, first, own = np.unique(subjects, return_index=True, return_inverse=True)
    if who.size <= max(FEWEST, _FEWEST_OTHERS):
        return np.zeros(difference.size, dtype=bool)
    n, middle = who.size - 1, np.median(difference[first])
    once = difference[first] - middle
    mean = _of_others(once) / n
    variance = np.maximum(_of_others(once**2) - n * mean**2, 0.0) / (n - 1)
    limit = _LIMIT * np.sqrt(variance * (1 + 1 / n))
    return np.asarray(np.abs(difference - middle - mean[own]) > limit[own])


def _of_others(values: np.ndarray) -> np.ndarray:
    """Return for each value the sum of all others."""
    before = np.concatenate([[0.0], np.cumsum(values)[:-1]])
    after = np.concatenate([np.cumsum(values[::-1])[:-1][::-1], [0.0]])
    return np.asarray(before + after)
