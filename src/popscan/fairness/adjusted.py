"""Gaps adjusted for confounders: what age, body size or scanner explain of a difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popscan.columns import Column, text
from popscan.fairness.attributes import confounders_of
from popscan.fairness.comparison import (
    UNADJUSTED,
    Comparison,
    Comparisons,
    Options,
    described,
)
from popscan.fairness.groups import OutcomeMatrix, make_groupings, outcome_matrix, reference_code
from popscan.fairness.ranges import ranges_of
from popscan.fairness.roles import families, role_of
from popscan.records import PopscanError
from popscan.stats import multiplicity
from popscan.stats.adjust import METHODS, Adjusted, Problem, change_by_confounders, unadjusted
from popscan.stats.design import Design

#: Fewest events, and fewest subjects without one, that a model of a yes/no outcome needs on a side.
MIN_EVENTS = 5
#: Methods that adjust for no confounder, or for the block alone.
_WITHOUT_CONFOUNDERS = (UNADJUSTED, "mixed")
#: Beginning of the note where a gap would be called adjusted that is adjusted for nothing.
NOTHING_LEFT = "no confounder is left to adjust for"
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
    "n": Column("subjects", "those of the group with a complete row"),
    "n_reference": Column("subjects", "those of the reference with a complete row"),
    "n_dropped": Column("units", "rows of both left out for a missing confounder"),
    "gap_raw": Column("outcome", "difference of means of the same complete rows, not adjusted"),
    "gap": Column("outcome", "adjusted difference, group minus reference"),
    "se": Column("outcome", "its standard error"),
    "ci_low": Column("outcome", "lower limit of its interval"),
    "ci_high": Column("outcome", "upper limit of its interval"),
    "p": Column(
        "",
        "two-sided p value that the adjusted gap is 0; where an outcome is skewed and a group "
        "small it permutes residuals (regression), and does not follow from gap and se",
    ),
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
    matrix: OutcomeMatrix | None = None,
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
    matrix : OutcomeMatrix, optional
        The outcomes, if they were arranged for the same units already.

    Returns
    -------
    DataFrame
        One row per comparison and method, columns as in `DICTIONARY`. Where group and confounder
        cannot be distinguished (each group scanned at its own site), every confounder is what the
        attribute is made of or the same for all, or a side of a yes/no outcome has fewer than
        `MIN_EVENTS` subjects with or without the event, there is no estimate, and the note says so.

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
    matrix = outcome_matrix(outcomes, people.index, made=matrix)
    groupings = make_groupings(
        people, attributes_to_test=attributes_to_test, intersections=intersections
    )
    people = people.reset_index(drop=True)  # numbers are looked up faster than names
    options = Options(
        methods=methods, categorical=categorical, block=block, cluster=cluster,
        min_group=min_group, alpha=alpha,
    )  # fmt: skip
    known = np.isfinite(matrix.by_outcome)
    rows: list[dict[str, Any]] = []
    for grouping in groupings:
        base = reference_code(grouping, reference)
        usable = confounders_of(grouping.attribute, adjust_for)
        comparisons = Comparisons(people, grouping, base, adjust_for=usable, options=options)
        by_outcome: list[list[dict[str, Any]]] = [[] for _ in matrix.records()]
        for code in map(int, np.argsort(grouping.names)):  # a group's designs follow each other
            for k, key in enumerate(matrix.records() if code != base else []):
                compared = comparisons.of(code, known[k])
                common: dict[str, Any] = dict.fromkeys(DICTIONARY, float("nan"))
                common |= described(
                    grouping, compared, key, code=code, base=base, adjust_for=usable
                )
                by_outcome[k] += _compare(
                    compared, matrix.by_outcome[k][compared.rows], common, options
                )
        rows += [row for of_one in by_outcome for row in of_one]
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
    compared: Comparison, y: NDArray[np.float64], common: Mapping[str, Any], options: Options
) -> list[dict[str, Any]]:
    """One comparison by all methods."""
    binary, left_out = common["kind"] == "binary", compared.left_out
    obstacle = _obstacle(compared, y, min_group=options.min_group, binary=binary)
    if obstacle:
        raw = {}
        if min(common["n"], common["n_reference"]) >= options.min_group:
            raw["gap_raw"] = float(y[compared.group].mean() - y[~compared.group].mean())
        note = "; ".join(filter(None, (obstacle, left_out)))
        return [{**common, **raw, "method": method, "note": note} for method in options.methods]
    problem = Problem(
        y=y,
        group=compared.group,
        confounders=compared.confounders,
        binary=binary,
        clusters=compared.clusters,
        blocks=compared.blocks,
        alpha=options.alpha,
        shared=compared.designs,
    )
    rows, raw_gap = [], unadjusted(problem)
    low, high = ranges_of([common], y[:, None])[0]
    change = change_by_confounders(problem)
    for method in options.methods:
        if compared.confounders.empty and method not in _WITHOUT_CONFOUNDERS:
            note = "; ".join(filter(None, (NOTHING_LEFT, left_out)))
            rows.append({**common, "gap_raw": raw_gap.gap, "method": method, "note": note})
            continue
        if method == "mixed" and options.block in str(common["attribute"]).split(" x "):
            note = "the random effect is the attribute itself"
            rows.append({**common, "method": method, "note": note})
            continue
        own = _of_method(method, problem, compared.design, options.block)
        row = _row(own, method, common, raw_gap, left_out, widest=high - low)
        rows.append(row | {"p_change": change if own is problem else change_by_confounders(own)})
    return rows


def _of_method(method: str, problem: Problem, design: Design, block: str | None) -> Problem:
    """Leave the block's own columns to the random effect in a mixed model."""
    if method != "mixed" or block not in design.sources.values():
        return problem
    kept = [name for name, source in design.sources.items() if source != block]
    usable = [name for name in kept if name in problem.confounders]
    return replace(problem, confounders=problem.confounders[usable], shared=None)


