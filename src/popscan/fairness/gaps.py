"""The audit's table of gaps: each group against the reference."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from popscan.fairness.describe import mean_interval
from popscan.fairness.design import AuditDesign
from popscan.fairness.gap_intervals import STUDENTISED, Limits, cut_gap, gap_intervals, wider
from popscan.fairness.groups import Grouping, OutcomeMatrix
from popscan.fairness.missingness import missing_columns
from popscan.fairness.ranges import ranges_of, within
from popscan.fairness.sample import Sample
from popscan.stats import compare, effects, intervals, permute, several
from popscan.stats.means import Moments, Rows
from popscan.stats.power import detectable_proportion, detectable_share


def _undetectable(alpha: float) -> float:
    """Return that nothing is known of the power of a comparison that was not made."""
    return float("nan")


@dataclass(kw_only=True)
class Gap:
    """One comparison of a group with the reference.

    Attributes
    ----------
    row
        Columns of `popscan.fairness.dictionary.GAPS` but those of the correction and the power.
    detectable
        Level of the test -> smallest true gap found with 80% power.
    """

    row: dict[str, Any] = field(default_factory=dict)
    detectable: Callable[[float], float] = _undetectable


def compare_groups(
    matrix: OutcomeMatrix,
    grouping: Grouping,
    sample: Sample,
    *,
    reference: int,
    design: AuditDesign,
) -> list[Gap]:
    """Compare every group of one attribute with the reference on every outcome.

    Parameters
    ----------
    matrix, grouping, sample
        Outcomes, groups, and their draws.
    reference
        Code of the reference group.
    design
        Level, interval, test and seed, and the size below which nothing is tested.

    Returns
    -------
    list of Gap
        Groups by name, outcomes in the order of the matrix.
    """
    gaps = []
    base = sample.moments.get(reference)
    constant = matrix.extremes[:, 0] == matrix.extremes[:, 1]
    bounds = ranges_of(matrix.records(), matrix.values)
    mean_limits = {
        code: within(*mean_interval(sample.draws[code], moment, design)[:2], bounds)
        for code, moment in sample.moments.items()
    }
    for code in map(int, np.argsort(grouping.names)):
        if code == reference or base is None:
            continue
        own = sample.moments[code]
        limits = gap_intervals(
            sample.draws[code], sample.draws[reference], own, base, design=design
        )
        for k, key in enumerate(matrix.records()):
            n, n_reference = int(own.n_values[k]), int(base.n_values[k])
            row: dict[str, Any] = {
                "attribute": grouping.attribute,
                **key,
                "group": grouping.names[code],
                "reference": grouping.names[reference],
                "n": n,
                "n_reference": n_reference,
                "direction": "",
                "test": "",
                "ci_method": "",
                "note": "",
            }
            row |= dict.fromkeys(_NUMBERS, float("nan"))
            sides = [
                matrix.by_outcome[k][members[matrix.concerned[k][members]]]
                for members in (grouping.members[c] for c in (code, reference))
            ]
            row |= missing_columns(*sides, extremes=matrix.extremes[k], bounds=bounds[k])
            gap = Gap(row=row)
            gaps.append(gap)
            people, people_reference = int(own.n_rows[k]), int(base.n_rows[k])
            row["counted"] = "visits" if sample.clustered else "subjects"
            row |= {"n_subjects": people, "n_subjects_reference": people_reference}
            if min(people, people_reference) < design.min_group:
                row["note"] = f"too few: {people} and {people_reference}, {design.min_group} needed"
            else:
                _estimate(gap, own, base, k, limits=limits)
                # Seeded by the outcome's name: its place in the table must not matter
                named = [design.seed, zlib.crc32(f"{key['stage']}/{key['outcome']}".encode())]
                studentised = (row["ci_low"], row["ci_high"], limits[2])
                sides_of = sample.column(code, k), sample.column(reference, k)
                if key["kind"] == "binary" and not sample.clustered:
                    _test_proportions(gap, *sides_of, alpha=design.alpha)
                else:
                    _test_means(gap, *sides_of, spans=sample.spans, design=design, seed=named)
                if key["kind"] == "binary" and sample.clustered:
                    gap.detectable = partial(_detectable_of_subjects, *sides_of)
                if row["ci_method"] == _PERMUTATION and studentised[2] == STUDENTISED:
                    row |= wider((row["ci_low"], row["ci_high"]), studentised[:2])
                if row["ci_method"] != NEWCOMBE:  # which keeps to what a proportion can be
                    cut_gap(row, k, mean_limits[code], mean_limits[reference], bounds)
                row["direction"] = _direction(row["gap"], key["better_is"])
                if constant[k]:
                    # Cannot differ: counting it as a test would only weaken the others
                    row |= {"p": float("nan"), "test": "none", "note": "all values are equal"}
                    row |= {"gap": 0.0, "ci_low": 0.0, "ci_high": 0.0}
                    row["direction"] = _direction(0.0, key["better_is"])
                elif sample.spans:
                    row["note"] = "subjects in both groups: the test errs on the safe side"
    return gaps


_PERMUTATION, NEWCOMBE = "permutation t", "newcombe"
_NUMBERS = (
    "gap", "ci_low", "ci_high", "ratio", "ratio_ci_low", "ratio_ci_high", "p", "hedges_g",
    "cliffs_delta",
)  # fmt: skip


def _estimate(
    gap: Gap,
    own: Moments,
    base: Moments,
    k: int,
    *,
    limits: tuple[Limits, Limits, str],
) -> None:
    """Add gap, ratio and their intervals; no ratio of means that are not positive."""
    (low, high), (ratio_low, ratio_high), method = limits
    mean, base_mean = float(own.mean[k]), float(base.mean[k])
    gap.detectable = partial(
        _detectable, float(own.se[k]), own.n_rows[k], float(base.se[k]), base.n_rows[k]
    )
    gap.row |= {
        "gap": mean - base_mean,
        "ci_low": float(low[k]),
        "ci_high": float(high[k]),
        "ci_method": method,
    }
    if mean > 0 and base_mean > 0:
        gap.row |= {
            "ratio": mean / base_mean,
            "ratio_ci_low": float(ratio_low[k]),
            "ratio_ci_high": float(ratio_high[k]),
        }


def _detectable(se: float, n: float, base_se: float, base_n: float, alpha: float) -> float:
    """Smallest gap found with 80% power at level `alpha`."""
    return float(effects.min_detectable_gap(se, n, base_se, base_n, alpha=alpha))


def _test_means(
    gap: Gap, group: Rows, base: Rows, *, spans: bool, design: AuditDesign, seed: list[int]
) -> None:
    """Add test and effect sizes of a gap; its interval where the bootstrap's is not the best."""
    values, base_values = ((rows.totals / rows.counts)[:, 0] for rows in (group, base))
    rng = np.random.default_rng([*seed, len(values) + len(base_values)])
    if design.interval == "auto" and not spans and compare.small_for_skewness(group, base):
        low, high = permute.permutation_interval(group, base, alpha=design.alpha, rng=rng)
        gap.row |= {"ci_low": low, "ci_high": high, "ci_method": _PERMUTATION}
    if design.test == "rank":
        outcome = several.mann_whitney(values, base_values)
    elif design.test == "welch" or spans:
        outcome = permute.welch(group, base)
    elif design.test == "permutation":
        outcome = permute.permutation(group, base, rng=rng)
    else:
        outcome = compare.mean_test(group, base, rng=rng)
    gap.row |= {
        "p": outcome.p,
        "test": outcome.name,
        "hedges_g": effects.hedges_g(values, base_values),
        "cliffs_delta": effects.cliffs_delta(values, base_values),
    }


