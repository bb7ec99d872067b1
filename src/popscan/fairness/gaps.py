"""The audit's table of gaps: each group against the reference."""

from __future__ import annotations

import zlib
from functools import partial
from typing import Any

import numpy as np

from popscan.fairness.describe import mean_interval
from popscan.fairness.gap_intervals import STUDENTISED, Limits, cut_gap, gap_intervals, wider
from popscan.fairness.groups import Grouping, OutcomeMatrix
from popscan.fairness.missingness import missing_columns
from popscan.fairness.ranges import ranges_of, within
from popscan.fairness.sample import Sample
from popscan.stats import compare, effects, intervals, several
from popscan.stats.means import Floats, Moments
from popscan.stats.power import detectable_proportion


def compare_groups(
    matrix: OutcomeMatrix,
    grouping: Grouping,
    sample: Sample,
    reference: int,
    min_group: int,
    alpha: float,
    interval: str,
    test: str,
    seed: int,
) -> list[dict[str, Any]]:
    """Compare every group of one attribute with the reference on every outcome.

    Parameters
    ----------
    matrix, grouping, sample
        Outcomes, groups, and their draws.
    reference : int
        Code of the reference group.
    min_group : int
        No test if either has fewer values.
    alpha : float
        1 - confidence.
    interval, test : str
        As in `popscan.fairness.audit.audit`.
    seed : int
        Seed of the permutations.

    Returns
    -------
    list of dict
        Rows with the columns of `popscan.fairness.dictionary.GAPS` but those of the correction;
        ``detect`` gives the detectable gap at a level.
    """
    rows = []
    base = sample.moments.get(reference)
    constant = _constant(matrix.values)
    bounds = ranges_of(matrix.records(), matrix.values)
    mean_limits = {
        code: within(*mean_interval(sample.draws[code], moment, alpha, interval)[:2], bounds)
        for code, moment in sample.moments.items()
    }
    for code in map(int, np.argsort(grouping.names)):
        if code == reference or base is None:
            continue
        own = sample.moments[code]
        limits = gap_intervals(
            sample.draws[code], sample.draws[reference], own, base, alpha, interval
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
            sides = [matrix.values[grouping.codes == c, k] for c in (code, reference)]
            row |= missing_columns(*sides, values=matrix.values[:, k], bounds=bounds[k])
            row["detect"] = lambda level: float("nan")
            people, people_reference = int(own.n_rows[k]), int(base.n_rows[k])
            if min(people, people_reference) < min_group:
                row["note"] = f"too few: {people} and {people_reference}, {min_group} needed"
            else:
                row |= _means(own, base, k, limits, alpha)
                # Seeded by the outcome's name: its place in the table must not matter
                named = [seed, zlib.crc32(f"{key['stage']}/{key['outcome']}".encode())]
                studentised = (row["ci_low"], row["ci_high"], limits[2])
                row |= _tested(
                    sample, code, reference, k, key["kind"], alpha, interval, test, named
                )
                if row["ci_method"] == _PERMUTATION and studentised[2] == STUDENTISED:
                    row |= wider((row["ci_low"], row["ci_high"]), studentised[:2])
                cut_gap(row, k, mean_limits[code], mean_limits[reference], bounds)
                row["direction"] = _direction(row["gap"], key["better_is"])
                if constant[k]:
                    # Cannot differ: counting it as a test would only weaken the others
                    row |= {"p": float("nan"), "test": "none", "note": "all values are equal"}
                    row |= {"gap": 0.0, "ci_low": 0.0, "ci_high": 0.0}
                    row["direction"] = _direction(0.0, key["better_is"])
                elif sample.spans:
                    row["note"] = "subjects in both groups: the test errs on the safe side"
            rows.append(row)
    return rows


_PERMUTATION = "permutation t"
_NUMBERS = (
    "gap", "ci_low", "ci_high", "ratio", "ratio_ci_low", "ratio_ci_high", "p", "hedges_g",
    "cliffs_delta", "min_detectable_gap",
)  # fmt: skip


def _means(
    own: Moments, base: Moments, k: int, limits: tuple[Limits, Limits, str], alpha: float
) -> dict[str, Any]:
    """Gap, ratio and their intervals; no ratio of means that are not positive."""
    (low, high), (ratio_low, ratio_high), method = limits
    mean, base_mean = float(own.mean[k]), float(base.mean[k])
    detect = partial(
        _detectable, float(own.se[k]), own.n_rows[k], float(base.se[k]), base.n_rows[k]
    )
    row: dict[str, Any] = {
        "gap": mean - base_mean,
        "ci_low": float(low[k]),
        "ci_high": float(high[k]),
        "ci_method": method,
        "min_detectable_gap": detect(alpha),
        "detect": detect,
    }
    if mean > 0 and base_mean > 0:
        row["ratio"] = mean / base_mean
        row["ratio_ci_low"], row["ratio_ci_high"] = float(ratio_low[k]), float(ratio_high[k])
    return row


def _detectable(se: float, n: float, base_se: float, base_n: float, alpha: float) -> float:
    """Smallest gap found with 80% power at level `alpha`."""
    return float(effects.min_detectable_gap(se, n, base_se, base_n, alpha=alpha))


def _tested(
    sample: Sample,
    code: int,
    reference: int,
    k: int,
    kind: str,
    alpha: float,
    interval: str,
    test: str,
    seed: list[int],
) -> dict[str, Any]:
    """Test and effect sizes of one gap; its interval where the bootstrap's is not the best."""
    group, base = sample.column(code, k), sample.column(reference, k)
    if kind == "binary" and not sample.clustered:
        return _proportions(group.totals[:, 0], base.totals[:, 0], alpha)
    values, base_values = ((rows.totals / rows.counts)[:, 0] for rows in (group, base))
    rng = np.random.default_rng([*seed, len(values) + len(base_values)])
    better: dict[str, Any] = {}
    if interval == "auto" and not sample.spans and compare.small_for_skewness(group, base):
        low, high = compare.permutation_interval(group, base, alpha=alpha, rng=rng)
        better = {"ci_low": low, "ci_high": high, "ci_method": _PERMUTATION}
    if test == "rank":
        outcome = several.mann_whitney(values, base_values)
    elif test == "welch" or sample.spans:
        outcome = compare.welch(group, base)
    elif test == "permutation":
        outcome = compare.permutation(group, base, rng=rng)
    else:
        outcome = compare.mean_test(group, base, rng=rng)
    return {
        **better,
        "p": outcome.p,
        "test": outcome.name,
        "hedges_g": effects.hedges_g(values, base_values),
        "cliffs_delta": effects.cliffs_delta(values, base_values),
    }


def _proportions(group: Floats, base: Floats, alpha: float) -> dict[str, Any]:
    """Risk difference, risk ratio and test of a yes/no outcome."""
    counts = (int(group.sum()), len(group), int(base.sum()), len(base))
    low, high = intervals.risk_difference(*counts, alpha=alpha)
    ratio_low, ratio_high = intervals.risk_ratio(*counts, alpha=alpha)
    outcome = compare.proportions(*counts)
    risk, base_risk = counts[0] / counts[1], counts[2] / counts[3]
    detect = partial(_detectable_share, counts[1], counts[2], counts[3])
    ratio = risk / base_risk if base_risk > 0 else float("inf") if risk > 0 else float("nan")
    return {
        "ci_low": low,
        "ci_high": high,
        "ci_method": "newcombe",
        "ratio": ratio,
        "ratio_ci_low": ratio_low,
        "ratio_ci_high": ratio_high,
        "p": outcome.p,
        "test": outcome.name,
        "hedges_g": effects.hedges_g(group, base),
        "cliffs_delta": risk - base_risk,
        "min_detectable_gap": detect(alpha),
        "detect": detect,
    }


def _detectable_share(n: int, events: int, n_reference: int, alpha: float) -> float:
    """Smallest difference of shares found with 80% power at level `alpha`."""
    return detectable_proportion(n, events, n_reference, alpha=alpha)


def _direction(gap: float, better_is: str) -> str:
    """Whether the group fares worse or better than the reference."""
    if better_is == "neither" or not np.isfinite(gap):
        return ""
    if gap == 0:
        return "equal"
    return "better" if (gap > 0) == (better_is == "higher") else "worse"


def _constant(values: Floats) -> list[bool]:
    """Which outcomes have the same value in everybody."""
    known = [column[np.isfinite(column)] for column in values.T]
    return [len(column) > 0 and bool(np.ptp(column) == 0) for column in known]
