"""Gaps adjusted for confounders: what age, body size or scanner explain of a difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.columns import Column, text
from popscan.fairness.attributes import confounders_of
from popscan.fairness.groups import Grouping, labels, make_groupings, outcome_matrix, reference_code
from popscan.fairness.ranges import ranges_of
from popscan.fairness.roles import families, role_of
from popscan.records import PopscanError
from popscan.stats import multiplicity
from popscan.stats.adjust import METHODS, Problem, change_by_confounders, unadjusted
from popscan.stats.design import Design, build

#: Fewest events, and fewest subjects without one, that a model of a yes/no outcome needs on a side.
MIN_EVENTS = 5
#: Column -> what it means of the table that `adjusted_gaps` returns.
DICTIONARY: dict[str, Column] = {
    "attribute": text("attribute or intersection by which units are grouped"),
    "stage": text("stage of the pipeline that the outcome comes from"),
    "outcome": text("what is compared"),
    "better_is": text("whether higher or lower is better"),
    "kind": text("continuous or binary"),
    "group": text("group that is compared"),
    "reference": text("group it is compared with"),
    "method": text("how the gap is adjusted"),
    "adjusted_for": text("confounders adjusted for"),
    "not_adjusted_for": text("confounders named in the config that the comparison goes without"),
    "n": Column("units", "complete rows of the group"),
    "n_reference": Column("units", "complete rows of the reference"),
    "n_dropped": Column("units", "rows of both left out for a missing confounder"),
    "gap_raw": Column("outcome", "difference of means of the same complete rows, not adjusted"),
    "gap": Column("outcome", "adjusted difference, group minus reference"),
    "se": Column("outcome", "its standard error"),
    "ci_low": Column("outcome", "lower limit of its interval"),
    "ci_high": Column("outcome", "upper limit of its interval"),
    "p": Column("", "two-sided p value that the adjusted gap is 0"),
    "p_adj": Column("", "p corrected over all rows of the same method (and role of the attribute)"),
    "explained_pct": Column(
        "%", "share of the raw gap that goes away (where the raw gap is clear of 0)"
    ),
    "p_slopes": Column(
        "", "test that confounders have the same effect in both groups (regression, ancova)"
    ),
    "icc": Column("", "share of residual variance between blocks (mixed)"),
    "matched_pct": Column("%", "share of the group with a match (matching)"),
    "smd_before": Column("SD", "largest standardised difference of a confounder before matching"),
    "smd_after": Column("SD", "the same in the matched pairs"),
    "note": text("why there is no estimate, or with what caution to read it"),
    "role": text("of the attribute: protected or technical"),
    "p_change": Column(
        "",
        "test that the confounders change the gap at all (linear models with and without them)",
    ),
}


@dataclass(frozen=True, kw_only=True)
class _Models:
    """Options that are the same in every comparison; as in `adjusted_gaps`."""

    methods: Sequence[str]
    categorical: Sequence[str]
    block: str | None
    cluster: str | None
    min_group: int
    alpha: float


def adjusted_gaps(
    outcomes: pd.DataFrame,
    attributes: pd.DataFrame,
    *,
    attributes_to_test: Sequence[str],
    adjust_for: Sequence[str],
    methods: Sequence[str] = ("regression",),
    intersections: Sequence[Sequence[str]] = (),
    reference: Mapping[str, str] | None = None,
    categorical: Sequence[str] = (),
    unavailable: Sequence[str] = (),
    block: str | None = None,
    cluster: str | None = None,
    min_group: int = 10,
    alpha: float = 0.05,
    correction: str = "holm",
    family: str = "all",
    roles: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Compare each group with the reference, adjusted for confounders.

    Parameters
    ----------
    outcomes, attributes, attributes_to_test, intersections, reference, min_group, alpha, \
correction, cluster, family, roles
        As in `popscan.fairness.audit.audit`.
    adjust_for : sequence of str
        Columns of `attributes`: numbers enter linearly, words as categories.
    methods : sequence of str
        Keys of `popscan.stats.adjust.METHODS`.
    categorical : sequence of str
        Confounders whose numbers are codes.
    unavailable : sequence of str
        Further confounders, which the study does not have: named in ``not_adjusted_for``.
    block : str, optional
        Column of `attributes` with the random effect of method ``mixed`` (site, scanner).

    Returns
    -------
    DataFrame
        One row per comparison and method, columns as in `DICTIONARY`. Where group and confounder
        cannot be distinguished (each group scanned at its own site), or a side of a yes/no outcome
        has fewer than `MIN_EVENTS` subjects with or without the event, there is no estimate, and
        the note says so.

    Raises
    ------
    PopscanError
        If a column or method does not exist.
    """
    unknown = sorted(set(methods) - set(METHODS))
    if unknown:
        raise PopscanError(f"adjustment {unknown} is not known: use some of {sorted(METHODS)}")
    needed = [*adjust_for, *([block] if block else []), *([cluster] if cluster else [])]
    absent = [name for name in needed if name not in attributes]
    if absent:
        raise PopscanError(f"confounder {', '.join(absent)} is not in the attributes table")
    people = attributes.sort_index()
    matrix = outcome_matrix(outcomes, people.index)
    groupings = make_groupings(
        people, attributes_to_test=attributes_to_test, intersections=intersections
    )
    people = people.reset_index(drop=True)  # numbers are looked up faster than names
    models = _Models(
        methods=methods, categorical=categorical, block=block, cluster=cluster,
        min_group=min_group, alpha=alpha,
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    for grouping in groupings:
        base = reference_code(grouping, reference)
        usable = confounders_of(grouping.attribute, adjust_for)
        for k, key in enumerate(matrix.records()):
            for code in np.argsort(grouping.names):
                if code != base:
                    rows += _compare(
                        people,
                        grouping,
                        matrix.values[:, k],
                        key,
                        code=int(code),
                        base=base,
                        adjust_for=usable,
                        models=models,
                    )
    table = pd.DataFrame(rows, columns=list(DICTIONARY))
    if unavailable:
        table["not_adjusted_for"] = [
            ", ".join(filter(None, (text, *unavailable))) for text in table["not_adjusted_for"]
        ]
    table["role"] = [role_of(str(name), roles) for name in table["attribute"]]
    table["p_adj"] = multiplicity.adjust(
        table["p"].astype(float),
        method=correction,
        family=families(table, family, roles, "method") if len(table) else None,
    )
    return table


def _compare(
    people: pd.DataFrame,
    grouping: Grouping,
    values: NDArray[np.float64],
    key: Mapping[str, str],
    *,
    code: int,
    base: int,
    adjust_for: Sequence[str],
    models: _Models,
) -> list[dict[str, Any]]:
    """One comparison by all methods."""
    here = np.isin(grouping.codes, [code, base]) & np.isfinite(values)
    table = people.loc[here, list(adjust_for)]
    group = grouping.codes[here] == code
    design = build(
        table, terms=adjust_for, categorical=models.categorical,
        complete=pd.Series(True, index=table.index),
    )  # fmt: skip
    kept = np.isin(table.index, design.matrix.index)
    common: dict[str, Any] = dict.fromkeys(DICTIONARY, float("nan"))
    common.update(
        attribute=grouping.attribute, group=grouping.names[code], reference=grouping.names[base],
        adjusted_for=", ".join(design.used),
        not_adjusted_for=", ".join(name for name in adjust_for if name not in design.used),
        n=int(group[kept].sum()), n_reference=int((~group[kept]).sum()),
        n_dropped=int((~kept).sum()), **key,
    )  # fmt: skip
    column = people.loc[here]
    clusters = pd.factorize(column[models.cluster])[0][kept] if models.cluster else None
    obstacle = _obstacle(
        design,
        group[kept],
        values[here][kept],
        min_group=models.min_group,
        binary=key["kind"] == "binary",
        clusters=clusters,
    )
    left_out = "; ".join([*(f"{t}: {why}" for t, why in design.dropped.items()), *design.general])
    if obstacle:
        y = values[here][kept]
        if min(common["n"], common["n_reference"]) >= models.min_group:
            common["gap_raw"] = float(y[group[kept]].mean() - y[~group[kept]].mean())
        note = "; ".join(filter(None, (obstacle, left_out)))
        return [{**common, "method": method, "note": note} for method in models.methods]
    problem = Problem(
        y=values[here][kept],
        group=group[kept],
        confounders=design.matrix.iloc[:, 1:],
        binary=key["kind"] == "binary",
        clusters=clusters,
        blocks=labels(column[models.block]).to_numpy()[kept] if models.block else None,
        alpha=models.alpha,
    )
    rows = []
    for method in models.methods:
        if method == "mixed" and models.block in grouping.attribute.split(" x "):
            note = "the random effect is the attribute itself"
            rows.append({**common, "method": method, "note": note})
            continue
        rows.append(
            _row(_of_method(method, problem, design, models.block), method, common, left_out)
        )
    return rows


def _of_method(method: str, problem: Problem, design: Design, block: str | None) -> Problem:
    """Leave the block's own columns to the random effect in a mixed model."""
    if method != "mixed" or block not in design.sources.values():
        return problem
    kept = [name for name, source in design.sources.items() if source != block]
    usable = [name for name in kept if name in problem.confounders]
    return replace(problem, confounders=problem.confounders[usable])


def _obstacle(
    design: Design,
    group: NDArray[np.bool_],
    y: NDArray[np.float64],
    *,
    min_group: int,
    binary: bool,
    clusters: NDArray[Any] | None,
) -> str:
    """Why nothing can be estimated; empty if it can."""
    smaller = int(min(group.sum(), (~group).sum()))
    if smaller < min_group:
        return f"too few: {smaller} complete rows in the smaller group, {min_group} needed"
    if np.ptp(y) == 0:
        return "all values are equal"
    if binary and _fewest_events(group, y, clusters) < MIN_EVENTS:
        return f"too few events for a model ({MIN_EVENTS} of either kind needed on either side)"
    full = np.column_stack([group, design.matrix.to_numpy()])
    if len(full) <= 2 * full.shape[1]:
        return "too few rows for so many confounders"
    centred = full[:, 2:] - full[:, 2:].mean(axis=0)
    spread = centred.std(axis=0)
    scaled = np.column_stack([np.ones(len(full)), centred / np.where(spread > 0, spread, 1)])
    weights, *_ = np.linalg.lstsq(scaled, group.astype(float), rcond=None)
    if np.abs(group - scaled @ weights).max() < 1e-8:
        return "group and confounders cannot be distinguished"
    return ""


def _fewest_events(
    group: NDArray[np.bool_], y: NDArray[np.float64], clusters: NDArray[Any] | None
) -> int:
    """Fewest subjects with (or without) the event on either side of a comparison.

    The spread of few events cannot be had from them: a group without any would count as known
    exactly.
    """
    subjects = np.arange(len(y)) if clusters is None else clusters
    return min(
        len(np.unique(subjects[(group == side) & (y == value)]))
        for side in (True, False)
        for value in (0, 1)
    )


def _row(problem: Problem, method: str, common: Mapping[str, Any], left_out: str) -> dict[str, Any]:
    """Adjust by one method."""
    estimate = METHODS[method](problem)
    raw = unadjusted(problem)
    low, high = ranges_of([common], problem.y[:, None])[0]
    widest = high - low  # no two means are farther apart
    row = {
        **common,
        **{name: value for name, value in estimate.extra.items() if name in DICTIONARY},
        "method": method,
        "gap_raw": raw.gap,
        "gap": estimate.gap,
        "se": estimate.se,
        "ci_low": np.fmax(estimate.ci_low, -widest)
        if np.isfinite(estimate.ci_low)
        else estimate.ci_low,
        "ci_high": np.fmin(estimate.ci_high, widest)
        if np.isfinite(estimate.ci_high)
        else estimate.ci_high,
        "p": estimate.p,
        "p_change": change_by_confounders(problem),
        "note": "; ".join(filter(None, (estimate.note, left_out))),
    }
    if raw.p < 0.05 and np.isfinite(estimate.gap):
        row["explained_pct"] = 100 * (1 - estimate.gap / raw.gap)
    return row
