"""The table of how well attributes are predicted from each source, with and without body size."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.cells import is_recorded
from popscan.columns import Column, text
from popscan.stats import multiplicity
from popscan.stats.design import clean, is_categorical
from popscan.stats.means import Floats
from popscan.visibility import SOURCES
from popscan.visibility.predict import MACRO, MIN_GROUP, Seen, predict_attribute

DICTIONARY: dict[str, Column] = {
    "attribute": text("attribute"),
    "group": text(f"group distinguished from all others; '{MACRO}': of more than two groups"),
    "source": text("what it is distinguished by: biomarkers, labels, heart, image, latent"),
    "n": Column("", "subjects"),
    "n_group": Column("", "of these, in the group"),
    "n_features": Column("", "features"),
    "n_components": Column("", "principal components that the classifier was given"),
    "auc": Column("", "cross-validated area under the ROC curve; 0.5 is chance"),
    "auc_low": Column("", "lower limit"),
    "auc_high": Column("", "upper limit"),
    "p": Column(
        "",
        "share of permuted labels that are predicted as well; if none of the first round is, of so "
        "many more that the smallest p outlasts the correction",
    ),
    "p_adj": Column("", "Holm's, over all rows of the table; what sentences go by"),
    "n_adjusted": Column(
        "",
        "subjects with all confounders known, on whom the adjusted area and that of the "
        "confounders rest; 0 where a group of them is too small, or nothing is taken out",
    ),
    "auc_adjusted": Column("", "area with the confounders taken out of the features"),
    "auc_adjusted_low": Column("", "lower limit"),
    "auc_adjusted_high": Column("", "upper limit"),
    "p_adjusted": Column(
        "", "share of permuted labels that are distinguished as well then; not corrected"
    ),
    "auc_confounders": Column("", "area from the confounders alone"),
    "confounders": text("what was taken out"),
    "inflation": Column(
        "", "how much wider the interval is than DeLong's, for folds that share rows"
    ),
}


def visibility_table(
    sources: Mapping[str, pd.DataFrame],
    attributes: pd.DataFrame,
    *,
    attributes_to_test: Sequence[str],
    adjust_for: Sequence[str] = (),
    **options: Any,
) -> pd.DataFrame:
    """Say how well each attribute is predicted from each source.

    Parameters
    ----------
    sources : mapping
        Name -> features, one row per unit (index), numbers.
    attributes : DataFrame
        Indexed by unit, one unit per subject.
    attributes_to_test : sequence of str
        Columns of `attributes`; what it lacks, or what has no two groups, has no row.
    adjust_for : sequence of str
        Columns of `attributes`, words as categories; what it lacks is left out, and so is, of the
        adjusted areas, who lacks one of the others.
    **options
        Of `predict_attribute`.

    Returns
    -------
    DataFrame
        Columns as in `DICTIONARY`.
    """
    confounders = [name for name in adjust_for if name in attributes]
    tested = [name for name in attributes_to_test if name in attributes]
    min_group = int(options.get("min_group", MIN_GROUP))
    n_tests = len(sources) * sum(
        _n_rows(known_groups(attributes[name], min_group=min_group)) for name in tested
    )
    rows: list[dict[str, Any]] = []
    for attribute in tested:
        for source, features in sources.items():
            people = attributes.reindex(features.index)
            given = people[attribute].astype(object).where(people[attribute].notna(), "")
            used = [name for name in confounders if name != attribute]
            q, used = confounder_matrix(people, used)
            rows += _rows(
                features.to_numpy(dtype=float),
                list(given),
                q,
                used=used,
                n_tests=n_tests,
                options=options,
                what={"attribute": attribute, "source": source},
            )
    table = pd.DataFrame(rows, columns=list(DICTIONARY))
    if len(table):
        table["p_adj"] = multiplicity.adjust(table["p"].astype(float), method="holm")
    return table


def _rows(
    x: NDArray[Any],
    labels: list[Any],
    q: NDArray[Any],
    *,
    used: Sequence[str],
    n_tests: int,
    options: Mapping[str, Any],
    what: Mapping[str, str],
) -> list[dict[str, Any]]:
    plain = predict_attribute(x, labels, n_tests=n_tests, **options)
    held = np.isfinite(q).any(axis=0) if len(q) else np.zeros(len(used), dtype=bool)
    adjusted: dict[str, Seen] = {}
    alone: dict[str, Seen] = {}
    if held.any() and plain:
        q = q[:, held]
        adjusted = _by_group(predict_attribute(x, labels, confounders=q, **options))
        if set(adjusted) == {seen.group for seen in plain}:
            # The same rows, so that the areas can be compared.
            rows = np.isfinite(x).any(axis=1) & np.isfinite(q).all(axis=1)
            quick = {**options, "n_permutations": 0}
            kept = [label for label, row in zip(labels, rows, strict=True) if row]
            alone = _by_group(predict_attribute(q[rows], kept, **quick))
        else:
            # A group is too small among those with all confounders: 'all others' are other people.
            adjusted = {}
    found = []
    for seen in plain:
        other = adjusted.get(seen.group)
        found.append(
            {
                **what, "group": seen.group, "n": seen.n, "n_group": seen.n_group,
                "n_features": x.shape[1], "n_components": seen.n_components, "auc": seen.auc,
                "auc_low": seen.auc_low, "auc_high": seen.auc_high, "p": seen.p,
                "n_adjusted": other.n if other else 0,
                "auc_adjusted": other.auc if other else math.nan,
                "auc_adjusted_low": other.auc_low if other else math.nan,
                "auc_adjusted_high": other.auc_high if other else math.nan,
                "p_adjusted": other.p if other else math.nan,
                "auc_confounders": alone[seen.group].auc if seen.group in alone else math.nan,
                "confounders": " ".join(dict.fromkeys(np.asarray(used)[held])),
                "inflation": seen.inflation,
            }
        )  # fmt: skip
    return found


def _by_group(seen: Sequence[Seen]) -> dict[str, Seen]:
    return {one.group: one for one in seen}


def _n_rows(groups: Sequence[str]) -> int:
    """Rows of an attribute and source: two groups against one another, more also at mean."""
    return len(groups) + 1 if len(groups) > 2 else len(groups) // 2


def confounder_matrix(people: pd.DataFrame, names: Sequence[str]) -> tuple[Floats, list[str]]:
    """Return confounders as numbers, of words one column per level but the first; and their names.

    Subjects without a value have NaN.
    """
    columns: list[tuple[str, pd.Series]] = []
    for name in names:
        words = is_categorical(people[name])
        values = clean(people[name], categorical=words)
        if not words:
            columns.append((name, values))
            continue
        levels = sorted(values.dropna().unique())[1:]
        columns += [(name, (values == n).astype(float).where(values.notna())) for n in levels]
    matrix = np.empty((len(people), len(columns)))
    for position, (_, values) in enumerate(columns):
        matrix[:, position] = values
    return matrix, [name for name, _ in columns]


def known_groups(column: pd.Series, *, min_group: int) -> list[str]:
    """Return the groups of an attribute that are large enough, by name."""
    counts = Counter(str(value).strip() for value in column if is_recorded(value))
    return sorted(group for group, n in counts.items() if n >= max(min_group, 2))


def sentences(table: pd.DataFrame, *, alpha: float = 0.05) -> list[str]:
    """Say for every attribute where it is seen, and what is left without body size.

    That it can be predicted is stated only where the corrected p value says so too.

    Parameters
    ----------
    table : DataFrame
        As `visibility_table`.
    alpha
        Level of the corrected p values.
    """
    lines = []
    for attribute, part in table.groupby("attribute", sort=False):
        several = part["group"] == MACRO
        rows = part[several] if several.any() else part
        for record in rows.to_dict("records"):
            row = {str(name): value for name, value in record.items()}
            lines.append(_sentence(str(attribute), row, len(table), alpha))
    return lines


def _sentence(attribute: str, row: Mapping[str, Any], n_tests: int, alpha: float) -> str:
    where = SOURCES.get(row["source"], row["source"])
    area = f"AUC {row['auc']:.2f}, {row['auc_low']:.2f} to {row['auc_high']:.2f}, n = {row['n']}"
    p = "" if math.isnan(row["p_adj"]) else f", p = {row['p_adj']:.2g} corrected"
    if row["auc_low"] > 0.5 and row["p_adj"] <= alpha:
        text = f"{attribute} can be predicted from {where} ({area}{p})"
    elif row["auc_low"] > 0.5:
        text = (
            f"{attribute} seems predictable from {where} before correction for {n_tests} "
            f"comparisons ({area}{p})"
        )
    elif row["auc_high"] < 0.6:
        text = f"{attribute} can hardly be predicted from {where} ({area})"
    else:
        text = f"it is unclear whether {attribute} can be predicted from {where} ({area})"
    if row["auc_low"] > 0.5 and row["confounders"]:
        text += f"; {_adjusted(row)}"
    return text[0].upper() + text[1:] + "."


def _adjusted(row: Mapping[str, Any]) -> str:
    names = row["confounders"].replace(" ", ", ")
    if not row["n_adjusted"]:
        return f"what is left without {names} is not known, for too few of a group have all of it"
    return (
        f"with {names} taken out: {row['auc_adjusted']:.2f} ({row['auc_adjusted_low']:.2f} to "
        f"{row['auc_adjusted_high']:.2f}, n = {row['n_adjusted']} with all of it known)"
    )