def _test_proportions(gap: Gap, group: Rows, base: Rows, *, alpha: float) -> None:
    """Add risk difference, risk ratio and test of a yes/no outcome."""
    events, base_events = group.totals[:, 0], base.totals[:, 0]
    counts = (int(events.sum()), len(events), int(base_events.sum()), len(base_events))
    low, high = intervals.risk_difference(*counts, alpha=alpha)
    ratio_low, ratio_high = intervals.risk_ratio(*counts, alpha=alpha)
    outcome = compare.proportions(*counts)
    risk, base_risk = counts[0] / counts[1], counts[2] / counts[3]
    gap.detectable = partial(_detectable_share, counts[1], counts[2], counts[3])
    ratio = risk / base_risk if base_risk > 0 else float("inf") if risk > 0 else float("nan")
    gap.row |= {
        "ci_low": low,
        "ci_high": high,
        "ci_method": NEWCOMBE,
        "ratio": ratio,
        "ratio_ci_low": ratio_low,
        "ratio_ci_high": ratio_high,
        "p": outcome.p,
        "test": outcome.name,
        "hedges_g": effects.hedges_g(events, base_events),
        "cliffs_delta": risk - base_risk,
    }


def _detectable_share(n: int, events: int, n_reference: int, alpha: float) -> float:
    """Smallest difference of shares found with 80% power at level `alpha`."""
    return detectable_proportion(n, events, n_reference, alpha=alpha)


def _detectable_of_subjects(group: Rows, base: Rows, alpha: float) -> float:
    """Return the same where subjects have several values."""
    return detectable_share(group, base, alpha=alpha)


def _direction(gap: float, better_is: str) -> str:
    """Whether the group fares worse or better than the reference."""
    if better_is == "neither" or not np.isfinite(gap):
        return ""
    if gap == 0:
        return "equal"
    return "better" if (gap > 0) == (better_is == "higher") else "worse"