def _obstacle(compared: Comparison, y: NDArray[np.float64], *, min_group: int, binary: bool) -> str:
    """Why nothing can be estimated; empty if it can."""
    group = compared.group
    smaller = min(compared.subjects(group), compared.subjects(~group))
    if smaller < min_group:
        return f"too few: {smaller} with complete rows in the smaller group, {min_group} needed"
    if np.ptp(y) == 0:
        return "all values are equal"
    if binary and _fewest_events(compared, y) < MIN_EVENTS:
        return f"too few events for a model ({MIN_EVENTS} of either kind needed on either side)"
    return compared.obstacle


def _fewest_events(compared: Comparison, y: NDArray[np.float64]) -> int:
    """Fewest subjects with (or without) the event on either side of a comparison.

    The spread of few events cannot be had from them: a group without any would count as known
    exactly.
    """
    sides = compared.group, ~compared.group
    return min(compared.subjects(side & (y == value)) for side in sides for value in (0, 1))


def _row(
    problem: Problem,
    method: str,
    common: Mapping[str, Any],
    raw: Adjusted,
    left_out: str,
    *,
    widest: float,
) -> dict[str, Any]:
    """Adjust by one method; `raw` is the gap without, `widest` what two means can be apart."""
    estimate = raw if method == UNADJUSTED else METHODS[method](problem)
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
        "note": "; ".join(filter(None, (estimate.note, left_out))),
    }
    if method == UNADJUSTED:
        every = filter(None, (row["adjusted_for"], row["not_adjusted_for"]))
        return row | {"adjusted_for": "", "not_adjusted_for": ", ".join(every)}
    if raw.p <= problem.alpha and np.isfinite(estimate.gap):
        row["explained_pct"] = 100 * (1 - estimate.gap / raw.gap)
    return row
